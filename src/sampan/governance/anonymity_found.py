"""How well a table hides its rows, as it is stated; measuring it is in `anonymity.py`."""

from __future__ import annotations

import msgspec


class Anonymity(msgspec.Struct, frozen=True):
    """How well a table hides its rows: every row shares its quasi-identifiers with at least k - 1 others."""

    k: int  # 0 for no rows
    n_groups: int
    n_unique: int  # rows that are alone in their group
    n_rows: int
    n_hidden: int  # rows that say nothing of their quasi-identifiers
    diversity: dict[str, int]  # sensitive column -> l, the fewest different values in a group
