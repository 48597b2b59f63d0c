"""Where a server's prediction log, true labels and fed rows go: Arrow segments, written so that no answer ever waits for a disk.

What was answered reaches the operating system a fifth of a second later (up to two seconds with hundreds of models) and as long as laying
out and writing the rows of that fifth takes, and from then on survives kill -9; it is flushed to the disk four times a minute. So a killed
server loses at most what it answered since the last write, a power failure at most a quarter of a minute.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from sampan.core.times import Clock, Millis, system_clock
from sampan.errors import SampanError
from sampan.serving.keeping import EVERYTHING, Keeping
from sampan.serving.outcomes import Feed, Outcome
from sampan.serving.records import (
    FEEDS,
    OUTCOMES,
    Scored,
    each_row,
    feeds_stream,
    outcome_block,
    outcomes_stream,
    predictions_stream,
    record_block,
    record_schema,
)
from sampan.serving.routing import Variant
from sampan.serving.volumes import VOLUMES, Volumes, volumes_stream
from sampan.table.arrow_blocks import Block, Column, Schema
from sampan.table.rows import joined

if TYPE_CHECKING:
    import pyarrow as pa

    from sampan.store.segments import Segments, SegmentWriter

logger = logging.getLogger(__name__)

CAPACITY_ROWS = 100_000
CAPACITY_BYTES = 256 << 20
FLUSH_S = 0.2
BATCH_GATHER_S, MOST_GATHER_S = 0.0075, 2.0  # a batch costs 1.5 ms, however few its rows: at most a fifth of a processor goes there
BATCH_ROWS = 1024
PIECE_S, PAUSE_S = 0.0002, 0.002  # so long the writing thread works before it lets others
MOST_PAUSING_S = 0.15  # of one writing: what was answered should reach the disk soon
SYNC_S = 15.0
SEAL_S = 3600.0
SEAL_ROWS = 250_000
SEAL_BYTES = 256 << 20
MOST_OPEN = 512  # segments: with thousands of models in one server, those that were not asked for longest are sealed
_COUNTED = 64  # requests whose volumes are counted in one go
_ROW_BYTES = 1000  # what a waiting row may hold beside its body: decoded fields, features, ids
_PARSED = 4  # a decoded body takes about so many times its bytes

_PLANNED = ".planned"  # suffix of a plan among the online tables

# What is kept of the rows of a service's package.
Rules = Callable[[str, str], Keeping]


class Takes(Protocol):
    """What fed rows are replayed into, such as a predictor."""

    def feed(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take rows of an online table."""


def everything(service: str, package: str) -> Keeping:  # noqa: ARG001  # the same for all
    """Keep all of every row."""
    return EVERYTHING


class PredictionLog:
    """A background writer with a bounded queue. `offer` never blocks; what does not fit, or meets a full disk, is dropped and counted."""

    def __init__(
        self,
        segments: Segments,
        *,
        rules: Rules = everything,
        capacity_rows: int = CAPACITY_ROWS,
        capacity_bytes: int = CAPACITY_BYTES,
        flush_s: float = FLUSH_S,
        clock: Clock = system_clock,
    ) -> None:
        self._segments = segments
        self._rules = rules
        self._capacity_rows = capacity_rows
        self._capacity_bytes = capacity_bytes
        self._flush_s = flush_s
        self._clock = clock
        self._queue: list[tuple[Variant, Scored]] = []
        self._changed = threading.Condition()
        self._closing = False
        self._streams: dict[tuple[str, str], _Stream] = {}  # by service and package, the one written last at the end
        self._volumes: dict[str, Volumes] = {}
        self._synced = time.monotonic()
        self._ailing = False
        self.queued_rows = 0
        self.queued_bytes = 0
        self.written_rows = 0
        self.dropped_rows = 0
        self._paused = 0.0
        self._pauses_until = 0.0
        self._thread = threading.Thread(target=self._work, name="prediction-log", daemon=True)
        self._thread.start()

    def offer(self, variant: Variant, scored: Scored) -> None:
        """Queue scored rows for writing, or drop and count them when the queue is full."""
        n_rows = len(scored.ids)
        n_bytes = n_rows * _ROW_BYTES + scored.size_bytes * _PARSED
        with self._changed:
            if (
                self._closing
                or self.queued_rows + n_rows > self._capacity_rows
                or (self.queued_bytes + n_bytes > self._capacity_bytes and self._queue)
            ):
                self.dropped_rows += n_rows
                self._volumes_of(scored.service).add([scored])
                return
            self._queue.append((variant, scored))
            self.queued_rows += n_rows
            self.queued_bytes += n_bytes
            if len(self._queue) == 1 or (self.queued_rows >= self._capacity_rows / 4 > self.queued_rows - n_rows):
                self._changed.notify()

    def refused(self, service: str, caller: str) -> None:
        """Count a request that no model answered."""
        with self._changed:
            self._volumes_of(service).refuse(caller, self._clock())

    def close(self) -> None:
        """Write what is queued, seal every stream and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._queue and not self._closing:
                    self._changed.wait(SYNC_S if self._streams or self._volumes else None)
                taken, self._queue = self._queue, []
            began = time.monotonic()
            self._pauses_until = time.perf_counter() + MOST_PAUSING_S
            n_batches = self._write_all(taken)
            n_rows = sum(len(scored.ids) for _, scored in taken)
            n_bytes = sum(len(scored.ids) * _ROW_BYTES + scored.size_bytes * _PARSED for _, scored in taken)
            with self._changed:
                self.queued_rows -= n_rows
                self.queued_bytes -= n_bytes
                closing = self._closing and not self._queue
            if closing:
                break
            if time.monotonic() - self._synced > SYNC_S:
                self._sync()
            if taken:
                self._gather(began, n_batches)
        self._write_volumes()
        for stream in self._streams.values():
            self._seal(stream)

    def _pause(self) -> None:
        """Let the event loop go on, which needs the interpreter, too: no request waits longer than a piece of work for the log."""
        now = time.perf_counter()
        if now - self._paused < PIECE_S or now > self._pauses_until or self._closing or self.queued_rows >= self._capacity_rows / 4:
            return
        time.sleep(PAUSE_S)
        self._paused = time.perf_counter()

    def _gather(self, began: float, n_batches: int) -> None:
        """Wait until a moment after the last writing began; an idle server is asleep in `_work` instead.

        With hundreds of models the moment is longer: each has a batch of its own, whose columns cost more than its few rows.
        """
        moment_s = min(max(self._flush_s, n_batches * BATCH_GATHER_S), MOST_GATHER_S)
        left_s = began + moment_s - time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self.queued_rows >= self._capacity_rows / 4, max(left_s, 0.0))

    def _write_all(self, taken: Sequence[tuple[Variant, Scored]]) -> int:
        """Write what was taken, a batch for each package of a service; return how many."""
        n_batches = 0
        for variant, service, scored in _by_package(taken):
            n_batches += 1
            self._count(service, scored)
            n_rows = sum(len(one.ids) for one in scored)
            try:
                self._write(variant, service, scored)
            except (SampanError, OSError) as cause:
                self._drop(n_rows, cause)
            except Exception as cause:  # a row of a shape nobody thought of must not end the log
                logger.exception("rows of %s cannot be laid out for the prediction log", variant.version)
                self._drop(n_rows, cause)
            else:
                self.written_rows += n_rows
                self._ailing = False
        return n_batches

    def _count(self, service: str, scored: Sequence[Scored]) -> None:
        for first in range(0, len(scored), _COUNTED):  # `offer` waits for the lock
            with self._changed:
                self._volumes_of(service).add(scored[first : first + _COUNTED])
            self._pause()

    def _write(self, variant: Variant, service: str, scored: Sequence[Scored]) -> None:
        stream = self._stream(variant, service)
        if stream.keeping.share <= 0:
            return
        rows = joined([one.rows for one in scored], [name for name, _ in variant.fields])
        self._pause()
        moments = _moments(variant, scored, rows)
        self._pause()
        block = record_block(
            scored,
            rows,
            feature_names=variant.predictor.feature_names,
            fields=variant.fields,
            keys=variant.keys,
            moments=moments,
            keeping=stream.keeping,
            classes=variant.labels.classes,
            schema=stream.writer.schema,
            pause=self._pause,
        )
        if block.n_rows:
            try:
                stream.write(block)
            except SampanError:
                # A disk that is full may have room again, a file that may not grow has not: begin another.
                self._seal(self._streams.pop((service, variant.package)))
                raise
        if stream.is_full:
            self._seal(self._streams.pop((service, variant.package)))

    def _stream(self, variant: Variant, service: str) -> _Stream:
        place = (service, variant.package)
        if (stream := self._streams.pop(place, None)) is None:
            keeping = self._rules(service, variant.package)
            schema = record_schema(variant.predictor.feature_names, variant.fields, keeping, classes=variant.labels.classes)
            stream = self._open(predictions_stream(service, variant.package), schema, keeping)
        self._streams[place] = stream
        return stream

    def _open(self, stream: str, schema: Schema, keeping: Keeping = EVERYTHING) -> _Stream:
        if len(self._streams) >= MOST_OPEN:
            self._seal(self._streams.pop(next(iter(self._streams))))
        return _Stream(self._segments.writer(stream, schema), keeping)

    def _volumes_of(self, service: str) -> Volumes:
        if (volumes := self._volumes.get(service)) is None:
            volumes = self._volumes[service] = Volumes()
        return volumes

    def _sync(self) -> None:
        """Flush to the disk, seal what has been open for long, write volumes. Also where nobody asks."""
        self._synced = time.monotonic()
        self._write_volumes()
        for place, stream in list(self._streams.items()):
            if stream.is_old:
                self._seal(self._streams.pop(place))
            else:
                try:
                    stream.writer.sync()
                except SampanError as cause:
                    logger.warning("the prediction log cannot be flushed to the disk: %s", cause)

    def _write_volumes(self) -> None:
        now = self._clock()
        with self._changed:
            taken = {service: volumes.take(now) for service, volumes in self._volumes.items() if volumes}
        for service, block in taken.items():
            place = (service, "")
            try:
                stream = self._streams.pop(place, None) or self._open(volumes_stream(service), VOLUMES)
                self._streams[place] = stream
                stream.write(block)
            except SampanError as cause:
                logger.warning("the volumes of %s cannot be written and are lost: %s", service, cause)

    def _drop(self, n_rows: int, cause: Exception) -> None:
        with self._changed:
            self.dropped_rows += n_rows
        if not self._ailing:  # once per outage, not once per batch
            logger.warning("prediction log cannot be written, rows are dropped and counted: %s", cause)
        self._ailing = True

    def _seal(self, stream: _Stream) -> None:
        try:
            stream.writer.seal()
        except SampanError as cause:
            logger.warning("a prediction log segment could not be sealed: %s", cause)


def _moments(variant: Variant, scored: Sequence[Scored], rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return the moments of all rows, read at once where that was left to the log; a row that has none speaks of when it came."""
    if any(one.moments is not None for one in scored):
        return np.concatenate([_moments(variant, [one], one.rows) if one.moments is None else one.moments for one in scored])
    try:
        found = variant.predictor.moments(rows)
    except SampanError:
        if len(scored) > 1:  # one of many must not cost the others theirs
            return np.concatenate([_moments(variant, [one], one.rows) for one in scored])
        found = None
    return each_row([one.at for one in scored], [len(one.rows) for one in scored]) if found is None else found


class ArrivalLog:
    """True labels and fed rows as they arrive. A call that returned has reached the operating system: it survives kill -9.

    Not for several threads at once. Raises StoreUnavailable where the disk refuses; nothing of that call is kept then.
    """

    def __init__(self, segments: Segments, service: str, *, rules: Rules = everything) -> None:
        self._segments = segments
        self._service = service
        self._rules = rules
        self._writers: dict[str, SegmentWriter] = {}

    def outcomes(self, outcomes: Sequence[Outcome], *, received: Millis, package: str = "") -> None:
        """Append true labels; by key, under the name that the log of `package`, the live one, gives the key."""
        if package and (name := self._rules(self._service, package).name_key) is not None:
            outcomes = [msgspec.structs.replace(one, key=name(one.key)) if one.key else one for one in outcomes]
        self._append(outcomes_stream(self._service), OUTCOMES, outcome_block(outcomes, received=received))

    def feed(self, table: str, feed: Feed, *, received: Millis) -> None:
        """Append rows fed to an online feature table."""
        row: list[Column] = [[table], np.array([feed.at], np.int64), np.array([received], np.int64), [msgspec.json.encode(feed.rows)]]
        self._append(feeds_stream(self._service), FEEDS, Block(FEEDS, 1, row))

    def replay(self, predictor: Takes, *, after: str, known_until: Millis, tables: Mapping[str, Millis] | None = None) -> str:
        """Feed a predictor everything since the cursor `after` that became known later than `known_until`; return the new cursor.

        `tables` gives other moments for some tables: those of which a newer version is in use already.
        """
        stream = feeds_stream(self._service)
        if not self._segments.files(stream):  # nothing was ever fed: Arrow, which reads logs, need not be there
            return after
        fed, cursor = self._segments.read(stream, after=after)
        # Together by table: a year of hourly feeds is then caught up with in a second or two, not in a minute.
        together: dict[str, list[dict[str, Any]]] = {}
        for row in _rows(fed):
            if row["at"] > (tables or {}).get(row["table"].removesuffix(_PLANNED), known_until):
                together.setdefault(row["table"], []).extend(msgspec.json.decode(row["rows"]))
        for table, rows in together.items():
            predictor.feed(table, rows)
        return cursor

    def close(self) -> None:
        """Seal what is open."""
        for writer in self._writers.values():
            writer.seal()
        self._writers.clear()

    def _append(self, stream: str, schema: Schema, block: Block) -> None:
        writer = self._writers.get(stream)
        if writer is None:
            writer = self._writers[stream] = self._segments.writer(stream, schema)
        writer.write(block)
        writer.flush()


class _Stream:
    """An open segment, by which rules it is written, and how full it is."""

    def __init__(self, writer: SegmentWriter, keeping: Keeping) -> None:
        self.writer = writer
        self.keeping = keeping
        self._n_rows = 0
        self._n_bytes = 0
        self._opened = time.monotonic()

    def write(self, block: Block) -> None:
        """Append a block and hand it to the operating system."""
        self._n_bytes += self.writer.write(block)
        self.writer.flush()
        self._n_rows += block.n_rows

    @property
    def is_full(self) -> bool:
        """Say whether another segment should be begun."""
        return self._n_rows >= SEAL_ROWS or self._n_bytes >= SEAL_BYTES or self.is_old

    @property
    def is_old(self) -> bool:
        """Say whether it was begun long ago."""
        return time.monotonic() - self._opened > SEAL_S


def _by_package(taken: Sequence[tuple[Variant, Scored]]) -> Iterator[tuple[Variant, str, list[Scored]]]:
    groups: dict[tuple[str, str], tuple[Variant, list[Scored]]] = {}
    for variant, scored in taken:
        groups.setdefault((scored.service, variant.package), (variant, []))[1].append(scored)
    for (service, _), (variant, gathered) in groups.items():
        first, n_rows = 0, 0
        for end, one in enumerate(gathered):
            if n_rows and n_rows + len(one.ids) > BATCH_ROWS:
                yield variant, service, gathered[first:end]
                first, n_rows = end, 0
            n_rows += len(one.ids)
        yield variant, service, gathered[first:]


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches():
        yield from batch.to_pylist()
