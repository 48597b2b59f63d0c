"""`sp.run()`: record a run from inside a program: parameters, metrics, files, tables, figures, what it read.

    with sp.run("churn", params={"depth": 3}) as run:
        run.log("loss", 0.31, step=1)
        run.artifact("roc.png")

A metric call is an append to the run's journal (`store/journals.py`): it survives the death of the process once it returned. All else is an
event, kept and written later where the database does not answer meanwhile. Inside a program that `sampan run` watches, `sp.run()` without a
name is that very run.
"""

from __future__ import annotations

import atexit
import io
import os
import socket
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sampan.core.events import Input, ParamsLogged, RunEnded, RunStarted, Tagged, new_id
from sampan.core.graph import Node, NodeId
from sampan.core.refs import check_name
from sampan.errors import NotFound, ParameterError, StoreUnreachable, UsageError
from sampan.workspace.models.events import StoredFile
from sampan.workspace.runs.events import ArtifactsLogged, InputsRead, RunResumed
from sampan.workspace.runs.late_events import LateEvents
from sampan.workspace.runs.lingering import borrow, give_back
from sampan.workspace.workspace import Workspace

if TYPE_CHECKING:
    from sampan.store.journals import MetricJournal

WATCHED_RUN = "SAMPAN_RUN"  # the run of the program that `sampan run` watches
WATCHED_PROJECT = "SAMPAN_PROJECT"
_MAX_REASON = 500
_ACTIVE: ContextVar[LiveRun | None] = ContextVar("active run", default=None)
_UNENDED: set[NodeId] = set()  # runs this process could not end, since the database was away
_WATCHED: dict[str, LiveRun] = {}  # the watched run, by its id, once something was logged to it


class LiveRun:
    """A run that goes on in this process. Leave its `with` block, or call `end`, to finish it; an exception makes it a failed one.

    Safe to log to from several threads.
    """

    def __init__(self, ws: Workspace, run: NodeId, name: str, *, owns_workspace: bool, owns_run: bool = True) -> None:
        self.id = run
        self.name = name
        self._ws = ws
        self._owns_workspace = owns_workspace
        self._owns_run = owns_run
        self._events = LateEvents(ws)
        self._journal: MetricJournal | None = None
        self._steps: dict[str, int] = {}
        self._is_open = True
        self._token: Any = None
        atexit.register(self._end_at_exit)

    # -- logging

    def log(self, key: str | Mapping[str, float], value: float | None = None, *, step: int | None = None) -> None:
        """Log one metric, or several at once as a mapping.

        Parameters
        ----------
        key : the metric's name, or a mapping of names to values
        value : any number; NaN and infinities are kept
        step : by default one more than the last of this metric

        Raises
        ------
        ParameterError : no name, or no number.
        UsageError : the run has ended.
        """
        self._require_open()
        if self._journal is None:
            self._journal = self._ws.store.journals.open(self.id)
        at = self._ws.clock()
        if isinstance(key, str):
            number = self._steps.get(key, 0) if step is None else step
            self._journal.log(key, _number(key, value), step=number, at=at)
            self._steps[key] = number + 1
            return
        points = {name: _number(name, each) for name, each in key.items()}
        steps = {name: self._steps.get(name, 0) if step is None else step for name in points}
        self._journal.log_all(points, steps=steps, at=at)
        self._steps.update({name: number + 1 for name, number in steps.items()})

    def params(self, given: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Record parameters. One that is recorded never changes.

        Raises
        ------
        Immutable : a parameter has another value already.
        """
        self._require_open()
        found = _as_texts({**(given or {}), **more})
        if found:
            self._events.append(ParamsLogged(node=self.id, params=found))

    def tag(self, key: str, value: str | None) -> None:
        """Set a tag, or remove it with None."""
        self._require_open()
        self._events.append(Tagged(node=self.id, key=key, value=value))

    def artifact(self, source: Path | str | bytes, name: str = "") -> str:
        """Keep a file, a folder, or bytes with the run; return the path it is kept under.

        Raises
        ------
        NotFound : there is no such file.
        Immutable : another file is kept under that path.
        """
        self._require_open()
        blobs = self._ws.store.blobs
        if isinstance(source, bytes):
            path = _artifact_path(name)
            self._attach([StoredFile(path, blobs.put(source), len(source))])
            return path
        given = Path(source)
        if not given.exists():
            raise NotFound(f"there is no file {given}", hint="give the path of a file or folder, or bytes with a name")
        path = _artifact_path(name or given.name)
        if given.is_dir():
            inside = sorted(each for each in given.rglob("*") if each.is_file())
            self._attach([StoredFile(f"{path}/{each.relative_to(given).as_posix()}", *blobs.put_file(each)) for each in inside])
        else:
            self._attach([StoredFile(path, *blobs.put_file(given))])
        return path

    def figure(self, figure: Any, name: str = "figure") -> str:
        """Keep a figure as PNG (Matplotlib, or whatever has `savefig` or `write_image`); return its path.

        Raises
        ------
        ParameterError : it is no figure.
        """
        draw = getattr(figure, "savefig", None) or getattr(getattr(figure, "figure", None), "savefig", None)
        buffer = io.BytesIO()
        if draw is not None:
            draw(buffer, format="png")
        elif hasattr(figure, "write_image"):
            figure.write_image(buffer, format="png")
        else:
            raise ParameterError(f"a {type(figure).__name__} is no figure", hint="give a Matplotlib figure or axes")
        return self.artifact(buffer.getvalue(), name if name.endswith(".png") else f"{name}.png")

    def table(self, table: Any, name: str = "table") -> str:
        """Keep a table (Polars, pandas, Arrow, a mapping of columns) as Parquet; return its path."""
        from sampan.table.sources import read_source

        buffer = io.BytesIO()
        read_source(table).frame.write_parquet(buffer)
        return self.artifact(buffer.getvalue(), name if name.endswith(".parquet") else f"{name}.parquet")

    def reads(self, *refs: str | Node) -> None:
        """Record that the run needs these versions: datasets, models, whatever has a reference."""
        self._require_open()
        nodes = [ref if isinstance(ref, Node) else self._ws.catalog.resolve(ref) for ref in refs]
        self._events.append(InputsRead(node=self.id, inputs=tuple(Input(node.id, "input") for node in nodes)))

    def nested(self, title: str = "", *, params: Mapping[str, Any] | None = None) -> LiveRun:
        """Begin a run inside this one, such as one fold of five."""
        self._require_open()
        return _begin(self._ws, self.name, title, params or {}, parent=self.id, owns_workspace=False)

    # -- ending

    def end(self, state: str = "finished", *, reason: str = "") -> None:
        """End the run: finished, failed or killed. Ending it again does nothing."""
        if not self._is_open:
            return
        self._is_open = False
        atexit.unregister(self._end_at_exit)
        try:
            if self._journal is not None:
                self._journal.close(sync=not self._owns_run)  # the transaction that ends the run holds its points
            if self._owns_run:
                ended = RunEnded(node=self.id, state=state, ended=self._ws.clock(), reason=reason[:_MAX_REASON])
                self._events.append_folding(self.id, ended)
            if self._settle() and self._owns_run:
                self._ws.ledger.fold(self.id)
        except BaseException:
            if self._owns_workspace:
                self._ws.close()
            raise
        if self._owns_workspace:
            give_back(self._ws)

    def __enter__(self) -> Self:
        self._token = _ACTIVE.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _ACTIVE.reset(self._token)
        if error is None:
            self.end()
        else:
            self.end("killed" if isinstance(error, KeyboardInterrupt) else "failed", reason=f"{type(error).__name__}: {error}")

    def __repr__(self) -> str:
        return f"<run {self.id[:12]} of {self.name}>"

    def _settle(self) -> bool:
        """Write what was kept; say whether there was anything."""
        try:
            return self._events.settle()
        except StoreUnreachable as cause:
            _UNENDED.add(self.id)
            hint = f'its metric points are kept on this machine; sp.run(resume="{self.id[:12]}") ends it once the database answers'
            raise StoreUnreachable(f"the end of run {self.id[:12]} is not recorded: {cause}", hint=hint) from cause

    def _attach(self, files: list[StoredFile]) -> None:
        self._events.append(ArtifactsLogged(node=self.id, files=tuple(files)))

    def _require_open(self) -> None:
        if not self._is_open:
            raise UsageError(f"run {self.id[:12]} has ended", hint=f'sp.run(resume="{self.id[:12]}") goes on with it')

    def _end_at_exit(self) -> None:
        self.end("failed" if sys.exc_info()[0] else "finished")


def run(
    name: str = "",
    *,
    title: str = "",
    params: Mapping[str, Any] | None = None,
    resume: str = "",
    project: str | Path = "",
) -> LiveRun:
    """Begin a run, or go on with one.

    Inside another `with sp.run(…)` block it becomes a run of that one. Under `sampan run`, without a name, it is the watched run itself.

    Parameters
    ----------
    name : what it belongs to, as runs are grouped and compared; by default the program's file name
    title : what tells this run from the others
    params : its parameters
    resume : the id of a run to go on with, or its first digits
    project : the project's folder; by default the one the working directory belongs to

    Raises
    ------
    NotFound : no run is `resume`.
    UsageError : the run to go on with is running in another process.
    """
    outer = _ACTIVE.get()
    if outer is not None and not resume:
        return outer.nested(title or name, params=params)
    watched = os.environ.get(WATCHED_RUN, "")
    ws = borrow(project or os.environ.get(WATCHED_PROJECT, "") or ".")
    try:
        if resume:
            return _resume(ws, resume)
        if watched and not name:
            found = LiveRun(ws, watched, ws.catalog.run(watched).experiment, owns_workspace=True, owns_run=False)
            found.params(params or {})
            return found
        return _begin(ws, check_name(name or _program_name()), title, params or {}, parent=watched or None, owns_workspace=True)
    except BaseException:
        ws.close()
        raise


def log(key: str | Mapping[str, float], value: float | None = None, *, step: int | None = None) -> None:
    """Log a metric to the run of the enclosing `with sp.run(…)`, or to the run that `sampan run` watches.

    Raises
    ------
    UsageError : there is neither.
    """
    active_run().log(key, value, step=step)


def active_run() -> LiveRun:
    """Return the run of the enclosing `with sp.run(…)`, or the watched one.

    Raises
    ------
    UsageError : there is neither.
    """
    active, watched = _ACTIVE.get(), os.environ.get(WATCHED_RUN)
    if active is None and watched:
        if watched not in _WATCHED:
            _WATCHED[watched] = run()
        active = _WATCHED[watched]
    if active is None:
        raise UsageError("no run goes on here", hint='log inside `with sp.run("name"):`, or start the program with `sampan run FILE`')
    return active


def record_reading(*nodes: Node) -> bool:
    """Record versions as inputs of the run that goes on; say whether there is one."""
    if _ACTIVE.get() is None and not os.environ.get(WATCHED_RUN):
        return False
    active_run().reads(*nodes)
    return True


def _begin(ws: Workspace, name: str, title: str, params: Mapping[str, Any], *, parent: NodeId | None, owns_workspace: bool) -> LiveRun:
    from sampan.workspace.runs.environment import record_environment

    run = new_id()
    program = Path(sys.argv[0]) if sys.argv and sys.argv[0] else Path("python")
    ws.ledger.append(
        RunStarted(
            node=run,
            experiment=name,
            title=title or _moment(ws),
            started=ws.clock(),
            parent=parent,
            source=program.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            params=_as_texts(params),
            facts={} if parent else {"environment": record_environment(ws, program.parent), "arguments": sys.argv[1:]},
        )
    )
    return LiveRun(ws, run, name, owns_workspace=owns_workspace)


def _as_texts(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else repr(value) for name, value in params.items()}


def _moment(ws: Workspace) -> str:
    """Return the moment, which tells runs apart where nobody gave them a title."""
    from sampan.core.times import iso

    return iso(ws.clock())[:19].replace("T", " ")


def _resume(ws: Workspace, ref: str) -> LiveRun:
    from sampan.workspace.runs.liveness import is_dead

    node = ws.catalog.resolve(ref, kind="run")
    row = ws.catalog.run(node.id)
    if row.state == "running":
        if node.id not in _UNENDED and not is_dead(row, ws.store.journals):
            raise UsageError(f"run {node.id[:12]} is running on {row.host}, process {row.pid}", hint="wait for it, or end that process")
    else:
        ws.ledger.append(RunResumed(node=node.id, before=row.state))
    found = LiveRun(ws, node.id, row.experiment, owns_workspace=True)
    found._steps = {metric.key: metric.last_step + 1 for metric in ws.catalog.metrics(node.id)}
    return found


def _program_name() -> str:
    stem = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] else ""
    return stem if stem and stem not in ("-c", "-m", "__main__") else "run"


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as cause:
        raise ParameterError(f"metric {name!r}: {value!r} is no number", hint="run.tag or run.params take text") from cause


def _artifact_path(name: str) -> str:
    parts = Path(name).parts
    if not name or Path(name).is_absolute() or ".." in parts or "\\" in name:
        raise ParameterError(f"{name!r} cannot be an artifact's path", hint="a relative path, such as plots/roc.png")
    return "/".join(parts)
