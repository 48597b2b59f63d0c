"""Labels by a teacher: what a large model says of rows that it had not learned from, put in the place of half of the labels.

A training function takes labels, not probabilities. So each row is laid out several times: half of them with its label, half with labels
drawn by the teacher's answer. Answers must be out of fold: of its own training rows a model is too sure, and students of such answers were
worse than the same models trained on labels.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError

COPIES: Final = 4  # of each row; half of them keep the label

Floats = NDArray[np.float64]


def taught(labels: Floats, answers: Floats, rng: np.random.Generator, *, copies: int = COPIES) -> tuple[NDArray[np.intp], Floats]:
    """Return the row each copy is of, and its label.

    Numbers of outcomes are drawn evenly (of 0.3 in two copies it is none or one, 0.6 on average), so that chance adds as little as it can.

    Parameters
    ----------
    labels : shape (n,): 0 or 1, or codes of classes
    answers : shape (n,) of outcomes, (n, k) of classes; a teacher's, out of fold

    Raises
    ------
    ParameterError : the shapes do not fit, or answers are no probabilities.
    """
    shares = np.column_stack([1 - answers, answers]) if answers.ndim == 1 else answers
    if len(shares) != len(labels) or not ((shares >= -1e-9) & (shares <= 1 + 1e-6)).all():
        raise ParameterError(f"answers of shape {answers.shape} are no probabilities of {len(labels):,} rows")
    n_taught = copies // 2
    # One uniform draw a row, and the same distance from copy to copy: systematic sampling.
    places = (np.arange(n_taught) + rng.random((len(labels), 1))) / max(n_taught, 1)
    bounds = np.cumsum(shares, axis=1)
    drawn = (places[:, :, None] * bounds[:, None, -1:] > bounds[:, None, :-1]).sum(axis=2).astype(np.float64)
    rows = np.tile(np.arange(len(labels)), copies)
    kept = np.tile(labels, copies - n_taught)
    return rows.astype(np.intp), np.concatenate([kept, *drawn.T])


def between(labels: Floats, answers: Floats) -> Floats:
    """Return what to learn from where labels are numbers: halfway between label and the teacher's answer."""
    return (labels + answers) / 2
