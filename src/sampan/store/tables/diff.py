"""The difference of two table versions, by key.

Parts that both versions have are the same rows, known without reading them. What is left is read: rows that died or were added are
matched by key; columns laid over a shared part are compared row for row, no join needed. Two tables that share nothing are simply all
left over. The answer equals a full join of both tables always.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from sampan.core.digests import Digest
from sampan.errors import ParameterError
from sampan.store.tables import edits, parts
from sampan.store.tables.deletions import Positions
from sampan.store.tables.key_runs import KeyRuns
from sampan.store.tables.left_rows import Left, Piece
from sampan.store.tables.manifest import Part
from sampan.store.tables.part_keys import PartKeys
from sampan.store.tables.parts import Reader, exactly
from sampan.store.tables.versions import ChangedRow, Retyped, TableDiff

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


@dataclass(frozen=True, slots=True)
class _Matched:
    """Pairs of rows with the same key: key column i as `key i`, and of column i of `columns` the values `before i` and `after i`."""

    frame: pl.LazyFrame
    columns: list[str]
    n_rows: int = 0


@dataclass(slots=True)
class _Changes:
    """Changed rows, counted over several sources."""

    n_rows: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    _keys: list[pl.DataFrame] = field(default_factory=list)
    _rows: list[ChangedRow] = field(default_factory=list)

    def add(self, matched: _Matched, key: Sequence[str]) -> int:
        """Count the pairs that differ, and keep the first few; return how many pairs there are."""
        numbers = range(len(matched.columns))
        differs = [pl.col(_before(i)).ne_missing(pl.col(_after(i))).alias(_differs(i)) for i in numbers]
        changed = pl.any_horizontal(pl.lit(value=False), *(_differs(i) for i in numbers))
        told = matched.frame.with_columns(differs).with_columns(changed.alias(_DIFFERS))
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
        names = [_key(i) for i in range(len(key))]
        first = changed.sort(names).head(N_EXAMPLES).collect(engine="streaming")
        self._keys.append(first.select(names))
        for row in first.iter_rows(named=True):
            touched = [i for i in range(len(columns)) if row[_differs(i)]]
            self._rows.append(
                ChangedRow(
                    key={name: row[_key(i)] for i, name in enumerate(key)},
                    before={columns[i]: row[_before(i)] for i in touched},
                    after={columns[i]: row[_after(i)] for i in touched},
                )
            )


def compare(before: Side, after: Side, *, key: Sequence[str], blobs: Reader) -> TableDiff:
    """Compare two versions. Raises ParameterError for a key that does not name each row of both."""
    _check_keys(before, after, key)
    common = [name for name, dtype in before.schema.items() if after.schema.get(name) == dtype]
    values = [name for name in common if name not in key]
    keys = PartKeys(before.parts, before.schema, key, blobs)
    old, new, laid_over = _split(before, after, key, values, blobs, keys)
    runs, every = _check_unique(before, after, new, key=key, keys=keys)
    partners = _partners(old, new, key, values)
    _check_met(runs, every, partners.alone_after, key=key, whose=_whose(after))
    changes = _Changes()
    for matched in laid_over:
        changes.add(matched, key)
    n_both = changes.add(partners.matched, key)
    n_added, n_removed = new.n_rows - n_both, old.n_rows - n_both
    return TableDiff(
        before=before.version,
        after=after.version,
        key=tuple(key),
        n_added=n_added,
        n_removed=n_removed,
        n_changed=changes.n_rows,
        n_same=after.n_rows - n_added - changes.n_rows,
        changed_columns={name: changes.columns[name] for name in values if changes.columns[name]},
        columns_added={name: str(dtype) for name, dtype in after.schema.items() if name not in before.schema},
        columns_removed={name: str(dtype) for name, dtype in before.schema.items() if name not in after.schema},
        columns_retyped=_retyped(before.schema, after.schema),
        examples_added=_examples(new, partners.alone_after, key) if n_added else [],
        examples_removed=_examples(old, partners.alone_before, key) if n_removed else [],
        examples_changed=changes.smallest(),
        n_compared=old.n_rows + new.n_rows + sum(matched.n_rows for matched in laid_over),
    )


def _check_keys(before: Side, after: Side, key: Sequence[str]) -> None:
    edits.check_key(key, before.schema)
    edits.check_key(key, after.schema)
    for name in key:
        if before.schema[name] != after.schema[name]:
            raise ParameterError(
                f"the key column {name} is {before.schema[name]} in one version and {after.schema[name]} in the other",
                hint="cast it to one type in a new version first",
            )


def _check_unique(before: Side, after: Side, new: Left, *, key: Sequence[str], keys: PartKeys) -> tuple[KeyRuns | None, pl.DataFrame]:
    """Check the keys of the version before, and those of the rows that are `new`; return the former, as runs or as they are."""
    runs, every = keys.runs(), pl.DataFrame()
    if runs is None or not runs.are_unique():
        every = keys.all()
        edits.check_unique(every, key, f"the version before, {before.version}")
    edits.check_unique(new.read(key).collect(engine="streaming"), key, _whose(after))
    return runs, every


def _check_met(runs: KeyRuns | None, every: pl.DataFrame, alone: pl.LazyFrame, *, key: Sequence[str], whose: str) -> None:
    """Refuse rows that have no partner among those left over, yet a key of the version before.

    What both versions share is unique if the earlier version is; so nothing else can be twice.
    """
    added = alone.select(exactly(key)).collect(engine="streaming")
    if runs is not None:
        twice = added.filter(runs.holds(added.to_series()))
    else:
        twice = every.join(added, on=[exactly([name]) for name in key], how="semi", nulls_equal=True).head(1)
    if twice.height:
        raise edits.not_unique(key, twice.row(0), whose)


def _whose(after: Side) -> str:
    return f"the version after, {after.version}"


# -- what the structure tells


def _split(
    before: Side, after: Side, key: Sequence[str], values: Sequence[str], blobs: Reader, keys: PartKeys
) -> tuple[Left, Left, list[_Matched]]:
    partners = pair(before.parts, after.parts, key)
    paired = set(partners.values())
    left_before = [Piece(part, before.schema, blobs) for at, part in enumerate(before.parts) if at not in partners]
    left_after = [Piece(part, after.schema, blobs) for at, part in enumerate(after.parts) if at not in paired]
    laid_over = []
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
            laid_over.append(_laid_over(old, new, np.union1d(dead_before, dead_after), key, columns, blobs))
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


def _laid_over(old: Part, new: Part, dead: Positions, key: Sequence[str], columns: Sequence[str], blobs: Reader) -> _Matched:
    one = parts.scan_with_dead(old, blobs).select(_renamed(key, _key) + _renamed(columns, _before))
    other = parts.scan_with_dead(new, blobs).select(_renamed(columns, _after))
    frame = pl.concat([one, other], how="horizontal")
    if len(dead):
        frame = frame.with_row_index("row").filter(~pl.col("row").is_in(pl.Series(dead).cast(pl.UInt32).implode())).drop("row")
    return _Matched(frame, list(columns), old.n_rows - len(dead))


# -- what has to be read


def _key(column: int) -> str:
    return f"key {column}"


def _before(column: int) -> str:
    return f"before {column}"


def _after(column: int) -> str:
    return f"after {column}"


def _differs(column: int) -> str:
    return f"differs {column}"


_DIFFERS = "differs"


def _renamed(columns: Sequence[str], name_of: Callable[[int], str]) -> list[pl.Expr]:
    return [exactly([name]).alias(name_of(i)) for i, name in enumerate(columns)]


@dataclass(frozen=True, slots=True)
class _Partners:
    """Which rows of both sides have the same key; of the others their keys, and as last column their number."""

    matched: _Matched
    alone_before: pl.LazyFrame
    alone_after: pl.LazyFrame


def _partners(old: Left, new: Left, key: Sequence[str], values: Sequence[str]) -> _Partners:
    one, other = _numbered_keys(old, key), _numbered_keys(new, key)
    on = [exactly([name]) for name in key]
    if not (old.is_small and new.is_small):
        alone = [a.join(b.select(exactly(key)), on=on, how="anti", nulls_equal=True) for a, b in ((one, other), (other, one))]
        return _Partners(_join(old, new, key, values), *alone)
    keys, others = one.collect(engine="streaming"), other.collect(engine="streaming")
    pairs = keys.join(others, on=on, how="inner", nulls_equal=True, maintain_order="left", suffix=" after")
    at, partner = (pairs.to_series(place).cast(pl.Int64).to_numpy() for place in (len(key), len(key) + 1))
    columns = [
        old.rows(at, [*key, *values]).select(_renamed(key, _key) + _renamed(values, _before)),
        _in_order(new, partner, values).select(_renamed(values, _after)),
    ]
    matched = _Matched(pl.concat(columns, how="horizontal").lazy(), list(values))
    return _Partners(matched, _left_out(keys, at).lazy(), _left_out(others, partner).lazy())


def _join(before: Left, after: Left, key: Sequence[str], values: Sequence[str]) -> _Matched:
    one = before.read([*key, *values]).select(_renamed(key, _key) + _renamed(values, _before))
    other = after.read([*key, *values]).select(_renamed(key, _key) + _renamed(values, _after))
    on = [_key(i) for i in range(len(key))]
    return _Matched(one.join(other, on=on, how="inner", nulls_equal=True), list(values))


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


def _examples(rows: Left, alone: pl.LazyFrame, key: Sequence[str]) -> list[dict[str, Any]]:
    # Of all rows only the keys were matched, and are sorted.
    first = alone.sort(exactly(key)).head(N_EXAMPLES).select(pl.last()).collect(engine="streaming").to_series()
    return rows.rows(first.sort().cast(pl.Int64).to_numpy(), rows.schema.names()).sort(exactly(key)).to_dicts()


def _retyped(before: pl.Schema, after: pl.Schema) -> dict[str, Retyped]:
    both = {name: (dtype, after[name]) for name, dtype in before.items() if name in after}
    return {name: Retyped(str(old), str(new)) for name, (old, new) in both.items() if old != new}


def touched_keys(before: Side, after: Side, *, key: Sequence[str], blobs: Reader) -> pl.DataFrame:
    """Return the keys of all rows that were added, removed or changed, each once, in no order. Raises as `compare`.

    Only columns that both versions have are compared, as everywhere in a difference.
    """
    _check_keys(before, after, key)
    common = [name for name, dtype in before.schema.items() if after.schema.get(name) == dtype]
    values = [name for name in common if name not in key]
    old, new, laid_over = _split(before, after, key, values, blobs, PartKeys(before.parts, before.schema, key, blobs))
    partners = _partners(old, new, key, values)
    names = {_key(i): name for i, name in enumerate(key)}
    found = [partners.alone_after, partners.alone_before]
    found += [_changed(matched).select(list(names)).rename(names) for matched in (*laid_over, partners.matched) if matched.columns]
    return pl.concat([frame.select(exactly(key)) for frame in found]).unique().collect(engine="streaming")


def _changed(matched: _Matched) -> pl.LazyFrame:
    return matched.frame.filter(pl.any_horizontal(pl.col(_before(i)).ne_missing(pl.col(_after(i))) for i in range(len(matched.columns))))


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
