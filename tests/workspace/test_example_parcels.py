"""The example of a number and a class, trained as its README says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sampan.workspace.models.judging import task_of_model
from sampan.workspace.workspace import Workspace

EXAMPLE = Path(__file__).parents[2] / "examples" / "parcels"


@pytest.mark.slow
def test_both_questions_of_the_parcels_are_learned_and_pass_their_gates(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)

    with Workspace.open(tmp_path) as ws:
        hours, end = (ws.model.train(tmp_path / "train.py", name=name, trials=1).model.ref for name in ("parcel-hours", "parcel-end"))
        gates = [ws.model.gate(ref) for ref in (hours, end)]
        tasks = [task_of_model(ws.catalog.resolve(ref, kind="model")) for ref in (hours, end)]

    assert [(True, ()), (True, ())] == [(gate.passed, gate.reasons) for gate in gates]
    assert [("regression", ()), ("multiclass", ("door", "returned", "shop"))] == [(task.kind, task.classes) for task in tasks]
