"""`sampan merge FOLDER`: take a store that was copied from elsewhere, or lies on a shared disk, into this one.

The other ledger's rows come one by one, each held in a row of this ledger with its own hash, and do here what they did there
(`merging_translation.py`), under names that a plan decides (`merging_names.py`). Content is copied before the rows that name it, points
after the runs they belong to. Every step leaves out what is here already, so a merge that was killed is completed by merging again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from sampan.core.decoding import read_builtins
from sampan.core.events import Event, new_id
from sampan.core.graph import NodeId
from sampan.core.project import FILE_NAME, load_project
from sampan.errors import AlreadyExists, Conflict, IntegrityError, NotFound, ParameterError
from sampan.workspace.merging.answers import StoreMerged
from sampan.workspace.operation import Room, operation

if TYPE_CHECKING:
    from sampan.store.chain import Link
    from sampan.store.store import Store
    from sampan.workspace.merging.events import Origin
    from sampan.workspace.merging.names import Names
    from sampan.workspace.merging.translation import Translation
    from sampan.workspace.workspace import Workspace

_ROWS: Final = 500  # rows a transaction
_RUNS: Final = 100  # runs whose points go into one
_MOST_TRIES: Final = 5
_SHOWN: Final = 5
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
_MANY: Final = 10_000


class Merging(Room):
    """The verb that takes another store in."""

    noun = ""

    @operation(local=True)
    def merge(
        self, folder: Path, *, label: str = "", clash: Literal["prefix", "join", "refuse"] = "prefix", dry_run: bool = False
    ) -> StoreMerged:
        """Take a store copied from elsewhere into this one; merging it again brings only what is new there.

        Parameters
        ----------
        folder : the other project, or its .sampan folder, such as a copy from a cluster or a disk that both mount
        label : what that store is called here; by default its folder's name
        clash : a name with another history here: keep theirs under the label, let their versions follow ours, or refuse
        dry_run : only say what would come, and under which names
        """
        from sampan.store.files import locked
        from sampan.store.foreign import opened_copy

        root, database = _located(folder)
        here = self.ws.store
        if root.resolve() == here.root.resolve():
            raise ParameterError(f"{folder} is this very store", parameter="folder", hint="name the folder of another one")
        with (
            locked(here.root / "merge.lock", exclusive=True),
            opened_copy(root, scratch=here.root / "scratch", database=database) as there,
        ):
            came = Merge(self.ws, there, label=label or _label(root), clash=clash).carry_out(dry_run=dry_run)
        again = (f"sampan merge {quote(str(folder))}",) if dry_run else ("sampan log", "sampan audit verify")
        return msgspec.structs.replace(came, next=again)


class Merge:
    """One merge of one store into a workspace's."""

    def __init__(self, ws: Workspace, there: Store, *, label: str, clash: str = "prefix") -> None:
        """Take the other store, opened, and what it shall be called.

        Raises
        ------
        ParameterError : the label cannot begin a name.
        """
        if not _LABEL.match(label):
            raise ParameterError(f"{label!r} cannot be a label", parameter="label", hint="a letter, then letters, digits, '_' and '-'")
        self.ws = ws
        self.there = there
        self._label = label
        self._clash = clash

    def carry_out(self, *, dry_run: bool = False) -> StoreMerged:
        """Bring everything here that is not here yet, or only say what that is.

        Raises
        ------
        IntegrityError : the other store is damaged; nothing was taken.
        AlreadyExists : names clash and that was to be refused, or the label is another store's.
        PolicyRefused : it holds a person who was erased here.
        """
        from sampan.workspace.merging.erased import require_nobody_erased

        self._require_whole()
        require_nobody_erased(self.ws, self.there)
        links = [link for batch in self._unknown() for link in batch]
        id, origin, is_known = self._origin(links)  # noqa: A001  # the field's word
        names = self._names(origin)
        origin = msgspec.structs.replace(origin, names={**origin.names, **names.renamed(), **self._joined(names)})
        if dry_run:
            told = self._translation(origin, names)
            for link in links:
                told.changes(link)
            return _answer(told, names, origin, n_rows=len(links), dry_run=True)
        n_objects, n_bytes = self._take_content()
        told = self._take_rows(links, id, origin, names, is_known=is_known)
        n_points = self._take_points(origin)
        self._free_erased(told.superseded)
        return _answer(told, names, origin, n_rows=len(links), n_objects=n_objects, n_bytes=n_bytes, n_points=n_points)

    # -- before anything is taken

    def _require_whole(self) -> None:
        from sampan.ledger import Ledger
        from sampan.store.upkeep import fsck

        with self.ws.progress.stage("checking the other store"):
            ledger = Ledger(self.there, actor=self.ws.actor)
            faults = fsck(self.there, ledger=lambda: ledger.verify().what)
        if faults:
            told = [
                f"{fault.digest} {fault.what}".strip() + (f" (needed by {fault.needed_by})" if fault.needed_by else "") for fault in faults
            ]
            more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
            raise IntegrityError(
                f"the other store is not whole, so nothing was taken from it: {'; '.join(told[:_SHOWN])}{more}",
                hint="copy it again from where it was made, or mend it there: sampan fsck",
            )

    def _unknown(self) -> Iterator[list[Link]]:
        """Iterate over rows that are not here; those that only hold what is here already are none."""
        from sampan.store import foreign

        for batch in foreign.ledger_rows(self.there):
            yield [link for link in foreign.unknown(self.ws.store, batch) if not foreign.holds_known(self.ws.store, link)]

    def _origin(self, links: Sequence[Link]) -> tuple[NodeId, Origin, bool]:
        """Return the other store's node, what it is known as, and whether a merge met it before: its ledger has the row that came first."""
        from sampan.store import foreign
        from sampan.workspace.merging.events import ORIGIN, Origin

        nodes = self.ws.catalog.nodes(kind=ORIGIN, limit=_MANY)
        known = {origin.root: (node.id, origin, True) for node in nodes if (origin := read_builtins(node.facts, Origin))}
        for batch in foreign.ledger_rows(self.there):
            for link in batch:
                if link.hash in known:
                    return known[link.hash]
        if any(origin.label == self._label for _, origin, _ in known.values()):
            raise AlreadyExists(
                f"{self._label} is another store that was merged here", hint="give this one a name of its own: --label NAME"
            )
        return new_id(), Origin(label=self._label, root=links[0].hash if links else ""), False

    def _names(self, origin: Origin) -> Names:
        from sampan.store import foreign
        from sampan.workspace.merging.names import plan_names

        gone = {**foreign.superseded(self.there), **foreign.superseded(self.ws.store)}
        names = plan_names(self.ws.catalog, self.there.catalog, origin, gone, join=self._clash == "join")
        new = [each for each in names.clashes if f"{each.kind}:{each.name}" not in origin.names]
        if new and self._clash == "refuse":
            told = ", ".join(f"{each.kind} {each.name}" for each in new)
            raise AlreadyExists(f"these names have another history here: {told}", hint="--clash prefix keeps theirs under the label")
        return names

    def _joined(self, names: Names) -> dict[str, str]:
        """Return the names whose versions follow ours by choice: so they do from now on."""
        return {f"{each.kind}:{each.name}": each.here for each in names.clashes if self._clash == "join"}

    # -- taking

    def _take_content(self) -> tuple[int, int]:
        from sampan.store import foreign
        from sampan.store.upkeep import closure

        gone = foreign.superseded(self.ws.store)
        roots = [digest for digest in self.there.catalog.referenced_digests() if digest not in gone and self.there.blobs.has(digest)]
        needed = {digest for digest in closure(self.there, roots) if self.there.blobs.has(digest)}
        with self.ws.progress.stage("copying content", total=sum(map(self.there.blobs.size, needed)), unit="bytes") as stage:
            return foreign.take_content(self.ws.store, self.there, needed, advance=stage.advance)

    def _take_rows(self, links: Sequence[Link], id: NodeId, origin: Origin, names: Names, *, is_known: bool) -> Translation:  # noqa: A002  # the field's word
        """Append rows, some a transaction."""
        told = self._translation(origin, names)
        with self.ws.progress.stage("merging", total=len(links), unit="rows") as stage:
            for start in range(0, len(links), _ROWS):
                some = links[start : start + _ROWS]
                self._append(some, told, id, origin, is_known=is_known)
                origin, is_known = told.origin(origin), True
                stage.advance(len(some))
        return told

    def _append(self, links: Sequence[Link], told: Translation, id: NodeId, origin: Origin, *, is_known: bool) -> None:  # noqa: A002  # the field's word
        """Append a few rows; what somebody changes here at the same moment is looked at again."""
        for _ in range(_MOST_TRIES):
            events = self._events(links, told, id, origin, is_known=is_known)
            try:
                self.ws.ledger.append(*events, reason=f"merged from {origin.label}")
            except Conflict as conflict:
                told.forget(origin)
                cause = conflict
            else:
                return
        raise cause

    def _events(self, links: Sequence[Link], told: Translation, id: NodeId, origin: Origin, *, is_known: bool) -> list[Event]:  # noqa: A002  # the field's word
        from sampan.workspace.merging.events import Merged, OriginAmended, OriginMet

        rows: list[Event] = [Merged.made(link, told.changes(link), origin=id, about=told.about(link.subject)) for link in links]
        decided = told.origin(origin)
        if not is_known:
            return [OriginMet(node=id, origin=decided), *rows]
        return [*([OriginAmended(node=id, origin=decided)] if decided != origin else []), *rows]

    def _translation(self, origin: Origin, names: Names) -> Translation:
        from sampan.workspace.merging.translation import Translation

        return Translation(self.ws.store, origin, names.same)

    def _take_points(self, origin: Origin) -> int:
        from sampan.store import foreign

        runs, n_points = foreign.runs_with_points(self.there), 0
        with self.ws.progress.stage("metric points", total=len(runs), unit="runs") as stage:
            for start in range(0, len(runs), _RUNS):
                some = runs[start : start + _RUNS]
                n_points += foreign.take_points(self.ws.store, self.there, some, origin=origin.label)
                stage.advance(len(some))
        return n_points

    def _free_erased(self, superseded: Sequence[str]) -> None:
        """Free content that was written again there without a person, where nothing here needs it any more."""
        if not superseded:
            return
        from sampan.store.erasure.leftovers import remove_copies
        from sampan.store.upkeep import closure

        store = self.ws.store
        needed = closure(store, store.catalog.referenced_digests())
        gone = closure(store, [digest for digest in superseded if store.blobs.has(digest)]) - needed
        store.blobs.discard([digest for digest in gone if store.blobs.has(digest)])
        remove_copies(store.root)


def _answer(told: Translation, names: Names, origin: Origin, **came: Any) -> StoreMerged:
    """Say what came."""
    return StoreMerged(
        origin=origin.label,
        names=tuple(each for each in names.planned if (each.kind, each.name) in told.touched),
        aliases=told.set_aside,
        left=told.left,
        n_erased=len(told.superseded),
        **came,
    )


def _located(folder: Path) -> tuple[Path, str]:
    """Return the folder of the other store, and its database's address where that is not in the folder."""
    given = folder.expanduser().absolute()
    if not given.is_dir():
        raise NotFound(f"there is no folder {folder}", hint="give the folder of the other project, or its .sampan")
    if (given / "store.json").is_file():
        return given, ""
    project = load_project(given) if (given / FILE_NAME).is_file() else None
    root = given / (project.store.folder if project else ".sampan")
    if not (root / "store.json").is_file():
        raise NotFound(f"there is no store in {folder}", hint="give the folder of the other project, or its .sampan")
    return root, project.store.database if project else ""


def _label(root: Path) -> str:
    """Name a store by its project's folder."""
    name = root.parent.name if root.name.startswith(".") else root.name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_").lstrip("0123456789-_") or "other"
