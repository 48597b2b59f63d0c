"""Goal: the page of runs and the pages that compare them are painted within 100 ms over 100,000 runs, in a real browser.

    python benchmarks/run_pages.py --runs 100000

First contentful paint as Chromium tells it, from the request on, of a server that has answered before; the median and the fastest of 15
visits, and when the server's answer was there. The browser shares the machine with the server. Exits with 1 if a median is over.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from run_search import fill_ours
from side_by_side import machine

from sampan.workspace.workspace import Workspace

LIMIT_MS, VISITS, WARM = 100.0, 15, 3
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PAINT = "performance.getEntriesByType('paint').find(e => e.name === 'first-contentful-paint').startTime"
ANSWER = "performance.getEntriesByType('navigation')[0].responseEnd"
DRAWN = '#parallel[data-drawn]:not([data-drawn=""])'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    n = parser.parse_args().runs
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        fill_ours(Path(name), n)
        project = Path(name) / "ours"
        with Workspace.open(project) as ws:
            first, second = (row.node.id[:12] for row in ws.catalog.runs(limit=2))
        pages = {
            "runs": "/runs",
            "runs by a metric": "/runs?sort=m5",
            "two runs side by side": f"/compare?ref={first}&ref={second}",
            "many runs": "/compare/runs?axes=params.p0&axes=params.p1&axes=m3&axes=m5&axes=m7&color=m5",
        }
        words = [sys.executable, "-m", "sampan", "ui", "--port", "0", "--json"]
        with subprocess.Popen(words, cwd=project, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            base = json.loads(server.stdout.readline())["url"].rstrip("/")
            try:
                return visit(base, pages)
            finally:
                server.terminate()


def visit(base: str, pages: dict[str, str]) -> int:
    """Visit each page and say what was reached; return the exit code."""
    missed = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for title, path in pages.items():
            painted, answered = zip(*(times(page, base + path) for _ in range(VISITS + WARM)), strict=True)
            middle = statistics.median(painted[WARM:])
            missed += middle > LIMIT_MS
            word = "reached" if middle <= LIMIT_MS else "MISSED "
            answer = statistics.median(answered[WARM:])
            print(f"{word} {title:<22} painted after {middle:6.0f} ms (fastest {min(painted):5.0f}), answered after {answer:5.0f} ms")
        browser.close()
    return 1 if missed else 0


def times(page: Page, address: str) -> tuple[float, float]:
    """Load a page; return when it was painted and when its answer was there, in milliseconds."""
    page.goto(address)
    if "/compare/runs" in address:
        page.locator(DRAWN).wait_for()  # what is drawn after the first paint does not slow the next visit
    page.wait_for_timeout(100)
    return float(page.evaluate(PAINT)), float(page.evaluate(ANSWER))


if __name__ == "__main__":
    sys.exit(main())
