"""A table as the tests of a batch read it: numbers, categories as codes, labels; rows that a model trusts and rows that arrive.

Numbers, yes or no, times and texts of few values are read, and vectors as one column each. Texts that name a row (nearly all different) and
columns of one value say nothing here and stay out, unless they stopped coming.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.stats.ranking import mid_ranks

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]
Rows = NDArray[np.intp]

MOST_VALUES: Final = 2000  # a text column of more values is read as names of rows
_NAMES_SHARE: Final = 0.2  # so is one with more values than this share of the rows
_WIDEST_VECTOR: Final = 1024
TWO: Final = ("0", "1")
_PLACE: Final = re.compile(r"\[\d+\]$")  # of a number in a vector
_RUNNING: Final = 0.9  # rank correlation with the rows' order


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in time order, the arriving ones last. Categories that only arriving rows have come after `n_known` of their column."""

    matrix: Matrix  # shape (n, k), NaN = missing
    labels: Floats  # shape (n,), the code of a class from 0, or a number
    names: tuple[str, ...]
    categories: dict[int, tuple[str, ...]]  # by column of the matrix: its values in the order of their codes
    n_known: dict[int, int]  # by column: how many of its categories the trusted rows have
    n_base: int
    classes: tuple[str, ...] = TWO  # () where labels are numbers

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_batch(self) -> int:
        """How many rows arrive."""
        return len(self) - self.n_base

    @property
    def base(self) -> Rows:
        """The trusted rows' numbers."""
        return np.arange(self.n_base)

    @property
    def batch(self) -> Rows:
        """The arriving rows' numbers."""
        return np.arange(self.n_base, len(self))

    def of(self, rows: Rows) -> Table:
        """Return a table of some trusted rows alone."""
        return replace(self, matrix=self.matrix[rows], labels=self.labels[rows], n_base=len(rows))

    def without(self, columns: Collection[str]) -> Table:
        """Return the table without some of the dataset's columns."""
        kept = [at for at, name in enumerate(self.names) if column_of(name) not in columns]
        place = {at: new for new, at in enumerate(kept)}
        return replace(
            self,
            matrix=np.ascontiguousarray(self.matrix[:, kept]),
            names=tuple(self.names[at] for at in kept),
            categories={place[at]: values for at, values in self.categories.items() if at in place},
            n_known={place[at]: n for at, n in self.n_known.items() if at in place},
        )

    def value(self, column: int, code: float) -> str:
        """Write a cell as a person knows it."""
        if np.isnan(code):
            return "(missing)"
        return self.categories[column][int(code)] if column in self.categories else f"{code:g}"

    def label(self, code: float) -> str:
        """Write a label as a person knows it."""
        return self.classes[int(code)] if self.classes else f"{code:g}"

    def n_distinct(self, rows: Rows, *, besides: int) -> int:
        """Count rows that differ in another column than this one: the twenty rooms of one travel group are one fact."""
        others = np.delete(self.matrix[rows], besides, axis=1)
        return len(np.unique(np.nan_to_num(others, nan=-1e30), axis=0)) if others.shape[1] else len(rows)

    def runs(self, column: int) -> bool:
        """Say whether a column is a running number or a time: later trusted rows have greater (or smaller) values."""
        ranks = mid_ranks(np.nan_to_num(self.matrix[: self.n_base, column].astype(np.float64)))
        if ranks.min() == ranks.max():
            return False
        return abs(float(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1])) > _RUNNING

    def unseen(self, *, besides: int = -1) -> NDArray[np.bool_]:
        """Mark arriving rows with a category that no trusted row has, in another column than `besides`; shape (n_batch,)."""
        found = np.zeros(self.n_batch, dtype=np.bool_)
        for column, n_known in self.n_known.items():
            if column != besides:
                found |= np.nan_to_num(self.matrix[self.n_base :, column], nan=-1) >= n_known
        return found


def read_table(
    base: pl.DataFrame, batch: pl.DataFrame, base_labels: Floats, batch_labels: Floats, *, classes: tuple[str, ...] = TWO
) -> Table:
    """Read trusted and arriving rows; only columns that both have are read.

    Parameters
    ----------
    base, batch : without the label and what it is computed from; rows with a label
    base_labels, batch_labels : shape (n,), (m,); codes of classes, or numbers
    classes : their names, () for numbers
    """
    columns: list[Matrix] = []
    names: list[str] = []
    categories: dict[int, tuple[str, ...]] = {}
    n_known: dict[int, int] = {}
    for name in base.columns:
        if name not in batch.columns:
            continue
        if _is_text(base[name].dtype) or _is_text(batch[name].dtype):
            texts = base[name].cast(pl.String), batch[name].cast(pl.String)
            if found := _codes(*texts):
                codes, categories[len(columns)], n_known[len(columns)] = found
                columns.append(codes)
                names.append(name)
            elif texts[1].has_nulls() and not texts[0].has_nulls():
                columns.append(_presence(*texts))
                names.append(name)
            continue
        for part_name, part in _numbers(name, base[name], batch[name]):
            if np.nanmin(part, initial=np.inf) < np.nanmax(part, initial=-np.inf) or np.isnan(part).any():
                columns.append(part)
                names.append(part_name)
    matrix = np.column_stack(columns) if columns else np.zeros((base.height + batch.height, 0), np.float32)
    return Table(matrix, np.concatenate([base_labels, batch_labels]), tuple(names), categories, n_known, base.height, classes)


def column_of(name: str) -> str:
    """Return the dataset's column that a column of the table was read from: v of v[3]."""
    return _PLACE.sub("", name)


def numeric_table(matrix: Matrix, labels: Floats, names: Sequence[str], *, n_base: int, classes: tuple[str, ...] = TWO) -> Table:
    """Take a matrix that holds numbers alone, such as a champion's features; its first `n_base` rows are trusted."""
    return Table(matrix, labels, tuple(names), {}, {}, n_base, classes)


def _is_text(dtype: pl.DataType) -> bool:
    return dtype in (pl.String, pl.Categorical, pl.Enum)


def _codes(base: pl.Series, batch: pl.Series) -> tuple[Matrix, tuple[str, ...], int] | None:
    """Number a column's values, the trusted rows' first, by their frequency there; None where they are names of rows or all alike."""
    known = base.drop_nulls().alias("value").value_counts(sort=True)["value"]
    new = batch.drop_nulls().unique(maintain_order=True)
    values = pl.concat([known, new.filter(~new.is_in(known.implode()))])
    n_rows = len(base) + len(batch)
    if len(values) > min(MOST_VALUES, max(20, _NAMES_SHARE * n_rows)) or (len(values) < 2 and not base.has_nulls()):
        return None
    codes = pl.concat([base, batch]).replace_strict(values, pl.Series(range(len(values)), dtype=pl.Float32), default=None)
    return codes.cast(pl.Float32).fill_null(float("nan")).to_numpy(), tuple(values.to_list()), len(known)


def _presence(base: pl.Series, batch: pl.Series) -> Matrix:
    """Read texts that name rows, or are all alike, as there (1) or missing: that they stopped coming is all they say."""
    return pl.concat([base, batch]).is_not_null().cast(pl.Float32).replace(0, None).fill_null(float("nan")).to_numpy()


def _numbers(name: str, base: pl.Series, batch: pl.Series) -> list[tuple[str, Matrix]]:
    """Read a column that is no text as one column of numbers, a vector as several."""
    if isinstance(base.dtype, pl.List | pl.Array):
        return _vector(name, base, batch)
    if base.dtype.is_temporal():
        base, batch = base.to_physical(), batch.cast(base.dtype).to_physical()
    elif not (base.dtype.is_numeric() or base.dtype == pl.Boolean):
        return []
    parts = [series.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy() for series in (base, batch)]
    values = np.concatenate(parts)
    # Times in milliseconds do not fit into the 24 bits of a float32: the trees would see steps of hours.
    offset = np.nanmin(values) if len(values) and not np.isnan(values).all() and np.nanmax(np.abs(values)) > 2**24 else 0.0
    return [(name, (values - offset).astype(np.float32) if offset and base.dtype.is_integer() else values.astype(np.float32))]


def _vector(name: str, base: pl.Series, batch: pl.Series) -> list[tuple[str, Matrix]]:
    matrix = vectors(pl.concat([base, batch.cast(base.dtype)]))
    if matrix is None or matrix.shape[1] > _WIDEST_VECTOR:
        return []
    return [(f"{name}[{i}]", matrix[:, i]) for i in range(matrix.shape[1])]


def vectors(column: pl.Series) -> Matrix | None:
    """Return a column of vectors as a matrix, shape (n, d); None where it holds no numbers or vectors of several lengths."""
    lists = column.arr.to_list() if isinstance(column.dtype, pl.Array) else column
    if not isinstance(lists.dtype, pl.List) or not lists.dtype.inner.is_numeric():
        return None
    lengths = lists.list.len().drop_nulls().unique()
    if len(lengths) != 1:
        return None
    width = int(lengths[0])
    flat = lists.fill_null([float("nan")] * width).explode().cast(pl.Float32).fill_null(float("nan"))
    return flat.to_numpy().reshape(len(lists), width)
