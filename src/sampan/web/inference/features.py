"""Keeps the online features of a service's models equal to the newest versions of their datasets, without a restart.

When the ledger says that a dataset has a newer version, the rows by which it differs are read in a thread, what is looked up is revised by
them, beside what is in use, and taken into use between two requests; rows that were fed since, and are not in the version, are fed again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sampan.core.times import Millis
from sampan.errors import SampanError, Unavailable
from sampan.serving.routing import Variant
from sampan.web.inference.app import InferenceApp
from sampan.web.inference.log import ArrivalLog
from sampan.workspace.models.online_tables import found_again, has_lost_tables, let_go, renewal_of, touch

if TYPE_CHECKING:
    from sampan.core.graph import Node, NodeId
    from sampan.features.online import Renewal
    from sampan.features.sources import OnlineSources
    from sampan.workspace.models.predictors import PackagePredictor
    from sampan.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

TOUCH_S = 6 * 3600.0  # after which a shared store is told again what is used of it
RETRY_S = 5.0  # after which a shared store that was away is asked again


class OnlineFeatures:
    """Follows the datasets of one service's loaded models."""

    def __init__(self, app: InferenceApp, workspace: Workspace, arrivals: ArrivalLog, *, cursors: dict[str, str]) -> None:
        self._app = app
        self._ws = workspace
        self._arrivals = arrivals
        self._cursors = cursors  # package -> how far its predictor has been fed from the log; shared with who loads it
        self._used: dict[str, dict[str, NodeId]] = {}  # package -> table -> the dataset version that was last taken up
        self._there: dict[str, dict[str, NodeId]] = {}  # the same, of the versions that are indexed
        self._retry_s = math.inf
        self._touch_s = time.monotonic() + TOUCH_S
        self._is_on = (rules := workspace.project.services.get(app.service)) is None or rules.features == "newest"

    @property
    def wants_another_look(self) -> bool:
        """Say whether to look again although nothing was recorded: a store that is shared was away, or lost what it held."""
        return time.monotonic() >= min(self._retry_s, self._touch_s) or any(has_lost_tables(one) for one in self._sources())

    async def look(self) -> None:
        """Look for newer versions; a table that cannot be used leaves the present ones in use, and is logged and counted."""
        await self._touch()
        if not self._is_on:
            return
        self._retry_s = math.inf
        lost = [sources for sources in self._sources() if has_lost_tables(sources)]
        for sources in lost:
            found_again(sources)
        for variant in self._app.scorer.routing.variants:
            try:
                await self._renew(variant, lost=bool(lost))
            except SampanError as cause:
                self._app.counters.add("sampan_feature_renewal_failures_total")
                logger.warning("the online features of %s could not be renewed: %s", variant.version, cause)

    async def _touch(self) -> None:
        """Say, now and then, of tables in a shared store that they are used."""
        if time.monotonic() < self._touch_s:
            return
        self._touch_s = time.monotonic() + TOUCH_S
        for sources in self._sources():
            try:
                await asyncio.to_thread(touch, sources)
            except Unavailable as cause:
                logger.info("the shared online features could not be touched: %s", cause)

    def _sources(self) -> Iterator[OnlineSources]:
        predictors = (variant.predictor for variant in self._app.scorer.routing.variants)
        return (predictor.online.sources for predictor in predictors if hasattr(predictor, "online"))

    async def _renew(self, variant: Variant, *, lost: bool) -> None:
        from sampan.workspace.models.predictors import PackagePredictor

        predictor = variant.predictor
        if not isinstance(predictor, PackagePredictor) or not predictor.tables:
            return
        newest = await asyncio.to_thread(self._newest, variant.package, predictor)
        versions = {table: node.id for table, node in newest.items()}
        if not versions or (versions == self._used.get(variant.package) and not lost):
            return
        self._used[variant.package] = versions  # also where it fails: the same versions would fail again
        until = {table: node.created for table, node in newest.items() if table != predictor.view_table}
        there = None if lost else self._there[variant.package]
        try:
            renewal, cursor = await asyncio.to_thread(self._prepare, predictor, there, newest, until)
        except Unavailable:  # that may be otherwise in a moment
            self._used[variant.package] = {}
            self._retry_s = time.monotonic() + RETRY_S
            raise

        async def install() -> None:
            # No row is fed meanwhile: what came since `_prepare` is all that is missing.
            self._cursors[variant.package] = await asyncio.to_thread(self._replay, renewal, predictor, cursor, until)
            renewal.install()
            self._there[variant.package] = versions

        former = predictor.online.sources
        await self._app.scorer.swap(self._app.scorer.routing, catch_up=install)
        await asyncio.to_thread(let_go, former, renewal.sources)
        self._app.counters.add("sampan_feature_renewals_total")
        logger.info("%s looks features up in %s now", variant.version, ", ".join(node.ref for node in newest.values()))

    def _newest(self, package: NodeId, predictor: PackagePredictor) -> dict[str, Node]:
        """Return the newest version of each dataset a package looks features up in; what it was made with counts as in use."""
        for edge in self._ws.catalog.edges_to(package):
            if edge.role == "packaged_as":
                made: Mapping[str, NodeId] = self._ws.catalog.node(edge.src).facts.get("datasets", {})
                held = {table: made[table] for table in predictor.tables if table in made}
                if len(held) < len(predictor.tables):
                    return {}
                self._used.setdefault(package, dict(held))
                self._there.setdefault(package, dict(held))
                return {table: self._head(self._ws.catalog.node(node)) for table, node in held.items()}
        return {}

    def _head(self, node: Node) -> Node:
        return self._ws.catalog.nodes(kind="dataset", name=node.name, limit=1)[0]

    def _prepare(
        self, predictor: PackagePredictor, there: Mapping[str, NodeId] | None, newest: Mapping[str, Node], until: Mapping[str, Millis]
    ) -> tuple[Renewal, str]:
        renewal = renewal_of(self._ws, predictor, there=there, newest=newest)
        return renewal, self._replay(renewal, predictor, "", until)

    def _replay(self, renewal: Renewal, predictor: PackagePredictor, after: str, until: Mapping[str, Millis]) -> str:
        return self._arrivals.replay(renewal, after=after, known_until=predictor.manifest.until, tables=until)
