"""What each labeled row of a dataset version is worth: computed once for the same content and question, and recorded with the values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.changes import AddEdge, AddNode, Change
from sampan.core.events import Event, new_id
from sampan.core.graph import Node, NodeId
from sampan.errors import ParameterError
from sampan.evaluation.admission.table import numeric_table, read_table, vectors
from sampan.evaluation.admission.value import QuarantineEffect, Values, quarantine_effect, value_rows, value_vectors
from sampan.workspace.data.admission import ByChampion, Question, ask, find_asker, plain_facts

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

KIND: Final = "value"
ROW, VALUE, CLASS, FITS, WRONG = "row", "value", "label", "fits", "wrong"
MIN_ROWS: Final = 60
MOST_ROWS: Final = 200_000
_BINS: Final = 40
_COMPUTED: Final = 2  # raise when the same rows would be valued otherwise


class RowsValued(Event, frozen=True, kw_only=True):
    """The rows of a dataset version were valued; `digest` is the table of values."""

    type: ClassVar[str] = "rows_valued"

    node: NodeId
    name: str
    digest: str
    size: int
    dataset: NodeId
    facts: dict[str, Any]

    def subject(self) -> NodeId:
        """Return the valuation."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the valuation and what it looked at."""
        return (
            AddNode(id=self.node, kind=KIND, name=self.name, digest=self.digest, size=self.size, facts=self.facts),
            AddEdge(dst=self.node, src=self.dataset, role="evaluated_on"),
        )


@dataclass(frozen=True, slots=True)
class Labeled:
    """The labeled rows of a table: their numbers in it, and their labels, codes of `classes` or numbers."""

    rows: NDArray[np.intp]
    labels: NDArray[np.float64]
    classes: tuple[str, ...]
    silent: frozenset[str]
    asked_by: str
    question: Question | None = None

    @property
    def kind(self) -> str:
        """What sort of label it is."""
        return "number" if not self.classes else "two classes" if len(self.classes) == 2 else "classes"

    def written(self, labels: NDArray[np.float64]) -> list[str]:
        """Write labels as a person knows them."""
        return [self.classes[int(one)] if self.classes else f"{one:g}" for one in labels]


def value_dataset(ws: Workspace, node: Node, *, target: str = "", vector: str = "") -> tuple[Node, bool]:
    """Value a version's rows and record it; return the valuation, and whether it was there already.

    Raises
    ------
    ParameterError : nobody said what the label is, it has one class, or there are too few labeled rows.
    """
    asker = None if target else find_asker(ws, node)
    question = asker.model.id if isinstance(asker, ByChampion) else asker.label if asker else target
    key = [_COMPUTED, node.digest, question, vector]

    def make() -> str:
        return _value(ws, node, target, vector)

    found, cached = ws.engine.once("value", key, make)
    return ws.catalog.node(str(found)), cached


def _value(ws: Workspace, node: Node, target: str, vector: str) -> str:
    frame = ws.store.tables.read(node.digest)
    labeled = _by_expression(frame, target) if target else _by_question(ws, node, frame)
    if len(labeled.rows) < MIN_ROWS:
        raise ParameterError(f"{len(labeled.rows)} labeled rows are too few to value", hint=f"give at least {MIN_ROWS}")
    if len(labeled.rows) > MOST_ROWS:
        kept = np.linspace(0, len(labeled.rows) - 1, MOST_ROWS).astype(np.intp)
        labeled = replace(labeled, rows=labeled.rows[kept], labels=labeled.labels[kept])
    column = vector or (_vector_column(frame, labeled) if labeled.classes else "")
    with ws.progress.stage("valuing", total=len(labeled.rows), unit="rows") as stage:
        values, effect = _by_vectors(frame, column, labeled) if column else _by_columns(frame, labeled)
        stage.advance(len(labeled.rows))
    fits = np.array(labeled.written(values.other), dtype=np.object_)
    table = pl.DataFrame(
        {
            ROW: labeled.rows,
            VALUE: values.values.round(6),
            CLASS: labeled.written(labeled.labels),
            FITS: np.where(values.wrong, fits, "").tolist(),
            WRONG: values.wrong,
        }
    ).sort(VALUE, ROW)
    counts, edges = np.histogram(values.values, bins=_BINS)
    version = ws.store.tables.create(table)
    facts = {
        "method": values.method,
        "kind": labeled.kind,
        "vector": column,
        "target": target,
        "asked_by": labeled.asked_by,
        "n_rows": len(labeled.rows),
        "n_wrong": int(values.wrong.sum()),
        "share": values.share,
        "effect": list(effect),
        "edges": edges.round(6).tolist(),
        "counts": counts.tolist(),
    }
    event = RowsValued(
        node=new_id(), name=f"{node.name}.{KIND}", digest=version.digest, size=version.size_bytes, dataset=node.id, facts=plain_facts(facts)
    )
    ws.ledger.append(event)
    return event.node


def _by_columns(frame: pl.DataFrame, labeled: Labeled) -> tuple[Values, tuple[QuarantineEffect, ...]]:
    """Value rows by all columns that say something, and measure what holding rows back does."""
    rng = np.random.default_rng(0)
    question = labeled.question
    if question is not None and question.features is not None:
        features = question.features[labeled.rows]
        table = numeric_table(features, labeled.labels, question.feature_names, n_base=len(features), classes=labeled.classes)
    else:
        raw = frame.select(name for name in frame.columns if name not in labeled.silent)[labeled.rows]
        table = read_table(raw, raw.clear(), labeled.labels, np.zeros(0), classes=labeled.classes)
    if not table.names:
        raise ParameterError("no column says anything that a label could be judged by", hint="name a vector column: --vector COLUMN")
    return value_rows(table, rng), quarantine_effect(table, rng)


def _by_vectors(frame: pl.DataFrame, column: str, labeled: Labeled) -> tuple[Values, tuple[QuarantineEffect, ...]]:
    if column not in frame.columns:
        raise ParameterError(f"there is no column {column!r}", hint="columns: " + ", ".join(frame.columns[:20]))
    matrix = vectors(frame[column]) if frame[column].dtype.is_nested() else None
    if matrix is None:
        raise ParameterError(f"{column!r} holds no vectors of one length", hint="give a column of lists of numbers")
    if not labeled.classes:
        raise ParameterError("neighbors value classes, and the target is a number", hint="leave --vector out, or write a comparison")
    return value_vectors(matrix[labeled.rows], labeled.labels.astype(np.intp), np.random.default_rng(0)), ()


def _by_question(ws: Workspace, node: Node, frame: pl.DataFrame) -> Labeled:
    question = ask(ws, node, frame)
    if question is None:
        hint = f"sampan data label {node.name} --target EXPRESSION, or give --target here"
        raise ParameterError(f"nobody said what the label of {node.name} is, and no champion learned from it", hint=hint)
    rows = np.flatnonzero(question.label.is_not_null().to_numpy())
    return Labeled(rows, question.label[rows].to_numpy(), question.classes, question.silent, question.asked_by, question)


def _by_expression(frame: pl.DataFrame, target: str) -> Labeled:
    """Read a label from an expression: a comparison, a column of up to 50 classes, or a number."""
    from sampan.table.targets import read_target
    from sampan.workspace.data.leaks import read_expression

    expression = read_expression(target)
    label = read_target(frame, expression)
    rows = np.flatnonzero(label.values.is_not_null().to_numpy())
    return Labeled(rows, label.values[rows].to_numpy(), label.classes, frozenset(expression.meta.root_names()), f"the label {target}")


def _vector_column(frame: pl.DataFrame, labeled: Labeled) -> str:
    """Return the table's one column of vectors; '' where there is none or a choice."""
    found = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List | pl.Array) and name not in labeled.silent]
    found = [name for name in found if vectors(frame[name].head(100)) is not None]
    return found[0] if len(found) == 1 else ""
