"""What a table version is to those who use one, and what a diff says of two."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec

from sampan.core.digests import Digest


class TableVersion(msgspec.Struct, frozen=True, dict=True):
    """A table's content at one moment. `digest` names it for ever."""

    digest: Digest
    n_rows: int
    n_parts: int
    size_bytes: int  # all parts, overlays and deletion vectors
    _columns: bytes  # a Parquet file without rows

    def __repr__(self) -> str:
        return f"TableVersion({self.digest!r}, n_rows={self.n_rows}, n_parts={self.n_parts}, size_bytes={self.size_bytes})"

    @cached_property
    def columns(self) -> dict[str, str]:
        """The columns and their Polars types, in the table's order. Asking brings Polars."""
        from sampan.store.tables import parts

        return {name: str(dtype) for name, dtype in parts.decode_schema(self._columns).items()}


class Retyped(msgspec.Struct, frozen=True):
    """A column whose type differs between two versions."""

    before: str
    after: str


class ChangedRow(msgspec.Struct, frozen=True):
    """A row with the same key in both versions and other values."""

    key: dict[str, Any]
    before: dict[str, Any]  # only the columns that differ
    after: dict[str, Any]


class RowCounts(msgspec.Struct, frozen=True):
    """In how many rows a version differs from another."""

    n_added: int
    n_removed: int
    n_changed: int
    n_same: int


class TableDiff(msgspec.Struct, frozen=True):
    """How a version differs from another. Rows are matched by key; null equals null and NaN equals NaN.

    Columns that only one version has, and columns whose type changed, are listed and not compared.
    """

    before: Digest
    after: Digest
    key: tuple[str, ...]
    n_added: int
    n_removed: int
    n_changed: int
    n_same: int
    changed_columns: dict[str, int]  # column -> rows in which it differs
    columns_added: dict[str, str]
    columns_removed: dict[str, str]
    columns_retyped: dict[str, Retyped]
    examples_added: list[dict[str, Any]]  # up to 5 each, smallest keys first
    examples_removed: list[dict[str, Any]]
    examples_changed: list[ChangedRow]
    n_compared: int  # rows that had to be read and matched; the rest was known to be the same

    @property
    def is_empty(self) -> bool:
        """Whether both versions have the same rows and columns (the order of rows is not compared)."""
        rows = self.n_added or self.n_removed or self.n_changed
        return not (rows or self.columns_added or self.columns_removed or self.columns_retyped)
