"""Online tables in a real Redis: the same values as in memory after any edits, shared by servers, and what is said while it is away."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "features"))  # what those tests draw, under importlib's import mode

from edited_visits import EDIT, HOUR, ROWS, TABLES, VIEW, Tables, edited, frame_of, frames_of

from sampan.errors import ParameterError, Unavailable
from sampan.features import view_tables
from sampan.features.fitted import FittedView
from sampan.features.groups import Groups
from sampan.features.online import OnlineView, Renewal
from sampan.features.sources import OnlineSources
from sampan.workspace.models import redis_tables
from sampan.workspace.models.redis_tables import FeatureRedis, SharedTables, encode_key

VERSIONS = count()
FIRST: Tables = {
    "visits": [(1, "s1", 0, 1.0, HOUR, HOUR), (2, "s2", HOUR, 2.5, 2 * HOUR, None), (3, "s1", HOUR, -7.0, HOUR, HOUR)],
    "shops": [("s1", "north", 0.1), ("s2", None, 1.0), (None, "south", 2.5)],
    "weather": [("north", 0, 1.0), ("north", 2 * HOUR, 0.1)],
    "openings": [("s1",), ("s1",)],
}
ASKED: list[dict[str, Any]] = [
    {"id": 1, "shop": shop, "at": at * HOUR // 2} for shop in (None, "s1", "s2", "s3") for at in (-1, 0, 3, 7, 11)
]


@pytest.fixture
def redis(redis_server: Any) -> Iterator[FeatureRedis]:
    opened = FeatureRedis(redis_server.url)
    yield opened
    opened.ask([("FLUSHALL",)])
    opened.close()


def _fitted(tables: Tables) -> FittedView:
    fitted: FittedView = view_tables.fit(VIEW, view_tables.batch(VIEW, frames_of(tables)))
    return fitted


def _revised(online: OnlineView, changes: Any, before: Any, after: Any) -> OnlineSources:
    return online.revised(changes, before=before, after=after).sources


def _shared(redis: FeatureRedis, fitted: FittedView, tables: Tables, *, version: str = "") -> OnlineView:
    """Open tables as a server does with what a package carries."""
    frames = frames_of(tables)
    carried = view_tables.online_tables(VIEW, frames, 0)
    here = SharedTables(redis, Groups(VIEW), version or f"package.{next(VERSIONS)}")
    made = here.taken_up(lambda: OnlineSources.of_tables(VIEW, carried, known_until=0), held=None, known_until=0)
    return OnlineView(fitted, made)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(first=TABLES, edits=st.lists(EDIT, min_size=1, max_size=3), fed=st.lists(ROWS["weather"], max_size=2))
def test_values_from_redis_are_those_of_the_batch_after_any_edits(
    redis_server: Any, first: Tables, edits: list[Any], fed: list[Any]
) -> None:
    redis = FeatureRedis(redis_server.url)
    first["visits"].append((99, "s1", 0, 1.0, 0, 0))  # there is a label to learn from
    frames, fitted = frames_of(first), _fitted(first)
    online, alone = _shared(redis, fitted, first), OnlineView.of(fitted, view_tables.online_tables(VIEW, frames, 0), known_until=0)
    for edit in edits:
        first, changes = edited(first, edit)
        after = frames_of(first)
        online.feed("weather", frame_of("weather", fed).to_dicts())  # lies over this version alone
        before, shared = frames, online.sources.shared
        assert isinstance(shared, SharedTables)

        make = partial(_revised, online, changes, before, after)
        Renewal(online, shared.of(f"v{next(VERSIONS)}").taken_up(make, held=None)).install()
        alone.renewed(after).install()

        np.testing.assert_array_equal(alone.matrix(ASKED), online.matrix(ASKED))
        np.testing.assert_array_equal(alone.matrix(ASKED[:1]), online.matrix(ASKED[:1]))
        frames = after
    if not frames["visits"].is_empty():
        requests = frames["visits"].select(list(VIEW.request_schema())).to_dicts()
        np.testing.assert_array_equal(
            fitted.matrix(view_tables.batch(VIEW, frames)), np.concatenate([online.matrix([row]) for row in requests])
        )
    redis.close()


def test_a_second_server_opens_what_the_first_one_wrote(redis: FeatureRedis, redis_server: Any) -> None:
    fitted = _fitted(FIRST)
    first = _shared(redis, fitted, FIRST, version="package.same")
    other = FeatureRedis(redis_server.url)

    def never() -> OnlineSources:
        raise AssertionError("it is there")

    second = OnlineView(fitted, SharedTables(other, Groups(VIEW), "package.same").taken_up(never, held=None, known_until=0))

    np.testing.assert_array_equal(first.matrix(ASKED), second.matrix(ASKED))
    assert other.samples()[("sampan_feature_store_failures_total", ())] == 0
    other.close()


def test_one_row_asks_redis_once_a_stage_and_not_again(redis: FeatureRedis) -> None:
    online = _shared(redis, _fitted(FIRST), FIRST)
    before = redis.fetches

    online.matrix([ASKED[7]])
    first = redis.fetches - before
    online.matrix([ASKED[7]])

    assert first == 2, "the weather is looked up by the region that the first answer brings"
    assert redis.fetches - before == first


def test_a_version_shares_the_buckets_in_which_nothing_changed(redis: FeatureRedis) -> None:
    many: Tables = {**FIRST, "shops": [(f"s{i}", "north", float(i)) for i in range(2_000)]}
    online = _shared(redis, _fitted(many), many)
    before = frames_of(many)
    after_edit, changes = edited(many, {"shops": ({7}, [("s7", "south", -1.0)], True)})
    shared = online.sources.shared
    assert isinstance(shared, SharedTables)

    renewal = online.revised(changes, before=before, after=frames_of(after_edit))
    then = shared.of("later").taken_up(lambda: renewal.sources, held=None)
    shops = next(group for group in then.stores if getattr(group, "table", "") == "shops")
    old, new = (set(sources.stores[shops].layers.buckets) for sources in (online.sources, then))
    shared.let_go(online.sources, then)
    asked = [{"id": 1, "shop": "s7", "at": 0}, {"id": 1, "shop": "s8", "at": 0}]

    assert len(old) == 16
    assert len(new - old) == 1
    left, kept = redis.ask([("TTL", *(old - new)), ("TTL", next(iter(old & new)))])
    assert left <= redis_tables.LEFT_S < kept <= redis_tables.KEPT_S
    shared.touch(online.sources)
    assert redis.ask([("TTL", *(old - new))])[0] > redis_tables.LEFT_S, "another server, that still uses it, says so"
    sizes = VIEW.features.index(next(item for item in VIEW.features if item.name == "size"))
    assert OnlineView(online.fitted, then).matrix(asked)[:, sizes].tolist() == [-1.0, 8.0]


def test_while_redis_is_away_what_is_at_hand_is_answered_and_the_rest_refused(redis_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_tables, "RETRY_S", 0.0)
    fitted = _fitted(FIRST)
    strict, lenient = FeatureRedis(redis_server.url), FeatureRedis(redis_server.url, outage="missing")
    online, other = (_shared(one, fitted, FIRST, version="package.away") for one in (strict, lenient))
    known = online.matrix([ASKED[7]])
    redis_server.stop()
    try:
        np.testing.assert_array_equal(known, online.matrix([ASKED[7]]))
        with pytest.raises(Unavailable, match="which holds the online features, does not answer") as refused:
            online.matrix([ASKED[12]])
        answered = other.matrix([ASKED[12]])
    finally:
        redis_server.start()

    assert 'redis_outage = "missing"' in refused.value.hint
    assert np.isnan(answered[0, 1]), "the size of a shop that could not be had is missing"
    assert lenient.samples()[("sampan_feature_store_missing_total", ())] > 0
    assert strict.samples()[("sampan_feature_store_failures_total", ())] == 1
    with pytest.raises(Unavailable, match="lost online tables"):
        online.matrix([ASKED[12]])  # the server came back empty: that is told from a shop that is not there
    assert strict.lost
    frames = frames_of(FIRST)
    _, changes = edited(FIRST, {"shops": ({0}, [("s9", "south", 1.0)], True)})
    for one in (online, other):
        with pytest.raises(Unavailable, match="lost online tables"):
            one.revised(changes, before=frames, after=frames)
    strict.close()
    lenient.close()


def test_of_servers_that_take_a_version_up_at_once_one_writes_it(redis: FeatureRedis, redis_server: Any) -> None:
    carried, groups = view_tables.online_tables(VIEW, frames_of(FIRST), 0), Groups(VIEW)
    begun, go_on, made = Event(), Event(), count()

    def make() -> OnlineSources:
        next(made)
        begun.set()
        assert go_on.wait(30)
        return OnlineSources.of_tables(VIEW, carried, known_until=0)

    other = FeatureRedis(redis_server.url)
    with ThreadPoolExecutor(2) as servers:
        one = servers.submit(SharedTables(redis, groups, "package.once").taken_up, make, held=None)
        assert begun.wait(30)
        two = servers.submit(SharedTables(other, groups, "package.once").taken_up, make, held=None)
        go_on.set()
        first, second = (sources.result(30) for sources in (one, two))

    assert next(made) == 1
    assert [store.layers.buckets for store in first.stores.values()] == [store.layers.buckets for store in second.stores.values()]
    other.close()


def test_for_a_moment_after_a_failure_nobody_waits(redis_server: Any) -> None:
    redis = FeatureRedis(redis_server.url)
    online = _shared(redis, _fitted(FIRST), FIRST)
    redis_server.stop()
    try:
        for _ in range(3):
            with pytest.raises(Unavailable):
                online.matrix([ASKED[12]])
    finally:
        redis_server.start()

    assert redis.failures == 1
    redis.close()


def test_keys_that_are_equal_are_written_alike() -> None:
    assert encode_key(1) == encode_key(1.0) == encode_key(True)
    assert encode_key(-0.0) == encode_key(0.0)
    assert encode_key(("a", 2)) == encode_key(("a", 2.0))
    assert len({encode_key(key) for key in ("1", 1.0, ("1", 1.0), "", ("", ""))}) == 5


def test_sums_beyond_64_bits_come_back_exactly(redis: FeatureRedis) -> None:
    from sampan.features.history import Running
    from sampan.workspace.models.redis_tables import written

    running = Running([None], [("k", [1.0, 2.0], [2**62, 2**62 + 1])])

    there = running.over(written(redis, "sampan:test", running.layers.items(), running.layers.gone))  # type: ignore[attr-defined]  # in memory

    assert running.fetch(["k", "other"], [5.0, 5.0]) == there.fetch(["k", "other"], [5.0, 5.0])


def test_what_is_kept_has_its_bounds(redis: FeatureRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_tables, "CACHED_BYTES", 20_000)
    many: Tables = {**FIRST, "shops": [(f"s{i}", "north", float(i)) for i in range(500)]}
    online = _shared(redis, _fitted(many), many)
    asked = [{"id": 1, "shop": f"s{i}", "at": 0} for i in range(500)]
    sizes = [item.name for item in VIEW.features].index("size")

    for row in asked:
        online.matrix([row])

    shops = [row["shop"] for row in asked]
    kept = [len(asked) - len(store.layers.not_at_hand(shops)) for store in online.sources.stores.values()]
    assert 0 < max(kept) < 250
    assert online.matrix(asked)[:, sizes].tolist() == [float(i) for i in range(500)]


def test_a_wrong_address_and_a_wrong_rule_are_named() -> None:
    with pytest.raises(ParameterError, match="'here' is no address of a Redis"):
        FeatureRedis("here")
    with pytest.raises(ParameterError, match="…@") as told:
        FeatureRedis("nothing://me:secret@127.0.0.1:1")
    assert "secret" not in told.value.message
    with pytest.raises(ParameterError, match="redis_outage is 'wait'"):
        FeatureRedis("redis://127.0.0.1:1/0", outage="wait")
