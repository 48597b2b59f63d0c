"""What a search over runs reads: few columns of many runs to choose from, then everything of the few that are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from sampan.core.graph import MetricSummary
from sampan.core.times import Millis
from sampan.store import listing
from sampan.store.database import Database, Row, Session

_NAN = float("nan")


class Candidate(NamedTuple):
    """A run as a search sees it."""

    pk: int
    id: str
    experiment: str
    title: str
    state: str
    started: Millis
    ended: Millis | None
    actor: str


class Details(NamedTuple):
    """Everything logged to one run."""

    params: dict[str, str]
    metrics: list[MetricSummary]
    tags: dict[str, str]


class Logged(NamedTuple):
    """What a table of runs shows of what was logged to one."""

    metrics: dict[str, float]
    params: dict[str, str]


class Neighbor(NamedTuple):
    """A node beside a run, and on which side."""

    kind: str
    id: str
    facts: dict[str, Any]
    is_input: bool


class RunSearch:
    """Reads runs by the thousand; each question is a few statements however many runs there are."""

    def __init__(self, database: Database[Any]) -> None:
        self._database = database

    def candidates(self, experiments: Sequence[str]) -> list[Candidate]:
        """Return every run of some experiments."""
        return self._candidates("r.experiment", experiments)

    def shown(self, pks: Sequence[int]) -> list[Candidate]:
        """Return some runs, in their order."""
        found = {run.pk: run for run in self._candidates("r.node", pks)}
        return [found[pk] for pk in pks if pk in found]

    def _candidates(self, column: str, values: Sequence[Any]) -> list[Candidate]:
        sql = "select n.pk, n.id, r.experiment, r.title, n.state, r.started, r.ended, n.actor from run r join node n on n.pk = r.node"
        with self._database.read() as session:
            those = session.among(column, values)
            return [Candidate(*row) for row in session.all(f"{sql} where {those.sql}", those.value)]

    def tags(self, key: str) -> dict[int, str]:
        """Return a tag by node."""
        with self._database.read() as session:
            return dict(session.all("select t.node, t.value from tag t where t.key = (select pk from key where name = ?)", key))

    def details(self, pks: Sequence[int]) -> dict[int, Details]:
        """Return all parameters, metrics and tags of some runs, each in the order of their names."""
        found = {pk: Details({}, [], {}) for pk in pks}
        with self._database.read() as session:
            self._fill(session, pks, found)
        return found

    def logged(self, pks: Sequence[int]) -> dict[int, Logged]:
        """Return what some runs' metrics ended at, and their parameters, each in the order of their names."""
        found: dict[int, Logged] = {pk: Logged({}, {}) for pk in pks}
        with self._database.read() as session:
            # Without a join, a sort or what is not shown: this is most of what a search costs.
            those = session.among("m.run", pks)
            metrics = session.all(f"select m.run, m.key, m.last from run_metric m where {those.sql}", those.value)  # noqa: S608  # literals
            params = session.all(f"select m.run, m.key, m.value from run_param m where {those.sql}", those.value)  # noqa: S608  # literals
            _sort_in(found, 0, metrics, _names(session, "metric_key"))
            _sort_in(found, 1, params, _names(session, "key"))
        return found

    def neighbors(self, pks: Sequence[int], kinds: Sequence[str]) -> dict[int, list[Neighbor]]:
        """Return the nodes of some kinds that each of some runs read or made."""
        found: dict[int, list[Neighbor]] = {pk: [] for pk in pks}
        with self._database.read() as session:
            of_kinds = session.among("n.kind", kinds)
            for here, there in (("dst", "src"), ("src", "dst")):
                those = session.among(f"e.{here}", pks)
                sql = (
                    f"select e.{here}, n.kind, n.id, n.facts from edge e join node n on n.pk = e.{there}"  # noqa: S608  # literals
                    f" where {those.sql} and {of_kinds.sql} order by n.pk"
                )
                for run, kind, node, facts in session.all(sql, those.value, of_kinds.value):
                    found[run].append(Neighbor(kind, node, msgspec.json.decode(facts), is_input=here == "dst"))
        return found

    def _fill(self, session: Session, pks: Sequence[int], found: dict[int, Details]) -> None:
        run, node = session.among("m.run", pks), session.among("m.node", pks)
        params = f"select m.run, k.name, m.value from run_param m join key k on k.pk = m.key where {run.sql} order by k.name"  # noqa: S608  # literals
        tags = f"select m.node, k.name, m.value from tag m join key k on k.pk = m.key where {node.sql} order by k.name"  # noqa: S608  # literals
        metrics = (
            "select m.run, k.name, m.last, m.last_step, m.last_at, m.min, m.max, m.n from run_metric m"  # noqa: S608  # literals
            f" join metric_key k on k.pk = m.key where {run.sql} order by k.name"
        )
        for pk, name, value in session.all(params, run.value):
            found[pk].params[name] = value
        for pk, name, value in session.all(tags, node.value):
            found[pk].tags[name] = value
        for pk, name, last, step, at, low, high, n in session.all(metrics, run.value):
            found[pk].metrics.append(MetricSummary(name, listing.number(last), step, at, listing.number(low), listing.number(high), n))


def _names(session: Session, table: str) -> dict[int, str]:
    return dict(session.all(f"select pk, name from {table}"))  # noqa: S608  # literals


def _sort_in(found: dict[int, Logged], place: int, rows: list[Row], names: dict[int, str]) -> None:
    """Put rows of (run, key, value) where they belong, by the order of the names; a null stands for NaN."""
    by_run: dict[int, list[tuple[str, Any]]] = {}
    for run, key, value in rows:
        by_run.setdefault(run, []).append((names[key], _NAN if value is None else value))
    for run, values in by_run.items():
        values.sort()
        target: dict[str, Any] = found[run][place]
        target.update(values)
