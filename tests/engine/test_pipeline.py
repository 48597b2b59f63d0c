from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.engine.code import code_keys
from sampan.engine.pipeline import load_steps
from sampan.errors import NotFound, StepFailed
from sampan.store.hints import Hints

TEXT = """
from pathlib import Path
from sampan.engine.step import step
from settings import FACTOR

mark = Path(__file__).with_name("imported")
mark.write_text(mark.read_text() + "x" if mark.exists() else "x")

@step(cpu=2)
def first(raw, *, shape=(2, 3), low=float("-inf")):
    return raw * FACTOR

@step
def second(first):
    return first
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "settings.py").write_text("FACTOR = 2\n")
    path = tmp_path / "pipeline.py"
    path.write_text(TEXT.replace('low=float("-inf")', "low=-1e999"))
    yield path
    sys.modules.pop("settings", None)


@pytest.fixture
def memory(tmp_path: Path) -> Hints:
    return Hints(tmp_path / "hints")


def load(file: Path) -> str:
    """Load in a process of its own; say what was found and how often the file was imported so far."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom sampan.engine.pipeline import load_steps\nfrom sampan.store.hints import Hints\n"
        "from sampan.engine.code import code_keys\nfile = Path(sys.argv[1])\nsteps = load_steps(file, Hints(file.parent / 'hints'))\n"
        "n = len(file.with_name('imported').read_text())\n"
        "print(n, [s.name for s in steps], [s.declared.defaults for s in steps], steps[0].declared.cpu, steps[0](3), "
        "(steps[0].code or code_keys(steps)['first']).digest)"
    )
    environment = {**os.environ, "PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=True, env=environment
    ).stdout.strip()


def test_an_unchanged_file_is_not_imported_to_learn_its_steps(file: Path) -> None:
    first = load(file)
    second = load(file)

    assert first.startswith("1 ['first', 'second'] [{'shape': (2, 3), 'low': -inf}, {}] 2 6 b3:")
    # The function was called, so the file was imported then, after the steps were known.
    assert second == first


def test_a_change_in_a_file_that_it_imports_is_seen(file: Path) -> None:
    first = load(file)
    file.with_name("settings.py").write_text("FACTOR = 5\n")

    second = load(file)

    assert second.startswith("2 ")
    assert second.rpartition(" ")[2] != first.rpartition(" ")[2]


def test_remembered_steps_have_the_same_code_keys(file: Path, memory: Hints) -> None:
    fresh = code_keys(load_steps(file, memory))

    remembered = load_steps(file, memory)

    assert {step.name: step.code for step in remembered} == fresh


def test_a_file_whose_values_come_from_calls_is_imported_each_time(file: Path, memory: Hints) -> None:
    file.write_text(TEXT)
    load_steps(file, memory)

    assert all(step.code is None for step in load_steps(file, memory))


def test_torn_memory_costs_an_import_and_nothing_else(file: Path, memory: Hints, tmp_path: Path) -> None:
    load_steps(file, memory)
    for kept in (tmp_path / "hints").iterdir():
        kept.write_text('{"python": [')

    assert [step.name for step in load_steps(file, memory)] == ["first", "second"]


def test_a_file_without_steps_and_no_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")

    with pytest.raises(NotFound, match="has no steps"):
        load_steps(tmp_path / "empty.py")
    with pytest.raises(NotFound, match="is no Python file"):
        load_steps(tmp_path / "absent.py")


def test_an_error_in_the_file_is_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")

    for _ in range(2):
        with pytest.raises(StepFailed, match=r"broken\.py raised ZeroDivisionError: division by zero at .*broken\.py:1"):
            load_steps(tmp_path / "broken.py")
