"""What a batch's rows do to a table: those with a new key are added, those with a known one replace what is there.

A row that is already there as it is changes nothing; a row older than the one there (by the dataset's time) came late and is left out.
The cost follows the batch: of the table only the key is read, and the rows that share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sampan.core.graph import Node
from sampan.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from sampan.store.tables import Tables, TableVersion
    from sampan.workspace.workspace import Workspace

_THEIRS = "\0there"
_AT_ONCE = 500_000  # rows of a batch that are compared with those of their keys
_FEW_CELLS = 4_000_000  # a table of so many is read whole in the time that looking into each of its parts takes


@dataclass(frozen=True, slots=True)
class Edit:
    """A table version made of another by a batch, and what the rows did."""

    version: TableVersion
    n_new: int = 0
    n_replaced: int = 0
    n_same: int = 0
    n_late: int = 0

    def and_then(self, later: Edit) -> Edit:
        """Return what this edit and one made after it did."""
        return Edit(
            later.version,
            self.n_new + later.n_new,
            self.n_replaced + later.n_replaced,
            self.n_same + later.n_same,
            self.n_late + later.n_late,
        )

    def counts(self) -> dict[str, int]:
        """Return what is not zero."""
        counts = {"n_new": self.n_new, "n_replaced": self.n_replaced, "n_same": self.n_same, "n_late": self.n_late}
        return {name: n for name, n in counts.items() if n}


def edit_rows(ws: Workspace, before: Node, rows: TableVersion) -> Edit:
    """Bring a batch's rows, staged in the table's columns, into the table of a dataset version."""
    import polars as pl

    tables = ws.store.tables
    said = ws.catalog.asset("dataset", before.name).facts
    key, time = [str(column) for column in said.get("key", ())], str(said.get("time", ""))
    version, columns = tables.info(before.digest), tables.schema(rows.digest)
    if added := {name: dtype for name, dtype in columns.items() if name not in version.columns}:
        empty = pl.DataFrame({name: pl.Series([None], dtype=dtype).new_from_index(0, version.n_rows) for name, dtype in added.items()})
        version = tables.overlay(version.digest, empty)
    if not rows.n_rows:
        return Edit(version)
    if not key or (rows.n_rows > _AT_ONCE and not _overlap(tables, version, rows, key)):
        return Edit(tables.extend(version.digest, rows.digest), n_new=rows.n_rows)
    if rows.n_rows <= _AT_ONCE:
        return _put(tables, version, rows, tables.read(rows.digest), key, time)
    if repeated := _repeated(tables, rows, key):
        raise repeated
    edit = Edit(version)
    with ws.progress.stage("comparing rows by key", total=rows.n_rows, unit="rows") as stage:
        for start in range(0, rows.n_rows, _AT_ONCE):
            frame = tables.scan(rows.digest).slice(start, _AT_ONCE).collect(engine="streaming")
            edit = edit.and_then(_put(tables, edit.version, None, frame, key, time))
            stage.advance(frame.height)
    return edit


def changes_nothing(tables: Tables, version: TableVersion, rows: pl.DataFrame, key: Sequence[str], time: str) -> pl.Series:
    """Mark a batch's rows that leave the table as it is: those that are there already, and those that came late."""
    import polars as pl

    present = _present(tables, version, rows.select(key)) if key else None
    if present is None or not present.height:
        return pl.repeat(value=False, n=rows.height, dtype=pl.Boolean, eager=True)
    same, late = _compare(rows, present, key, time)
    return same | late


def _overlap(tables: Tables, version: TableVersion, rows: TableVersion, key: Sequence[str]) -> bool:
    """Say whether a row of the table has the key of one of the batch."""
    keys = tables.scan(rows.digest).select(key)
    there = tables.scan(version.digest).select(key).join(keys, on=key, how="semi", nulls_equal=True)
    return not there.head(1).collect(engine="streaming").is_empty()


def _repeated(tables: Tables, rows: TableVersion, key: Sequence[str]) -> ParameterError | None:
    """Return the error for a key that several rows of a large batch share: nobody could say which of them is meant."""
    from sampan.data.uniqueness import repeated

    twice = repeated(tables.scan(rows.digest), key)
    if twice.is_empty():
        return None
    shown = ", ".join(f"{name}={value!r}" for name, value in zip(key, twice.row(0), strict=False))
    return ParameterError(f"the key {', '.join(key)} is not unique in the new rows: several have {shown}", hint="add columns to the key")


def _put(tables: Tables, version: TableVersion, staged: TableVersion | None, frame: pl.DataFrame, key: Sequence[str], time: str) -> Edit:
    """Upsert some rows, but for those that are there as they are or came late; `staged` are the same rows, where they are all there are."""
    present = _present(tables, version, frame.select(key))
    if staged is not None and not present.height:
        return Edit(tables.extend(version.digest, staged.digest), n_new=frame.height)
    same, late = _compare(frame, present, key, time)
    wanted = frame.filter(~(same | late))
    n_replaced = present.height - int(same.sum()) - int(late.sum())
    if wanted.height:
        version = tables.upsert(version.digest, wanted, key=key)
    return Edit(version, n_new=wanted.height - n_replaced, n_replaced=n_replaced, n_same=int(same.sum()), n_late=int(late.sum()))


def _present(tables: Tables, version: TableVersion, keys: pl.DataFrame) -> pl.DataFrame:
    """Return the table's rows that have one of the keys. Of a large table only the key is read of the others."""
    if version.n_rows * len(version.columns) > _FEW_CELLS:
        return tables.rows_with(version.digest, keys)
    return tables.scan(version.digest).join(keys.lazy(), on=keys.columns, how="semi", nulls_equal=True).collect(engine="streaming")


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
