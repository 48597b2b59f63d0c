"""Running sums and newest rows, against the plainest computation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sampan.features.history import Newest, Running

_EVENTS = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 8).map(float), st.integers(-5, 5)), max_size=12)


@given(first=_EVENTS, fed=_EVENTS, at=st.integers(-1, 10).map(float))
def test_sums_are_those_of_the_events_in_the_window_in_whatever_order_they_came(
    first: list[tuple[str, float, int]], fed: list[tuple[str, float, int]], at: float
) -> None:
    running = Running([None, 3.0])
    for key in {key for key, _, _ in first}:
        events = sorted((time, units) for k, time, units in first if k == key)
        running.extend(key, [time for time, _ in events], [units for _, units in events])
    running.add_all(fed)

    found = running.fetch(["a", "b"], [at, at])

    for key, row in zip(["a", "b"], found, strict=True):
        everything = [units for k, time, units in first + fed if k == key and time <= at]
        window = [units for k, time, units in first + fed if k == key and at - 3.0 < time <= at]
        assert row == (sum(everything), len(everything), sum(window), len(window))


@given(rows=st.lists(st.tuples(st.integers(0, 8).map(float), st.integers()), max_size=12), at=st.integers(-1, 12).map(float))
def test_the_newest_row_is_found_in_whatever_order_rows_came(rows: list[tuple[float, int]], at: float) -> None:
    newest = Newest((None,), tolerance_ms=2.0)
    newest.add_all(("k", time, (value,)) for time, value in rows)

    found = newest.fetch(["k", "other", None], [at, at, at])

    last = {time: value for time, value in rows if at - 2.0 <= time <= at}
    assert found == [(last[max(last)] if last else None,), (None,), (None,)]
