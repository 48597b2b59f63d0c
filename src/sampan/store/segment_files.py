"""The files of a stream: one for each segment, numbered in the order they were begun."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

OPEN: Final = ".open"
SEALED: Final = ".arrows"


class Segment(NamedTuple):
    """A segment's number, and its file when it was looked for: it may have been sealed since."""

    number: int
    path: Path


def segments_in(folder: Path) -> list[Segment]:
    """Return a stream's segments by number."""
    try:
        names = [path for path in folder.iterdir() if path.suffix in (OPEN, SEALED)]
    except FileNotFoundError:
        return []
    # While a segment is being sealed a listing may show both names, or the one that is about to vanish.
    return sorted({found.number: found for found in sorted(Segment(int(path.stem), path) for path in names)}.values())
