"""What a batch's rows do to a table: those with a new key are added, those with a known one replace what is there.

A row that is already there as it is changes nothing; a row older than the one there (by the dataset's time) came late and is left out.
The cost follows the batch: of the table only the key is read, and the rows that share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sampan.core.graph import Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from sampan.store.tables import TableVersion
    from sampan.table.reconcile import Plan
    from sampan.workspace.workspace import Workspace

_THEIRS = "\0there"


@dataclass(frozen=True, slots=True)
class Edit:
    """A table version made of another by a batch, and what the rows did."""

    version: TableVersion
    n_new: int = 0
    n_replaced: int = 0
    n_same: int = 0
    n_late: int = 0

    def counts(self) -> dict[str, int]:
        """Return what is not zero."""
        counts = {"n_new": self.n_new, "n_replaced": self.n_replaced, "n_same": self.n_same, "n_late": self.n_late}
        return {name: n for name, n in counts.items() if n}


def edit_rows(ws: Workspace, before: Node, frame: pl.DataFrame, plan: Plan) -> Edit:
    """Bring a batch's rows into the table of a dataset version."""
    import polars as pl

    tables = ws.store.tables
    said = ws.catalog.asset("dataset", before.name).facts
    key, time = [str(column) for column in said.get("key", ())], str(said.get("time", ""))
    version = tables.info(before.digest)
    if added := plan.added():
        empty = pl.DataFrame({name: pl.Series([None], dtype=frame.schema[name]).new_from_index(0, version.n_rows) for name in added})
        version = tables.overlay(version.digest, empty)
    if not frame.height:
        return Edit(version)
    if not key:
        return Edit(tables.append(version.digest, frame), n_new=frame.height)
    there = tables.scan(version.digest).select(key).join(frame.lazy().select(key), on=key, how="semi", nulls_equal=True).collect()
    if not there.height:
        return Edit(tables.append(version.digest, frame), n_new=frame.height)
    present = tables.scan(version.digest).join(there.lazy(), on=key, how="semi", nulls_equal=True).collect(engine="streaming")
    same, late = _compare(frame, present, key, time)
    wanted = frame.filter(~(same | late))
    n_replaced = there.height - int(same.sum()) - int(late.sum())
    if wanted.height:
        version = tables.upsert(version.digest, wanted, key=key)
    return Edit(version, n_new=wanted.height - n_replaced, n_replaced=n_replaced, n_same=int(same.sum()), n_late=int(late.sum()))


def _compare(frame: pl.DataFrame, present: pl.DataFrame, key: Sequence[str], time: str) -> tuple[pl.Series, pl.Series]:
    """Say of each row of a batch whether it is there as it is, and whether a newer one is."""
    import polars as pl

    others = [name for name in frame.columns if name not in key]
    there = present.select(*key, *(pl.col(name).alias(_THEIRS + name) for name in others), pl.lit(value=True).alias(_THEIRS))
    pairs = frame.join(there, on=list(key), how="left", nulls_equal=True, maintain_order="left")
    is_there = pl.col(_THEIRS).fill_null(value=False)
    same = is_there & pl.all_horizontal([pl.col(name).eq_missing(pl.col(_THEIRS + name)) for name in others] or [pl.lit(value=True)])
    late = is_there & ~same & (pl.col(time) < pl.col(_THEIRS + time)).fill_null(value=False) if time in others else pl.lit(value=False)
    judged = pairs.select(same.alias("same"), late.alias("late"))
    return judged["same"], judged["late"]
