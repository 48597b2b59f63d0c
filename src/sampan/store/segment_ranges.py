"""How far the integers of sealed segments reach, so that who asks for a range need not read what cannot hold it.

    segments/<stream>/ranges     a line for each sealed segment: {"segment":11,"columns":{"moment":[1356998400000,1357084799000]}}

Lines are hints: a segment without a whole line is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np

from sampan.core.decoding import decoder_of

_FILE = "ranges"

Ranges = dict[str, tuple[int, int]]  # column -> least and greatest value


class _Line(msgspec.Struct, frozen=True):
    segment: int
    columns: Ranges


def widen(ranges: Ranges, columns: Iterable[tuple[str, np.ndarray[Any, Any]]]) -> None:
    """Let ranges reach over integers, by the name of their column; without missing values, which have no place in any range."""
    for name, values in columns:
        if len(values):
            low, high = int(values.min()), int(values.max())
            known = ranges.get(name, (low, high))
            ranges[name] = (min(low, known[0]), max(high, known[1]))


def note(folder: Path, segment: int, ranges: Ranges) -> None:
    """Write down a sealed segment's ranges. A disk that refuses costs later readers time, and nothing else."""
    # Between line ends, so that a line torn by a crash spoils no other.
    line = b"\n" + msgspec.json.encode(_Line(segment, ranges)) + b"\n"
    with suppress(OSError):
        file = os.open(folder / _FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            os.write(file, line)
        finally:
            os.close(file)


def noted(folder: Path, column: str) -> dict[int, tuple[int, int]]:
    """Return the known ranges of a column, by segment."""
    try:
        lines: Iterable[bytes] = (folder / _FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    read = decoder_of(_Line).decode
    found: dict[int, tuple[int, int]] = {}
    for line in filter(None, lines):
        with suppress(msgspec.DecodeError):
            told = read(line)
            if column in told.columns:
                found[told.segment] = told.columns[column]
    return found
