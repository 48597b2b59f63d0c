"""The small boosted trees that all tests of a batch are made with, and predictions from folds that left the row out.

Independent fits run side by side in threads, each fit in one: LightGBM's own threads wait for one another at every split, which on a shared
machine costs many times the work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.table import Floats, Matrix, Rows
from sampan.plugins import require

Predict = Callable[[Matrix], Floats]

_SETTINGS: Final[dict[str, Any]] = {
    "num_leaves": 15,
    "learning_rate": 0.1,
    "min_data_in_leaf": 20,
    "lambda_l2": 1.0,
    "max_bin": 63,
    "cat_smooth": 20.0,
    "min_data_per_group": 20,
    "feature_fraction": 0.8,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
N_ROUNDS: Final = 80
_MOST_THREADS: Final = 4
_FASTER: Final = 2.5  # several classes grow a tree each a round: fewer rounds, larger steps


class Model:
    """A fitted model: called with rows, it predicts; shape (n,), of several classes (n, n_classes)."""

    def __init__(self, predict: Predict, gains: Floats) -> None:
        self._predict = predict
        self.gains = gains  # what each column brought

    def __call__(self, matrix: Matrix) -> Floats:
        """Predict the chance of class 1, the chance of each of several classes, or the number."""
        return self._predict(matrix)


class Learner:
    """Boosted trees over one matrix, whose bins are made once; a fit names the rows it may see.

    Parameters
    ----------
    labels : shape (n,), codes of classes, or numbers
    n_classes : 0 where labels are numbers
    """

    def __init__(self, matrix: Matrix, labels: Floats, categorical: list[int], *, n_classes: int = 2, seed: int = 0) -> None:
        self._lightgbm = require("lightgbm", extra="train")
        self._settings = {**_SETTINGS, **_objective(n_classes), "seed": seed}
        self._labels, self._n_classes, self._n_columns = labels, n_classes, matrix.shape[1]
        self._whole = self._lightgbm.Dataset(
            matrix, labels, categorical_feature=categorical, params=self._settings, free_raw_data=False
        ).construct()

    def fit(self, rows: Rows, *, n_rounds: int = N_ROUNDS) -> Model:
        """Learn from some rows. Of one class, the answer is that class's share, a little smoothed."""
        labels = self._labels[rows]
        if len(np.unique(labels)) < 2:
            return self._constant(labels)
        part = self._whole.subset(np.sort(rows).tolist())
        rounds = max(round(n_rounds / _FASTER), 1) if self._n_classes > 2 else n_rounds
        # A model that is kept for predicting need not be written as text and read again.
        booster = self._lightgbm.train(self._settings, part, rounds, keep_training_booster=True).free_dataset()
        return Model(
            lambda matrix: np.asarray(booster.predict(matrix, num_threads=1), dtype=np.float64), booster.feature_importance("gain")
        )

    def fit_all(self, parts: Sequence[Rows], *, n_rounds: int = N_ROUNDS) -> list[Model]:
        """Learn from each of several sets of rows, side by side."""
        with ThreadPoolExecutor(min(_n_threads(), max(len(parts), 1))) as pool:
            return list(pool.map(lambda rows: self.fit(rows, n_rounds=n_rounds), parts))

    def _constant(self, labels: Floats) -> Model:
        if self._n_classes == 0:
            said: Floats = labels[:1] if len(labels) else np.zeros(1)
            return Model(lambda matrix: np.full(len(matrix), said[0]), np.zeros(self._n_columns))
        if self._n_classes == 2:
            share = (labels.sum() + 0.5) / (len(labels) + 1)
            return Model(lambda matrix: np.full(len(matrix), share), np.zeros(self._n_columns))
        counts = np.bincount(labels.astype(np.intp), minlength=self._n_classes) + 1 / self._n_classes
        return Model(lambda matrix: np.tile(counts / counts.sum(), (len(matrix), 1)), np.zeros(self._n_columns))


class CrossFit:
    """Predictions by models that did not see the row: each part's by the model of the other parts, other rows' by the mean of all."""

    def __init__(self, learner: Learner, matrix: Matrix, rows: Rows, parts: NDArray[np.intp], *, n_rounds: int = N_ROUNDS) -> None:
        own = [parts == part for part in np.unique(parts)]
        self.models = learner.fit_all([rows[~part] for part in own], n_rounds=n_rounds)
        said = [model(matrix[rows[part]]) for part, model in zip(own, self.models, strict=True)]
        self.out_of_fold: Floats = np.zeros((len(rows), *said[0].shape[1:]))
        for part, predicted in zip(own, said, strict=True):
            self.out_of_fold[part] = predicted

    def __call__(self, matrix: Matrix) -> Floats:
        """Predict rows that no model saw."""
        return np.asarray(np.mean([model(matrix) for model in self.models], axis=0))

    @property
    def gains(self) -> Floats:
        """What each column brought, over all models."""
        return np.asarray(np.sum([model.gains for model in self.models], axis=0))


def _objective(n_classes: int) -> dict[str, Any]:
    if n_classes == 0:
        return {"objective": "regression"}
    if n_classes == 2:
        return {"objective": "binary"}
    return {"objective": "multiclass", "num_class": n_classes, "learning_rate": _SETTINGS["learning_rate"] * _FASTER}


def _n_threads() -> int:
    """Return how many fits run side by side: as many as OMP_NUM_THREADS allows, or there are processors for this process."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    there = (
        int(told)
        if told.isdigit() and int(told)
        else len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )
    return min(there, _MOST_THREADS)
