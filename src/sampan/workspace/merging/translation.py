"""What a row of another store's ledger does here: its changes under the names of this store, and no more than may be changed from outside.

What is decided here stands: an alias is never moved, a state or tag never overwritten, content that was written again without a person
never brought back. What differs there is kept beside it under the origin's label, or counted as left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.changes import (
    ActedThen,
    AddArtifact,
    AddNode,
    AddParams,
    Adopt,
    AmendFacts,
    AnyChange,
    Change,
    DescribeAsset,
    DropFiles,
    EndRun,
    EnsureAsset,
    ExpectContent,
    ExpectNewest,
    FinishStep,
    MoveAlias,
    SetState,
    SetTag,
    StandsFor,
    StartRun,
    Supersede,
)
from sampan.core.decoding import decoder_of
from sampan.core.graph import Node, NodeId
from sampan.errors import NotFound
from sampan.store import foreign
from sampan.store.chain import MERGED, Link
from sampan.workspace.governing.erasure_events import SubjectErased
from sampan.workspace.merging.events import Origin, OriginAmended, OriginMet
from sampan.workspace.models.sign_offs import KIND as SIGN_OFF

if TYPE_CHECKING:
    from sampan.store.store import Store

_DIGEST: Final = re.compile(r"b3:[0-9a-f]{64}")
_CHANGES: Final = decoder_of(list[AnyChange])
_ELSEWHERE: Final = "elsewhere"  # the state of a signature that was given in another store: it is known, and counts for nothing here
_NOT_TAKEN: Final = frozenset({"webhook"})  # what would act here on behalf of another store
_SAME_AS_OURS, _ALSO_OURS, _THEIRS = "same", "also", "theirs"


class Translation:
    """Translates rows one after the other, and remembers what they will have done."""

    def __init__(self, here: Store, origin: Origin, same: Mapping[NodeId, NodeId]) -> None:
        self._here = here
        self._same = same
        self._label = origin.label
        self.left: dict[str, int] = {}  # what was not taken over, by kind of change
        self.set_aside: dict[str, str] = {}  # alias there -> alias here
        self.superseded: list[str] = []
        self.touched: set[tuple[str, str]] = set()  # kinds and names there that rows are about
        self._row_type = ""
        self.forget(origin)

    def forget(self, origin: Origin) -> None:
        """Look at what is here anew: rows that were translated did not come to be, since somebody was faster."""
        self.names = dict(origin.names)
        self.aliases = dict(origin.aliases)
        self.made = set(origin.made)
        self._gone = foreign.superseded(self._here)
        self._states: dict[NodeId, str] = {}
        self._standing: dict[NodeId, str] = {}  # whose each node is
        self._assets = {(asset.kind, asset.name) for asset in self._here.catalog.assets()}
        self._pointing: dict[tuple[str, str], dict[str, NodeId]] = {}

    def changes(self, link: Link) -> list[Change]:
        """Return what a row does here."""
        self._row_type = link.type
        if link.type in (OriginMet.type, OriginAmended.type):
            return []  # how that store calls others, this one among them
        return [made for change in _CHANGES.decode(self._present(link)) for made in self._translate(change)]

    def about(self, subject: NodeId) -> NodeId:
        """Return which node here a row is about."""
        return self._same.get(subject, subject)

    def origin(self, before: Origin) -> Origin:
        """Return the origin with what was decided."""
        return msgspec.structs.replace(before, names=self.names, aliases=self.aliases, made=tuple(sorted(self.made)))

    # -- content

    def _present(self, link: Link) -> str:
        """Return the changes' text with content as it is here since somebody was erased."""
        if link.type == SubjectErased.type or not any(digest in self._gone for digest in _DIGEST.findall(link.changes)):
            return link.changes
        text = _DIGEST.sub(lambda found: self._gone.get(found[0]) or found[0], link.changes)
        if not any(self._gone.get(digest) == "" for digest in _DIGEST.findall(text)):
            return text
        kept = [_without(change, lambda one: self._gone.get(one) == "") for change in msgspec.json.decode(text)]
        return msgspec.json.encode([each for each in kept if each.get("do") != "add_artifact" or "digest" in each]).decode()

    # -- changes, one method a kind

    @singledispatchmethod
    def _translate(self, change: Change) -> Iterator[Change]:
        yield change

    @_translate.register(ExpectNewest | ExpectContent)
    def _(self, _change: Change) -> Iterator[Change]:
        yield from ()  # they guarded the act there; here it is history

    @_translate.register
    def _(self, change: ActedThen | Adopt) -> Iterator[Change]:
        yield change

    @_translate.register
    def _(self, change: EnsureAsset) -> Iterator[Change]:
        if change.kind in _NOT_TAKEN:
            self._leave(change.kind)
            return
        yield msgspec.structs.replace(change, name=self._asset(change.kind, change.name))

    @_translate.register
    def _(self, change: DescribeAsset) -> Iterator[Change]:
        if change.kind in _NOT_TAKEN:
            return
        name = self._asset(change.kind, change.name)
        if f"{change.kind}:{name}" in self.made:
            yield msgspec.structs.replace(change, name=name)
        else:
            self._leave("description")

    @_translate.register
    def _(self, change: AddNode) -> Iterator[Change]:
        if change.id in self._same:
            self._standing[change.id] = _SAME_AS_OURS
            self.touched.add((change.kind, change.name))
            yield StandsFor(change.id, self._same[change.id])
        elif self._node(change.id) is None:
            self._standing[change.id] = _THEIRS
            self._states[change.id] = state = _ELSEWHERE if change.kind == SIGN_OFF else change.state
            name = self._asset(change.kind, change.name) if change.name else ""
            yield msgspec.structs.replace(change, name=name, state=state)

    @_translate.register
    def _(self, change: StandsFor) -> Iterator[Change]:
        if self._node(change.id) is None:
            yield change

    @_translate.register
    def _(self, change: MoveAlias) -> Iterator[Change]:
        name = self._asset(change.kind, change.name)
        pointing = self._pointing_of(change.kind, name)
        if change.after and pointing.get(change.alias) == self.about(change.after):
            return  # as it is here
        alias = self._alias(change, name)
        before, after = pointing.get(alias), self.about(change.after) if change.after else None
        if before == after:
            return
        if after is None:
            del pointing[alias]
        else:
            pointing[alias] = after
        yield MoveAlias(kind=change.kind, name=name, alias=alias, before=before, after=after)

    @_translate.register
    def _(self, change: SetState) -> Iterator[Change]:
        if self._whose(change.node) != _SAME_AS_OURS and self._state(change.node) == change.before:
            self._states[change.node] = change.after
            yield change
        else:
            self._leave("state")

    @_translate.register
    def _(self, change: EndRun) -> Iterator[Change]:
        if self._state(change.node) == "running":
            self._states[change.node] = change.state
            yield change
        else:
            self._leave("state")

    @_translate.register
    def _(self, change: SetTag) -> Iterator[Change]:
        if self._whose(change.node) == _THEIRS or change.key not in self._here.catalog.tags(self.about(change.node)):
            yield change
        else:
            self._leave("tag")

    @_translate.register
    def _(self, change: StartRun) -> Iterator[Change]:
        if self._whose(change.node) == _THEIRS and not self._has_started(change.node):
            yield msgspec.structs.replace(change, experiment=self._asset("run", change.experiment))

    @_translate.register
    def _(self, change: AddParams) -> Iterator[Change]:
        known = {} if self._whose(change.node) == _THEIRS else self._here.catalog.params(self.about(change.node))
        fresh = {name: value for name, value in change.params.items() if name not in known}
        if fresh:
            yield msgspec.structs.replace(change, params=fresh)

    @_translate.register
    def _(self, change: AddArtifact) -> Iterator[Change]:
        known = () if self._whose(change.node) == _THEIRS else self._here.catalog.artifacts(self.about(change.node))
        if change.path not in {each.path for each in known}:
            yield change

    @_translate.register
    def _(self, change: DropFiles) -> Iterator[Change]:
        if self._whose(change.node) == _THEIRS:
            yield change
        else:
            self._leave("removal of files")

    @_translate.register
    def _(self, change: FinishStep) -> Iterator[Change]:
        if not foreign.has_step(self._here, change.key):
            yield change

    @_translate.register
    def _(self, change: Supersede) -> Iterator[Change]:
        if change.before not in self._gone:
            self._gone[change.before] = change.after
            self.superseded.append(change.before)
            yield change
        elif self._gone[change.before] != change.after:
            self._leave("erasure of content that was written again here for somebody else")

    @_translate.register
    def _(self, change: AmendFacts) -> Iterator[Change]:
        if self._whose(change.node) == _THEIRS or self._row_type == SubjectErased.type:
            yield change
        else:
            self._leave("facts")

    # -- what is here

    def _asset(self, kind: str, name: str) -> str:
        """Return the name here of a thing there; note that the merge makes it, where it does."""
        self.touched.add((kind, name))
        here = self.names.get(f"{kind}:{name}", name)
        if (kind, here) not in self._assets:
            self._assets.add((kind, here))
            self.made.add(f"{kind}:{here}")
        return here

    def _alias(self, change: MoveAlias, name: str) -> str:
        """Return the alias here for one there: its own where it was free, else one under the origin's label."""
        key, aside = f"{change.kind}:{change.name}@{change.alias}", f"{self._label}.{change.alias}"
        pointing = self._pointing_of(change.kind, name)
        before = self.about(change.before) if change.before else None
        if self.aliases.get(key, change.alias) != aside:
            # Free, or as their move expects it and theirs already: nobody here has pointed it elsewhere.
            is_theirs = key in self.aliases or f"{change.kind}:{name}" in self.made
            free = pointing.get(change.alias) is None or (is_theirs and pointing[change.alias] == before)
            self.aliases[key] = change.alias if free else aside
        if self.aliases[key] == aside:
            self.set_aside[f"{name}@{change.alias}"] = f"{name}@{aside}"
        return self.aliases[key]

    def _pointing_of(self, kind: str, name: str) -> dict[str, NodeId]:
        if (kind, name) not in self._pointing:
            self._pointing[kind, name] = self._here.catalog.aliases(kind, name)
        return self._pointing[kind, name]

    def _state(self, node: NodeId) -> str:
        if node not in self._states:
            found = self._node(node)
            self._states[node] = found.state if found else ""
        return self._states[node]

    def _whose(self, id: NodeId) -> str:  # noqa: A002  # the field's word
        """Say whether a node is ours under another id, ours as well as theirs, or theirs alone."""
        if id not in self._standing:
            found = self._node(id)
            if found is None or (id == found.id and self._came_by_merge(id)):
                self._standing[id] = _THEIRS
            else:
                self._standing[id] = _ALSO_OURS if found.id == id else _SAME_AS_OURS
        return self._standing[id]

    def _came_by_merge(self, node: NodeId) -> bool:
        return any(event.type == MERGED for event in self._here.catalog.events(subject=node, limit=1))

    def _has_started(self, run: NodeId) -> bool:
        try:
            self._here.catalog.run(run)
        except NotFound:
            return False
        return True

    def _node(self, id: NodeId) -> Node | None:  # noqa: A002  # the field's word
        try:
            return self._here.catalog.node(id)
        except NotFound:
            return None

    def _leave(self, what: str) -> None:
        self.left[what] = self.left.get(what, 0) + 1


def _without(value: Any, is_gone: Callable[[str], bool]) -> Any:
    """Return a JSON value without the entries and elements that are texts of a kind."""
    if isinstance(value, dict):
        return {name: _without(entry, is_gone) for name, entry in value.items() if not (isinstance(entry, str) and is_gone(entry))}
    if isinstance(value, list):
        return [_without(entry, is_gone) for entry in value if not (isinstance(entry, str) and is_gone(entry))]
    return value
