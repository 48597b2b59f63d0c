"""`sampan run` on whatever a person has: steps, a plain script, a mistake. Each does something sensible or says what it expects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sampan as package

pytestmark = pytest.mark.slow  # each case starts the program

ENV = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1]), "SAMPAN_ACTOR": "an"}
STEPS = """
import polars as pl
import sampan as sp

@sp.step
def roomy(planes: pl.DataFrame, *, min_seats: int = 10) -> pl.DataFrame:
    return planes.filter(pl.col("seats") >= min_seats)

@sp.step
def makers(roomy: pl.DataFrame) -> pl.DataFrame:
    return roomy.group_by("maker").agg(pl.len().alias("n")).sort("maker")
"""
PLANES = "tail,maker,seats\n1,Airbus,180\n2,Boeing,149\n3,Cessna,4\n4,Boeing,330\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "planes.csv").write_text(PLANES)
    (tmp_path / "steps.py").write_text(STEPS)
    return tmp_path


def sampan(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sampan", *line.split()]
    return subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True, timeout=120)


def test_steps_run_once_are_shown_and_come_from_cache_the_second_time(folder: Path) -> None:
    sampan(folder, "data add planes.csv --key tail")
    first = sampan(folder, "run steps.py")
    again = sampan(folder, "run steps.py --show makers")
    other = json.loads(sampan(folder, "run steps.py --params min_seats=1 --show makers --json").stdout)

    assert "steps.py: 2 steps ran: roomy, makers" in first.stdout
    assert "next: sampan run steps.py --show makers" in first.stdout
    assert "no step had to run; 2 up to date" in again.stdout
    assert "Boeing  2" in again.stdout
    assert [{"maker": "Airbus", "n": 1}, {"maker": "Boeing", "n": 2}, {"maker": "Cessna", "n": 1}] == other["steps"]["shown"]["rows"]


def test_an_input_that_is_no_dataset_is_named_with_the_command_that_adds_it(folder: Path) -> None:
    done = sampan(folder, "run steps.py")

    assert done.returncode == 2
    assert "step roomy needs 'planes'" in done.stderr
    assert "sampan data add FILE --name planes" in done.stderr


def test_a_plain_script_is_carried_out_and_recorded(folder: Path) -> None:
    (folder / "plain.py").write_text("import pathlib\npathlib.Path('made').write_text('x')\nprint('done')\n")
    done = sampan(folder, "run plain.py")

    assert done.returncode == 0
    assert done.stdout.startswith("done\n")
    assert "wrote    made@v1" in done.stdout
    assert (folder / "made").read_text() == "x"


def test_a_plain_scripts_own_error_is_its_own(folder: Path) -> None:
    (folder / "plain.py").write_text("import sampan\nprint(1 / 0)\n")
    done = sampan(folder, "run plain.py")

    assert done.returncode == 1
    assert "ZeroDivisionError: division by zero" in done.stdout
    assert "failed (exit code 1)" in done.stdout


MISTAKES = {
    "no Python": ("x = (\n", 2, "mine.py:1 is no Python: '(' was never closed", "mend mine.py"),
    "an error": (
        "import sampan as sp\n@sp.step\ndef made() -> int:\n    return 1\ndef go():\n    return 1 / 0\ngo()\n",
        4,
        "mine.py raised ZeroDivisionError: division by zero",
        "mend mine.py",
    ),
    "a missing package": (
        "from sampan import step\nimport nosuchpackage.deep\n",
        4,
        "imports nosuchpackage, which is not installed",
        "pip install nosuchpackage",
    ),
    "it ends itself": ("from sampan import step\nimport sys\nsys.exit(3)\n", 4, "mine.py raised SystemExit: 3", "mend mine.py"),
    "a step that raises": (STEPS.replace("planes.filter", "planes['nope'].filter"), 4, '"nope" not found at', "mend roomy"),
    "a step that returns nothing": (STEPS.replace("return planes", "planes"), 4, "step roomy returned nothing", "`return`"),
    "neither": ("from sampan import train\nx = 1\n", 2, "declares no training function", "@sp.train"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_persons_file_is_told_as_theirs(folder: Path, case: str) -> None:
    text, code, message, hint = MISTAKES[case]
    (folder / "mine.py").write_text(text)
    if "planes" in text:
        sampan(folder, "data add planes.csv --key tail")
    done = sampan(folder, "run mine.py")

    assert code == done.returncode, done.stderr
    assert message in done.stderr
    assert hint in done.stderr.split("hint:")[1]
    assert 1 == done.stderr.count("error:")
    assert "bug in Sampan" not in done.stderr
    assert str(Path(package.__file__).parent) not in done.stderr  # none of our own lines


def test_a_missing_file_and_a_folder_are_told(folder: Path) -> None:
    missing, inside = sampan(folder, "run step.py"), sampan(folder, "run .")

    assert (2, 2) == (missing.returncode, inside.returncode)
    assert "did you mean steps.py?" in missing.stderr
    assert "is a folder" in inside.stderr


def test_warnings_are_told_once_and_what_is_printed_leaves_json_whole(folder: Path) -> None:
    said = "    for i in range(30):\n        warnings.warn(f'scale the data {i % 2}')\n    print('hello')\n    return planes.filter"
    (folder / "steps.py").write_text("import warnings\n" + STEPS.replace("    return planes.filter", said))
    sampan(folder, "data add planes.csv --key tail")
    done = sampan(folder, "run steps.py --json")

    assert ["roomy", "makers"] == json.loads(done.stdout)["steps"]["ran"]
    assert "hello" in done.stderr
    assert 2 == done.stderr.count("warning: UserWarning: scale the data")
    assert "at steps.py:" in done.stderr


def test_a_key_that_names_no_row_is_said_at_once(folder: Path) -> None:
    done = sampan(folder, "data add planes.csv --key maker")

    assert 0 == done.returncode
    assert "note: 2 rows share their key maker with another; --key names other columns" in done.stdout


def test_a_command_for_a_name_with_spaces_can_be_pasted(folder: Path) -> None:
    (folder / "my planes (1).csv").write_text(PLANES)
    added = sampan(folder, "data add planes.csv")
    command = [sys.executable, "-m", "sampan", "data", "add", "my planes (1).csv"]
    spaced = subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True, timeout=120)

    assert "next: sampan data infer planes\n" in added.stdout
    assert "next: sampan data infer 'my planes (1)'\n" in spaced.stdout


TRAINING = """
import numpy as np
import sampan as sp
from sampan.features import DAY
from sklearn.linear_model import LogisticRegression

rows = sp.dataset("rows.csv", key="id", time="at", later=["late"])

@sp.feature_view(on="rows", columns=rows, key=["id"], moment=rows.at, label=sp.Label(rows.late, known_at=rows.at + DAY))
def view(c):
    return {"x": c.x, "double": c.x + c.x}

@sp.train(name="late", features=view, objective=sp.objective(metric="auc", at_least=0.6, min_rows=100))
def fit(X, y):
    return LogisticRegression().fit(X, y)
"""
HEADER = "id,at,x,group,late\n"


def training_rows(n: int, *, late: str = "", x: str = "") -> str:
    lines = (
        f"{i},2024-01-{1 + i % 28:02}T00:00:00Z,{x if x and i % 9 == 0 else i % 13},g,{late or str(i % 3 == 0).lower()}" for i in range(n)
    )
    return HEADER + "\n".join(lines) + "\n"


UNFIT = {
    "labels of one class": (TRAINING, training_rows(600, late="true"), 2, "all 600 rows have the label 1", "label rule"),
    "infinite features": (TRAINING, training_rows(600, x="inf"), 4, "fit raised ValueError: Input X contains NaN at", "2 of 2 features"),
    "no rows": (TRAINING, HEADER, 2, "rows.csv has no rows, so its columns have no types at", "with rows"),
    "few rows": (TRAINING, training_rows(30), 2, "30 labeled rows are too few to train late", "at least 100"),
    "text added to a number": (TRAINING.replace("c.x + c.x", "c.x + c.group"), training_rows(600), 2, "mine.py:11", "two numbers"),
    "no file": (TRAINING.replace("rows.csv", "none.csv"), training_rows(9), 2, "no file none.csv at", "rows.csv"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_data_that_no_model_can_learn_from_is_told(tmp_path: Path, case: str) -> None:
    code, rows, exits, message, hint = UNFIT[case]
    (tmp_path / "mine.py").write_text(code)
    (tmp_path / "rows.csv").write_text(rows)
    done = sampan(tmp_path, "run mine.py --trials 1")

    assert exits == done.returncode, done.stdout + done.stderr
    assert message in done.stderr
    assert hint in done.stderr.split("hint:")[1]
    assert 1 == done.stderr.count("error:")
    assert done.stdout == ""


def test_a_very_wide_table_is_drafted_and_shown_without_flooding_the_terminal(tmp_path: Path) -> None:
    n = 2000
    (tmp_path / "wide.csv").write_text(",".join(f"c{i}" for i in range(n)) + "\n" + (",".join("1" for _ in range(n)) + "\n") * 3)
    sampan(tmp_path, "data add wide.csv")
    head, drafted = sampan(tmp_path, "data head wide"), sampan(tmp_path, "data infer wide")

    assert "and 1,960 more columns" in head.stdout
    assert 60 < len(drafted.stdout.splitlines()) < 70
    assert "more rules in contracts/wide.yaml" in drafted.stdout
