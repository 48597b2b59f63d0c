"""Editing a dataset's versions: columns added, rows deleted, pieces compacted; branches and tags."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from sampan.core.events import AliasMoved, Input
from sampan.core.graph import Node
from sampan.core.refs import nearest
from sampan.errors import AlreadyExists, NotFound, ParameterError
from sampan.workspace.data.dataset_edits import AddColumns, Compact, DeleteWhere, Edit, Edits, PutRows, branch_of, line_of
from sampan.workspace.data.derivation import made_here, made_in_memory
from sampan.workspace.data.leaks import read_expression
from sampan.workspace.data.room import KIND, PROFILE, DataRoom, Names
from sampan.workspace.data.versions_answers import Cached, Edited, Tagged
from sampan.workspace.operation import operation
from sampan.workspace.plain_values import taking_plain_values

if TYPE_CHECKING:
    import polars as pl

    from sampan.store.tables import TableVersion

_PROFILED_CELLS = 2_000_000  # a larger table is profiled when someone asks: an edit of it is to cost what it changes


class Editing(DataRoom):
    """The verbs that make a version from another."""

    @operation(local=True, verb="add-column")
    def add_column(
        self, ref: str, source: Path, *, key: Names | None = None, by_order: bool = False, columns: Names | None = None
    ) -> Edited:
        """Add or replace columns, their values matched by key or taken row for row; only these columns are written.

        Parameters
        ----------
        ref : the dataset, or its branch
        source : a file with the key and the new columns, or with the new columns alone
        key : the columns rows are matched by; by default the dataset's key
        by_order : the file has a row for each row of the dataset, in its order
        columns : which of the file's columns to take; by default all but the key
        """
        from sampan.table.sources import read_source

        loaded = read_source(source, progress=self.ws.progress)
        return self._add(ref, loaded.frame, made_here(self.ws, loaded.digest), key=key, by_order=by_order, columns=columns)

    @taking_plain_values
    def add_columns(self, ref: str, data: Any, *, key: Names | None = None, by_order: bool = False, columns: Names | None = None) -> Edited:
        """Add or replace columns from memory (Polars, pandas, Arrow, a dict of columns); see `add_column`."""
        return self._add(ref, data, made_in_memory(self.ws), key=key, by_order=by_order, columns=columns)

    def _add(self, ref: str, data: Any, made_of: tuple[Input, ...], *, key: Names | None, by_order: bool, columns: Names | None) -> Edited:
        seen = self._node(ref)
        frame = self._protected(seen, data)
        if by_order and key:
            raise ParameterError("key and by-order exclude each other", hint="say how rows are matched: by a key, or by their order")
        by = [] if by_order else key or self._key(seen)
        if columns:
            frame = frame.select(_columns_of(frame, [*by, *columns]))
        added = [name for name in frame.columns if name not in by]
        if not added:
            raise ParameterError(
                f"nothing is left to add to {seen.name}: what came is its key, or is dropped at admission",
                hint=f"sampan policy show {quote(seen.name)}",
            )
        how = f"by {' + '.join(by)}" if by else "by order"
        return self._edit(seen, AddColumns(frame, by), did=f"{', '.join(added)} added {how}", inputs=made_of)

    @operation()
    def delete(self, ref: str, *, where: str) -> Edited:
        """Delete the rows for which a condition is true; earlier versions keep them (to forget a person, see `data erase`).

        Parameters
        ----------
        ref : the dataset, or its branch
        where : a condition over its columns, e.g. "subject = 'A17'"; where it is neither true nor false the row stays
        """
        seen = self._clearable(ref)
        condition = read_expression(where)
        _columns_of(self.ws.store.tables.scan(seen.digest), condition.meta.root_names())
        return self._edit(seen, DeleteWhere(condition), did=f"deleted where {where}")

    @operation()
    def compact(self, ref: str) -> Edited:
        """Rewrite what many small edits left in pieces, so that reading is as fast as of one file; the rows stay the same.

        Parameters
        ----------
        ref : the dataset, or its branch
        """
        return self._edit(self._node(ref), Compact(), did="compacted")

    @taking_plain_values
    def upsert(self, ref: str, data: Any, *, key: Names | None = None) -> Edited:
        """Replace the rows with the same key and add the others, from memory. `data append` does this with all its checks.

        Raises
        ------
        EditConflict : since `ref`, someone changed one of the same rows.
        """
        seen = self._node(ref)
        rows = self._protected(seen, data)
        return self._edit(seen, PutRows(rows, key or self._key(seen)), did=f"{rows.height:,} rows put", inputs=made_in_memory(self.ws))

    @operation(local=True)
    def cache(self, ref: str) -> Cached:
        """Keep a version uncompressed for programs that read it often: they map it into memory instead of decoding it.

        Parameters
        ----------
        ref : the version
        """
        node = self._node(ref)
        with self.ws.progress.stage(f"caching {node.ref}"):
            size = self.ws.store.tables.cache(node.digest)
        return Cached(ref=node.ref, size_bytes=size, kept=True, next=(f"sampan data drop-cache {quote(node.ref)}",))

    @operation(local=True)
    def drop_cache(self, ref: str = "") -> Cached:
        """Remove the cache of a version, or of all; nothing is lost, the next reader decodes again.

        Parameters
        ----------
        ref : the version; by default all
        """
        node = self._node(ref) if ref else None
        freed = self.ws.store.tables.forget([node.digest] if node else None)
        return Cached(ref=node.ref if node else "", size_bytes=freed, kept=False, next=("sampan data list",))

    @operation()
    def branch(self, ref: str, name: str) -> Edited:
        """Begin a line of versions of its own, to try edits without touching the dataset; name it as flights@NAME.

        Parameters
        ----------
        ref : the version it begins at
        name : the branch's name
        """
        at = self._node(ref)
        if name in self.ws.catalog.aliases(KIND, at.name):
            raise AlreadyExists(f"{at.name} has a branch or tag {name} already", hint=f"sampan data show {quote(f'{at.name}@{name}')}")
        made = Edits(self.ws).branch(at, name)
        ref = quote(f"{at.name}@{name}")
        following = (f"sampan data append {ref} FILE", f"sampan data diff {quote(at.ref)} {ref}", f"sampan data merge {ref}")
        return self._edited(made, at, did=f"branched off {at.ref}", following=following)

    @operation()
    def merge(self, ref: str) -> Edited:
        """Make what a branch holds the dataset's newest version; refused if the dataset went on since it began or was merged.

        Parameters
        ----------
        ref : the branch, like flights@NAME
        """
        head = self._node(ref)
        before = self._node(head.name)
        made = Edits(self.ws).merge(head)
        return self._edited(made, before, did=f"merged from the branch {branch_of(head)}")

    @operation()
    def tag(self, ref: str, name: str, *, move: bool = False) -> Tagged:
        """Name a version, like flights@gold; the name stays with it unless it is moved on purpose.

        Parameters
        ----------
        ref : the version
        name : the tag
        move : point a tag elsewhere that is there already
        """
        node = self._node(ref)
        there = self.ws.catalog.aliases(KIND, node.name).get(name)
        held = self.ws.catalog.node(there) if there else None
        if held is not None and branch_of(held) == name:
            raise AlreadyExists(f"{node.name}@{name} is a branch", hint="choose another name for the tag")
        if held is not None and held.id != node.id and not move:
            raise AlreadyExists(f"{node.name}@{name} is {held.ref}", hint="choose another name, or point it elsewhere with --move")
        if held is None or held.id != node.id:
            self.ws.ledger.append(AliasMoved(kind=KIND, name=node.name, alias=name, before=there, after=node.id))
        moved = held.ref if held is not None and held.id != node.id else ""
        return Tagged(tag=f"{node.name}@{name}", ref=node.ref, moved_from=moved, next=(f"sampan data show {quote(f'{node.name}@{name}')}",))

    def _protected(self, seen: Node, data: Any) -> pl.DataFrame:
        """Read what an edit brings; personal data in it is treated as at admission, its key, too, so that it still matches."""
        from sampan.table.sources import read_source
        from sampan.workspace.governing.privacy import protect

        return protect(self.ws, seen.name, read_source(data).frame.lazy().collect())

    def _edit(self, seen: Node, edit: Edit, *, did: str, inputs: tuple[Input, ...] = ()) -> Edited:
        with self.ws.progress.stage(edit.verb):
            made = Edits(self.ws, self._profile_facts).apply(seen, edit, inputs=inputs)
        return self._edited(made, seen, did=did)

    def _profile_facts(self, version: TableVersion) -> dict[str, str]:
        small = version.n_rows * len(version.columns) <= _PROFILED_CELLS
        return {PROFILE: self._record_profile(version.digest)} if small else {}

    def _edited(self, made: Node, before: Node, *, did: str, following: tuple[str, ...] = ()) -> Edited:
        unchanged = made.id == before.id
        compared = () if unchanged else (f"sampan data diff {quote(before.ref)} {quote(made.ref)}",)
        if branch_of(made) and not unchanged:
            compared = (*compared, f"sampan data merge {quote(line_of(made))}")
        if self.ws.store.tables.is_worn(made.digest):
            compared = (*compared, f"sampan data compact {quote(line_of(made))}")
        return Edited(
            ref=made.ref,
            before=before.ref,
            did=did,
            unchanged=unchanged,
            n_rows=made.facts["n_rows"],
            n_columns=len(made.facts["columns"]),
            branch=branch_of(made),
            next=following or compared or self._towards_check(made.name),
        )


def _columns_of(frame: pl.DataFrame | pl.LazyFrame, names: Names) -> Names:
    """Return the names if all are columns; raise NotFound with the nearest otherwise."""
    known = frame.collect_schema().names()
    for name in names:
        if name not in known:
            close = nearest(name, known)
            raise NotFound(f"there is no column {name!r}", did_you_mean=close, hint="" if close else "columns: " + ", ".join(known[:20]))
    return list(dict.fromkeys(names))
