"""Runs by the thousand: the ones that were asked for, in the order that was asked for, and their figures as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from sampan.core.answers import Answer
from sampan.core.graph import RunRow
from sampan.core.times import iso
from sampan.errors import ParameterError
from sampan.workspace.columns import align
from sampan.workspace.mlflow.graph import DELETED, LIFECYCLE
from sampan.workspace.operation import Room, operation
from sampan.workspace.parameters import Count
from sampan.workspace.runs.filters import meets, read_field, read_filter
from sampan.workspace.runs.liveness import is_dead

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sampan.store.run_columns import View
    from sampan.store.run_search import Logged
    from sampan.workspace.workspace import Workspace

    Places = NDArray[np.intp]

STATES = ("running", "finished", "failed", "killed")
MOST_COLUMNS = 40
MOST_RUNS = 100_000
Names = list[str]  # inside the room, `list` is the operation


class RunLine(msgspec.Struct, frozen=True):
    """One run as a table shows it."""

    run: str
    experiment: str
    title: str
    state: str
    started: str
    seconds: float | None
    parent: str | None
    metrics: dict[str, float]
    params: dict[str, str]


class RunList(Answer, frozen=True, kw_only=True):
    """Runs, newest first or by what was asked. `before`, where there are older ones, continues the list with them."""

    runs: tuple[RunLine, ...]
    before: int | None = None

    def text(self) -> str:
        """Lay the runs out as a table."""
        if not self.runs:
            return "No runs yet."
        header = ("run", "experiment", "title", "state", "started", "seconds", "metrics")
        rows = [
            (
                r.run[:12],
                r.experiment,
                r.title,
                r.state,
                r.started,
                "" if r.seconds is None else f"{r.seconds:.1f}",
                ", ".join(f"{k} {v:.4f}" for k, v in r.metrics.items()),
            )
            for r in self.runs
        ]
        table = align(header, rows, right=("seconds",))
        return table if self.before is None else f"{table}\n  older: --before {self.before}"


class RunColumnsRead(Answer, frozen=True, kw_only=True):
    """Figures of many runs, column by column, the runs in order. None where a run has no such value."""

    runs: tuple[str, ...]
    titles: tuple[str, ...]
    columns: dict[str, list[Any]]
    n_found: int

    def text(self) -> str:
        """Show the first runs."""
        shown = range(min(len(self.runs), 20))
        rows = [
            (self.runs[i][:12], self.titles[i], *("" if each[i] is None else str(each[i]) for each in self.columns.values())) for i in shown
        ]
        table = align(("run", "title", *self.columns), rows)
        rest = self.n_found - len(rows)
        return f"{table}\n  and {rest:,} more" if rest > 0 else table


class Listing(Room):
    """The verbs that read many runs at once."""

    noun: ClassVar[str] = "run"

    @operation(reads=True)
    def list(
        self,
        *,
        experiment: str = "",
        state: str = "",
        trials: bool = False,
        where: str = "",
        sort: str = "",
        ascending: bool = False,
        best_of: str = "",
        before: int | None = None,
        limit: Count = 20,
    ) -> RunList:
        """List runs, newest first, or those that meet a condition, or the first by a metric.

        Parameters
        ----------
        experiment : only those of this model
        state : running, finished, failed or killed
        trials : also runs within runs, such as the single trials of a search
        where : only those that meet this, such as "val_auc > 0.8 and params.depth = 6 and started > 2026-01-01"
        sort : by this metric of all runs, by started, by seconds or by params.NAME, highest first
        ascending : lowest first
        best_of : only the first of each group, such as params.depth; needs sort
        before : go on with older runs, from the number that the list before ended with
        limit : at most so many
        """
        if state and state not in STATES:
            raise ParameterError(f"no run is {state!r}", hint="running, finished, failed or killed")
        if (sort or where) and before is not None:
            raise ParameterError("before goes on with a list by age, not one by a metric", hint="leave out before, or raise limit")
        if best_of and not sort:
            raise ParameterError("the best of each group by what?", parameter="best_of", hint="name a metric with --sort")
        if limit < 1:
            raise ParameterError(f"limit is {limit}", hint="at least 1")
        more = limit + 1  # one more says whether there are more
        if sort or where:
            asked = Search(self.ws, experiment=experiment, state=state, trials=trials, where=where)
            rows = asked.rows(sort=sort, ascending=ascending, best_of=best_of, limit=limit)
        else:
            parent = None if trials else ""
            rows = self.ws.catalog.runs(experiment=experiment, state=state, parent=parent, before=before, limit=more)
        shown = rows[:limit]
        older = shown[-1].node.seq if len(rows) > limit else None
        return RunList(runs=run_lines(self.ws, shown), before=older, next=_following([row.node.id for row in shown]))

    @operation(reads=True)
    def columns(
        self,
        fields: Names,
        *,
        experiment: str = "",
        trials: bool = False,
        where: str = "",
        sort: str = "",
        ascending: bool = False,
        limit: Count = 10_000,
    ) -> RunColumnsRead:
        """Read figures of many runs as columns: metrics by name, parameters as params.NAME, attributes such as seconds.

        Parameters
        ----------
        fields : what to read, such as val_auc params.depth seconds
        experiment : only those of this model
        trials : also runs within runs, such as the single trials of a search
        where : only those that meet this, such as "val_auc > 0.8"
        sort : by this field, highest first; else newest first
        ascending : lowest first
        limit : at most so many runs
        """
        if not 1 <= len(fields) <= MOST_COLUMNS:
            raise ParameterError(f"{len(fields)} fields", parameter="fields", hint=f"1 to {MOST_COLUMNS}")
        if not 1 <= limit <= MOST_RUNS:
            raise ParameterError(f"limit is {limit}", hint=f"1 to {MOST_RUNS:,}")
        if not self.ws.has_store:
            return RunColumnsRead(runs=(), titles=(), columns={name: [] for name in fields}, n_found=0, next=("sampan run FILE",))
        search = Search(self.ws, experiment=experiment, trials=trials, where=where)
        pks, n_found = search.numbers(sort=sort, ascending=ascending, best_of="", limit=limit)
        wanted = [read_field(name) for name in fields]
        ids, titles, *found = self.ws.store.run_columns.take([read_field(name) for name in ("run", "title")] + wanted, pks)
        columns = {name: _plain(column) for name, column in zip(fields, found, strict=True)}
        runs = tuple(_plain(ids))
        return RunColumnsRead(
            runs=runs, titles=tuple(each or "" for each in _plain(titles)), columns=columns, n_found=n_found, next=_following(runs)
        )


class Search:
    """What is asked of the runs, ready to be carried out."""

    def __init__(self, ws: Workspace, *, experiment: str = "", state: str = "", trials: bool = False, where: str = "") -> None:
        self._ws = ws
        self._comparisons = read_filter(where)
        # Who asks for a parent's runs asks for its trials.
        self._trials = trials or any(each.field == ("attribute", "parent") for each in self._comparisons)
        self._alike = [(name, value) for name, value in (("experiment", experiment), ("state", state)) if value]

    def rows(self, *, sort: str, ascending: bool, best_of: str, limit: int) -> list[RunRow]:
        """Return the first runs in order."""
        pks, _ = self.numbers(sort=sort, ascending=ascending, best_of=best_of, limit=limit)
        return self._ws.catalog.runs_numbered(pks)

    def numbers(self, *, sort: str, ascending: bool, best_of: str, limit: int) -> tuple[list[int], int]:
        """Return the first runs' internal numbers in order, and how many there are."""
        from sampan.store.run_columns import Order, best_of_each, ranked

        self._ws.store.folding.fold_all()
        order = [Order(read_field(sort), descending=not ascending)] if sort else []
        group = read_field(best_of) if best_of else None
        n_found = 0

        def put(view: View, places: Places) -> Places:
            nonlocal n_found
            n_found = len(places)
            return ranked(view, places, order, limit) if group is None else best_of_each(view, places, group, order, limit)

        return self._ws.store.run_columns.search(self._choose, put), n_found

    def _choose(self, view: View) -> NDArray[np.bool_]:
        import numpy as np

        found = np.ones(len(view), np.bool_)
        if not self._trials:
            found &= ~view.numbers("attribute", "parent").present
        for name, value in self._alike:
            found &= view.texts("attribute", name).where(lambda word, value=value: word == value)  # type: ignore[misc]  # bound now
        for comparison in self._comparisons:
            found &= meets(view, comparison)
        return found


def _following(runs: Sequence[str]) -> tuple[str, ...]:
    """Name what to look at next: the first run, and the first two side by side."""
    first = (f"sampan run show {runs[0][:12]}",) if runs else ()
    return (*first, f"sampan compare {runs[0][:12]} {runs[1][:12]}") if len(runs) > 1 else first


def run_lines(ws: Workspace, rows: Sequence[RunRow]) -> tuple[RunLine, ...]:
    """Return runs as a table shows them, with what was logged to them up to now."""
    for run in ws.store.journals.runs() & {row.node.id for row in rows}:
        ws.store.folding.fold(run)
    deleted = {node for node, tags in ws.catalog.tags_of([row.node.id for row in rows]).items() if tags.get(LIFECYCLE) == DELETED}
    return tuple(
        RunLine(
            run=row.node.id,
            experiment=row.experiment,
            title=row.title,
            state=DELETED if row.node.id in deleted else "killed" if is_dead(row, ws.store.journals) else row.state,
            started=iso(row.started),
            seconds=None if row.ended is None else (row.ended - row.started) / 1000,
            parent=row.parent,
            metrics=found.metrics,
            params=found.params,
        )
        for row, found in zip(rows, _logged(ws, [row.node.seq for row in rows]), strict=True)
    )


def _logged(ws: Workspace, pks: list[int]) -> Sequence[Logged]:
    """Return what was logged to some runs: from memory in a process that has searched before, else straight from the rows."""
    from sampan.store.run_search import RunSearch

    if "run_columns" in vars(ws.store):
        return ws.store.run_columns.logged(pks)
    found = RunSearch(ws.store.database).logged(pks)
    return [found[pk] for pk in pks]


def _plain(column: Any) -> list[Any]:
    """Return a column's values as JSON has them; None where there is none."""
    from sampan.store.run_columns import Texts

    if isinstance(column, Texts):
        words = [*column.words, None]
        return [words[code] for code in column.codes.tolist()]
    return [
        value if there and value == value else None for value, there in zip(column.values.tolist(), column.present.tolist(), strict=True)
    ]
