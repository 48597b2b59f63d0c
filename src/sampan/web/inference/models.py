"""Keeps what a server answers with equal to what the graph says: loads packages off the event loop, brings them up to date, swaps.

A `Follower` does it for one service. The `Watch` asks the ledger whether anything happened at all; only then do followers look.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from mmap import PAGESIZE
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sampan.core.times import Millis
from sampan.errors import PolicyRefused, SampanError
from sampan.packaging.answering import answering_libraries
from sampan.serving.outcomes import Expected
from sampan.serving.routing import Role, Routing, Variant
from sampan.web.inference.app import InferenceApp
from sampan.web.inference.features import OnlineFeatures
from sampan.web.inference.log import ArrivalLog
from sampan.workspace.services.routing import Planned, RoutingPlan, planned_routing

if TYPE_CHECKING:
    from sampan.workspace.models.predictors import PackagePredictor
    from sampan.workspace.models.redis_tables import FeatureRedis
    from sampan.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

POLL_S = 0.3
Plan = Callable[[str], RoutingPlan]  # from a service's name


class Follower:
    """Follows one service's routing; a plan that cannot be loaded leaves the present one in place and is told in /health."""

    def __init__(self, app: InferenceApp, workspace: Workspace, arrivals: ArrivalLog, *, plan: Plan | None = None) -> None:
        self.app = app
        self._ws = workspace
        self._arrivals = arrivals
        self._plan = plan or (lambda name: planned_routing(workspace.catalog, name))
        self._seen: RoutingPlan | None = None
        self._cursors: dict[str, str] = {}  # package -> how far its predictor has been fed from the log
        self._known_until: dict[str, Millis] = {}  # package -> what its online tables hold already
        self._fed: set[str] = set()  # packages that look at online tables
        self._sizes: dict[str, int] = {}
        self._one_look = asyncio.Lock()
        self._shared: FeatureRedis | None = None
        self.features = OnlineFeatures(app, workspace, arrivals, cursors=self._cursors)
        app.reload = self.look_again

    @property
    def size_bytes(self) -> int:
        """What the loaded models take: what the process grew by, at least what their files have."""
        return sum(self._sizes.get(variant.package, 0) for variant in self.app.scorer.routing.variants)

    async def begin(self) -> None:
        """Load the present plan. Raises what loading raises: a service without a model is of no use."""
        await self.look_again()
        if self.app.scorer.routing.live is None and self.app.fault:
            raise SampanError(self.app.fault)

    async def look_again(self) -> None:
        """Look at the graph now; also retry a plan that failed before."""
        if self.app.fault:
            self._seen = None
        await self.look()

    async def look(self) -> None:
        """Look at the graph, and swap if it says another thing than before."""
        async with self._one_look:
            plan = await asyncio.to_thread(self._plan, self.app.service)
            if plan == self._seen:
                return
            self._seen = plan
            try:
                await self._follow(plan)
                self.app.fault = ""
            except Exception as cause:  # a broken package must not take down the model that answers
                self.app.fault = f"{type(cause).__name__}: {cause}"
                self.app.counters.add("sampan_swap_failures_total")
                logger.warning("the new routing of %s could not be loaded", self.app.service, exc_info=True)

    async def catch_up(self) -> None:
        """Feed the loaded models what arrived by any process since they were last fed; each row once."""
        async with self._one_look:
            for variant in self.app.scorer.routing.variants:
                arrived = _Arrived()
                await asyncio.to_thread(self._replay, variant, arrived)
                for table, rows in arrived.fed:
                    await self.app.scorer.feed_one(variant, table, rows)

    async def _follow(self, plan: RoutingPlan) -> None:
        loaded = {variant.package: variant for variant in self.app.scorer.routing.variants}
        fresh: list[Variant] = []

        async def variant_of(planned: Planned | None, role: Role) -> Variant | None:
            if planned is None:
                return None
            if (known := loaded.get(planned.package)) is not None:
                return replace(known, role=role)
            variant = await asyncio.to_thread(self._load, planned, role)
            loaded[planned.package] = variant
            fresh.append(variant)
            return variant

        routing = Routing(
            live=await variant_of(plan.live, "live"),
            canary=await variant_of(plan.canary, "canary"),
            share=plan.share,
            shadow=await variant_of(plan.shadow, "shadow"),
        )

        async def catch_up() -> None:
            for variant in fresh:
                if variant.package in self._fed:
                    await asyncio.to_thread(self._replay, variant)

        await self.app.scorer.swap(routing, catch_up=catch_up)
        logger.info("%s now: %s", self.app.service, ", ".join(f"{v.role} {v.version}" for v in routing.variants))

    def _load(self, planned: Planned, role: Role) -> Variant:
        from sampan.workspace.models.package_files import serving_folder
        from sampan.workspace.models.predictors import open_predictor

        before = _resident_bytes()
        folder = serving_folder(self._ws, planned.package)
        predictor = open_predictor(folder, redis=self._redis(), package=planned.package)
        files = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        self._sizes[planned.package] = max(_resident_bytes() - before, files)
        self._judge_environment(planned.version, predictor)
        variant = variant_of(predictor, role=role, package=planned.package, version=planned.version)
        self._cursors[planned.package] = ""
        self._known_until[planned.package] = predictor.manifest.until
        if predictor.tables:
            self._fed.add(planned.package)
            self._replay(variant)
        return variant

    def _redis(self) -> FeatureRedis | None:
        """Return where online features live that are shared, None where each process has its own."""
        said = self._ws.project.serving
        if not said.redis or self._shared is not None:
            return self._shared
        from sampan.workspace.models.redis_tables import FeatureRedis

        self._shared = FeatureRedis(said.redis, password=os.environ.get("SAMPAN_REDIS_PASSWORD", ""), outage=said.redis_outage)
        self.app.more_samples = self._shared.samples
        return self._shared

    def _judge_environment(self, version: str, predictor: PackagePredictor) -> None:
        """Say, or where sampan.toml wants it refuse, that this process is not what the model was made in."""
        rules = self._ws.project.services.get(self.app.service)
        if rules is None or rules.environment != "refuse":
            return
        manifest = predictor.manifest
        libraries = answering_libraries(manifest.flavor, served_by=manifest.served_by, has_tables=bool(predictor.tables))
        telling = (*_TELLING, *(f"{name} " for name in libraries))
        if found := [one for one in predictor.differences() if one.startswith(telling)]:
            raise PolicyRefused(
                f"{version} was made in another environment: {'; '.join(found)}",
                rule=f"services.{self.app.service}.environment",
                owner=self._ws.project.project.owner or "the project's owner",
                reasons=tuple(found),
                hint='install what the package was made with, pack it again here, or say environment = "report" in sampan.toml',
            )

    def _replay(self, variant: Variant, into: Feeding | None = None) -> None:
        """Feed a predictor what arrived since its package was made and since the last replay."""
        package = variant.package
        taker: Any = into or variant.predictor  # of a predictor, only `feed` is called
        self._cursors[package] = self._arrivals.replay(taker, after=self._cursors[package], known_until=self._known_until[package])


# How a difference begins that can change an answer, beside those of the libraries that serve the package.
_TELLING = ("Python ", "implementation ", "machine ", "the processor lacks ")


class Feeding(Protocol):
    """What a log of fed rows is replayed into."""

    def feed(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take rows of an online table."""


class _Arrived:
    """Keeps rows as they come out of the log."""

    def __init__(self) -> None:
        self.fed: list[tuple[str, list[dict[str, Any]]]] = []

    def feed(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.fed.append((table, [dict(row) for row in rows]))


def _resident_bytes() -> int:
    """Return what this process takes of memory."""
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * PAGESIZE


class Watch:
    """Looks at the ledger's newest row, and lets followers look where it moved. One for a whole process."""

    def __init__(self, workspace: Workspace, followers: Callable[[], Iterable[Follower]], *, moved: Callable[[], None]) -> None:
        self._ws = workspace
        self._followers = followers
        self._moved = moved  # called in a thread when anything was recorded: for what else is read from the graph
        self._seen = -1
        self._task: asyncio.Task[None] | None = None
        self.shares_feeds = False  # other processes feed rows, too

    def start(self, *, poll_s: float = POLL_S) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._watch(poll_s))

    async def stop(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self, poll_s: float) -> None:
        while True:
            await asyncio.sleep(poll_s)
            try:
                await self._look()
            except SampanError as cause:  # the store may be away for a moment; what is loaded goes on answering
                logger.warning("the routing cannot be read: %s", cause)

    async def _look(self) -> None:
        newest = await asyncio.to_thread(lambda: self._ws.ledger.last)
        if newest != self._seen:
            await asyncio.to_thread(self._moved)
            for follower in tuple(self._followers()):
                await follower.look()
                await follower.features.look()
            self._seen = newest
        for follower in tuple(self._followers()):
            if follower.features.wants_another_look:
                await follower.features.look()
        if self.shares_feeds:
            for follower in tuple(self._followers()):
                await follower.catch_up()


def variant_of(predictor: PackagePredictor, *, role: Role, package: str, version: str) -> Variant:
    """Return an opened package as a routing holds it."""
    manifest = predictor.manifest
    return Variant(
        role=role,
        package=package,
        version=version,
        predictor=predictor,
        threshold=manifest.threshold,
        fields=tuple((name, str(spec["type"])) for name, spec in manifest.request_schema.items()),
        keys=manifest.keys,
        slices=manifest.slices,
        labels=Expected(manifest.task.kind, manifest.task.classes),
        worth=manifest.worth,
    )
