"""Which rows of a log were erased, so that readers leave out what was overwritten in place.

    segments/<stream>/erased     a line for each batch: {"segment":11,"at":4096,"rows":[3,17]}

`at` is where the batch begins in its segment, which never changes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sampan.core.decoding import read_json

_FILE = "erased"

ErasedRows = dict[int, list[int]]  # where a batch begins -> its rows that are no more


class _Line(msgspec.Struct, frozen=True):
    segment: int
    at: int
    rows: list[int]


def note_erased(folder: Path, segment: int, at: int, rows: Sequence[int]) -> None:
    """Write down, for good, which rows of a batch readers leave out from now on. Raises OSError."""
    # Between line ends, so that a line torn by a crash spoils no other.
    line = b"\n" + msgspec.json.encode(_Line(segment, at, list(rows))) + b"\n"
    file = os.open(folder / _FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        os.write(file, line)
        os.fsync(file)
    finally:
        os.close(file)


def noted_erased(folder: Path) -> dict[int, ErasedRows]:
    """Return the erased rows of every segment of a log."""
    try:
        lines = (folder / _FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    found: dict[int, ErasedRows] = {}
    for line in filter(None, lines):
        try:
            told = read_json(line, _Line)
        except msgspec.DecodeError:  # torn: the erasure that wrote it did not go on, and will be repeated
            continue
        found.setdefault(told.segment, {}).setdefault(told.at, []).extend(told.rows)
    return found
