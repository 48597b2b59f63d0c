"""Versioned tables: immutable Parquet parts under a manifest whose digest is the version."""

from sampan.store.tables.tables import Tables
from sampan.store.tables.versions import ChangedRow, Retyped, RowCounts, TableDiff, TableVersion

__all__ = ["ChangedRow", "Retyped", "RowCounts", "TableDiff", "TableVersion", "Tables"]
