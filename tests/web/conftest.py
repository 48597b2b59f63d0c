"""A real server in a process of its own, on loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import sampan as package


class Served:
    """Where a server answers."""

    def __init__(self, url: str, project: Path) -> None:
        self.url = url  # as printed, with its token where there is one
        self.base = url.partition("?")[0].rstrip("/")
        self.token = url.partition("token=")[2]
        self.port = urlsplit(url).port
        self.project = project


Serve = Callable[..., AbstractContextManager[Served]]


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Start `sampan ui` (or another command) for a project; stop it at the end of the block."""

    @contextmanager
    def serving(project: Path, *command: str, **variables: str) -> Iterator[Served]:
        source = str(Path(package.__file__).parents[1])
        paths = os.pathsep.join(filter(None, [source, variables.pop("PYTHONPATH", "")]))
        words = [sys.executable, "-m", "sampan", *(command or ("ui",)), "--port", "0", "--json"]
        env = {**os.environ, "PYTHONPATH": paths, **variables}
        with subprocess.Popen(words, cwd=project, env=env, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                line = process.stdout.readline()
                assert line, "the server ended at once"
                yield Served(json.loads(line)["url"], project)
            finally:
                process.terminate()
                process.wait(20)

    return serving
