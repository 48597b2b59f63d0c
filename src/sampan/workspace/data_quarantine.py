"""Quarantine: what waits, and for what reason."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from sampan.core.times import iso
from sampan.workspace.data_batch_answers import HeldRow, HoldingLine, Quarantined
from sampan.workspace.data_room import DataRoom
from sampan.workspace.operation import operation
from sampan.workspace.quarantine import KIND as HOLDING
from sampan.workspace.quarantine import Quarantine

if TYPE_CHECKING:
    from sampan.core.graph import Node

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
        holdings = [self.ws.catalog.resolve(ref, kind=HOLDING)] if ".quarantine" in ref else quarantine.held(ref)
        cells = quarantine.cells(holdings[0]) if len(holdings) == 1 else []
        following = (f"sampan data quarantine {quote(holdings[0].ref)}",) if len(holdings) > 1 else ()
        return Quarantined(
            holdings=tuple(_line(holding) for holding in holdings),
            cells=tuple(HeldRow(**{name: getattr(cell, name) for name in cell.__struct_fields__}) for cell in cells[:_MOST_CELLS]),
            n_cells=len(cells),
            next=following,
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
