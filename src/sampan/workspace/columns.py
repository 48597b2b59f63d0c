"""Lay rows of text out in aligned columns, for terminals."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def align(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = (), widest: int = 60) -> str:
    """Return lines with a header; the columns named in `right` are right-aligned, cells longer than `widest` are cut.

    >>> print(align(("name", "rows"), [("flights", "12")], right=("rows",)))
      name     rows
      flights    12
    """
    lines = [[cut(cell, widest) for cell in line] for line in (header, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    justified = (
        "  ".join(cell.rjust(w) if name in right else cell.ljust(w) for cell, w, name in zip(line, widths, header, strict=True))
        for line in lines
    )
    return "\n".join(f"  {line}".rstrip() for line in justified)


def distinct(n: int, *, estimated: bool) -> str:
    """Write how many values there are; an estimate to three digits, so that nobody takes it for a count.

    >>> distinct(11308, estimated=False), distinct(11308, estimated=True)
    ('11,308', '~11,300')
    """
    return f"~{float(f'{n:.3g}'):,.0f}" if estimated else f"{n:,}"


def count(n: int, noun: str) -> str:
    """Write a number with its noun.

    >>> count(1, "step"), count(1200, "step")
    ('1 step', '1,200 steps')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def size_text(n_bytes: int) -> str:
    """Write a number of bytes in the unit that suits it.

    >>> size_text(812), size_text(41_300), size_text(2_310_000)
    ('812 bytes', '41 kB', '2.3 MB')
    """
    if n_bytes < 1_000:
        return count(n_bytes, "byte")
    if n_bytes < 1_000_000:
        return f"{n_bytes / 1e3:.0f} kB"
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes < 1_000_000_000 else f"{n_bytes / 1e9:.1f} GB"


def cut(cell: str, widest: int) -> str:
    """Return a cell as one line, and of a long one the beginning."""
    flat = cell.replace("\n", "⏎")
    return flat if len(flat) <= widest else flat[: widest - 1] + "…"
