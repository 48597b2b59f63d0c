"""Whether arriving rows look like the trusted ones, beside how much spans of the trusted rows differ from one another.

A classifier tells arriving rows from trusted ones. Its AUC says how far the batch moved; that alone is no fault, the world moves. What
counts is how many arriving rows are strange: of a kind that is many times rarer among trusted rows, as a wrong unit or mixed-up columns
make them. Columns that tell any span of time from another (a date, a running number) are left out, and rows with a category never seen
before are not counted: both are news.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.learner import CrossFit, Learner
from sampan.evaluation.admission.table import Floats, Matrix, Rows, Table
from sampan.evaluation.admission.usual import Chart, chart
from sampan.stats.ranking import auc

_MOST_ROWS: Final = 3000
_MIN_ROWS: Final = 100
_N_ROUNDS: Final = 30
_MOVING: Final = 0.9  # a column that alone tells spans apart this well moves with time
_STRANGE: Final = 0.85  # the chance to be an arriving row, at even numbers: about six times rarer among trusted rows
_FLOOR: Final = 0.03
_REACH: Final = 3.09  # the spread between spans is learned from few of them
_N_NAMED: Final = 3


class Novelty(msgspec.Struct, frozen=True):
    """How well arriving rows can be told from trusted ones, how many of them are strange, and the columns that moved most."""

    auc: float
    strange: float  # share of arriving rows, less the share of trusted rows that look so too
    usual: Chart  # of `strange`
    columns: tuple[str, ...]
    unseen_share: float  # of arriving rows, with a category that trusted rows lack


def measure_novelty(
    table: Table, spans: list[Rows], rng: np.random.Generator, *, timed: bool = False, earlier: list[float] | None = None
) -> Novelty:
    """Measure how new the arriving rows are.

    Parameters
    ----------
    spans : parts of the trusted rows, each of about a batch's size; each is told from the rows outside it, or before it where `timed`
    earlier : the same figure of earlier batches
    """
    unseen = table.unseen()
    share = float(unseen.mean()) if len(unseen) else 0.0
    still = _still_columns(table, spans)
    if not len(still):
        return Novelty(0.5, 0.0, chart([], floor=_FLOOR), (), share)
    arriving = table.batch[~unseen] if (~unseen).sum() >= _MIN_ROWS else table.batch
    reference = [np.arange(span[0]) if timed else np.setdiff1d(table.base, span) for span in spans]
    usual = [_told_apart(table, still, outside, span, rng) for outside, span in zip(reference, spans, strict=True)]
    area, strange = _told_apart(table, still, table.base, arriving, rng)
    limits = chart(
        [*(one for _, one in usual), *(earlier or [])], floor=_FLOOR, error=sqrt(0.01 / min(len(arriving), _MOST_ROWS)), reach=_REACH
    )
    return Novelty(area, strange, limits, _moved(table, still, spans, arriving), share)


def _told_apart(table: Table, columns: Rows, before: Rows, now: Rows, rng: np.random.Generator) -> tuple[float, float]:
    """Return the out-of-fold AUC of a classifier of two sets of rows, and the share of the later ones it finds strange."""
    n = min(len(before), len(now), _MOST_ROWS)
    if n < _MIN_ROWS // 2:
        return float("nan"), float("nan")
    rows = np.concatenate([rng.choice(before, n, replace=False), rng.choice(now, n, replace=False)])
    matrix = np.ascontiguousarray(table.matrix[rows][:, columns])
    labels = np.repeat([0.0, 1.0], n)
    categorical = [at for at, column in enumerate(columns) if int(column) in table.categories]
    parts = np.tile(np.arange(n) % 2, 2)
    fitted = CrossFit(Learner(matrix, labels, categorical), matrix, np.arange(2 * n), parts, n_rounds=_N_ROUNDS)
    strange = fitted.out_of_fold > _STRANGE
    return max(auc(labels, fitted.out_of_fold), 0.5), float(strange[n:].mean() - strange[:n].mean())


def _still_columns(table: Table, spans: list[Rows]) -> Rows:
    """Return the columns that neither run with the rows' order nor tell spans of trusted rows apart by themselves."""
    still = []
    for column in range(len(table.names)):
        values = table.matrix[: table.n_base, column]
        moves = table.runs(column) or any(
            _separation(values[np.setdiff1d(table.base, span)[::5]], values[span]) > _MOVING for span in spans
        )
        if not moves:
            still.append(column)
    return np.array(still, dtype=np.intp)


def _separation(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    before, now = before[~np.isnan(before)].astype(np.float64), now[~np.isnan(now)].astype(np.float64)
    if len(before) < 2 or len(now) < 2:
        return 0.5
    area = auc(np.repeat([0.0, 1.0], [len(before), len(now)]), np.concatenate([before, now]))
    return max(area, 1 - area)


def _moved(table: Table, columns: Rows, spans: list[Rows], arriving: Rows) -> tuple[str, ...]:
    """Name the columns whose distribution moved further than in any span of trusted rows, furthest first."""
    moves = []
    for column in columns:
        edges = _edges(table.matrix[: table.n_base, column])
        whole = _shares(table.matrix[: table.n_base, column], edges)
        usual = max((_distance(whole, _shares(table.matrix[span, column], edges)) for span in spans), default=0.0)
        now = _distance(whole, _shares(table.matrix[arriving, column], edges))
        if now > 1.5 * usual + 0.03:
            moves.append((now - usual, table.names[int(column)]))
    return tuple(name for _, name in sorted(moves, reverse=True)[:_N_NAMED])


def _edges(values: NDArray[np.float32]) -> Matrix:
    known = values[~np.isnan(values)]
    if not len(known):
        return np.zeros(0, np.float32)
    distinct = np.unique(known)
    return distinct if len(distinct) <= 100 else np.unique(np.quantile(known, np.linspace(0, 1, 21)).astype(np.float32))


def _shares(values: NDArray[np.float32], edges: Matrix) -> Floats:
    codes = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
    return np.bincount(codes, minlength=len(edges) + 2) / max(len(values), 1)


def _distance(one: Floats, other: Floats) -> float:
    return float(np.abs(one - other).sum() / 2)
