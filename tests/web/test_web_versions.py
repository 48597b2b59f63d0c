"""The page that says what changed between two versions."""

from collections.abc import Iterator

import polars as pl
import pytest
from starlette.testclient import TestClient

from sampan.web import app
from sampan.workspace.workspace import Workspace

ORDERS = pl.DataFrame({"id": range(50), "<b>": [f"<i>{i % 3}" for i in range(50)], "paid": [i + 0.5 for i in range(50)]})


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with Workspace.open(tmp_path_factory.mktemp("versions")) as ws:
        ws.data.add_table(ORDERS, name="orders", key=["id"])
        ws.data.upsert("orders", ORDERS.head(5).with_columns(paid=pl.lit(900.0)))
        ws.data.delete("orders", where="id >= 40")
        ws.data.add_columns("orders", ORDERS.select("id", late=pl.col("id") > 3))
        with TestClient(app.create_app(ws), base_url="http://127.0.0.1:4140") as client:
            yield client


def test_the_page_compares_with_the_version_before(client: TestClient) -> None:
    page = client.get("/data/orders/diff").text

    assert "orders@v3 → orders@v4" in page
    assert ">late<" in page
    assert "Boolean" in page


def test_the_page_compares_with_any_version(client: TestClient) -> None:
    page = client.get("/data/orders@v3/diff?before=orders@v1").text

    assert "orders@v1 → orders@v3" in page
    assert "0.5 → 900.0" in page
    assert "How the values moved" in page
    assert "&lt;i&gt;" in page
    assert "<i>" not in page


def test_the_page_speaks_vietnamese(client: TestClient) -> None:
    page = client.get("/data/orders@v3/diff?before=orders@v1&lang=vi").text

    assert "Giá trị dịch chuyển ra sao" in page
    assert "What changed" not in page


def test_the_first_version_has_nothing_before_it(client: TestClient) -> None:
    answer = client.get("/data/orders@v1/diff?lang=en")

    assert 404 == answer.status_code
    assert "orders@v1 is the first version of orders" in answer.text


def test_a_dataset_leads_to_the_differences(client: TestClient) -> None:
    assert "/data/orders%40v4/diff" in client.get("/data/orders?lang=en").text
