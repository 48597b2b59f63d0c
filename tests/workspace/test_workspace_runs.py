from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_training import CUT, add_orders, write_training

from sampan.core.events import RunStarted, new_id
from sampan.errors import NotFound, ParameterError
from sampan.workspace.workspace import Workspace

STEPS = """
import polars as pl
import sampan as sp

@sp.step
def shops(orders: pl.DataFrame, *, at_least: int = 1) -> pl.DataFrame:
    return orders.group_by("shop").len().filter(pl.col("len") >= at_least).sort("shop")
"""


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path) as workspace:
        add_orders(workspace)
        yield workspace


@pytest.mark.slow
def test_a_training_file_is_run_and_its_runs_are_listed_shown_and_measured(ws: Workspace, tmp_path: Path) -> None:
    answer = ws.run.script(write_training(tmp_path), trials=2, until=CUT)

    listed, shown = ws.run.list(), ws.run.show(answer.run[:12])

    assert "orders-late@v1" == answer.model
    assert [answer.run] == [line.run for line in listed.runs]
    assert 3 == len(ws.run.list(trials=True).runs)
    newest = ws.run.list(trials=True, limit=2)
    oldest = ws.run.list(trials=True, limit=2, before=newest.before)
    assert ([2, 1], None) == ([len(newest.runs), len(oldest.runs)], oldest.before)
    assert 3 == len({line.run for line in (*newest.runs, *oldest.runs)})
    assert [answer.run] == [line.run for line in ws.run.list(trials=True, sort="test_auc", limit=1).runs]
    with pytest.raises(ParameterError, match="not one by a metric"):
        ws.run.list(sort="test_auc", before=3)
    assert ("finished", 2) == (shown.run.state, len(shown.trials))
    assert ("dataset:orders@v1",) == shown.inputs
    assert ("model:orders-late@v1",) == shown.made
    assert {"trial_log_loss", "best_log_loss", "test_auc"} <= {m.key for m in ws.run.metrics(answer.run).summaries}
    history = ws.run.metrics(answer.run, key="best_log_loss")
    assert (0, 1) == history.steps
    assert all(a.text() for a in (answer, listed, shown, history, ws.run.metrics(answer.run)))
    with pytest.raises(NotFound, match="no metric 'test_ac'"):
        ws.run.metrics(answer.run, key="test_ac")


def test_a_file_of_steps_is_brought_up_to_date_on_the_datasets_its_inputs_name(ws: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "steps.py"
    file.write_text(STEPS, encoding="utf-8")

    first, second, other = ws.run.script(file), ws.run.script(file), ws.run.script(file, params={"at_least": "5000"})

    assert (("shops",), ()) == (first.steps.ran, first.steps.cached)
    assert ((), ("shops",)) == (second.steps.ran, second.steps.cached)
    assert ("shops",) == other.steps.ran
    assert first.text()


def test_a_missing_file_a_strange_state_and_an_unknown_run_are_refused(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        ws.run.script(tmp_path / "nothing.py")
    with pytest.raises(ParameterError, match="no run is 'done'"):
        ws.run.list(state="done")
    with pytest.raises(NotFound):
        ws.run.show("0123456789ab")
    assert "No runs yet." == ws.run.list().text()


def test_a_step_parameter_of_the_wrong_type_is_named(ws: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "steps.py"
    file.write_text(STEPS, encoding="utf-8")

    with pytest.raises(ParameterError, match="at_least=many is no int"):
        ws.run.script(file, params={"at_least": "many"})


def test_a_run_whose_process_was_killed_is_not_shown_as_running(ws: Workspace) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    for pid in (int(gone.stdout), os.getpid()):
        here = {"host": socket.gethostname(), "pid": pid, "started": ws.clock()}
        ws.ledger.append(RunStarted(node=new_id(), experiment="late", title=f"of {pid}", source="late.py", **here))

    assert ["running", "killed"] == [line.state for line in ws.run.list(experiment="late").runs]
