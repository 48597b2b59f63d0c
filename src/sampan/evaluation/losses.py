"""What each row's prediction costs in the proper scores: log loss and Brier score, row by row so that any grouping can sum them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CLOSEST = 1e-7  # a probability nearer to 0 or 1 is one float32 rounding, not knowledge


def log_losses(labels: Floats, scores: Floats) -> Floats:
    """Return minus the log of the probability given to what happened, in nats, shape (n,)."""
    given: Floats = np.clip(np.where(labels == 1, scores, 1 - scores), CLOSEST, 1.0)
    return -np.log(given)


def squared_errors(labels: Floats, scores: Floats) -> Floats:
    """Return the squared distance of score and label, shape (n,); its mean is the Brier score."""
    return np.square(scores - labels)


def class_log_losses(labels: Floats, scores: Floats) -> Floats:
    """Return minus the log of the probability given to the class that came, shape (n,); a class no model knows had none.

    Parameters
    ----------
    labels, scores : shape (n,), (n, k); labels are codes, -1 for a class that training never saw
    """
    return -np.log(np.clip(_given(labels, scores), CLOSEST, 1.0))


def class_squared_errors(labels: Floats, scores: Floats) -> Floats:
    """Return each row's sum over classes of the squared distance of what was said and what came, shape (n,)."""
    # Of the class that came (1 - p) ** 2 is to be counted instead of p ** 2; where none of them came, 1 more.
    errors: Floats = np.square(scores).sum(axis=1) + 1 - 2 * _given(labels, scores)
    return errors


def _given(labels: Floats, scores: Floats) -> Floats:
    codes = labels.astype(np.intp)
    given: Floats = np.where(codes >= 0, scores[np.arange(len(codes)), np.maximum(codes, 0)], 0.0)
    return given


def logits(scores: Floats) -> Floats:
    """Return the log odds of probabilities, bounded as `log_losses` bounds them."""
    bounded: Floats = np.clip(scores, CLOSEST, 1 - CLOSEST)
    return np.log(bounded) - np.log1p(-bounded)


def probabilities(log_odds: Floats) -> Floats:
    """Return the probabilities of log odds, without overflow."""
    small: Floats = np.exp(-np.abs(log_odds))
    return np.where(log_odds >= 0, 1 / (1 + small), small / (1 + small))
