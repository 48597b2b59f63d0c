"""Online tables in Redis: what a version of them says is written once and shared by every server; what is fed stays in each server.

A version never changes. Its groups are spread over buckets, Redis hashes named `sampan:VIEW:TABLE.GROUP:BUCKET:WRITE`; a later version has
buckets of its own where something changed, copied inside Redis, and shares the others. Which buckets a version has stands in its manifest,
`sampan:VIEW:version:VERSION`, which is written last: so a version is there as a whole or not at all, and a server moves to it between two
requests. A server keeps what it fetched, which stays right for as long as it answers by that version, and goes on with it while Redis is
away. Every bucket has a mark in it: where Redis lost one, that is told from a key that is not there.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any
from zlib import crc32

import msgspec

from sampan.core.digests import digest_value
from sampan.errors import ParameterError, Unavailable
from sampan.features.groups import Groups, missing_row
from sampan.features.held_keys import HeldKeys
from sampan.features.history import Key, Newest, References, Row, Running, Series
from sampan.features.nodes import AsOf, Fetched, Past
from sampan.features.sources import OnlineSources
from sampan.plugins import require

TIMEOUT_S = 0.25  # a request waits no longer for Redis …
RETRY_S = 1.0  # … and for so long after that no other waits at all
BUILD_TIMEOUT_S = 60.0
LOCK_S = 120
KEPT_S = 7 * 86_400  # what no server has opened or touched for so long goes
LEFT_S = 6 * 3600  # what a server has moved on from goes sooner, unless another says that it uses it
BUCKET_KEYS = 128  # on average
MOST_BUCKETS = 8192
CACHED_BYTES = 16 << 20  # of what is fetched, for each group; as Python's objects it takes some three times as much
_KEY_BYTES = 100  # of a key and its place, about
_MARK = b""
_NO_FIELD = b"-"  # no key is written like that
_ABSENT = object()
_PIPELINE = 500
Command = tuple[Any, ...]


class FeatureRedis:
    """A Redis as servers of a project use it. May be called from many threads."""

    def __init__(self, url: str, *, password: str = "", outage: str = "refuse") -> None:
        redis = require("redis", extra="redis")
        if outage not in ("refuse", "missing"):
            raise ParameterError(f"[serving] redis_outage is {outage!r}", parameter="redis_outage", hint='"refuse" or "missing"')
        self._errors: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self._outage = outage
        try:
            self._client = _client(redis, url, password, TIMEOUT_S)
            self._builder = _client(redis, url, password, BUILD_TIMEOUT_S)
        except ValueError as cause:
            shown = re.sub(r"//[^@]*@", "//…@", url)  # without the password
            raise ParameterError(f"{shown!r} is no address of a Redis: {cause}", hint="redis://127.0.0.1:6379/0") from cause
        place = self._client.connection_pool.connection_kwargs
        self.place = str(place.get("path") or f"{place.get('host', 'localhost')}:{place.get('port', 6379)}")
        self.lost = False  # it answered, and did not have what it was given: a server that sees this writes it anew
        self._down_until = 0.0
        self.fetches = self.failures = self.missing = 0  # since the start, for /metrics

    def bring(self, asked: Iterable[tuple[RedisLayers, Iterable[Key]]], *, surely: bool = False) -> None:
        """Fetch what several groups do not have at hand, in one go.

        Raises
        ------
        Unavailable : Redis does not answer, or lost what it held, and values that are not at hand are refused, or asked for `surely`.
        """
        wanted = [(layers, key) for layers, keys in asked for key in layers.not_at_hand(keys)]
        if not wanted:
            return
        try:
            found = self.ask([layers.command(key) for layers, key in wanted], building=surely)
            if any(mark is None for _, mark in found):
                raise self.told_lost()
        except Unavailable:
            if surely or self._outage == "refuse":
                raise
            self.missing += len(wanted)
            return
        for (layers, key), (data, _) in zip(wanted, found, strict=True):
            layers.keep(key, data)

    def ask(self, commands: Sequence[Command], *, building: bool = False) -> list[Any]:
        """Run commands, in one round trip; while a version is built, with more patience. Raises Unavailable."""
        if not building and time.monotonic() < self._down_until:
            raise self._away("did not answer a moment ago")
        pool = (self._builder if building else self._client).connection_pool
        self.fetches += 1
        try:
            connection = pool.get_connection()
            try:
                # Half of what the client's own pipeline costs, which is made for more than this.
                connection.send_packed_command(connection.pack_commands(commands))
                return [connection.read_response() for _ in commands]
            except BaseException:
                connection.disconnect()  # answers may be left in it
                raise
            finally:
                pool.release(connection)
        except self._errors as cause:
            self.failures += 1
            self._down_until = time.monotonic() + RETRY_S
            raise self._away(f"does not answer: {cause}") from cause

    def told_lost(self) -> Unavailable:
        """Note that tables are gone from Redis; return what is said of it."""
        self.lost = True
        return Unavailable(f"Redis at {self.place} lost online tables", hint="a server that sees this writes them anew; ask again")

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()
        self._builder.close()

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Return what was counted, for /metrics."""
        return {
            ("sampan_feature_store_fetches_total", ()): self.fetches,
            ("sampan_feature_store_failures_total", ()): self.failures,
            ("sampan_feature_store_missing_total", ()): self.missing,
        }

    def _away(self, what: str) -> Unavailable:
        return Unavailable(
            f"Redis at {self.place}, which holds the online features, {what}",
            hint='is it running? [serving] redis_outage = "missing" answers without what it holds',
        )


def _client(redis: Any, url: str, password: str, timeout_s: float) -> Any:
    once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    given = {"password": password} if password else {}
    return redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=once, **given)


class RedisLayers:
    """Values of one group by key, as one version has them: what `history.Layers` is in memory."""

    def __init__(self, redis: FeatureRedis, name: str, buckets: Sequence[str], gone: Any, *, held: dict[Key, Any] | None = None) -> None:
        self._redis = redis
        self._name = name
        self._mask = len(buckets) - 1
        self._decode = _decode_series if isinstance(gone, Series) else _decode_row
        self._held: dict[Key, Any] = held or {}
        self._held_bytes = len(self._held) * 2 * _KEY_BYTES
        self._room = threading.Lock()
        self.buckets = tuple(buckets)
        self.gone = gone

    def get(self, key: Key) -> Any:
        """Return a key's value, None where there is none. Raises as `FeatureRedis.bring`."""
        if key is None:
            return None
        found = self._held.get(key, _ABSENT)
        if found is _ABSENT:
            self._redis.bring([(self, (key,))])
            found = self._held.get(key)
        return found

    def bring(self, keys: Iterable[Key], *, surely: bool = False) -> None:
        """Fetch what is not at hand, in one go. Raises as `FeatureRedis.bring`."""
        self._redis.bring([(self, keys)], surely=surely)

    def not_at_hand(self, keys: Iterable[Key]) -> list[Key]:
        """Return the keys that have to be fetched, each once."""
        held = self._held
        return [key for key in dict.fromkeys(keys) if key is not None and key not in held]

    def command(self, key: Key) -> Command:
        """Return what fetches a key, and the mark of its bucket."""
        field = encode_key(key)
        return "HMGET", self.buckets[crc32(field) & self._mask], field, _MARK

    def keep(self, key: Key, data: bytes | None) -> None:
        """Keep what was fetched, within bounds; what came first goes first."""
        with self._room:
            self._held_bytes += _KEY_BYTES + (len(data) if data else 0)
            if self._held_bytes > CACHED_BYTES:
                for old in list(islice(self._held, len(self._held) // 4)):
                    del self._held[old]
                self._held_bytes -= self._held_bytes // 4
            self._held[key] = None if data is None else self._decode(data)

    def revised(self, changes: Mapping[Key, Any]) -> RedisLayers:
        """Write buckets of a later version: copies of these where something changed."""
        if not changes:
            return self
        write, buckets = secrets.token_hex(4), list(self.buckets)
        fields: dict[int, dict[bytes, Any]] = {}
        for key, value in changes.items():
            field = encode_key(key)
            fields.setdefault(crc32(field) & self._mask, {})[field] = value
        commands: list[Command] = []
        for bucket, changed in fields.items():
            former, buckets[bucket] = buckets[bucket], _bucket_name(self._name, bucket, write)
            there = [part for field, value in changed.items() if value is not self.gone for part in (field, _encode(value))]
            lost = [field for field, value in changed.items() if value is self.gone] or [_NO_FIELD]
            commands += [("COPY", former, buckets[bucket], "REPLACE"), ("HSET", buckets[bucket], *there, _MARK, b"1")]
            commands += [("HDEL", buckets[bucket], *lost), ("EXPIRE", buckets[bucket], KEPT_S)]
        if not all(_ask_in_turn(self._redis, commands)[::4]):
            raise self._redis.told_lost()
        held = {key: value for key, value in list(self._held.items()) if key not in changes}
        return RedisLayers(self._redis, self._name, buckets, self.gone, held=held)


def written(redis: FeatureRedis, name: str, items: Iterable[tuple[Key, Any]], gone: Any) -> RedisLayers:
    """Write a group's values to Redis; return what reads them there."""
    encoded = [(encode_key(key), _encode(value)) for key, value in items]
    n_buckets = min(MOST_BUCKETS, 1 << max(0, (len(encoded) // BUCKET_KEYS).bit_length()))
    write = secrets.token_hex(4)
    buckets = [_bucket_name(name, bucket, write) for bucket in range(n_buckets)]
    fields: list[list[bytes]] = [[_MARK, b"1"] for _ in buckets]
    for field, data in encoded:
        fields[crc32(field) & (n_buckets - 1)] += (field, data)
    commands: list[Command] = []
    for bucket, flat in zip(buckets, fields, strict=True):
        commands += [("HSET", bucket, *flat), ("EXPIRE", bucket, KEPT_S)]
    _ask_in_turn(redis, commands)
    return RedisLayers(redis, name, buckets, gone)


class SharedTables:
    """One version of a view's online tables in a Redis."""

    def __init__(self, redis: FeatureRedis, groups: Groups, version: str) -> None:
        self.redis = redis
        self.version = version
        self._groups = groups
        self._view = f"sampan:{groups.view.name}.{digest_value(groups.view)[3:19]}"
        self._manifest = f"{self._view}:version:{version}"

    def of(self, version: str) -> SharedTables:
        """Return another version of the same view."""
        return SharedTables(self.redis, self._groups, version)

    def bring(self, asked: Sequence[tuple[Any, Iterable[Key]]]) -> None:
        """Fetch what several groups do not have at hand; see `FeatureRedis.bring`."""
        self.redis.bring(asked)

    def taken_up(
        self, make: Callable[[], OnlineSources], *, held: Mapping[Fetched, HeldKeys] | None, known_until: float = float("-inf")
    ) -> OnlineSources:
        """Return the version's sources: opened where Redis has it, else made by `make` and written, by one at a time of those who ask.

        `held` and `known_until` are what `OnlineSources` is told beside.
        """
        while (stores := self._opened()) is None:
            lock = f"{self._manifest}:lock"
            # Who dies over it is waited for no longer than this; two that write at once do no harm.
            if self.redis.ask([("SET", lock, "1", "NX", "EX", LOCK_S)], building=True)[0]:
                try:
                    return self._published(make())
                finally:
                    self.redis.ask([("DEL", lock)], building=True)
            time.sleep(0.1)
        return OnlineSources(self._groups, stores, held=held, known_until=known_until, shared=self)

    def touch(self, sources: OnlineSources) -> None:
        """Say that these are used: they stay for a while longer."""
        self._keep(name for store in sources.stores.values() for name in store.layers.buckets)

    def let_go(self, sources: OnlineSources, now: OnlineSources) -> None:
        """Let what a server has moved on from go soon; another that still uses it moves on, too, or says what it lacks."""
        kept = {name for store in now.stores.values() for name in store.layers.buckets}
        names = {name for store in sources.stores.values() for name in store.layers.buckets} - kept
        _ask_in_turn(self.redis, [("DEL", self._manifest), *(("EXPIRE", name, LEFT_S) for name in sorted(names))])

    def _opened(self) -> dict[Fetched, Any] | None:
        (data,) = self.redis.ask([("GET", self._manifest)], building=True)
        if data is None:
            return None
        buckets: dict[str, list[str]] = msgspec.json.decode(data)
        if not self._keep(name for names in buckets.values() for name in names):
            return None
        stores = {}
        for group in self._groups.all:
            store, name = _empty_store(self._groups, group), self._name(group)
            stores[group] = store.over(RedisLayers(self.redis, name, buckets[name], store.layers.gone))
        return stores

    def _keep(self, names: Iterable[str]) -> bool:
        """Put off when buckets and the manifest go; say whether all are there."""
        return all(_ask_in_turn(self.redis, [("EXPIRE", name, KEPT_S) for name in (*names, self._manifest)]))

    def _published(self, made: OnlineSources) -> OnlineSources:
        """Write what is not in Redis yet, and then the manifest."""
        stores = {}
        for group, store in made.stores.items():
            layers = store.layers
            here = isinstance(layers, RedisLayers)
            stores[group] = store.over(layers if here else written(self.redis, self._name(group), layers.items(), layers.gone))
        buckets = {self._name(group): store.layers.buckets for group, store in stores.items()}
        self.redis.ask([("SET", self._manifest, msgspec.json.encode(buckets), "EX", KEPT_S)], building=True)
        return OnlineSources(self._groups, stores, held=made.held, known_until=made.known_until, shared=self)

    def _name(self, group: Fetched) -> str:
        return f"{self._view}:{getattr(group, 'table', self._groups.view.on)}.{digest_value(group)[3:11]}"


def _empty_store(groups: Groups, group: Fetched) -> References | Newest | Running:
    if isinstance(group, Past):
        return Running(groups.windows(group), ())
    if isinstance(group, AsOf):
        return Newest((), missing_row(groups.columns(group)), group.tolerance_ms)
    columns = groups.columns(group)
    return References((), missing_row(columns) if columns else (0.0,))


def _bucket_name(name: str, bucket: int, write: str) -> str:
    return f"{name}:{bucket:x}:{write}"


def _ask_in_turn(redis: FeatureRedis, commands: Sequence[Command]) -> list[Any]:
    """Run many commands, some at a time: between them Redis answers others."""
    starts = range(0, len(commands), _PIPELINE)
    return [found for first in starts for found in redis.ask(commands[first : first + _PIPELINE], building=True)]


def encode_key(key: Key) -> bytes:
    """Write a key; equal ones, such as 1 and 1.0, give equal bytes, and none is empty."""
    parts = key if isinstance(key, tuple) else (key,)
    return msgspec.msgpack.encode([part if isinstance(part, str) else float(part) + 0.0 for part in parts])


def _encode(value: Row | Series) -> bytes:
    if not isinstance(value, Series):
        return msgspec.msgpack.encode(value)
    try:
        return msgspec.msgpack.encode((value.times, value.values))
    except OverflowError:  # sums beyond 64 bits
        return msgspec.msgpack.encode((value.times, [str(total) for total in value.values]))


def _decode_row(data: bytes) -> Row:
    return tuple(msgspec.msgpack.decode(data))


def _decode_series(data: bytes) -> Series:
    times, values = msgspec.msgpack.decode(data)
    if values and isinstance(values[0], list):
        values = [tuple(row) for row in values]
    elif values and isinstance(values[0], str):
        values = [int(total) for total in values]
    return Series(times, values)
