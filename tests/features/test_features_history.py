"""Running sums, newest rows and references, fed and as later versions have them, against the plainest computation."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import IntegrityError
from sampan.features.history import Layers, Newest, References, Running

Event = tuple[str, float, int]
_EVENTS = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 8).map(float), st.integers(-5, 5)), max_size=12)
_SERIES = st.dictionaries(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 5).map(float)), st.integers(), max_size=20)


def _by_key(events: list[Event]) -> dict[str, list[tuple[float, int]]]:
    return {key: sorted((time, units) for k, time, units in events if k == key) for key in {key for key, _, _ in events}}


def _running(events: list[Event]) -> Running:
    found = ((key, [time for time, _ in series], [units for _, units in series]) for key, series in _by_key(events).items())
    return Running([None, 3.0], found)


def _summed(events: list[Event], key: str, at: float) -> tuple[int, ...]:
    everything = [units for k, time, units in events if k == key and time <= at]
    window = [units for k, time, units in events if k == key and at - 3.0 < time <= at]
    return sum(everything), len(everything), sum(window), len(window)


@given(first=_EVENTS, fed=_EVENTS, at=st.integers(-1, 10).map(float))
def test_sums_are_those_of_the_events_in_the_window_in_whatever_order_they_came(first: list[Event], fed: list[Event], at: float) -> None:
    running = _running(first)
    running.add_all(fed)

    found = running.fetch(["a", "b"], [at, at])

    assert [_summed(first + fed, "a", at), _summed(first + fed, "b", at)] == found


@given(versions=st.lists(_EVENTS, min_size=1, max_size=5), fed=_EVENTS, at=st.integers(-1, 10).map(float))
def test_sums_of_a_later_version_are_those_of_its_events_alone(versions: list[list[Event]], fed: list[Event], at: float) -> None:
    kept = [_running(versions[0])]
    for before, after in pairwise(versions):
        gone, come = Counter(before) - Counter(after), Counter(after) - Counter(before)
        kept[-1].add_all(fed)  # what is fed to one version is not in the next
        kept.append(kept[-1].revised(_by_key(list(gone.elements())), _by_key(list(come.elements()))))

    for running, events in zip(kept[:-1], versions, strict=False):
        assert [_summed(events + fed, key, at) for key in "ab"] == running.fetch("ab", [at, at])
    assert [_summed(versions[-1], key, at) for key in "ab"] == kept[-1].fetch("ab", [at, at])


def test_events_that_were_never_there_cannot_go() -> None:
    with pytest.raises(IntegrityError, match="events of 'a'"):
        _running([("a", 1.0, 2)]).revised({"a": [(1.0, 3)]}, {})


@given(
    rows=st.lists(st.tuples(st.integers(0, 8).map(float), st.integers()), max_size=12),
    at=st.integers(-1, 12).map(float),
    cut=st.integers(0, 12),
)
def test_the_newest_row_is_found_in_whatever_order_rows_came(rows: list[tuple[float, int]], at: float, cut: int) -> None:
    made = [("k", time, (value,)) for time, value in rows]
    newest = Newest(made[:cut], (None,), tolerance_ms=2.0)
    newest.add_all(made[cut:])

    found = newest.fetch(["k", "other", None], [at, at, at])

    last = {time: value for time, value in rows if at - 2.0 <= time <= at}
    assert found == [(last[max(last)] if last else None,), (None,), (None,)]


@given(versions=st.lists(_SERIES, min_size=1, max_size=5), at=st.integers(-1, 7).map(float))
def test_the_newest_row_of_a_later_version_is_one_of_its_own(versions: list[dict[tuple[str, float], int]], at: float) -> None:
    made = Newest([(key, time, (value,)) for (key, time), value in versions[0].items()], (None,), tolerance_ms=2.0)
    rows = References([(slot, (value,)) for slot, value in versions[0].items()], (None,))
    for before, after in pairwise(versions):
        made.add_all([("a", 3.0, ("fed",))])
        rows.add_all([(("a", 3.0), ("fed",))])
        changes = {
            slot: (after[slot],) if slot in after else None for slot in before.keys() | after.keys() if before.get(slot) != after.get(slot)
        }
        made, rows = made.revised(changes), rows.revised(changes)

    last = versions[-1]
    assert isinstance(made.layers, Layers)
    assert isinstance(rows.layers, Layers)
    for key in "abcdefgh":
        seen = {time: value for (k, time), value in last.items() if k == key and at - 2.0 <= time <= at}
        assert (seen[max(seen)] if seen else None,) == made.one(key, at)
    assert {slot: (value,) for slot, value in last.items()} == dict(rows.layers.items())
    assert {(key, time, value) for key, series in made.layers.items() for time, value in zip(series.times, series.values, strict=True)} == {
        (key, time, (value,)) for (key, time), value in last.items()
    }
    assert [slot in rows for slot in last] == [True] * len(last)
