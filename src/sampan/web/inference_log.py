"""Where a server's prediction log, true labels and fed rows go: Arrow segments, written so that no answer ever waits for a disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from sampan.core.times import Millis
from sampan.errors import SampanError
from sampan.ports import Predictor
from sampan.serving.outcomes import Feed, Outcome
from sampan.serving.records import (
    FEEDS,
    OUTCOMES,
    Scored,
    feeds_stream,
    outcome_batch,
    outcomes_stream,
    predictions_stream,
    record_batch,
    record_schema,
)
from sampan.serving.routing import Variant

if TYPE_CHECKING:
    from sampan.store.segments import Segments, SegmentWriter

logger = logging.getLogger(__name__)

CAPACITY_ROWS = 100_000
FLUSH_S = 0.2
SEAL_ROWS = 250_000
SEAL_S = 60.0


class PredictionLog:
    """A background writer with a bounded queue. `offer` never blocks; what does not fit, or meets a full disk, is dropped and counted."""

    def __init__(self, segments: Segments, *, capacity_rows: int = CAPACITY_ROWS, flush_s: float = FLUSH_S) -> None:
        self._segments = segments
        self._capacity = capacity_rows
        self._flush_s = flush_s
        self._queue: list[tuple[Variant, Scored]] = []
        self._changed = threading.Condition()
        self._closing = False
        self._writers: dict[str, _Stream] = {}
        self._ailing = False
        self.queued_rows = 0
        self.written_rows = 0
        self.dropped_rows = 0
        self._thread = threading.Thread(target=self._work, name="prediction-log", daemon=True)
        self._thread.start()

    def offer(self, variant: Variant, scored: Scored) -> None:
        """Queue scored rows for writing, or drop and count them when the queue is full."""
        n_rows = len(scored.rows)
        with self._changed:
            if self._closing or self.queued_rows + n_rows > self._capacity:
                self.dropped_rows += n_rows
                return
            self._queue.append((variant, scored))
            self.queued_rows += n_rows
            self._changed.notify()

    def close(self) -> None:
        """Write what is queued, seal every stream and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                taken, self._queue = self._queue, []
            for variant, scored in _by_package(taken):
                self._write(variant, scored)
            with self._changed:
                self.queued_rows -= sum(len(scored.rows) for _, scored in taken)
                closing = self._closing and not self._queue
            if closing:
                break
            # Gathering for a moment makes batches of many requests; an idle server is asleep in `wait` above instead.
            if self.queued_rows < self._capacity / 4:
                time.sleep(self._flush_s)
        for stream in self._writers.values():
            self._seal(stream)

    def _write(self, variant: Variant, scored: Sequence[Scored]) -> None:
        n_rows = sum(len(one.rows) for one in scored)
        try:
            stream = self._stream(variant, scored[0].service)
            stream.writer.write(record_batch(stream.schema, scored, keys=variant.keys))
            stream.writer.flush()
        except (pa.ArrowException, SampanError) as cause:
            self._drop(n_rows, cause)
            return
        self.written_rows += n_rows
        self._ailing = False
        stream.n_rows += n_rows
        if stream.n_rows >= SEAL_ROWS or time.monotonic() - stream.opened > SEAL_S:
            del self._writers[variant.package]
            self._seal(stream)

    def _stream(self, variant: Variant, service: str) -> _Stream:
        if (stream := self._writers.get(variant.package)) is None:
            schema = record_schema(variant.predictor.feature_names, variant.kept_fields)
            stream = _Stream(self._segments.writer(predictions_stream(service, variant.package), schema), schema)
            self._writers[variant.package] = stream
        return stream

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


class ArrivalLog:
    """True labels and fed rows as they arrive. A call that returned has reached the operating system: it survives kill -9.

    Not for several threads at once. Raises StoreUnavailable where the disk refuses; nothing of that call is kept then.
    """

    def __init__(self, segments: Segments, service: str) -> None:
        self._segments = segments
        self._service = service
        self._writers: dict[str, SegmentWriter] = {}

    def outcomes(self, outcomes: Sequence[Outcome], *, received: Millis) -> None:
        """Append true labels."""
        self._append(outcomes_stream(self._service), OUTCOMES, outcome_batch(outcomes, received=received))

    def feed(self, table: str, feed: Feed, *, received: Millis) -> None:
        """Append rows fed to an online feature table."""
        row = {"table": [table], "at": [feed.at], "received": [received], "rows": [msgspec.json.encode(feed.rows)]}
        self._append(feeds_stream(self._service), FEEDS, pa.RecordBatch.from_pydict(row, schema=FEEDS))

    def replay(self, predictor: Predictor, *, after: str, known_until: Millis) -> str:
        """Feed a predictor everything since the cursor `after` that became known later than `known_until`; return the new cursor."""
        fed, cursor = self._segments.read(feeds_stream(self._service), after=after)
        # Together by table: a year of hourly feeds is then caught up with in a second or two, not in a minute.
        together: dict[str, list[dict[str, Any]]] = {}
        for row in _rows(fed):
            if row["at"] > known_until:
                together.setdefault(row["table"], []).extend(msgspec.json.decode(row["rows"]))
        for table, rows in together.items():
            predictor.feed(table, rows)
        return cursor

    def close(self) -> None:
        """Seal what is open."""
        for writer in self._writers.values():
            writer.seal()
        self._writers.clear()

    def _append(self, stream: str, schema: pa.Schema, batch: pa.RecordBatch) -> None:
        writer = self._writers.get(stream)
        if writer is None:
            writer = self._writers[stream] = self._segments.writer(stream, schema)
        writer.write(batch)
        writer.flush()


class _Stream:
    """An open segment and how full it is."""

    def __init__(self, writer: SegmentWriter, schema: pa.Schema) -> None:
        self.writer = writer
        self.schema = schema
        self.n_rows = 0
        self.opened = time.monotonic()


def _by_package(taken: Sequence[tuple[Variant, Scored]]) -> Iterator[tuple[Variant, list[Scored]]]:
    groups: dict[str, tuple[Variant, list[Scored]]] = {}
    for variant, scored in taken:
        groups.setdefault(variant.package, (variant, []))[1].append(scored)
    yield from groups.values()


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches():
        yield from batch.to_pylist()
