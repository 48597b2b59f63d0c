"""What is said of a folder of images, audio and texts; reading the files is in `media.py`."""

from __future__ import annotations

import msgspec


class Notice(msgspec.Struct, frozen=True):
    """Something about the files that stands out."""

    what: str
    n_files: int
    examples: tuple[str, ...]


class KindSummary(msgspec.Struct, frozen=True):
    """The files of one kind: how many, how great, and the range (minimum, median, maximum) of each number."""

    kind: str
    n_files: int
    n_bytes: int
    types: dict[str, int]
    ranges: dict[str, tuple[float, float, float]]
    words: dict[str, dict[str, int]]  # mode, language, sample rate: how often each
