"""Erasing a person from a store: from every version and everything made of it, with every version kept.

New objects without the person are written first; then one transaction lets every name stand for them and takes the person out of the
ledger's earlier rows; then the old objects are freed and the database is written anew. Killed before the transaction, nothing has happened
but that some logs were cleared, and copies in the store's folder removed: ask again. Killed after it, the next erasure or `gc` frees what
is left to free.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from sampan.core.digests import PREFIX, Digest, is_digest
from sampan.core.events import new_id
from sampan.core.graph import Node, NodeId
from sampan.core.refs import nearest
from sampan.errors import BlobUnavailable, IntegrityError, ParameterError, StaleState, Unsupported
from sampan.store.erasure import MIN_TEXT, Subject
from sampan.workspace.data.dataset_copies import copies_of, is_inside, places, remove
from sampan.workspace.data.room import KIND, PROFILE
from sampan.workspace.governing.erasure_events import DONE, ERASING, ERASURE, ErasureFinished, Moved, SubjectErased
from sampan.workspace.governing.erasure_records import PURPOSE, ErasedTable, ErasureRecord, commitment, new_record, sign

if TYPE_CHECKING:
    from sampan.store.erasure.search import Searched
    from sampan.store.store import Store
    from sampan.store.tables.erasing import Erasing
    from sampan.workspace.workspace import Workspace

_MOST_TRIES = 5
_MANY = 1_000_000
_NAMING = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|\+?[\d][\d .()/-]{5,}\d|\d{1,3}(?:\.\d{1,3}){3}")  # e-mail, phone or number, IP address
_DATE = re.compile(r"\d{4}[-/. ]\d{1,2}[-/. ]\d{1,2}\b.*|\d{1,2}[-/. ]\d{1,2}[-/. ]\d{4}\b.*")  # a day names nobody
_MOST_TEXTS = 200


@dataclass(slots=True)
class _Plan:
    """What an erasure will do, with everything already written that has to be there before."""

    stored: set[Digest]
    named: set[Digest]  # by the catalog itself
    needed: set[Digest]
    versions: list[Digest] = field(default_factory=list)  # every table version that is stored
    moved: dict[Digest, Digest] = field(default_factory=dict)
    sizes: dict[Digest, int] = field(default_factory=dict)
    counts: dict[Digest, int] = field(default_factory=dict)  # version before -> living rows erased from it
    cells: dict[Digest, int] = field(default_factory=dict)  # version before -> cells of others that named the subject
    rows_left: dict[Digest, int] = field(default_factory=dict)
    unsure: tuple[str, ...] = ()
    forgotten: set[Digest] = field(default_factory=set)
    freed: set[Digest] = field(default_factory=set)
    stuck: list[Digest] = field(default_factory=list)
    n_others: int = 0


@dataclass(slots=True)
class _Cleared:
    """What was cleared where it stands, over all tries."""

    n_log_rows: int = 0
    n_files: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """An erasure that went through."""

    node: NodeId
    record: ErasureRecord
    n_bytes: int


class Erasure:
    """Finds and erases one subject in one workspace."""

    def __init__(self, workspace: Workspace, keys: Mapping[str, str], *, also: Iterable[str] = ()) -> None:
        """Take columns with the value that names the subject in each, and other texts that name it wherever they stand.

        Raises
        ------
        ParameterError : there are no keys, or an empty one, or a text is too short to mean nobody else.
        """
        if not keys or not all(name and value for name, value in keys.items()):
            raise ParameterError("no subject is named", hint="--subject COLUMN=VALUE, like --subject passenger=P-000777")
        self.ws = workspace
        self.store = workspace.store
        self._keys = dict(keys)
        self._also = tuple(also)
        for text in self._also:
            if len(text) < MIN_TEXT:
                raise ParameterError(
                    f"{text!r} is too short to be looked for wherever it may stand",
                    hint=f"name {MIN_TEXT} characters or more, like a whole name; a shorter one only as --subject COLUMN={text or 'VALUE'}",
                )

    def versions(self) -> dict[str, int]:
        """Count the subject's rows in the files of each dataset version, also of rows that later versions deleted."""
        nodes = self._dataset_nodes()
        counts = self._erasing().find(node.digest for node in nodes)
        return {node.ref: counts[node.digest] for node in reversed(nodes) if node.digest in counts}

    def unsure_texts(self) -> tuple[str, ...]:
        """Return the keys that may mean somebody or something else in rows of others: mere numbers, and mere names."""
        keys = (text for text in self._keys.values() if len(text) >= MIN_TEXT and text not in self._also)
        return tuple(text for text in keys if "@" not in text and not (any(map(str.isdigit, text)) and any(map(str.isalpha, text))))

    def unknown_columns(self) -> tuple[str, ...]:
        """Say which of the subject's columns no dataset has, as who misspells one would believe somebody erased who is not."""
        known = {name for node in self._dataset_nodes() for name in node.facts.get("columns", ())}
        close = {name: nearest(name, sorted(known)) for name in self._keys if name not in known}
        return tuple(f"no dataset has a column {name}" + (f"; did you mean {found[0]}?" if found else "") for name, found in close.items())

    def subject(self) -> Subject:
        """Return the subject with every text that names it alone."""
        erasing, found = self._erasing(), dict[str, set[str]]()
        for head in self._newest():
            for column, texts in erasing.texts(head.digest).items():
                found.setdefault(column, set()).update(texts)
        return self._named(found)

    def search(self) -> Searched:
        """Search everything the store holds, byte by byte and cell by cell."""
        from sampan.store.erasure.search import search

        total = sum(1 for _ in self.store.blobs.digests())
        with self.ws.progress.stage("searching", total=total, unit="objects") as stage:
            return search(self.store, self.subject(), done=lambda _: stage.advance())

    def erase(self, *, reason: str) -> Done:
        """Erase the subject from everything the store holds.

        Raises
        ------
        Unsupported : the store's bucket keeps what is deleted.
        StaleState : others kept on writing while it was being prepared.
        IntegrityError, BlobUnavailable : something needed cannot be read; nothing was erased from the records.
        """
        from sampan.workspace.governing.privacy_keys import PrivacyKeys

        _check_forgets(self.store)
        finish_erasures(self.ws)
        key = PrivacyKeys(self.ws).key(PURPOSE)
        cleared, missed = _Cleared(), ""
        for _ in range(_MOST_TRIES):
            try:
                node, record = self._try(key, reason, cleared)
            except StaleState:
                continue
            except BlobUnavailable as error:
                # Another erasure may have freed it since it was listed. What is missed twice is lost.
                if error.message == missed:
                    raise
                missed = error.message
            else:
                return Done(node, record, finish_erasures(self.ws))
        raise StaleState("others keep on writing to this store", hint="try again when no run is under way")

    def _try(self, key: bytes, reason: str, cleared: _Cleared) -> tuple[NodeId, ErasureRecord]:
        """Erase the subject from the store as it is at this moment. Raises StaleState if it has gone on meanwhile."""
        from sampan.store.erasure.leftovers import erase_from_leftovers
        from sampan.store.erasure.logs import erase_from_logs

        after = self.ws.ledger.last
        plan, removed = self._erase_tables()
        subject = self._named(removed)
        self._erase_mentions(subject, plan)
        cleared.n_log_rows += sum(erase_from_logs(self.store.segments, self._in_logs(subject)).values())
        cleared.n_files += erase_from_leftovers(self.store.root, subject)
        plan.forgotten.update(self._files_of(removed, plan))
        self._erase_others(subject, plan)
        event, record = self._event(plan, subject, key, reason=reason, cleared=cleared)
        self.ws.ledger.append_erasing(event, subject=subject, after=after, reason=subject.redact_text(reason))
        return event.node, record

    def _in_logs(self, subject: Subject) -> Subject:
        """Return the subject with the names that rules for prediction logs gave it."""
        from sampan.workspace.services.log_rules import pseudonyms_in_logs

        return Subject.named(subject.keys, (*subject.texts, *pseudonyms_in_logs(self.ws, self._keys)))

    # -- preparing

    def _erasing(self) -> Erasing:
        from sampan.store.tables.erasing import Erasing

        return Erasing(self.store.tables, {name: [value] for name, value in self._keys.items()})

    def _dataset_nodes(self) -> list[Node]:
        return [node for node in self.ws.catalog.nodes(kind=KIND, limit=_MANY) if node.digest]

    def _newest(self) -> list[Node]:
        heads = (self.ws.catalog.nodes(kind=KIND, name=asset.name, limit=1) for asset in self.ws.catalog.assets(KIND))
        return [head[0] for head in heads if head and head[0].digest]

    def _named(self, texts: Mapping[str, set[str]]) -> Subject:
        """Return the subject with those texts from its rows that name somebody, and that no row of anybody else has."""
        own: dict[str, None] = {}
        for column in sorted(texts.keys() - self._keys.keys()):
            if naming := {text for text in texts[column] if _NAMING.fullmatch(text) and not _DATE.fullmatch(text)}:
                own.update(dict.fromkeys(sorted(naming - self._shared(column, naming))))
        return Subject.named(self._keys, (*self._also, *list(own)[:_MOST_TEXTS]))

    def _shared(self, column: str, texts: set[str]) -> set[str]:
        """Return those texts that rows of others have in this column."""
        import polars as pl

        from sampan.store.tables.erasing import is_subject
        from sampan.store.tables.parts import exactly

        shared: set[str] = set()
        for head in self._newest():
            schema = self.store.tables.schema(head.digest)
            if column in schema and schema[column] == pl.String:
                theirs = is_subject(schema, {name: [value] for name, value in self._keys.items()})
                frame = self.store.tables.scan(head.digest).filter(exactly([column]).is_in(sorted(texts)))
                frame = frame if theirs is None else frame.filter(~theirs)
                shared.update(frame.select(exactly([column])).unique().collect(engine="streaming")[column].to_list())
        return shared

    def _erase_tables(self) -> tuple[_Plan, dict[str, set[str]]]:
        """Write every version again that has the subject; also return the texts of its rows, by column."""
        from sampan.store.upkeep import closure

        store, erasing = self.store, self._erasing()
        stored = set(store.blobs.digests())
        named = set(store.catalog.referenced_digests())
        needed = closure(store, named)
        plan = _Plan(stored=stored, named=named, needed=needed)
        plan.versions = [digest for digest in sorted(stored) if store.tables.is_version(digest)]
        with self.ws.progress.stage("writing versions again", total=len(plan.versions), unit="versions") as stage:
            for version, erased in erasing.erase(one for one in plan.versions if one in needed).items():
                if erased.new_version != version:
                    plan.moved[version] = erased.new_version
                    plan.counts[version], plan.rows_left[version] = erased.n_rows, erased.n_left
                stage.advance()
        return plan, erasing.removed

    def _erase_mentions(self, subject: Subject, plan: _Plan) -> None:
        """Take the subject out of cells of other rows; where they may as well speak of somebody else, note the tables."""
        tables = self.store.tables
        present = {version: plan.moved.get(version, version) for version in plan.versions if version in plan.needed}
        unsure = self.unsure_texts()
        with self.ws.progress.stage("looking for mentions in other rows"):
            erased = self._mentioning([text for text in subject.texts if text not in unsure]).erase(present.values())
            for version, now in present.items():
                made = erased[now]
                if made.new_version != now:
                    plan.freed.update((now, *tables.objects(now)) if now != version else ())  # made by this very erasure
                    plan.moved[version] = present[version] = made.new_version
                    plan.cells[version], plan.rows_left[version] = made.n_cells, made.n_left
                    plan.counts.setdefault(version, 0)
            plan.unsure = tuple(self._unsure(unsure, present)) if unsure else ()

    def _mentioning(self, texts: Iterable[str]) -> Erasing:
        from sampan.store.tables.erasing import Erasing
        from sampan.store.tables.mentions import Mentions

        named = Subject(self._keys, tuple(texts))
        return Erasing(self.store.tables, {}, Mentions(named) if named.texts else None)

    def _unsure(self, texts: Iterable[str], present: Mapping[Digest, Digest]) -> Iterator[str]:
        """Say of each dataset's newest version that has such texts how many cells of which columns."""
        found = self._mentioning(texts).mentioned(present.values())
        told = set[str]()
        for node in self._dataset_nodes():
            cells = found.get(present.get(node.digest, ""))
            if cells and node.name not in told:
                told.add(node.name)
                yield f"{node.ref}: {', '.join(f'{n:,} in {column}' for column, n in cells.items())}"

    def _erase_others(self, subject: Subject, plan: _Plan) -> None:
        """Write everything else again that has the subject, and find what is freed by that."""
        from sampan.store.upkeep import mentioned

        store = self.store
        of_tables = {digest for version in plan.versions for digest in store.tables.objects(version)}
        plan.freed.update(digest for version in plan.moved for digest in store.tables.objects(version))
        self._find_abandoned(subject, plan)
        plan.forgotten.update(self._profiles_of(plan.moved))
        others = (plan.needed & plan.stored) - of_tables
        # A file may be a table's part and, under the same digest, something of its own.
        named = plan.named | {found for digest in others for found in mentioned(store.blobs, digest)}
        others |= (named & of_tables & plan.needed) - set(plan.versions)
        self._rewrite_others(sorted(others - plan.forgotten), subject, plan)
        plan.freed.update(plan.forgotten, plan.moved)
        for after in plan.moved.values():
            plan.sizes[after] = store.tables.info(after).size_bytes if store.tables.is_version(after) else store.blobs.size(after)

    def _find_abandoned(self, subject: Subject, plan: _Plan) -> None:
        """Find what no name leads to, such as the work of a killed process, if it has the subject."""
        from sampan.store.erasure.contents import mentions

        unneeded = plan.stored - plan.needed
        tables = set(plan.versions) & unneeded
        looks = self._erasing().find, self._mentioning(subject.texts).mentioned
        for version in sorted(tables):
            try:
                if any(look([version]) for look in looks):
                    plan.freed.update(self.store.tables.objects(version))
            except (BlobUnavailable, IntegrityError):
                plan.freed.add(version)  # parts of it were freed before: nobody can read it
        for digest in sorted(unneeded - tables - plan.freed):
            with suppress(BlobUnavailable):  # freed at this moment
                if mentions(self.store.blobs.read(digest), subject):
                    plan.freed.add(digest)

    def _files_of(self, removed: Mapping[str, set[str]], plan: _Plan) -> Iterator[Digest]:
        """Yield the files that only the subject's rows refer to, such as images in a folder of files."""
        from sampan.store.tables.parts import exactly

        tables = self.store.tables
        for column, texts in removed.items():
            files = {text for text in texts if is_digest(text)} & plan.stored
            for version in (plan.moved.get(one, one) for one in plan.versions if files and one in plan.needed):
                if column in tables.schema(version):
                    named = tables.scan(version).select(exactly([column])).filter(exactly([column]).is_in(sorted(files)))
                    files -= set(named.unique().collect(engine="streaming")[column].to_list())
            yield from sorted(files)

    def _profiles_of(self, moved: Mapping[Digest, Digest]) -> Iterator[Digest]:
        """Yield the profiles of versions that change: they are made anew when they are asked for."""
        for node in self._dataset_nodes():
            if node.digest in moved and PROFILE in node.facts:
                yield node.facts[PROFILE]

    def _rewrite_others(self, digests: list[Digest], subject: Subject, plan: _Plan) -> None:
        """Write other objects again: those that mention the subject, and those that name an object which got a new name."""
        from sampan.store.erasure.contents import without

        blobs = self.store.blobs
        stuck: set[Digest] = set()
        again = True
        while again:
            again = False
            for digest in digests:
                present = plan.moved.get(digest, digest)
                data = blobs.read(present)
                made = without(data, subject, plan.moved, plan.forgotten)
                if made is None:
                    stuck.add(digest)
                elif made != data:
                    plan.moved[digest] = blobs.put(made)
                    if present != digest:
                        plan.freed.add(present)
                    again = True
        plan.stuck = sorted(stuck)
        plan.n_others = sum(1 for digest in digests if digest in plan.moved)

    # -- telling

    def _event(self, plan: _Plan, subject: Subject, key: bytes, *, reason: str, cleared: _Cleared) -> tuple[SubjectErased, ErasureRecord]:
        from sampan.store.upkeep import all_nodes

        touched = [node for node in all_nodes(self.store) if node.digest in plan.moved]
        names = {node.digest: node.ref for node in touched}
        models, derived = self._affected(touched, plan)
        copies = copies_of(self.ws, [node for node in touched if plan.counts.get(node.digest) or plan.cells.get(node.digest)])
        own = [copy for copy in copies if is_inside(self.store.root, copy)]
        remove(own)
        record = new_record(
            at=self.ws.clock(),
            by=self.ws.actor,
            reason=subject.redact_text(reason),
            commitment=commitment(key, subject.keys),
            columns=tuple(sorted(subject.keys)),
            tables=tuple(
                ErasedTable(
                    names.get(before, "a step's result"), _bare(before), _bare(plan.moved[before]), n_rows, plan.cells.get(before, 0)
                )
                for before, n_rows in plan.counts.items()
            ),
            n_other_objects=plan.n_others + len(plan.forgotten),
            n_log_rows=cleared.n_log_rows,
            n_files=cleared.n_files,
            models=models,
            derived=derived,
            left=tuple(self._needed_by(plan.stuck)),
            copies=tuple(subject.redact_text(place) for place in places(copy for copy in copies if copy not in own)),
            removed_copies=tuple(subject.redact_text(copy.where) for copy in own),
            unsure=plan.unsure,
        )
        data = sign(record, key)
        event = SubjectErased(
            node=new_id(),
            record=self.store.blobs.put(data),
            size=len(data),
            facts={"n_tables": len(plan.counts), "n_rows": sum(plan.counts.values()), "columns": list(record.columns)},
            moved=(
                *(Moved(before, after, plan.sizes[after]) for before, after in plan.moved.items()),
                *(Moved(digest, "") for digest in sorted(plan.forgotten)),
            ),
            amended={node.id: _amended(node, plan, subject) for node in touched if node.digest in plan.counts},
            erased_from=tuple(node.id for node in touched if node.digest in plan.counts),
            freed=tuple(sorted(plan.freed - set(plan.moved.values()))),
            removed_copies=tuple(copy.id for copy in own),
        )
        return event, record

    def _affected(self, touched: Iterable[Node], plan: _Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the models that learned from the subject's rows, and datasets made of them that cannot be searched for it."""
        seen: dict[NodeId, Node] = {}
        for node in touched:
            if node.digest in plan.counts and node.id not in seen:
                seen.update({found.id: found for found in self.ws.catalog.lineage(node.id, up=False).nodes})
        models = sorted(node.ref for node in seen.values() if node.kind == "model")
        made = [node for node in seen.values() if node.kind == KIND and node.digest and node.digest not in plan.counts]
        derived = sorted(node.ref for node in made if not self._is_searchable(node))
        return tuple(models), tuple(derived)

    def _is_searchable(self, node: Node) -> bool:
        return any(name in self._keys for name in self.store.tables.schema(node.digest))

    def _needed_by(self, digests: Iterable[Digest]) -> Iterator[str]:
        """Say of objects whose files they are."""
        from sampan.store.upkeep import all_nodes

        wanted = set(digests)
        for node in all_nodes(self.store) if wanted else ():
            if node.digest in wanted:
                yield node.ref
            yield from (f"{artifact.path} of {node.ref}" for artifact in self.ws.catalog.artifacts(node.id) if artifact.digest in wanted)


def _check_forgets(store: Store) -> None:
    """Refuse a bucket that keeps former versions of objects: nothing can be erased from it."""
    if store.remote is not None and store.remote.keeps_versions:
        raise Unsupported(
            f"{store.remote.address} keeps what is deleted from it: the bucket's versioning is on",
            hint="let its owner switch versioning off and remove old versions, or keep the store's content in another bucket",
        )


def finish_erasures(workspace: Workspace) -> int:
    """Free what erasures that were killed, or have just been recorded, left to free; return the bytes freed."""
    from sampan.store.erasure.leftovers import remove_copies
    from sampan.store.upkeep import closure

    store, n_bytes = workspace.store, 0
    for node in store.catalog.nodes(kind=ERASURE, state=ERASING, limit=_MANY):
        (told,) = (event for event in store.catalog.events(subject=node.id) if event.type == SubjectErased.type)
        with store.database.write():  # nobody may name content between asking what is needed and freeing the rest
            needed = closure(store, store.catalog.referenced_digests())
            freed = store.blobs.discard([digest for digest in told.body["freed"] if digest not in needed])
        remove_copies(store.root)
        if not store.database.scrub():
            raise StaleState("another process reads the database, so old pages cannot leave it yet", hint="run `sampan gc` once it is done")
        with suppress(StaleState):  # another process completed it at the same time
            workspace.ledger.append(ErasureFinished(node=node.id, n_freed=len(freed), n_bytes=sum(freed.values())))
        n_bytes += sum(freed.values())
    return n_bytes


def _amended(node: Node, plan: _Plan, subject: Subject) -> dict[str, Any]:
    facts = {name: value for name, value in node.facts.items() if name != PROFILE}
    if "n_rows" in facts:
        facts["n_rows"] = plan.rows_left[node.digest]
    return dict(subject.redact(_renamed(facts, plan.moved)))


def _renamed(facts: dict[str, Any], moved: Mapping[Digest, Digest]) -> dict[str, Any]:
    text = msgspec.json.encode(facts).decode()
    for before, after in moved.items():
        text = text.replace(before, after)
    return dict(msgspec.json.decode(text))


def _bare(digest: Digest) -> str:
    return digest.removeprefix(PREFIX)


__all__ = ["DONE", "Done", "Erasure", "finish_erasures"]
