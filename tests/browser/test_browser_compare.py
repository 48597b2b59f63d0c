"""Many runs in a browser: they are drawn, a range on an axis keeps some, and the address keeps the range."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.slow

Visit = Callable[..., AbstractContextManager[Page]]
DRAWN = '#parallel[data-drawn]:not([data-drawn=""])'


def test_a_range_that_is_drawn_on_an_axis_keeps_some_runs_and_is_in_the_address(visit: Visit) -> None:
    with visit() as page:
        page.goto("/compare/runs?lang=en")
        page.locator(DRAWN).wait_for()
        whole = page.locator("#count").inner_text()
        box = page.locator("#parallel").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 44, box["y"] + 35)
        page.mouse.down()
        page.mouse.move(box["x"] + 44, box["y"] + 120, steps=4)
        page.mouse.up()
        page.locator(DRAWN).wait_for()

        assert "range." in page.url
        kept = page.locator("#count").inner_text()
        assert whole.split("/")[1] == kept.split("/")[1]
        page.reload()
        page.locator(DRAWN).wait_for()
        assert kept == page.locator("#count").inner_text()

        page.locator("summary", has_text="Ranges").click()
        page.locator("#clear").click()
        page.locator(DRAWN).wait_for()
        assert whole == page.locator("#count").inner_text()
        assert "range." not in page.url


def test_ranges_are_fields_for_the_keyboard(visit: Visit) -> None:
    with visit() as page:
        page.goto("/compare/runs?lang=en")
        page.locator(DRAWN).wait_for()
        page.locator("summary", has_text="Ranges").click()
        page.locator("#low-0").fill("1000000")
        page.locator("#low-0").press("Tab")

        assert page.locator("#count").inner_text().startswith("0 /")


def test_chosen_runs_are_laid_side_by_side(visit: Visit) -> None:
    with visit() as page:
        page.goto("/runs?trials=yes&lang=en")
        for place in (0, 1):
            page.locator('input[name="ref"]').nth(place).check()
        page.locator("form.card button").click()

        assert "/compare?ref=" in page.url
        assert page.locator("h1").inner_text() == "Side by side"
