"""Random expressions of the feature language and rows to evaluate them on; tests draw from here."""

from __future__ import annotations

from functools import cache

import polars as pl
from hypothesis import strategies as st

from sampan.features import Columns, Expr, concat, constant, maximum, minimum, moment, number, text, where
from sampan.features.nodes import Kind

ZONES = ["UTC", "America/New_York", "Australia/Lord_Howe"]
ROW = Columns(a=number(), b=number(), t=text(), u=text(), m=moment(), k=moment())
NUMBERS = st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.0, 0.1, -3.0, 1e300, float("nan"), float("inf")]), st.floats(width=64))
TEXTS = st.sampled_from([None, "", "A", "B", "JFK", "é"])
MOMENTS = st.one_of(st.none(), st.integers(1_325_376_000_000, 1_420_070_400_000))
CONSTANTS = st.sampled_from([0.0, 1.0, -2.0, 0.1, 3.0, 1e-3, 7.0])


@cache
def expressions(kind: Kind, depth: int) -> st.SearchStrategy[Expr]:
    """Draw expressions of a kind, at most so deep."""
    leaves: dict[Kind, list[st.SearchStrategy[Expr]]] = {
        "number": [st.sampled_from([ROW.a, ROW.b]), CONSTANTS.map(constant)],
        "text": [st.sampled_from([ROW.t, ROW.u]), st.sampled_from(["A", "x"]).map(constant)],
        "moment": [st.sampled_from([ROW.m, ROW.k])],
        "flag": [st.booleans().map(constant), st.sampled_from([ROW.a > 0, ROW.t == "A"])],
    }
    if depth == 0:
        return st.one_of(leaves[kind])
    num, txt, mom, flg = (expressions(k, depth - 1) for k in ("number", "text", "moment", "flag"))
    either = st.one_of(st.tuples(num, num), st.tuples(txt, txt), st.tuples(mom, mom))
    makers: dict[Kind, list[st.SearchStrategy[Expr]]] = {
        "number": [
            st.builds(lambda op, x, y: op(x, y), st.sampled_from(BINARY), num, num),
            st.builds(lambda op, x: op(x), st.sampled_from(UNARY), num),
            st.builds(lambda part, zone, x: getattr(x, part)(zone), st.sampled_from(_PARTS), st.sampled_from(ZONES), mom),
            st.builds(where, flg, num, num),
            st.builds(lambda x, y: (x - y) / 1000, mom, mom),
        ],
        "text": [st.builds(concat, txt, txt), st.builds(where, flg, txt, txt), st.builds(lambda x, y: x.fill(y), txt, txt)],
        "moment": [
            st.builds(lambda x, n: x + n * 60_000, mom, st.integers(-10_000, 10_000)),
            st.builds(where, flg, mom, mom),
            st.builds(lambda x, y: x.fill(y), mom, mom),
            st.builds(maximum, mom, mom),
        ],
        "flag": [
            st.builds(lambda op, x, y: op(x, y), st.sampled_from(_COMPARE), num, num),
            st.builds(lambda op, x, y: op(x, y), st.sampled_from(_COMPARE), mom, mom),
            st.builds(lambda pair, same: pair[0] == pair[1] if same else pair[0] != pair[1], either, st.booleans()),
            st.builds(lambda x, y, both: x & y if both else x | y, flg, flg, st.booleans()),
            st.builds(lambda x: ~x, flg),
            st.builds(lambda pair: pair[0].is_missing(), either),
            st.builds(lambda x: x.isin(["A", ""]), txt),
            st.builds(lambda x: x.isin([0, 0.1]), num),
        ],
    }
    return st.one_of(leaves[kind] + makers[kind])


BINARY = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x / y,
    lambda x, y: x % y,
    lambda x, y: x.fill(y),
    minimum,
    maximum,
]
UNARY = [
    lambda x: -x,
    abs,
    lambda x: x.floor(),
    lambda x: x.sqrt(),
    lambda x: x.log1p(),
    lambda x: x.sin(),
    lambda x: x.cos(),
    lambda x: x.cut([-1, 0, 0.1, 5]),
    lambda x: x.distance_to([-5, 0.1, 100]),
]
_PARTS = ["hour", "minute_of_day", "weekday", "month", "day_of_year", "local_day"]
_COMPARE = [lambda x, y: x < y, lambda x, y: x <= y, lambda x, y: x > y, lambda x, y: x >= y, lambda x, y: x == y, lambda x, y: x != y]
ROWS = st.lists(
    st.fixed_dictionaries({"a": NUMBERS, "b": NUMBERS, "t": TEXTS, "u": TEXTS, "m": MOMENTS, "k": MOMENTS}), min_size=1, max_size=9
)
SCHEMA = {"a": pl.Float64, "b": pl.Float64, "t": pl.String, "u": pl.String, "m": pl.Int64, "k": pl.Int64}
