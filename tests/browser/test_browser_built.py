"""The page that `sampan pack MODEL --target browser` writes, opened from the disk in a browser without a network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from playwright.sync_api import Browser, Page

from sampan.workspace.targets.edge_packages import open_carried, request_columns
from sampan.workspace.workspace import Workspace

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Built(NamedTuple):
    page: Path
    requests: list[dict[str, Any]]
    scores: Any


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    sys.path.insert(0, str(Path(__file__).parents[1] / "workspace"))  # under importlib's import mode
    from page_training import train_for_a_page

    out = tmp_path_factory.mktemp("built") / "out"
    with Workspace.open(tmp_path_factory.mktemp("project")) as workspace:
        package = train_for_a_page(workspace)
        workspace.model.pack("orders-page", target="browser", out=out)
        carried = open_carried(package)
    return Built(out / "index.html", request_columns(carried), pl.read_parquet(package / "probe.parquet")["__score"].to_numpy())


@pytest.fixture
def page(browser: Browser, built: Built) -> Iterator[Page]:
    """The page as anyone opens it; nothing may be asked of a network, and nothing may go wrong."""
    context = browser.new_context(offline=True, viewport={"width": 390, "height": 900})
    opened = context.new_page()
    faults: list[str] = []
    asked: list[str] = []
    opened.on("pageerror", lambda fault: faults.append(str(fault)))
    opened.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(built.page.as_uri())
    opened.wait_for_function("globalThis.sampan !== undefined")
    yield opened
    context.close()
    assert [] == faults
    assert {built.page.as_uri(), "data:,"} >= set(asked)


def test_the_browser_answers_the_probe_set_as_the_package_does(page: Page, built: Built) -> None:
    scores = page.evaluate("requests => requests.map((request) => sampan.predict(request).score)", built.requests)

    assert 256 == len(scores)
    np.testing.assert_allclose(scores, built.scores, atol=1e-6)


@pytest.mark.parametrize("width", [390, 760, 1100])
def test_no_field_lies_over_another(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})

    boxes = [field.bounding_box() for field in page.locator(".field input, .field select").all()]

    assert 5 == len(boxes)
    for n, one in enumerate(boxes):
        for other in boxes[n + 1 :]:
            assert one is not None
            assert other is not None
            beside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
            assert beside or one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]


def test_a_person_changes_a_field_and_reads_the_answer(page: Page) -> None:
    before = page.inner_text("#value")
    page.fill("#field-x1", "2.5")
    after = page.inner_text("#value")
    page.fill("#field-shop", "west")

    asked = 'request => sampan.predict({...request, x1: 2.5, shop: "south"}).score'
    assert float(before) < float(after)
    assert "was not seen in training" in page.inner_text("#notes")
    page.fill("#field-shop", "south")
    values = {name: page.input_value(f"[id='field-{name}']") for name in ("x2", "past.rate", "at")}
    request = {"x2": float(values["x2"]), "past.rate": float(values["past.rate"]), "at": values["at"]}
    assert page.evaluate(asked, request) == pytest.approx(float(page.inner_text("#value")), rel=1e-3)
    assert "at or above the threshold" in page.inner_text("#decision")


def test_the_page_says_what_is_wrong_with_a_field_and_fits_a_phone(page: Page) -> None:
    page.fill("#field-at", "")

    assert "at is missing, expected a moment" in page.inner_text("#notes")
    assert page.evaluate("document.documentElement.scrollWidth <= 390")
    unlabeled = page.evaluate("[...document.querySelectorAll('input, select')].filter((each) => !each.labels.length).length")
    assert 0 == unlabeled
