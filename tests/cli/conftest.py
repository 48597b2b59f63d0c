"""The command as a process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import sampan as package


@pytest.fixture
def sampan() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `sampan` with arguments in a folder."""

    def run(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        source = str(Path(package.__file__).parents[1])
        paths = os.pathsep.join(filter(None, [source, variables.pop("PYTHONPATH", "")]))
        env = {**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "default", **variables}
        command = [sys.executable, "-m", "sampan", *arguments]
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60)

    return run
