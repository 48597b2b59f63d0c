"""The shadow: a model that scores what others answered, after they answered, in a thread of its own, and is heard by the log alone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, cast

import msgspec

from sampan.serving.records import Scored
from sampan.serving.routing import Variant
from sampan.serving.spans import Origin
from sampan.table.rows import ColumnRows, joined
from sampan.table.rows import Row as TypedRow

logger = logging.getLogger(__name__)

PATIENCE_S = 10.0

Row = Mapping[str, Any]
_Job = Callable[[], None]


class Shadow:
    """Scores offered rows in order. Rows fed to online tables pass through the same queue, so it sees the state the live model saw."""

    def __init__(self, service: str, record: Callable[[Variant, Scored], None], *, capacity_rows: int) -> None:
        self.variant: Variant | None = None
        self.queued_rows = 0
        self.scored_rows: dict[str, int] = {}  # by version
        self.failed_rows: dict[str, int] = {}  # by version: it raised on them
        self.failed_requests: dict[str, int] = {}
        self.dropped_rows = 0  # those among them
        self._service = service
        self._record = record
        self._capacity = capacity_rows
        self._draining = False
        self._ailing = False
        self._counting = Lock()  # offers come from the event loop, scores from the thread
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: Thread | None = None  # begun with the first shadow: most services have none

    def offer(self, rows: Sequence[Row], ids: Sequence[str], origin: Origin) -> None:
        """Queue answered rows, or drop and count them when the queue is full."""
        variant = self.variant
        if variant is None:
            return
        with self._counting:
            if self._draining or self.queued_rows + len(rows) > self._capacity:
                self.dropped_rows += len(rows)
                return
            self.queued_rows += len(rows)
        self._jobs.put(lambda: self._score(variant, rows, ids, origin))

    def feed(self, table: str, rows: Sequence[Row]) -> None:
        """Queue rows for the shadow's online table. These are never dropped: every later score would be wrong."""
        if (variant := self.variant) is not None:
            self._jobs.put(lambda: variant.predictor.feed(table, rows))

    async def become(self, variant: Variant | None) -> None:
        """Finish what is queued, then listen as another variant (or as none)."""
        if self.variant is not None and (variant is None or variant.package != self.variant.package):
            self._draining = True
            done: Future[None] = Future()
            self._jobs.put(lambda: done.set_result(None))
            try:
                await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(done)), PATIENCE_S)
            except TimeoutError:  # it hangs: another thread, and another queue, for those after it
                logger.warning("the shadow %s hangs and is left behind", self.variant.version)
                self._jobs, self._thread, self.queued_rows = SimpleQueue(), None, 0
        if variant is not None and self._thread is None:
            self._thread = Thread(target=self._work, name="shadow", daemon=True)
            self._thread.start()
        self.variant = variant
        self._draining = False

    def close(self) -> None:
        """Score what is queued and stop the thread; one that hangs is left behind."""
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    def _work(self) -> None:
        jobs = self._jobs
        while (job := jobs.get()) is not None:
            try:
                job()
                self._ailing = False
            except Exception:  # a broken candidate must not silence the queue; it is counted and logged once
                if not self._ailing:
                    logger.warning("the shadow failed; its rows are dropped and counted", exc_info=True)
                self._ailing = True

    def _score(self, variant: Variant, rows: Sequence[Row], ids: Sequence[str], origin: Origin) -> None:
        scored: Scored | None = None
        try:
            scored = measure(self._service, variant, rows, ids, origin, started_ns=time.perf_counter_ns())
            self._record(variant, scored)
        finally:
            with self._counting:
                self.queued_rows -= len(rows)
                # A new dict each time: the event loop iterates over them for /metrics.
                if scored is None:
                    self.dropped_rows += len(rows)
                    self.failed_rows = {**self.failed_rows, variant.version: self.failed_rows.get(variant.version, 0) + len(rows)}
                    self.failed_requests = {**self.failed_requests, variant.version: self.failed_requests.get(variant.version, 0) + 1}
                else:
                    self.scored_rows = {**self.scored_rows, variant.version: self.scored_rows.get(variant.version, 0) + len(rows)}


def measure(service: str, variant: Variant, rows: Sequence[Row], ids: Sequence[str], origin: Origin, *, started_ns: int) -> Scored:
    """Let one variant score rows; return everything the log wants to know of it."""
    predictor = variant.predictor
    features = predictor.features(rows)
    scores = predictor.score(features)
    if isinstance(rows, ColumnRows):
        rows.compact(but=variant.keys)
    return Scored(
        service=service,
        version=variant.version,
        role=variant.role,
        at=origin.at,
        latency_us=(time.perf_counter_ns() - started_ns) // 1000,
        ids=ids,
        rows=rows,
        moments=None,  # the log reads those of many rows at once
        features=features,
        scores=scores,
        caller=origin.caller,
        trace=origin.trace,
        size_bytes=origin.size_bytes,
    )


def measure_together(service: str, items: Sequence[tuple[Variant, Sequence[Row], Sequence[str], Origin]]) -> list[Scored]:
    """Let one variant score the rows of several requests at once; return what `measure` would return for each."""
    variant = items[0][0]
    together = Origin(at=items[0][3].at)
    every = _under([rows for _, rows, _, _ in items])
    whole = measure(service, variant, every, (), together, started_ns=time.perf_counter_ns())
    held = every if isinstance(every, ColumnRows) else None  # compact by now
    found, first = [], 0
    for its_variant, rows, ids, origin in items:
        part = slice(first, first + len(rows))
        first += len(rows)
        found.append(
            msgspec.structs.replace(
                whole,
                role=its_variant.role,
                at=origin.at,
                latency_us=(time.perf_counter_ns() - origin.started_ns) // 1000,
                ids=ids,
                rows=rows if held is None else cast("Sequence[Row]", held[part]),
                features=whole.features[part],
                scores=whole.scores[part],
                caller=origin.caller,
                trace=origin.trace,
                size_bytes=origin.size_bytes,
            )
        )
    return found


def _under(requests: Sequence[Sequence[Row]]) -> Sequence[Row]:
    """Return the rows of several requests under one another, as columns where some come as such, and all of the same names."""
    if not any(isinstance(rows, ColumnRows) for rows in requests):
        return [row for rows in requests for row in rows]
    named = [_fields(rows) for rows in requests]
    if named[0] is None or any(fields != named[0] for fields in named):
        return [row for rows in requests for row in rows]
    return joined(requests, ())


def _fields(rows: Sequence[Row]) -> Collection[str] | None:
    """Return the fields that every row has; None where each may have its own."""
    if isinstance(rows, ColumnRows):
        return rows.columns.keys()
    kind: type[Any] = type(rows[0])  # a row is a mapping by registration
    return kind.attributes.keys() if issubclass(kind, TypedRow) else None
