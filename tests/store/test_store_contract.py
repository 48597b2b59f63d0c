"""The store's contract, kept by SQLite and by PostgreSQL."""

from pathlib import Path

import pytest

from sampan.store import Store
from sampan.testing.stores import StoreContract


class TestOnSqlite(StoreContract):
    def open_store(self, folder: Path) -> Store:
        return Store.open(folder)


class TestOnPostgres(StoreContract):
    @pytest.fixture(autouse=True)
    def _database(self, postgres_uri: str) -> None:
        self.uri = postgres_uri

    def open_store(self, folder: Path) -> Store:
        return Store.open(folder, database=self.uri)
