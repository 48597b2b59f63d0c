"""Batch and online agree to the last bit: random expressions, random data, random feeds; and neither sees the future."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from drawn_expressions import ROW, ROWS, SCHEMA, TEXTS, UNARY, expressions

from sampan.features import (
    Columns,
    Expr,
    Label,
    Means,
    View,
    as_of,
    col,
    feature,
    lookup,
    moment,
    number,
    past,
    planned,
    text,
    view,
    view_tables,
)
from sampan.features.batch import Batch
from sampan.features.online import OnlineView
from sampan.features.program import Program
from sampan.features.requests import Reader


def _bits(values: Any, n: int) -> list[Any]:
    """Return floats as bits (one NaN for all, one zero for both), text as it is."""
    if isinstance(values, list):
        return values
    return np.where(np.isnan(values), np.nan, np.broadcast_to(values, n) + 0.0).view(np.int64).tolist()


@settings(max_examples=150, deadline=None)
@given(expr=st.sampled_from(["number", "text", "moment", "flag"]).flatmap(lambda kind: expressions(kind, 3)), rows=ROWS)
def test_random_expressions_are_the_same_in_batch_and_online_for_any_number_of_rows(expr: Expr, rows: list[dict[str, Any]]) -> None:
    batch = Batch({"rows": pl.DataFrame(rows, schema=SCHEMA)}, "rows", {name: spec.type for name, spec in ROW.items()})
    column = batch.evaluate({"answer": expr.node})["answer"]
    expected = column.to_list() if expr.kind == "text" else _bits(column.fill_null(float("nan")).to_numpy(), len(rows))
    reader = Reader(ROW, needed=list(ROW), exact=True)
    program = Program([expr.node])

    together = _bits(program.run(reader.read(rows), len(rows))[0], len(rows))
    alone = [_bits(program.run(reader.read([row]), 1)[0], 1)[0] for row in rows]

    assert expected == together == alone


HOUR = 3_600_000
VISITS = Columns(
    id=number(nullable=False),
    shop=text(),
    buyer=number(),
    at=moment(),
    spent=number(later=True),
    paid_at=moment(later=True),
)
PAID = Label(VISITS.spent, known_at=VISITS.paid_at)


def _visits_view() -> View:
    """Define a view that fetches in every way, nested lookups included."""
    region = lookup("shops", {"shop": VISITS.shop}, "region", kind="text")
    return view(
        "visits",
        on="visits",
        columns=VISITS,
        key=["id"],
        moment=VISITS.at - HOUR,
        label=PAID,
        features={
            "region": region,
            "size": lookup("shops", {"shop": VISITS.shop}, "size"),
            "temperature": as_of("weather", {"region": region}, "temperature", time="hour", tolerance="3h"),
            "sky": feature(
                as_of("weather", {"region": region}, "sky", time="hour", tolerance="3h", kind="text"), encode=Means(smoothing=1)
            ),
            "mean_2h": past(PAID.value, by=[VISITS.shop], known_at=PAID.known_at, window="2h"),
            "sum_5h": past(PAID.value, by=[VISITS.shop], known_at=PAID.known_at, window="5h", stat="sum"),
            "n_all": past(PAID.value, by=[VISITS.shop], known_at=PAID.known_at, stat="count"),
            "often": past(PAID.value > 1, by=[region, VISITS.buyer], known_at=PAID.known_at, window="5h", stat="rate", at_least=2),
            "planned": planned("visits", {"shop": VISITS.shop, "at": VISITS.at}),
        },
    )


_TIMES = st.one_of(st.none(), st.integers(0, 12).map(lambda n: n * HOUR // 2))  # few values: many ties
_SPENT = st.one_of(st.none(), st.sampled_from([0.1, 0.2, 0.3, 1.0, 2.5, -7.0, 1e9]))
_VISITS = st.lists(
    st.tuples(st.sampled_from([None, "s1", "s2", "s3"]), st.sampled_from([None, 1.0, 2.0]), _TIMES, _SPENT, _TIMES), min_size=1, max_size=14
).map(
    lambda found: pl.DataFrame(
        [(i, *row) for i, row in enumerate(found)],
        schema={"id": pl.Int64, "shop": pl.String, "buyer": pl.Float64, "at": pl.Int64, "spent": pl.Float64, "paid_at": pl.Int64},
        orient="row",
    )
)
_SHOPS = st.lists(st.tuples(st.sampled_from(["s1", "s2"]), st.sampled_from([None, "north", "south"]), _SPENT), max_size=3).map(
    lambda found: pl.DataFrame(found, schema={"shop": pl.String, "region": pl.String, "size": pl.Float64}, orient="row")
)
_WEATHER = st.lists(st.tuples(st.sampled_from(["north", "south"]), _TIMES, _SPENT, TEXTS), max_size=8).map(
    lambda found: pl.DataFrame(
        found, schema={"region": pl.String, "hour": pl.Int64, "temperature": pl.Float64, "sky": pl.String}, orient="row"
    )
)
_ONE_LABEL = pl.DataFrame(
    {"id": [-1], "shop": ["s9"], "buyer": [9.0], "at": [0], "spent": [1.0], "paid_at": [0]}, schema_overrides={"at": pl.Int64}
)


@settings(max_examples=60, deadline=None)
@given(visits=_VISITS, shops=_SHOPS, weather=_WEATHER, cut=st.integers(-1, 14), rng=st.randoms(use_true_random=False))
def test_requests_in_time_with_feeds_in_any_order_meet_the_batch(
    visits: pl.DataFrame, shops: pl.DataFrame, weather: pl.DataFrame, cut: int, rng: Any
) -> None:
    visits = pl.concat([visits, _ONE_LABEL])
    tables = {"visits": visits, "shops": shops, "weather": weather}
    built, until = _visits_view(), cut * HOUR // 2
    frame = view_tables.batch(built, tables)
    fitted = view_tables.fit(built, frame)
    online = OnlineView.of(fitted, view_tables.online_tables(built, tables, until))
    later = [row for row in visits.to_dicts() if row["paid_at"] is None or row["paid_at"] > until]
    rng.shuffle(later)
    for outcome in later:
        online.feed("visits", [outcome])
    # Weather of one hour replaces what was there, so its order is part of the data.
    for newer in weather.filter(pl.col("hour") > until).to_dicts():
        online.feed("weather", [newer])
    requests = visits.select(list(built.request_schema())).to_dicts()

    together = online.matrix(requests)
    alone = np.concatenate([online.matrix([row]) for row in requests])

    np.testing.assert_array_equal(fitted.matrix(frame), together)
    np.testing.assert_array_equal(together, alone)


@settings(max_examples=60, deadline=None)
@given(visits=_VISITS, shops=_SHOPS, weather=_WEATHER, moment_of=st.integers(0, 13), spoil=st.sampled_from([-5.0, 1e6]))
def test_changing_anything_that_becomes_known_later_changes_no_feature(
    visits: pl.DataFrame, shops: pl.DataFrame, weather: pl.DataFrame, moment_of: int, spoil: float
) -> None:
    visits = visits.head(moment_of + 1)
    row = visits.height - 1
    built = _visits_view()
    tables = {"visits": visits, "shops": shops, "weather": weather}
    before = view_tables.batch(built, tables)
    now = before["__moment"][row]
    if now is None:
        now = -1
    later = pl.col("paid_at") > now
    changed = {
        "visits": visits.with_columns(spent=pl.when(later).then(spoil).otherwise("spent")),
        "shops": shops,
        "weather": weather.with_columns(
            temperature=pl.when(pl.col("hour") > now).then(spoil).otherwise("temperature"),
            sky=pl.when(pl.col("hour") > now).then(pl.lit("spoiled")).otherwise("sky"),
        ),
    }
    names = [f.name for f in built.features]

    assert before[row].select(names).equals(view_tables.batch(built, changed)[row].select(names))


def test_col_alone_needs_no_declaration() -> None:
    batch = Batch({"t": pl.DataFrame({"x": [1, None]})}, "t", {"x": "number"})

    assert batch.evaluate({"y": (col("x") * 2).node})["y"].to_list() == [2.0, None]


def test_thousands_of_numbers_are_the_same_to_the_last_bit_in_every_numeric_operation() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=20_000) * 1e3, rng.lognormal(sigma=3, size=20_000)
    fields = {"a": number(), "b": number()}
    x, y = col("a"), col("b")
    tried = {"third": x / 3, "tenth": x / 0.1, "inverse": 1 / y, "ratio": x / y, "mod": x % 7, "mix": (x * 0.1 + y) / (y - x)}
    tried |= {f"unary{i}": op(x) for i, op in enumerate(UNARY)} | {f"positive{i}": op(y) for i, op in enumerate(UNARY)}
    nodes = {name: expr.node for name, expr in tried.items()}
    batch = Batch({"t": pl.DataFrame({"a": a, "b": b})}, "t", {"a": "number", "b": "number"}).evaluate(nodes)
    rows = [{"a": float(p), "b": float(q)} for p, q in zip(a, b, strict=True)]
    program, reader = Program(list(nodes.values())), Reader(fields, needed=list(fields), exact=True)

    together = program.run(reader.read(rows), len(rows))
    few = [program.run(reader.read(rows[i : i + 3]), 3) for i in range(0, 3_000, 3)]

    for i, name in enumerate(nodes):
        expected = _bits(batch[name].fill_null(float("nan")).to_numpy(), len(rows))
        assert expected == _bits(together[i], len(rows)), name
        assert expected[:3_000] == [bit for answers in few for bit in _bits(answers[i], 3)], name


def test_as_of_takes_the_last_row_of_a_tie_and_a_row_exactly_as_old_as_tolerated() -> None:
    columns = Columns(at=moment(), spot=text())
    built = view(
        "v",
        on="t",
        columns=columns,
        key=["at"],
        moment=columns.at,
        features={"x": as_of("w", {"spot": columns.spot}, "x", time="time", tolerance="1h")},
    )
    tables = {
        "t": pl.DataFrame({"at": [HOUR, 2 * HOUR, 2 * HOUR + 1, -1], "spot": ["s"] * 4}),
        "w": pl.DataFrame({"spot": ["s", "s", "s"], "time": [0, HOUR, HOUR], "x": [1.0, 2.0, 3.0]}),
    }
    frame = view_tables.batch(built, tables)
    fitted = view_tables.fit(built, frame)
    opened = OnlineView.of(fitted, view_tables.online_tables(built, tables, 10 * HOUR))
    fed = OnlineView.of(fitted, view_tables.online_tables(built, tables, -1))
    fed.feed("w", tables["w"].to_dicts())

    assert frame["x"].to_list() == [3.0, 3.0, None, None]
    np.testing.assert_array_equal(fitted.matrix(frame), opened.matrix(tables["t"].to_dicts()))
    np.testing.assert_array_equal(fitted.matrix(frame), fed.matrix(tables["t"].to_dicts()))


def test_a_window_takes_in_its_end_and_leaves_out_its_start() -> None:
    built = view(
        "v",
        on="visits",
        columns=VISITS,
        key=["id"],
        moment=VISITS.at,
        label=PAID,
        features={"n": past(PAID.value, by=[VISITS.shop], known_at=PAID.known_at, window="2h", stat="count")},
    )
    visits = pl.DataFrame(
        {"id": [1, 2, 3], "shop": ["s"] * 3, "buyer": [1.0] * 3, "at": [HOUR, 3 * HOUR, 3 * HOUR - 1], "spent": [1.0] * 3}
    )
    visits = visits.with_columns(paid_at=pl.Series([HOUR, 3 * HOUR, 9 * HOUR]))
    frame = view_tables.batch(built, {"visits": visits})
    online = OnlineView.of(view_tables.fit(built, frame), view_tables.online_tables(built, {"visits": visits}, 9 * HOUR))

    assert frame["n"].to_list() == [1.0, 1.0, 1.0]
    assert online.matrix(visits.select("id", "shop", "at").to_dicts()).ravel().tolist() == [1.0, 1.0, 1.0]
