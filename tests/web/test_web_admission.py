"""The page that says whether data is useful."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

from sampan.web import app
from sampan.web.words.dictionary import vietnamese
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow  # a batch is judged and rows are valued


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 2))
    frame = pl.DataFrame({"x": x[:, 0], "<b>": x[:, 1], "bad": x[:, 0] + rng.normal(size=3000) / 2 > 0})
    with Workspace.open(tmp_path_factory.mktemp("useful")) as ws:
        ws.data.add_table(frame[:2400], name="parts")
        ws.data.label("parts", target="bad")
        ws.data.append_table("parts", frame[2400:].with_columns(bad=~pl.col("bad")))
        with TestClient(app.create_app(ws), base_url="http://127.0.0.1:4140") as client:
            assert "not valued yet" in client.get("/data/parts/admission").text
            ws.data.value("parts")
            yield client


def test_the_page_tells_the_verdict_each_way_and_the_rows_to_look_at(client: TestClient) -> None:
    page = client.get("/data/parts/admission").text

    assert "of the labels look wrong" in page
    assert "admitting without the suspicious rows" in page or "not admitting" in page
    assert "Rows to look at" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page


def test_a_person_follows_a_batch_from_the_list_of_datasets_to_what_happens_if_it_is_admitted(client: TestClient) -> None:
    listed = client.get("/data").text
    dataset = client.get("/data/parts@v1").text
    page = client.get("/data/parts/admission").text

    assert 'href="/data/parts%40v1"' in listed or 'href="/data/parts@v1"' in listed
    assert "/admission" in dataset
    # What came in, the verdict, why, what happens, which rows, and what to do: in this order.
    steps = ["memory", "harmful", "Rows with a label", "Held back", "Why", "What happens to the model", "not admitting", "admitting"]
    places = [page.index(step) for step in [*steps, "Which rows", "Fits better", "sampan data readmit parts.quarantine@v1"]]
    assert sorted(places) == places
    rows = page[page.index('id="batches"') : page.index('id="values"')]
    assert 10 == rows[rows.index("Which rows") :].count('<th scope="row"')


def test_the_path_reads_in_vietnamese(client: TestClient) -> None:
    page = client.get("/data/parts@v1/admission?lang=vi").text

    for told in ("có hại", "Không nên nhận", "Vì sao", "Mô hình sẽ ra sao", "Những dòng nào", "nhãn bad", "tạm giữ"):
        assert told in page


def test_values_that_may_not_be_read_are_not_on_the_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=1500)
    frame = pl.DataFrame({"x": x, "secret": [f"name {i}" for i in range(1500)], "bad": x + rng.normal(size=1500) / 2 > 0})
    with Workspace.open(tmp_path) as ws:
        ws.data.add_table(frame[:1000], name="people")
        ws.data.label("people", target="bad")
        ws.data.append_table("people", frame[1000:].with_columns(bad=~pl.col("bad")))
        with TestClient(app.create_app(ws), base_url="http://127.0.0.1:4140") as client:
            seen = client.get("/data/people/admission").text
            ws.policy.declare("people", owner="ana", purposes=["churn"])
            hidden, dataset = client.get("/data/people/admission").text, client.get("/data/people").text

    assert "name 1" in seen
    assert "harmful" in hidden
    assert "name 1" not in hidden
    assert "people may be used for churn only" in hidden
    assert "people may be used for churn only" in dataset


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "about 20.0% (16.9% to 23.0%) of the labels look wrong to models of the rows before; usually 0.0%, at most 5.4%",
            "khoảng 20.0% (16.9% đến 23.0%) nhãn có vẻ sai; thường 0.0%, nhiều nhất 5.4%",
        ),
        (
            "x = 7.77 looks planted: in 50 rows (none of the rows before), 100% labeled 1 where 61% were to be expected",
            "x = 7.77 có vẻ bị cài vào: ở 50 dòng, 100% có nhãn 1 trong khi chỉ nên là 61%",
        ),
        (
            "about 31% of the values of weight do not fit the rest of their rows; usually 1%, at most 8%",
            "khoảng 31% giá trị của weight không hợp với phần còn lại của dòng; thường 1%, nhiều nhất 8%",
        ),
        (
            "weight is 9999 in 40 rows, far out of the range before (4.0%; 0.00% of the rows before)",
            "weight là 9999 ở 40 dòng, nằm xa ngoài khoảng trước đây (4.0%; trước đây 0.00% số dòng)",
        ),
        ("weight is 3.5 in 90 rows (9.0%; 0.10% of the rows before)", "weight là 3.5 ở 90 dòng (9.0%; trước đây 0.10% số dòng)"),
        ("12 rows have the label drone, which no row before has", "12 dòng có nhãn drone, nhãn chưa dòng nào trước đây có"),
        (
            "a model that learns it gains 0.0130 of squared error on 800 trusted rows",
            "mô hình học lô này tốt lên 0.0130 sai số bình phương trên 800 dòng đáng tin cậy",
        ),
        (
            "the labels hardly follow the columns: rank agreement 0.512, usually 0.830",
            "nhãn gần như không còn theo các cột: độ khớp thứ hạng 0.512, thường là 0.830",
        ),
        ("a model does as well without it", "mô hình vẫn tốt như vậy khi không có lô này"),
    ],
)
def test_reasons_are_told_in_vietnamese(said: str, expected: str) -> None:
    assert expected == vietnamese(said)
