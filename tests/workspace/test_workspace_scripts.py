"""`sampan run` on programs that know nothing of Sampan: real processes of real libraries."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer

from sampan.core.graph import Node
from sampan.workspace.runs.scripts import read_arguments
from sampan.workspace.workspace import Workspace

FIT = """
import argparse
import pandas as pd
import polars as pl
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
import lightgbm
import rows

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int)
asked = parser.parse_args()
X, y = pl.read_parquet("x.parquet").to_numpy(), pd.read_csv("y.csv")["y"].to_numpy()
half = rows.HALF
pipeline = make_pipeline(StandardScaler(), LogisticRegression())
search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0]}, cv=2).fit(X[:half], y[:half])
print("AUC", roc_auc_score(y[half:], search.predict_proba(X[half:])[:, 1]))
lightgbm.train(
    {"objective": "binary", "verbose": -1, "num_leaves": 7, "num_threads": 1},
    lightgbm.Dataset(X[:half], y[:half]),
    5,
    valid_sets=[lightgbm.Dataset(X[half:], y[half:])],
)
pl.DataFrame({"p": search.predict_proba(X)[:, 1]}).write_parquet("scores.parquet")
"""


def sampan(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "sampan", *words], cwd=folder, capture_output=True, text=True)


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(textwrap.dedent(text))
    return file


def newest_run(folder: Path) -> tuple[Workspace, Node]:
    workspace = Workspace.open(folder)
    return workspace, workspace.catalog.nodes(kind="run", limit=1)[0]


@pytest.mark.slow
def test_a_plain_script_is_recorded_whole(tmp_path: Path) -> None:
    rows, y = load_breast_cancer(return_X_y=True)
    pl.DataFrame(rows, schema=[f"c{i}" for i in range(rows.shape[1])]).write_parquet(tmp_path / "x.parquet")
    pl.DataFrame({"y": y}).write_csv(tmp_path / "y.csv")
    write(tmp_path, "fit.py", FIT)
    write(tmp_path, "rows.py", "HALF = 280\n")
    assert sampan(tmp_path, "data", "add", "x.parquet", "--name", "measurements").returncode == 0

    done = sampan(tmp_path, "run", "fit.py", "--seed", "3")

    assert done.returncode == 0, done.stderr
    assert "AUC 0.9" in done.stdout
    with Workspace.open(tmp_path) as workspace:
        catalog = workspace.catalog
        run = catalog.resolve("fit", kind="run")
        assert catalog.run(run.id).state == "finished"
        params = catalog.params(run.id)
        assert params["seed"] == "3"
        assert params["GridSearchCV.param_grid"] == "{'logisticregression__C': [0.1, 1.0]}"
        assert params["Booster.num_leaves"] == "7"
        metrics = {each.key: each for each in catalog.metrics(run.id)}
        assert metrics["roc_auc_score"].n == 1
        assert metrics["valid_0.binary_logloss"].n == 5
        assert metrics["GridSearchCV.best_score"].last > 0.9
        assert metrics["system.max_rss_mb"].last > 50
        read = {catalog.node(edge.src).ref for edge in catalog.edges_to(run.id)}
        assert read == {"measurements@v1", "y.csv@v1"}
        made = [catalog.node(edge.dst).ref for edge in catalog.edges_from(run.id)]
        assert made == ["scores.parquet@v1"]
        kept = {each.path: each for each in catalog.artifacts(run.id)}
        assert {"code/fit.py", "code/rows.py", "models/GridSearchCV.onnx", "models/Booster.txt", "output.txt"} <= set(kept)
        scored = workspace.store.blobs.read(kept["written/scores.parquet"].digest)
        assert scored == (tmp_path / "scores.parquet").read_bytes()
        assert workspace.store.blobs.read(kept["output.txt"].digest).startswith(b"AUC 0.9")


def test_what_one_program_wrote_and_the_next_read_is_one_line_of_descent(tmp_path: Path) -> None:
    write(tmp_path, "first.py", "open('between.txt', 'w').write('7')\n")
    write(tmp_path, "second.py", "print(open('between.txt').read())\n")
    assert sampan(tmp_path, "run", "first.py").returncode == 0
    assert sampan(tmp_path, "run", "second.py").returncode == 0

    with Workspace.open(tmp_path) as workspace:
        first, second = (workspace.catalog.resolve(name, kind="run") for name in ("first", "second"))
        above = {node.id for node in workspace.catalog.lineage(second.id).nodes}
        assert first.id in above


def test_a_program_keeps_its_exit_code_and_its_run_says_how_it_failed(tmp_path: Path) -> None:
    write(tmp_path, "bad.py", "import sys\nprint('so far')\nsys.exit(7)\n")
    done = sampan(tmp_path, "run", "bad.py")

    assert done.returncode == 7
    with Workspace.open(tmp_path) as workspace:
        run = workspace.catalog.resolve("bad", kind="run")
        assert run.state == "failed"
        assert [each.body["reason"] for each in workspace.catalog.events(type="run_ended")] == ["exit code 7"]


def test_modules_shell_commands_and_notebooks_are_watched_too(tmp_path: Path) -> None:
    write(tmp_path, "tool.py", "open('a.txt', 'w').write('from a module')\n")
    write(
        tmp_path, "chain.sh", f"#!/bin/sh\n{sys.executable} tool.py && mv a.txt b.txt && {sys.executable} -c \"open('b.txt').read()\"\n"
    ).chmod(0o755)
    cells = [
        {"cell_type": "markdown", "source": "# text"},
        {"cell_type": "code", "source": ["n = 3\n", "open('c.txt', 'w').write(str(n))"]},
    ]
    (tmp_path / "book.ipynb").write_text(json.dumps({"cells": cells}))

    assert sampan(tmp_path, "run", "-m", "tool").returncode == 0
    assert sampan(tmp_path, "run", "./chain.sh").returncode == 0
    assert sampan(tmp_path, "run", "book.ipynb").returncode == 0

    with Workspace.open(tmp_path) as workspace:
        catalog = workspace.catalog
        written = {
            name: [catalog.node(e.dst).facts["path"] for e in catalog.edges_from(catalog.resolve(name, kind="run").id)]
            for name in ("tool", "chain", "book")
        }
        assert written == {"tool": ["a.txt"], "chain": [], "book": ["c.txt"]}
        assert ["b.txt"] == [catalog.node(e.src).facts["path"] for e in catalog.edges_to(catalog.resolve("chain", kind="run").id)]


def test_a_notebook_with_magic_commands_says_what_they_need(tmp_path: Path) -> None:
    (tmp_path / "book.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": "%matplotlib inline"}]}))
    done = sampan(tmp_path, "run", "book.ipynb")

    assert done.returncode == 2
    assert "book.ipynb, cell 1: '%matplotlib inline' is a command of IPython" in done.stderr


def test_a_program_that_imports_sampan_logs_to_the_run_it_is_watched_by(tmp_path: Path) -> None:
    write(
        tmp_path,
        "own.py",
        """
        import sampan as sp
        sp.log("loss", 0.5)
        with sp.run() as run:
            run.log("loss", 0.25)
            run.params(depth=3)
        """,
    )
    done = sampan(tmp_path, "run", "own.py")

    assert done.returncode == 0, done.stdout + done.stderr
    with Workspace.open(tmp_path) as workspace:
        (run,) = workspace.catalog.runs(experiment="own")
        assert workspace.catalog.params(run.node.id) == {"depth": "3"}
        assert {each.key: each.n for each in workspace.catalog.metrics(run.node.id)}["loss"] == 2
        assert run.state == "finished"


def test_metrics_are_there_while_the_program_still_runs_and_a_kill_ends_the_run(tmp_path: Path) -> None:
    write(
        tmp_path,
        "long.py",
        """
        import time
        from sklearn.metrics import accuracy_score
        accuracy_score([1, 0], [1, 1])
        print("scored", flush=True)
        time.sleep(600)
        """,
    )
    process = subprocess.Popen([sys.executable, "-m", "sampan", "run", "long.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "scored\n"
    with Workspace.open(tmp_path) as workspace:
        run = workspace.catalog.resolve("long", kind="run")
        until = time.monotonic() + 60
        while "accuracy_score" not in {each.key for each in workspace.catalog.metrics(run.id)}:
            assert time.monotonic() < until, "the metric never arrived"
            time.sleep(0.1)
        assert workspace.catalog.run(run.id).state == "running"
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGTERM
        assert workspace.catalog.run(run.id).state == "failed"


def test_a_file_read_and_then_written_over_is_told(tmp_path: Path) -> None:
    (tmp_path / "state.txt").write_text("before")
    write(tmp_path, "change.py", "text = open('state.txt').read()\nopen('state.txt', 'w').write(text + ' and after')\n")
    done = sampan(tmp_path, "run", "change.py")

    assert "state.txt was read and then written over" in done.stdout
    assert "wrote    state.txt@v1" in done.stdout


def test_an_unknown_program_is_one_clear_error(tmp_path: Path) -> None:
    done = sampan(tmp_path, "run", "no-such-program", "--fast")

    assert done.returncode == 2
    assert "there is no program 'no-such-program'" in done.stderr


def test_arguments_with_names_are_parameters() -> None:
    words = ["train.py", "data.csv", "--lr", "0.1", "--depth=3", "--fast", "--seed", "-1", "alpha=2", "-x"]

    assert {"lr": "0.1", "depth": "3", "fast": "true", "seed": "-1", "alpha": "2"} == read_arguments(words)
