"""What each change does to the tables: one small function a change, found in one table of functions.

Only the ledger calls `apply`, inside the transaction that writes the event. Every function is deterministic: applied again to an empty
database in the same order, the changes give the same rows, internal numbers included.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from sampan.core.changes import (
    AddArtifact,
    AddEdge,
    AddNode,
    AddObservations,
    AddParams,
    Adopt,
    AmendFacts,
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
from sampan.core.digests import canonical_json
from sampan.core.graph import NodeId
from sampan.core.refs import check_name, parse_ref
from sampan.core.times import Millis
from sampan.errors import AlreadyExists, Immutable, NotFound, ParameterError, StaleState, UsageError
from sampan.store.database import Session
from sampan.store.touching import touch

TABLES = (
    "asset",
    "node",
    "edge",
    "alias",
    "key",
    "tag",
    "artifact",
    "observation",
    "run",
    "run_param",
    "step",
    "superseded",
    "adopted",
    "stands_for",
)  # what the ledger alone gives

_ID = re.compile(r"[0-9a-f]{32}\Z")


class Projection(msgspec.Struct):
    """Applies changes within one transaction and remembers what it looked up."""

    session: Session
    versions: dict[NodeId, int] = msgspec.field(default_factory=dict)  # of the numbered nodes added in this transaction
    _nodes: dict[NodeId, int] = msgspec.field(default_factory=dict)
    _keys: dict[str, int] = msgspec.field(default_factory=dict)

    def apply(self, change: Change, *, at: Millis, actor: str) -> None:
        """Do what the change says.

        Raises
        ------
        NotFound : it names a node or asset that is not there.
        AlreadyExists, Immutable : it would change what may not change.
        StaleState : a compare-and-set found another value than `before`.
        """
        _INTERPRETERS[type(change)](self, change, at, actor)

    def node(self, node_id: NodeId) -> int:
        """Return a node's internal number."""
        if node_id not in self._nodes:
            found = self.session.one("select pk from node where id = ?", node_id)
            found = found or self.session.one("select node from stands_for where id = ?", node_id)
            if found is None:
                raise NotFound(f"no node {node_id}")
            self._nodes[node_id] = found[0]
        return self._nodes[node_id]

    def key(self, name: str) -> int:
        """Return the number of an interned name; give it one if it is new."""
        if name not in self._keys:
            found = self.session.one("select pk from key where name = ?", name)
            self._keys[name] = found[0] if found else self._insert("key", name=name)
        return self._keys[name]

    def asset(self, kind: str, name: str, *, at: Millis, facts: dict[str, Any] | None = None) -> int:
        """Return an asset's internal number; make it if it is new."""
        found = self.session.one("select pk from asset where kind = ? and name = ?", kind, name)
        if found:
            pk: int = found[0]
            return pk
        check_name(name)
        if not kind:
            raise ParameterError(f"the asset {name!r} has no kind")
        return self._insert("asset", kind=kind, name=name, state="active", created=at, n_versions=0, facts=_json(facts or {}))

    def _insert(self, table: str, **columns: Any) -> int:
        """Insert a row under the next internal number; writers are one at a time, so the greatest plus one is free."""
        row = self.session.one(f"select coalesce(max(pk), 0) + 1 from {table}")  # noqa: S608  # table names are literals of this module
        assert row is not None
        names, marks = ", ".join(columns), ", ?" * len(columns)
        self.session.run(f"insert into {table}(pk, {names}) values (?{marks})", row[0], *columns.values())  # noqa: S608  # the same
        pk: int = row[0]
        return pk

    def _ensure_asset(self, change: EnsureAsset, at: Millis, _actor: str) -> None:
        self.asset(change.kind, change.name, at=at, facts=change.facts)

    def _describe_asset(self, change: DescribeAsset, _at: Millis, _actor: str) -> None:
        touched = self.session.run("update asset set facts = ? where kind = ? and name = ?", _json(change.facts), change.kind, change.name)
        if not touched:
            raise NotFound(f"no {change.kind} called {change.name!r}")

    def _add_node(self, change: AddNode, at: Millis, actor: str) -> None:
        if not _ID.match(change.id):
            raise ParameterError(f"{change.id!r} cannot be a node id", hint="32 lower-case hex digits, as events.new_id() draws")
        if self.session.one("select pk from node where id = ?", change.id):
            raise AlreadyExists(f"there is a node {change.id} already")
        asset = self.asset(change.kind, change.name, at=at) if change.name else None
        version = self._next_version(asset) if asset is not None and change.numbered else None
        if version is not None:
            self.versions[change.id] = version
        self._nodes[change.id] = self._insert(
            "node",
            id=change.id,
            asset=asset,
            kind=change.kind,
            version=version,
            digest=change.digest,
            state=change.state,
            created=at,
            actor=actor,
            size=change.size,
            facts=_json(change.facts),
        )

    def _next_version(self, asset: int) -> int:
        self.session.run("update asset set n_versions = n_versions + 1 where pk = ?", asset)
        row = self.session.one("select n_versions from asset where pk = ?", asset)
        assert row is not None
        version: int = row[0]
        return version

    def _add_edge(self, change: AddEdge, _at: Millis, _actor: str) -> None:
        ends = self.node(change.dst), self.node(change.src)
        self.session.run("insert into edge(dst, src, role) values (?, ?, ?) on conflict do nothing", *ends, change.role)

    def _expect_newest(self, change: ExpectNewest, _at: Millis, _actor: str) -> None:
        found = self.session.one(
            "select n.id, n.version from node n join asset a on a.pk = n.asset"
            " where a.kind = ? and a.name = ? and n.state not in ('deleted', 'branch') order by n.pk desc limit 1",
            *(change.kind, change.name),
        )
        actual = found[0] if found else None
        if actual != change.node:
            raise _stale(f"the newest version of the {change.kind} {change.name}", change.node or "none yet", actual or "none")

    def _expect_content(self, change: ExpectContent, _at: Millis, _actor: str) -> None:
        row = self.session.one("select digest from node where pk = ?", self.node(change.node))
        if row is None or row[0] != change.digest:
            raise _stale(f"the content of node {change.node}", change.digest, row[0] if row else "")

    def _move_alias(self, change: MoveAlias, at: Millis, _actor: str) -> None:
        _check_alias(change.alias)
        asset = self.asset(change.kind, change.name, at=at)
        found = self.session.one(
            "select n.id from alias a join node n on n.pk = a.node where a.asset = ? and a.name = ?", asset, change.alias
        )
        actual = found[0] if found else None
        if actual != change.before:
            raise _stale(f"alias {change.name}@{change.alias}", change.before or "nothing", actual or "nothing")
        if change.after is None:
            self.session.run("delete from alias where asset = ? and name = ?", asset, change.alias)
            return
        self.session.run(
            "insert into alias(asset, name, node, updated) values (?, ?, ?, ?)"
            " on conflict (asset, name) do update set node = excluded.node, updated = excluded.updated",
            *(asset, change.alias, self.node(change.after), at),
        )

    def _set_state(self, change: SetState, _at: Millis, _actor: str) -> None:
        node = self.node(change.node)
        if not self.session.run("update node set state = ? where pk = ? and state = ?", change.after, node, change.before):
            row = self.session.one("select state from node where pk = ?", node)
            raise _stale(f"the state of node {change.node}", change.before, row[0] if row else "")
        touch(self.session, node)

    def _set_tag(self, change: SetTag, _at: Millis, _actor: str) -> None:
        node, key = self.node(change.node), self.key(change.key)
        touch(self.session, node)
        if change.value is None:
            self.session.run("delete from tag where node = ? and key = ?", node, key)
            return
        self.session.run(
            "insert into tag(node, key, value) values (?, ?, ?) on conflict (node, key) do update set value = excluded.value",
            *(node, key, change.value),
        )

    def _start_run(self, change: StartRun, _at: Millis, _actor: str) -> None:
        node, parent = self.node(change.node), self.node(change.parent) if change.parent else None
        if self.session.one("select node from run where node = ?", node):
            raise AlreadyExists(f"run {change.node} has started already")
        self.session.run(
            "insert into run(node, experiment, title, started, ended, parent, source, host, pid) values (?, ?, ?, ?, null, ?, ?, ?, ?)",
            *(node, change.experiment, change.title, change.started, parent, change.source, change.host, change.pid),
        )
        touch(self.session, node)

    def _end_run(self, change: EndRun, at: Millis, actor: str) -> None:
        self._set_state(SetState(node=change.node, before="running", after=change.state), at, actor)
        if not self.session.run("update run set ended = ? where node = ?", change.ended, self.node(change.node)):
            raise NotFound(f"node {change.node} is no run")

    def _add_params(self, change: AddParams, _at: Millis, _actor: str) -> None:
        run = self.node(change.node)
        rows = self.session.all("select k.name, p.value from run_param p join key k on k.pk = p.key where p.run = ?", run)
        present: dict[str, str] = dict(rows)
        for name, value in change.params.items():
            if present.get(name, value) != value:
                raise Immutable(f"parameter {name} of run {change.node} is {present[name]!r} and cannot become {value!r}")
        touch(self.session, run)
        fresh = {name: value for name, value in change.params.items() if name not in present}
        self._look_up(fresh)
        self.session.many("insert into run_param(key, run, value) values (?, ?, ?)", [(self.key(n), run, v) for n, v in fresh.items()])

    def _look_up(self, names: Collection[str]) -> None:
        """Read the numbers of several interned names at once; `key` gives the others theirs."""
        if unknown := [name for name in names if name not in self._keys]:
            those = self.session.among("name", unknown)
            self._keys.update(self.session.all(f"select name, pk from key where {those.sql}", those.value))  # noqa: S608  # literals

    def _add_artifact(self, change: AddArtifact, _at: Millis, _actor: str) -> None:
        node = self.node(change.node)
        found = self.session.one("select digest from artifact where node = ? and path = ?", node, change.path)
        if found is None:
            self.session.run(
                "insert into artifact(node, path, digest, size) values (?, ?, ?, ?)", node, change.path, change.digest, change.size
            )
        elif found[0] != change.digest:
            raise Immutable(f"artifact {change.path} of node {change.node} is {found[0]} and cannot become {change.digest}")

    def _add_observations(self, change: AddObservations, _at: Millis, _actor: str) -> None:
        node = self.node(change.node)
        rows = [(node, self.key(key), at, _finite(value), n) for at, key, value, n in change.points]
        self.session.many(
            "insert into observation(node, key, at, value, n) values (?, ?, ?, ?, ?)"
            " on conflict (node, key, at) do update set value = excluded.value, n = excluded.n",
            rows,
        )

    def _finish_step(self, change: FinishStep, at: Millis, _actor: str) -> None:
        # A key that nobody claimed is free: so a replay, which knows no claims, accepts what was accepted then.
        claimed = self.session.one("select token from claim where key = ?", change.key)
        done = self.session.one("select token from step where key = ?", change.key)
        if claimed and claimed[0] != change.token:
            raise _stale(f"step {change.step} (key {change.key})", f"attempt {change.token}", f"attempt {claimed[0]}")
        if done and done[0] >= change.token:
            raise _stale(f"step {change.step} (key {change.key})", f"an attempt before {change.token}", f"a commit of attempt {done[0]}")
        self.session.run(
            "insert into step(key, token, name, outcome, at) values (?, ?, ?, ?, ?) on conflict (key) do update"
            " set token = excluded.token, name = excluded.name, outcome = excluded.outcome, at = excluded.at",
            *(change.key, change.token, change.step, _json(change.outcome), at),
        )

    def _supersede(self, change: Supersede, _at: Millis, _actor: str) -> None:
        before, after = change.before, change.after
        if after:
            self.session.run("update node set digest = ?, size = ? where digest = ?", after, change.size, before)
            self.session.run("update artifact set digest = ?, size = ? where digest = ?", after, change.size, before)
        else:
            self.session.run("delete from artifact where digest = ?", before)
            self.session.run("delete from step where outcome like ?", f"%{before}%")
        for table, key, column in (("node", "pk", "facts"), ("asset", "pk", "facts"), ("step", "key", "outcome")):
            self._replace_in(table, key, column, before, after)
        self.session.run("update superseded set after = ? where after = ?", after, before)
        self.session.run(
            "insert into superseded(before, after) values (?, ?) on conflict (before) do update set after = excluded.after", before, after
        )
        self.session.run("delete from superseded where before = after")

    def _replace_in(self, table: str, key: str, column: str, before: str, after: str) -> None:
        found = self.session.all(f"select {key}, {column} from {table} where {column} like ?", f"%{before}%")  # noqa: S608  # literals
        for pk, text in found:
            replaced = text.replace(before, after) if after else _json(_without(msgspec.json.decode(text), before))
            self.session.run(f"update {table} set {column} = ? where {key} = ?", replaced, pk)  # noqa: S608  # literals

    def _adopt(self, change: Adopt, _at: Millis, _actor: str) -> None:
        self.session.run(
            "insert into adopted(hash, origin, seq) values (?, ?, ?) on conflict do nothing", change.hash, change.origin, change.seq
        )

    def _stands_for(self, change: StandsFor, _at: Millis, _actor: str) -> None:
        self.session.run("insert into stands_for(id, node) values (?, ?) on conflict do nothing", change.id, self.node(change.node))

    def _drop_files(self, change: DropFiles, _at: Millis, _actor: str) -> None:
        self.session.run("delete from artifact where node = ?", self.node(change.node))

    def _amend_facts(self, change: AmendFacts, _at: Millis, _actor: str) -> None:
        self.session.run("update node set facts = ? where pk = ?", _json(change.facts), self.node(change.node))


_INTERPRETERS: dict[type[Change], Callable[[Projection, Any, Millis, str], None]] = {
    EnsureAsset: Projection._ensure_asset,
    ExpectNewest: Projection._expect_newest,
    DescribeAsset: Projection._describe_asset,
    AddNode: Projection._add_node,
    AddEdge: Projection._add_edge,
    MoveAlias: Projection._move_alias,
    SetState: Projection._set_state,
    SetTag: Projection._set_tag,
    StartRun: Projection._start_run,
    EndRun: Projection._end_run,
    AddParams: Projection._add_params,
    AddArtifact: Projection._add_artifact,
    AddObservations: Projection._add_observations,
    FinishStep: Projection._finish_step,
    Supersede: Projection._supersede,
    AmendFacts: Projection._amend_facts,
    ExpectContent: Projection._expect_content,
    Adopt: Projection._adopt,
    StandsFor: Projection._stands_for,
    DropFiles: Projection._drop_files,
}


def _stale(what: str, expected: str, actual: str) -> StaleState:
    return StaleState(
        f"{what} is {actual}, not {expected}: someone was faster", expected=expected, actual=actual, hint="read it again and decide anew"
    )


def _check_alias(alias: str) -> None:
    try:
        taken_as = parse_ref(f"a@{alias}").alias
    except UsageError:
        taken_as = ""
    if not alias or taken_as != alias:
        raise ParameterError(f"{alias!r} cannot be an alias", hint="a letter, then letters, digits, '_', '.', ':', '-'; not like v12")


def _without(value: Any, gone: str) -> Any:
    """Return a JSON value without the entries and elements that are a text."""
    if isinstance(value, dict):
        return {name: _without(entry, gone) for name, entry in value.items() if entry != gone}
    return [_without(entry, gone) for entry in value if entry != gone] if isinstance(value, list) else value


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _json(value: object) -> str:
    return canonical_json(value).decode()
