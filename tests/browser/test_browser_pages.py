"""A person with a browser: from home to every page, in light and dark, on a desk and a phone, by keyboard, and without JavaScript."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
Visit = Callable[..., AbstractContextManager[Page]]
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
# One page of each kind, as a person reaches it from home: the links' texts or addresses, in order.
JOURNEYS = {
    "home": [],
    "datasets": ["Datasets"],
    "dataset": ["Datasets", "orders@v1"],
    "exploration": ["Datasets", "orders@v1", "Explore"],
    "contract": ["Datasets", "orders@v1", "Edit"],
    "usefulness": ["Datasets", "orders@v1", "Is it useful?"],
    "hostile dataset": ["Datasets", "<i>odd<i>@v1"],
    "runs": ["Runs"],
    "run": ["Runs", "orders-late"],
    "many runs": ["Runs", "Compare many runs"],
    "side by side": ["Runs", "Compare many runs", "Side by side"],
    "models": ["Models"],
    "model": ["Models", "orders-late@v2"],
    "services": ["Services"],
    "service": ["Services", "orders-late"],
    "incidents": ["Incidents"],
    "incident": ["Incidents", "2013-02-08"],
    "lineage": ["Models", "orders-late@v2", "Lineage"],
    "node": ["Services", "orders-late", "2013-02-01 – 2013-02-07"],
    "log": ["Log"],
}


def travel(page: Page, links: list[str]) -> None:
    page.goto("/")
    for text in links:
        with page.expect_navigation():
            page.locator("nav[aria-label=Main] a, main a").filter(has_text=text).first.click()


@pytest.fixture(scope="module")
def addresses(visit: Visit) -> dict[str, str]:
    """Where each journey ends; that each ends without a fault is seen on the way."""
    found = {}
    with visit(viewport=DESK) as page:
        for name, links in JOURNEYS.items():
            travel(page, links)
            found[name] = page.url
    return found


def test_clicks_lead_from_home_to_every_kind_of_page(addresses: dict[str, str]) -> None:
    sections = [unquote(url).split("/")[3].split("?")[0] for url in addresses.values()]

    assert len(set(addresses.values())) == len(JOURNEYS)
    assert {"", "data", "runs", "compare", "models", "services", "incidents", "lineage", "node", "log"} == set(sections)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_no_page_keeps_anyone_out_or_scrolls_sideways(
    visit: Visit, addresses: dict[str, str], viewport: dict[str, int], scheme: str
) -> None:
    found: dict[str, Any] = {}
    with visit(viewport=viewport, color_scheme=scheme, bypass_csp=True) as page:
        for name, url in addresses.items():
            page.goto(url)
            open_everything(page)
            overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            hidden = page.locator(".scroll:has(table.stacked)").evaluate_all("all => all.filter(e => e.scrollWidth > e.clientWidth).length")
            violations = violations_of(page)
            if overflow > 0 or violations or (viewport == PHONE and hidden):
                found[name] = {"overflow": overflow, "violations": violations, "stacked tables that scroll": hidden}

    assert found == {}, json.dumps(found, indent=1)


def open_everything(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


def violations_of(page: Page) -> list[str]:
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)")
    return [f"{one['id']}: {one['nodes'][0]['html'][:160]} ({len(one['nodes'])})" for one in found]


def test_vietnamese_is_as_open_as_english(visit: Visit, addresses: dict[str, str]) -> None:
    with visit(viewport=PHONE, bypass_csp=True) as page:
        page.goto(addresses["service"] + "?lang=vi")
        assert page.locator("html").get_attribute("lang") == "vi"
        assert violations_of(page) == []
        page.goto(addresses["home"])  # the choice is kept
        assert page.get_by_role("heading", name="Đang phục vụ").is_visible()


def test_everything_can_be_read_without_javascript(visit: Visit, addresses: dict[str, str]) -> None:
    with visit(viewport=DESK, java_script_enabled=False) as page:
        page.goto(addresses["service"])
        assert page.locator("figure svg.chart").count() == 4
        page.locator("figure summary").first.click()
        assert page.locator("figure table").first.is_visible()
        page.goto(addresses["runs"])
        page.get_by_label("Trials of searches").select_option("yes")
        page.get_by_role("button", name="Filter").click()
        assert "trials=yes" in page.url
        assert page.locator("tbody tr").count() >= 5


def test_the_keyboard_reaches_content_navigation_and_wide_tables(visit: Visit, addresses: dict[str, str]) -> None:
    with visit(viewport=PHONE) as page:
        page.goto(addresses["service"])
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        assert page.locator("a.skip").bounding_box()["x"] >= 0  # type: ignore[index]
        page.keyboard.press("Enter")
        assert page.url.endswith("#content")
        page.goto(addresses["service"])
        reached = []
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.outerHTML.slice(0, 80)"))
        assert any('href="/models"' in one for one in reached)
        assert any('class="scroll" tabindex="0"' in one for one in reached)
        assert any(one.startswith("<summary") for one in reached)


def test_a_sorted_table_is_one_address(visit: Visit, addresses: dict[str, str]) -> None:
    with visit(viewport=DESK) as page:
        page.goto(addresses["runs"])
        page.get_by_role("link", name="test_auc").click()
        address = page.url
        assert "sort=test_auc" in address
        shown = page.locator("tbody").inner_text()
        page.goto("/")
        page.goto(address)
        assert page.locator("tbody").inner_text() == shown
        assert page.locator("th[aria-sort=descending]").count() == 1


def test_a_thing_that_is_not_there_is_told_as_a_page(browser: Any, base: str) -> None:
    page = browser.new_page()
    answer = page.goto(f"{base}/models/ordres-late")

    assert answer.status == 404
    assert "orders-late" in page.locator("main").inner_text()
    page.close()
