"""The small boosted trees that all tests of a batch are made with, and scores from folds that left the row out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.table import Floats, Matrix, Rows
from sampan.evaluation.losses import logits, probabilities
from sampan.plugins import require

Predict = Callable[[Matrix], Floats]

_SETTINGS: Final[dict[str, Any]] = {
    "objective": "binary",
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
    "num_threads": 0,  # as many as OMP_NUM_THREADS or the machine has; the answer does not depend on it
    "verbosity": -1,
}
N_ROUNDS: Final = 80


class Learner:
    """Boosted trees over one matrix, whose bins are made once; a fit names the rows it may see."""

    def __init__(self, matrix: Matrix, labels: Floats, categorical: list[int], *, seed: int = 0) -> None:
        self._lightgbm = require("lightgbm", extra="train")
        self._settings = {**_SETTINGS, "seed": seed}
        self._labels = labels
        self._whole = self._lightgbm.Dataset(
            matrix, labels, categorical_feature=categorical, params=self._settings, free_raw_data=False
        ).construct()

    def fit(self, rows: Rows, *, n_rounds: int = N_ROUNDS) -> Predict:
        """Learn from some rows. Of one class, the answer is that class's share, a little smoothed."""
        labels = self._labels[rows]
        if len(np.unique(labels)) < 2:
            share = (labels.sum() + 0.5) / (len(labels) + 1)
            return lambda matrix: np.full(len(matrix), share)
        part = self._whole.subset(np.sort(rows).tolist())
        booster = self._lightgbm.train(self._settings, part, n_rounds)
        return lambda matrix: np.asarray(booster.predict(matrix, num_threads=0), dtype=np.float64)


class CrossFit:
    """Scores of rows by models that did not see them: each part's by the model of the other parts, other rows' by the mean of all."""

    def __init__(self, learner: Learner, matrix: Matrix, rows: Rows, parts: NDArray[np.intp], *, n_rounds: int = N_ROUNDS) -> None:
        self.out_of_fold: Floats = np.zeros(len(rows))
        self._models: list[Predict] = []
        for part in np.unique(parts):
            own = parts == part
            model = learner.fit(rows[~own], n_rounds=n_rounds)
            self.out_of_fold[own] = model(matrix[rows[own]])
            self._models.append(model)

    def __call__(self, matrix: Matrix) -> Floats:
        """Score rows that no model saw, shape (n,)."""
        return np.asarray(np.mean([model(matrix) for model in self._models], axis=0))


def calibration(labels: Floats, scores: Floats) -> tuple[float, float]:
    """Return a and b of sigmoid(a + b logit(score)), by maximum likelihood with a slight pull to 0 and 1.

    References
    ----------
    J. Platt (1999), "Probabilistic Outputs for Support Vector Machines".
    """
    said = logits(scores)
    line = np.array([0.0, 1.0])
    for _ in range(25):
        chance = probabilities(line[0] + line[1] * said)
        weight = np.maximum(chance * (1 - chance), 1e-9)
        design = np.column_stack([np.ones_like(said), said])
        gradient = design.T @ (labels - chance) - (line - [0.0, 1.0])
        step = np.linalg.solve((design * weight[:, None]).T @ design + np.eye(2), gradient)
        line = line + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-5:
            break
    return float(line[0]), float(line[1])


def calibrated(scores: Floats, line: tuple[float, float]) -> Floats:
    """Apply a calibration."""
    return probabilities(line[0] + line[1] * logits(scores))
