"""A batch judged before it is let in: whether it helps the model that exists, harms it, or a person has to look.

The trusted rows are those the champion learned from and those let in since. The label is the champion's; where no model was promoted yet,
the declared one. Not here: what is done about the verdict, see `batches`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.graph import Node
from sampan.errors import MissingDependency
from sampan.evaluation.admission.judge import Judgment, judge
from sampan.evaluation.admission.table import Table, numeric_table, read_table
from sampan.features.fitted import FittedView
from sampan.features.nodes import Column, walk
from sampan.features.view import LABEL, MOMENT, View
from sampan.workspace.predictors import FEATURES

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

MOST_TRUSTED: Final = 30_000  # more are thinned evenly: limits and models of so many rows are as good
CHAMPION, FACTS = "champion", "admission"
_EARLIER: Final = 50
_MOST_NAMED: Final = 20_000  # suspicious rows
_MOST_DETAILED: Final = 200
_ROW: Final = "__row"


class BatchVerdict(msgspec.Struct, frozen=True):
    """The verdict on a batch, with rows of it (from 0) for a person to look at, and all that was measured."""

    verdict: Literal["helps", "neutral", "suspicious", "harmful", "unknown"]
    reasons: tuple[str, ...]
    suspicious_rows: tuple[int, ...] = ()  # most suspicious first
    facts: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a dataset's rows: their label and moment, what a model sees of them, and which columns say nothing of the label."""

    label: pl.Series  # of the trusted version's rows, then the batch's; null = none
    moments: NDArray[np.int64] | None
    features: NDArray[np.float32] | None
    feature_names: tuple[str, ...]
    silent: frozenset[str]  # what the label is computed from, and what names rows
    trusted: NDArray[np.bool_]
    asked_by: str  # the champion, or the declared label


def judge_batch(ws: Workspace, dataset: Node, batch: pl.DataFrame) -> BatchVerdict | None:
    """Judge a batch for a dataset; None where nobody said what its label is and no champion learned from it.

    Parameters
    ----------
    dataset : the version that the batch would be added to
    batch : its rows, columns named as the dataset's
    """
    whole = pl.concat([ws.store.tables.read(dataset.digest), batch], how="diagonal_relaxed")
    question = ask(ws, dataset, whole)
    if question is None:
        return None
    try:
        found, rows = judge_rows(question, whole, whole.height - batch.height, earlier=earlier_figures(ws, dataset.name))
    except MissingDependency as missing:
        return BatchVerdict("unknown", (f"it cannot be judged: {missing.message} ({missing.hint})",))
    return _verdict(found, rows, question)


def judge_rows(
    question: Question, whole: pl.DataFrame, n_before: int, *, earlier: tuple[Mapping[str, float], ...] = ()
) -> tuple[Judgment, NDArray[np.intp]]:
    """Judge the rows from `n_before` on; return with the judgment the batch's rows that have a label, in its order."""
    rng = np.random.default_rng(0)
    labeled = question.label.is_not_null().to_numpy()
    here = np.arange(whole.height)
    trusted = here[labeled & question.trusted & (here < n_before)]
    if question.moments is not None:
        trusted = trusted[np.argsort(question.moments[trusted], kind="stable")]
    if len(trusted) > MOST_TRUSTED:
        trusted = trusted[np.linspace(0, len(trusted) - 1, MOST_TRUSTED).astype(np.intp)]
    arriving = here[labeled & (here >= n_before)]
    raw = whole.select(name for name in whole.columns if name not in question.silent)
    labels = question.label.cast(pl.Float64)
    table = read_table(raw[trusted], raw[arriving], labels[trusted].to_numpy(), labels[arriving].to_numpy())
    moments = None if question.moments is None else question.moments[trusted]
    learns = _learned(question, table, np.concatenate([trusted, arriving]))
    return judge(table, rng, moments=moments, earlier=earlier, learns=learns), arriving - n_before


def ask(ws: Workspace, dataset: Node, whole: pl.DataFrame) -> Question | None:
    """Find out what is asked of a dataset's rows: by its champion, else by its declared label; None where by neither."""
    champion = champion_of(ws, dataset)
    if champion is not None:
        return _asked_by_champion(ws, dataset, champion, whole)
    facts = ws.catalog.asset("dataset", dataset.name).facts
    label = facts.get("label")
    return _asked_by_label(label, facts, whole) if label else None


def champion_of(ws: Workspace, dataset: Node) -> Node | None:
    """Return the champion whose rows are this dataset's; the newest, where several models are trained on it."""
    found = []
    for asset in ws.catalog.assets("model"):
        champion = ws.catalog.aliases("model", asset.name).get(CHAMPION)
        if champion is not None:
            node = ws.catalog.node(champion)
            if FEATURES in {artifact.path for artifact in ws.catalog.artifacts(champion)} and _fitted(ws, node).view.on == dataset.name:
                found.append(node)
    return max(found, key=lambda node: node.seq, default=None)


def earlier_figures(ws: Workspace, name: str) -> tuple[Mapping[str, float], ...]:
    """Return what was measured of earlier batches of a dataset that were let in, newest first: limits are learned from it."""
    batches = ws.catalog.nodes(kind="batch", name=f"{name}.batch", state="admitted", limit=_EARLIER)
    found = [batch.facts.get(FACTS, {}).get("figures") for batch in batches]
    return tuple(figures for figures in found if figures)


def _fitted(ws: Workspace, model: Node) -> FittedView:
    files = {artifact.path: artifact.digest for artifact in ws.catalog.artifacts(model.id)}
    return FittedView.from_json(ws.store.blobs.read(files[FEATURES]))


def _asked_by_champion(ws: Workspace, dataset: Node, champion: Node, whole: pl.DataFrame) -> Question | None:
    fitted = _fitted(ws, champion)
    view = fitted.view
    if view.label is None:
        return None
    tables: dict[str, pl.DataFrame | pl.LazyFrame] = {view.on: whole}
    for name in view.tables:
        tables[name] = ws.store.tables.scan(ws.catalog.resolve(name, kind="dataset").digest)
    frame = view.batch(tables)
    moments = frame[MOMENT].fill_null(frame[MOMENT].max()).to_numpy()
    learned_rows = _rows_learned_from(ws, dataset, champion)
    trusted = (moments < champion.facts["until"]) | (np.arange(whole.height) >= learned_rows)
    return Question(
        label=frame[LABEL],
        moments=moments,
        features=fitted.matrix(frame),
        feature_names=fitted.names,
        silent=frozenset(_label_columns(view)) | frozenset(view.key),
        trusted=np.asarray(trusted),
        asked_by=champion.ref,
    )


def _rows_learned_from(ws: Workspace, dataset: Node, champion: Node) -> int:
    """Return how many rows the version had that the champion learned from: those after it were let in since."""
    inputs = (ws.catalog.node(edge.src) for edge in ws.catalog.edges_to(champion.id) if edge.role == "trained_on")
    version = next((node for node in inputs if node.kind == "dataset" and node.name == dataset.name), dataset)
    return int(version.facts["n_rows"])


def _label_columns(view: View) -> set[str]:
    assert view.label is not None  # the caller looked
    return {node.name for node in walk(view.label.value) if isinstance(node, Column)}


def _asked_by_label(label: Mapping[str, Any], facts: Mapping[str, Any], whole: pl.DataFrame) -> Question:
    from sampan.data.leakage import compute_label
    from sampan.workspace.data_leaks import label_expression

    expression = label_expression(str(label["target"]), str(label.get("unless") or ""))
    moments = None
    if (time := facts.get("time")) and time in whole.columns:
        moments = whole[time].cast(pl.Datetime("ms")).to_physical().fill_null(strategy="max").to_numpy()
    return Question(
        label=compute_label(whole, expression),
        moments=moments,
        features=None,
        feature_names=(),
        silent=frozenset(expression.meta.root_names()) | frozenset(facts.get("key") or ()),
        trusted=np.ones(whole.height, dtype=np.bool_),
        asked_by=f"the label {label['target']}",
    )


def _learned(question: Question, table: Table, rows: NDArray[np.intp]) -> Table | None:
    """Return the table as the champion sees it; None where it is not known how one would."""
    if question.features is None:
        return None
    return numeric_table(question.features[rows], table.labels, question.feature_names, n_base=table.n_base)


def _verdict(found: Judgment, rows: NDArray[np.intp], question: Question) -> BatchVerdict:
    order = np.argsort(-found.surprise, kind="stable")
    suspicious = rows[order[found.suspicious[order]]][:_MOST_NAMED]
    most = order[found.suspicious[order]][:_MOST_DETAILED]
    facts = {
        "asked_by": question.asked_by,
        "surprise": found.surprise[most].round(4).tolist(),
        "given": [f"{label:g}" for label in found.given[most]],
        "n_labeled": len(rows),
        "n_suspicious": int(found.suspicious.sum()),
        "figures": found.figures,
        "labels": found.labels,
        "slices": found.slices[:10],
        "triggers": found.triggers[:10],
        "novelty": found.novelty,
        "repeats": found.repeats,
        "effect": found.effect,
    }
    return BatchVerdict(found.verdict, found.reasons, tuple(int(row) for row in suspicious), plain_facts(facts))


def plain_facts(value: Any) -> Any:
    """Make what was found JSON-able: figures that no number exists for become null."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        return {key: plain_facts(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_facts(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value
