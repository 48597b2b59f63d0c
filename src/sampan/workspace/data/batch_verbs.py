"""Batches: rows that come after the first ones."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Unpack

from sampan.core.refs import parse_ref
from sampan.workspace.data.batch_answers import Appended
from sampan.workspace.data.contracts import shown_path
from sampan.workspace.data.dataset_edits import line_of
from sampan.workspace.data.room import DataRoom, Names
from sampan.workspace.data.sources import Reading, form_of, read_from
from sampan.workspace.data.staging import Staged, Staging
from sampan.workspace.operation import operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from sampan.core.graph import Node
    from sampan.table.account import Account
    from sampan.workspace.data.batches import Arrival, Outcome
    from sampan.workspace.workspace import Workspace


class Batching(DataRoom):
    """The verbs of batches."""

    @operation(local=True)
    def append(
        self,
        ref: str,
        source: Path,
        *,
        accept: str = "",
        rename: dict[str, str] | None = None,
        drop: Names | None = None,
        query: str = "",
        **reading: Unpack[Reading],
    ) -> Appended:
        """Take a batch of rows into a dataset: checked, then admitted, held or refused as one act.

        Rows whose key is there replace those rows (where the dataset has a key); the same batch again changes nothing. A row with a cell
        that is not of its column's type waits in quarantine, the others go on.

        Parameters
        ----------
        ref : the dataset
        source : a file of any kind that `data add` reads
        accept : the id of the plan that was shown, where the batch's columns are not the dataset's
        rename : a column of the batch and the dataset's it is, e.g. DepTime=dep_time
        drop : columns of the batch to leave out
        query : what to ask a database
        types : how a column is written where that must not be found out, e.g. day=date:%d/%m/%Y
        """
        node = self._node(ref)
        staging = Staging(self.ws, line_of(node), shown_source(self.ws, source), accept, rename or {}, drop or [])
        arrival, notes = read_batch(node, source, staging, reading, query=query)
        return self._append(arrival, notes=notes)

    def append_table(
        self, ref: str, data: Any, *, accept: str = "", rename: dict[str, str] | None = None, drop: Names | None = None
    ) -> Appended:
        """Take a batch from memory (Polars, pandas, Arrow, a dict of columns) into a dataset."""
        from sampan.table.frames import from_memory
        from sampan.workspace.data.batches import Arrival

        frame = from_memory(data)
        staging = Staging(self.ws, line_of(self._node(ref)), "memory", accept, rename or {}, drop or [])
        return self._append(Arrival(staging(frame.schema, iter([frame])), staging, facts={"format": "memory"}))

    def _append(self, arrival: Arrival, *, notes: tuple[str, ...] = ()) -> Appended:
        from sampan.workspace.data.batches import Batches

        outcome = Batches(self.ws).append(arrival)
        return appended(outcome, arrival.source, notes, following=_following(arrival.staging.name, outcome))


def read_batch(node: Node, source: Path, staging: Staging, reading: Reading, *, query: str) -> tuple[Arrival, tuple[str, ...]]:
    """Read a batch for a dataset version: its cells as the dataset's types say; return it with what was noted in reading."""
    ws = staging.ws
    kinds = kinds_of(ws.store.tables.schema(node.digest))
    expected = kinds | {came: kinds[name] for came, name in (staging.renamed or {}).items() if name in kinds}
    form = form_of(reading, ws.project.datasets.get(node.name), expected=expected)
    staged, account = read_from(ws, source, form, staging, query=query)
    return arrival_of(staged, staging, account), account.notes


def arrival_of(staged: Staged, staging: Staging, account: Account) -> Arrival:
    """Make a batch of what was read and staged; personal data in rows that are held is treated as in the others."""
    from sampan.workspace.data.batches import Arrival
    from sampan.workspace.data.quarantine import HeldCell
    from sampan.workspace.governing.privacy import protect_held

    cells = tuple(HeldCell(cell.row, cell.column, cell.value, cell.reason, staging.source, cell.line) for cell in account.bad_cells)
    rows = account.bad_rows
    if rows is not None:
        rows, cells = protect_held(staging.ws, parse_ref(staging.name).name, rows, cells)
    return Arrival(staged, staging, bad_rows=rows, bad_cells=cells, facts=account.facts())


def shown_source(ws: Workspace, source: Path) -> str:
    """Write where a batch comes from: a path as the project's, an address without its secrets."""
    from sampan.table.addresses import address_of, without_secrets

    address = address_of(source)
    return without_secrets(address) if address else shown_path(ws, source)


def kinds_of(schema: Mapping[str, pl.DataType]) -> dict[str, str]:
    """Say in a person's words which types a dataset's columns have: what comes is read as these."""
    from sampan.table.types import DTYPES

    return {name: kind for name, dtype in schema.items() for kind, known in DTYPES.items() if dtype == known}


def appended(outcome: Outcome, source: str, notes: tuple[str, ...], *, following: tuple[str, ...]) -> Appended:
    """Say what became of a batch."""
    edit = outcome.edit
    return Appended(
        ref=outcome.dataset.ref,
        batch=outcome.batch.ref,
        state=outcome.state,
        n_rows=outcome.dataset.facts["n_rows"],
        n_new=edit.n_new if edit else 0,
        n_replaced=edit.n_replaced if edit else 0,
        n_same=edit.n_same if edit else 0,
        n_late=edit.n_late if edit else 0,
        n_held=sum(holding.facts["n_rows"] for holding in outcome.holdings),
        held=tuple(holding.ref for holding in outcome.holdings),
        plan=outcome.plan.lines(),
        reasons=outcome.reasons,
        source=source,
        notes=notes,
        next=following,
    )


def _following(name: str, outcome: Outcome) -> tuple[str, ...]:
    if outcome.holdings:
        return (f"sampan data quarantine {quote(outcome.holdings[0].ref)}",)
    if outcome.before is not None and outcome.before.ref != outcome.dataset.ref:
        return (f"sampan data diff {quote(outcome.before.ref)} {quote(outcome.dataset.ref)}",)
    return (f"sampan data show {quote(name)}",)
