"""The rows by which two table versions differ, as they were and as they are. No key is needed, and nothing that both share is read.

Parts that both versions have are the same rows in the same order. What is left: rows that died, rows in parts of their own, and rows of
shared parts over which columns were laid anew, compared where they stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from sampan.store.tables import deletions, parts
from sampan.store.tables.deletions import Positions
from sampan.store.tables.diff import Side, pair, source_of
from sampan.store.tables.manifest import Part
from sampan.store.tables.parts import Reader, exactly


@dataclass(frozen=True, slots=True)
class RowChanges:
    """Rows of one version that the other does not have, in some columns. A row that was changed is in both."""

    gone: pl.DataFrame
    come: pl.DataFrame
    come_last: bool  # all that came stands, in this order, behind all that both versions have


def row_changes(before: Side, after: Side, columns: Sequence[str], blobs: Reader, *, most_rows: int) -> RowChanges | None:
    """Return how versions differ in some columns; None where a column was retyped, or over `most_rows` rows may differ."""
    schema = pl.Schema({name: after.schema[name] for name in columns if name in after.schema})
    if len(schema) < len(columns) or any(before.schema.get(name) != dtype for name, dtype in schema.items()):
        return None
    partners = pair(before.parts, after.parts, ())
    shared = set(partners.values())
    if [partners[at] for at in sorted(partners)] != sorted(shared):
        return None  # what both have stands in another order
    own_before = [part for at, part in enumerate(before.parts) if at not in partners]
    own_after = [part for at, part in enumerate(after.parts) if at not in shared]
    changed = [_Shared.of(before.parts[one], after.parts[other], columns, blobs) for one, other in partners.items()]
    if sum(part.n_live for part in (*own_before, *own_after)) + sum(each.n_rows for each in changed) > most_rows:
        return None
    gone, come = [_read(own_before, schema, blobs)], [_read(own_after, schema, blobs)]
    for each in changed:
        each.read(schema, blobs, gone, come)
    stays = not any(len(each.revived) or each.columns for each in changed)
    come_last = stays and max(shared, default=-1) < min(set(range(len(after.parts))) - shared, default=len(after.parts))
    return RowChanges(pl.concat(gone), pl.concat(come), come_last)


@dataclass(frozen=True, slots=True)
class _Shared:
    """A file that both versions have: which of its rows died or came back, and which columns were laid over it anew."""

    old: Part
    new: Part
    died: Positions
    revived: Positions
    dead: Positions  # in either
    columns: list[str]

    @classmethod
    def of(cls, old: Part, new: Part, columns: Sequence[str], blobs: Reader) -> _Shared:
        laid_over = [name for name in columns if source_of(old, name) != source_of(new, name)]
        if old.dead == new.dead:
            same = parts.dead_rows(old, blobs) if laid_over else deletions.none()
            return cls(old, new, deletions.none(), deletions.none(), same, laid_over)
        before, after = parts.dead_rows(old, blobs), parts.dead_rows(new, blobs)
        died, revived = np.setdiff1d(after, before, assume_unique=True), np.setdiff1d(before, after, assume_unique=True)
        return cls(old, new, died, revived, np.union1d(before, after), laid_over)

    @property
    def n_rows(self) -> int:
        """How many rows may differ."""
        return self.old.n_rows if self.columns else len(self.died) + len(self.revived)

    def read(self, schema: pl.Schema, blobs: Reader, gone: list[pl.DataFrame], come: list[pl.DataFrame]) -> None:
        """Add the rows that differ."""
        if len(self.died):
            gone.append(parts.rows_at(self.old, self.died, schema, blobs).collect())
        if len(self.revived):
            come.append(parts.rows_at(self.new, self.revived, schema, blobs).collect())
        if self.columns:
            one, other = (parts.scan_with_dead(part, blobs).select(exactly(schema.names())).collect() for part in (self.old, self.new))
            differs = np.zeros(one.height, np.bool_)
            for name in self.columns:
                differs |= one[name].ne_missing(other[name]).to_numpy()
            differs[self.dead] = False
            gone.append(one.filter(pl.Series(differs)))
            come.append(other.filter(pl.Series(differs)))


def _read(own: Sequence[Part], schema: pl.Schema, blobs: Reader) -> pl.DataFrame:
    return parts.scan(own, schema, blobs).select(exactly(schema.names())).collect()
