"""Which of the features that could be made from a view's declared columns help: chosen on the rows before the test span, and kept.

A candidate is taken where shuffling it makes a plain boosting model worse on every later span of the search, by more than it does for
columns of noise. All of them together must then make the training function itself better on the mean of the spans; else none is taken. The
limits (5 columns of noise, 3 shuffles, 60 rounds) were set on generated data and held on the tests' other draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.core.decoding import read_builtins
from sampan.evaluation.metrics import Answered, point
from sampan.evaluation.task import Kind
from sampan.features.generation import candidates, with_features
from sampan.features.view import View
from sampan.plugins import require
from sampan.tuning.folds import rolling_origin
from sampan.tuning.spaces import first_values
from sampan.workspace.training.feature_tables import LabeledRows, feature_table
from sampan.workspace.training.fitting import Prepared, check_rows, fold_scores, over_classes, prepare
from sampan.workspace.training.trials import fold_figure

if TYPE_CHECKING:
    from sampan.workspace.training.orders import Order
    from sampan.workspace.workspace import Workspace

_MOST_ROWS: Final = 50_000  # of each side of a span: enough to tell help from noise
_N_NOISE: Final = 5
_N_SHUFFLES: Final = 3
_SETTINGS: Final = {
    "num_leaves": 15,
    "learning_rate": 0.1,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.7,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
_OBJECTIVES: Final[dict[Kind, str]] = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}
_ROUNDS: Final = 60


@dataclass(frozen=True, slots=True)
class Generated:
    """The view to train with, and what was seen on the way."""

    view: View
    added: tuple[str, ...]
    n_candidates: int
    loss_without: float
    loss_with: float


def generate(ws: Workspace, order: Order, most: int) -> Generated:
    """Return the order's view with at most so many features more; found once for the same data, view and code."""
    key = {"training": order.key, "most": most}

    def make() -> dict[str, Any]:
        return msgspec.to_builtins(_choose(ws, order, most))  # type: ignore[no-any-return]  # a dict, as of every dataclass

    found, _ = ws.engine.once("generate", key, make)
    return read_builtins(found, Generated)


def _choose(ws: Workspace, order: Order, most: int) -> Generated:
    view, made = order.trainer.view, candidates(order.trainer.view, by_label=order.task.kind != "multiclass")
    wide = with_features(view, made)
    rows = _rows(ws, order, wide)
    check_rows(order, rows)
    search = rolling_origin(rows.moments, rows.known_at).search
    with ws.progress.stage(f"Choose among {len(made)} features made from the declared columns", total=len(search) + 1) as stage:
        gains = np.empty((len(search), len(made)))
        for number, fold in enumerate(search):
            prepared = prepare(order.viewing(wide), fold, rows)
            gains[number] = _gains(order, prepared, prepared.matrix.shape[1] - len(made))
            stage.advance()
        ranked = [int(at) for at in np.argsort(-gains.mean(axis=0), kind="stable") if (gains[:, at] > 0).all()]
        chosen = with_features(view, tuple(made[at] for at in sorted(ranked[:most]))) if ranked else view
        folds = {
            name: [prepare(order.viewing(each), fold, rows) for fold in search] for name, each in (("without", view), ("with", chosen))
        }
        losses = {name: _loss(order.viewing(each), folds[name]) for name, each in (("without", view), ("with", chosen))}
        stage.advance()
    if losses["with"] >= losses["without"]:
        chosen = view
    added = tuple(item.name for item in chosen.features[len(view.features) :])
    return Generated(chosen, added, len(made), losses["without"], losses["with"])


def _rows(ws: Workspace, order: Order, view: View) -> LabeledRows:
    from sampan.workspace.training.orders import rows_of

    table, _ = feature_table(ws, view, order.datasets)
    return rows_of(ws, order.viewing(view, table=table))


def _gains(order: Order, fold: Prepared, n_own: int) -> NDArray[np.float64]:
    """Return how much worse a model is without each candidate's values, less the most that a column of noise seems to help."""
    lightgbm = require("lightgbm", extra="train")
    rng = np.random.default_rng(order.seed)
    train, labels = fold.train[-_MOST_ROWS:], fold.train_labels[-_MOST_ROWS:]
    judged, truth = fold.matrix[:_MOST_ROWS], fold.judged.labels[:_MOST_ROWS]
    train, judged = (np.hstack([each, rng.normal(size=(len(each), _N_NOISE)).astype(np.float32)]) for each in (train, judged))
    n_classes = {"num_class": len(np.unique(labels))} if order.task.kind == "multiclass" else {}
    settings = {**_SETTINGS, **n_classes, "objective": _OBJECTIVES[order.task.kind], "seed": order.seed}
    booster = lightgbm.train(settings, lightgbm.Dataset(train, labels), _ROUNDS)
    before = _mean_loss(order, fold, truth, booster.predict(judged, num_threads=1))
    gains = np.zeros(judged.shape[1])
    used = np.flatnonzero(booster.feature_importance("split"))
    for at in used[used >= n_own]:
        kept = judged[:, at].copy()
        worse = []
        for _ in range(_N_SHUFFLES):
            judged[:, at] = rng.permutation(kept)
            worse.append(_mean_loss(order, fold, truth, booster.predict(judged, num_threads=1)) - before)
        judged[:, at] = kept
        gains[at] = float(np.mean(worse))
    noise = max(float(gains[-_N_NOISE:].max()), 0.0)
    return gains[n_own:-_N_NOISE] - noise


def _loss(order: Order, folds: list[Prepared]) -> float:
    """Return the training function's mean loss, with the parameters that a search tries first."""
    scores = fold_scores(order, folds, first_values(order.searched))
    return float(np.mean([fold_figure(order, fold, each, order.loss) for fold, each in zip(folds, scores, strict=True)]))


def _mean_loss(order: Order, fold: Prepared, labels: NDArray[np.float64], answers: Any) -> float:
    scores = over_classes(np.asarray(answers, dtype=np.float64), order.task, fold.codes)
    return point(order.loss, Answered.under(order.trainer.objective, labels, scores, order.task))
