"""Real server processes on loopback, ended by their own pid."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from running_server import LIVE, Running  # needs the line above


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Running]]:
    """Start servers in this test's folder; what is still running is ended."""
    started: list[Running] = []

    def start(plan: dict[str, Any]) -> Running:
        started.append(Running(tmp_path, plan))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(30)


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for tests that change nothing in it."""
    running = Running(tmp_path_factory.mktemp("shared-server"), {"live": LIVE})
    yield running
    running.process.kill()
    running.process.wait(30)
