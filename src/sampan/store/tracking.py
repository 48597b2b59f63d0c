"""The read side of runs: rows, parameters, metric summaries and histories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import le
from typing import Any

from sampan.core.graph import MetricPoints, MetricSummary, NodeId, RunRow
from sampan.errors import NotFound
from sampan.store import listing
from sampan.store.chunks import columns_of
from sampan.store.database import Database, Row, Session

_RUN_COLUMNS = "r.experiment, r.title, n.state, r.started, r.ended, p.id, r.source, r.host, r.pid"
_N_NODE_COLUMNS = 11


class Tracking:
    """Answers questions about runs. Metric questions first fold what the run's journals hold."""

    def __init__(self, database: Database[Any], *, fold: Callable[[NodeId], int], fold_all: Callable[[], int]) -> None:
        self._database = database
        self._fold = fold
        self._fold_all = fold_all

    def run(self, node_id: NodeId) -> RunRow:
        """Return one run. Raises NotFound."""
        with self._database.read() as session:
            found = _runs(session, "where n.id = ?", node_id)
        if not found:
            raise NotFound(f"no run {node_id}")
        return found[0]

    def runs(
        self, *, experiment: str = "", state: str = "", parent: NodeId | None = None, limit: int = 100, before: int | None = None
    ) -> list[RunRow]:
        """Return runs, newest first; `before` is the `node.seq` of the last run of the page before.

        `parent` asks for the trials of one run; with "" it asks for the runs that are no trials.
        """
        where, values = _conditions(experiment, state, parent, before)
        with self._database.read() as session:
            return _runs(session, f"{where} order by r.node desc limit ?", *values, limit)

    def runs_numbered(self, pks: Sequence[int]) -> list[RunRow]:
        """Return runs by their nodes' internal numbers, in that order."""
        with self._database.read() as session:
            those = session.among("r.node", pks)
            found = {row.node.seq: row for row in _runs(session, f"where {those.sql}", those.value)}
        return [found[pk] for pk in pks if pk in found]

    def params(self, run: NodeId) -> dict[str, str]:
        """Return a run's parameters, by name."""
        sql = "select k.name, p.value from run_param p join key k on k.pk = p.key join node n on n.pk = p.run where n.id = ?"
        with self._database.read() as session:
            return dict(sorted(session.all(sql, run)))

    def metrics(self, run: NodeId) -> list[MetricSummary]:
        """Return what each metric of a run came to, by key."""
        self._fold(run)
        sql = (
            "select k.name, m.last, m.last_step, m.last_at, m.min, m.max, m.n"
            " from run_metric m join metric_key k on k.pk = m.key join node n on n.pk = m.run where n.id = ?"
        )
        with self._database.read() as session:
            rows = sorted(session.all(sql, run), key=lambda row: row[0])
        return [
            MetricSummary(k, listing.number(last), step, at, listing.number(lo), listing.number(hi), n)
            for k, last, step, at, lo, hi, n in rows
        ]

    def metric_history(self, run: NodeId, key: str) -> MetricPoints:
        """Return every point of a metric in the order of (step, time); empty if there is none."""
        self._fold(run)
        found = MetricPoints(key, [], [], [])
        with self._database.read() as session:
            for steps, moments, values in columns_of(session, run, key):
                found.steps.extend(steps)
                found.at.extend(moments)
                found.values.extend(values)
        return _in_order(found)


def _conditions(experiment: str, state: str, parent: NodeId | None, before: int | None) -> tuple[str, list[Any]]:
    where, values = listing.conditions({"r.experiment = ?": experiment, "n.state = ?": state, "p.id = ?": parent, "r.node < ?": before})
    if parent == "":
        where = f"{where} and r.parent is null" if where else "where r.parent is null"
    return where, values


def _in_order(logged: MetricPoints) -> MetricPoints:
    """Order points by step and time; those of the same moment stay as they were logged."""
    moments = list(zip(logged.steps, logged.at, strict=True))
    if all(map(le, moments, moments[1:])):
        return logged
    order = sorted(range(len(moments)), key=moments.__getitem__)
    return MetricPoints(logged.key, [logged.steps[i] for i in order], [logged.at[i] for i in order], [logged.values[i] for i in order])


def _runs(session: Session, tail: str, *values: Any) -> list[RunRow]:
    tables = "run r join node n on n.pk = r.node left join asset a on a.pk = n.asset left join node p on p.pk = r.parent"
    rows: list[Row] = session.all(f"select {listing.NODE_COLUMNS}, {_RUN_COLUMNS} from {tables} {tail}", *values)  # noqa: S608  # literals
    nodes = listing.as_nodes(session, [row[:_N_NODE_COLUMNS] for row in rows])
    return [RunRow(node, *row[_N_NODE_COLUMNS:]) for node, row in zip(nodes, rows, strict=True)]
