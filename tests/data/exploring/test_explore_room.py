"""`data explore` as a person uses it: from declarations to a page that stands alone, and the same page on the server."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

from sampan.core.answers import to_json
from sampan.errors import ParameterError
from sampan.web.app import create_app
from sampan.web.explored import SECTIONS, render_exploration
from sampan.web.pages import explored
from sampan.web.words.dictionary import VIETNAMESE
from sampan.workspace.data.exploration import Asked, explore_version
from sampan.workspace.workspace import Workspace

MOST_BYTES = 1_500_000
N = 3_000


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    rng = np.random.default_rng(2)
    frame = pl.DataFrame(
        {
            "id": np.arange(N),
            "at": pl.Series(np.arange(N) * 3_600_000_000).cast(pl.Datetime("us", "UTC")),
            "paid": np.round(rng.gamma(2.0, 50.0, N), 2),
            "shop": pl.Series([f"s{k}" for k in rng.integers(0, 4, N)]),
            "sex": pl.Series(rng.choice(["f", "m"], N, p=[0.1, 0.9])),
            "email": [f"person{k}@example.org" for k in range(N)],
        }
    ).with_columns(late=pl.col("paid") > 90)
    frame.write_parquet(tmp_path / "orders.parquet")
    frame[:100].write_parquet(tmp_path / "orders_test.parquet")
    (tmp_path / "census.csv").write_text("sex,share\nf,0.5\nm,0.5\n")
    (tmp_path / "sampan.toml").write_text('[policies.orders]\nprotected = ["sex"]\npii = { email = "email" }\n')
    with Workspace.open(tmp_path, actor="ana") as workspace:
        workspace.data.add(tmp_path / "orders.parquet", key=["id"], time="at")
        workspace.data.add(tmp_path / "orders_test.parquet")
        workspace.data.label("orders", target="late")
        yield workspace


def test_what_was_declared_is_taken_up(ws: Workspace) -> None:
    answer = ws.data.explore("orders", reference="census.csv", test="orders_test")
    found = answer.exploration

    assert answer.file == "orders-explored.html"
    assert found.target is not None
    assert found.target.target == "late"
    assert found.drift is not None
    assert found.drift.time == "at"
    assert [cell.verdict for cell in found.groups[0].cells] == ["too many", "too few"]
    assert found.overlap is not None
    assert (found.overlap.n_found, found.overlap.n_keys_found) == (100, 100)
    assert {view.name: view.hidden for view in found.columns}["email"] == "personal data: email"
    assert answer.next == ("sampan data leaks orders", "sampan data infer orders", "sampan data errors orders")
    assert "sex f: " in answer.text()
    assert b'"warnings"' in to_json(answer)


def test_the_page_stands_alone_and_shows_nobody(ws: Workspace) -> None:
    answer = ws.data.explore("orders", out=ws.root / "pages" / "o.html")
    page = (ws.root / "pages" / "o.html").read_text()

    assert answer.size_bytes == len(page.encode()) < MOST_BYTES
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page) == []
    assert "default-src 'none'" in page
    assert "example.org" not in page
    assert all(f'id="{anchor}"' in page for anchor in re.findall(r'<li><a href="#(\w+)"', page))


def test_the_same_question_is_answered_once_until_a_declaration_changes(ws: Workspace) -> None:
    node = ws.catalog.resolve("orders", kind="dataset")
    first = explore_version(ws, node, Asked())
    hints = {file.name: file.stat().st_mtime_ns for file in (ws.root / ".sampan" / "hints").iterdir()}

    assert explore_version(ws, node, Asked()) == first
    assert {file.name: file.stat().st_mtime_ns for file in (ws.root / ".sampan" / "hints").iterdir()} == hints
    ws.data.label("orders", target="paid > 200")
    changed = explore_version(ws, ws.catalog.resolve("orders", kind="dataset"), Asked())
    assert changed.target is not None
    assert changed.target.target == "paid > 200"


def test_the_server_shows_the_same(ws: Workspace) -> None:
    client = TestClient(create_app(ws), base_url="http://127.0.0.1")
    shown = client.get("/data/orders@v1/explore?groups=sex,shop")
    vietnamese = client.get("/data/orders@v1/explore?lang=vi")

    assert shown.status_code == 200
    assert "sex × shop" in shown.text
    assert "Điều cần biết trước" in vietnamese.text
    assert client.get("/data/orders@v1/explore?groups=six").status_code == 400


def test_a_large_dataset_is_explored_once_in_a_job_with_progress(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explored, "MOST_CELLS", 10)
    client = TestClient(create_app(ws), base_url="http://127.0.0.1")
    first = client.get("/data/orders@v1/explore?groups=sex")
    shown = first
    for _ in range(600):
        if "sex f" in shown.text or 'id="groups"' in shown.text:
            break
        time.sleep(0.05)
        shown = client.get("/data/orders@v1/explore?groups=sex")

    assert "It is being explored now" in first.text
    assert 'data-live="2"' in first.text
    assert 'id="groups"' in shown.text
    assert 400 == client.get("/data/orders@v1/explore?groups=six").status_code


def test_a_question_a_job_cannot_answer_shows_why(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explored, "MOST_CELLS", 10)
    client = TestClient(create_app(ws), base_url="http://127.0.0.1")
    answers = [client.get("/data/orders@v1/explore?target=colour")]
    while answers[-1].status_code == 200 and len(answers) < 600:
        time.sleep(0.05)
        answers.append(client.get("/data/orders@v1/explore?target=colour"))

    assert 400 == answers[-1].status_code
    assert "cannot be computed" in answers[-1].text


def test_every_sentence_of_an_exploration_is_there_in_vietnamese(ws: Workspace) -> None:
    found = ws.data.explore("orders", reference="census.csv", test="orders_test").exploration
    page = re.sub(r"<(style|code)>.*?</\1>", "", render_exploration(found, "vi"), flags=re.S)
    texts = {text.strip() for text in re.split(r"<[^>]+>", page)}

    assert sorted(title for _, title in SECTIONS if title not in VIETNAMESE) == []
    assert sorted(text for text in texts if re.search(r"\b(the|is|of|rows|and|has|may|missing)\b", text)) == []


def test_a_column_of_any_name_is_a_target_as_it_is_called(ws: Workspace) -> None:
    frame = pl.DataFrame(
        {"quá hạn": [k % 3 == 0 for k in range(200)], "order": [k % 2 for k in range(200)], "x": [k % 7 for k in range(200)]}
    )
    others = {f"x{k}": pl.col("x").shuffle(seed=k) for k in range(5)}
    ws.data.add_table(frame.with_columns(fee=pl.col("quá hạn").cast(pl.Int8) * 5, **others), name="loans")
    for target in ("quá hạn", "order"):
        found = ws.data.explore("loans", target=target).exploration
        assert found.target is not None
        assert found.target.n == 200
        assert ws.data.leaks("loans", target=target).n_labelled == 200

    grave = [one.todo for one in ws.data.explore("loans", target="quá hạn").exploration.warnings if "fee" in one.columns]
    ws.data.label("loans", target="quá hạn")
    declared = [one.todo for one in ws.data.explore("loans").exploration.warnings if "fee" in one.columns]
    assert (grave[0], declared[0]) == ("sampan data leaks loans --target '\"quá hạn\"'", "sampan data leaks loans")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"groups": ["sx"]}, "no column 'sx'"),
        ({"time": "when"}, "no column 'when'"),
        ({"time": "paid"}, "which is no time"),
        ({"reference": "nowhere.csv"}, "neither a file nor a dataset"),
        ({"target": "late +"}, "is no expression"),
        ({"target": "colour"}, "cannot be computed"),
    ],
)
def test_what_cannot_be_asked_says_why(ws: Workspace, asked: dict[str, object], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        ws.data.explore("orders", **asked)  # type: ignore[arg-type]  # each of its own type

    assert not (ws.root / "orders-explored.html").exists()


@pytest.mark.slow
def test_a_table_of_very_many_columns_stays_a_small_page(ws: Workspace) -> None:
    rng = np.random.default_rng(3)
    ws.data.add_table(pl.DataFrame({f"c{k}": rng.normal(size=400) for k in range(1_200)}), name="wide")

    assert ws.data.explore("wide").size_bytes < MOST_BYTES
