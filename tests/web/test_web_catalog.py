"""The catalogue's pages: search, what is asked of a dataset, and the cells that look wrong."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from sampan.data import cells_claims, cells_dependencies, cells_misplaced, cells_placeholders, cells_shapes, cells_spelling, cells_units
from sampan.web import app
from sampan.web.words.dictionary import vietnamese
from sampan.workspace.workspace import Workspace

STARTS = ("the ", "missing", "nearly ", "as if ", "it also ", "stands for ", "a word for ")
SIZES = ("12 oz", "12 oz.", "16 ounce")
BEERS = "id,size,city\n" + "".join(f"{n},{SIZES[n % 3]},{'<b>Hanoj' if n == 50 else ('<b>Hanoi', 'Saigon')[n % 2]}\n" for n in range(90))


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "beers.csv").write_text(BEERS)
    with Workspace.open(tmp_path, actor="ana") as workspace:
        workspace.data.add(tmp_path / "beers.csv", key=["id"], owner="brewers")
        yield workspace


@pytest.fixture
def client(ws: Workspace) -> TestClient:
    return TestClient(app.create_app(ws), base_url="http://127.0.0.1:4140")


def test_a_search_shows_what_fits_and_why(client: TestClient) -> None:
    page = client.get("/data?q=town").text

    assert "What fits" in page
    assert "column city" in page
    assert "No dataset fits." in client.get("/data?q=volcano").text


def test_a_dataset_answers_what_is_asked_of_it(client: TestClient, ws: Workspace) -> None:
    ws.data.describe("beers", label_cost="0.40 EUR a row", kpis=["<i>turnover"])
    page = client.get("/data/beers").text

    for told in (
        "Where is it from?",
        "Who may use it?",
        "brewers",
        "0.40 EUR a row",
        "&lt;i&gt;turnover",
        "/ 100",
        "sampan data infer beers",
    ):
        assert told in page


def test_cells_that_look_wrong_are_shown_with_their_repairs_once_somebody_looked(client: TestClient, ws: Workspace) -> None:
    before = client.get("/data/beers").text
    ws.data.errors("beers")
    after, cells = client.get("/data/beers").text, client.get("/data/beers@v1/cells").text

    assert "Nobody looked for wrong cells yet" in before
    assert "/data/beers%40v1/cells" in after
    assert "&lt;b&gt;Hanoj" in cells
    assert "&lt;b&gt;Hanoi" in cells


def test_the_pages_are_in_vietnamese(client: TestClient, ws: Workspace) -> None:
    ws.data.errors("beers")
    page = client.get("/data/beers?lang=vi").text

    for told in ("Trước khi dùng", "Tin được đến đâu?", "chưa có hợp đồng", "lỗi gõ", "số ô có vẻ sai"):
        assert told in page


def test_what_is_asked_of_a_dataset_is_answered_in_vietnamese(client: TestClient, ws: Workspace) -> None:
    ws.data.describe("beers", updates="mỗi đêm")
    page = client.get("/data/beers?lang=vi").text

    assert "beers.csv, đọc dạng csv, ana đưa vào ngày" in page
    assert "mỗi đêm (mới có một phiên bản)" in page
    assert "chưa nêu: mô tả" in page
    assert ", trung vị " in page
    assert not re.search(r"read as|so far|, median |owner: ", page)


def test_every_reason_is_there_in_vietnamese() -> None:
    """The reasons stand as texts in the modules that look for wrong cells; what is put into them is replaced by a word."""
    modules = (cells_claims, cells_dependencies, cells_misplaced, cells_placeholders, cells_shapes, cells_spelling, cells_units)
    sources = "\n".join(inspect.getsource(module) for module in modules)
    reasons = {re.sub(r"\{[^}]*\}", "x", text) for text in re.findall(r'"((?:[^"\n]+ ){2,}[^"\n]+)"', sources)}
    said = {text for text in reasons if text.startswith(STARTS)}

    assert len(said) >= 12
    assert {text for text in said if vietnamese(text) == text} == set()


def test_a_columns_name_leads_to_the_columns_with_its_values(client: TestClient, ws: Workspace) -> None:
    ws.data.add_table({"town": ["Saigon", "<b>Hanoi", "Huế"]}, name="towns")
    page = client.get("/data/beers").text
    alike = client.get("/data?like=beers%40v1&column=city").text

    assert 'href="/data?like=beers%40v1&amp;column=city"' in page
    assert 'href="/data/towns%40v1"' in alike
    assert "No other column here holds them." in client.get("/data?like=beers&column=size").text


def test_a_table_without_wrong_cells_says_so(client: TestClient, ws: Workspace) -> None:
    ws.data.add_table({"n": list(range(50))}, name="numbers")

    assert "No cell looks wrong." in client.get("/data/numbers/cells").text
