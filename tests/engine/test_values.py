from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sampan.engine import values
from sampan.engine.shelf import Shelf
from sampan.engine.values import StoredValue, TableRef, Want
from sampan.errors import ParameterError, Unsupported
from sampan.store import Store

FRAME = pl.DataFrame({"x": [1, 2, None], "y": ["a", "b", "c"]})


@pytest.fixture
def shelf(store: Store) -> Shelf:
    return Shelf(store)


def test_a_frame_is_kept_as_a_table_and_read_as_the_kind_asked_for(shelf: Shelf) -> None:
    stored = values.save(FRAME, shelf)

    assert stored.kind == "table"
    assert values.load(stored, shelf).equals(FRAME)
    lazy = values.load(stored, shelf, Want("LazyFrame"))
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().equals(FRAME)
    assert values.load(stored, shelf, Want("TableRef")) == TableRef(stored.digest)


def test_a_lazy_frame_and_its_frame_are_the_same_table(shelf: Shelf) -> None:
    assert values.save(FRAME.lazy(), shelf) == values.save(FRAME, shelf)


@pytest.mark.parametrize("value", [0, "", [], 1.5, {"auc": 0.75, "by": {"AA": (1, 2)}}, b"\x00\xff", np.float32(0.5)])
def test_plain_values_and_bytes_come_back(value: object, shelf: Shelf) -> None:
    assert values.load(values.save(value, shelf), shelf) == value


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3), np.array(["a", "bc"]), np.array([], dtype=np.int8), np.array(["2013"], "M8[Y]")]
)
def test_arrays_come_back_with_shape_and_type(array: np.ndarray, shelf: Shelf) -> None:
    back = values.load(values.save(array, shelf), shelf)

    assert (array.dtype, array.shape) == (back.dtype, back.shape)
    assert (array == back).all()


def test_a_file_comes_back_under_its_name(tmp_path: Path, shelf: Shelf) -> None:
    (tmp_path / "model.txt").write_text("tree")
    stored = values.save(tmp_path / "model.txt", shelf)

    assert values.load(stored, shelf).read_text() == "tree"
    assert values.load(stored, shelf, Want(into=tmp_path / "out")) == tmp_path / "out" / "model.txt"


def test_a_folder_comes_back_with_what_is_below_it(tmp_path: Path, shelf: Shelf) -> None:
    (tmp_path / "model" / "trees").mkdir(parents=True)
    (tmp_path / "model" / "trees" / "1.txt").write_text("one")
    (tmp_path / "model" / "card.md").write_text("card")
    stored = values.save(tmp_path / "model", shelf)

    back = values.load(stored, shelf, Want(into=tmp_path / "back"))

    assert {p.relative_to(back).as_posix(): p.read_text() for p in back.rglob("*") if p.is_file()} == {
        "trees/1.txt": "one",
        "card.md": "card",
    }
    with pytest.raises(ParameterError, match="model is a folder and needs a place"):
        values.load(stored, shelf)


@pytest.mark.parametrize("value", [object(), lambda: 1, {"frame": FRAME}, np.array([object()])])
def test_what_cannot_be_stored_is_refused_and_never_pickled(value: object, shelf: Shelf) -> None:
    with pytest.raises(Unsupported, match="cannot be stored"):
        values.save(value, shelf)


def test_a_path_to_nothing_is_refused(tmp_path: Path, shelf: Shelf) -> None:
    with pytest.raises(ParameterError, match="leads to nothing"):
        values.save(tmp_path / "absent.txt", shelf)


def test_a_digest_given_as_text_is_a_stored_table(shelf: Shelf) -> None:
    digest = values.save(FRAME, shelf).digest

    assert values.load(values.save_input(digest, shelf), shelf).equals(FRAME)


def test_a_value_is_read_only_when_asked_for(shelf: Shelf) -> None:
    missing = StoredValue(values.Stored("plain", "b3:" + "0" * 64), shelf)

    assert repr(missing) == "<plain b3:000000000000>"
