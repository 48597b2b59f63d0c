"""What a store says when its database or folder cannot be used."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from sampan import __version__
from sampan.core.events import Tagged
from sampan.errors import IntegrityError, NotFound, SampanError, StoreUnavailable
from sampan.ledger import Ledger
from sampan.store import Store, schema
from sampan.store.database import open_database
from sampan.testing.stores import commit

NOBODY = 65534


def make(folder: Path) -> None:
    with Store.open(folder) as store:
        commit(Ledger(store, actor="test"), "dataset", "flights")


def execute(folder: Path, sql: str, *values: object) -> None:
    connection = sqlite3.connect(folder / "sampan.db")
    connection.execute(sql, values)
    connection.commit()
    connection.close()


def test_a_database_of_a_newer_program_is_refused_with_both_versions(tmp_path: Path) -> None:
    make(tmp_path)
    newer = len(schema.migrations()) + 1
    execute(tmp_path, "insert into migration(number, name, checksum, at, program) values (?, 'x', 'x', 0, '9.1.0')", newer)

    with pytest.raises(StoreUnavailable, match=rf"schema {newer}, made by sampan 9\.1\.0; this is sampan {__version__}") as caught:
        Store.open(tmp_path)
    assert "9.1.0" in caught.value.hint


def test_a_folder_of_a_newer_program_is_refused_with_both_versions(tmp_path: Path) -> None:
    make(tmp_path)
    file = tmp_path / "store.json"
    file.write_text(file.read_text().replace('"format": 1', '"format": 99'))

    with pytest.raises(StoreUnavailable, match="format 99"):
        Store.open(tmp_path)


def test_a_migration_that_was_applied_with_another_text_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    execute(tmp_path, "update migration set checksum = 'x'")

    with pytest.raises(IntegrityError, match="migration 1"):
        Store.open(tmp_path)


def test_an_older_database_is_brought_up_to_date_and_keeps_its_rows(tmp_path: Path) -> None:
    make(tmp_path)
    number = len(schema.migrations()) + 1
    added = schema.Migration(
        number, "added", "create table added(a integer); -- a comment; with a semicolon\ninsert into added(a) values (7);"
    )
    database = open_database(str(tmp_path / "sampan.db"))

    for _ in range(2):
        schema.migrate(database, (*schema.migrations(), added))

    with database.read() as session:
        assert session.all("select a from added") == [(7,)]
        assert session.all("select name from asset") == [("flights",)]
    database.close()


def test_a_migration_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    make(tmp_path)
    broken = schema.Migration(len(schema.migrations()) + 1, "broken", "create table added(a integer); insert into absent(a) values (7);")
    database = open_database(str(tmp_path / "sampan.db"))

    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(database, (*schema.migrations(), broken))

    database.close()
    Store.open(tmp_path).close()


def test_two_threads_may_make_a_store_at_the_same_moment(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            make(tmp_path)
        except BaseException as error:  # noqa: BLE001  # looked at below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    with Store.open(tmp_path) as store:
        assert store.catalog.asset("dataset", "flights").n_versions == 6


def test_a_store_that_is_not_there_is_only_made_when_asked_for(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no store"):
        Store.open(tmp_path / "absent", create=False)
    assert not (tmp_path / "absent").exists()


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")

    with pytest.raises(StoreUnavailable, match="store"):
        Store.open(tmp_path / "store")


def test_bytes_that_are_no_database_are_refused(tmp_path: Path) -> None:
    make(tmp_path)
    for name in ("sampan.db-wal", "sampan.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "sampan.db").write_bytes(b"no database" * 1000)

    with pytest.raises(IntegrityError, match="damaged"):
        Store.open(tmp_path)


def test_a_damaged_store_file_is_named(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "store.json").write_text("{")

    with pytest.raises(IntegrityError, match=r"store\.json"):
        Store.open(tmp_path)


def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        ledger = Ledger(store, actor="test")
        node = commit(ledger, "dataset", "flights")
        with store.database.read() as session:
            (n_pages,) = session.one("pragma page_count") or (0,)
            session.one(f"pragma max_page_count = {n_pages + 2}")

        with pytest.raises(StoreUnavailable, match="full") as caught:
            ledger.append(*(Tagged(node=node, key=f"k{i}", value="x" * 3000) for i in range(50)))

        assert "free some space" in caught.value.hint
        with store.database.read() as session:
            session.one("pragma max_page_count = 1000000")
        assert store.catalog.tags(node) == {}
        ledger.append(Tagged(node=node, key="k", value="v"))
        assert ledger.verify().n_rows == 2


def test_a_writer_that_waits_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.store.sqlite.BUSY_S", 0.2)
    make(tmp_path)
    other = sqlite3.connect(tmp_path / "sampan.db", isolation_level=None)
    other.execute("begin immediate")

    with Store.open(tmp_path) as store, pytest.raises(StoreUnavailable, match="locked by another process"):
        commit(Ledger(store, actor="test"), "dataset", "flights")
    other.close()


def test_a_postgres_writer_that_waits_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_uri: str) -> None:
    monkeypatch.setattr("sampan.store.postgres.BUSY_S", 0.2)
    with Store.open(tmp_path / "a", database=postgres_uri) as one, Store.open(tmp_path / "b", database=postgres_uri) as other:
        with one.database.write(), pytest.raises(StoreUnavailable, match="locked"):
            commit(Ledger(other, actor="test"), "dataset", "flights")
        commit(Ledger(other, actor="test"), "dataset", "flights")


def test_a_writer_waits_for_another_process_and_then_goes_on(tmp_path: Path) -> None:
    make(tmp_path)
    other = sqlite3.connect(tmp_path / "sampan.db", isolation_level=None, check_same_thread=False)
    other.execute("begin immediate")
    release = threading.Timer(0.3, lambda: other.execute("rollback"))

    began = time.monotonic()
    release.start()
    with Store.open(tmp_path) as store:
        commit(Ledger(store, actor="test"), "dataset", "flights")
    assert time.monotonic() - began > 0.2
    release.join()
    other.close()


def test_a_read_only_folder_is_refused_with_what_to_do() -> None:
    # Root may write anywhere, so the store is opened by a process that gave its rights up.
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "store")
        make(root)
        for path in (root, Path(folder), *root.iterdir()):
            path.chmod(0o555 if path.is_dir() else 0o444)
        for target in ("store", "another"):
            code = f"""
import os, sys
from pathlib import Path
from sampan.errors import StoreUnavailable
from sampan.store import Store
from sampan.ledger import Ledger
import sampan.store.sqlite, sampan.core.events
if os.geteuid() == 0:
    os.setgid({NOBODY}); os.setuid({NOBODY})
try:
    store = Store.open(Path({folder!r}, {target!r}))
    Ledger(store, actor="x").append(sampan.core.events.VersionCommitted(node="0" * 32, kind="dataset", name="a", digest=""))
except StoreUnavailable as error:
    print(error, "|", error.hint)
"""
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
            assert (done.returncode, done.stderr) == (0, "")
            assert "write" in done.stdout.partition("|")[2], done.stdout
        for path in (Path(folder), root):
            path.chmod(0o755)


def test_a_forked_child_opens_its_own_connections(tmp_path: Path) -> None:
    make(tmp_path)
    with Store.open(tmp_path) as store:
        store.catalog.assets()
        child = os.fork()
        if not child:
            status = 1
            try:
                commit(Ledger(store, actor="child"), "dataset", "flights")
                status = 0
            finally:
                os._exit(status)

        assert os.waitpid(child, 0)[1] == 0
        assert store.catalog.resolve("flights").actor == "child"


def test_an_unreachable_postgres_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1/db does not answer") as caught:
        Store.open(tmp_path, database="postgresql://me:secret@127.0.0.1:1/db")
    assert "secret" not in str(caught.value) + caught.value.hint


def test_an_address_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="mysql://"):
        Store.open(tmp_path, database="mysql://localhost/db")


def test_a_store_on_postgres_is_not_opened_as_an_empty_one_on_sqlite(tmp_path: Path, postgres_uri: str) -> None:
    Store.open(tmp_path, database=postgres_uri).close()

    with pytest.raises(StoreUnavailable, match="keeps its records in postgresql, not in sqlite"):
        Store.open(tmp_path)
    assert not (tmp_path / "sampan.db").exists()


def test_a_folder_with_the_database_of_another_store_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b")
    (tmp_path / "b" / "store.json").replace(tmp_path / "a" / "store.json")

    with pytest.raises(IntegrityError, match="different stores"):
        Store.open(tmp_path / "a")


def test_a_lost_postgres_connection_is_said_and_then_replaced(tmp_path: Path, postgres_uri: str) -> None:
    import psycopg

    with Store.open(tmp_path, database=postgres_uri) as store:
        ledger = Ledger(store, actor="test")
        commit(ledger, "dataset", "flights")
        with psycopg.connect(postgres_uri, autocommit=True) as other:
            other.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sampan'")

        with pytest.raises(StoreUnavailable, match="does not answer"):
            commit(ledger, "dataset", "flights")
        commit(ledger, "dataset", "flights")
        assert ledger.verify().n_rows == 2


def test_every_error_here_is_one_a_user_can_act_on() -> None:
    assert issubclass(StoreUnavailable, SampanError)
    assert StoreUnavailable.retryable
