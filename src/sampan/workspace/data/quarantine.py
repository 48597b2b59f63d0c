"""Quarantine: rows that may not go on, each with the reason it is held for, until a person repairs, re-admits or discards them.

A holding is one table: the rows as they came (raw text where a cell could not be read), and beside them the column `_held` with their
reasons. So whatever removes a row from the table, an erasure for instance, removes its reasons and raw values with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from sampan.core.changes import AddEdge, AddNode, Change, SetState
from sampan.core.events import Event, Input, new_id
from sampan.core.graph import Node, NodeId

if TYPE_CHECKING:
    import polars as pl

    from sampan.store.tables import TableVersion
    from sampan.workspace.workspace import Workspace

KIND = "quarantine"
UNREADABLE = "cells could not be read"  # why rows are held whose text is no value of its column's type
REASONS = "_held"  # the column of reasons in a holding's table
_ALL = 1_000_000
_COUNTED_REASONS = 20


class HeldCell(msgspec.Struct, frozen=True):
    """One reason for which one row is held. `column` is empty where the whole row is meant."""

    row: int  # 0-based row of the rows held
    column: str
    value: str  # the raw value as text
    reason: str  # in words
    source: str = ""
    line: int | None = None


class RowsHeld(Event, frozen=True, kw_only=True):
    """Rows were held back from a dataset."""

    type: ClassVar[str] = "rows_held"

    node: NodeId
    name: str
    digest: str
    size: int = 0
    facts: dict[str, Any] = {}
    inputs: tuple[Input, ...] = ()
    replaces: NodeId = ""  # the holding these rows were in before someone repaired or re-admitted some of them
    became: str = "repaired"  # the state of that holding now

    def subject(self) -> NodeId:
        """Return the holding."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the holding; end the one it replaces."""
        add = AddNode(id=self.node, kind=KIND, name=self.name, digest=self.digest, state="held", size=self.size, facts=self.facts)
        edges = tuple(AddEdge(dst=self.node, src=i.node, role=i.role) for i in self.inputs)
        if not self.replaces:
            return (add, *edges)
        before = (AddEdge(dst=self.node, src=self.replaces, role="repaired_from"), SetState(self.replaces, "held", self.became))
        return (add, *edges, *before)


class Quarantine:
    """The rows held back in one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.ws = workspace

    def hold(self, dataset: str, rows: pl.DataFrame, cells: Sequence[HeldCell], *, batch: str = "", why: str = "") -> Node:
        """Hold rows back from a dataset, each for at least one reason.

        Parameters
        ----------
        rows : the rows as they came; of raw text where a cell could not be read
        cells : the reasons; a row may have several
        batch : the id of the batch they came in
        why : why they are held, in a sentence without any of their values
        """
        event = self.stage(dataset, rows, cells, batch=batch, why=why)
        self.ws.ledger.append(event)
        return self.ws.catalog.node(event.node)

    def stage(
        self,
        dataset: str,
        rows: pl.DataFrame,
        cells: Sequence[HeldCell],
        *,
        batch: str = "",
        why: str = "",
        replaces: Node | None = None,
        became: str = "repaired",
    ) -> RowsHeld:
        """Store rows with their reasons and return the event that holds them, for a transaction that does more."""
        version = self.ws.store.tables.create(_with_reasons(rows, cells))
        return self._event(dataset, version, _count_reasons(cells), batch=batch, why=why, replaces=replaces, became=became)

    def stage_all(self, dataset: str, rows: TableVersion, *, batch: str, reason: str, why: str) -> RowsHeld:
        """Hold all rows of a staged batch, however many, each with the same reason: only that is written."""
        import polars as pl

        said = {"column": "", "value": "", "reason": reason, "source": "", "line": None}
        # One value for a frame of any height: `select` keeps it as one, and each part spells out its own rows' worth.
        reasons = pl.lit(pl.Series([[said]], dtype=_reasons_type())).first().alias(REASONS)
        every_row = pl.select(pl.repeat(None, rows.n_rows, dtype=pl.Boolean).alias("row"))
        version = self.ws.store.tables.overlay(rows.digest, every_row.select("row", reasons).select(REASONS))
        return self._event(dataset, version, {reason: rows.n_rows}, batch=batch, why=why)

    def _event(
        self,
        dataset: str,
        version: TableVersion,
        reasons: Mapping[str, int],
        *,
        batch: str,
        why: str,
        replaces: Node | None = None,
        became: str = "repaired",
    ) -> RowsHeld:
        facts: dict[str, Any] = {
            "dataset": dataset,
            "n_rows": version.n_rows,
            "reasons": reasons,
            "why": why,
            "columns": [name for name in version.columns if name != REASONS],
        }
        return RowsHeld(
            node=new_id(),
            name=f"{dataset}.{KIND}",
            digest=version.digest,
            size=version.size_bytes,
            facts=facts,
            inputs=(Input(batch, "held_from"),) if batch else (),
            replaces=replaces.id if replaces else "",
            became=became,
        )

    def held(self, dataset: str = "") -> list[Node]:
        """Return the holdings nobody has decided on, newest first."""
        name = f"{dataset}.{KIND}" if dataset else ""
        return self.ws.catalog.nodes(kind=KIND, name=name, state="held", limit=_ALL)

    def rows(self, holding: Node) -> pl.DataFrame:
        """Read the rows of a holding, without their reasons."""
        return self.ws.store.tables.read(holding.digest).drop(REASONS)

    def cells(self, holding: Node) -> list[HeldCell]:
        """Read the reasons of a holding's rows."""
        reasons = self.ws.store.tables.scan(holding.digest).select(REASONS).collect()[REASONS].to_list()
        return [HeldCell(row=row, **reason) for row, found in enumerate(reasons) for reason in found]


def _with_reasons(rows: pl.DataFrame, cells: Sequence[HeldCell]) -> pl.DataFrame:
    import polars as pl

    by_row: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for cell in cells:
        by_row[cell.row].append({name: getattr(cell, name) for name in ("column", "value", "reason", "source", "line")})
    return rows.with_columns(pl.Series(REASONS, [by_row[row] for row in range(rows.height)], dtype=_reasons_type()))


def _reasons_type() -> pl.DataType:
    import polars as pl

    return pl.List(pl.Struct({"column": pl.String, "value": pl.String, "reason": pl.String, "source": pl.String, "line": pl.Int64}))


def _count_reasons(cells: Sequence[HeldCell]) -> dict[str, int]:
    """Count by column and reason; no value of a row appears in a fact, which outlives the row."""
    counts: dict[str, int] = {}
    for cell in cells:
        said = f"{cell.column}: {cell.reason}" if cell.column else cell.reason
        counts[said] = counts.get(said, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1])[:_COUNTED_REASONS])
