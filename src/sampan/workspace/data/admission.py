"""A batch judged before it is let in: whether it helps the model that exists, harms it, or a person has to look.

The trusted rows are those the champion learned from and those let in since. The label is the champion's; where no model was promoted yet,
the declared one. Not here: what is done about the verdict, see `batches`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.graph import Node
from sampan.errors import MissingDependency, ParameterError
from sampan.evaluation.admission.evidence import LABEL as BY_LABEL
from sampan.evaluation.admission.evidence import Doubt
from sampan.evaluation.admission.judge import Judgment, judge
from sampan.evaluation.admission.repeats import Repeats, count_repeats
from sampan.evaluation.admission.table import Table, numeric_table, read_table
from sampan.features import view_tables
from sampan.features.fitted import FittedView
from sampan.features.nodes import Column, walk
from sampan.features.view import LABEL, MOMENT, View
from sampan.table.frames import thinned
from sampan.workspace.data.batch_edits import changes_nothing
from sampan.workspace.models.predictors import FEATURES

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

MOST_TRUSTED: Final = 20_000  # more are thinned evenly: limits and models of so many rows are as good
CHAMPION, FACTS = "champion", "admission"
_EARLIER: Final = 50
_MOST_NAMED: Final = 20_000  # suspicious rows
_MOST_DETAILED: Final = 200
_TIMES_TRUSTED: Final = 3  # so many more rows are read, since some have no label
_MOST_COMPARED: Final = 2_000_000  # rows searched for repeats
OTHERS: Final = "any other"
_MOST_CLASSES: Final = 10  # the rarest of more are judged together
_MOST_HELD: Final = 0.5  # of a batch's rows; if more look wrong, the batch is wrong, not its rows
_PLACE: Final = "\0place"
FROM_BATCH: Final = 2**62  # the number of a row that is not in the dataset yet


class Suspect(msgspec.Struct, frozen=True):
    """A row of a batch (from 0) that looks wrong: how much, from 0 to 1; its label and the one to be expected; and what is wrong."""

    row: int
    severity: float
    label: str
    likely: str
    doubts: tuple[Doubt, ...]


class BatchVerdict(msgspec.Struct, frozen=True):
    """The verdict on a batch, with the rows for a person to look at, most suspicious first, and all that was measured."""

    verdict: Literal["helps", "neutral", "suspicious", "harmful", "unknown"]
    reasons: tuple[str, ...]
    suspects: tuple[Suspect, ...] = ()
    facts: dict[str, Any] = {}
    label_columns: tuple[str, ...] = ()  # what the label is computed from
    is_whole: bool = True  # all rows were looked at

    @property
    def alarms(self) -> bool:
        """Say whether a person has to look before the batch is learned from."""
        return self.verdict in ("suspicious", "harmful")

    def holds_all(self, n_rows: int) -> bool:
        """Say whether the batch has to wait as a whole: it harms, not all that looks wrong can be named, or most of it looks wrong."""
        n_named = len(self.suspects)
        all_named = self.is_whole and n_named == self.facts.get("n_suspicious", n_named)
        return self.verdict == "harmful" or not all_named or not 0 < n_named <= _MOST_HELD * n_rows

    @property
    def suspicious_rows(self) -> tuple[int, ...]:
        """The rows that look wrong, most suspicious first."""
        return tuple(suspect.row for suspect in self.suspects)

    def of_places(self, places: NDArray[np.intp]) -> BatchVerdict:
        """Name the rows by their places in a larger batch, `places[row]`."""
        moved = tuple(msgspec.structs.replace(suspect, row=int(places[suspect.row])) for suspect in self.suspects)
        facts = {**self.facts, "rows": [suspect.row for suspect in moved[:_MOST_DETAILED]]} if moved else self.facts
        return msgspec.structs.replace(self, suspects=moved, facts=facts)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a dataset's rows: their label and moment, what a model sees of them, and which columns say nothing of the label."""

    label: pl.Series  # of the trusted version's rows, then the batch's; null = none
    moments: NDArray[np.int64] | None
    features: NDArray[np.float32] | None
    feature_names: tuple[str, ...]
    silent: frozenset[str]  # what the label is computed from, and what names rows
    key: frozenset[str]  # what names rows
    label_columns: tuple[str, ...]  # what the label is computed from
    trusted: NDArray[np.bool_]
    classes: tuple[str, ...]  # by code of the label; () where it is a number
    asked_by: str  # the champion, or the declared label


def judge_batch(ws: Workspace, dataset: Node, batch: pl.DataFrame) -> BatchVerdict | None:
    """Judge a batch for a dataset; None where nobody said what its label is and no champion learned from it.

    Rows that leave the dataset as it is are not judged; those that replace others are, beside the rows that stay. Columns that the
    dataset does not have yet say nothing: no row before can be held against them.

    Parameters
    ----------
    dataset : the version that the batch would be added to
    batch : its rows, columns named as the dataset's
    """
    asker = find_asker(ws, dataset)
    if asker is None:
        return None
    key, time = _identity(ws, dataset, batch)
    idle = changes_nothing(ws.store.tables, ws.store.tables.info(dataset.digest), batch, key, time)
    if batch.height and idle.all():
        return BatchVerdict("neutral", ("all its rows are there already, so that nothing changes",))
    found = _judge_rows(ws, dataset, asker, batch.filter(~idle), key)
    if not idle.any():
        return found
    said = f"{int(idle.sum()):,} of {batch.height:,} rows are there already or came late; they change nothing and were not judged"
    return msgspec.structs.replace(found.of_places(np.flatnonzero(~idle.to_numpy())), reasons=(*found.reasons, said))


def _judge_rows(ws: Workspace, dataset: Node, asker: Asker, batch: pl.DataFrame, key: list[str]) -> BatchVerdict:
    before, numbers = _read_before(ws, dataset, asker)
    if key:
        stay = before.with_row_index(_PLACE).join(batch.select(key), on=key, how="anti", nulls_equal=True, maintain_order="left")[_PLACE]
        before, numbers = before[stay], numbers[stay.to_numpy()]
    whole = pl.concat([before, batch.select(name for name in batch.columns if name in before.columns)], how="diagonal_relaxed")
    try:
        question = asker.ask(ws, dataset, whole, np.concatenate([numbers, np.full(batch.height, FROM_BATCH)]))
        found, rows = _judge(ws, dataset, question, whole, before.height)
    except MissingDependency as missing:
        return BatchVerdict("unknown", (f"it cannot be judged: {missing.message} ({missing.hint})",))
    except ParameterError as fault:  # the label cannot be computed: that is said, and is no reason to refuse the rows
        return BatchVerdict("unknown", (f"it cannot be judged: {fault.message}",))
    return _verdict(found, rows, question)


def _identity(ws: Workspace, dataset: Node, batch: pl.DataFrame) -> tuple[list[str], str]:
    """Return the dataset's key, where the batch has it as the dataset does, and its time."""
    schema, facts = ws.store.tables.schema(dataset.digest), ws.catalog.asset("dataset", dataset.name).facts
    key = [str(name) for name in facts.get("key", ())]
    same = batch.schema.items() <= schema.items() if key else False
    return (key, str(facts.get("time", ""))) if same and set(key) <= set(batch.columns) else ([], "")


def _read_before(ws: Workspace, dataset: Node, asker: Asker) -> tuple[pl.DataFrame, NDArray[np.intp]]:
    """Read the rows before the batch, evenly thinned where a row's features do not depend on others; with their numbers."""
    n_rows = int(dataset.facts["n_rows"])
    step = 1 if asker.needs_all_rows else max(1, n_rows // (_TIMES_TRUSTED * MOST_TRUSTED))
    frame = thinned(ws.store.tables.scan(dataset.digest), step)
    return frame, np.arange(0, n_rows, step)[: frame.height]


def _judge(ws: Workspace, dataset: Node, question: Question, whole: pl.DataFrame, n_before: int) -> tuple[Judgment, NDArray[np.intp]]:
    """Judge the rows from `n_before` on; return with the judgment the batch's rows that have a label, in its order."""
    labeled = question.label.is_not_null().to_numpy()
    here = np.arange(whole.height)
    trusted = here[labeled & question.trusted & (here < n_before)]
    if question.moments is not None:
        trusted = trusted[np.argsort(question.moments[trusted], kind="stable")]
    if len(trusted) > MOST_TRUSTED:
        trusted = trusted[np.linspace(0, len(trusted) - 1, MOST_TRUSTED).astype(np.intp)]
    arriving = here[labeled & (here >= n_before)]
    raw = whole.select(name for name in whole.columns if name not in question.silent)
    labels = question.label
    before, now, classes = few_classes(labels[trusted].to_numpy(), labels[arriving].to_numpy(), question.classes)
    table = read_table(raw[trusted], raw[arriving], before, now, classes=classes)
    judgment = judge(
        table,
        np.random.default_rng(0),
        moments=None if question.moments is None else question.moments[trusted],
        earlier=earlier_figures(ws, dataset.name),
        learns=_learned(question, table, np.concatenate([trusted, arriving])),
        repeats=_repeats(ws, dataset, question, whole[arriving]),
    )
    return judgment, arriving - n_before


def few_classes(
    before: NDArray[np.float64], now: NDArray[np.float64], names: tuple[str, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]:
    """Put the rarest classes together where there are many: a model grows a tree for each."""
    if len(names) <= _MOST_CLASSES:
        return before, now, names
    order = np.argsort(-np.bincount(before.astype(np.intp), minlength=len(names)), kind="stable")
    kept = np.sort(order[: _MOST_CLASSES - 1])
    codes = np.full(len(names), float(_MOST_CLASSES - 1))
    codes[kept] = np.arange(len(kept))
    return codes[before.astype(np.intp)], codes[now.astype(np.intp)], (*(names[at] for at in kept), OTHERS)


def _repeats(ws: Workspace, dataset: Node, question: Question, arriving: pl.DataFrame) -> tuple[Repeats, NDArray[np.bool_]] | None:
    """Find rows that are there already, in all columns but the key; the newest millions of rows are searched."""
    schema = ws.store.tables.schema(dataset.digest)
    columns = [name for name in schema if name not in question.key and not schema[name].is_nested()]
    n_rows = int(dataset.facts["n_rows"])
    newest = ws.store.tables.scan(dataset.digest).slice(max(n_rows - _MOST_COMPARED, 0))
    row = pl.struct(columns).hash(seed=0)
    before = newest.select(row).collect(engine="streaming").to_series().to_numpy()
    n_newest = min(len(before) // 6, max(arriving.height, 1))
    if not columns or not n_newest or not arriving.height:
        return None
    same_types = arriving.select(pl.col(name).cast(schema[name], strict=False) for name in columns)
    now = same_types.select(row).to_series().to_numpy()
    return count_repeats(before, now, np.arange(len(before) - n_newest, len(before)))


def ask(ws: Workspace, dataset: Node, whole: pl.DataFrame) -> Question | None:
    """Find out what is asked of all rows of a dataset version; None where nothing is."""
    asker = find_asker(ws, dataset)
    return asker.ask(ws, dataset, whole, np.arange(whole.height)) if asker else None


@dataclass(frozen=True, slots=True)
class ByChampion:
    """The champion asks: its view has the label, the moment and the features."""

    model: Node
    fitted: FittedView

    @property
    def needs_all_rows(self) -> bool:
        """Say whether a row's features look at other rows."""
        return bool(self.fitted.view.event_columns())

    def ask(self, ws: Workspace, dataset: Node, whole: pl.DataFrame, numbers: NDArray[np.intp]) -> Question:
        """Compute what the champion sees of each row."""
        from sampan.table.targets import target_of

        view = self.fitted.view
        tables: dict[str, pl.DataFrame | pl.LazyFrame] = {view.on: whole}
        for name in view.tables:
            tables[name] = ws.store.tables.scan(ws.catalog.resolve(name, kind="dataset").digest)
        frame = view_tables.batch(view, tables)
        moments = frame[MOMENT].fill_null(frame[MOMENT].max()).to_numpy()
        since = _rows_learned_from(ws, dataset, self.model)
        return Question(
            label=(target := target_of(frame[LABEL])).values,
            classes=target.classes,
            moments=moments,
            features=self.fitted.matrix(frame),
            feature_names=self.fitted.names,
            silent=frozenset(_label_columns(view)) | frozenset(view.key),
            key=frozenset(view.key),
            label_columns=tuple(sorted(_label_columns(view))),
            trusted=np.asarray((moments < self.model.facts["until"]) | (numbers >= since)),
            asked_by=self.model.ref,
        )


@dataclass(frozen=True, slots=True)
class ByLabel:
    """The dataset's declared label asks; a row is all of its other columns."""

    label: Mapping[str, Any]
    facts: Mapping[str, Any]

    @property
    def needs_all_rows(self) -> bool:
        """Return False: a row stands for itself."""
        return False

    def ask(self, ws: Workspace, dataset: Node, whole: pl.DataFrame, numbers: NDArray[np.intp]) -> Question:
        """Compute each row's label.

        Raises
        ------
        ParameterError : it cannot be computed, or all rows have one.
        """
        del ws, dataset, numbers
        from sampan.table.targets import read_target
        from sampan.workspace.data.leaks import label_expression

        expression = label_expression(str(self.label["target"]), str(self.label.get("unless") or ""))
        moments = None
        if (time := self.facts.get("time")) and time in whole.columns:
            moments = whole[time].cast(pl.Datetime("ms")).to_physical().fill_null(strategy="max").to_numpy()
        key = frozenset(self.facts.get("key") or ())
        return Question(
            label=(target := read_target(whole, expression)).values,
            classes=target.classes,
            moments=moments,
            features=None,
            feature_names=(),
            silent=frozenset(expression.meta.root_names()) | key,
            key=key,
            label_columns=tuple(sorted(expression.meta.root_names())),
            trusted=np.ones(whole.height, dtype=np.bool_),
            asked_by=f"the label {self.label['target']}",
        )


Asker = ByChampion | ByLabel


def find_asker(ws: Workspace, dataset: Node) -> Asker | None:
    """Find who asks something of a dataset's rows: its champion, else its declared label."""
    champion = champion_of(ws, dataset)
    if champion is not None:
        return champion
    facts = ws.catalog.asset("dataset", dataset.name).facts
    return ByLabel(facts["label"], facts) if facts.get("label") else None


def champion_of(ws: Workspace, dataset: Node) -> ByChampion | None:
    """Return the champion that asks for labels of this dataset's rows; the newest, where there are several."""
    found = []
    for asset in ws.catalog.assets("model"):
        champion = ws.catalog.aliases("model", asset.name).get(CHAMPION)
        files = {artifact.path: artifact.digest for artifact in ws.catalog.artifacts(champion)} if champion else {}
        if champion and FEATURES in files:
            fitted = FittedView.from_json(ws.store.blobs.read(files[FEATURES]))
            if fitted.view.on == dataset.name and fitted.view.label is not None:
                found.append(ByChampion(ws.catalog.node(champion), fitted))
    return max(found, key=lambda one: one.model.seq, default=None)


def earlier_figures(ws: Workspace, name: str) -> tuple[Mapping[str, float], ...]:
    """Return what was measured of earlier batches of a dataset that were let in, newest first: limits are learned from it."""
    batches = ws.catalog.nodes(kind="batch", name=f"{name}.batch", state="admitted", limit=_EARLIER)
    said = (batch.facts.get(FACTS, {}) for batch in batches)
    return tuple(one["figures"] for one in said if one.get("verdict") in ("helps", "neutral") and one.get("figures"))


def _rows_learned_from(ws: Workspace, dataset: Node, champion: Node) -> int:
    """Return how many rows the version had that the champion learned from: those after it were let in since."""
    inputs = (ws.catalog.node(edge.src) for edge in ws.catalog.edges_to(champion.id) if edge.role == "trained_on")
    version = next((node for node in inputs if node.kind == "dataset" and node.name == dataset.name), dataset)
    return int(version.facts["n_rows"])


def _label_columns(view: View) -> set[str]:
    assert view.label is not None  # the caller looked
    return {node.name for node in walk(view.label.value) if isinstance(node, Column)}


def _learned(question: Question, table: Table, rows: NDArray[np.intp]) -> Table | None:
    """Return the table as the champion sees it; None where it is not known how one would."""
    if question.features is None:
        return None
    return numeric_table(question.features[rows], table.labels, question.feature_names, n_base=table.n_base, classes=table.classes)


def _verdict(found: Judgment, rows: NDArray[np.intp], question: Question) -> BatchVerdict:
    suspects = tuple(_suspects(found, rows, question.classes))
    most = suspects[:_MOST_DETAILED]
    in_order = np.sort([suspect.row for suspect in suspects])
    facts = {
        "asked_by": question.asked_by,
        "timed": question.moments is not None,
        "surprise": [round(one.severity, 4) for one in most],
        "causes": [[doubt.cause for doubt in one.doubts] for one in most],
        "given": [one.label for one in most],
        "likely": [one.likely for one in most],
        "rows": [one.row for one in most],
        "places": np.searchsorted(in_order, [one.row for one in most]).tolist(),  # among all suspicious rows, in the batch's order
        "n_labeled": len(rows),
        "n_suspicious": int(found.suspicious.sum()),
        "figures": found.figures,
        "labels": found.labels,
        "odd_classes": found.odd_classes[:10],
        "slices": found.slices[:10],
        "triggers": found.triggers[:10],
        "misfits": found.misfits,
        "piles": found.piles[:10],
        "gaps": found.gaps[:10],
        "novelty": found.novelty,
        "repeats": found.repeats,
        "effect": found.effect,
    }
    return BatchVerdict(found.verdict, found.reasons, suspects, plain_facts(facts), question.label_columns)


def _suspects(found: Judgment, rows: NDArray[np.intp], classes: tuple[str, ...]) -> Iterator[Suspect]:
    order = np.argsort(-found.evidence.severity, kind="stable")
    for at in order[found.suspicious[order]][:_MOST_NAMED].tolist():
        given, likely = found.given[at], found.likely[at]
        said = f"; {likely} fits better" if classes and likely != given else ""
        doubts = tuple(Doubt(cause, why + said * (cause == BY_LABEL)) for cause, why in found.evidence.doubts(at))
        yield Suspect(int(rows[at]), float(found.evidence.severity[at]), given, likely, doubts)


def plain_facts(value: Any) -> Any:
    """Make what was found JSON-able: figures that no number exists for become null."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        return {key: plain_facts(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_facts(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value
