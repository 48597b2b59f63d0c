"""Deleting runs: first they are out of sight and can come back, then `gc` gives up their files. Their figures stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from sampan.core.answers import Answer
from sampan.core.changes import Change, DropFiles, SetTag
from sampan.core.events import Event, Tagged
from sampan.core.graph import NodeId, RunRow
from sampan.core.times import Millis
from sampan.errors import NotFound, ParameterError, UsageError
from sampan.workspace.columns import count, size_text
from sampan.workspace.mlflow.graph import DELETED, LIFECYCLE, LOGGED_MODEL
from sampan.workspace.operation import Room, operation
from sampan.workspace.runs.liveness import is_dead
from sampan.workspace.workspace import Workspace

GIVEN_UP: Final = "sampan.files"  # a tag: "given up" once a deleted thing's files are
_GIVEN_UP_VALUE: Final = "given up"
_MANY: Final = 1_000_000


class FilesGivenUp(Event, frozen=True, kw_only=True):
    """The files of something that was deleted are not needed any more."""

    type: ClassVar[str] = "files_given_up"

    node: NodeId

    def subject(self) -> NodeId:
        """Return what was deleted."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Detach the files, and say so."""
        return (DropFiles(self.node), SetTag(self.node, GIVEN_UP, _GIVEN_UP_VALUE))


class RunsDeleted(Answer, frozen=True, kw_only=True):
    """Which runs were deleted, or are back."""

    runs: tuple[str, ...]
    n_bytes: int  # of their files, which `gc` frees where nothing else names them
    restored: bool = False

    def text(self) -> str:
        """Say how many, and what becomes of their files."""
        if self.restored:
            return f"{count(len(self.runs), 'run')} back"
        return f"{count(len(self.runs), 'run')} deleted; `sampan gc` frees up to {size_text(self.n_bytes)} of files in 30 days"


class Deleting(Room):
    """The verbs that take runs out of sight, and back."""

    noun: ClassVar[str] = "run"

    @operation()
    def delete(self, run: str) -> RunsDeleted:
        """Delete a run with the runs inside it. It can be restored until `gc` has given up its files.

        Parameters
        ----------
        run : the run's id or its first digits
        """
        rows = self._with_inner(run)
        for row in rows:
            if row.state == "running" and not is_dead(row, self.ws.store.journals):
                raise UsageError(f"run {row.node.id[:12]} is running on {row.host}", hint="end it first")
        fresh = [row.node.id for row in rows if self.ws.catalog.tags(row.node.id).get(LIFECYCLE) != DELETED]
        self.ws.ledger.append(*(Tagged(node=node, key=LIFECYCLE, value=DELETED) for node in fresh))
        n_bytes = sum(max(file.size, 0) for node in fresh for file in self.ws.catalog.artifacts(node))
        following = (f"sampan run restore {run}", "sampan gc --deleted-days 0")
        return RunsDeleted(runs=tuple(fresh), n_bytes=n_bytes, next=following)

    @operation()
    def restore(self, run: str) -> RunsDeleted:
        """Bring a deleted run back, with the runs inside it.

        Parameters
        ----------
        run : the run's id or its first digits
        """
        tags = {row.node.id: self.ws.catalog.tags(row.node.id) for row in self._with_inner(run)}
        deleted = [node for node, found in tags.items() if found.get(LIFECYCLE) == DELETED]
        if not deleted:
            raise ParameterError(f"run {run} is not deleted", parameter="run", hint="sampan run list")
        if gone := [node for node in deleted if GIVEN_UP in tags[node]]:
            raise NotFound(f"the files of run {gone[0][:12]} were given up", hint="take them from a copy of the store: sampan merge FOLDER")
        self.ws.ledger.append(*(Tagged(node=node, key=LIFECYCLE, value=None) for node in deleted))
        return RunsDeleted(runs=tuple(deleted), n_bytes=0, restored=True, next=(f"sampan run show {deleted[0][:12]}",))

    def _with_inner(self, run: str) -> list[RunRow]:
        """Return a run and all runs inside it."""
        found = [self.ws.catalog.run(self.ws.catalog.resolve(run, kind="run").id)]
        for row in found:  # grows while it is read
            found += self.ws.catalog.runs(parent=row.node.id, limit=_MANY)
        return found


def long_deleted(ws: Workspace, *, before: Millis) -> list[NodeId]:
    """Return the runs and logged models that were deleted before a moment and have files still."""
    from sampan.store.run_search import RunSearch

    search = RunSearch(ws.store.database)
    deleted, done = search.tags(LIFECYCLE), search.tags(GIVEN_UP)
    pks = sorted(pk for pk, value in deleted.items() if value == DELETED and pk not in done)
    nodes = [node for pk in pks for node in ws.catalog.nodes(before=pk + 1, limit=1) if node.kind in ("run", LOGGED_MODEL)]
    return [node.id for node in nodes if _deleted_at(ws, node.id) <= before and ws.catalog.artifacts(node.id)]


def give_up_files(ws: Workspace, nodes: Sequence[NodeId]) -> None:
    """Detach the files of what was deleted; `gc` frees those that nothing else names."""
    if nodes:
        ws.ledger.append(*(FilesGivenUp(node=node) for node in nodes))


def _deleted_at(ws: Workspace, node: NodeId) -> Millis:
    """Return when something was deleted here: when its newest event came that is no later word about it."""
    events = ws.catalog.events(subject=node, limit=_MANY, newest_first=True)
    said = (event.at for event in events if event.type != Tagged.type or event.body.get("key") == LIFECYCLE)
    return next(said, 0)
