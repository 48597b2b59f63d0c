"""Batches: rows that come after the first ones."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from sampan.workspace.data_batch_answers import Appended
from sampan.workspace.data_contracts import shown_path
from sampan.workspace.data_room import DataRoom, Names
from sampan.workspace.operation import operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sampan.workspace.batches import Arrival, Outcome


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
        encoding: str = "",
        delimiter: str = "",
        nulls: Names | None = None,
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
        encoding : where it is not found out right
        delimiter : where it is not found out right
        nulls : the words that mean "missing"
        """
        from sampan.table.sources import SourceForm, read_source
        from sampan.table.types import NULL_SPELLINGS
        from sampan.workspace.batches import Arrival

        node = self._node(ref)
        spellings = NULL_SPELLINGS if nulls is None else ("", *nulls)
        form = SourceForm(encoding=encoding, delimiter=delimiter, null_values=spellings)
        loaded = read_source(source, form=form, progress=self.ws.progress)
        arrival = Arrival(frame=loaded.frame, source=shown_path(self.ws, source), facts=loaded.facts())
        return self._append(node.name, arrival, accept=accept, rename=rename or {}, drop=drop or [], notes=loaded.notes)

    def append_table(
        self, ref: str, data: Any, *, accept: str = "", rename: dict[str, str] | None = None, drop: Names | None = None
    ) -> Appended:
        """Take a batch from memory (Polars, pandas, Arrow, a dict of columns) into a dataset."""
        from sampan.table.frames import from_memory
        from sampan.workspace.batches import Arrival

        arrival = Arrival(frame=from_memory(data), source="memory", facts={"format": "memory"})
        return self._append(self._node(ref).name, arrival, accept=accept, rename=rename or {}, drop=drop or [])

    def _append(
        self, name: str, arrival: Arrival, *, accept: str, rename: Mapping[str, str], drop: Names, notes: tuple[str, ...] = ()
    ) -> Appended:
        from sampan.workspace.batches import Batches

        outcome = Batches(self.ws).append(name, arrival, accept=accept, renamed=rename, drop=drop)
        return appended(outcome, arrival.source, notes, following=_following(name, outcome))


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
