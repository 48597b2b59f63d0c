"""From rows to answers: who scores which row, what is logged, what the shadow hears, and how the routing is swapped in between."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from sampan.core.times import Clock
from sampan.errors import IntegrityError, NotFound, Unavailable
from sampan.serving.exposition import Counters, Labels
from sampan.serving.outcomes import Feed, row_key
from sampan.serving.records import Scored
from sampan.serving.requests import Prediction
from sampan.serving.routing import Routing, Variant
from sampan.serving.spans import Origin
from sampan.web.inference_log import PredictionLog
from sampan.web.inference_shadow import Shadow, measure

Row = dict[str, Any]
_Part = tuple[Variant, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes on."""

    body_bytes: int = 16 * 1024 * 1024
    rows: int = 100_000
    inline_rows: int = 256  # up to here a request is scored on the event loop: a hop to a thread costs more than the model
    in_flight: int = 256
    shadow_rows: int = 20_000


class Scorer:
    """Scores rows with the present routing. All methods belong to the event loop's thread."""

    def __init__(self, service: str, *, log: PredictionLog, counters: Counters, limits: Limits, clock: Clock) -> None:
        self.routing = Routing()
        self._service = service
        self._log = log
        self._counters = counters
        self._inline_rows = limits.inline_rows
        self._clock = clock
        self._shadow = Shadow(service, log.offer, capacity_rows=limits.shadow_rows)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="large-requests")
        # Held by what must not overlap: a large request in its thread, rows being fed, a swap. Small requests run between, on the loop.
        self._turn = asyncio.Lock()
        self._prefix = secrets.token_hex(6)
        self._serial = count(1)

    def answers_now(self, n_rows: int) -> bool:
        """Say whether a request of so many rows is scored on the event loop: a hop to a thread costs more than the model."""
        return n_rows <= self._inline_rows

    def answer_now(
        self, rows: Sequence[Row], *, ids: Sequence[str] = (), version: str = "", whole: bool = False, origin: Origin | None = None
    ) -> list[Prediction]:
        """Score rows: each by the variant its key is routed to, or all by one (`version`, or `whole`: the first row's).

        Raises
        ------
        Unavailable : no model is live.
        NotFound : no loaded variant has that `version`.
        ParameterError : a row does not fit the model; nothing of the request is logged then.
        """
        origin = self._begun(origin)
        ids = ids or self._new_ids(len(rows))
        parts = self._parts(rows, version=version, whole=whole)
        return self._answered(parts, self._measure(parts, rows, ids, origin), rows, ids, origin)

    async def answer(
        self, rows: Sequence[Row], *, ids: Sequence[str] = (), version: str = "", whole: bool = False, origin: Origin | None = None
    ) -> list[Prediction]:
        """Score many rows in a thread, one such request at a time. Raises as `answer_now`."""
        origin = self._begun(origin)
        ids = ids or self._new_ids(len(rows))
        parts = self._parts(rows, version=version, whole=whole)
        async with self._turn:
            loop = asyncio.get_running_loop()
            scored = await loop.run_in_executor(self._worker, self._measure, parts, rows, ids, origin)
        return self._answered(parts, scored, rows, ids, origin)

    def _begun(self, origin: Origin | None) -> Origin:
        origin = origin or Origin()
        origin.at, origin.started_ns = self._clock(), time.perf_counter_ns()
        return origin

    def _answered(
        self, parts: Sequence[_Part], scored: Sequence[Scored], rows: Sequence[Row], ids: Sequence[str], origin: Origin
    ) -> list[Prediction]:
        for (variant, indices), one in zip(parts, scored, strict=True):
            self._log.offer(variant, one)
            self._counters.add("sampan_predictions_total", len(indices), version=variant.version, role=variant.role)
            if origin.span is not None:
                origin.span.note(one.version, one.role, len(indices), started_ns=origin.started_ns)
        self._shadow.offer(rows, ids, origin)
        self._counters.observe((time.perf_counter_ns() - origin.started_ns) / 1e9)
        return _predictions(parts, scored, len(rows))

    async def swap(self, routing: Routing, *, catch_up: Callable[[], Awaitable[None]]) -> None:
        """Replace the routing between two requests. `catch_up` runs first, while no rows are being fed.

        No request waits for it: until the assignment the old routing answers, and what it began it finishes.
        """
        async with self._turn:
            await catch_up()
            await self._shadow.become(routing.shadow)
            self.routing = routing
        self._counters.add("sampan_swaps_total")

    async def feed(self, table: str, feed: Feed, *, keep: Callable[[], Awaitable[None]]) -> None:
        """Feed rows to every loaded variant. `keep` writes them down first: what was acknowledged outlives the process."""
        async with self._turn:
            await keep()
            for variant in self.routing.variants:
                if variant.role != "shadow":
                    variant.predictor.feed(table, feed.rows)
            self._shadow.feed(table, feed.rows)
        self._counters.add("sampan_fed_rows_total", len(feed.rows))

    def refused(self, caller: str) -> None:
        """Count a request that no model answered, for its caller's volumes."""
        self._log.refused(self._service, caller)

    def variant(self, version: str) -> Variant:
        """Return the loaded variant of that version, written `name@v3`, `v3` or `3`."""
        for variant in self.routing.variants:
            if version in (variant.version, *_short(variant.version)):
                return variant
        loaded = ", ".join(v.version for v in self.routing.variants)
        raise NotFound(f"version {version!r} is not loaded in {self._service!r}", hint=f"loaded: {loaded or 'none'}")

    def live(self) -> Variant:
        """Return the live variant, or raise Unavailable."""
        if self.routing.live is None:
            raise Unavailable(f"{self._service!r} has no live model yet", hint=f"sampan service deploy MODEL {self._service}")
        return self.routing.live

    def gauges(self) -> dict[tuple[str, Labels], float]:
        """Return what is true now, for /metrics."""
        routing = self.routing
        now: dict[tuple[str, Labels], float] = {
            ("sampan_shadow_queue_rows", ()): self._shadow.queued_rows,
            ("sampan_shadow_dropped_rows_total", ()): self._shadow.dropped_rows,
            ("sampan_log_queue_rows", ()): self._log.queued_rows,
            ("sampan_log_written_rows_total", ()): self._log.written_rows,
            ("sampan_log_dropped_rows_total", ()): self._log.dropped_rows,
            ("sampan_canary_share", ()): routing.share if routing.canary else 0.0,
        }
        for version, n_rows in self._shadow.scored_rows.items():
            now[("sampan_shadow_scored_rows_total", (("version", version),))] = n_rows
        for variant in routing.variants:
            now[("sampan_routing_info", (("version", variant.version), ("role", variant.role)))] = 1
        return now

    async def close(self) -> None:
        """Score what the shadow still has, then write the prediction log to its end."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._shadow.close)
        await loop.run_in_executor(None, self._log.close)
        self._worker.shutdown()

    def _new_ids(self, n: int) -> list[str]:
        head = f"{self._prefix}-{next(self._serial)}"
        return [head] if n == 1 else [f"{head}.{index}" for index in range(n)]

    def _parts(self, rows: Sequence[Row], *, version: str, whole: bool) -> list[_Part]:
        everything = range(len(rows))
        if version:
            return [(self.variant(version), everything)]
        live, routing = self.live(), self.routing
        if routing.canary is None:
            return [(live, everything)]
        keys = [row_key(row, live.keys) or secrets.token_hex(8) for row in (rows[:1] if whole else rows)]
        to_live, to_canary = routing.split(keys, salt=self._service)
        if whole:
            return [(live if to_live else routing.canary, everything)]
        return [(variant, part) for variant, part in ((live, to_live), (routing.canary, to_canary)) if part]

    def _measure(self, parts: Sequence[_Part], rows: Sequence[Row], ids: Sequence[str], origin: Origin) -> list[Scored]:
        found = []
        for variant, indices in parts:
            its_rows = rows if len(indices) == len(rows) else [rows[i] for i in indices]
            its_ids = ids if len(indices) == len(rows) else [ids[i] for i in indices]
            scored = measure(self._service, variant, its_rows, its_ids, origin, started_ns=origin.started_ns)
            if not np.isfinite(scored.scores).all():
                worst = int(np.flatnonzero(~np.isfinite(scored.scores))[0])
                raise IntegrityError(f"{variant.version} answered {scored.scores[worst]} for row {indices[worst]}, which is no probability")
            found.append(scored)
        return found


def _predictions(parts: Sequence[_Part], scored: Sequence[Scored], n_rows: int) -> list[Prediction]:
    slots: list[Prediction | None] = [None] * n_rows
    for (variant, indices), one in zip(parts, scored, strict=True):
        threshold, version = variant.threshold, variant.version
        for index, name, score in zip(indices, one.ids, one.scores.tolist(), strict=True):
            decision = None if threshold is None else score >= threshold
            slots[index] = Prediction(id=name, score=score, version=version, decision=decision)
    return [slot for slot in slots if slot is not None]


def _short(version: str) -> tuple[str, ...]:
    _, _, tail = version.rpartition("@")
    return (tail, tail.removeprefix("v"))
