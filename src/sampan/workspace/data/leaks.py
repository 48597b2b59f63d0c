"""Columns that must stay out of a model: judged once for a dataset version and label rule, and recorded beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from shlex import quote
from typing import TYPE_CHECKING, Any

import msgspec

from sampan.core.decoding import read_builtins
from sampan.core.events import new_id
from sampan.core.graph import Node
from sampan.errors import ParameterError, UsageError
from sampan.workspace.data.answers import LeakLine, Leaks
from sampan.workspace.data.events import LeaksFound

if TYPE_CHECKING:
    import polars as pl

    from sampan.workspace.workspace import Workspace

KIND = "leakage"
_JUDGING = 2  # raise when the same inputs would give another outcome


def judge_leaks(ws: Workspace, node: Node, *, target: str, moment: str, known: Mapping[str, str]) -> Leaks:
    """Find the columns that give a dataset version's label away, and record them with their evidence.

    Parameters
    ----------
    target : the label as an expression; "" = the declared one
    moment : the column of the moment of prediction; "" = the dataset's time
    known : when a column is known, as the contract says

    Raises
    ------
    UsageError : no target is given and none is declared.
    """
    facts = ws.catalog.asset("dataset", node.name).facts
    label = facts.get("label", {})
    rule = {"target": target or label.get("target", ""), "unless": "" if target else label.get("unless", "")}
    if not rule["target"]:
        raise UsageError(
            f"{node.name} has no declared label",
            hint=f"say --target 'COLUMN >= 15', or declare it once: sampan data label {quote(node.name)} --target …",
        )
    by = {**rule, "moment": moment or str(facts.get("time", "")), "known": dict(known)}
    recorded, _ = ws.engine.once("leaks", [_JUDGING, node.id, by], lambda: _record(ws, node, by))
    return as_answer(ws.catalog.node(recorded), node)


def newest_leaks(ws: Workspace, node: Node) -> Leaks | None:
    """Return what was last found in a dataset version; None where nobody looked."""
    found = [ws.catalog.node(edge.dst) for edge in ws.catalog.edges_from(node.id) if edge.role == "evaluated_on"]
    newest = max((one for one in found if one.kind == KIND), key=lambda one: one.seq, default=None)
    return as_answer(newest, node) if newest else None


def as_answer(found: Node, node: Node) -> Leaks:
    """Return a recorded finding as the room answers it."""
    facts = found.facts
    leaks = read_builtins(facts["leaks"], tuple[LeakLine, ...])
    out = {leak.column for leak in leaks}
    return Leaks(
        ref=node.ref,
        target=facts["target"],
        moment=facts["moment"],
        n_rows=facts["n_rows"],
        n_labelled=facts["n_labelled"],
        leaks=leaks,
        kept=tuple(name for name in node.facts["columns"] if name not in out),
        aucs=facts["aucs"],
        found=found.ref,
        next=(f"sampan data show {quote(node.ref)}",),
    )


def label_expression(target: str, unless: str) -> pl.Expr:
    """Return the label: `target`, and none where `unless` holds."""
    import polars as pl

    label = read_expression(target)
    return pl.when(~read_expression(unless).fill_null(value=False)).then(label) if unless else label


def as_expression(text: str, columns: Collection[str]) -> str:
    """Write a column's plain name as an expression has it: with quotes where it has blanks, or is a word of SQL."""
    import polars as pl

    if text not in columns:
        return text
    with suppress(pl.exceptions.PolarsError):
        if pl.sql_expr(text).meta.root_names() == [text]:
            return text
    return '"{}"'.format(text.replace('"', '""'))


def read_expression(text: str | pl.Expr) -> pl.Expr:
    """Read an expression over a table's columns, such as `arr_delay >= 15`; one of Polars' is taken as it is. Raises ParameterError."""
    import polars as pl

    if isinstance(text, pl.Expr):
        return text
    try:
        return pl.sql_expr(text)
    except pl.exceptions.PolarsError as cause:
        raise ParameterError(f"{text!r} is no expression: {str(cause).splitlines()[0]}", hint="write e.g. arr_delay >= 15") from cause


def _record(ws: Workspace, node: Node, by: Mapping[str, Any]) -> str:
    from sampan.data.leakage import find_leaks

    with ws.progress.stage("looking for leaks", total=len(node.facts["columns"]), unit="columns") as stage:
        frame = ws.store.tables.read(node.digest)
        report = find_leaks(frame, label_expression(by["target"], by["unless"]), moment=by["moment"], known=by["known"])
        stage.advance(len(node.facts["columns"]))
    event = LeaksFound(node=new_id(), name=f"{node.name}.leakage", dataset=node.id, facts={**by, **msgspec.to_builtins(report)})
    ws.ledger.append(event)
    return event.node
