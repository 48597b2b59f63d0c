"""Under which names another store's things stand here: what is the same is the same, what differs keeps its name under the origin's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from sampan.core.digests import digest_value
from sampan.core.graph import Node, NodeId
from sampan.workspace.merging.events import ORIGIN

if TYPE_CHECKING:
    from sampan.store.catalog import Catalog
    from sampan.workspace.merging.events import Origin

NEW, SAME, CONTINUED, JOINED, DIFFERS = "new", "same", "continued", "joined", "differs"
# What was recorded of a thing adds up; of what people name by a version, only one history can stand under a name.
_RECORDS: Final = frozenset(
    {
        "batch",
        "cells",
        "check",
        "decision",
        "erasure",
        "explanation",
        "file",
        "incident",
        "input",
        "leakage",
        "logged_model",
        "optimization",
        "quarantine",
        "report",
        "reproduction",
        "rollout",
        "run",
        "sign_off",
        "trace",
        "value",
        "window",
    }
)
# What one store's people hold or allowed is no key and no leave in another.
_THEIR_OWN: Final = frozenset({"key", "caller_key", "grant", "request"})
_MANY: Final = 1_000_000


class PlannedName(msgspec.Struct, frozen=True):
    """What becomes of a name of the other store."""

    kind: str
    name: str
    here: str  # its name here
    found: str  # new | same | continued | joined | differs
    n_versions: int  # there


@dataclass(slots=True)
class Names:
    """The plan, and which nodes there are the same as one here."""

    planned: list[PlannedName] = field(default_factory=list)
    same: dict[NodeId, NodeId] = field(default_factory=dict)

    @property
    def clashes(self) -> list[PlannedName]:
        """The names that mean something else here."""
        return [each for each in self.planned if each.found == DIFFERS]

    def renamed(self) -> dict[str, str]:
        """Return names here by "kind:name" there, where they differ."""
        return {f"{each.kind}:{each.name}": each.here for each in self.planned if each.here != each.name}


def plan_names(here: Catalog, there: Catalog, origin: Origin, gone: Mapping[str, str], *, join: bool) -> Names:
    """Compare the named things of two stores.

    Parameters
    ----------
    origin : what earlier merges decided, which stands.
    gone : digests of content that was written again without a person, with what it became.
    join : let versions of a name that differs follow those that are here, instead of standing under the origin's name.
    """
    plan = Names()
    ours = {(asset.kind, asset.name) for asset in here.assets()}
    theirs = [asset for asset in there.assets() if asset.kind != ORIGIN]
    roots = {asset.name for asset in theirs}
    groups: dict[str, list[PlannedName]] = {}
    pairs: list[tuple[Node, NodeId]] = []
    for asset in theirs:
        found = _compared(here, there, asset.kind, asset.name, gone, pairs) if (asset.kind, asset.name) in ours else NEW
        named = PlannedName(asset.kind, asset.name, asset.name, found, asset.n_versions)
        groups.setdefault(_root(asset.name, roots), []).append(named)
    for group in groups.values():
        apart = any(each.found == DIFFERS for each in group) and not join
        plan.planned += [_named(each, origin, apart=apart) for each in group]
    # A version whose name stands elsewhere here is none of ours.
    kept = {(each.kind, each.name) for each in plan.planned if each.here == each.name}
    plan.same = {pair[0].id: pair[1] for pair in pairs if (pair[0].kind, pair[0].name) in kept}
    return plan


def _named(each: PlannedName, origin: Origin, *, apart: bool) -> PlannedName:
    decided = origin.names.get(f"{each.kind}:{each.name}")
    if decided is None:
        decided = f"{origin.label}.{each.name}" if apart or each.kind in _THEIR_OWN else each.name
    return msgspec.structs.replace(each, here=decided)


def _root(name: str, names: set[str]) -> str:
    """Return the name that a name with a suffix belongs to: flights, for flights.batch."""
    parts = name.split(".")
    heads = (".".join(parts[:n]) for n in range(1, len(parts)))
    return next((head for head in heads if head in names), name)


def _compared(here: Catalog, there: Catalog, kind: str, name: str, gone: Mapping[str, str], found: list[tuple[Node, NodeId]]) -> str:
    if kind in _RECORDS or kind in _THEIR_OWN:
        return JOINED
    ours, theirs = (list(reversed(catalog.nodes(kind=kind, name=name, limit=_MANY))) for catalog in (here, there))
    if not ours or not theirs:
        return JOINED
    pairs = _pairs(ours, theirs, gone)
    relation = _relation(ours, theirs, pairs)
    if relation != DIFFERS:
        found += [(node, pairs[node.id]) for node in theirs if pairs.get(node.id, node.id) != node.id]
    return relation


def _pairs(ours: Sequence[Node], theirs: Sequence[Node], gone: Mapping[str, str]) -> dict[NodeId, NodeId]:
    """Return which of their nodes are which of ours: by id, else by content, each of ours once."""
    ids = {node.id for node in ours}
    free: dict[str, list[NodeId]] = {}
    for node in ours:
        free.setdefault(_content(node, gone), []).append(node.id)
    found: dict[NodeId, NodeId] = {}
    for node in theirs:
        content = _content(node, gone)
        if node.id in ids:
            found[node.id] = node.id
        elif free.get(content):
            found[node.id] = free[content].pop(0)
    return found


def _relation(ours: Sequence[Node], theirs: Sequence[Node], pairs: Mapping[NodeId, NodeId]) -> str:
    if len(pairs) == len(theirs):
        return SAME
    here = {node.id: place for place, node in enumerate(ours)}
    begin = [here.get(pairs.get(node.id, "")) for node in theirs[: len(ours)]]
    return CONTINUED if begin == list(range(len(ours))) else DIFFERS


def _content(node: Node, gone: Mapping[str, str]) -> str:
    return gone.get(node.digest, node.digest) or digest_value(node.facts)
