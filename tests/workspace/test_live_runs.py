"""`sp.run()` inside a program."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import sampan as sp
from sampan.core.events import RunEnded
from sampan.errors import Immutable, NotFound, ParameterError, StaleState, UsageError
from sampan.workspace.workspace import Workspace


def test_a_run_holds_what_was_logged_to_it(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "roc.svg").write_text("<svg/>")
    loans = sp.data(pl.DataFrame({"id": [1, 2]}), name="loans", project=tmp_path)
    with sp.run("churn", title="third", params={"depth": 3, "kind": "tree"}, project=tmp_path) as run:
        for loss in (0.5, 0.25, math.nan):
            run.log("loss", loss)
        sp.log({"auc": 0.7}, step=9)
        run.tag("note", "first try")
        run.reads("loans")
        run.artifact(tmp_path / "plots")
        run.artifact(b"text", "notes/a.txt")
        run.table({"x": [1, 2]}, "rows")

    with Workspace.open(tmp_path) as workspace:
        catalog = workspace.catalog
        row = catalog.run(run.id)
        assert (row.state, row.experiment, row.title) == ("finished", "churn", "third")
        assert catalog.params(run.id) == {"depth": "3", "kind": "tree"}
        points = catalog.metric_history(run.id, "loss")
        assert (points.steps, points.values[:2]) == ([0, 1, 2], [0.5, 0.25])
        assert math.isnan(points.values[2])
        assert catalog.metric_history(run.id, "auc").steps == [9]
        assert catalog.tags(run.id) == {"note": "first try"}
        assert [edge.src for edge in catalog.edges_to(run.id)] == [loans.node.id]
        kept = {each.path: workspace.store.blobs.read(each.digest) for each in catalog.artifacts(run.id)}
        assert kept["plots/roc.svg"] == b"<svg/>"
        assert kept["notes/a.txt"] == b"text"
        assert pl.read_parquet(io.BytesIO(kept["rows.parquet"])).to_dict(as_series=False) == {"x": [1, 2]}


def test_a_run_inside_a_run_is_its_child(tmp_path: Path) -> None:
    with sp.run("folds", project=tmp_path) as outer, sp.run(title="fold 1") as inner:
        inner.log("loss", 1.0)

    with Workspace.open(tmp_path) as workspace:
        assert workspace.catalog.run(inner.id).parent == outer.id
        assert workspace.catalog.run(inner.id).experiment == "folds"


def test_an_exception_makes_a_failed_run_that_can_be_resumed(tmp_path: Path) -> None:
    run = sp.run("broken", project=tmp_path)
    run.log("loss", 1.0)
    with pytest.raises(ZeroDivisionError), run:
        1 / 0  # noqa: B018  # it is the program's fault that is wanted
    with Workspace.open(tmp_path) as workspace:
        assert workspace.catalog.run(run.id).state == "failed"

    with sp.run(resume=run.id[:12], project=tmp_path) as again:
        again.log("loss", 0.5)

    assert again.id == run.id
    with Workspace.open(tmp_path) as workspace:
        assert workspace.catalog.run(run.id).state == "finished"
        assert workspace.catalog.metric_history(run.id, "loss").steps == [0, 1]


def test_a_program_that_forgets_to_end_its_run_ends_it_by_leaving(tmp_path: Path) -> None:
    text = "import sampan as sp\nrun = sp.run('forgotten')\nrun.log('loss', 1.0)\n"
    subprocess.run([sys.executable, "-c", text], cwd=tmp_path, check=True)

    with Workspace.open(tmp_path) as workspace:
        (row,) = workspace.catalog.runs(experiment="forgotten")
        assert row.state == "finished"


def test_what_cannot_be_logged_is_refused_in_words(tmp_path: Path) -> None:
    with sp.run("strict", params={"depth": 3}, project=tmp_path) as run:
        with pytest.raises(ParameterError, match="'many' is no number"):
            run.log("n", "many")  # type: ignore[arg-type]
        with pytest.raises(Immutable, match="depth"):
            run.params(depth=4)
        with pytest.raises(NotFound, match="no file"):
            run.artifact(tmp_path / "missing.png")
        with pytest.raises(ParameterError, match="artifact's path"):
            run.artifact(b"x", "../outside.txt")
        with pytest.raises(ParameterError, match="no figure"):
            run.figure(3)
    with pytest.raises(UsageError, match="has ended"):
        run.log("loss", 1.0)
    with pytest.raises(UsageError, match="no run goes on"):
        sp.log("loss", 1.0)
    with pytest.raises(UsageError, match="no name"):
        sp.data({"a": [1]}, project=tmp_path)


def test_a_run_that_goes_on_elsewhere_cannot_be_resumed(tmp_path: Path) -> None:
    with sp.run("busy", project=tmp_path) as run:
        run.log("loss", 1.0)
        with pytest.raises(UsageError, match="is running"):
            sp.run(resume=run.id, project=tmp_path)


def test_data_is_a_version_to_read(tmp_path: Path) -> None:
    (tmp_path / "loans.csv").write_text("id,amount\n1,2.5\n2,3.5\n")
    loans = sp.data(tmp_path / "loans.csv", key="id", project=tmp_path)

    assert (loans.ref, loans.name, len(loans)) == ("loans@v1", "loans", 2)
    assert loans.columns == {"id": "Int64", "amount": "Float64"}
    assert loans.frame()["amount"].sum() == 6.0
    assert list(loans.to_pandas()["id"]) == [1, 2]
    assert sp.data("loans@v1", project=tmp_path).node.id == loans.node.id


def test_points_are_forced_to_the_disk_where_their_run_could_not_be_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = sp.run("churn", project=tmp_path)
    live.log("loss", 0.5)
    with Workspace.open(tmp_path) as other:
        other.ledger.append(RunEnded(node=live.id, state="killed", ended=1))
        before = other.store.journals.of(live.id)
        synced = []
        monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_ino))
        with pytest.raises(StaleState):
            live.end()
        assert [path.stat().st_ino for path in before] == synced[-1:]
