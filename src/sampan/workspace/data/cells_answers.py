"""What looking for wrong cells, and repairing them, answers."""

from __future__ import annotations

import msgspec

from sampan.core.answers import Answer
from sampan.workspace.columns import align, count

_SHOWN = 40


class CellLine(msgspec.Struct, frozen=True):
    """One suspicious cell."""

    row: int  # 0-based, in the version's order
    column: str
    value: str | None
    kind: str
    repair: str | None  # None: see `clears`
    clears: bool  # the repair is to make it missing
    reason: str
    confidence: float

    @property
    def remedy(self) -> str:
        """What to do with the cell: the repair, ∅ for "make it missing", or that a person has to look."""
        if self.repair is not None:
            return self.repair
        return "∅" if self.clears else "look"


class CellGroupLine(msgspec.Struct, frozen=True):
    """Cells of one column that are wrong in the same way."""

    column: str
    kind: str
    reason: str
    n_cells: int
    n_repairs: int


class CellErrorsFound(Answer, frozen=True, kw_only=True):
    """The cells of a dataset that are probably wrong."""

    ref: str
    n_rows: int
    n_cells: int  # in the whole table
    n_wrong: int
    n_repairs: int
    groups: tuple[CellGroupLine, ...]
    cells: tuple[CellLine, ...]  # the surest ones
    found: str = ""  # reference of the recorded finding

    def text(self) -> str:
        """Each kind of fault by column, then cells with their repairs."""
        if not self.n_wrong:
            return f"{self.ref}: no cell looks wrong ({count(self.n_rows, 'row')})"
        share = self.n_wrong / max(self.n_cells, 1)
        head = f"{self.ref}: {count(self.n_wrong, 'cell')} of {self.n_cells:,} look wrong ({share:.2%}); {self.n_repairs:,} have a repair"
        groups = [(g.column, g.kind, f"{g.n_cells:,}", f"{g.n_repairs:,}", g.reason) for g in self.groups[:_SHOWN]]
        cells = [(f"{c.row:,}", c.column, "∅" if c.value is None else c.value, c.remedy, c.kind, f"{c.confidence:.2f}") for c in self.cells]
        return "\n\n".join(
            [
                head,
                align(("column", "fault", "cells", "repairs", "why"), groups, right=("cells", "repairs"), widest=90),
                align(("row", "column", "value", "repair", "fault", "sure"), cells, right=("row", "sure"), widest=40),
            ]
        )


class Repaired(Answer, frozen=True, kw_only=True):
    """A version in which suspicious cells were repaired."""

    before: str
    after: str
    unchanged: bool
    n_repaired: int
    n_left: int  # suspicious cells that were left as they are
    by_column: dict[str, int] = {}
    retyped: dict[str, str] = {}  # columns that became numbers once the units were gone

    def text(self) -> str:
        """Say what was repaired, and what a person still has to look at."""
        if self.unchanged:
            return f"{self.before}: nothing to repair" + (f"; {count(self.n_left, 'cell')} for a person to look at" if self.n_left else "")
        lines = [f"{self.before} → {self.after}: {count(self.n_repaired, 'cell')} repaired"]
        lines += [f"  {column}: {n:,}" for column, n in sorted(self.by_column.items(), key=lambda item: -item[1])]
        lines += [f"  {column} is now {said}" for column, said in self.retyped.items()]
        if self.n_left:
            lines.append(f"  {count(self.n_left, 'suspicious cell')} left as {'it is' if self.n_left == 1 else 'they are'}")
        return "\n".join(lines)
