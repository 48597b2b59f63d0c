"""What the verbs of batches and quarantine answer."""

from __future__ import annotations

import msgspec

from sampan.core.answers import Answer
from sampan.workspace.columns import align, count

_SHOWN_CELLS = 40


class Appended(Answer, frozen=True, kw_only=True):
    """What became of a batch."""

    ref: str  # the dataset's newest version after it
    batch: str
    state: str  # admitted | held | known
    n_rows: int  # of the dataset now
    n_new: int = 0
    n_replaced: int = 0
    n_same: int = 0
    n_late: int = 0
    n_held: int = 0
    held: tuple[str, ...] = ()  # references of what is in quarantine
    plan: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    source: str = ""
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Say what the rows did, what is held and how the columns were brought together."""
        if self.state == "known":
            return f"{self.ref}: this batch came before ({self.batch}); nothing changed"
        said = [
            (self.n_new, "added"),
            (self.n_replaced, "replaced rows with the same key"),
            (self.n_same, "were there already"),
            (self.n_late, "came late: a newer row is there"),
            (self.n_held, "held in quarantine"),
        ]
        lines = [f"{self.ref}: {count(self.n_rows, 'row')} after {self.source} ({self.state})"]
        lines += [f"  {count(n, 'row')} {what}" for n, what in said if n]
        lines += [f"  plan: {step}" for step in self.plan]
        lines += [f"  {reason}" for reason in self.reasons]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


class HoldingLine(msgspec.Struct, frozen=True):
    """One holding: rows of one batch that wait for a person."""

    ref: str
    dataset: str
    n_rows: int
    why: str
    reasons: dict[str, int]
    held: str  # when


class HeldRow(msgspec.Struct, frozen=True):
    """One reason for which a row waits."""

    row: int
    column: str
    value: str
    reason: str
    source: str = ""
    line: int | None = None


class Quarantined(Answer, frozen=True, kw_only=True):
    """What waits in quarantine; with one holding, its cells."""

    holdings: tuple[HoldingLine, ...]
    cells: tuple[HeldRow, ...] = ()
    n_cells: int = 0
    withheld: str = ""  # why values are not shown

    def text(self) -> str:
        """One line a holding, then one line a reason."""
        if not self.holdings:
            return "nothing is in quarantine"
        rows = [(h.ref, f"{h.n_rows:,}", h.held, h.why) for h in self.holdings]
        parts = [align(("holding", "rows", "since", "why"), rows, right=("rows",))]
        if self._is_whole():
            parts.append(f"  every row: {self.cells[0].reason}")
        elif self.cells:
            lines = [(str(c.row), _place(c), c.column or "(row)", repr(c.value), c.reason) for c in self.cells[:_SHOWN_CELLS]]
            parts.append(align(("row", "from", "column", "value", "reason"), lines, right=("row",)))
            if self.n_cells > len(lines):
                parts.append(f"  and {self.n_cells - len(lines):,} more reasons")
        if self.withheld:
            parts.append(f"values are not shown: {self.withheld}")
        return "\n\n".join(parts)

    def _is_whole(self) -> bool:
        """Say whether all rows wait for one and the same reason, which is of none of their cells."""
        return self.n_cells > 1 and self.cells[0].line is None and self.holdings[0].reasons == {self.cells[0].reason: self.n_cells}


class Mended(Answer, frozen=True, kw_only=True):
    """Rows in quarantine that a person mended or discarded."""

    ref: str  # the holding now; "" if nothing is left in it
    n_rows: int
    n_ready: int  # rows without a reason left
    what: str

    def text(self) -> str:
        """Say what was done and what is left to do."""
        rest = f"; {self.n_ready:,} of {count(self.n_rows, 'row')} ready to come back" if self.ref else ""
        return f"{self.what}{rest}"


def _place(cell: HeldRow) -> str:
    return f"{cell.source}:{cell.line}" if cell.line is not None else cell.source
