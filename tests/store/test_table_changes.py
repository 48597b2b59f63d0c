"""The rows by which versions of a table differ, after random edits of real tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.core.digests import Digest
from sampan.store.blobs import LocalBlobs
from sampan.store.tables import Tables

ROWS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from([None, "x", "y"])), min_size=1, max_size=4)
SCHEMA: dict[str, Any] = {"key": pl.Int64, "text": pl.String}
Edit = Callable[[Tables, Digest], Digest]


def _frame(rows: list[tuple[int, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _upserted(tables: Tables, version: Digest, rows: list[tuple[int, str | None]]) -> Digest:
    unique = _frame(rows).unique("key", keep="last", maintain_order=True)
    kept = tables.read(version)["key"].is_duplicated().any()
    return version if kept else tables.upsert(version, unique, key=["key"]).digest


def _deleted(tables: Tables, version: Digest, key: int) -> Digest:
    left = tables.read(version)["key"] != key
    return tables.delete(version, pl.col("key") == key).digest if left.any() and not left.all() else version


def _laid_over(tables: Tables, version: Digest, text: str) -> Digest:
    texts = pl.when(pl.col("key") > 4).then(pl.lit(text)).otherwise("text").alias("text")
    return tables.overlay(version, tables.read(version).select(texts)).digest


EDITS = st.one_of(
    ROWS.map(lambda rows: lambda tables, version: tables.append(version, _frame(rows)).digest),
    ROWS.map(lambda rows: lambda tables, version: _upserted(tables, version, rows)),
    st.integers(0, 9).map(lambda key: lambda tables, version: _deleted(tables, version, key)),
    st.sampled_from(["x", "z"]).map(lambda text: lambda tables, version: _laid_over(tables, version, text)),
    st.just(lambda tables, version: tables.compact(version).digest),
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(first=ROWS, edits=st.lists(EDITS, min_size=1, max_size=4), columns=st.sampled_from([["key", "text"], ["key"]]))
def test_a_version_without_what_is_gone_and_with_what_came_is_the_next(first: Any, edits: list[Edit], columns: list[str]) -> None:
    with TemporaryDirectory() as folder:
        tables = Tables(LocalBlobs(Path(folder) / "store"))
        version = before = tables.create(_frame(first)).digest
        for edit in edits:
            version = edit(tables, version)

        found = tables.row_changes(before, version, columns, most_rows=1000)

        old, new = (tables.read(each).select(columns).rows() for each in (before, version))
        assert found is not None
        assert Counter(new) == Counter(old) - Counter(found.gone.rows()) + Counter(found.come.rows())
        if found.come_last and len(found.come):
            assert found.come.rows() == new[-len(found.come) :]


def test_only_what_an_edit_touched_is_found(tmp_path: Path) -> None:
    tables = Tables(LocalBlobs(tmp_path / "store"))
    made = tables.create(_frame([(n, "x") for n in range(10)]))
    edited = tables.delete(tables.append(made.digest, _frame([(10, "y")])).digest, [3])
    laid_over = tables.overlay(edited.digest, pl.DataFrame({"text": ["z"] * 10}))

    found = tables.row_changes(made.digest, edited.digest, ["key", "text"], most_rows=2)

    assert found is not None
    assert ([(3, "x")], [(10, "y")], True) == (found.gone.rows(), found.come.rows(), found.come_last)
    other = tables.row_changes(edited.digest, laid_over.digest, ["key"], most_rows=0)
    assert other is not None
    assert ([], []) == (other.gone.rows(), other.come.rows()), "nobody reads the column that was laid over"


def test_too_many_rows_or_another_type_are_told_by_none(tmp_path: Path) -> None:
    tables = Tables(LocalBlobs(tmp_path / "store"))
    made = tables.create(_frame([(1, "x"), (2, "y")]))
    other = tables.create(_frame([(3, "x")]))
    retyped = tables.create(_frame([(1, "x")]).cast({"key": pl.Int32}))

    assert tables.row_changes(made.digest, other.digest, ["key"], most_rows=2) is None
    assert tables.row_changes(made.digest, retyped.digest, ["key"], most_rows=9) is None
    assert tables.row_changes(made.digest, other.digest, ["none"], most_rows=9) is None
