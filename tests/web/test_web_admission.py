"""The page that says whether data is useful."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

from sampan.web import app
from sampan.web.words import vietnamese
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


def test_a_dataset_leads_to_its_page(client: TestClient) -> None:
    assert 200 == client.get("/data/parts@v1/admission?lang=vi").status_code


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
        ("a model does as well without it", "mô hình vẫn tốt như vậy khi không có lô này"),
    ],
)
def test_reasons_are_told_in_vietnamese(said: str, expected: str) -> None:
    assert expected == vietnamese(said)
