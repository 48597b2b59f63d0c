"""Keeps a server's routing equal to what the graph says: loads packages off the event loop, brings them up to date, swaps."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sampan.core.times import Millis
from sampan.errors import SampanError
from sampan.serving.routing import Role, Routing, Variant
from sampan.web.inference import InferenceApp
from sampan.web.inference_log import ArrivalLog
from sampan.workspace.service_routing import Planned, RoutingPlan, planned_routing

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

POLL_S = 0.3


class RoutingWatch:
    """Polls the graph; a plan that cannot be loaded leaves the present routing in place and is told in /health."""

    def __init__(self, app: InferenceApp, workspace: Workspace, arrivals: ArrivalLog, *, poll_s: float = POLL_S) -> None:
        self._app = app
        self._ws = workspace
        self._arrivals = arrivals
        self._poll_s = poll_s
        self._seen: RoutingPlan | None = None
        self._cursors: dict[str, str] = {}  # package -> how far its predictor has been fed from the log
        self._known_until: dict[str, Millis] = {}  # package -> what its online tables hold already
        self._one_look = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        app.reload = self.look_again

    async def start(self) -> None:
        """Load the present plan, then keep watching. Raises what loading raises: a server without a model is of no use."""
        await self.look_again()
        if self._app.scorer.routing.live is None and self._app.fault:
            raise SampanError(self._app.fault)
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look_again(self) -> None:
        """Look at the graph now; also retry a plan that failed before."""
        if self._app.fault:
            self._seen = None
        await self._look()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self._look()
            except SampanError as cause:  # the store may be away for a moment; what is loaded goes on answering
                logger.warning("the routing of %s cannot be read: %s", self._app.service, cause)

    async def _look(self) -> None:
        async with self._one_look:
            plan = await asyncio.to_thread(planned_routing, self._ws.catalog, self._app.service)
            if plan == self._seen:
                return
            self._seen = plan
            try:
                await self._follow(plan)
                self._app.fault = ""
            except Exception as cause:  # a broken package must not take down the model that answers
                self._app.fault = f"{type(cause).__name__}: {cause}"
                self._app.counters.add("sampan_swap_failures_total")
                logger.warning("the new routing of %s could not be loaded", self._app.service, exc_info=True)

    async def _follow(self, plan: RoutingPlan) -> None:
        loaded = {variant.package: variant for variant in self._app.scorer.routing.variants}
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
                await asyncio.to_thread(self._replay, variant)

        await self._app.scorer.swap(routing, catch_up=catch_up)
        logger.info("%s now: %s", self._app.service, ", ".join(f"{v.role} {v.version}" for v in routing.variants))

    def _load(self, planned: Planned, role: Role) -> Variant:
        from sampan.workspace.predictors import open_predictor

        predictor = open_predictor(self._ws.model.package_path(planned.package))
        manifest = predictor.manifest
        variant = Variant(
            role=role,
            package=planned.package,
            version=planned.version,
            predictor=predictor,
            threshold=manifest.threshold,
            fields=tuple((name, str(spec["type"])) for name, spec in manifest.request_schema.items()),
            keys=manifest.keys,
            slices=manifest.slices,
        )
        self._cursors[planned.package] = ""
        self._known_until[planned.package] = manifest.until
        self._replay(variant)
        return variant

    def _replay(self, variant: Variant) -> None:
        """Feed a predictor what arrived since its package was made and since the last replay."""
        package = variant.package
        self._cursors[package] = self._arrivals.replay(
            variant.predictor, after=self._cursors[package], known_until=self._known_until[package]
        )
