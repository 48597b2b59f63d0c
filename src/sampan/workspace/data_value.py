"""What each labeled row of a dataset version is worth: computed once for the same content and question, and recorded with the values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.changes import AddEdge, AddNode, Change
from sampan.core.events import Event, new_id
from sampan.core.graph import Node, NodeId
from sampan.errors import ParameterError
from sampan.evaluation.admission.table import numeric_table, read_table, vectors
from sampan.evaluation.admission.value import Values, quarantine_effect, value_rows, value_vectors
from sampan.evaluation.noise import wrong_label_share
from sampan.stats.bootstrap import Estimate
from sampan.workspace.admission import ByChampion, Question, ask, find_asker, plain_facts

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

KIND: Final = "value"
ROW, VALUE, CLASS, FITS, WRONG = "row", "value", "label", "fits", "wrong"
MIN_ROWS: Final = 60
MOST_CLASSES: Final = 50
MOST_ROWS: Final = 200_000
_BINS: Final = 40
_COMPUTED: Final = 1  # raise when the same rows would be valued otherwise


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
    """The labeled rows of a table: their numbers in it, and their class among `names`."""

    rows: NDArray[np.intp]
    classes: NDArray[np.intp]
    names: tuple[str, ...]
    silent: frozenset[str]
    asked_by: str
    question: Question | None = None


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
        labeled = Labeled(labeled.rows[kept], labeled.classes[kept], labeled.names, labeled.silent, labeled.asked_by, labeled.question)
    column = vector or _vector_column(frame, labeled)
    with ws.progress.stage("valuing", total=len(labeled.rows), unit="rows") as stage:
        values, facts = _by_vectors(frame, column, labeled) if column else _by_columns(frame, labeled)
        stage.advance(len(labeled.rows))
    names = np.array(labeled.names)
    table = pl.DataFrame(
        {
            ROW: labeled.rows,
            VALUE: values.values.round(6),
            CLASS: names[labeled.classes],
            FITS: np.where(values.wrong, names[values.other], ""),
            WRONG: values.wrong,
        }
    ).sort(VALUE, ROW)
    counts, edges = np.histogram(values.values, bins=_BINS)
    version = ws.store.tables.create(table)
    facts |= {
        "method": values.method,
        "vector": column,
        "target": target,
        "asked_by": labeled.asked_by,
        "n_rows": len(labeled.rows),
        "n_wrong": int(values.wrong.sum()),
        "edges": edges.round(6).tolist(),
        "counts": counts.tolist(),
    }
    event = RowsValued(
        node=new_id(), name=f"{node.name}.{KIND}", digest=version.digest, size=version.size_bytes, dataset=node.id, facts=plain_facts(facts)
    )
    ws.ledger.append(event)
    return event.node


def _by_columns(frame: pl.DataFrame, labeled: Labeled) -> tuple[Values, dict[str, Any]]:
    """Value rows by all columns that say something; the effect of holding rows back is measured for two classes."""
    rng = np.random.default_rng(0)
    raw = frame.select(name for name in frame.columns if name not in labeled.silent)[labeled.rows]
    labels = (labeled.classes == 1).astype(np.float64)
    table = read_table(raw, raw.clear(), labels, np.zeros(0))
    features = labeled.question.features if labeled.question is not None else None
    if features is not None and labeled.question is not None:
        table = numeric_table(features[labeled.rows], labels, labeled.question.feature_names, n_base=len(labels))
    if not table.names:
        raise ParameterError("no column says anything that a label could be judged by", hint="name a vector column: --vector COLUMN")
    values = value_rows(table.matrix, labeled.classes, [*table.categories], rng)
    if len(labeled.names) > 2:
        return values, {"share": Estimate(float(values.wrong.mean())), "effect": []}
    chances = np.where(labeled.classes == 1, (values.values + 1) / 2, (1 - values.values) / 2)
    effect = quarantine_effect(table.matrix, labeled.classes, [*table.categories], rng)
    return values, {"share": wrong_label_share(labels, chances), "effect": list(effect)}


def _by_vectors(frame: pl.DataFrame, column: str, labeled: Labeled) -> tuple[Values, dict[str, Any]]:
    if column not in frame.columns:
        raise ParameterError(f"there is no column {column!r}", hint="columns: " + ", ".join(frame.columns[:20]))
    matrix = vectors(frame[column]) if frame[column].dtype.is_nested() else None
    if matrix is None:
        raise ParameterError(f"{column!r} holds no vectors of one length", hint="give a column of lists of numbers")
    values = value_vectors(matrix[labeled.rows], labeled.classes, np.random.default_rng(0))
    return values, {"share": Estimate(float(values.wrong.mean())), "effect": []}


def _by_question(ws: Workspace, node: Node, frame: pl.DataFrame) -> Labeled:
    question = ask(ws, node, frame)
    if question is None:
        hint = f"sampan data label {node.name} --target EXPRESSION, or give --target here"
        raise ParameterError(f"nobody said what the label of {node.name} is, and no champion learned from it", hint=hint)
    labels = question.label.cast(pl.Float64)
    rows = np.flatnonzero(labels.is_not_null().to_numpy())
    return Labeled(rows, labels[rows].to_numpy().astype(np.intp), ("0", "1"), question.silent, question.asked_by, question)


def _by_expression(frame: pl.DataFrame, target: str) -> Labeled:
    """Read a label from an expression: a comparison, or a column of up to 50 classes."""
    from sampan.data.leakage import compute_label
    from sampan.workspace.data_leaks import read_expression

    expression = read_expression(target)
    silent = frozenset(expression.meta.root_names())
    said = frame[target] if target in frame.columns else None
    if said is not None and not said.dtype.is_float() and 2 < said.n_unique() <= MOST_CLASSES:
        names = said.cast(pl.String).drop_nulls().unique().sort()
        codes = said.cast(pl.String).replace_strict(names, pl.Series(range(len(names)), dtype=pl.Int64), default=None)
        rows = np.flatnonzero(codes.is_not_null().to_numpy())
        return Labeled(rows, codes[rows].to_numpy().astype(np.intp), tuple(names), silent, f"the label {target}")
    label = compute_label(frame, expression)
    rows = np.flatnonzero(label.is_not_null().to_numpy())
    return Labeled(rows, label[rows].cast(pl.Int64).to_numpy().astype(np.intp), ("0", "1"), silent, f"the label {target}")


def _vector_column(frame: pl.DataFrame, labeled: Labeled) -> str:
    """Return the table's one column of vectors; '' where there is none or a choice."""
    found = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List | pl.Array) and name not in labeled.silent]
    found = [name for name in found if vectors(frame[name].head(100)) is not None]
    return found[0] if len(found) == 1 else ""
