"""A person who has not signed in: asked in their language on a page with its style, and led on to where they wanted to go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

import sampan as package

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Where `sampan server` answers, and its token."""
    env = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1]), "SAMPAN_TOKEN": "a-chosen-token"}
    words = [sys.executable, "-m", "sampan", "server", "--port", "0", "--json"]
    with subprocess.Popen(words, cwd=tmp_path_factory.mktemp("guarded"), env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield str(json.loads(process.stdout.readline())["url"]).partition("/?")[0], env["SAMPAN_TOKEN"]
        finally:
            process.terminate()
            process.wait(20)


def violations_of(page: Page) -> list[str]:
    page.evaluate(AXE)
    return [str(one) for one in page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => v.id))")]


@pytest.mark.parametrize(("locale", "button"), [("en-US", "Sign in"), ("vi-VN", "Đăng nhập")])
def test_who_signs_in_lands_where_they_wanted_to_go(guarded: tuple[str, str], browser: Browser, locale: str, button: str) -> None:
    base, token = guarded
    context = browser.new_context(base_url=base, locale=locale, viewport={"width": 390, "height": 844}, bypass_csp=True)
    page = context.new_page()
    page.goto("/runs?trials=yes")
    styled = page.locator("main").evaluate("one => getComputedStyle(one).borderRadius")
    asked = violations_of(page)
    page.keyboard.type("another")  # the field has the focus
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    refused = violations_of(page)
    page.locator("#token").fill(token)
    page.get_by_role("button", name=button).click()
    page.wait_for_url(f"{base}/runs?trials=yes")

    assert (styled, asked, refused) == ("10px", [], [])
    assert page.locator("nav").count() == 1
    context.close()
