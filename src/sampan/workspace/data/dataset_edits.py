"""Edits of a dataset: from the version someone saw to the next, so that of two writers neither loses.

An edit is made from the newest version and committed only if that still is the newest. If it is not, the edit says whether it can be made
again on what is the newest now: an edit of other rows can; one that meets the same rows or columns is a conflict, and names them. So any
order in which edits land is one in which each of them saw what was there.

A branch is a line of versions beside the main one. Its versions are numbered like all others, have the state `branch`, and its alias
points to the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec

from sampan.core.changes import AddEdge, AddNode, Change, ExpectContent, ExpectNewest, MoveAlias
from sampan.core.events import Event, Input, new_id
from sampan.core.graph import Node, NodeId
from sampan.core.refs import Ref
from sampan.errors import BlobUnavailable, EditConflict, ParameterError, StaleState
from sampan.workspace.governing.privacy import hide_few

if TYPE_CHECKING:
    import polars as pl

    from sampan.store.tables import Tables, TableVersion
    from sampan.workspace.workspace import Workspace

KIND = "dataset"
ON_BRANCH = "branch"
_MOST_TRIES = 50
_SHOWN_KEYS = 5
_ABOUT_DATA = ("format", "encoding", "delimiter", "member")


class VersionEdited(Event, frozen=True, kw_only=True):
    """A dataset's newest version, or that of a branch, was followed by one made from it."""

    type: ClassVar[str] = "version_edited"

    node: NodeId
    name: str
    digest: str
    size: int = 0
    facts: dict[str, Any] = {}
    before: NodeId
    base: str = ""  # the content of `before` that it was made from
    branch: str = ""  # the branch that goes on; "" is the main line
    branches_off: bool = False  # whether the branch begins with this version
    inputs: tuple[Input, ...] = ()

    def subject(self) -> NodeId:
        """Return the new version."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the version behind the one it was made from, if that is still the last."""
        state = ON_BRANCH if self.branch else "active"
        add = AddNode(id=self.node, kind=KIND, name=self.name, digest=self.digest, size=self.size, state=state, facts=self.facts)
        inputs = (Input(self.before, "derived_from"), *self.inputs)
        edges = tuple(AddEdge(dst=self.node, src=one.node, role=one.role) for one in inputs)
        same = (ExpectContent(self.before, self.base),) if self.base else ()
        if not self.branch:
            return (ExpectNewest(kind=KIND, name=self.name, node=self.before), *same, add, *edges)
        held = None if self.branches_off else self.before
        return (*same, add, *edges, MoveAlias(kind=KIND, name=self.name, alias=self.branch, before=held, after=self.node))


class Edit(Protocol):
    """A change of a table that can be made, and judged anew where others were faster."""

    @property
    def verb(self) -> str:
        """What it does, in a word."""
        ...

    def make(self, tables: Tables, head: Node) -> TableVersion:
        """Make the next version of what is the newest."""
        ...

    def rebase(self, tables: Tables, seen: Node, head: Node) -> None:
        """Raise EditConflict if what happened from `seen` to `head` meets this edit."""
        ...


class DeleteWhere(msgspec.Struct, frozen=True):
    """Delete the rows a condition is true of. Made again, it deletes what it is true of by then."""

    condition: pl.Expr
    verb: str = "delete"

    def make(self, tables: Tables, head: Node) -> TableVersion:
        """Leave the rows out."""
        return tables.delete(head.digest, self.condition)

    def rebase(self, tables: Tables, seen: Node, head: Node) -> None:
        """A condition holds for whatever is there: no conflict."""


class Compact(msgspec.Struct, frozen=True):
    """Rewrite what edits left in pieces. The rows stay what they are."""

    verb: str = "compact"

    def make(self, tables: Tables, head: Node) -> TableVersion:
        """Write the pieces anew."""
        return tables.compact(head.digest)

    def rebase(self, tables: Tables, seen: Node, head: Node) -> None:
        """Nothing can meet it."""


class AddColumns(msgspec.Struct, frozen=True):
    """Add or replace columns: by key, or (with no key) row for row in the table's order."""

    columns: pl.DataFrame
    key: Sequence[str]
    verb: str = "add-column"

    def make(self, tables: Tables, head: Node) -> TableVersion:
        """Lay the columns over the table."""
        return tables.join(head.digest, self.columns, key=self.key) if self.key else tables.overlay(head.digest, self.columns)

    def rebase(self, tables: Tables, seen: Node, head: Node) -> None:
        """Refuse if the same columns were written meanwhile, or if rows moved under columns given in their order."""
        if not self.key and not tables.has_same_rows(seen.digest, head.digest):
            raise EditConflict(
                f"{head.ref} has other rows than {seen.ref}, and these columns were given row for row of {seen.ref}",
                versions=(head.ref,),
                columns=tuple(self.columns.columns),
                hint="give the columns by key, or make them from the newest version",
            )
        mine = [name for name in self.columns.columns if name not in self.key]
        met = tables.columns_written(seen.digest, head.digest, mine)
        if met:
            raise EditConflict(
                f"{head.ref} also changed {', '.join(met)} since {seen.ref}",
                versions=(head.ref,),
                columns=tuple(met),
                hint=f"sampan data diff {seen.ref} {head.ref} says how; run it again to write over it",
            )


class PutRows(msgspec.Struct, frozen=True):
    """Replace the rows with the same key and add the others; without a key, add all."""

    rows: pl.DataFrame
    key: Sequence[str]
    verb: str = "upsert"

    def make(self, tables: Tables, head: Node) -> TableVersion:
        """Write the rows behind the table's, and let those they replace die."""
        return tables.upsert(head.digest, self.rows, key=self.key) if self.key else tables.append(head.digest, self.rows)

    def rebase(self, tables: Tables, seen: Node, head: Node) -> None:
        """Refuse if one of these rows was added, changed or deleted meanwhile."""
        if self.key:
            check_rows(tables, seen, head, self.rows, self.key)


def check_rows(tables: Tables, seen: Node, head: Node, rows: pl.DataFrame, key: Sequence[str]) -> None:
    """Raise EditConflict if one of the rows, by key, was added, changed or deleted from `seen` to `head`."""
    touched = tables.touched_keys(seen.digest, head.digest, key=key)
    met = touched.join(rows.select(key), on=list(key), how="semi", nulls_equal=True).sort(key)
    if met.height:
        shown = "; ".join(", ".join(f"{name}={value}" for name, value in row.items()) for row in met.head(_SHOWN_KEYS).to_dicts())
        raise EditConflict(
            f"{head.ref} changed {met.height:,} of the same rows since {seen.ref}: {shown}",
            versions=(head.ref,),
            rows=tuple(met.head(_SHOWN_KEYS).to_dicts()),
            hint=f"sampan data diff {seen.ref} {head.ref} says how; run it again to write over them",
        )


def branch_of(node: Node) -> str:
    """Return the branch a version is on; "" is the main line."""
    return str(node.facts.get("branch", "")) if node.state == ON_BRANCH else ""


def head_of(ws: Workspace, node: Node) -> Node:
    """Return the last version of the line a version is on."""
    return ws.catalog.resolve(Ref(name=node.name, alias=branch_of(node)), kind=KIND)


def edited(before: Node, version: TableVersion, *, verb: str, facts: Mapping[str, Any] | None = None) -> VersionEdited:
    """Describe a version made from another, which must still be the last when this is recorded (StaleState)."""
    kept = {fact: before.facts[fact] for fact in _ABOUT_DATA if fact in before.facts}
    said = {"source": f"{verb} {before.ref}", "n_rows": version.n_rows, "columns": version.columns, **kept, **(facts or {})}
    branch = branch_of(before)
    if branch:
        said["branch"] = branch
    return VersionEdited(
        node=new_id(),
        name=before.name,
        digest=version.digest,
        size=version.size_bytes,
        facts=said,
        before=before.id,
        base=before.digest,
        branch=branch,
    )


class Edits(msgspec.Struct, frozen=True):
    """Commits edits to the datasets of one workspace."""

    ws: Workspace
    facts_of: Callable[[TableVersion], Mapping[str, Any]] = msgspec.field(default=lambda _: {})

    def apply(self, seen: Node, edit: Edit, *, facts: Mapping[str, Any] | None = None, inputs: tuple[Input, ...] = ()) -> Node:
        """Make an edit of the line `seen` is on and return its new version, or the newest where the edit changes nothing.

        Parameters
        ----------
        seen : the version that whoever edits has looked at.
        inputs : what the edit brings was made of

        Raises
        ------
        EditConflict : what happened since `seen` meets this edit.
        """
        tables = self.ws.store.tables
        for _ in range(_MOST_TRIES):
            head = head_of(self.ws, seen)
            try:
                if head.id != seen.id:
                    edit.rebase(tables, seen, head)
                version = edit.make(tables, head)
                if version.digest != head.digest and not isinstance(edit, Compact):
                    version = hide_few(self.ws, head.name, version)
            except BlobUnavailable:
                if not self._was_written_again(seen, head):
                    raise
                seen = self.ws.catalog.node(seen.id)
                continue
            if version.digest == head.digest:
                return head
            event = edited(head, version, verb=edit.verb, facts={**self.facts_of(version), **(facts or {})})
            event = msgspec.structs.replace(event, inputs=inputs)
            try:
                self.ws.ledger.append(event)
            except StaleState:
                continue
            return self.ws.catalog.node(event.node)
        raise StaleState(f"others edit {seen.name} so fast that {_MOST_TRIES} tries came too late", hint="try again in a moment")

    def _was_written_again(self, *nodes: Node) -> bool:
        """Say whether a person was erased from versions since they were looked up: they stay, with other content."""
        return any(self.ws.catalog.node(node.id).digest != node.digest for node in nodes)

    def branch(self, at: Node, name: str) -> Node:
        """Begin a branch with the content of a version. Raises StaleState if the dataset has an alias of that name."""
        facts = {**at.facts, "source": f"branch {at.ref}", "branch": name}
        event = VersionEdited(
            node=new_id(),
            name=at.name,
            digest=at.digest,
            size=at.size,
            facts=facts,
            before=at.id,
            base=at.digest,
            branch=name,
            branches_off=True,
        )
        self.ws.ledger.append(event)
        return self.ws.catalog.node(event.node)

    def merge(self, head: Node) -> Node:
        """Make a branch's content the newest of the main line, if that stands where the branch began or was merged last.

        Returns the newest as it is where the branch is merged already. Raises EditConflict where the main line has gone on.
        """
        if not branch_of(head):
            raise ParameterError(f"{head.ref} is not on a branch", hint=f"sampan data branch {head.ref} NAME")
        main = self.ws.catalog.resolve(Ref(name=head.name), kind=KIND)
        merged = self._merged_from(main, branch_of(head))
        if merged is not None and merged.id == head.id:
            return main
        begun = self.begun_at(head)
        if main.id != begun.id and (merged is None or (merged.version or 0) > (head.version or 0)):
            raise EditConflict(
                f"{head.name} went on to {main.ref} since the branch {branch_of(head)} began at {begun.ref}",
                versions=(main.ref,),
                hint=f"sampan data diff {begun.ref} {main.ref}; make the branch's edits again on a branch of {main.ref}",
            )
        facts = {key: value for key, value in head.facts.items() if key != "branch"} | {"source": f"merge {head.ref}"}
        event = VersionEdited(
            node=new_id(),
            name=head.name,
            digest=head.digest,
            size=head.size,
            facts=facts,
            before=main.id,
            inputs=(Input(head.id, "derived_from"),),
        )
        try:
            self.ws.ledger.append(event)
        except StaleState as cause:
            raise EditConflict(f"{main.ref} was followed by another version just now", versions=(main.ref,), hint="try again") from cause
        return self.ws.catalog.node(event.node)

    def _merged_from(self, node: Node, branch: str) -> Node | None:
        """Return the version of a branch that a version was merged from; None if it was not."""
        return next((one for one in self._sources(node) if branch_of(one) == branch), None)

    def _sources(self, node: Node) -> list[Node]:
        return [self.ws.catalog.node(edge.src) for edge in self.ws.catalog.edges_to(node.id) if edge.role == "derived_from"]

    def begun_at(self, node: Node) -> Node:
        """Return the version a branch began at."""
        while branch_of(node):
            node = self._sources(node)[0]
        return node


def line_of(node: Node) -> str:
    """Return the reference of the line a version is on: the dataset's name, with its branch if it is on one."""
    return str(Ref(name=node.name, alias=branch_of(node)))
