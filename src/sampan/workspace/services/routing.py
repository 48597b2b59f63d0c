"""How the graph says which package answers: aliases of the service's deployments, moved together in one transaction.

A service called `flights-late` has deployments of that name; the aliases `live`, `canary`, `shadow` and `previous` point at them, and the
canary's tag `share` holds its share of the keys. A server that polls this needs no message to follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from sampan.core.changes import AddEdge, AddNode, Change, EnsureAsset, MoveAlias, SetState, SetTag
from sampan.core.events import Event
from sampan.core.graph import Node, NodeId

if TYPE_CHECKING:
    from sampan.store.catalog import Catalog

ROLES = ("live", "canary", "shadow")
ALIASES = (*ROLES, "previous")


class Planned(msgspec.Struct, frozen=True):
    """A package that should be loaded, and what answers call it."""

    deployment: NodeId
    package: NodeId
    version: str


class RoutingPlan(msgspec.Struct, frozen=True):
    """What a service's server should have loaded, in which roles."""

    live: Planned | None = None
    canary: Planned | None = None
    share: float = 0.0
    shadow: Planned | None = None


class Deployed(Event, frozen=True, kw_only=True):
    """A package was put into a service, in a role."""

    type: ClassVar[str] = "deployed"

    node: NodeId
    service: str
    package: NodeId
    model: str
    role: str
    facts: dict[str, Any] = {}

    def subject(self) -> NodeId:
        """Return the deployment."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the deployment and say what it deploys."""
        return (
            EnsureAsset(kind="service", name=self.service),
            AddNode(id=self.node, kind="deployment", name=self.service, state=self.role, facts=self.facts, numbered=False),
            AddEdge(dst=self.node, src=self.package, role="deployed_as"),
        )


class TrafficRouted(Event, frozen=True, kw_only=True):
    """A service's requests were given to other deployments, all at once."""

    type: ClassVar[str] = "traffic_routed"

    service: str
    before: dict[str, NodeId]  # alias -> deployment
    after: dict[str, NodeId]
    states: dict[NodeId, tuple[str, str]] = {}  # deployment -> state before, after
    share: float | None = None  # of the keys, for the canary
    reason: str = ""

    def subject(self) -> NodeId:
        """Return the deployment that answers now."""
        return self.after.get("live", "")

    def changes(self) -> tuple[Change, ...]:
        """Compare and set the aliases and states that differ."""
        return tuple(self._changes())

    def _changes(self) -> Iterator[Change]:
        for alias in sorted({*self.before, *self.after}):
            before, after = self.before.get(alias), self.after.get(alias)
            if before != after:
                yield MoveAlias(kind="deployment", name=self.service, alias=alias, before=before, after=after)
        for node, (was, becomes) in self.states.items():
            yield SetState(node=node, before=was, after=becomes)
        if self.share is not None and "canary" in self.after:
            yield SetTag(node=self.after["canary"], key="share", value=repr(self.share))


def routed(
    service: str,
    before: Mapping[str, NodeId],
    after: Mapping[str, NodeId],
    *,
    states: Mapping[NodeId, str],
    share: float | None = None,
    reason: str = "",
) -> TrafficRouted:
    """Return the event that leads from one set of aliases to another; `states` are the known deployments' present ones."""
    wanted = {node: role for role in ROLES if (node := after.get(role))}
    changed = {}
    for node in {*before.values(), *after.values()}:
        becomes = wanted.get(node, "retired")
        if node in states and states[node] != becomes:
            changed[node] = (states[node], becomes)
    return TrafficRouted(service=service, before=dict(before), after=dict(after), states=changed, share=share, reason=reason)


def planned_routing(catalog: Catalog, service: str) -> RoutingPlan:
    """Read what a service's server should have loaded."""
    aliases = catalog.aliases("deployment", service)
    share = float(catalog.tags(aliases["canary"]).get("share", "0")) if "canary" in aliases else 0.0
    found = {role: planned(catalog.node(aliases[role])) for role in ROLES if role in aliases}
    return RoutingPlan(live=found.get("live"), canary=found.get("canary"), share=share, shadow=found.get("shadow"))


def planned(deployment: Node) -> Planned:
    """Read which package a deployment deploys."""
    return Planned(deployment=deployment.id, package=str(deployment.facts["package"]), version=str(deployment.facts["version"]))
