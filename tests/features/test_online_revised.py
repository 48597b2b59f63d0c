"""Online tables revised by what differs between versions: the same values as tables indexed anew, and as in batch, after any edits."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

from edited_visits import EDIT, HOUR, ROWS, TABLES, VIEW, Tables, edited, frame_of, frames_of

from sampan.errors import IntegrityError
from sampan.features import view_tables
from sampan.features.held_keys import HeldKeys
from sampan.features.online import OnlineView
from sampan.features.revising import TableChange


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(first=TABLES, edits=st.lists(EDIT, min_size=1, max_size=3), cut=st.integers(-1, 11), fed=st.lists(ROWS["weather"], max_size=2))
def test_revised_tables_give_the_values_of_tables_indexed_anew(first: Tables, edits: list[Any], cut: int, fed: list[Any]) -> None:
    first["visits"].append((99, "s1", 0, 1.0, 0, 0))  # there is a label to learn from
    frames, until = frames_of(first), cut * HOUR // 2
    fitted = view_tables.fit(VIEW, view_tables.batch(VIEW, frames))
    online = OnlineView.of(fitted, view_tables.online_tables(VIEW, frames, until), known_until=until)
    asked = [{"id": 1, "shop": shop, "at": at * HOUR // 2} for shop in (None, "s1", "s2") for at in (-1, 0, 3, 7, 11)]
    for edit in edits:
        first, changes = edited(first, edit)
        after = frames_of(first)
        renewal = online.revised(changes, before=frames, after={name: frame.lazy() for name, frame in after.items()})
        online.feed("weather", frame_of("weather", fed).to_dicts())  # of the tables in use, not of those that follow
        before = online.matrix(asked)

        anew = OnlineView.of(fitted, view_tables.online_tables(VIEW, after, until))
        anew.renewed(after).install()
        np.testing.assert_array_equal(before, online.matrix(asked), "not in use before it is installed")
        renewal.install()
        np.testing.assert_array_equal(anew.matrix(asked), online.matrix(asked))
        frames = after
    if not frames["visits"].is_empty():
        requests = frames["visits"].select(list(VIEW.request_schema())).to_dicts()
        np.testing.assert_array_equal(fitted.matrix(view_tables.batch(VIEW, frames)), online.matrix(requests))


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(TABLES, EDIT, st.lists(ROWS["visits"], min_size=1, max_size=3))
def test_what_a_revised_version_holds_counts_once_and_what_it_does_not_hold_counts(first: Tables, edit: Any, fed: list[Any]) -> None:
    first["visits"].append((99, "s1", 0, 1.0, 0, 0))
    frames = frames_of(first)
    fitted = view_tables.fit(VIEW, view_tables.batch(VIEW, frames))
    online = OnlineView.of(fitted, view_tables.online_tables(VIEW, frames, 0), known_until=0)
    anew = OnlineView.of(fitted, view_tables.online_tables(VIEW, frames, 0), known_until=0)
    for target in (online, anew):
        target.renewed(frames).install()
    after_edit, changes = edited(first, edit)
    after = frames_of(after_edit)
    outcomes = frame_of("visits", fed).select(VIEW.feed_columns()).to_dicts()

    for renewal in (revised := online.revised(changes, before=frames, after=after), renewed := anew.renewed(after)):
        renewal.feed("visits", outcomes)
    revised.install()
    renewed.install()

    asked = [{"id": 1, "shop": shop, "at": 9 * HOUR} for shop in (None, "s1", "s2")]
    np.testing.assert_array_equal(anew.matrix(asked), online.matrix(asked))


def test_a_change_of_other_tables_than_those_in_use_is_refused() -> None:
    frames = frames_of({"visits": [(1, "s1", 0, 1.0, 0, 0)], "shops": [], "weather": [], "openings": []})
    online = OnlineView.of(view_tables.fit(VIEW, view_tables.batch(VIEW, frames)), view_tables.online_tables(VIEW, frames, 0))
    other = frame_of("visits", [(2, "s2", 0, 1.0, 0, 0)])

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
