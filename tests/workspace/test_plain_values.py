"""A Python caller writes what comes to mind: a text for a path, one name for a list of names, a number for a key."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sampan.workspace.plain_values import taking_plain_values
from sampan.workspace.workspace import Workspace

Names = list[str]


class Room:
    @taking_plain_values
    def take(self, ref: str, file: Path, key: Names | None = None, *, by: dict[str, str], more: Any = None) -> tuple[Any, ...]:
        """Return what came."""
        return ref, file, key, by, more


def test_plain_values_become_what_the_annotations_say() -> None:
    expected = ("a", Path("b.csv"), ["id"], {"n": "17"}, "c")

    assert expected == Room().take("a", "b.csv", "id", by={"n": 17}, more="c")  # type: ignore[arg-type, dict-item]  # what is tested
    assert expected == Room().take(ref="a", file="b.csv", key="id", by={"n": "17"}, more="c")  # type: ignore[arg-type]  # the same
    assert ("a", Path("b"), None, {}, None) == Room().take("a", Path("b"), by={})
    assert [*inspect.signature(Room.take).parameters] == ["self", "ref", "file", "key", "by", "more"]


def test_a_mistake_is_told_as_by_the_method_itself() -> None:
    with pytest.raises(TypeError, match="takes from 3 to 4 positional arguments but 5"):
        Room().take("a", "b", ["c"], "d", by={})  # type: ignore[arg-type, misc]  # what is tested
    with pytest.raises(TypeError, match="unexpected keyword argument 'nope'"):
        Room().take("a", "b", by={}, nope=1)  # type: ignore[arg-type, call-arg]  # the same


def test_a_dataset_is_edited_with_plain_values(tmp_path: Path) -> None:
    pl.DataFrame({"id": [1, 2], "x": ["a", "b"]}).write_csv(tmp_path / "t.csv")
    with Workspace.open(tmp_path) as ws:
        ws.data.add(f"{tmp_path}/t.csv", key="id")  # type: ignore[arg-type]  # what is tested
        ws.data.upsert("t", {"id": [3], "x": ["c"]}, key="id")  # type: ignore[arg-type]  # the same
        ws.data.append("t", f"{tmp_path}/t.csv")  # type: ignore[arg-type]  # the same

        assert ws.data.delete("t", where=pl.col("id") == 1).n_rows == 2  # type: ignore[arg-type]  # the same
        assert [one.ref for one in ws.data.subject(subject={"id": 2}).versions][:1] == ["t@v1"]  # type: ignore[dict-item]  # the same
