"""Quarantine: what waits and for what reason; mending it, letting it back in, or leaving it out for good."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from shlex import quote
from typing import TYPE_CHECKING

import msgspec

from sampan.core.events import StateChanged
from sampan.core.graph import Node
from sampan.core.refs import parse_ref
from sampan.core.times import iso
from sampan.errors import ParameterError, StaleState
from sampan.workspace.columns import count
from sampan.workspace.data.batch_answers import Appended, HeldRow, HoldingLine, Mended, Quarantined
from sampan.workspace.data.batch_verbs import appended, kinds_of
from sampan.workspace.data.quarantine import KIND as HOLDING
from sampan.workspace.data.quarantine import UNREADABLE, HeldCell, Quarantine
from sampan.workspace.data.room import KIND, DataRoom
from sampan.workspace.data.staging import Staging
from sampan.workspace.governing.privacy import protect_cells
from sampan.workspace.operation import operation

if TYPE_CHECKING:
    import polars as pl

    from sampan.workspace.data.batches import Arrival

_MOST_CELLS = 1_000


class Held(DataRoom):
    """The verbs of quarantine."""

    @operation(reads=True)
    def quarantine(self, ref: str = "") -> Quarantined:
        """List the rows held back, each with source, line, column, raw value and reason.

        Parameters
        ----------
        ref : a dataset, or one holding like flights.quarantine@v1; by default everything that waits
        """
        quarantine = Quarantine(self.ws)
        holdings = [self._holding(ref)] if f".{HOLDING}" in ref else quarantine.held(ref)
        cells = quarantine.cells(holdings[0]) if len(holdings) == 1 else []
        withheld = self.withheld(holdings[0]) if cells else ""
        following: tuple[str, ...] = ()
        if len(holdings) == 1 and holdings[0].state == "held":
            following = _towards_mending(holdings[0], cells)
        elif holdings:
            following = (f"sampan data quarantine {quote(holdings[0].ref)}",)
        return Quarantined(
            holdings=tuple(_line(holding) for holding in holdings),
            cells=tuple(HeldRow(c.row, c.column, "" if withheld else c.value, c.reason, c.source, c.line) for c in cells[:_MOST_CELLS]),
            n_cells=len(cells),
            withheld=withheld,
            next=following,
        )

    @operation()
    def mend(self, ref: str, *, values: dict[str, str]) -> Mended:
        """Replace cells of rows in quarantine; a row without a reason left is ready to come back.

        A row held as a whole (it has too few fields, for instance) is ready once some of its cells are replaced: it is read again.

        Parameters
        ----------
        ref : a holding, like flights.quarantine@v1
        values : what stands in a row and column instead, e.g. 0:dep_time=0815
        """
        holding = self._waiting(ref)
        quarantine = Quarantine(self.ws)
        rows, cells = quarantine.rows(holding), quarantine.cells(holding)
        wanted = protect_cells(self.ws, parse_ref(str(holding.facts["dataset"])).name, _places(values, rows))
        rows = _with_values(rows, wanted)
        mended = {row for row, _ in wanted} if holding.facts["why"] == UNREADABLE else set()
        left = [cell for cell in cells if (cell.row, cell.column) not in wanted and (cell.column or cell.row not in mended)]
        event = quarantine.stage(holding.facts["dataset"], rows, left, why=holding.facts["why"], replaces=holding)
        self.ws.ledger.append(event)
        n_ready = rows.height - len({cell.row for cell in left})
        now = self.ws.catalog.node(event.node).ref
        return Mended(
            ref=now,
            n_rows=rows.height,
            n_ready=n_ready,
            what=f"{count(len(wanted), 'cell')} mended",
            next=(f"sampan data readmit {quote(now)}" if n_ready else f"sampan data quarantine {quote(now)}",),
        )

    @operation()
    def readmit(self, ref: str, *, why: str = "") -> Appended:
        """Let rows out of quarantine into their dataset: those that are mended, or all of them for a reason.

        They are checked again; rows with a cell that still is not of its column's type stay.

        Parameters
        ----------
        ref : a holding, like flights.quarantine@v1
        why : the reason to let in what is held for another reason than an unreadable cell; recorded
        """
        from sampan.workspace.data.batches import Batches

        holding = self._waiting(ref)
        arrival = self._arrival(holding, why)
        outcome = Batches(self.ws).append(arrival)
        following = tuple(f"sampan data quarantine {quote(held.ref)}" for held in outcome.holdings[:1])
        name = outcome.dataset.name
        return appended(outcome, arrival.source, (), following=following or (f"sampan data show {quote(name)}",))

    @operation()
    def discard(self, ref: str, *, why: str) -> Mended:
        """Leave rows in quarantine out for good. They stay readable in the record.

        Parameters
        ----------
        ref : a holding, like flights.quarantine@v1
        why : the reason, recorded
        """
        holding = self._waiting(ref)
        self.ws.ledger.append(StateChanged(node=holding.id, before="held", after="discarded", reason=why))
        said = f"{count(holding.facts['n_rows'], 'row')} of {holding.ref} discarded: {why}"
        return Mended(ref="", n_rows=holding.facts["n_rows"], n_ready=0, what=said, next=("sampan data quarantine",))

    def _holding(self, ref: str) -> Node:
        return self.ws.catalog.resolve(ref, kind=HOLDING)

    def _waiting(self, ref: str) -> Node:
        holding = self._holding(ref)
        if holding.state != "held":
            raise StaleState(
                f"{holding.ref} is {holding.state} already",
                expected="held",
                actual=holding.state,
                hint="sampan data quarantine lists what waits",
            )
        return holding

    def _arrival(self, holding: Node, why: str) -> Arrival:
        """Take the rows that may come back out of a holding, typed as the dataset's."""
        import polars as pl

        from sampan.table.texts import parse_rows
        from sampan.workspace.data.batches import Arrival

        quarantine = Quarantine(self.ws)
        rows, cells = quarantine.rows(holding), quarantine.cells(holding)
        waiting = sorted({cell.row for cell in cells}) if not why else []
        if len(waiting) == rows.height:
            hint = f"sampan data mend {holding.ref} --values ROW:COLUMN=VALUE, or say --why to let them in as they are"
            raise ParameterError(f"no row of {holding.ref} is without a reason to wait", hint=hint)
        ready = rows if not waiting else rows[[row for row in range(rows.height) if row not in set(waiting)]]
        node = self.ws.catalog.resolve(holding.facts["dataset"], kind=KIND)
        kinds = kinds_of(self.ws.store.tables.schema(node.digest))
        typed = parse_rows(ready, kinds, source=holding.ref)
        staging = Staging(self.ws, holding.facts["dataset"], holding.ref, is_protected=True)
        staged = staging(typed.frame.schema, iter([typed.frame]))
        left_out, rest = typed.left_out, None
        again = tuple(HeldCell(c.row, c.column, c.value, c.reason, c.source, c.line) for c in left_out.cells)
        if waiting:
            places = {row: place for place, row in enumerate(waiting)}
            stay = tuple(HeldCell(places[c.row], c.column, c.value, c.reason, c.source, c.line) for c in cells if c.row in places)
            rest = (rows[pl.Series(waiting)], stay)
        return Arrival(
            staged,
            staging,
            bad_rows=left_out.frame() if left_out.n_rows else None,
            bad_cells=again,
            facts={"format": HOLDING},
            readmitted_from=holding,
            rest=rest,
            why=why,
        )


def _line(holding: Node) -> HoldingLine:
    facts = holding.facts
    return HoldingLine(
        ref=holding.ref,
        dataset=facts["dataset"],
        n_rows=facts["n_rows"],
        why=facts["why"],
        reasons=facts["reasons"],
        held=iso(holding.created),
    )


def _towards_mending(holding: Node, cells: list[HeldCell]) -> tuple[str, ...]:
    ref = quote(holding.ref)
    discard = f"sampan data discard {ref} --why REASON"
    first = next((cell for cell in cells if cell.column), None)
    if first is None and cells and holding.facts["why"] == UNREADABLE and holding.facts["columns"]:
        first = msgspec.structs.replace(cells[0], column=holding.facts["columns"][0])  # a row as a whole: any of its cells
    mend = () if first is None else (f"sampan data mend {ref} --values {quote(f'{first.row}:{first.column}=VALUE')}",)
    if holding.facts["why"] == UNREADABLE and mend:
        return (*mend, discard)  # no reason makes a value of what cannot be read
    return (*mend, f"sampan data readmit {ref}" + (" --why REASON" if cells else ""), discard)


def _places(values: Mapping[str, str], rows: pl.DataFrame) -> dict[tuple[int, str], str]:
    """Read which cells are meant; all that are none are named at once."""
    found: dict[tuple[int, str], str] = {}
    faults = []
    for place, value in values.items():
        row, colon, column = place.partition(":")
        if not colon or not row.isdigit() or int(row) >= rows.height or column not in rows.columns:
            faults.append(place)
        else:
            found[int(row), column] = value
    if faults:
        hint = f"write ROW:COLUMN=VALUE, with a row from 0 to {rows.height - 1} and a column of " + ", ".join(rows.columns[:20])
        raise ParameterError(f"no such cell: {', '.join(faults)}", parameter="values", hint=hint)
    return found


def _with_values(rows: pl.DataFrame, wanted: Mapping[tuple[int, str], str]) -> pl.DataFrame:

    for (row, column), value in wanted.items():
        cell = _read_cell(value, column, rows.schema[column])
        rows = rows.with_columns(rows[column].scatter(row, cell).alias(column))
    return rows


def _read_cell(value: str, column: str, dtype: pl.DataType) -> pl.Series:
    """Read what a person wrote as a file's cell is read; other types than a file's (a category, a time of day) as Polars does."""
    import polars as pl

    from sampan.table.texts import parse_rows

    texts = pl.DataFrame({column: [value or None]}, schema={column: pl.String})
    kinds = kinds_of({column: dtype})
    with suppress(pl.exceptions.PolarsError):
        typed = parse_rows(texts, kinds, source="").frame if kinds else texts
        if typed.height:
            return typed[column].cast(dtype)
    raise ParameterError(f"{value!r} is no value of column {column!r} ({dtype})", parameter="values", hint="write it plainly")
