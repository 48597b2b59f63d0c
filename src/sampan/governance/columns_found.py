"""Personal data found in a column, as it is stated; finding it is in `columns.py`."""

from __future__ import annotations

from typing import Literal

import msgspec

Certainty = Literal["likely", "possible"]


class ColumnFinding(msgspec.Struct, frozen=True):
    """Personal data in one column."""

    column: str
    pii: str  # one of terms.CLASSES; free-text where it stands inside sentences
    certainty: Certainty
    share: float  # of the values looked at
    n_values: int  # different values looked at
    evidence: tuple[str, ...]
    inside: dict[str, int] = {}  # of free text: class -> values that hold it
    examples: tuple[str, ...] = ()  # masked
