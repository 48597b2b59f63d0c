"""The catalogue: which dataset there is for a question, and what people ask of one before they use it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import pairwise
from shlex import quote
from threading import Lock
from typing import TYPE_CHECKING, Any

from sampan.core.graph import Asset, Node
from sampan.core.times import iso
from sampan.errors import NotFound, ParameterError, UsageError
from sampan.workspace.data.catalog_answers import Alike, AlikeLine, Card, Described, Found, FoundLine, JoinLine
from sampan.workspace.data.cells import newest_finding
from sampan.workspace.data.leaks import newest_leaks
from sampan.workspace.data.room import KIND, PROFILE, DataRoom, Names
from sampan.workspace.data.trust import Evidence, Trust, judge_trust
from sampan.workspace.governing.governance import Governance
from sampan.workspace.operation import operation
from sampan.workspace.parameters import Count

if TYPE_CHECKING:
    from sampan.data.meaning import Document
    from sampan.data.similarity import Sketch
    from sampan.stats.column_profiles import ColumnProfile

WEIGHTS = {"name": 5.0, "column": 3.0, "description": 2.0, "contract": 1.5, "owner": 1.0, "value": 0.7}
_SHOWN = 20
_FEW_VALUES = 50  # a column of so few texts is found by them
_MANY_DATASETS = 200  # whose columns are compared with each other
_MIN_DISTINCT = 5  # fewer values are alike by chance
_NEARLY = 0.95  # of the rows, where the number of distinct values is estimated
_JOINS = 0.8  # of the distinct values that must find their counterpart
_DESCENDED = {"derived_from", "input", "output", "trained_on", "packaged_as", "deployed_as"}
_DAY_MS = 86_400_000
_K = 2_048  # hashes of a column that are compared
_MOST_KEPT = 256  # datasets whose sketches stay in memory
_SKETCHES: OrderedDict[str, dict[str, tuple[str, Sketch]]] = OrderedDict()
_KEEPING = Lock()  # a server answers from several threads
_SAID = ("owner", "description", "updates", "once_live", "label_cost", "access", "kpis")  # what `describe` says


class Catalogued(DataRoom):
    """The verbs that find datasets and say what they are good for."""

    @operation(reads=True)
    def search(self, words: Names, *, limit: Count = _SHOWN) -> Found:
        """Find datasets by name, column, description, contract or values; words of the same meaning count, too.

        Parameters
        ----------
        words : what to look for, e.g. late flights
        limit : how many to list, 1 to 1,000
        """
        from sampan.data.meaning import find

        if not any(word.strip() for word in words):
            raise UsageError("nothing was asked for", hint="sampan data search late flights")
        if not 1 <= limit <= 1000:
            raise ParameterError(f"limit is {limit}", hint="1 to 1,000")
        nodes = {asset.name: (asset, self._node(asset.name)) for asset in self.ws.catalog.assets(KIND)} if self.ws.has_store else {}
        matches = find(" ".join(words), [self._document(asset, node) for asset, node in nodes.values()], weights=WEIGHTS)
        lines = tuple(
            FoundLine(
                name=match.name,
                ref=nodes[match.name][1].ref,
                score=round(match.score, 3),
                why=tuple(dict.fromkeys(f"{field} {text}" for field, text in match.why)),
                owner=str(nodes[match.name][0].facts.get("owner", "")),
                n_rows=nodes[match.name][1].facts.get("n_rows", 0),
            )
            for match in matches[:limit]
        )
        following = (f"sampan data card {quote(lines[0].name)}",) if lines else ("sampan data list",)
        return Found(asked=" ".join(words), datasets=lines, next=following)

    @operation(reads=True)
    def like(self, ref: str, column: str, *, least: float = 0.1) -> Alike:
        """Find the columns of other datasets that hold the values of this one: what could be joined, what was copied.

        Values are compared by their hashes in the profiles; nothing is read.

        Parameters
        ----------
        column : the column to compare with
        least : the share of the values that another column must have, 0 to 1
        """
        if not 0 <= least <= 1:
            raise ParameterError(f"least is {least}", hint="0 to 1")
        node = self._node(ref)
        sketches = self._sketches(node)
        if column not in sketches:
            from sampan.core.refs import nearest

            raise NotFound(f"{node.ref} has no column {column!r}", did_you_mean=nearest(column, list(sketches)))
        kind, mine = sketches[column]
        found = sorted(self._alike(node, kind, mine, least), key=lambda line: (-line.contained, -line.jaccard, line.dataset, line.column))
        following = (f"sampan data show {quote(found[0].dataset)}",) if found else (f"sampan data profile {quote(node.ref)}",)
        return Alike(
            ref=node.ref,
            column=column,
            n_distinct=mine.n_distinct,
            is_estimated=mine.is_sampled,
            columns=tuple(found[:_SHOWN]),
            next=following,
        )

    @operation(reads=True)
    def card(self, ref: str) -> Card:
        """Answer what is asked of a dataset before it is used: origin, trust, access, joins, updates, labels, KPIs."""
        node = self._node(ref)
        said = dict(self.ws.catalog.asset(KIND, node.name).facts)
        trust = self.trust(node)
        may_use, how_to_ask, owner = self._access(node, said)
        label = said.get("label") or {}
        return Card(
            ref=node.ref,
            name=node.name,
            description=str(said.get("description", "")),
            owner=str(said.get("owner", "")) or owner,
            came_from=tuple(self._origin(node)),
            trust=trust.score,
            reasons=trust.reasons,
            may_use=tuple(may_use),
            how_to_ask=how_to_ask,
            joins=tuple(self.joins(node)),
            how_often=self._how_often(node, said),
            once_live=tuple(self._once_live(node, said)),
            label=f"the label is {label['target']}" if label else "no label is declared",
            label_cost=str(said.get("label_cost", "")),
            kpis=tuple(str(kpi) for kpi in said.get("kpis", ())),
            facts=said,
            next=tuple(dict.fromkeys(r.raise_by for r in trust.reasons if r.raise_by))[:3] or (f"sampan data show {quote(node.ref)}",),
        )

    @operation()
    def describe(
        self,
        name: str,
        *,
        owner: str = "",
        description: str = "",
        updates: str = "",
        once_live: str = "",
        label_cost: str = "",
        access: str = "",
        kpis: Names | None = None,
    ) -> Described:
        """Say of a dataset what nobody can compute; what is not said again stays.

        Parameters
        ----------
        name : the dataset
        owner : who answers for it
        description : what it is, in a sentence
        updates : real time, or how often: "every night"
        once_live : how it is updated while a model is live: "labels come back after two weeks"
        label_cost : what a label costs: "0.40 EUR a row, two days"
        access : how to get it
        kpis : what it is measured for
        """
        node = self._node(name)
        given = (owner, description, updates, once_live, label_cost, access, kpis or [])
        new = {key: value for key, value in zip(_SAID, given, strict=True) if value}
        if not new:
            raise UsageError("nothing was said", hint=f"sampan data describe {quote(node.name)} --owner WHO")
        self._describe(node.name, new)
        facts = dict(self.ws.catalog.asset(KIND, node.name).facts)
        return Described(name=node.name, facts=facts, next=(f"sampan data card {quote(node.name)}",))

    # -- what the page asks, too

    def trust(self, node: Node) -> Trust:
        """Judge how far a version can be trusted."""
        check, leaks, cells = self.contracts.newest_check(node), newest_leaks(self.ws, node), newest_finding(self, node)
        profile = self._profile(node)
        n_cells = max(profile.n_rows * len(profile.columns), 1)
        derived = any(edge.role == "derived_from" for edge in self.ws.catalog.edges_to(node.id))
        return judge_trust(
            Evidence(
                name=node.name,
                ref=node.ref,
                said={**self.ws.catalog.asset(KIND, node.name).facts, "owner": Governance(self.ws).terms(node.name).owner},
                facts={**node.facts, "derived": derived},
                verdict=str(check.facts["verdict"]) if check else "",
                has_contract=self.contracts.path(node.name).exists(),
                n_findings=len(check.facts["findings"]) if check else 0,
                share_wrong=cells.facts["n_wrong"] / n_cells if cells else None,
                share_missing=sum(column.n_null for column in profile.columns) / n_cells,
                age_ms=max(self.ws.clock() - node.created, 0),
                every_ms=self._every(node),
                n_held=self._n_held(node.name),
                n_leaks=len(leaks.leaks) if leaks else None,
            )
        )

    def joins(self, node: Node) -> Iterator[JoinLine]:
        """Find the data that joins to a version: by the contracts' references, then by values that a key holds, either way."""
        seen = set()
        for line in (*self._declared_joins(node), *self._joins_by_values(node)):
            if (line.dataset, line.columns) not in seen:
                seen.add((line.dataset, line.columns))
                yield line

    def _declared_joins(self, node: Node) -> Iterator[JoinLine]:
        from sampan.data.contract import Reference

        for asset in self.ws.catalog.assets(KIND):
            contract = self.contracts.read(asset.name)
            for rule in contract.rules if contract else ():
                if not isinstance(rule, Reference):
                    continue
                if asset.name == node.name:
                    yield JoinLine(rule.table, rule.columns, rule.to_columns, "its contract refers to it")
                elif rule.table == node.name:
                    yield JoinLine(asset.name, rule.to_columns, rule.columns, f"the contract of {asset.name} refers to it")

    def _joins_by_values(self, node: Node) -> Iterator[JoinLine]:
        for other in self._others(node):
            for column, key, share in self._references(node, other):
                yield JoinLine(other.name, (column,), (key,), f"{share:.0%} of its distinct values are keys there", share)
            for column, key, share in self._references(other, node):
                yield JoinLine(other.name, (key,), (column,), f"{share:.0%} of the distinct values there are keys here", share)

    def _references(self, node: Node, other: Node) -> Iterator[tuple[str, str, float]]:
        """Find the columns of a version whose values are keys of another: each with the key, and the share of its distinct values."""
        from sampan.data.meaning import name_the_same
        from sampan.data.similarity import compare

        for key, kind, keys in self._keys_of_one_column(other):
            for column, (own_kind, values) in self._sketches(node).items():
                if own_kind != kind or values.n_distinct < _MIN_DISTINCT:
                    continue
                if kind == "number" and not name_the_same(column, key, other.name):  # whole numbers are contained in each other by chance
                    continue
                contained = compare(values, keys).contained
                if contained >= _JOINS:
                    yield column, key, contained

    def _keys_of_one_column(self, node: Node) -> Iterator[tuple[str, str, Sketch]]:
        """Find the columns that name a row: the declared key, and texts that never come back."""
        declared = self.ws.catalog.asset(KIND, node.name).facts.get("key") or []
        n_rows = int(node.facts.get("n_rows", 0))
        for name, (kind, values) in self._sketches(node).items():
            unique = kind == "text" and values.n_distinct >= (_NEARLY if values.is_sampled else 1.0) * n_rows
            if kind in ("text", "number") and (declared == [name] or unique):
                yield name, kind, values

    def _alike(self, node: Node, kind: str, mine: Sketch, least: float) -> Iterator[AlikeLine]:
        from sampan.data.similarity import compare

        for other in self._others(node):
            for name, (their_kind, theirs) in self._sketches(other).items():
                if their_kind != kind:
                    continue
                likeness = compare(mine, theirs)
                if likeness.contained >= max(least, 1e-9):
                    yield AlikeLine(
                        dataset=other.ref,
                        column=name,
                        jaccard=round(likeness.jaccard, 4),
                        contained=round(likeness.contained, 4),
                        contains=round(likeness.contains, 4),
                        n_distinct=theirs.n_distinct,
                        is_estimated=theirs.is_sampled,
                    )

    def _others(self, node: Node) -> Iterator[Node]:
        assets = [asset for asset in self.ws.catalog.assets(KIND) if asset.name != node.name and asset.n_versions]
        yield from (self._node(asset.name) for asset in assets[:_MANY_DATASETS])

    def _sketches(self, node: Node) -> dict[str, tuple[str, Sketch]]:
        """Return each column's kind and sketch; those of recorded profiles are kept in memory, since a profile never changes."""
        known = str(node.facts.get(PROFILE, ""))
        with _KEEPING:
            if known in _SKETCHES:
                _SKETCHES.move_to_end(known)
                return _SKETCHES[known]
        found = {column.name: (column.kind, _sketch(column)) for column in self._profile(node).columns if column.n_distinct}
        with _KEEPING:
            if known:
                _SKETCHES[known] = found
            if len(_SKETCHES) > _MOST_KEPT:
                _SKETCHES.popitem(last=False)
        return found

    def _document(self, asset: Asset, node: Node) -> Document:
        from sampan.data.meaning import Document

        said = asset.facts
        contract = self.contracts.read(asset.name)
        described = [c.description for c in getattr(contract, "columns", ()) if getattr(c, "description", "")] if contract else []
        columns = () if self.withheld(node) else self._profile(node).columns  # a hit would tell that the value is there
        values = [text for c in columns if c.kind == "text" and c.n_distinct <= _FEW_VALUES for text, _ in c.top(20)]
        return Document(
            asset.name,
            {
                "name": [asset.name],
                "column": list(node.facts.get("columns", {})),
                "description": [str(said[key]) for key in ("description", "updates", "access") if said.get(key)],
                "contract": [text for text in (getattr(contract, "description", ""), *described) if text],
                "owner": [str(said["owner"])] if said.get("owner") else [],
                "value": [*values, *(str(kpi) for kpi in said.get("kpis", ()))],
            },
        )

    def _origin(self, node: Node) -> Iterator[str]:
        source = str(node.facts.get("source", "")) or "not recorded"
        form = f", read as {node.facts['format']}" if node.facts.get("format") else ""
        yield f"{source}{form}, by {node.actor or 'unknown'} on {iso(node.created)[:10]}"
        for edge in self.ws.catalog.edges_to(node.id):
            if edge.role in _DESCENDED:
                before = self.ws.catalog.node(edge.src)
                yield f"{edge.role.replace('_', ' ')} {before.ref}"

    def _access(self, node: Node, said: dict[str, Any]) -> tuple[list[str], str, str]:
        """Return who may use it, how to ask, and the owner its policy names."""
        from sampan.workspace.governing.policy import Policy

        policy = self.ws.room(Policy).show(node.ref)
        lines = ["this project may use it" if policy.allowed_now else "this project may not use it now", *policy.refused]
        limits = [f"{one.what}: {one.value}" for one in policy.statements if one.what != "owner"]  # who owns it has a line of its own
        lines += limits
        if not limits:
            lines.append("no limit was declared")
        return lines, str(said.get("access", "")) or policy.how_to_ask, policy.owner

    def _every(self, node: Node) -> int | None:
        """Return the usual time between versions, in milliseconds; None for a single one."""
        from statistics import median  # three milliseconds of every command

        made = [version.created for version in self.ws.catalog.nodes(kind=KIND, name=node.name, limit=_SHOWN)]
        gaps = [later - earlier for later, earlier in pairwise(made)]
        return int(median(gaps)) if gaps else None

    def _how_often(self, node: Node, said: dict[str, Any]) -> str:
        every = self._every(node)
        seen = "one version so far" if every is None else f"a version about every {_span(every)}, as versions came so far"
        return f"{said['updates']} ({seen})" if said.get("updates") else f"not said; {seen}"

    def _once_live(self, node: Node, said: dict[str, Any]) -> Iterator[str]:
        if said.get("once_live"):
            yield str(said["once_live"])
        after = self.ws.catalog.lineage(node.id, up=False, depth=6).nodes
        models = sorted({one.name for one in after if one.kind == "model" and one.name})
        services = sorted({one.name for one in after if one.kind in ("deployment", "endpoint", "service") and one.name})
        if models:
            yield f"models trained on it: {', '.join(models)}"
        if services:
            yield f"services that run on these: {', '.join(services)}; sampan monitor run compares their traffic with it"
        if not models and not said.get("once_live"):
            yield "no model was trained on it yet"

    def _n_held(self, name: str) -> int:
        from sampan.workspace.data.quarantine import Quarantine

        return sum(int(held.facts.get("n_rows", 0)) for held in Quarantine(self.ws).held(name))


def _sketch(column: ColumnProfile) -> Sketch:
    import numpy as np

    from sampan.data.similarity import Sketch

    hashes = np.asarray(column.hashes, dtype=np.uint64)
    return Sketch(hashes[:_K].copy(), column.is_sampled or len(hashes) > _K, column.n_distinct)


def _span(ms: int) -> str:
    for unit, length in (("day", _DAY_MS), ("hour", 3_600_000), ("minute", 60_000)):
        if ms >= length:
            n = round(ms / length)
            return unit if n == 1 else f"{n:,} {unit}s"
    return "minute or less"
