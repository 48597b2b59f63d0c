"""Rows of two versions that have the same key, and which of them differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.store.tables import parts
from sampan.store.tables.deletions import Positions
from sampan.store.tables.left_rows import Left
from sampan.store.tables.parts import exactly
from sampan.store.tables.retyped import Types, differ, differing, retyped_columns

_N_TRIED = 1_024  # pairs that tell in which columns to look first


def key_part(column: int) -> str:
    """Return the name that a column of the key has in a frame of pairs; its own may be any, also one that Polars takes for a pattern."""
    return f"key {column}"


def old_value(column: int) -> str:
    """Return the name of a column's values before."""
    return f"before {column}"


def new_value(column: int) -> str:
    """Return the name of a column's values after."""
    return f"after {column}"


@dataclass(frozen=True, slots=True)
class Matched:
    """Pairs of rows with the same key: the key as `key_part`, and of column i of `columns` `old_value(i)` and `new_value(i)`."""

    frame: pl.LazyFrame
    columns: Sequence[str]
    retyped: Mapping[str, Types]
    n_rows: int = 0

    @classmethod
    def side_by_side(
        cls, old: pl.LazyFrame, new: pl.LazyFrame, key: Sequence[str], columns: Sequence[str], *, retyped: Mapping[str, Types]
    ) -> Matched:
        """Lay frames with the same rows in the same order side by side."""
        one, other = _named_old(old, key, columns), _named_new(new, columns)
        return cls(pl.concat([one, other], how="horizontal"), columns, retyped)

    def differs(self, column: int) -> pl.Expr:
        """Return whether a column's values differ."""
        return differ(pl.col(old_value(column)), pl.col(new_value(column)), self.retyped.get(self.columns[column]))

    def changed_keys(self, key: Sequence[str]) -> pl.LazyFrame:
        """Return the keys of the pairs that differ."""
        changed = self.frame.filter(pl.any_horizontal(pl.lit(value=False), *map(self.differs, range(len(self.columns)))))
        return changed.select(pl.col(key_part(i)).alias(name) for i, name in enumerate(key))


class Partners:
    """The rows left over on both sides, matched by key. Many are joined as a stream, a few once, by the numbers they have there."""

    def __init__(self, old: Left, new: Left, key: Sequence[str]) -> None:
        self._old, self._new, self._key = old, new, key
        self._on = [exactly([name]) for name in key]
        self._retyped = retyped_columns(old.schema, new.schema)

    @property
    def are_few(self) -> bool:
        """Whether both sides may be held in memory."""
        return self._old.is_small and self._new.is_small

    @property
    def n_pairs(self) -> int:
        """How many rows have a partner, where they are few."""
        return len(self._pairs[0])

    @cached_property
    def alone_before(self) -> pl.LazyFrame:
        """The keys that only the version before has, and as last column their rows' number."""
        if self.are_few:
            return _left_out(self._old_keys, self._pairs[0]).lazy()
        return self._anti_join(self._old, self._new)

    @cached_property
    def alone_after(self) -> pl.LazyFrame:
        """The keys that only the version after has, and as last column their rows' number."""
        if self.are_few:
            return _left_out(self._new_keys, self._pairs[1]).lazy()
        return self._anti_join(self._new, self._old)

    def matched(self, columns: Sequence[str]) -> Matched:
        """Return all pairs with some columns of theirs."""
        if self.are_few:
            at, partner = self._pairs
            old, new = self._old.rows(at, [*self._key, *columns]), _in_order(self._new, partner, columns)
            return Matched.side_by_side(old.lazy(), new.lazy(), self._key, columns, retyped=self._retyped)
        old_rows, new_rows = (side.read([*self._key, *columns]) for side in (self._old, self._new))
        one = _named_old(old_rows, self._key, columns)
        other = new_rows.select(*_key_parts(self._key), *_values(columns, new_value))
        joined = one.join(other, on=[key_part(i) for i in range(len(self._key))], how="inner", nulls_equal=True)
        return Matched(joined, columns, self._retyped)

    def changed_keys(self, columns: Sequence[str]) -> pl.LazyFrame:
        """Return the keys of the pairs that differ in some columns.

        A few pairs tell which columns differ most; only pairs that are alike in those are read whole. Where one column was corrected
        all over a table, the others are not read.
        """
        if not self.are_few:
            return self.matched(columns).changed_keys(self._key)
        telling = _telling(self._differences(np.arange(min(self.n_pairs, _N_TRIED)), columns))
        first = [name for i, name in enumerate(columns) if i in telling]
        alike = np.arange(self.n_pairs)
        changed = np.zeros(self.n_pairs, dtype=bool)
        for some in (first, [name for name in columns if name not in first]):
            if some and len(alike):
                found = self._differences(alike, some).any(axis=1)
                changed[alike[found]] = True
                alike = alike[~found]
        at = pl.Series(self._pairs[0][changed])
        return self._old_keys.select(exactly(self._key)).select(pl.all().gather(at)).lazy()

    def _differences(self, pairs: Positions, columns: Sequence[str]) -> NDArray[np.bool_]:
        """Return which of some columns differ in some of the pairs, of shape (pairs, columns)."""
        at, partner = self._pairs
        old, new = self._old.rows(at[pairs], columns), _in_order(self._new, partner[pairs], columns)
        found = [differing(one, other).to_numpy() for one, other in zip(old.get_columns(), new.get_columns(), strict=True)]
        return np.column_stack(found) if found else np.zeros((len(pairs), 0), dtype=bool)

    @cached_property
    def _pairs(self) -> tuple[Positions, Positions]:
        """The numbers of rows with the same key, ascending on the side before."""
        joined = self._old_keys.join(self._new_keys, on=self._on, how="inner", nulls_equal=True, maintain_order="left", suffix=" after")
        n = len(self._key)
        at, partner = (joined.to_series(place).cast(pl.Int64).to_numpy() for place in (n, n + 1))
        return at, partner

    @cached_property
    def _old_keys(self) -> pl.DataFrame:
        return _numbered_keys(self._old, self._key).collect(engine="streaming")

    @cached_property
    def _new_keys(self) -> pl.DataFrame:
        return _numbered_keys(self._new, self._key).collect(engine="streaming")

    def _anti_join(self, rows: Left, others: Left) -> pl.LazyFrame:
        return _numbered_keys(rows, self._key).join(others.read(self._key), on=self._on, how="anti", nulls_equal=True)


def _telling(differences: NDArray[np.bool_]) -> set[int]:
    """Return columns so that every pair that differs differs in one of them; those that differ in most pairs first."""
    left, telling = differences[differences.any(axis=1)], set[int]()
    while len(left):
        most = int(left.sum(axis=0).argmax())
        telling.add(most)
        left = left[~left[:, most]]
    return telling


def _key_parts(key: Sequence[str]) -> list[pl.Expr]:
    return [exactly([name]).alias(key_part(i)) for i, name in enumerate(key)]


def _values(columns: Sequence[str], name_of: Any) -> list[pl.Expr]:
    return [exactly([name]).alias(name_of(i)) for i, name in enumerate(columns)]


def _named_old(rows: pl.LazyFrame, key: Sequence[str], columns: Sequence[str]) -> pl.LazyFrame:
    return rows.select(*_key_parts(key), *_values(columns, old_value))


def _named_new(rows: pl.LazyFrame, columns: Sequence[str]) -> pl.LazyFrame:
    return rows.select(_values(columns, new_value))


def _numbered_keys(rows: Left, key: Sequence[str]) -> pl.LazyFrame:
    row = parts.free_name(key, "row")
    return rows.read(key).with_row_index(row).select(exactly([*key, row]))


def _in_order(rows: Left, at: Positions, names: Sequence[str]) -> pl.DataFrame:
    """Return rows by their numbers, in any order, each once."""
    if not names or not len(at) or (at[1:] > at[:-1]).all():
        return rows.rows(at, names)
    order = np.argsort(at)
    return rows.rows(at[order], names)[np.argsort(order)]


def _left_out(keys: pl.DataFrame, at: Positions) -> pl.DataFrame:
    alone = np.ones(keys.height, dtype=bool)
    alone[at] = False
    return keys.filter(pl.Series(alone))
