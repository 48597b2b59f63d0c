"""The ledger's contract, kept by SQLite and by PostgreSQL."""

from pathlib import Path

import pytest

from sampan.store import Store
from sampan.testing.ledgers import LedgerContract


class TestOnSqlite(LedgerContract):
    def open_store(self, folder: Path) -> Store:
        return Store.open(folder)


class TestOnPostgres(LedgerContract):
    @pytest.fixture(autouse=True)
    def _database(self, postgres_uri: str) -> None:
        self.uri = postgres_uri

    def open_store(self, folder: Path) -> Store:
        # Each store has a schema of its own in the test's database.
        import psycopg

        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(f"create schema if not exists {folder.name}")
        joint = "&" if "?" in self.uri else "?"
        return Store.open(folder, database=f"{self.uri}{joint}options=-csearch_path%3D{folder.name}")
