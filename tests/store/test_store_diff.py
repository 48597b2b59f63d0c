"""The difference of two versions equals a full join of both, whatever happened between them."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.core.digests import Digest
from sampan.errors import IntegrityError, ParameterError
from sampan.store.blobs import LocalBlobs
from sampan.store.tables import ChangedRow, Retyped, RowCounts, TableDiff, Tables
from sampan.testing.blobs import flip_a_byte

SCHEMA = {"id": pl.Int64, "at": pl.Float64, "name": pl.String, "x": pl.Float64, "n": pl.List(pl.Int8)}


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(LocalBlobs(tmp_path / "store"))


# -- the plain answer


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


def known(value: Any) -> Any:
    return "not a number" if isinstance(value, float) and math.isnan(value) else value


def rows_by_key(frame: pl.DataFrame, key: list[str]) -> dict[tuple[Any, ...], dict[str, Any]] | None:
    """Return the rows by key, None if two share one."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in frame.iter_rows(named=True):
        name = tuple(known(row[column]) for column in key)
        if name in found:
            return None
        found[name] = row
    return found


def check_against_a_full_join(tables: Tables, before: Digest, after: Digest, key: list[str]) -> None:
    one, other = tables.read(before), tables.read(after)
    if any(one.schema[name] != other.schema[name] for name in key):
        with pytest.raises(ParameterError, match="the key column x is Float64 in one version and Float32 in the other"):
            tables.diff(before, after, key=key)
        return
    old, new = rows_by_key(one, key), rows_by_key(other, key)
    if old is None or new is None:
        with pytest.raises(ParameterError, match="is not unique in the version " + ("before" if old is None else "after")):
            tables.diff(before, after, key=key)
        return
    common = [name for name in one.columns if name not in key and name in other.columns]
    changed = {name: [column for column in common if not same(old[name][column], new[name][column])] for name in old.keys() & new.keys()}
    counted = Counter(column for columns in changed.values() for column in columns)

    told = tables.diff(before, after, key=key)
    assert told.n_added == len(new.keys() - old.keys())
    assert told.n_removed == len(old.keys() - new.keys())
    assert told.n_changed == sum(bool(columns) for columns in changed.values())
    assert told.n_same == len(new) - told.n_added - told.n_changed
    assert told.changed_columns == counted
    assert tables.count_rows(before, after, key=key) == RowCounts(told.n_added, told.n_removed, told.n_changed, told.n_same)
    assert list(told.columns_added) == [name for name in other.columns if name not in one.columns]
    assert list(told.columns_removed) == [name for name in one.columns if name not in other.columns]
    check_examples(told, old, new, key)
    touched = tables.touched_keys(before, after, key=key)
    names = (old.keys() ^ new.keys()) | {name for name, columns in changed.items() if columns}
    assert names == {tuple(known(row[column]) for column in key) for row in touched.iter_rows(named=True)}
    assert len(names) == touched.height


def check_examples(told: TableDiff, old: dict[Any, Any], new: dict[Any, Any], key: list[str]) -> None:
    def name_of(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(known(row[column]) for column in key)

    assert len(told.examples_added) == min(5, told.n_added)
    assert len(told.examples_removed) == min(5, told.n_removed)
    assert len(told.examples_changed) == min(5, told.n_changed)
    for row in told.examples_added:
        assert name_of(row) not in old
        assert all(same(row[column], value) for column, value in new[name_of(row)].items())
    for row in told.examples_removed:
        assert name_of(row) not in new
        assert all(same(row[column], value) for column, value in old[name_of(row)].items())
    for changed in told.examples_changed:
        name = name_of(changed.key)
        assert changed.before.keys() == changed.after.keys() != set()
        assert all(same(old[name][column], value) for column, value in changed.before.items())
        assert all(same(new[name][column], value) for column, value in changed.after.items())
        assert not any(same(changed.before[column], changed.after[column]) for column in changed.before)


# -- any history

ids = st.one_of(st.none(), st.integers(0, 30))
numbers = st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.0, 2.5, math.nan, math.inf]))
row = st.tuples(ids, numbers, st.sampled_from([None, "", "a", "b"]), numbers, st.sampled_from([None, [], [1], [1, None]]))
frames = st.lists(row, min_size=1, max_size=12, unique_by=lambda values: values[0]).map(
    lambda rows: pl.DataFrame(rows, schema=SCHEMA, orient="row")
)
Edit = Callable[[Tables, Digest], Digest]


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    kind = draw(
        st.sampled_from(["append", "append", "delete", "overlay", "overlay", "add", "retype", "upsert", "upsert", "compact", "create"])
    )
    frame: pl.DataFrame = draw(frames)
    seed = draw(st.integers(0, 10**6))

    def edit(tables: Tables, version: Digest) -> Digest:
        table = tables.read(version)
        if kind == "append":
            rows = fitted(frame, table.schema)
            # One in eight keeps what makes the key ambiguous.
            return tables.append(version, rows if seed % 8 == 0 else rows.join(table, on="id", how="anti", nulls_equal=True)).digest
        if kind == "delete":
            return tables.delete(version, [i for i in range(table.height) if (seed >> (i % 16)) & 1]).digest
        if kind == "compact":
            return tables.compact(version).digest
        if kind == "create":
            return tables.create(table.sample(fraction=1, shuffle=True, seed=seed)).digest
        if kind == "upsert":
            return tables.upsert(version, fitted(frame, table.schema).unique("id"), key=["id"]).digest
        return tables.overlay(version, overlay_of(kind, table, seed)).digest

    return edit


def fitted(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Bring rows into the columns a table has by now."""
    given = {name: frame[name].cast(dtype) if name in frame.columns else pl.lit(None, dtype) for name, dtype in schema.items()}
    return frame.select(**given)


def overlay_of(kind: str, table: pl.DataFrame, seed: int) -> pl.DataFrame:
    if kind == "add":
        return pl.DataFrame({"new": [(seed + i) % 3 for i in range(table.height)]}, schema={"new": pl.Int64})
    if kind == "retype":
        return table.select(pl.col("x").cast(pl.Float32), pl.col("name").fill_null("none"))
    flipped = pl.Series([bool((seed >> (i % 16)) & 1) for i in range(table.height)], dtype=pl.Boolean)
    column = ["x", "x", "name", "name", "n", "n", "at", "id"][seed % 8]
    return table.select(pl.when(flipped).then(pl.col(column).shift(1)).otherwise(pl.col(column)))


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    frames,
    st.lists(edits(), min_size=1, max_size=6),
    st.sampled_from([["id"], ["id"], ["at"], ["id", "name"], ["at", "id"], ["name"], ["id", "at", "name", "x"]]),
)
def test_a_diff_equals_a_full_join(start: pl.DataFrame, script: list[Edit], key: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        tables = Tables(LocalBlobs(Path(folder)))
        versions = [tables.create(start).digest]
        for edit in script:
            try:
                versions.append(edit(tables, versions[-1]))
            except ParameterError as error:  # an upsert into a table where the key is not unique
                assert "not unique" in error.message  # noqa: PT017  # the other outcome is no error at all
            tables.check(versions[-1])
        check_against_a_full_join(tables, versions[0], versions[-1], key)
        check_against_a_full_join(tables, versions[len(versions) // 2], versions[-1], key)


# -- what it says


def numbered(n_rows: int, start: int = 0) -> pl.DataFrame:
    return pl.DataFrame({"id": range(start, start + n_rows)}).with_columns(x=pl.col("id") * 0.5, name=pl.format("row {}", "id"))


def test_a_diff_counts_and_shows_rows(tables: Tables) -> None:
    before = tables.create(numbered(1000)).digest
    after = tables.delete(before, pl.col("id") % 100 == 7).digest
    after = tables.upsert(after, numbered(3, 998).with_columns(name=pl.lit("new")), key=["id"]).digest
    told = tables.diff(before, after, key=["id"])

    assert (told.n_added, told.n_removed, told.n_changed, told.n_same) == (1, 10, 2, 988)
    assert told.changed_columns == {"name": 2}
    assert told.examples_added == [{"id": 1000, "x": 500.0, "name": "new"}]
    assert [row["id"] for row in told.examples_removed] == [7, 107, 207, 307, 407]
    assert told.examples_changed == [
        ChangedRow({"id": 998}, {"name": "row 998"}, {"name": "new"}),
        ChangedRow({"id": 999}, {"name": "row 999"}, {"name": "new"}),
    ]
    assert not told.is_empty


def test_only_rows_that_may_differ_are_read(tables: Tables) -> None:
    before = tables.create(numbered(1000)).digest
    appended = tables.append(before, numbered(10, 1000)).digest
    labelled = tables.overlay(appended, pl.DataFrame({"late": [True] * 1010})).digest

    assert tables.diff(before, appended, key=["id"]).n_compared == 10
    assert tables.diff(appended, labelled, key=["id"]).n_compared == 0
    assert tables.diff(appended, labelled, key=["id"]).columns_added == {"late": "Boolean"}
    assert tables.diff(before, tables.create(numbered(1000).reverse()).digest, key=["id"]).n_compared == 2000
    assert tables.diff(before, tables.create(numbered(1000).reverse()).digest, key=["id"]).is_empty


@pytest.mark.parametrize(
    ("before", "after", "n_changed"),
    [
        (pl.Series([1, 2, 2**60], dtype=pl.Int64), pl.Series([1.0, 2.5, None]), 2),
        (pl.Series([1, 2, 2**60], dtype=pl.Int64), pl.Series([1, 2, 2**60 + 1], dtype=pl.UInt64), 1),
        (pl.Series([1.5, float("nan"), None]), pl.Series(["1.50", "NaN", None]), 0),
        (pl.Series([1.5, None, 2.0]), pl.Series(["1.5 km", "", "2"]), 2),
        (pl.Series(["1.25", "2", "3"]).cast(pl.Decimal(5, 2)), pl.Series([1.25, 2.0, 3.5]), 1),
        (pl.Series(["a", "b", None], dtype=pl.Categorical), pl.Series(["a", "c", None]), 1),
        (pl.Series([True, False, None]), pl.Series([1, 1, None]), 1),
        (
            pl.Series([date(2025, 1, 2), None, date(2025, 1, 3)]),
            pl.Series([datetime(2025, 1, 2, tzinfo=UTC), None, datetime(2025, 1, 3, 1, tzinfo=UTC)]),
            1,
        ),
        (pl.Series([date(2025, 1, 2), None, date(2025, 1, 3)]), pl.Series(["2025-01-02", None, "3 Jan"]), 1),
        (pl.Series(["a", "b", None]), pl.Series([b"a", b"c", None]), 1),
        (pl.Series([[1], [2], None], dtype=pl.List(pl.Int64)), pl.Series(["1", "2", None]), 2),
        (pl.Series([None, None, None]), pl.Series(["1", None, None]), 1),
    ],
)
@pytest.mark.parametrize("laid_over", [True, False])
def test_a_column_of_another_type_is_compared_by_what_it_says(
    tables: Tables, before: pl.Series, after: pl.Series, n_changed: int, *, laid_over: bool
) -> None:
    ids = pl.DataFrame({"id": [1, 2, 3]})
    one = tables.create(ids.with_columns(x=before)).digest
    other = (tables.overlay(one, after.to_frame("x")) if laid_over else tables.create(ids.with_columns(x=after).reverse())).digest
    told = tables.diff(one, other, key=["id"])

    assert told.columns_retyped == {"x": Retyped(str(before.dtype), str(after.dtype))}
    assert (told.n_changed, told.n_same, told.is_empty) == (n_changed, 3 - n_changed, False)
    assert tables.touched_keys(one, other, key=["id"]).height == n_changed
    assert tables.diff(other, one, key=["id"]).n_changed == n_changed


def test_versions_of_nothing_in_common_are_compared_by_key(tables: Tables) -> None:
    before = tables.create(numbered(3)).digest
    after = tables.create(pl.DataFrame({"id": [2, 3], "y": [1, 1]})).digest
    told = tables.diff(before, after, key=["id"])

    assert (told.n_added, told.n_removed, told.n_changed, told.n_same) == (1, 2, 0, 1)
    assert (told.columns_added, told.columns_removed) == ({"y": "Int64"}, {"x": "Float64", "name": "String"})


def test_tables_without_rows_differ_in_nothing(tables: Tables) -> None:
    none = tables.create(numbered(0)).digest

    assert tables.diff(none, none, key=["id"]).is_empty
    assert tables.diff(none, tables.create(numbered(2)).digest, key=["id"]).n_added == 2


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (["nope"], "the key names no column of the table: nope"),
        ([], "names no columns"),
        ("id", "names no columns"),
        (["tags"], r"nested columns cannot be a key: tags"),
        (["name"], r"the key name is not unique in the version before, b3:[0-9a-f]+: several rows have name='a'"),
    ],
)
def test_a_key_that_cannot_be_one_is_named(tables: Tables, key: list[str], told: str) -> None:
    version = tables.create(pl.DataFrame({"id": [1, 2], "name": ["a", "a"], "tags": [["x"], ["y"]]})).digest

    with pytest.raises(ParameterError, match=told):
        tables.diff(version, version, key=key)


def test_a_key_that_changed_its_type_is_named(tables: Tables) -> None:
    before, after = (tables.create(pl.DataFrame({"id": pl.Series([1], dtype=dtype)})).digest for dtype in (pl.Int64, pl.Int32))

    with pytest.raises(ParameterError, match="the key column id is Int64 in one version and Int32 in the other"):
        tables.diff(before, after, key=["id"])


def test_a_damaged_part_is_named(tables: Tables) -> None:
    before = tables.create(numbered(10)).digest
    after = tables.append(before, numbered(10, 10)).digest
    flip_a_byte(tables.blobs.path(tables.parts(after)[1].base), 40)

    with pytest.raises(IntegrityError, match=f"part 1 of table {after}"):
        tables.diff(before, after, key=["id"])


@pytest.mark.parametrize("shuffled", [False, True], ids=["keys in order", "keys in no order"])
def test_large_parts_are_compared_as_small_ones_are(tables: Tables, shuffled: bool) -> None:
    rows = numbered(70_000)
    before = tables.create(rows.sample(fraction=1, shuffle=True, seed=7) if shuffled else rows).digest
    changed = rows.gather_every(1_000).with_columns(x=pl.lit(-1.0))
    after = tables.append(tables.upsert(before, changed, key=["id"]).digest, numbered(10, 100_000)).digest
    after = tables.delete(after, pl.col("id").is_in([1_000, 1_001])).digest

    told = tables.diff(before, after, key=["id"])

    assert (told.n_added, told.n_removed, told.n_changed, told.n_same) == (10, 2, 69, 69_929)
    assert told.changed_columns == {"x": 69}
    assert [row["id"] for row in told.examples_removed] == [1_000, 1_001]
    assert tables.diff(after, before, key=["id"]).n_added == 2


def test_a_key_that_only_an_added_row_repeats_is_named(tables: Tables) -> None:
    before = tables.create(numbered(70_000)).digest
    after = tables.append(before, numbered(1, 69_999)).digest

    with pytest.raises(ParameterError, match=r"not unique in the version after, .*: several rows have id=69999"):
        tables.diff(before, after, key=["id"])


def test_a_part_whose_keys_begin_again_and_again_is_compared(tables: Tables) -> None:
    rows = numbered(70_000)
    before = tables.create(pl.concat([rows.gather_every(2), rows.gather_every(2, 1)])).digest
    after = tables.upsert(before, rows.gather_every(700).with_columns(name=pl.lit("new")), key=["id"]).digest

    assert tables.diff(before, after, key=["id"]).n_changed == 100
    with pytest.raises(ParameterError, match="not unique in the version before"):
        tables.diff(tables.append(before, rows[5:6]).digest, after, key=["id"])


def test_tables_of_nothing_but_their_key_are_compared(tables: Tables) -> None:
    before = tables.create(pl.DataFrame({"id": [1, 2, 3]})).digest
    after = tables.create(pl.DataFrame({"id": [3, 1, 4]})).digest

    told = tables.diff(before, after, key=["id"])

    assert (told.n_added, told.n_removed, told.n_changed, told.n_same) == (1, 1, 0, 2)
    assert (told.examples_added, told.examples_removed) == ([{"id": 4}], [{"id": 2}])
    assert tables.touched_keys(before, after, key=["id"])["id"].sort().to_list() == [2, 4]


def test_rows_that_stand_in_another_order_are_the_same_rows(tables: Tables) -> None:
    rows = numbered(50)
    before = tables.append(tables.create(rows[:20]).digest, rows[20:]).digest
    after = tables.append(tables.create(rows[30:].reverse()).digest, rows[:30].with_columns(x=pl.col("x") + (pl.col("id") == 7))).digest

    told = tables.diff(before, after, key=["id"])

    assert (told.n_added, told.n_removed, told.n_changed, told.changed_columns) == (0, 0, 1, {"x": 1})
    assert told.examples_changed == [ChangedRow(key={"id": 7}, before={"x": 3.5}, after={"x": 4.5})]


def test_rows_are_counted_where_the_first_changes_tell_nothing_of_the_later_ones(tables: Tables) -> None:
    rows = numbered(4_000)
    before = tables.create(rows).digest
    at = pl.col("id")
    edited = rows.with_columns(
        x=pl.col("x") + (at < 1_500), name=pl.when(at.is_between(2_000, 2_099)).then(pl.lit("new")).otherwise("name")
    )
    after = tables.upsert(before, edited, key=["id"]).digest

    assert tables.count_rows(before, after, key=["id"]) == RowCounts(n_added=0, n_removed=0, n_changed=1_600, n_same=2_400)
    assert tables.touched_keys(before, after, key=["id"])["id"].sort().to_list() == [*range(1_500), *range(2_000, 2_100)]
