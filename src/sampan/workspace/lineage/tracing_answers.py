"""What `lineage`, `impact` and `who` answer."""

from __future__ import annotations

import msgspec

from sampan.core.answers import Answer
from sampan.core.graph import Edge, Node, NodeId
from sampan.core.times import iso
from sampan.workspace.columns import align, count
from sampan.workspace.training.trees import Branch, draw

_SHOWN = 12


class Origin(msgspec.Struct, frozen=True):
    """One node of a lineage, as a reader knows it."""

    id: NodeId
    ref: str
    kind: str
    state: str
    created: str
    aliases: tuple[str, ...] = ()
    title: str = ""  # what it is called, beside its reference: a window's span, an incident's cause
    source: str = ""  # the file or address a raw thing was read from


class Lineage(Answer, frozen=True, kw_only=True):
    """The part of the graph a thing came from (up), or that came from it (down), the nearest first. Not whole: there is more."""

    root: Origin
    up: bool
    nodes: tuple[Origin, ...]
    edges: tuple[Edge, ...]
    whole: bool = True

    def text(self) -> str:
        """Draw the tree; a node met again is not repeated."""
        branches: dict[NodeId, list[Branch]] = {}
        for edge in self.edges:
            here, there = (edge.dst, edge.src) if self.up else (edge.src, edge.dst)
            branches.setdefault(here, []).append(Branch(there, edge.role.replace("_", " ")))
        drawn = draw(self.root.id, branches, {node.id: origin_line(node) for node in self.nodes})
        return drawn if self.whole else f"{drawn}\nthese are the nearest {len(self.nodes):,}; there is more: --limit"


class Live(msgspec.Struct, frozen=True):
    """Something that an alias points at, such as what a service answers with, or a champion."""

    what: str  # service orders, model orders-late
    alias: str
    ref: str
    node: NodeId
    owner: str = ""


class Impact(Answer, frozen=True, kw_only=True):
    """What would be touched if something were wrong: what is live first, then how much else, and whom to tell."""

    about: str
    live: tuple[Live, ...]
    counts: dict[str, int]  # by kind; at least so many where not all were counted
    counted_all: bool
    nearest: tuple[Origin, ...]
    tell: dict[str, list[str]]  # owner -> what of theirs is touched
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Say what is live, whom to tell, and how much else there is."""
        lines = [self.about]
        if self.live:
            lines.append(align(("live", "alias", "version", "owner"), [(one.what, one.alias, one.ref, one.owner) for one in self.live]))
        else:
            lines.append("  nothing that is live, and no alias, depends on it")
        if self.counts:
            least = "" if self.counted_all else "at least "
            lines.append("touched: " + ", ".join(f"{least}{count(n, kind)}" for kind, n in self.counts.items()))
        lines += [f"  {origin_line(one)}" for one in self.nearest[:_SHOWN]]
        if len(self.nearest) > _SHOWN:
            lines.append(f"  and {len(self.nearest) - _SHOWN:,} more near by")
        if self.tell:
            lines.append("tell: " + "; ".join(f"{owner} ({', '.join(names[:4])})" for owner, names in self.tell.items()))
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


class Act(msgspec.Struct, frozen=True):
    """Something someone did."""

    at: str
    who: str
    what: str
    ref: str = ""
    reason: str = ""


class Who(Answer, frozen=True, kw_only=True):
    """Who answers for a thing, made it, decided about it and relies on it; or what a person or team owns, made and did."""

    about: str
    kind: str  # dataset, model …; person or team
    owner: str = ""
    ask: str = ""
    people: tuple[str, ...] = ()  # of a team, or of the owning team
    owns: tuple[str, ...] = ()
    acts: tuple[Act, ...] = ()  # newest first
    relies: dict[str, list[str]] = {}  # owner -> what of theirs came of it
    made: tuple[Origin, ...] = ()

    def text(self) -> str:
        """Name people first, then what they did."""
        lines = [f"{self.about} ({self.kind})"]
        lines += [f"  owner: {self.owner}" + (f" ({', '.join(self.people)})" if self.people else "")] if self.owner else []
        lines += [f"  people: {', '.join(self.people)}"] if self.people and not self.owner else []
        lines += [f"  ask: {self.ask}"] if self.ask else []
        lines += [f"  owns: {', '.join(self.owns)}"] if self.owns else []
        lines += [f"  relied on by {owner}: {', '.join(names[:6])}" for owner, names in self.relies.items()]
        if self.acts:
            lines.append(
                align(("when", "who", "what", "why"), [(one.at, one.who, f"{one.what} {one.ref}", one.reason) for one in self.acts])
            )
        if len(lines) == 1:
            lines.append("  nobody is named, and nothing was done")
        return "\n".join(lines)


def origin_of(node: Node) -> Origin:
    """Return a node as a reader knows it."""
    source = node.facts.get("source", "")
    title = node.facts.get("label") or node.facts.get("title") or ""
    return Origin(
        id=node.id,
        ref=node.ref,
        kind=node.kind,
        state=node.state,
        created=iso(node.created),
        aliases=node.aliases,
        title=title if isinstance(title, str) else "",
        source=source if isinstance(source, str) else "",
    )


def origin_line(one: Origin) -> str:
    """Write a node in a line."""
    named = one.ref if one.kind in one.ref else f"{one.kind} {one.ref}"
    aliases = f" [{', '.join(one.aliases)}]" if one.aliases else ""
    state = "" if one.state in ("active", "finished") else f" ({one.state})"
    title = f" {one.title}" if one.title else ""
    return f"{named}{aliases}{title}{state}" + (f"  from {one.source}" if one.source else "")
