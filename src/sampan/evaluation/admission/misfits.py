"""Columns whose arriving values do not fit the rest of their rows, as a wrong unit, a stuck sensor or a shifted column make them.

Each column is taken for a label and expected from all others, the true label among them, by models of trusted rows; then the share of
values that look exchanged is estimated as that of wrong labels is, and held against newer trusted rows. A batch of other rows is no fault:
what a row's other columns say of the value stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.learner import Learner, Model
from sampan.evaluation.admission.surprise import wrong_share
from sampan.evaluation.admission.table import Floats, Matrix, Rows, Table
from sampan.evaluation.admission.usual import Chart, chart, standard_error
from sampan.stats.bootstrap import Estimate

_MOST_COLUMNS: Final = 10
_MOST_ROWS: Final = 5_000
_MIN_ROWS: Final = 100
_N_SPANS: Final = 5
_N_ROUNDS: Final = 40
_MOST_CLASSES: Final = 6
_N_RANGES: Final = 6
_FLOOR: Final = 0.07
_REACH: Final = 4.5  # ten columns are looked at, and what hangs together moves a little with the world
_RARE: Final = 0.002
_KNOWN: Final = 0.02  # a column that the others say less of is not judged: it hangs together with nothing


class Misfit(msgspec.Struct, frozen=True):
    """A column of which a share of the arriving values does not fit the rest of their rows."""

    column: str
    share: Estimate
    usual: Chart


@dataclass(frozen=True, slots=True)
class Misfits:
    """The columns found, worst first, with how little each arriving value fits (0 = fits), and every column's share for later limits."""

    columns: tuple[Misfit, ...]
    doubt: tuple[Floats, ...]  # by column, shape (n_batch,)
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Trusted:
    """What is known beside the table."""

    timed: bool  # trusted rows are in order of time
    labels: bool  # where labels are wrong, every column hangs together with them as it should not
    earlier: Mapping[str, Sequence[float]]  # of each column, in earlier batches


def find_misfits(table: Table, gains: Floats, known: NDArray[np.bool_], trusted: Trusted, rng: np.random.Generator) -> Misfits:
    """Judge the columns that say most of the label.

    What hangs together with a spoiled column does not fit it either: only columns that do not fit the unspoiled rest of the row are named.

    Parameters
    ----------
    gains : what each column brought to models of the label, shape (k,)
    known : the arriving rows to look at, shape (n_batch,)
    """
    learned, judged = _halves(table, rng, timed=trusted.timed)
    asked = table.batch[known]
    if min(len(learned), len(judged), len(asked)) < _MIN_ROWS or len(table.names) < 2:
        return Misfits((), (), {})
    looking = _Looking(table, learned, judged, asked, trusted)
    chosen = [int(at) for at in np.argsort(-gains)[:_MOST_COLUMNS] if gains[at] > 0 and not table.runs(int(at))]
    looks = {column: found for column in chosen if (found := looking.at(column)) is not None}
    named: dict[int, _Look] = {}
    for column, first in sorted(looks.items(), key=lambda pair: -pair[1].weight):
        again = looking.at(column, without=[*named]) if first.exceeds and named else first
        if again is not None and again.exceeds:
            named[column] = again
    doubts = []
    for look in named.values():
        doubt = np.zeros(table.n_batch)
        doubt[known] = look.column.doubt(asked, look.excess)
        doubts.append(doubt)
    figures = {table.names[column]: look.share.value or 0.0 for column, look in looks.items()}
    return Misfits(tuple(Misfit(table.names[at], look.share, look.usual) for at, look in named.items()), tuple(doubts), figures)


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen of one column."""

    column: _Column
    share: Estimate
    usual: Chart
    moved: float  # how far its own distribution moved, 0 to 1

    @property
    def excess(self) -> float:
        return (self.share.value or 0.0) - self.usual.mean

    @property
    def exceeds(self) -> bool:
        return self.usual.exceeded_by(self.share.value)

    @property
    def weight(self) -> float:
        """Of two columns that do not fit each other, the one that itself looks different is the spoiled one."""
        return self.excess + self.moved


@dataclass(frozen=True, slots=True)
class _Looking:
    """The rows that columns are judged with."""

    table: Table
    learned: Rows
    judged: Rows
    asked: Rows
    trusted: Trusted

    def at(self, column: int, *, without: Sequence[int] = ()) -> _Look | None:
        """Judge one column by the others, some left out; None where they say nothing of it."""
        said = _Column.read(self.table, [column, *without], self.learned, self.judged, with_label=self.trusted.labels)
        if said is None:
            return None
        share = wrong_share(said.codes[self.asked], said.chances(self.asked))
        usual = [wrong_share(said.codes[span], said.chances(span)) for span in np.array_split(self.judged, _N_SPANS)]
        if share.value is None or any(one.value is None for one in usual):
            return None
        values = [*(one.value or 0.0 for one in usual), *self.trusted.earlier.get(self.table.names[column], ())]
        limits = chart(values, floor=_FLOOR, error=standard_error(share), errors=[standard_error(one) for one in usual], reach=_REACH)
        before, now = (np.bincount(said.codes[rows], minlength=said.n_codes) / len(rows) for rows in (self.judged, self.asked))
        return _Look(said, share, limits, float(np.abs(before - now).sum() / 2))


@dataclass(frozen=True, slots=True)
class _Column:
    """One column's values as codes, and a model of them."""

    matrix: Matrix  # of the other columns and the label
    codes: Rows
    model: Model
    n_codes: int

    @classmethod
    def read(cls, table: Table, left_out: Sequence[int], learned: Rows, judged: Rows, *, with_label: bool) -> _Column | None:
        """Learn the first of the columns left out from those that are not."""
        codes, n_codes = _codes(table, left_out[0], np.concatenate([learned, judged]))
        if n_codes < 2 or (len(left_out) == len(table.names) and not with_label):
            return None
        kept = [at for at in range(len(table.names)) if at not in left_out]
        matrix = table.matrix[:, kept]
        matrix = np.column_stack([matrix, table.labels.astype(np.float32)]) if with_label else matrix
        categorical = [place for place, at in enumerate(kept) if at in table.categories]
        if with_label and len(table.classes) > 2:
            categorical.append(matrix.shape[1] - 1)
        rows = np.concatenate([learned, judged])
        learner = Learner(matrix[rows], codes[rows].astype(np.float64), categorical, n_classes=n_codes)
        found = cls(matrix, codes, learner.fit(np.arange(len(learned)), n_rounds=_N_ROUNDS), n_codes)
        return found if found._tells(judged) else None

    def chances(self, rows: Rows) -> Floats:
        """Return the chance of each code, shape (n, n_codes)."""
        said = self.model(self.matrix[rows])
        said = np.column_stack([1 - said, said]) if said.ndim == 1 else said
        bounded = np.maximum(said, _RARE)
        return np.asarray(bounded / bounded.sum(axis=1, keepdims=True))

    def doubt(self, rows: Rows, share: float) -> Floats:
        """Return 1 less the chance of the values that fit least, twice the share that is wrong, where another is likelier; else 0."""
        chances = self.chances(rows)
        fit = chances[np.arange(len(rows)), self.codes[rows]]
        least = np.argsort(fit, kind="stable")[: int(2 * share * len(rows))]
        found = np.zeros(len(rows))
        found[least] = np.where(fit[least] < chances[least].max(axis=1), 1 - fit[least], 0.0)
        return found

    def _tells(self, judged: Rows) -> bool:
        """Say whether the other columns say enough of this one."""
        shares = np.bincount(self.codes[judged], minlength=self.n_codes) / len(judged)
        given = self.chances(judged)[np.arange(len(judged)), self.codes[judged]]
        alone = shares[shares > 0]
        return float(np.log(given).mean()) > (1 - _KNOWN) * float((alone * np.log(alone)).sum())


def _halves(table: Table, rng: np.random.Generator, *, timed: bool) -> tuple[Rows, Rows]:
    """Return trusted rows to learn from and others to judge by, in time the newer ones."""
    order = table.base if timed else rng.permutation(table.n_base)
    if len(order) > 2 * _MOST_ROWS:
        order = order[np.linspace(0, len(order) - 1, 2 * _MOST_ROWS).astype(np.intp)]
    return order[: len(order) // 2], order[len(order) // 2 :]


def _codes(table: Table, column: int, trusted: Rows) -> tuple[Rows, int]:
    """Number a column's values: its most frequent ones and all others together, or ranges with as many trusted rows each."""
    values = table.matrix[:, column]
    distinct, counts = np.unique(np.nan_to_num(values[trusted], nan=-np.inf), return_counts=True)
    if column in table.categories or len(distinct) <= _MOST_CLASSES:
        frequent = np.sort(distinct[np.argsort(-counts, kind="stable")[: _MOST_CLASSES - (len(distinct) > _MOST_CLASSES)]])
        at = np.searchsorted(frequent, np.nan_to_num(values, nan=-np.inf))
        there = frequent[np.minimum(at, len(frequent) - 1)] == np.nan_to_num(values, nan=-np.inf)
        codes = np.where(there, at, len(frequent))
    else:
        known = values[trusted][~np.isnan(values[trusted])]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, _N_RANGES + 1)[1:-1]).astype(np.float32))
        codes = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
    there = np.unique(codes[trusted])
    # A code that no trusted row has cannot be expected: such values are looked at elsewhere.
    return np.searchsorted(there, np.where(np.isin(codes, there), codes, there[-1])).astype(np.intp), len(there)
