"""`sampan lineage X`, `impact X`, `who X`: where a thing came from, what depends on it, who answers for it.

X is anything in the graph; for `impact` and `who` also a whole dataset or model by its bare name (all its versions), a dataset's column
(flights.dep_delay), a person or a team. Every answer costs about the same in a graph of a million nodes as in one of a thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from shlex import quote
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from sampan.core.graph import Node, Recorded
from sampan.core.refs import parse_ref
from sampan.core.times import iso
from sampan.errors import NotFound, ParameterError, UsageError
from sampan.workspace.lineage.tracing_answers import Act, Impact, Lineage, Live, Who, origin_line, origin_of
from sampan.workspace.operation import Room, operation
from sampan.workspace.parameters import Count
from sampan.workspace.runs.comparing import meant, named

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

LIVE_KINDS: Final = ("deployment", "model", "package")
PERSON, TEAM = "person", "team"
_MOST_VERSIONS: Final = 500  # of an asset: the newest
_MOST_COUNTED: Final = 2_500
_MOST_ALIASES: Final = 2_000
_MOST_DECLARED: Final = 1_000
_NEAREST: Final = 40
_MOST_ACTS: Final = 20


class Subject(NamedTuple):
    """What a question is about: nodes of one asset, and a column of theirs if one was named."""

    said: str
    kind: str
    name: str
    nodes: tuple[Node, ...]
    column: str = ""
    notes: tuple[str, ...] = ()


class Tracing(Room):
    """The top-level verbs that follow the graph."""

    noun: ClassVar[str] = ""

    @operation(reads=True)
    def lineage(self, ref: str, *, down: bool = False, depth: int = 50, limit: Count = 300) -> Lineage:
        """Show what a version was made from, up to the raw files; or what was made from it.

        Parameters
        ----------
        ref : what to trace, like flights-late@champion or flights@v3
        down : follow the arrows the other way: what came of it
        depth : how many steps to follow
        limit : at most so many things, the nearest
        """
        if depth < 1:
            raise ParameterError(f"depth: {depth} is less than 1", parameter="depth", hint="expected a whole number from 1")
        if limit < 1:
            raise ParameterError(f"limit: {limit} is less than 1", parameter="limit", hint="expected a whole number from 1")
        node = meant(self.ws, ref)
        near = self.ws.catalog.nearest([node], up=not down, depth=depth, most=limit)
        nodes = tuple(origin_of(each) for each in near.nodes)
        other_way = f"sampan lineage {quote(ref)}" + ("" if down else " --down")
        return Lineage(root=nodes[0], up=not down, nodes=nodes, edges=tuple(near.edges), whole=near.whole, next=(other_way,))

    @operation(reads=True)
    def impact(self, ref: str) -> Impact:
        """Show what would be touched if something were wrong: what is live, how much else, whom to tell.

        Parameters
        ----------
        ref : a version (flights@v3), all versions of a name (flights), a column (flights.dep_delay), a team or person (team:risk)
        """
        about = self._subject(ref)
        if about.kind in (PERSON, TEAM):
            return self._impact_of_owner(about)
        starts = list(about.nodes)
        notes = list(about.notes)
        if about.column:
            starts = self._readers(about)
            notes.append("a dataset that was made of others counts as reading the column if it has one of that name")
        return self._impact(about.said, starts, own=not about.column, notes=notes, owner_of=_Owners(self.ws))

    @operation(reads=True)
    def who(self, ref: str) -> Who:
        """Say who answers for a thing, made it, decided about it and relies on it; or what a person or team owns and did.

        Parameters
        ----------
        ref : a dataset, model, service, run, column or version; a person's name, or a team's (team:risk)
        """
        about = self._subject(ref)
        if about.kind in (PERSON, TEAM):
            return self._who_is(about)
        owners = _Owners(self.ws)
        owner, ask = owners.of(about.kind, about.name), ""
        if about.kind == "dataset":
            from sampan.workspace.governing.governance import Governance

            terms = Governance(self.ws).terms(about.name)
            owner, ask = terms.owner or owner, terms.ask
        after = self.ws.catalog.nearest(about.nodes, up=False, depth=3, most=_NEAREST * 4).nodes
        return Who(
            about=about.said,
            kind=f"column of a {about.kind}" if about.column else about.kind,
            owner=owner or self.ws.project.project.owner,
            ask=ask,
            people=owners.people(owner),
            acts=self._acts_on(about.nodes),
            relies=owners.sort_out(each for each in after if (each.kind, each.name) != (about.kind, about.name)),
            next=(f"sampan impact {quote(ref)}",),
        )

    # -- what a question is about ---------------------------------------------------------------------------------------------------

    def _subject(self, said: str) -> Subject:
        prefix, colon, rest = said.partition(":")
        if colon and prefix in (PERSON, TEAM):
            return Subject(said, prefix, rest, ())
        try:
            return self._versions(said)
        except NotFound:
            if found := self._column(said) or self._people(said):
                return found
            raise

    def _versions(self, said: str) -> Subject:
        """Return the node a reference means; by a bare name, all versions of the asset."""
        ref = parse_ref(said)
        node = meant(self.ws, said)
        if not ref.name or ref.version is not None or ref.alias or ref.at is not None or not node.name or node.id.startswith(ref.name):
            return Subject(named(node), node.kind, node.name, (node,))
        versions = self.ws.catalog.nodes(kind=node.kind, name=node.name, limit=_MOST_VERSIONS)
        of = f"all {len(versions)} versions" if len(versions) > 1 else "its one version"
        notes = (f"only the newest {_MOST_VERSIONS} versions were followed",) if len(versions) == _MOST_VERSIONS else ()
        return Subject(f"{node.kind} {node.name}, {of}", node.kind, node.name, tuple(versions), notes=notes)

    def _column(self, said: str) -> Subject | None:
        """Read `flights.dep_delay` or `flights@v3.dep_delay`; None where there is no such dataset."""
        from contextlib import suppress

        for at in [place for place, letter in enumerate(said) if letter == "."]:
            with suppress(NotFound, UsageError):
                found = self._versions(said[:at])
                column = said[at + 1 :]
                having = tuple(node for node in found.nodes if column in node.facts.get("columns", {}))
                if found.kind == "dataset" and having:
                    return Subject(f"column {column} of {found.said}", found.kind, found.name, having, column, found.notes)
        return None

    def _people(self, said: str) -> Subject | None:
        owners = _Owners(self.ws)
        if said in self.ws.project.governance.teams:
            return Subject(said, TEAM, said, ())
        if said in owners.everyone() or self.ws.catalog.events(actor=said, limit=1):
            return Subject(said, PERSON, said, ())
        return None

    def _readers(self, about: Subject) -> list[Node]:
        """Return what read a column: models that say so, and datasets made of this one that have a column of its name."""
        near = self.ws.catalog.nearest(about.nodes, up=False, depth=1, most=_MOST_COUNTED)
        found = []
        for node in near.nodes[len(about.nodes) :]:
            reads = {**node.facts.get("reads", {}), **node.facts.get("learns", {})}
            if about.column in reads.get(about.name, ()) or about.column in node.facts.get("columns", {}):
                found.append(node)
        return found

    # -- impact -----------------------------------------------------------------------------------------------------------------------

    def _impact(self, said: str, starts: Sequence[Node], *, own: bool, notes: list[str], owner_of: _Owners) -> Impact:
        """Follow nodes down; with `own`, they are themselves what may be wrong, and not counted among what is touched."""
        catalog = self.ws.catalog
        after = catalog.after(starts, most=_MOST_COUNTED, shown=_NEAREST)
        pointed, looked_at_all = catalog.pointed_at(starts, after, LIVE_KINDS, most=_MOST_ALIASES)
        if not looked_at_all:
            notes.append("there are more aliases than were followed")
        counts, nearest = dict(after.counts), after.nearest
        if not own:
            nearest = [*starts[:_NEAREST], *nearest]
            for node in starts:
                counts[node.kind] = counts.get(node.kind, 0) + 1
        live = tuple(
            Live(
                what=f"service {each.node.name}" if each.node.kind == "deployment" else f"{each.node.kind} {each.node.name}",
                alias=each.alias,
                ref=str(each.node.facts.get("version") or each.node.ref),
                node=each.node.id,
                owner=owner_of.of(each.node.kind, each.node.name) or self.ws.project.project.owner,
            )
            for each in sorted(pointed, key=lambda each: (LIVE_KINDS.index(each.node.kind), each.node.name, each.alias))
        )
        touched = [each.node for each in pointed] + nearest
        return Impact(
            about=said,
            live=live,
            counts=counts,
            counted_all=after.whole,
            nearest=tuple(origin_of(node) for node in nearest),
            tell=owner_of.sort_out(touched),
            notes=tuple(notes),
            next=(f"sampan lineage {quote(named(starts[0]))} --down",) if starts else (),
        )

    def _impact_of_owner(self, about: Subject) -> Impact:
        """Follow everything that a team or a person owns."""
        owners = _Owners(self.ws)
        names = owners.owned_by({about.name, *owners.people(about.name)} if about.kind == TEAM else {about.name})
        starts: list[Node] = []
        for kind, name in names:
            starts += self.ws.catalog.nodes(kind=kind, name=name, limit=max(_MOST_VERSIONS // len(names), 1))
        said = f"what {about.name} owns: " + (", ".join(name for _, name in names) or "nothing")
        return self._impact(said, starts, own=True, notes=[], owner_of=owners)

    # -- who --------------------------------------------------------------------------------------------------------------------------

    def _who_is(self, about: Subject) -> Who:
        owners = _Owners(self.ws)
        people = owners.people(about.name)
        owned = owners.owned_by({about.name})
        made: list[Node] = []
        events: list[Recorded] = []
        for person in people or (about.name,):
            made += self.ws.catalog.made_by(person, limit=_MOST_ACTS)
            events += self.ws.catalog.events(actor=person, limit=_MOST_ACTS, newest_first=True)
        if not owned and not made and not events and not people:
            raise NotFound(f"nobody is called {about.name!r}", hint="sampan log names who did what")
        newest = sorted(events, key=lambda event: -event.seq)[:_MOST_ACTS]
        return Who(
            about=about.name,
            kind=about.kind,
            people=people if about.kind == TEAM else (),
            owns=tuple(f"{kind}:{name}" for kind, name in owned),
            acts=tuple(self._act(event) for event in newest),
            made=tuple(origin_of(node) for node in made[:_MOST_ACTS]),
            next=(f"sampan impact {about.kind}:{quote(about.name)}",),
        )

    def _acts_on(self, nodes: Sequence[Node]) -> tuple[Act, ...]:
        events: list[Recorded] = []
        for node in nodes[:_MOST_ACTS]:
            events += self.ws.catalog.events(subject=node.id, limit=_MOST_ACTS, newest_first=True)
        return tuple(self._act(event) for event in sorted(events, key=lambda event: -event.seq)[:_MOST_ACTS])

    def _act(self, event: Recorded) -> Act:
        what = event.type.replace("_", " ")
        if event.body.get("alias"):
            what = f"{what} ({event.body['alias']})"
        ref = ""
        if event.subject:
            try:
                ref = origin_line(origin_of(self.ws.catalog.node(event.subject)))
            except NotFound:
                ref = event.subject[:12]
        return Act(at=iso(event.at), who=event.actor, what=what, ref=ref, reason=event.reason)


class _Owners:
    """Who owns what, as `sampan.toml`, `sampan policy set` and the assets' descriptions say; contracts are read for one dataset only."""

    def __init__(self, ws: Workspace) -> None:
        self._teams = {team: tuple(name.strip() for name in people.split(",")) for team, people in ws.project.governance.teams.items()}
        self._owners: dict[tuple[str, str], str] = {}
        if not ws.has_store:
            return
        for node in ws.catalog.nodes(kind="policy", limit=_MOST_DECLARED):
            if owner := str(node.facts.get("terms", {}).get("owner") or ""):
                self._owners.setdefault((str(node.facts.get("kind")), str(node.facts.get("name"))), owner)
        for asset in ws.catalog.assets():
            if owner := str(asset.facts.get("owner") or ""):
                self._owners.setdefault((asset.kind, asset.name), owner)
        for name, source in ws.project.datasets.items():
            if source.owner:
                self._owners["dataset", name] = source.owner
        for name, policy in ws.project.policies.items():
            if policy.owner:
                self._owners["dataset", name] = policy.owner

    def of(self, kind: str, name: str) -> str:
        """Return an asset's owner, '' where nobody says."""
        return self._owners.get((kind, name), "")

    def people(self, team: str) -> tuple[str, ...]:
        """Return a team's people; none where it is no team."""
        return self._teams.get(team, ())

    def everyone(self) -> set[str]:
        """Return everybody who owns something or is of a team."""
        return {*self._owners.values(), *(person for people in self._teams.values() for person in people)}

    def owned_by(self, names: set[str]) -> list[tuple[str, str]]:
        """Return the assets somebody owns, by kind and name."""
        return sorted(asset for asset, owner in self._owners.items() if owner in names)

    def sort_out(self, nodes: Iterable[Node]) -> dict[str, list[str]]:
        """Return which of some nodes' assets belong to whom."""
        found: dict[str, list[str]] = {}
        for kind, name in dict.fromkeys((node.kind, node.name) for node in nodes):
            if owner := self.of(kind, name):
                found.setdefault(owner, []).append(name)
        return dict(sorted(found.items()))
