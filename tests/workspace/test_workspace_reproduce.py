"""`sampan reproduce` and `sampan upgrade-check`: real trainings, gone through again in clean processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_training import CUT, add_orders, write_training

from sampan.errors import ParameterError, Unavailable
from sampan.workspace.workspace import Workspace

SKLEARN = """
@sp.train(name="orders-late", features=orders_view, objective=goal)
def fit(features, labels, *, seed=0):
    from sklearn.{module} import {name}
    return {name}({arguments}).fit(np.nan_to_num(features), labels)
"""
UNSEEDED = """
@sp.train(name="orders-late", features=orders_view, objective=goal)
def fit(features, labels, *, rounds=10):
    import os
    seed = int.from_bytes(os.urandom(3), "big")
    params = {"objective": "binary", "verbose": -1, "num_threads": 1, "bagging_fraction": 0.5, "bagging_freq": 1, "seed": seed}
    return lightgbm.train(params, lightgbm.Dataset(features, labels), rounds)
"""


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path)


@pytest.mark.slow
def test_a_training_replayed_answers_bit_for_bit_also_in_its_rebuilt_environment(ws: Workspace) -> None:
    add_orders(ws)
    model = ws.model.train(write_training(ws.root), trials=1, until=CUT).model

    here = ws.home.reproduce(model.ref)
    rebuilt = ws.home.reproduce(model.ref, rebuild=True)

    for found in (here, rebuilt):
        assert "bit-equal" == found.verdict
        assert all(node.same for node in found.nodes)
        assert 0 == found.exit_code()
    assert rebuilt.rebuilt
    assert () == rebuilt.environment
    assert ["data orders", "features", "rows", "encoders", "model", "predictions"] == [node.node for node in here.nodes]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("linear_model", "LogisticRegression", "max_iter=500"),
        ("neural_network", "MLPClassifier", "(8,), random_state=seed, max_iter=300, early_stopping=True, tol=0.01"),
    ],
)
def test_scikit_learn_estimators_with_a_seed_are_reproduced(ws: Workspace, module: str, name: str, arguments: str) -> None:
    add_orders(ws)
    text = SKLEARN.format(module=module, name=name, arguments=arguments)
    model = ws.model.train(write_training(ws.root, text), trials=1, until=CUT).model

    assert "bit-equal" == ws.home.reproduce(model.ref).verdict


@pytest.mark.slow
def test_a_training_without_a_seed_is_told_to_diverge_at_the_fit(ws: Workspace) -> None:
    add_orders(ws)
    model = ws.model.train(write_training(ws.root, UNSEEDED), trials=1, until=CUT).model

    found = ws.home.reproduce(model.ref)
    lenient = ws.home.reproduce(model.ref, tolerance=1.0)

    assert ("different", "model", 3) == (found.verdict, found.diverges_at, found.exit_code())
    assert "a seed that the training function does not set" in found.likely_cause
    assert found.n_moved > 0
    assert "within tolerance" == lenient.verdict


@pytest.mark.slow
def test_a_training_function_needs_nothing_beside_what_was_kept(ws: Workspace) -> None:
    """The file and its data may be gone; the replay has its own."""
    frame = add_orders(ws)
    file = write_training(ws.root)
    model = ws.model.train(file, trials=1, until=CUT).model
    file.unlink()
    (ws.root / "orders.parquet").unlink()

    assert frame.height > 0
    assert "bit-equal" == ws.home.reproduce(model.ref).verdict


@pytest.mark.slow
def test_a_version_that_cannot_be_had_or_is_not_used_is_refused(ws: Workspace) -> None:
    add_orders(ws)
    model = ws.model.train(write_training(ws.root), trials=1, until=CUT).model

    with pytest.raises(Unavailable, match="no version of lightgbm==99"):
        ws.home.upgrade_check(model.ref, ["lightgbm==99.5.0"])
    with pytest.raises(ParameterError, match="does not use torch"):
        ws.home.upgrade_check(model.ref, ["torch==2.0.0"])
    with pytest.raises(ParameterError, match="'lightgbm' names no version"):
        ws.home.upgrade_check(model.ref, ["lightgbm"])
    with pytest.raises(ParameterError, match="no library was named"):
        ws.home.upgrade_check(model.ref, [])
    with pytest.raises(ParameterError, match="tolerance"):
        ws.home.reproduce(model.ref, tolerance=-1)


@pytest.mark.slow
def test_another_version_of_a_library_is_tried_in_an_environment_of_its_own(ws: Workspace) -> None:
    add_orders(ws)
    model = ws.model.train(write_training(ws.root), trials=1, until=CUT).model

    found = ws.home.upgrade_check(model.ref, ["lightgbm==4.6.0"])

    assert found.n_probe > 0
    assert found.changed[0].endswith("→ 4.6.0")
    (python,) = (ws.store.root / "environments").glob("*/bin/python")
    asked = subprocess.run([python, "-c", "import lightgbm; print(lightgbm.__version__)"], capture_output=True, text=True, check=True)
    assert "4.6.0" == asked.stdout.strip()
