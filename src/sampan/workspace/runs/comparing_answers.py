"""What `compare` and `diff` answer: things side by side, section by section, the important differences first."""

from __future__ import annotations

import math

import msgspec

from sampan.core.answers import Answer
from sampan.core.graph import NodeId
from sampan.workspace.columns import align, count

_MOST_LINES = 12  # of a section, in a terminal
_BLOCKS = "▁▂▃▄▅▆▇█"


class Side(msgspec.Struct, frozen=True):
    """One of the things compared, as a column's head."""

    ref: str
    node: NodeId
    kind: str
    title: str = ""
    state: str = ""
    started: str = ""
    run: NodeId = ""  # the run itself, or the one a model came from
    note: str = ""


class Cell(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one side has on a line. Cells are alike if their `key` is; without one, if their text is."""

    text: str
    number: float | None = None
    low: float | None = None
    high: float | None = None
    key: str = ""
    steps: tuple[float, ...] = ()  # of a curve, few enough to draw
    values: tuple[float, ...] = ()

    @property
    def identity(self) -> str:
        """What tells it from other cells."""
        return self.key or self.text


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that all sides may have: a metric, a parameter, a library. `best` is the side that does best, where that is known."""

    name: str
    cells: tuple[Cell | None, ...]
    differs: bool
    weight: float = 0.0  # 0 to 1: how much a reader should care
    best: int | None = None
    note: str = ""


class Section(msgspec.Struct, frozen=True):
    """Lines of one sort, the weightiest first, and how many more are the same on all sides of which anything is known."""

    title: str
    lines: tuple[Line, ...]
    n_same: int = 0
    n_known: int = 0


class Comparison(Answer, frozen=True, kw_only=True):
    """Things side by side: what differs, the important first."""

    sides: tuple[Side, ...]
    sections: tuple[Section, ...]
    diffs: dict[str, str] = {}  # of two sides: what changed in each text, as a unified diff
    notes: tuple[str, ...] = ()

    def section(self, title: str) -> Section | None:
        """Return one section, None where nothing of its sort is known of any side."""
        return next((each for each in self.sections if each.title == title), None)

    def text(self) -> str:
        """Lay the sections out as tables, one column a side."""
        heads = [f"{side.ref} ({side.title})" if side.title and side.title != side.ref else side.ref for side in self.sides]
        shown = [_section_text(section, [side.ref for side in self.sides]) for section in self.sections if section.lines]
        same = [f"{section.title} ({section.n_same:,})" for section in self.sections if not section.lines and section.n_same]
        lines = [" | ".join(heads), *(f"  {side.ref}: {side.note}" for side in self.sides if side.note)]
        lines += shown or ["nothing differs"]
        if same:
            lines.append("the same: " + ", ".join(same))
        if alone := [section.title for section in self.sections if section.n_known == 1]:
            lines.append("recorded of one side only: " + ", ".join(alone))
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


class Noted(Answer, frozen=True, kw_only=True):
    """A note that was written or removed."""

    ref: str
    note: str

    def text(self) -> str:
        """Say what stands beside it now."""
        return f"{self.ref}: {self.note}" if self.note else f"{self.ref} has no note now"


def _section_text(section: Section, heads: list[str]) -> str:
    lines = section.lines[:_MOST_LINES]
    rows = [
        (line.name, *(_cell_text(cell, is_best=line.best == place) for place, cell in enumerate(line.cells)), line.note) for line in lines
    ]
    table = align((section.title, *heads, ""), rows, widest=76 if len(heads) == 2 else 40)
    rest = []
    if len(section.lines) > len(lines):
        rest.append(f"{len(section.lines) - len(lines):,} more differ")
    if section.n_same:
        rest.append(f"{count(section.n_same, 'line')} the same")
    return f"{table}\n    {', '.join(rest)}" if rest else table


def _cell_text(cell: Cell | None, *, is_best: bool) -> str:
    if cell is None:
        return "–"
    text = f"{cell.text} {spark(cell.values)}" if cell.values else cell.text
    return f"{text} *" if is_best else text


def spark(values: tuple[float, ...], width: int = 16) -> str:
    """Draw a curve in a line of text.

    >>> spark((0.0, 1.0, 2.0, 3.0))
    '▁▃▆█'
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    step = max(len(finite) / width, 1.0)
    drawn = [finite[min(round(i * step), len(finite) - 1)] for i in range(min(width, len(finite)))]
    low, high = min(drawn), max(drawn)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[int((value - low) * scale + 0.5)] for value in drawn)
