"""What is read of a table, and as what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from sampan.evaluation.admission.table import read_table, vectors


def read(base: dict[str, object], batch: dict[str, object]) -> object:
    one, other = pl.DataFrame(base), pl.DataFrame(batch)
    return read_table(one, other, np.zeros(one.height), np.zeros(other.height))


def test_categories_of_the_batch_alone_come_after_the_known_ones() -> None:
    table = read_table(pl.DataFrame({"c": ["a", "b", "b", None]}), pl.DataFrame({"c": ["b", "new", None]}), np.zeros(4), np.zeros(3))

    assert {0: ("b", "a", "new")} == table.categories
    assert [1.0, 0.0, 0.0] == table.matrix[:3, 0].tolist()
    assert [False, True, False] == table.unseen().tolist()
    assert ["b", "new", "(missing)"] == [table.value(0, float(v)) for v in table.matrix[4:, 0]]


def test_names_of_rows_and_columns_of_one_value_are_not_read() -> None:
    n = 3000
    base = pl.DataFrame({"id": [f"row {i}" for i in range(n)], "same": [1] * n, "x": range(n), "only here": range(n)})
    batch = pl.DataFrame({"id": ["row 1"], "same": [1], "x": [5]})

    table = read_table(base, batch, np.zeros(n), np.zeros(1))

    assert ("x",) == table.names


def test_times_keep_their_distances_and_numbers_their_gaps() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    base = pl.DataFrame({"at": [start + timedelta(seconds=i) for i in range(3)], "x": [1.5, None, 2.5], "yes": [True, False, None]})

    table = read_table(base, base[:1], np.zeros(3), np.zeros(1))

    assert ("at", "x", "yes") == table.names
    assert [0, 1_000_000, 2_000_000, 0] == table.matrix[:, 0].tolist()
    assert [False, True, False, False] == np.isnan(table.matrix[:, 1]).tolist()


def test_a_vector_is_read_as_one_column_per_place() -> None:
    base = pl.DataFrame({"v": [[1.0, 2.0], [3.0, 4.0]]})

    table = read_table(base, base[:1], np.zeros(2), np.zeros(1))

    assert ("v[0]", "v[1]") == table.names
    assert [[1, 2], [3, 4], [1, 2]] == table.matrix.tolist()
    assert None is vectors(pl.Series([[1.0], [1.0, 2.0]]))
    assert None is vectors(pl.Series(["text"]))


def test_names_of_rows_are_read_as_there_or_missing_where_they_stopped_coming() -> None:
    n = 3000
    base = pl.DataFrame({"id": [f"row {i}" for i in range(n)], "same": ["a"] * n, "holes": [f"t {i}" if i % 2 else None for i in range(n)]})
    batch = pl.DataFrame({"id": ["row 9", None], "same": [None, "a"], "holes": [None, "t 1"]}, schema=base.schema)

    table = read_table(base, batch, np.zeros(n), np.zeros(2))

    assert ("id", "same") == table.names
    assert [[1.0, 1.0]] == np.unique(table.matrix[:n], axis=0).tolist()
    assert [[False, True], [True, False]] == np.isnan(table.matrix[n:]).tolist()
