"""Whether arriving rows look like the trusted ones, beside how much spans of the trusted rows differ from one another.

A classifier tells arriving rows from trusted ones. Its AUC says how far the batch moved; that alone is no fault, the world moves. What
counts is how many arriving rows are strange: of a kind that is many times rarer among trusted rows, as a wrong unit or mixed-up columns
make them. Columns that tell any span of time from another (a date, a running number) are left out, and rows with a category never seen
before are not counted: both are news. So are columns that trusted rows mostly lack and arriving rows have.
"""

from __future__ import annotations

from dataclasses import dataclass
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
_FILLED: Final = 0.3  # so much smaller a share of arriving cells is missing where a column came to be filled


class Novelty(msgspec.Struct, frozen=True):
    """How well arriving rows can be told from trusted ones, how many of them are strange, and the columns that moved most."""

    auc: float
    strange: float  # share of arriving rows, less the share of trusted rows that look so too
    usual: Chart  # of `strange`
    columns: tuple[str, ...]
    unseen_share: float  # of arriving rows, with a category that trusted rows lack


def measure_novelty(
    table: Table, spans: list[Rows], rng: np.random.Generator, *, timed: bool = False, earlier: list[float] | None = None
) -> tuple[Novelty, NDArray[np.bool_]]:
    """Measure how new the arriving rows are; return with it which of them are strange, shape (n_batch,).

    Parameters
    ----------
    spans : parts of the trusted rows, each of about a batch's size; each is told from the rows outside it, or before it where `timed`
    earlier : the same figure of earlier batches
    """
    unseen = table.unseen()
    share = float(unseen.mean()) if len(unseen) else 0.0
    still = _still_columns(table, spans)
    if not len(still):
        return Novelty(0.5, 0.0, chart([], floor=_FLOOR), (), share), np.zeros(table.n_batch, dtype=np.bool_)
    arriving = table.batch[~unseen] if (~unseen).sum() >= _MIN_ROWS else table.batch
    reference = [np.arange(span[0]) if timed else np.setdiff1d(table.base, span) for span in spans]
    usual = [_told_apart(table, still, outside, span, rng).strange for outside, span in zip(reference, spans, strict=True)]
    told = _told_apart(table, still, table.base, arriving, rng)
    limits = chart([*usual, *(earlier or [])], floor=_FLOOR, error=sqrt(0.01 / min(len(arriving), _MOST_ROWS)), reach=_REACH)
    rows = np.zeros(table.n_batch, dtype=np.bool_)
    rows[told.rows - table.n_base] = True
    return Novelty(told.auc, told.strange, limits, _moved(table, still, spans, arriving), share), rows


@dataclass(frozen=True, slots=True)
class _Told:
    """How a classifier tells two sets of rows apart, out of fold: its AUC, the share of later rows that are strange, and which are."""

    auc: float
    strange: float
    rows: Rows


def _told_apart(table: Table, columns: Rows, before: Rows, now: Rows, rng: np.random.Generator) -> _Told:
    n = min(len(before), len(now), _MOST_ROWS)
    if n < _MIN_ROWS // 2:
        return _Told(float("nan"), float("nan"), now[:0])
    earlier, later = rng.choice(before, n, replace=False), rng.choice(now, n, replace=False)
    rows = np.concatenate([earlier, later])
    matrix = np.ascontiguousarray(table.matrix[rows][:, columns])
    labels = np.repeat([0.0, 1.0], n)
    categorical = [at for at, column in enumerate(columns) if int(column) in table.categories]
    parts = np.tile(np.arange(n) % 2, 2)
    fitted = CrossFit(Learner(matrix, labels, categorical), matrix, np.arange(2 * n), parts, n_rounds=_N_ROUNDS)
    strange = fitted.out_of_fold > _STRANGE
    others = np.setdiff1d(now, later)  # a large batch's rows that no model saw
    found = others[fitted(table.matrix[others][:, columns]) > _STRANGE] if len(others) else others
    share = float(strange[n:].mean() - strange[:n].mean())
    return _Told(max(auc(labels, fitted.out_of_fold), 0.5), share, np.concatenate([later[strange[n:]], found]))


def _still_columns(table: Table, spans: list[Rows]) -> Rows:
    """Return the columns that were filled before, do not run with the rows' order and do not tell spans of trusted rows apart alone."""
    missing = np.isnan(table.matrix)
    filled = missing[: table.n_base].mean(axis=0) - missing[table.n_base :].mean(axis=0) > _FILLED
    return np.array([at for at in np.flatnonzero(~filled) if not _moves(table, int(at), spans)], dtype=np.intp)


def _moves(table: Table, column: int, spans: list[Rows]) -> bool:
    values = table.matrix[: table.n_base, column]
    return table.runs(column) or any(_separation(values[np.setdiff1d(table.base, span)[::5]], values[span]) > _MOVING for span in spans)


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
