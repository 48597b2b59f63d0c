"""Online tables revised by what differs between versions: the same values as tables indexed anew, and as in batch, after any edits."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.errors import IntegrityError
from sampan.features import Columns, Label, as_of, lookup, moment, number, past, planned, text, view
from sampan.features.held_keys import HeldKeys
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


def _frame(name: str, rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMAS[name], orient="row")


def _frames(tables: Tables) -> dict[str, pl.DataFrame]:
    return {name: _frame(name, rows) for name, rows in tables.items()}


def _edited(tables: Tables, edit: dict[str, Any]) -> tuple[Tables, dict[str, TableChange]]:
    edited, changes = dict(tables), {}
    for name, (places, come, come_last) in edit.items():
        kept = [row for place, row in enumerate(tables[name]) if place not in places]
        gone = [row for place, row in enumerate(tables[name]) if place in places]
        edited[name] = [*kept, *come] if come_last else [*come, *kept]
        changes[name] = TableChange(_frame(name, gone), _frame(name, come), come_last)
    return edited, changes


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(first=TABLES, edits=st.lists(EDIT, min_size=1, max_size=3), cut=st.integers(-1, 11), fed=st.lists(ROWS["weather"], max_size=2))
def test_revised_tables_give_the_values_of_tables_indexed_anew(first: Tables, edits: list[Any], cut: int, fed: list[Any]) -> None:
    first["visits"].append((99, "s1", 0, 1.0, 0, 0))  # there is a label to learn from
    frames, until = _frames(first), cut * HOUR // 2
    fitted = VIEW.fit(VIEW.batch(frames))
    online = fitted.online(VIEW.online_tables(frames, until), known_until=until)
    asked = [{"id": 1, "shop": shop, "at": at * HOUR // 2} for shop in (None, "s1", "s2") for at in (-1, 0, 3, 7, 11)]
    for edit in edits:
        first, changes = _edited(first, edit)
        after = _frames(first)
        renewal = online.revised(changes, before=frames, after={name: frame.lazy() for name, frame in after.items()})
        online.feed("weather", _frame("weather", fed).to_dicts())  # of the tables in use, not of those that follow
        before = online.matrix(asked)

        anew = fitted.online(VIEW.online_tables(after, until))
        anew.renewed(after).install()
        np.testing.assert_array_equal(before, online.matrix(asked), "not in use before it is installed")
        renewal.install()
        np.testing.assert_array_equal(anew.matrix(asked), online.matrix(asked))
        frames = after
    if not frames["visits"].is_empty():
        requests = frames["visits"].select(list(VIEW.request_schema())).to_dicts()
        np.testing.assert_array_equal(fitted.matrix(VIEW.batch(frames)), online.matrix(requests))


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(TABLES, EDIT, st.lists(ROWS["visits"], min_size=1, max_size=3))
def test_what_a_revised_version_holds_counts_once_and_what_it_does_not_hold_counts(first: Tables, edit: Any, fed: list[Any]) -> None:
    first["visits"].append((99, "s1", 0, 1.0, 0, 0))
    frames = _frames(first)
    fitted = VIEW.fit(VIEW.batch(frames))
    online = fitted.online(VIEW.online_tables(frames, 0), known_until=0)
    anew = fitted.online(VIEW.online_tables(frames, 0), known_until=0)
    for target in (online, anew):
        target.renewed(frames).install()
    edited, changes = _edited(first, edit)
    after = _frames(edited)
    outcomes = _frame("visits", fed).select(VIEW.feed_columns()).to_dicts()

    for renewal in (revised := online.revised(changes, before=frames, after=after), renewed := anew.renewed(after)):
        renewal.feed("visits", outcomes)
    revised.install()
    renewed.install()

    asked = [{"id": 1, "shop": shop, "at": 9 * HOUR} for shop in (None, "s1", "s2")]
    np.testing.assert_array_equal(anew.matrix(asked), online.matrix(asked))


def test_a_change_of_other_tables_than_those_in_use_is_refused() -> None:
    frames = _frames({"visits": [(1, "s1", 0, 1.0, 0, 0)], "shops": [], "weather": [], "openings": []})
    online = VIEW.fit(VIEW.batch(frames)).online(VIEW.online_tables(frames, 0))
    other = _frame("visits", [(2, "s2", 0, 1.0, 0, 0)])

    with pytest.raises(IntegrityError, match="never here"):
        online.revised({"visits": TableChange(other, other.clear(), come_last=True)}, before=frames, after=frames)


@given(st.lists(st.integers(0, 5)), st.lists(st.integers(0, 5)), st.lists(st.integers(0, 5)))
def test_held_keys_lose_one_of_each_that_goes(first: list[int], gone: list[int], come: list[int]) -> None:
    held = HeldKeys([(key,) for key in first]).revised([(key,) for key in gone], [(key,) for key in come])
    left = list(first)
    for key in gone:
        if key in left:
            left.remove(key)

    assert [(key,) in held for key in range(6)] == [key in [*left, *come] for key in range(6)]
