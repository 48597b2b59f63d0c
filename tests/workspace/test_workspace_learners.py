"""XGBoost and torch for real: programs of theirs recorded, models of theirs trained, kept without pickle, packed and replayed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sampan.core.graph import Node
from sampan.flavors.sklearn_state import read_state
from sampan.workspace.workspace import Workspace

HERE = Path(__file__).parent
TORCH = HERE.parents[1] / ".peers" / "torch" / "bin" / "python"
XGBOOST = """
import numpy as np, xgboost
from sklearn.metrics import log_loss
rng = np.random.default_rng(0)
X = rng.normal(size=(400, 3)).astype(np.float32); y = (X[:, 0] > 0).astype(int)
held = xgboost.DMatrix(X[300:], y[300:])
settings = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}
booster = xgboost.train(settings, xgboost.DMatrix(X[:300], y[:300]), 6, evals=[(held, "held")], verbose_eval=False)
model = xgboost.XGBClassifier(n_estimators=4, max_depth=2, n_jobs=1).fit(X[:300], y[:300])
print(log_loss(y[300:], model.predict_proba(X[300:])[:, 1]))
"""
FOREST = """
import numpy as np
from sklearn.ensemble import RandomForestClassifier
rng = np.random.default_rng(0)
X = rng.normal(size=(400, 3)); y = (X[:, 0] > 0).astype(int)
X[rng.random(X.shape) < 0.3] = np.nan
RandomForestClassifier(5, random_state=0).fit(X, y)
"""
NET = """
import torch
torch.manual_seed(0)
X = torch.randn(200, 3); y = (X[:, :1] > 0).float()
net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
for epoch in range(5):
    optimizer.zero_grad()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(net(X), y)
    loss.backward()
    optimizer.step()
print("loss", loss.item())
"""


def carry_out(folder: Path, program: str, *, python: Path | str = sys.executable) -> tuple[Workspace, Node, str]:
    (folder / "fit.py").write_text(program)
    done = subprocess.run([python, "-m", "sampan", "run", "fit.py"], cwd=folder, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    workspace = Workspace.open(folder)
    return workspace, workspace.catalog.resolve("fit", kind="run"), done.stdout + done.stderr


def kept(workspace: Workspace, run: Node) -> set[str]:
    return {each.path for each in workspace.catalog.artifacts(run.id)}


@pytest.mark.slow
def test_a_program_of_xgboost_is_recorded_round_by_round_and_its_models_kept(tmp_path: Path) -> None:
    workspace, run, _ = carry_out(tmp_path, XGBOOST)

    with workspace:
        params = workspace.catalog.params(run.id)
        assert ("3", "6", "2") == (params["Booster.max_depth"], params["Booster.num_boost_round"], params["XGBClassifier.max_depth"])
        metrics = {each.key: each for each in workspace.catalog.metrics(run.id)}
        assert (6, 1) == (metrics["held.logloss"].n, metrics["log_loss"].n)
        assert {"models/Booster.json", "models/XGBClassifier.json", "code/fit.py"} <= kept(workspace, run)


@pytest.mark.slow
def test_an_estimator_that_no_converter_gets_right_is_kept_whole(tmp_path: Path) -> None:
    workspace, run, told = carry_out(tmp_path, FOREST)

    with workspace:
        folder = "models/RandomForestClassifier"
        assert {f"{folder}/model.json", f"{folder}/arrays.npz"} <= kept(workspace, run)
        assert "scikit-learn's state, bit for bit; ONNX" in told
        for each in workspace.catalog.artifacts(run.id):
            if each.path.startswith(folder):
                (tmp_path / Path(each.path).name).write_bytes(workspace.store.blobs.read(each.digest))
    assert 5 == len(read_state(tmp_path).estimators_)


@pytest.mark.slow
def test_a_program_of_torch_is_recorded_step_by_step_and_nothing_of_its_libraries_counts_as_its_own(tmp_path: Path) -> None:
    workspace, run, told = carry_out(tmp_path, NET, python=TORCH)

    with workspace:
        assert "0.05" == workspace.catalog.params(run.id)["Adam.lr"]
        assert 5 == {each.key: each.n for each in workspace.catalog.metrics(run.id)}["loss"]
        assert {"code/fit.py", "models/Sequential.npz", "output.txt", "process.json"} == kept(workspace, run)
        assert [] == workspace.catalog.edges_to(run.id)
    assert "Warning" not in told


@pytest.mark.slow
def test_a_torch_module_is_trained_kept_packed_and_replayed_bit_for_bit(tmp_path: Path) -> None:
    done = subprocess.run([TORCH, HERE / "torch_training.py", tmp_path], capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr

    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert ("torch", "bit-equal", True) == (told["flavor"], told["verdict"], told["probe"])
    assert ["native/model.onnx", "native/weights.safetensors"] == told["kept"]
    assert told["parity"]["passed"]
    assert told["parity"]["max_difference"] < 1e-6
    assert told["auc"] > 0.7
    assert [] == told["pickles"]


@pytest.mark.slow
def test_torch_modules_of_classes_are_trained_and_packed_and_those_of_numbers_become_graphs(tmp_path: Path) -> None:
    done = subprocess.run([TORCH, HERE / "torch_tasks.py", tmp_path], capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr

    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert ("torch", True, True) == tuple(told["classes"][key] for key in ("flavor", "parity", "probe"))
    assert told["classes"]["macro_auc"] > 0.65
    assert (True, [500]) == (told["numbers"]["exported"], told["numbers"]["shape"])
    assert told["numbers"]["scale"] > 1000
