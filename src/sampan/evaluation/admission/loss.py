"""What a prediction costs, and how well predictions order labels, whatever the label is."""

from __future__ import annotations

import numpy as np

from sampan.evaluation.admission.outlook import agreement, agreement_of, both, strength
from sampan.evaluation.admission.table import Floats, Rows, Table
from sampan.evaluation.losses import CLOSEST

LOG_LOSS, SQUARED = "log loss", "squared error"
AUC, AGREEMENT = "AUC", "rank agreement"


def names(table: Table) -> tuple[str, str]:
    """Return what the loss and the score of this label are called."""
    return (LOG_LOSS, AUC) if table.classes else (SQUARED, AGREEMENT)


def row_losses(table: Table, rows: Rows, predicted: Floats) -> Floats:
    """Return the cost of each row's prediction, shape (n,): log loss; of numbers squared error, where trusted labels' variance is 1."""
    labels = table.labels[rows]
    if not table.classes:
        return np.asarray((labels - predicted) ** 2 / max(float(table.labels[: table.n_base].var()), 1e-300))
    chances = both(predicted) if predicted.ndim == 1 else predicted
    return np.asarray(-np.log(np.clip(chances[np.arange(len(rows)), labels.astype(np.intp)], CLOSEST, 1.0)))


def strength_of(table: Table, codes: Rows, chances: Floats) -> float:
    """Return how well the chances of codes order them."""
    return strength(codes, chances) if table.classes else agreement(codes, chances)


def score(table: Table, rows: Rows, predicted: Floats) -> float:
    """Return how well predictions order labels, 0.5 where they do not."""
    if not table.classes:
        return agreement_of(predicted, table.labels[rows])
    return strength(table.labels[rows].astype(np.intp), both(predicted) if predicted.ndim == 1 else predicted)
