"""One browser and one real server for all tests here, over a project in which a model lived its life."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import sampan as package

sys.path.insert(0, str(Path(__file__).parents[1] / "web"))  # the modules there, under importlib's import mode

from short_life import live_through

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
LEFT = "net::ERR_ABORTED"  # the icon is asked for after the page has loaded; who clicks on at once no longer wants it
Visit = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where `sampan ui` answers."""
    folder = tmp_path_factory.mktemp("orders")
    live_through(folder)
    env = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    words = [sys.executable, "-m", "sampan", "ui", "--port", "0", "--json"]
    with subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield str(json.loads(process.stdout.readline())["url"]).rstrip("/")
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")  # an open one keeps its loop running: nothing else in this process could run another
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def visit(browser: Browser, base: str) -> Visit:
    """Open a page of its own context; at the end nothing may have gone wrong in it, and nothing may have left this machine."""

    @contextmanager
    def visiting(**options: Any) -> Iterator[Page]:
        faults: list[str] = []
        context = browser.new_context(base_url=base, locale="en-US", **options)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(f"{request.url}: {request.failure}") if request.failure != LEFT else None)
        page.on("response", lambda response: faults.append(f"{response.status} {response.url}") if response.status >= 400 else None)
        page.on("request", lambda request: None if request.url.startswith(base) else faults.append(f"asked {request.url}"))
        try:
            yield page
            assert faults == []
        finally:
            context.close()

    return visiting
