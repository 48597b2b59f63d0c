"""Typed rows of a view of plain columns give the same matrix as the view's program gives for rows as they came."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import ParameterError
from sampan.features import Columns, Label, flag, moment, number, text, view
from sampan.features.encoding import Means, fit
from sampan.features.expressions import col
from sampan.features.fitted import FittedView
from sampan.features.online import OnlineView
from sampan.features.view import feature
from sampan.table.arrow_blocks import Ascii, Coded
from sampan.table.rows import ColumnRows, columns_of, row_type

ORDERS = Columns(at=moment(), get=text(), size=number(), new=flag(), late=flag(later=True), done=moment(later=True))
VIEW = view(
    "plain",
    on="orders",
    columns=ORDERS,
    key=["at"],
    moment=ORDERS.at,
    label=Label(ORDERS.late, known_at=ORDERS.done),
    features={
        "shop": feature(col("get", "text"), encode=Means()),
        "amount": ORDERS.size,
        "is_new": ORDERS.new,
        "shop_code": col("get", "text"),
    },
)
SHOPS = pl.Series(["a", "b", "a", None])
FITTED = FittedView(
    VIEW, {item.name: fit(item.encoding, SHOPS, pl.Series([1.0, 0.0, 0.0, 1.0])) for item in VIEW.features if item.encoding is not None}
)
ONLINE = OnlineView.of(FITTED, {})
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
ROWS = st.fixed_dictionaries(
    {"at": st.just(5), "get": st.none() | st.sampled_from(["a", "b", "c", "é"]), "size": NUMBERS, "new": st.none() | st.booleans()}
)


@given(st.lists(ROWS, min_size=1, max_size=20))
def test_typed_rows_give_the_same_matrix_bit_for_bit(rows: list[dict[str, Any]]) -> None:
    typed = msgspec.json.decode(msgspec.json.encode(rows), type=list[ONLINE.row_type])  # type: ignore[name-defined]

    np.testing.assert_array_equal(ONLINE.matrix(rows), ONLINE.matrix(typed))
    assert [dict(row) for row in typed] == rows


@given(st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=9))
def test_texts_give_the_same_matrix_in_whichever_form_they_are_held(texts: list[str]) -> None:
    n = len(texts)
    others = {"at": np.full(n, 5.0), "size": np.arange(n, dtype=np.float32), "new": np.arange(n) % 2 == 0}
    forms = [texts, Ascii([text.encode() for text in texts]), Coded.of(texts)]
    held = [ColumnRows({"at": others["at"], "get": form, "size": others["size"], "new": others["new"]}, n) for form in forms]

    plain, *found = [ONLINE.matrix(rows) for rows in held]
    for rows in held:
        rows.compact()

    for matrix in found:
        np.testing.assert_array_equal(plain, matrix)
    assert [texts] * 3 == [list(rows.columns["get"]) for rows in held]


@given(st.lists(ROWS, min_size=1, max_size=20))
def test_a_dict_of_known_types_gives_the_same_as_a_typed_row(rows: list[dict[str, Any]]) -> None:
    alone = OnlineView.of(FITTED, {})
    typed = msgspec.json.decode(msgspec.json.encode(rows), type=list[ONLINE.row_type])  # type: ignore[name-defined]

    for row, one in zip(rows, typed, strict=True):
        first, second = alone.matrix([row]), alone.matrix([row])  # by the second time its types are known

        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(second, ONLINE.matrix([one]))


@pytest.mark.parametrize("size", [float("inf"), -float("inf"), float("nan"), 1e300, None])
def test_a_number_that_float32_does_not_hold_is_missing_however_often_it_comes(size: float | None) -> None:
    alone = OnlineView.of(FITTED, {})
    row = {"at": 5, "get": "a", "size": 1.0, "new": True}

    found = [alone.matrix([each])[0, 1] for each in (row, row, {**row, "size": size}, {**row, "size": size}, row)]

    np.testing.assert_array_equal(found, [1, 1, np.nan, np.nan, 1])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"size": True}, "field 'size' is True, expected a number"),
        ({"size": 10**400}, "field 'size' is 1000"),
        ({"get": 5}, "field 'get' is 5, expected text"),
        ({"extra": 1}, "unexpected field 'extra'"),
    ],
)
def test_rows_that_do_not_fit_are_refused_after_rows_that_do(changed: dict[str, Any], said: str) -> None:
    alone = OnlineView.of(FITTED, {})
    row = {"at": 5, "get": "a", "size": 1, "new": True}
    alone.matrix([row])

    for wrong in ({**row, **changed}, {**row, **changed}):
        with pytest.raises(ParameterError, match="row 0: " + said):
            alone.matrix([wrong])
    with pytest.raises(ParameterError, match="field 'new' is missing"):
        alone.matrix([{name: value for name, value in row.items() if name != "new"}])


@given(st.lists(ROWS, min_size=1, max_size=20))
def test_columns_made_compact_read_as_they_did_and_give_the_same_matrix(rows: list[dict[str, Any]]) -> None:
    held = columns_of(msgspec.json.decode(msgspec.json.encode(rows), type=list[ONLINE.row_type]))  # type: ignore[name-defined]

    before = ONLINE.matrix(held)
    held.compact(but=["at"])

    assert list(held) == [{**row, "size": None if row["size"] is None else float(row["size"])} for row in rows]
    np.testing.assert_array_equal(before, OnlineView.of(FITTED, {}).matrix(held))  # of another type of row: looked at anew
    assert list(held.take([0])) == list(held)[:1]


@given(st.lists(ROWS, min_size=1, max_size=20))
def test_columns_give_the_same_matrix_as_their_rows(rows: list[dict[str, Any]]) -> None:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    arrays = {**columns, "size": np.array(columns["size"], np.float64)}

    np.testing.assert_array_equal(ONLINE.matrix(rows), ONLINE.matrix(ColumnRows(columns, len(rows))))
    np.testing.assert_array_equal(ONLINE.matrix(rows), ONLINE.matrix(ColumnRows(arrays, len(rows))))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"at": [5], "get": ["a"], "size": [1]}, "field 'new' is missing"),
        ({"at": [5], "get": ["a"], "size": [1], "new": [True], "more": [1]}, "unexpected field 'more'"),
        ({"at": [5], "get": ["a"], "size": np.array([True]), "new": [True]}, "field 'size' is True, expected a number"),
        ({"at": [5], "get": np.array([1.5]), "size": [1], "new": [True]}, "field 'get' is 1.5, expected text"),
    ],
)
def test_columns_that_do_not_fit_are_told_like_rows(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        ONLINE.matrix(ColumnRows(columns, 1))


def test_a_typed_row_reads_like_the_mapping_it_stands_for() -> None:
    kind = row_type({"get": ("text", True), "a b": ("number", False)})
    row = msgspec.json.decode(b'{"a b": 1, "get": null}', type=kind)

    assert dict(row) == {"get": None, "a b": 1}
    assert (row["a b"], row.get("get", 7), row.get("no", 7), "get" in row, len(row)) == (1, None, 7, True, 2)


@pytest.mark.parametrize(
    "body",
    ['{"get": "x"}', '{"get": "x", "a b": null}', '{"get": "x", "a b": true}', '{"get": 1, "a b": 2}', '{"get": "x", "a b": 1, "c": 2}'],
)
def test_a_row_that_is_not_of_the_type_is_refused_by_decoding_it(body: str) -> None:
    kind = row_type({"get": ("text", True), "a b": ("number", False)})

    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=kind)


def test_rows_held_as_columns_read_like_rows() -> None:
    rows = ColumnRows({"x": np.array([1.5, np.nan]), "n": np.array([1, 2]), "t": ["a", None]}, 2)

    assert list(rows) == [rows[0], rows[1]] == [{"x": 1.5, "n": 1, "t": "a"}, {"x": None, "n": 2, "t": None}]
    assert list(rows[1:]) == [rows[-1]]
    assert (rows.column("x"), rows.column("y")) == ([1.5, None], [None, None])
