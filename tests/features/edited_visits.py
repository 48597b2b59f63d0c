"""A view that looks things up in every way, tables for it, and edits of them: for tests of online tables that follow versions."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import strategies as st

from sampan.features import Columns, Label, as_of, lookup, moment, number, past, planned, text, view
from sampan.features.revising import TableChange

HOUR = 3_600_000
VISITS = Columns(
    id=number(nullable=False), shop=text(), at=moment(), spent=number(later=True), paid_at=moment(later=True), seen_at=moment(later=True)
)
PAID = Label(VISITS.spent, known_at=VISITS.paid_at)
REGION = lookup("shops", {"shop": VISITS.shop}, "region", kind="text")
VIEW = view(
    "visits",
    on="visits",
    columns=VISITS,
    key=["id"],
    moment=VISITS.at,
    label=PAID,
    features={
        "region": REGION,
        "size": lookup("shops", {"shop": VISITS.shop}, "size"),
        "rain": as_of("weather", {"region": REGION}, "rain", time="hour", tolerance="3h"),
        "mean_2h": past(PAID.value, by=[VISITS.shop], known_at=PAID.known_at, window="2h"),
        "n_seen": past(PAID.value, by=[VISITS.shop], known_at=VISITS.seen_at, stat="count"),
        "often": past(PAID.value > 1, by=[REGION], known_at=PAID.known_at, window="5h", stat="rate", at_least=2),
        "planned": planned("visits", {"shop": VISITS.shop}),
        "open": planned("openings", {"shop": VISITS.shop}),
    },
)
SCHEMAS: dict[str, Any] = {
    "visits": {"id": pl.Int64, "shop": pl.String, "at": pl.Int64, "spent": pl.Float64, "paid_at": pl.Int64, "seen_at": pl.Int64},
    "shops": {"shop": pl.String, "region": pl.String, "size": pl.Float64},
    "weather": {"region": pl.String, "hour": pl.Int64, "rain": pl.Float64},
    "openings": {"shop": pl.String},
}
TIMES = st.none() | st.integers(0, 10).map(lambda n: n * HOUR // 2)
SHOPS = st.sampled_from([None, "s1", "s2"])
NUMBERS = st.none() | st.sampled_from([0.1, 1.0, 2.5, -7.0])
REGIONS = st.sampled_from([None, "north", "south"])
ROWS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "visits": st.tuples(st.integers(0, 9), SHOPS, TIMES, NUMBERS, TIMES, TIMES),
    "shops": st.tuples(SHOPS, REGIONS, NUMBERS),
    "weather": st.tuples(REGIONS, TIMES, NUMBERS),
    "openings": st.tuples(SHOPS),
}
TABLES = st.fixed_dictionaries({name: st.lists(row, max_size=8) for name, row in ROWS.items()})
# What of the rows of each table goes, and what comes; among the others, or behind them.
EDIT = st.fixed_dictionaries(
    {}, optional={name: st.tuples(st.sets(st.integers(0, 8)), st.lists(row, max_size=4), st.booleans()) for name, row in ROWS.items()}
)
Tables = dict[str, list[tuple[Any, ...]]]


def frame_of(name: str, rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMAS[name], orient="row")


def frames_of(tables: Tables) -> dict[str, pl.DataFrame]:
    return {name: frame_of(name, rows) for name, rows in tables.items()}


def edited(tables: Tables, edit: dict[str, Any]) -> tuple[Tables, dict[str, TableChange]]:
    after, changes = dict(tables), {}
    for name, (places, come, come_last) in edit.items():
        kept = [row for place, row in enumerate(tables[name]) if place not in places]
        gone = [row for place, row in enumerate(tables[name]) if place in places]
        after[name] = [*kept, *come] if come_last else [*come, *kept]
        changes[name] = TableChange(frame_of(name, gone), frame_of(name, come), come_last)
    return after, changes
