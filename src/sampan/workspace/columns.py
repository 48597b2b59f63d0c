"""Lay rows of text out in aligned columns, for terminals."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def align(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = (), widest: int = 60) -> str:
    """Return lines with a header; the columns named in `right` are right-aligned, cells longer than `widest` are cut.

    >>> print(align(("name", "rows"), [("flights", "12")], right=("rows",)))
      name     rows
      flights    12
    """
    lines = [[_cut(cell, widest) for cell in line] for line in (header, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    justified = (
        "  ".join(cell.rjust(w) if name in right else cell.ljust(w) for cell, w, name in zip(line, widths, header, strict=True))
        for line in lines
    )
    return "\n".join(f"  {line}".rstrip() for line in justified)


def _cut(cell: str, widest: int) -> str:
    flat = cell.replace("\n", "⏎")
    return flat if len(flat) <= widest else flat[: widest - 1] + "…"
