"""Versioned tables: immutable Parquet parts under a manifest whose digest is the version."""

from sampan.store.tables.tables import Tables
from sampan.store.tables.versions import ChangedRow, Retyped, TableDiff, TableVersion

__all__ = ["ChangedRow", "Retyped", "TableDiff", "TableVersion", "Tables"]
