"""The prediction log's rows: what is kept of a request, and what is left out or changed by a rule."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.serving.keeping import Keeping, Remembered
from sampan.serving.outcomes import keys_of
from sampan.serving.records import KEY_CHANGED, NumberedIds, Scored, record_block, record_schema
from sampan.serving.volumes import MOST_CALLERS, OTHERS, Volumes
from sampan.table.arrow_blocks import END_OF_STREAM, Block
from sampan.table.rows import ColumnRows, joined, row_type

FIELDS = (("order", "number"), ("shop", "text"), ("gift", "flag"), ("day", "moment"))
NAMES = [name for name, _ in FIELDS]
ROWS: list[dict[str, Any]] = [
    {"order": 1, "shop": "a", "gift": True, "day": "2013-01-01"},
    {"order": 2.0, "shop": None, "gift": None, "day": 1357084800000},
]


def scored(rows: Any, **more: Any) -> Scored:
    n = len(rows)
    given: dict[str, Any] = {
        "service": "s",
        "version": "m@v1",
        "role": "live",
        "at": 5,
        "latency_us": 9,
        "ids": [f"i{k}" for k in range(n)],
        "rows": rows,
        "moments": np.arange(n),
        "features": np.array([[2, np.nan]] * n, dtype=np.float32),
        "scores": np.full(n, 0.9),
        "caller": "ana",
    }
    return Scored(**{**given, **more})


def lay_out(rows: list[dict[str, Any]], keeping: Keeping | None = None) -> dict[str, list[Any]]:
    return read(
        record_block(
            [scored(rows)], joined([rows], NAMES), feature_names=["x", "y"], fields=FIELDS, keys=("order",), keeping=keeping or Keeping()
        )
    )


def rows_of(block: Block) -> list[dict[str, Any]]:
    """Return a block's rows as Arrow reads them."""
    columns = read(block)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def read(block: Block) -> dict[str, list[Any]]:
    """Return a block's columns as Arrow reads them."""
    found: dict[str, list[Any]] = pa.ipc.open_stream(block.schema.message() + block.message() + END_OF_STREAM).read_all().to_pydict()
    return found


def test_a_log_row_has_the_whole_request_typed_with_key_features_answer_and_caller() -> None:
    table = lay_out(ROWS)

    assert table["key"] == ["1", "2"]
    assert table["field.order"] == [1.0, 2.0]
    assert table["field.shop"] == ["a", None]
    assert table["field.gift"] == [True, None]
    assert table["field.day"] == ["2013-01-01", "1357084800000"]
    assert table["feature.x"] == [2.0, 2.0]
    assert np.isnan(table["feature.y"]).all()
    assert (table["role"][0], table["caller"][1], table["at"][0], table["moment"][1], table["score"][1]) == ("live", "ana", 5, 1, 0.9)


def test_requests_of_several_callers_in_one_batch_keep_their_own() -> None:
    both = [scored(ROWS, caller="ana", latency_us=1), scored(ROWS[:1], caller="bo", latency_us=2)]

    table = read(record_block(both, joined([one.rows for one in both], NAMES), feature_names=["x", "y"], fields=FIELDS, keys=("order",)))

    assert table["caller"] == ["ana", "ana", "bo"]
    assert table["latency_us"] == [1, 1, 2]


def test_rows_of_several_requests_in_one_answer_keep_moment_latency_caller_and_trace() -> None:
    many = [
        scored(ROWS, at=[7, 8], latency_us=[1, 2], caller=("ana", "bo"), trace="t"),
        scored(ROWS[:1], caller="cy"),
        scored(ROWS, at=9, latency_us=[3, 4], caller="ana"),
    ]

    table = read(record_block(many, joined([one.rows for one in many], NAMES), feature_names=["x", "y"], fields=FIELDS, keys=("order",)))

    assert table["at"] == [7, 8, 5, 9, 9]
    assert table["latency_us"] == [1, 2, 9, 3, 4]
    assert table["caller"] == ["ana", "bo", "cy", "ana", "ana"]
    assert table["trace"] == ["t", "t", "", "", ""]
    assert [one.n_requests for one in many] == [2, 1, 2]


KEYS = (
    st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=8)
    | st.lists(st.integers(-99, 99) | st.booleans() | st.none() | st.floats(allow_nan=False), min_size=1, max_size=8)
    | st.lists(st.integers(-99, 99).map(float) | st.sampled_from([2.0**53, 0.5, -0.0, 1e300]), min_size=1, max_size=8).map(np.array)
    | st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=8).map(np.array)
)


@given(KEYS)
def test_keys_are_written_as_one_by_one_in_whichever_form_they_came(values: Any) -> None:
    rows = ColumnRows({"order": values}, len(values))
    given = scored(rows)

    table = read(record_block([given], rows, feature_names=["x", "y"], fields=(), keys=("order",)))

    assert table["key"] == keys_of([rows.column("order")], len(values))


def test_ids_of_many_rows_are_written_at_once_beside_those_of_single_ones() -> None:
    many = [scored(ROWS, ids=NumberedIds("a", 2)), scored(ROWS[:1], ids=("é\0",)), scored(ROWS, ids=NumberedIds("b\0.", 2))]

    def ids(keeping: Keeping) -> list[Any]:
        rows = joined([one.rows for one in many], NAMES)
        return read(record_block(many, rows, feature_names=["x", "y"], fields=FIELDS, keys=("order",), keeping=keeping))["id"]

    every = ["a.0", "a.1", "é\0", "b\0..0", "b\0..1"]
    assert every == ids(Keeping())
    assert [name for name, key in zip(every, "12112", strict=True) if Keeping(share=0.999).keeps(key)] == ids(Keeping(share=0.999))


def test_who_lays_rows_out_may_pause_between_any_two_columns() -> None:
    pauses: list[int] = []

    block = record_block(
        [scored(ROWS)],
        joined([ROWS], NAMES),
        feature_names=["x", "y"],
        fields=FIELDS,
        keys=("order",),
        pause=lambda: pauses.append(1),
    )
    assert len(pauses) > len(FIELDS)
    laid_out = len(pauses)
    block.message()
    assert len(pauses) == laid_out + len(block.columns)


def test_few_rows_are_laid_out_as_many_are() -> None:
    fields = (("a", "number"), ("b", "number"), ("shop", "text"), ("c", "number"), ("d", "number"))
    names = [name for name, _ in fields]
    rows: list[dict[str, Any]] = [
        {"a": k, "b": k / 4, "shop": f"s{k % 3}" if k % 5 else None, "c": None if k == 7 else -k, "d": float(k)} for k in range(120)
    ]

    def block(part: list[dict[str, Any]], keeping: Keeping) -> list[dict[str, Any]]:
        found = scored(part, features=np.array([[row["a"], 2, 3] for row in part], np.float32), moments=np.array([0] * len(part)))
        told = record_block([found], joined([part], names), feature_names=["x", "y", "z"], fields=fields, keys=("a",), keeping=keeping)
        return [{**row, "id": ""} for row in rows_of(told)]

    for keeping in (Keeping(), Keeping(left_out=frozenset({"b"}), changes={"d": "<{}>".format}, features_left_out=frozenset({"x"}))):
        assert block(rows, keeping) == [row for first in range(0, 120, 8) for row in block(rows[first : first + 8], keeping)]


def test_volumes_count_rows_that_came_in_requests_of_their_own_as_such() -> None:
    volumes = Volumes()
    volumes.add([scored(ROWS, at=[7, 8], latency_us=[10, 30], caller=["ana", "bo"]), scored(ROWS, latency_us=[1, 2], caller="ana")])

    rows = {row["caller"]: row for row in rows_of(volumes.take(60_000))}

    assert (rows["ana"]["requests"], rows["ana"]["rows"], rows["ana"]["latency_us_sum"], rows["ana"]["latency_us_max"]) == (3, 3, 13, 10)
    assert (rows["bo"]["requests"], rows["bo"]["rows"], rows["bo"]["latency_us_max"], rows["bo"]["at"]) == (1, 1, 30, 7)


def test_a_number_no_float_holds_exactly_is_rounded_and_stops_nothing() -> None:
    assert lay_out([{**ROWS[0], "order": 2**53 + 1}])["field.order"] == [float(2**53)]


def test_what_a_rule_leaves_out_or_changes_is_not_in_the_row() -> None:
    keeping = Keeping(
        left_out=frozenset({"day"}),
        changes={"shop": lambda value: f"p_{value}"},
        features_left_out=frozenset({"y"}),
        name_key=lambda key: f"k_{key}",
    )

    table = lay_out(ROWS, keeping)

    assert "field.day" not in table
    assert "feature.y" not in table
    assert table["field.shop"] == ["p_a", None]
    assert table["key"] == ["k_1", "k_2"]
    assert record_schema(["x"], FIELDS, keeping).metadata == {KEY_CHANGED: "1"}


def test_a_changed_number_is_text_in_the_log() -> None:
    schema = record_schema([], FIELDS, Keeping(changes={"order": str}))

    assert {one.name: one.type for one in schema.fields}["field.order"] == "utf8"


def test_a_share_of_the_keys_is_kept_the_same_ones_each_time() -> None:
    rows = [{**ROWS[0], "order": n} for n in range(2000)]

    kept = lay_out(rows, Keeping(share=0.25))["key"]

    assert kept == lay_out(rows, Keeping(share=0.25))["key"]
    assert 400 < len(kept) < 600


def test_a_remembered_change_is_computed_once_a_value_within_bounds() -> None:
    asked: list[Any] = []

    def change(value: Any) -> str:
        asked.append(value)
        return f"<{value}>"

    remembered = Remembered(change)

    assert [remembered(value) for value in ("a", "b", "a")] == ["<a>", "<b>", "<a>"]
    assert asked == ["a", "b"]


def test_volumes_count_requests_rows_and_refusals_by_caller_and_version() -> None:
    volumes = Volumes()
    volumes.add([scored(ROWS, caller="ana", latency_us=10), scored(ROWS[:1], caller="ana", latency_us=30), scored(ROWS, caller="bo")])
    volumes.refuse("bo", 7)

    rows = {(row["caller"], row["version"]): row for row in rows_of(volumes.take(60_000))}

    assert {key: (row["requests"], row["rows"], row["refused"]) for key, row in rows.items()} == {
        ("ana", "m@v1"): (2, 3, 0),
        ("bo", "m@v1"): (1, 2, 0),
        ("bo", ""): (1, 0, 1),
    }
    assert (rows["ana", "m@v1"]["latency_us_sum"], rows["ana", "m@v1"]["latency_us_max"]) == (40, 30)
    assert {(row["at"], row["until"]) for row in rows.values()} == {(5, 60_000)}
    assert not volumes


def test_endless_callers_are_counted_together() -> None:
    volumes = Volumes()
    for n in range(MOST_CALLERS + 50):
        volumes.refuse(f"caller {n}", 0)

    counted = rows_of(volumes.take(1))

    assert len(counted) == MOST_CALLERS + 1
    assert [row["requests"] for row in counted if row["caller"] == OTHERS] == [50]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_ends_of_a_share_keep_nothing_and_everything(share: float) -> None:
    assert len(lay_out(ROWS, Keeping(share=share))["id"]) == 2 * share


def test_of_several_classes_the_row_has_each_chance_the_answer_and_its_chance() -> None:
    one = scored(ROWS, scores=np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]]))

    table = read(
        record_block([one], joined([one.rows], NAMES), feature_names=["x", "y"], fields=FIELDS, keys=("order",), classes=("a", "b", "c"))
    )

    assert table["answer"] == ["b", "a"]
    assert table["score"] == [0.7, 0.5]
    assert (table["score.a"], table["score.c"]) == ([0.1, 0.5], [0.2, 0.3])


def test_rows_of_every_form_lie_in_the_log_alike_and_in_order() -> None:
    kinds = row_type({name: (kind, True) for name, kind in FIELDS})
    typed = [msgspec.convert({**row, "day": None}, kinds) for row in ROWS]
    columns = ColumnRows({"order": np.array([3.0, np.nan]), "shop": ["c", "d"], "gift": [False, None]}, 2)
    given = [scored(ROWS), scored(typed), scored(typed[:1]), scored(columns)]

    table = read(record_block(given, joined([one.rows for one in given], NAMES), feature_names=["x", "y"], fields=FIELDS, keys=("order",)))

    assert table["field.order"] == [1.0, 2.0, 1.0, 2.0, 1.0, 3.0, None]
    assert table["field.shop"] == ["a", None, "a", None, "a", "c", "d"]
    assert table["field.gift"] == [True, None, True, None, True, False, None]
    assert table["field.day"] == ["2013-01-01", "1357084800000", None, None, None, None, None]
    assert table["key"] == ["1", "2", "1", "2", "1", "3", ""]
