"""Every page, over a project in which a model was trained, shipped, watched and retrained by the ordinary operations."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

from short_life import HOSTILE, NAME, live_through

from sampan.evaluation.gate import REASONS
from sampan.web import app, page
from sampan.web.pages import models, services
from sampan.web.pages.datasets import plain_type
from sampan.web.pages.runs import brief, metric_columns
from sampan.web.words.dictionary import VIETNAMESE, vietnamese
from sampan.workspace.runs.listing import RunLine
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow  # the project they share takes some seconds to live through

NAVIGATION = ("/", "/data", "/runs", "/models", "/services", "/incidents", "/log")
MOST_CPU_S = 0.1


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("orders")
    live_through(folder)
    with Workspace.open(folder) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def client(ws: Workspace) -> TestClient:
    return client_of(ws)


@pytest.fixture(scope="module")
def pages(client: TestClient) -> dict[str, str]:
    """Every page that links lead to from home, by its address."""
    found: dict[str, str] = {}
    waiting = ["/"]
    while waiting:
        path = waiting.pop(0)
        if path in found:
            continue
        answer = client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        found[path] = answer.text
        waiting += [href for href in links(answer.text) if href.startswith("/") and not href.startswith(("/static", "/api"))]
    return found


def client_of(ws: Workspace) -> TestClient:
    return TestClient(app.create_app(ws), base_url="http://127.0.0.1:4140")


class Tags(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))


def links(text: str) -> list[str]:
    return [a["href"].partition("#")[0] for tag, a in Tags(text).tags if tag == "a" and "href" in a]


def test_links_from_home_lead_to_every_kind_of_page(pages: dict[str, str]) -> None:
    kinds = {path.split("?")[0].split("/")[1] for path in pages}

    assert {"", "data", "runs", "models", "services", "incidents", "log", "lineage", "node"} <= kinds
    assert any(path.startswith("/services/") for path in pages)
    assert sum(path.startswith("/models/") for path in pages) >= 2


def test_strings_from_data_stay_strings(pages: dict[str, str]) -> None:
    for path, text in pages.items():
        tags = Tags(text).tags
        assert HOSTILE not in text, path
        assert not {"b", "i"} & {tag for tag, attrs in tags if not attrs}, path
        assert not any(name.startswith("on") for _, attrs in tags for name in attrs), path

    assert any("&lt;img src=x onerror=alert(1)&gt;" in text for text in pages.values())


def test_pages_obey_their_own_security_policy(pages: dict[str, str]) -> None:
    for path, text in pages.items():
        for tag, attrs in Tags(text).tags:
            assert tag != "style", path
            assert "style" not in attrs, path
            assert tag != "script" or attrs.get("src", "").startswith("/static/"), path
            for name in ("href", "src", "action"):
                assert attrs.get(name, "/")[0] in "/#?", (path, attrs)


def test_every_chart_and_wide_table_has_a_name(pages: dict[str, str]) -> None:
    for path, text in pages.items():
        ids = [attrs["id"] for _, attrs in Tags(text).tags if "id" in attrs]
        assert len(ids) == len(set(ids)), path
        for tag, attrs in Tags(text).tags:
            classes = attrs.get("class", "").split()
            if tag == "svg" and "chart" in classes:
                assert attrs["aria-label"], path
            if "scroll" in classes:
                assert (attrs["tabindex"], attrs["role"]) == ("0", "region"), path
                assert attrs["aria-label"], path


def test_the_service_page_tells_quality_drift_and_promotion(client: TestClient, ws: Workspace) -> None:
    text = client.get(f"/services/{NAME}").text
    windows = ws.monitor.show(NAME).windows

    assert "orders-late@v2" in text
    assert text.count("<figure") == 4
    for window in windows:
        assert page.month(window) in text
    assert re.search(r'class="n heat h[1-4]"', text)
    assert 'class="mark"' in text  # where another model went live
    assert "sampan schedule turn" in text  # what the last window asked for
    assert str(windows[-1].reasons[0]) in text


def test_the_model_page_tells_the_gate_in_questions(client: TestClient, ws: Workspace) -> None:
    shown = ws.model.show(f"{NAME}@v2")
    text = client.get(f"/models/{NAME}@v2").text

    assert shown.decision is not None
    for check in shown.decision.checks:
        assert models.QUESTIONS[check.code] in text
    assert "Beside the champion" in text
    assert "Beside a simple baseline" in text
    assert "Calibration" in text
    assert "AUC: shop" in text


def test_every_chart_is_told_in_vietnamese(ws: Workspace) -> None:
    shown = models.load_model(ws, {"ref": f"{NAME}@v2"})
    charts = [*services.load_service(ws, {"name": NAME})["charts"], *shown["charts"]]

    said = {word for one in charts for word in (one.title, one.note, *one.head, *(name for name, _ in one.legend)) if word}
    assert sorted(said - set(VIETNAMESE)) == []
    assert "AUC" in {vietnamese(one.title).partition(":")[0] for one in shown["slices"]}


def test_every_reason_of_a_gate_has_its_question() -> None:
    assert set(REASONS) == set(models.QUESTIONS)


def test_the_incident_page_tells_how_it_ended(client: TestClient, ws: Workspace) -> None:
    closed, opened = (ws.incident.list_incidents(state=state).incidents[0] for state in ("closed", "open"))

    assert "shown better and promoted" in client.get(f"/incidents/{closed.ref}").text
    assert "How it ended" not in client.get(f"/incidents/{opened.ref}").text
    assert opened.ref not in client.get("/incidents?state=closed").text
    assert client.get(f"/incidents/{'0' * 12}").status_code == 404


def test_runs_are_sorted_by_a_metric_of_the_query(client: TestClient, ws: Workspace) -> None:
    runs = {run.run: run.metrics["log_loss"] for run in ws.run.list(trials=True, limit=100).runs if "log_loss" in run.metrics}
    text = client.get("/runs?trials=yes&sort=log_loss&order=asc").text
    listed = [run for run in re.findall(r'href="/runs/([0-9a-f]{32})"', text) if run in runs]

    assert sorted(runs.values()) == [runs[run] for run in listed]
    assert 'aria-sort="ascending"' in text
    assert client.get("/runs?limit=0").status_code == 400
    assert client.get("/runs?state=asleep").status_code == 400
    assert [listed[0]] == re.findall(r'href="/runs/([0-9a-f]{32})"', client.get("/runs?trials=yes&sort=log_loss&order=asc&limit=1").text)
    assert "Show more" in client.get("/runs?trials=yes&sort=log_loss&limit=2").text


def test_older_runs_are_a_link_away(client: TestClient, ws: Workspace) -> None:
    path, found = "/runs?trials=yes&limit=2", []
    while path:
        text = client.get(path).text
        found.append(re.findall(r'href="/runs/([0-9a-f]{32})"', text))
        path = next((href for href in links(text) if "before=" in href), "")

    assert [run.run for run in ws.run.list(trials=True, limit=100).runs] == [run for page in found for run in page]
    assert {2} == {len(page) for page in found[:-1]}
    assert client.get("/runs?before=yesterday").status_code == 400


def test_the_metrics_that_runs_have_are_columns() -> None:
    runs = [RunLine(name, "m", name, "finished", "2013-01-01T00:00:00Z", 1.0, None, {"auc": 0.6}, {}) for name in "ab"]

    assert ["auc"] == metric_columns(runs)


def test_the_log_is_filtered_and_verified(client: TestClient) -> None:
    text = client.get("/log?type=window_sealed&verify=1").text

    assert text.count("window sealed") >= 4
    assert "run started</td>" not in text
    assert "the ledger is intact" in text
    assert client.get("/log?limit=many").status_code == 400


def test_lineage_is_drawn_around_the_thing_and_told_as_a_table(client: TestClient, ws: Workspace) -> None:
    text = client.get(f"/lineage/{ws.model.show(f'{NAME}@v1').node}").text

    assert 'class="kind-model focus"' in text
    assert "The same as a table" in text


def test_an_empty_project_names_the_first_command_and_stays_empty(tmp_path: Path) -> None:
    with Workspace.open(tmp_path) as empty:
        client = client_of(empty)
        for path in NAVIGATION:
            answer = client.get(path)
            assert answer.status_code == 200
            assert "<code>sampan " in answer.text, path

    assert list(tmp_path.iterdir()) == []


def test_the_language_follows_the_link_and_is_kept(ws: Workspace) -> None:
    client = client_of(ws)

    assert '<html lang="vi">' in client.get("/?lang=vi").text
    assert "Trang chủ" in client.get("/models").text
    assert '<html lang="en">' in client.get("/?lang=en").text


def test_visiting_pages_records_nothing(ws: Workspace, pages: dict[str, str], client: TestClient) -> None:
    n_events = len(ws.catalog.events(limit=100_000))
    for path in pages:
        client.get(path)

    assert n_events == len(ws.catalog.events(limit=100_000))


def test_a_dataset_shows_the_columns_that_give_its_label_away(pages: dict[str, str]) -> None:
    text = next(text for path, text in pages.items() if path.startswith("/data/orders"))

    assert "Columns that give the label away" in text
    assert "the label is computed from it" in text


def test_pages_are_quick(client: TestClient, pages: dict[str, str]) -> None:
    # The crawl has computed what is computed once; from then on a page reads recorded facts.
    for path in [*NAVIGATION, f"/services/{NAME}", f"/models/{NAME}@v2", "/data/orders", f"/lineage/{NAME}@v2"]:
        started = time.process_time()
        client.get(path)
        assert time.process_time() - started < MOST_CPU_S, path


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (1_356_998_400_000, 1_359_676_800_000, "2013-01"),
        (1_356_998_400_000, 1_357_084_800_000, "2013-01-01"),
        (1_356_998_400_000, 1_357_603_200_000, "2013-01-01 – 2013-01-07"),
        (1_356_998_400_000, 1_357_002_000_000, "2013-01-01 00:00 – 2013-01-01 01:00"),
    ],
)
def test_a_window_is_named_without_words(since: int, until: int, expected: str) -> None:
    class Window:
        pass

    window = Window()
    window.since, window.until = since, until

    assert expected == page.month(window)


def test_numbers_and_types_are_written_for_readers() -> None:
    assert ("0.7065", "119", "gbdt") == (brief("0.7064965631185978"), brief("119"), brief("gbdt"))
    assert ("integer", "time (UTC)") == (plain_type("Int64"), plain_type("Datetime(time_unit='us', time_zone='UTC')"))
