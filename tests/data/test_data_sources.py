"""Data comes in from wherever it is: workbooks, folders, databases, addresses; as declared in the project file."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from sampan.errors import DataFormatError, NotFound, ParameterError, Unavailable
from sampan.workspace.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path) as workspace:
        yield workspace


def table(ws: Workspace, name: str) -> pl.DataFrame:
    return ws.store.tables.read(ws.catalog.resolve(name, kind="dataset").digest)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_a_sheet_is_named_where_several_hold_tables_and_odd_cells_wait(ws: Workspace) -> None:
    path = ws.root / "book.xlsx"
    with xlsxwriter.Workbook(path) as book:
        for name in ("orders", "shops"):
            sheet = book.add_worksheet(name)
            sheet.write_row(0, 0, ["id", "paid"])
            for i in range(1, 21):
                sheet.write_row(i, 0, [i, "much" if (name, i) == ("orders", 5) else i / 2])
    with pytest.raises(DataFormatError, match=r"2 sheets with tables \(orders, shops\)"):
        ws.data.add(path, name="orders")
    answer = ws.data.add(path, name="orders", sheet="orders")

    assert (answer.n_rows, table(ws, "orders").schema["paid"]) == (19, pl.Float64)
    assert [(c.column, c.value, c.line) for c in ws.data.quarantine("orders").cells] == [("paid", "much", 6)]
    with pytest.raises(NotFound, match="has no sheet 'order'"):
        ws.data.add(path, name="orders", sheet="order")


def test_an_arrow_file_comes_in_as_it_is(ws: Workspace) -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    frame.write_ipc(ws.root / "t.arrow")
    frame.write_ipc_stream(ws.root / "u.arrows")
    ws.data.add(ws.root / "t.arrow")
    ws.data.add(ws.root / "u.arrows")

    assert table(ws, "t").equals(frame)
    assert table(ws, "u").equals(frame)


def test_a_folder_becomes_a_table_of_files_whose_contents_stay(ws: Workspace) -> None:
    folder = ws.root / "pictures"
    (folder / "cats").mkdir(parents=True)
    (folder / "cats" / "one.png").write_bytes(b"\x89PNG\r\n\x1a\n...")
    (folder / "note.bin").write_text("xin chào")
    (folder / ".hidden").write_text("no")
    answer = ws.data.add(folder)
    ws.home.gc(grace_minutes=0)

    rows = table(ws, "pictures").drop("file").rows()
    assert rows == [("cats/one.png", "cats", "image/png", 11), ("note.bin", ".", "text/plain", 9)]
    digest = table(ws, "pictures")["file"][1]
    assert ws.store.blobs.read(digest) == "xin chào".encode()
    assert ws.data.add(folder).unchanged
    assert answer.n_rows == 2


def test_a_file_whose_name_is_not_utf8_is_listed_and_told_from_others(ws: Workspace) -> None:
    folder = ws.root / "old"
    folder.mkdir()
    for name, text in ((b"caf\xe9.txt", b"one"), (b"caf\xe8.txt", b"two"), ("Hà Nội.txt".encode(), b"three")):
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(text)
    ws.data.add(folder)

    assert table(ws, "old")["path"].to_list() == ["Hà Nội.txt", "caf\\xe8.txt", "caf\\xe9.txt"]
    Path(os.fsdecode(bytes(folder) + b"/caf\xe9.txt")).write_bytes(b"changed")
    assert ws.data.add(folder).ref == "old@v2"
    assert sorted(table(ws, "old")["size_bytes"]) == [3, 5, 7]


def test_a_query_on_sqlite_keeps_the_databases_types_and_can_only_read(ws: Workspace) -> None:
    with closing(sqlite3.connect(ws.root / "shop.db")) as connection, connection:
        connection.execute("create table orders(id integer, zip text, paid real, mixed)")
        connection.executemany("insert into orders values (?, ?, ?, ?)", [(i, f"0{i}", i / 2, i if i != 7 else "x") for i in range(40)])
    address = Path(f"sqlite:///{ws.root}/shop.db")
    ws.data.add(address, name="orders", query="select * from orders order by id")
    found = table(ws, "orders")

    assert found.schema == {"id": pl.Int64, "zip": pl.String, "paid": pl.Float64, "mixed": pl.Int64}
    assert found.height == 39
    assert [c.value for c in ws.data.quarantine("orders").cells] == ["x"]
    with pytest.raises(ParameterError, match="does not answer"):
        ws.data.add(address, name="orders", query="delete from orders")
    with pytest.raises(ParameterError, match="a query needs a database"):
        ws.data.add(address, name="orders")


def test_a_query_on_postgresql_keeps_the_databases_types_and_can_only_read(ws: Workspace, postgres_uri: str) -> None:
    import psycopg

    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute("create table orders(id int, name text, paid numeric, at timestamptz, day date, ok bool)")
        connection.execute(
            "insert into orders values (1, '007', 2.5, '2024-01-01 06:00+01', '2024-01-02', true), (2, null, null, null, null, null)"
        )
    address = Path(postgres_uri)
    ws.data.add(address, name="orders", query="select * from orders order by id")
    found = table(ws, "orders")

    kinds = [pl.Int64, pl.String, pl.Float64, pl.Datetime("us", "UTC"), pl.Date, pl.Boolean]
    assert found.dtypes == kinds
    assert found["name"].to_list() == ["007", None]
    assert found["at"][0].hour == 5
    with pytest.raises(ParameterError, match="does not answer"):
        ws.data.add(address, name="orders", query="insert into orders values (3) returning id")


def test_a_web_address_is_fetched_and_recorded_without_its_query(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "t.csv").write_text("a,b\n1,x\n2,y\n")
    with served(tmp_path / "there") as address:
        answer = ws.data.add(Path(f"{address}/t.csv?signature=1"))
        with pytest.raises(NotFound, match="there is nothing at"):
            ws.data.add(Path(f"{address}/u.csv"))

    assert (answer.ref, answer.n_rows) == ("t@v1", 2)
    assert answer.source == f"{address}/t.csv"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\na,b\n1,2\n", "broke off after 8 of 1,000 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\na,b\n1,2\n\r\nff\r\n3,4\n", "broke off after"),
        (b"no HTTP\r\n\r\n", "cannot be reached"),
    ],
)
def test_an_address_that_breaks_off_or_speaks_no_http_leaves_nothing_behind(ws: Workspace, answer: bytes, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def once() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=once)
        thread.start()
        with pytest.raises(Unavailable, match=said):
            ws.data.add(Path(f"http://127.0.0.1:{server.getsockname()[1]}/t.csv"))
        thread.join()

    assert ws.catalog.nodes(kind="dataset") == []


def test_an_s3_address_is_fetched(ws: Workspace, s3_bucket: str) -> None:
    import obstore

    from sampan.table.addresses import _bucket

    bucket, _, prefix = s3_bucket.removeprefix("s3://").partition("/")
    key = f"{prefix}/t.csv".lstrip("/")
    obstore.put(_bucket(bucket), key, b"a,b\n1,x\n2,y\n")
    answer = ws.data.add(Path(f"s3://{bucket}/{key}"))

    assert (answer.ref, answer.n_rows, answer.source) == ("t@v1", 2, f"s3://{bucket}/{key}")
    with pytest.raises(NotFound, match="there is nothing at"):
        ws.data.add(Path(f"s3://{bucket}/{key}.gz"))


def test_the_project_file_says_how_a_source_is_written(tmp_path: Path) -> None:
    (tmp_path / "raw.txt").write_bytes(b"id|when|sum\n1|03/04/2024|1,234\n2|05/06/2024|2,345\n")
    (tmp_path / "sampan.toml").write_text(
        '[datasets.orders]\nsource = "raw.txt"\nkey = "id"\ndelimiter = "|"\ndecimal = ","\ntypes = { when = "date:%m/%d/%Y" }\n'
    )
    with Workspace.open(tmp_path) as ws:
        ws.data.add(Path("orders"))

        assert [str(row) for row in table(ws, "orders").rows()] == [
            "(1, datetime.date(2024, 3, 4), 1.234)",
            "(2, datetime.date(2024, 5, 6), 2.345)",
        ]


@pytest.mark.parametrize(("frame", "said"), [(pl.DataFrame(), "no columns"), (pl.DataFrame({"_held": [1]}), "quarantine")])
def test_a_table_without_columns_or_with_that_of_quarantine_is_refused(ws: Workspace, frame: pl.DataFrame, said: str) -> None:
    frame.write_parquet(ws.root / "t.parquet")

    with pytest.raises(ParameterError, match=said):
        ws.data.add(ws.root / "t.parquet")
