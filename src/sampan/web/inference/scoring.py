"""From rows to answers: who scores which row, what is logged, what the shadow hears, and how the routing is swapped in between."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from mmap import mmap
from typing import Any

import msgspec

from sampan.core.times import Clock
from sampan.errors import NotFound, SampanError, Unavailable
from sampan.serving.answers import many
from sampan.serving.exposition import Counters, Labels
from sampan.serving.outcomes import Feed, row_key
from sampan.serving.records import NumberedIds, Scored
from sampan.serving.requests import Prediction
from sampan.serving.routing import Routing, Variant
from sampan.serving.spans import Origin
from sampan.table.rows import ColumnRows
from sampan.web.inference.accounts import Accounts
from sampan.web.inference.direct import direct_answers, flagged
from sampan.web.inference.lanes import Lane, measure_pace
from sampan.web.inference.log import PredictionLog
from sampan.web.inference.many_rows import Item, ManyRows, alone, in_company
from sampan.web.inference.reply import Coming, Reply
from sampan.web.inference.shadow import Shadow
from sampan.web.inference.single_rows import SingleRows
from sampan.web.inference.together import Together

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]
_Part = tuple[Variant, Sequence[int]]
STUCK = 2.0  # times the longest deadline that a call may run before it counts as stuck: it will not end any more


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes on."""

    body_bytes: int = 16 * 1024 * 1024
    rows: int = 100_000
    inline_rows: int = 256  # up to here a request is scored on the event loop: a hop to a thread costs more than the model
    in_flight: int = 256
    shadow_rows: int = 20_000
    concurrency: int = 4  # requests of one model that run at the same time in threads
    queue: int = 64  # requests of one model that may wait for a thread
    timeout_s: float = 30.0  # for a request that names no deadline of its own


class Scorer:
    """Scores rows with the present routing. All methods belong to the event loop's thread."""

    def __init__(self, service: str, *, log: PredictionLog, counters: Counters, limits: Limits, clock: Clock) -> None:
        self.routing = Routing()
        self.catch_up: Callable[[], Awaitable[None]] | None = None  # where several processes are fed: takes rows from the log, each once
        self.suspects: frozenset[str] = frozenset()  # packages that a process hung on before
        self.singles: SingleRows | None = None  # the shortest way for bare single rows, where there is one
        self._many: ManyRows | None = None  # where one live model answers all on the event loop
        self._service = service
        self._log = log
        self._counters = counters
        self._inline_rows = limits.inline_rows
        self._clock = clock
        self._shadow = Shadow(service, log.offer, capacity_rows=limits.shadow_rows)
        self._limits = limits
        self._lanes: dict[str, Lane] = {}  # by package
        self._accounts = Accounts(log, counters, self._shadow, self._lanes)
        self._together: dict[str, Together[Item, Scored]] = {}
        self._timing: set[asyncio.Task[None]] = set()
        self._inline = False  # every loaded model runs on the event loop
        self._turn = asyncio.Lock()  # held by what must not overlap: rows being fed, a swap
        self._prefix = secrets.token_hex(6)
        self._serial = count(1)

    def mark_in(self, page: mmap | None) -> None:
        """Name in a page of shared memory the package that runs, for who looks at what is left of this process."""
        self._accounts.marker = page

    def answers_now(self, n_rows: int) -> bool:
        """Say whether a request of so many rows is scored on the event loop: a hop to a thread costs more than the model."""
        return self._inline and n_rows <= self._inline_rows

    def begin_row(self, origin: Origin) -> str:
        """Take note that a row came just now; return a name for its answer."""
        origin.at, origin.started_ns = self._clock(), time.perf_counter_ns()
        return f"{self._prefix}-{next(self._serial)}"

    def gather(
        self,
        rows: Sequence[Row],
        replied: Callable[[Variant, Scored], Reply],
        *,
        ids: Sequence[str] = (),
        version: str = "",
        origin: Origin,
    ) -> Coming | None:
        """Take a request that is scored as a whole with those of this turn of the event loop; None where it goes by itself.

        Raises
        ------
        NotFound : no loaded variant has that `version`.
        """
        many = self._many
        if many is None or len(rows) > self._inline_rows or (version and self.variant(version) is not many.variant):
            return None
        if not many.company.gathers:
            many.company.passed()
            return None
        return many.ask(rows, ids or self._new_ids(len(rows)), self._begun(origin), replied)

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
        return _predictions(*self._scored_now(rows, ids, version, self._begun(origin), whole=whole), len(rows))

    async def answer(
        self, rows: Sequence[Row], *, ids: Sequence[str] = (), version: str = "", whole: bool = False, origin: Origin | None = None
    ) -> list[Prediction]:
        """Score rows in threads of their models' lanes. Raises as `answer_now`, and Unavailable where too many wait for a model."""
        return _predictions(*await self._scored(rows, ids, version, self._begun(origin), whole=whole), len(rows))

    def scores_now(self, rows: Sequence[Row], *, ids: Sequence[str] = (), version: str = "", origin: Origin) -> tuple[Variant, Scored]:
        """Score rows as a whole; return the variant and what it did with them. Raises as `answer_now`."""
        ((variant, _),), (scored,) = self._scored_now(rows, ids, version, self._begun(origin), whole=True)
        return variant, scored

    async def scores(self, rows: Sequence[Row], *, ids: Sequence[str] = (), version: str = "", origin: Origin) -> tuple[Variant, Scored]:
        """Score rows as a whole, in the lane of one model. Raises as `answer`."""
        ((variant, _),), (scored,) = await self._scored(rows, ids, version, self._begun(origin), whole=True)
        return variant, scored

    def _scored_now(
        self, rows: Sequence[Row], ids: Sequence[str], version: str, origin: Origin, *, whole: bool
    ) -> tuple[Sequence[_Part], Sequence[Scored]]:
        ids = ids or self._new_ids(len(rows))
        parts = self._parts(rows, version=version, whole=whole)
        scored = [self._measured(parts[0], rows, ids, origin)]
        for part in parts[1:]:  # its latency is not that of the version before it
            scored.append(self._measured(part, rows, ids, msgspec.structs.replace(origin, started_ns=time.perf_counter_ns())))
        took_ns = time.perf_counter_ns() - origin.started_ns
        for variant, _ in parts:
            self._accounts.took(variant, took_ns)
        self._note(parts, scored, rows, ids, origin)
        return parts, scored

    async def _scored(
        self, rows: Sequence[Row], ids: Sequence[str], version: str, origin: Origin, *, whole: bool
    ) -> tuple[Sequence[_Part], Sequence[Scored]]:
        ids = ids or self._new_ids(len(rows))
        parts = self._parts(rows, version=version, whole=whole)
        # The lanes are taken now: a swap may come before the work begins, and what was begun is finished.
        lanes = [self._lanes[variant.package] for variant, _ in parts]
        scored = await asyncio.gather(*(self._in_lane(lane, part, rows, ids, origin) for lane, part in zip(lanes, parts, strict=True)))
        self._note(parts, scored, rows, ids, origin)
        return parts, scored

    def _begun(self, origin: Origin | None) -> Origin:
        origin = origin or Origin()
        origin.at, origin.started_ns = self._clock(), time.perf_counter_ns()
        return origin

    def _note(self, parts: Sequence[_Part], scored: Sequence[Scored], rows: Sequence[Row], ids: Sequence[str], origin: Origin) -> None:
        """Log and count what was scored, and let the shadow hear of it."""
        for (variant, _), one in zip(parts, scored, strict=True):
            self._accounts.answered(variant, one, origin)
        self._accounts.ended(rows, ids, origin)

    async def swap(self, routing: Routing, *, catch_up: Callable[[], Awaitable[None]]) -> None:
        """Replace the routing between two requests. `catch_up` runs first, while no rows are being fed.

        No request waits for it: until the assignment the old routing answers, and what it began it finishes.
        """
        async with self._turn:
            await catch_up()
            await self._shadow.become(routing.shadow)
            gone = {v.package for v in self.routing.variants} - {v.package for v in routing.variants}
            self._open_lanes(routing)
            self.routing = routing
            self._look_at_lanes()
            for package in gone:  # what it began it finishes
                if (lane := self._lanes.pop(package, None)) is not None:
                    lane.close()
                self._together.pop(package, None)
        self._counters.add("sampan_swaps_total")

    async def feed(self, table: str, feed: Feed, *, keep: Callable[[], Awaitable[None]]) -> None:
        """Feed rows to every loaded variant. `keep` writes them down first: what was acknowledged outlives the process."""
        async with self._turn:
            await keep()
            if self.catch_up is None:
                for variant in self.routing.variants:
                    await self.feed_one(variant, table, feed.rows)
        if self.catch_up is not None:
            await self.catch_up()
        self._counters.add("sampan_fed_rows_total", len(feed.rows))

    async def feed_one(self, variant: Variant, table: str, rows: Sequence[Row]) -> None:
        """Feed rows to one loaded variant, while nothing is scored by it; the shadow takes them in its turn."""
        if variant.role == "shadow":
            self._shadow.feed(table, rows)
        elif (lane := self._lanes.get(variant.package)) is not None:
            async with lane.alone():
                variant.predictor.feed(table, rows)

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
        for variant in routing.variants:
            if (lane := self._lanes.get(variant.package)) is not None and (n_stuck := lane.stuck(STUCK * self._limits.timeout_s)):
                now[("sampan_stuck_requests", (("version", variant.version), ("package", variant.package)))] = n_stuck
        for version, n_rows in self._shadow.failed_rows.items():
            now[("sampan_shadow_failed_rows_total", (("version", version),))] = n_rows
        for version, n_requests in self._shadow.failed_requests.items():
            now[("sampan_shadow_failed_requests_total", (("version", version),))] = n_requests
        for version, n_rows in self._shadow.scored_rows.items():
            now[("sampan_shadow_scored_rows_total", (("version", version),))] = n_rows
        for variant in routing.variants:
            now[("sampan_routing_info", (("version", variant.version), ("role", variant.role)))] = 1
        return now

    async def close(self) -> None:
        """Score what the shadow still has, then write the prediction log to its end."""
        loop = asyncio.get_running_loop()
        await self.retire()
        await loop.run_in_executor(None, self._log.close)

    async def retire(self) -> None:
        """Score what the shadow still has, and let the models' threads end. The prediction log, which services may share, goes on."""
        await asyncio.get_running_loop().run_in_executor(None, self._shadow.close)
        for lane in self._lanes.values():
            lane.close()

    def _new_ids(self, n: int) -> Sequence[str]:
        head = f"{self._prefix}-{next(self._serial)}"
        return [head] if n == 1 else NumberedIds(head, n)

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

    def _measured(self, part: _Part, rows: Sequence[Row], ids: Sequence[str], origin: Origin) -> Scored:
        """Score a part here and now."""
        variant, indices = part
        self._accounts.begin(variant)
        try:
            return alone(self._service, (variant, *_its(indices, rows, ids), origin))
        except Exception:
            self._accounts.failed(variant, len(indices))
            raise

    async def _in_lane(self, lane: Lane, part: _Part, rows: Sequence[Row], ids: Sequence[str], origin: Origin) -> Scored:
        """Score a part in its model's lane, alone or in company."""
        variant, indices = part
        self._accounts.begin(variant)
        item = (variant, *_its(indices, rows, ids), origin)
        try:
            if lane.goes_together and len(indices) <= self._inline_rows:
                return await self._company(variant, lane).run(item, len(indices))
            scored = await lane.run(lambda: alone(self._service, item))
        except BaseException:  # also who stops waiting: its deadline passed, or its caller left
            self._accounts.failed(variant, len(indices))
            raise
        if lane.wants_pace:
            self._time(lane, variant, item[1])
        return scored

    def _company(self, variant: Variant, lane: Lane) -> Together[Item, Scored]:
        if variant.package not in self._together:
            self._together[variant.package] = Together(
                lane, lambda items: in_company(self._service, items), most_waiting=self._limits.queue
            )
        return self._together[variant.package]

    def _time(self, lane: Lane, variant: Variant, rows: Sequence[Row]) -> None:
        """Time a model alone and in company, in its lane, on rows it was just asked."""

        async def timing() -> None:
            with suppress(SampanError):
                lane.timed(await lane.run(lambda: measure_pace(variant.predictor.predict, rows)))

        if not self._timing:
            task = asyncio.create_task(timing())
            self._timing.add(task)
            task.add_done_callback(self._timing.discard)

    def _open_lanes(self, routing: Routing) -> None:
        limits = self._limits
        for variant in routing.variants:
            if variant.package not in self._lanes:
                self._lanes[variant.package] = Lane(
                    variant.version,
                    concurrency=limits.concurrency,
                    queue=limits.queue,
                    changed=self._look_at_lanes,
                    suspect=variant.package in self.suspects,
                )

    def _look_at_lanes(self) -> None:
        answering = [v for v in (self.routing.live, self.routing.canary) if v is not None]
        self._inline = all(lane.inline for v in answering if (lane := self._lanes.get(v.package)) is not None)
        live = self.routing.live
        if not self._inline or live is None or self.routing.canary is not None:
            self.singles = self._many = None
            return
        if self._many is None or self._many.variant is not live:
            self._many = ManyRows(self._service, live, self._accounts)
        if self.singles is None or self.singles.variant is not live:
            direct = direct_answers(self._service, live)
            self.singles = SingleRows(direct, self._accounts) if direct is not None else None

    def paces(self) -> dict[str, str]:
        """Return, by version, what was measured of models that take long enough for company to matter."""
        lanes = {variant.version: self._lanes[variant.package] for variant in self.routing.variants}
        told = {version: str(lane.pace) for version, lane in lanes.items() if lane.pace is not None}
        for way in (self.singles, self._many):
            if way is not None:
                told[way.variant.version] = "; ".join(filter(None, (told.get(way.variant.version), str(way.company))))
        return told


def _its(indices: Sequence[int], rows: Sequence[Row], ids: Sequence[str]) -> tuple[Sequence[Row], Sequence[str]]:
    """Return the rows and ids of a part."""
    if len(indices) == len(rows):
        return rows, ids
    part = rows.take(indices) if isinstance(rows, ColumnRows) else [rows[i] for i in indices]
    return part, [ids[i] for i in indices]


def tell(variant: Variant, scored: Scored) -> list[Prediction]:
    """Tell the answers to scored rows, with what lies beyond training."""
    return flagged(many(variant, scored.ids, scored.scores), variant, scored)


def _predictions(parts: Sequence[_Part], scored: Sequence[Scored], n_rows: int) -> list[Prediction]:
    slots: list[Prediction | None] = [None] * n_rows
    for (variant, indices), one in zip(parts, scored, strict=True):
        told = tell(variant, one)
        if len(parts) == 1:
            return told
        for index, prediction in zip(indices, told, strict=True):
            slots[index] = prediction
    return [slot for slot in slots if slot is not None]


def _short(version: str) -> tuple[str, ...]:
    _, _, tail = version.rpartition("@")
    return (tail, tail.removeprefix("v"))
