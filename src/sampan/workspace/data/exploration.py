"""Exploring a dataset version: what was declared of it is gathered, the answer kept so that the same question is answered once."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sampan.core.digests import digest_value
from sampan.core.graph import Node
from sampan.core.refs import nearest
from sampan.data.exploring.views import Exploration, OverlapView
from sampan.errors import NotFound, ParameterError
from sampan.workspace.data.contracts import Contracts
from sampan.workspace.data.leaks import as_expression
from sampan.workspace.data.profiling import PROFILE, read_profile
from sampan.workspace.governing.governance import Governance, require_allowed

if TYPE_CHECKING:
    import polars as pl

    from sampan.data.exploring.explore import Question
    from sampan.workspace.workspace import Workspace

_EXPLORING = 4  # raise when the same question would be answered otherwise


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants to know of a dataset; what is left empty is taken from what was declared."""

    target: str = ""
    time: str = ""
    groups: tuple[str, ...] = ()
    reference: str = ""  # a file, or a dataset
    test: str = ""  # a dataset


class _Asking(msgspec.Struct, frozen=True, kw_only=True):
    """A question with all that its answer depends on."""

    name: str  # of the answer, among the hints
    node: Node
    asked: Asked
    test: Node | None
    reference: Any  # a table, or None
    hidden: dict[str, str]
    safe: set[str]
    known: dict[str, str]
    facts: dict[str, Any]


def explore_version(ws: Workspace, node: Node, asked: Asked) -> Exploration:
    """Explore a dataset version, or return what was found before when nothing it depends on has changed.

    Raises
    ------
    ParameterError : a column that is not there, a reference without any of the groups, or a target that cannot be computed.
    PolicyRefused : terms forbid reading what is looked at.
    """
    asking = _asking(ws, node, asked)
    return _found_before(ws, asking) or _explore(ws, asking)


def explored_before(ws: Workspace, node: Node, asked: Asked) -> Exploration | None:
    """Return what was found before, if nothing it depends on has changed. Raises as `explore_version`; reads no row."""
    return _found_before(ws, _asking(ws, node, asked))


def _asking(ws: Workspace, node: Node, asked: Asked) -> _Asking:
    test = ws.catalog.resolve(asked.test, kind="dataset") if asked.test else None
    for one in filter(None, (node, test)):
        require_allowed(ws, [one], columns=[*one.facts["columns"]])
    asked = _completed(ws, node, asked)
    reference, reference_digest = _read_reference(ws, asked)
    hidden = _hidden(ws, node)
    facts = ws.catalog.asset("dataset", node.name).facts
    contract = Contracts(ws).read(node.name)
    known = dict(contract.known()) if contract else {}
    said = [
        msgspec.to_builtins(asked),
        reference_digest,
        test.id if test else "",
        hidden,
        facts.get("key", []),
        facts.get("label", {}),
        known,
    ]

    safe = _safe(contract)
    digest = digest_value([_EXPLORING, PROFILE, node.id, node.digest, *said, sorted(safe)])
    return _Asking(
        name=f"explored-{digest.removeprefix('b3:')}",
        node=node,
        asked=asked,
        test=test,
        reference=reference,
        hidden=hidden,
        safe=safe,
        known=known,
        facts=facts,
    )


def _found_before(ws: Workspace, asking: _Asking) -> Exploration | None:
    with suppress(ValueError, TypeError, msgspec.DecodeError):  # msgspec's ValidationError is a ValueError
        return msgspec.msgpack.decode(b64decode(ws.engine.hints.get(asking.name), validate=True), type=Exploration)
    return None


def _explore(ws: Workspace, asking: _Asking) -> Exploration:
    from sampan.data.exploring.explore import explore

    node, facts = asking.node, asking.facts
    question = _question(node, asking.asked, facts, asking.reference, asking.hidden, asking.safe, asking.known)
    with ws.progress.stage("exploring", total=node.facts.get("n_rows", 0), unit="rows") as stage:
        overlap = _overlap(ws, node, asking.test, facts.get("key", [])) if asking.test else None
        found = explore(ws.store.tables.scan(node.digest), read_profile(ws, node), question, overlap=overlap)
        stage.advance(found.n_rows)
    ws.engine.hints.put(asking.name, msgspec.msgpack.encode(found))
    return found


def _completed(ws: Workspace, node: Node, asked: Asked) -> Asked:
    """Fill in what was declared: the label, the time, and the groups to watch."""
    facts = ws.catalog.asset("dataset", node.name).facts
    columns = node.facts["columns"]
    groups = asked.groups or tuple(_declared_groups(ws, node))
    for what, names in (("groups", groups), ("time", (asked.time,) if asked.time else ())):
        for name in names:
            if name not in columns:
                close = nearest(name, columns)
                hint = f"did you mean {' or '.join(close)}?" if close else "columns: " + ", ".join([*columns][:20])
                raise ParameterError(f"{what}: {node.ref} has no column {name!r}", hint=hint)
    if asked.time and not str(columns[asked.time]).startswith("Date"):
        message = f"time: {node.ref} has {asked.time!r} as {columns[asked.time]}, which is no time"
        raise ParameterError(message, hint=f"add it again with --types {asked.time}=timestamp")
    if asked.reference and not groups:
        raise ParameterError(
            "a reference says what share each group should have, and no groups are named", hint="add --groups COLUMN,COLUMN"
        )
    return msgspec.structs.replace(
        asked,
        target=as_expression(asked.target, columns) or str(facts.get("label", {}).get("target", "")),
        time=asked.time or str(facts.get("time", "")),
        groups=tuple(groups),
    )


def _declared_groups(ws: Workspace, node: Node) -> Sequence[str]:
    """Return the columns declared as protected, or as groups in the contract."""
    terms = Governance(ws).terms(node.name)
    contract = Contracts(ws).read(node.name)
    roles = {column.name for column in contract.columns if column.role == "group"} if contract else set()
    return [name for name in node.facts["columns"] if name in roles or terms.column(name).protected]


def _hidden(ws: Workspace, node: Node) -> dict[str, str]:
    terms = Governance(ws).terms(node.name)
    return {name: f"personal data: {terms.column(name).pii}" for name in node.facts["columns"] if terms.column(name).pii}


def _safe(contract: Any) -> set[str]:
    """Return the columns whose values the contract lists: who wrote it has declared them fit to be read."""
    from sampan.data.contract import AllowedValues

    rules = contract.rules if contract else ()
    return {rule.column for rule in rules if isinstance(rule, AllowedValues) and not rule.forbidden}


def _read_reference(ws: Workspace, asked: Asked) -> tuple[pl.DataFrame | None, str]:
    """Read the reference of the groups: a dataset of the workspace, or a file."""
    if not asked.reference:
        return None, ""
    from sampan.core.digests import digest_bytes
    from sampan.data.exploring.groups import read_reference
    from sampan.table.sources import read_source

    path = Path(asked.reference)
    path = path if path.is_absolute() else ws.root / path
    if path.is_file():
        frame, digest = read_source(path).frame, digest_bytes(path.read_bytes())
    else:
        try:
            node = ws.catalog.resolve(asked.reference, kind="dataset")
        except NotFound as cause:
            raise ParameterError(f"{asked.reference!r} is neither a file nor a dataset", hint="give a CSV of groups and shares") from cause
        require_allowed(ws, [node], columns=[*node.facts["columns"]])
        frame, digest = ws.store.tables.read(node.digest), node.digest
    return read_reference(frame, asked.groups)[1], digest


def _question(
    node: Node, asked: Asked, facts: Any, reference: pl.DataFrame | None, hidden: dict[str, str], safe: set[str], known: dict[str, str]
) -> Question:
    from sampan.data.exploring.explore import Question
    from sampan.workspace.data.leaks import label_expression

    declared = facts.get("label", {})
    unless = str(declared.get("unless", "")) if asked.target == declared.get("target") else ""
    return Question(
        ref=node.ref,
        target=label_expression(asked.target, unless) if asked.target else None,
        target_name=asked.target,
        target_is_declared=asked.target == declared.get("target"),
        time=asked.time,
        key=tuple(facts.get("key", ())),
        groups=asked.groups,
        reference=reference,
        reference_name=asked.reference,
        known=known,
        hidden=hidden,
        safe=safe,
    )


def _overlap(ws: Workspace, node: Node, test: Node, key: Sequence[str]) -> OverlapView:
    from sampan.data.exploring.rows import unseen_categories, view_overlap

    tables = ws.store.tables
    sizes = (int(node.facts["n_rows"]), int(test.facts["n_rows"]))
    found = view_overlap(tables.scan(node.digest), tables.scan(test.digest), name=test.ref, keys=key, n_rows=sizes)
    return msgspec.structs.replace(found, unseen=unseen_categories(read_profile(ws, node), read_profile(ws, test)))
