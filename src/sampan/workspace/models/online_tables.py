"""Online tables of a package for other versions of its datasets, at the cost of what differs where that can be told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sampan.core.digests import digest_value
from sampan.core.times import Millis
from sampan.errors import SampanError
from sampan.features.groups import Groups
from sampan.features.sources import OnlineSources
from sampan.features.view import View

if TYPE_CHECKING:
    from sampan.core.graph import Node, NodeId
    from sampan.features.online import Renewal
    from sampan.features.revising import TableChange
    from sampan.workspace.models.predictors import PackagePredictor
    from sampan.workspace.models.redis_tables import FeatureRedis
    from sampan.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

_OF_PACKAGE = "package."
MOST_CHANGED = 0.5  # of a table's rows: beyond it, indexing it anew costs less than looking for what changed


def renewal_of(ws: Workspace, predictor: PackagePredictor, *, there: Mapping[str, NodeId] | None, newest: Mapping[str, Node]) -> Renewal:
    """Prepare a predictor's tables as the newest versions have them.

    Parameters
    ----------
    there : the versions that it looks up in now; None where they are lost, and the newest are to be indexed anew
    """
    from sampan.features.online import Renewal
    from sampan.workspace.models.redis_tables import SharedTables
    from sampan.workspace.training.feature_tables import open_tables

    here = predictor.online.sources
    if not isinstance(here.shared, SharedTables):
        return _renewal(ws, predictor, there, newest)
    from sampan.features.indexing import held_keys

    version = digest_value({table: node.id for table, node in newest.items()})[3:19]
    sources = here.shared.of(version).taken_up(
        lambda: _renewal(ws, predictor, there, newest).sources, held=held_keys(here.groups, open_tables(ws, newest))
    )
    return Renewal(predictor.online, sources)


def first_tables(
    view: View, redis: FeatureRedis | None, package: str, make: Callable[[], OnlineSources], *, until: Millis
) -> OnlineSources:
    """Return what a package looks up in to begin with: made of the tables it carries, or shared by the servers of this Redis."""
    if redis is None or not (groups := Groups(view)).all:
        return make()
    from sampan.workspace.models.redis_tables import SharedTables

    return SharedTables(redis, groups, f"{_OF_PACKAGE}{package}").taken_up(make, held=None, known_until=until)


def let_go(sources: OnlineSources, now: OnlineSources) -> None:
    """Let shared tables go that this server has moved on from; those of a package stay for a while, for the next start."""
    from sampan.workspace.models.redis_tables import SharedTables

    if isinstance(sources.shared, SharedTables) and not sources.shared.version.startswith(_OF_PACKAGE):
        sources.shared.let_go(sources, now)


def has_lost_tables(sources: OnlineSources) -> bool:
    """Say whether tables that servers share are gone from where they were."""
    if sources.shared is None:
        return False
    from sampan.workspace.models.redis_tables import SharedTables

    return isinstance(sources.shared, SharedTables) and sources.shared.redis.lost


def touch(sources: OnlineSources) -> None:
    """Say of tables that servers share that this one uses them."""
    from sampan.workspace.models.redis_tables import SharedTables

    if isinstance(sources.shared, SharedTables):
        sources.shared.touch(sources)


def found_again(sources: OnlineSources) -> None:
    """Note that somebody looks after lost tables."""
    from sampan.workspace.models.redis_tables import SharedTables

    if isinstance(sources.shared, SharedTables):
        sources.shared.redis.lost = False


def _renewal(ws: Workspace, predictor: PackagePredictor, there: Mapping[str, NodeId] | None, newest: Mapping[str, Node]) -> Renewal:
    from sampan.workspace.training.feature_tables import open_tables

    after = open_tables(ws, newest)
    if there is None:
        return predictor.online.renewed(after)
    try:
        before = {table: ws.catalog.node(node) for table, node in there.items()}
        changes = _changes(ws, predictor, before, newest)
        if changes is not None:
            return predictor.online.revised(changes, before=open_tables(ws, before), after=after)
    except SampanError as cause:  # the version before may be gone from the store: the new one is whole by itself
        logger.info("%s: its tables are indexed anew, since what changed cannot be told: %s", predictor.version, cause)
    return predictor.online.renewed(after)


def _changes(
    ws: Workspace, predictor: PackagePredictor, before: Mapping[str, Node], newest: Mapping[str, Node]
) -> dict[str, TableChange] | None:
    """Return how the tables differ; None where one cannot be told, or has changed for the most part."""
    from sampan.features.revising import TableChange

    found: dict[str, TableChange] = {}
    for table, columns in predictor.online.columns_looked_up.items():
        if before[table].digest == newest[table].digest:
            continue
        most_rows = int(ws.store.tables.info(newest[table].digest).n_rows * MOST_CHANGED)
        rows = ws.store.tables.row_changes(before[table].digest, newest[table].digest, columns, most_rows=most_rows)
        if rows is None:
            return None
        found[table] = TableChange(rows.gone, rows.come, rows.come_last)
    return found
