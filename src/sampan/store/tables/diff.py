"""The difference of two table versions, by key.

Parts that both versions have are the same rows, known without reading them. What is left is read: rows that died or were added are
matched by key; columns laid over a shared part are compared row for row, no join needed. Two tables that share nothing are simply all
left over. The answer equals a full join of both tables always.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
import polars as pl

from sampan.core.digests import Digest
from sampan.errors import ParameterError
from sampan.store.tables import edits, parts
from sampan.store.tables.deletions import Positions
from sampan.store.tables.left_rows import Left, Piece
from sampan.store.tables.manifest import Part
from sampan.store.tables.part_keys import PartKeys
from sampan.store.tables.partners import Matched, Partners, key_part, new_value, old_value
from sampan.store.tables.parts import Reader, exactly
from sampan.store.tables.retyped import Types, retyped_columns
from sampan.store.tables.versions import ChangedRow, Retyped, RowCounts, TableDiff

N_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two versions."""

    version: Digest
    parts: list[Part]
    schema: pl.Schema

    @property
    def n_rows(self) -> int:
        """Rows a reader sees."""
        return sum(part.n_live for part in self.parts)


@dataclass(slots=True)
class _Changes:
    """Changed rows, counted over several sources."""

    n_rows: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    _keys: list[pl.DataFrame] = field(default_factory=list)
    _rows: list[ChangedRow] = field(default_factory=list)

    def add(self, matched: Matched, key: Sequence[str]) -> int:
        """Count the pairs that differ, and keep the first few; return how many pairs there are."""
        numbers = range(len(matched.columns))
        changed = pl.any_horizontal(pl.lit(value=False), *map(_differs, numbers))
        told = matched.frame.with_columns(matched.differs(i).alias(_differs(i)) for i in numbers).with_columns(changed.alias(_DIFFERS))
        sums = told.select(pl.len(), *(pl.col(name).sum() for name in (_DIFFERS, *map(_differs, numbers))))
        n_pairs, n_changed, *counts = sums.collect(engine="streaming").row(0)
        self.n_rows += n_changed
        self.columns.update(dict(zip(matched.columns, counts, strict=True)))
        if n_changed:
            self._keep_examples(told.filter(_DIFFERS), matched.columns, key)
        return int(n_pairs)

    def smallest(self) -> list[ChangedRow]:
        """Return the examples with the smallest keys."""
        if not self._keys:
            return []
        keys = pl.concat(self._keys)
        order = keys.with_row_index("row").sort(keys.columns)["row"].head(N_EXAMPLES)
        return [self._rows[row] for row in order]

    def _keep_examples(self, changed: pl.LazyFrame, columns: Sequence[str], key: Sequence[str]) -> None:
        names = [key_part(i) for i in range(len(key))]
        first = changed.sort(names).head(N_EXAMPLES).collect(engine="streaming")
        self._keys.append(first.select(names))
        for row in first.iter_rows(named=True):
            touched = [i for i in range(len(columns)) if row[_differs(i)]]
            self._rows.append(
                ChangedRow(
                    key={name: row[key_part(i)] for i, name in enumerate(key)},
                    before={columns[i]: row[old_value(i)] for i in touched},
                    after={columns[i]: row[new_value(i)] for i in touched},
                )
            )


def compare(before: Side, after: Side, *, key: Sequence[str], blobs: Reader) -> TableDiff:
    """Compare two versions. Raises ParameterError for a key that does not name each row of both."""
    found = _Compared.of(before, after, key, blobs)
    found.check_unique()
    changes = _Changes()
    for matched in found.laid_over:
        changes.add(matched, key)
    n_both = changes.add(found.partners.matched(found.values), key)
    counts = found.counts(n_both, changes.n_rows)
    return TableDiff(
        before=before.version,
        after=after.version,
        key=tuple(key),
        **msgspec.structs.asdict(counts),
        changed_columns={name: changes.columns[name] for name in found.values if changes.columns[name]},
        columns_added={name: str(dtype) for name, dtype in after.schema.items() if name not in before.schema},
        columns_removed={name: str(dtype) for name, dtype in before.schema.items() if name not in after.schema},
        columns_retyped={name: Retyped(*map(str, types)) for name, types in retyped_columns(before.schema, after.schema).items()},
        examples_added=_examples(found.new, found.partners.alone_after, key) if counts.n_added else [],
        examples_removed=_examples(found.old, found.partners.alone_before, key) if counts.n_removed else [],
        examples_changed=changes.smallest(),
        n_compared=found.n_compared,
    )


def count_rows(before: Side, after: Side, *, key: Sequence[str], blobs: Reader) -> RowCounts:
    """Count the rows that were added, removed or changed: what `compare` counts, for less reading. Raises as `compare`."""
    found = _Compared.of(before, after, key, blobs)
    found.check_unique()
    if not found.partners.are_few:
        full = compare(before, after, key=key, blobs=blobs)
        return RowCounts(full.n_added, full.n_removed, full.n_changed, full.n_same)
    return found.counts(found.partners.n_pairs, sum(_n_rows(keys) for keys in found.changed_keys()))


def touched_keys(before: Side, after: Side, *, key: Sequence[str], blobs: Reader) -> pl.DataFrame:
    """Return the keys of all rows that were added, removed or changed, each once, in no order; several rows may share one.

    Only columns that both versions have are compared, as everywhere in a difference. Raises ParameterError for a key that not both have.
    """
    found = _Compared.of(before, after, key, blobs)
    touched = [found.partners.alone_after, found.partners.alone_before, *found.changed_keys()]
    return pl.concat([keys.select(exactly(key)) for keys in touched]).unique().collect(engine="streaming")


def _n_rows(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect(engine="streaming").item())


@dataclass(frozen=True, slots=True)
class _Compared:
    """Two versions, as far as their structure and their keys tell how they differ."""

    before: Side
    after: Side
    key: Sequence[str]
    keys: PartKeys  # of the version before
    values: list[str]  # columns that both have, the key apart
    old: Left
    new: Left
    laid_over: list[Matched]
    partners: Partners

    @classmethod
    def of(cls, before: Side, after: Side, key: Sequence[str], blobs: Reader) -> _Compared:
        """Split and match their rows. Raises ParameterError for a key that not both have."""
        _check_keys(before, after, key)
        values = [name for name in before.schema if name in after.schema and name not in key]
        keys = PartKeys(before.parts, before.schema, key, blobs)
        old, new, laid_over = _split(before, after, key, values, blobs, keys)
        return cls(before, after, key, keys, values, old, new, laid_over, Partners(old, new, key))

    def check_unique(self) -> None:
        """Raise ParameterError for a key that does not name each row of both.

        What both versions share is unique if the earlier version is: so nothing can be twice but what is new, or has a key that is there.
        """
        runs, every = self.keys.runs(), pl.DataFrame()
        if runs is None or not runs.are_unique():
            every = self.keys.all()
            edits.check_unique(every, self.key, f"the version before, {self.before.version}")
        whose = f"the version after, {self.after.version}"
        edits.check_unique(self.new.read(self.key).collect(engine="streaming"), self.key, whose)
        added = self.partners.alone_after.select(exactly(self.key)).collect(engine="streaming")
        if runs is not None:
            twice = added.filter(runs.holds(added.to_series()))
        else:
            twice = every.join(added, on=[exactly([name]) for name in self.key], how="semi", nulls_equal=True).head(1)
        if twice.height:
            raise edits.not_unique(self.key, twice.row(0), whose)

    @property
    def n_compared(self) -> int:
        """How many rows have to be read."""
        return self.old.n_rows + self.new.n_rows + sum(matched.n_rows for matched in self.laid_over)

    def changed_keys(self) -> list[pl.LazyFrame]:
        """Return the keys of the rows that both have and that differ."""
        every = [matched.changed_keys(self.key) for matched in self.laid_over]
        return [*every, self.partners.changed_keys(self.values)] if self.values else every

    def counts(self, n_both: int, n_changed: int) -> RowCounts:
        """Say how many rows came, went, changed and stayed, given how many of those left over have a partner, and how many changed."""
        n_added = self.new.n_rows - n_both
        return RowCounts(n_added, self.old.n_rows - n_both, n_changed, self.after.n_rows - n_added - n_changed)


def _check_keys(before: Side, after: Side, key: Sequence[str]) -> None:
    edits.check_key(key, before.schema)
    edits.check_key(key, after.schema)
    for name in key:
        if before.schema[name] != after.schema[name]:
            raise ParameterError(
                f"the key column {name} is {before.schema[name]} in one version and {after.schema[name]} in the other",
                hint=f"declare one type for {name} (in sampan.toml: types = {{ {name} = … }}), add the data again, and compare that",
            )


# -- what the structure tells


def _split(
    before: Side, after: Side, key: Sequence[str], values: Sequence[str], blobs: Reader, keys: PartKeys
) -> tuple[Left, Left, list[Matched]]:
    partners = pair(before.parts, after.parts, key)
    paired = set(partners.values())
    left_before = [Piece(part, before.schema, blobs) for at, part in enumerate(before.parts) if at not in partners]
    left_after = [Piece(part, after.schema, blobs) for at, part in enumerate(after.parts) if at not in paired]
    laid_over = []
    retyped = retyped_columns(before.schema, after.schema)
    for one, other in partners.items():
        old, new = before.parts[one], after.parts[other]
        dead_before, dead_after = parts.dead_rows(old, blobs), parts.dead_rows(new, blobs)
        died = np.setdiff1d(dead_after, dead_before, assume_unique=True)
        revived = np.setdiff1d(dead_before, dead_after, assume_unique=True)
        if len(died):
            theirs = keys.of_part(one)
            known = None if theirs is None else theirs.gather(pl.Series(died - np.searchsorted(dead_before, died)))
            left_before.append(Piece(old, before.schema, blobs, died, known))
        if len(revived):
            left_after.append(Piece(new, after.schema, blobs, revived))
        columns = [name for name in values if source_of(old, name) != source_of(new, name)]
        if columns:
            laid_over.append(_laid_over(old, new, np.union1d(dead_before, dead_after), key, columns, retyped, blobs))
    return Left(left_before, before.schema), Left(left_after, after.schema), laid_over


def pair(before: Sequence[Part], after: Sequence[Part], key: Sequence[str]) -> dict[int, int]:
    """Pair positions of parts with the same file and key columns. Those alike in everything come first."""
    partners: dict[int, int] = {}
    for alike in (_identity, lambda part: (part.base, tuple(source_of(part, name) for name in key))):
        waiting: dict[object, list[int]] = {}
        taken = set(partners.values())
        for position, part in enumerate(after):
            if position not in taken:
                waiting.setdefault(alike(part), []).append(position)
        for position, part in enumerate(before):
            if position not in partners and (found := waiting.get(alike(part))):
                partners[position] = found.pop(0)
    return partners


def _identity(part: Part) -> object:
    return part.base, part.dead, part.overlays


def source_of(part: Part, column: str) -> Digest:
    """Return the object a part's column is read from."""
    for overlay in reversed(part.overlays):
        if column in overlay.columns:
            return overlay.data
    return part.base


def _laid_over(
    old: Part, new: Part, dead: Positions, key: Sequence[str], columns: Sequence[str], retyped: Mapping[str, Types], blobs: Reader
) -> Matched:
    one, other = parts.scan_with_dead(old, blobs), parts.scan_with_dead(new, blobs)
    matched = replace(Matched.side_by_side(one, other, key, columns, retyped=retyped), n_rows=old.n_rows - len(dead))
    if not len(dead):
        return matched
    left = ~pl.col("row").is_in(pl.Series(dead).cast(pl.UInt32).implode())
    return replace(matched, frame=matched.frame.with_row_index("row").filter(left).drop("row"))


# -- what is said of rows and columns


_DIFFERS = "differs"


def _differs(column: int) -> str:
    return f"{_DIFFERS} {column}"


def _examples(rows: Left, alone: pl.LazyFrame, key: Sequence[str]) -> list[dict[str, Any]]:
    # Of all rows only the keys were matched, and are sorted.
    first = alone.sort(exactly(key)).head(N_EXAMPLES).select(pl.last()).collect(engine="streaming").to_series()
    return rows.rows(first.sort().cast(pl.Int64).to_numpy(), rows.schema.names()).sort(exactly(key)).to_dicts()


def columns_written(before: Side, after: Side, names: Sequence[str]) -> list[str]:
    """Return which columns differ in type or presence, or are read from other objects in parts with the same file.

    Where a file of the earlier version is gone, its rows were rewritten or deleted; any column may have been written then.
    """
    sources = {part.base: part for part in before.parts}
    if not sources.keys() <= {part.base for part in after.parts}:
        return [name for name in names if name in before.schema or name in after.schema]
    written = {
        name for part in after.parts if (old := sources.get(part.base)) for name in names if source_of(old, name) != source_of(part, name)
    }
    return [name for name in names if name in written or before.schema.get(name) != after.schema.get(name)]
