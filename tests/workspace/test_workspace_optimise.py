"""`sampan model optimise`: real models made smaller, measured, picked by a budget, made versions, gated, reproduced, killed and resumed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_tasks import ENDS_FILE, HOURS, add_visits, write_task
from small_training import CUT, add_orders, write_training

from sampan.errors import NotFound, ParameterError, Unsupported
from sampan.flavors.onnx_graph import OnnxScorer
from sampan.workspace.models.optimizing_answers import PARENT, Optimized, Variant
from sampan.workspace.workspace import Workspace

NETWORK = """
@sp.train(name="orders-late", features=orders_view, objective=goal)
def fit(features, labels, *, width=32, seed=0):
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    return make_pipeline(StandardScaler(), MLPClassifier((width, 8), max_iter=25, tol=0.01, random_state=seed)).fit(features, labels)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project with one model of trees, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("trained")
    with Workspace.open(folder) as ws:
        add_orders(ws)
        return folder, ws.model.train(write_training(folder), trials=1, until=CUT).model.ref


@pytest.fixture
def ws(trained: tuple[Path, str], tmp_path: Path) -> Iterator[Workspace]:
    shutil.copytree(trained[0], tmp_path / "project")
    with Workspace.open(tmp_path / "project") as ws:
        yield ws


@pytest.fixture
def trees(trained: tuple[Path, str]) -> str:
    return trained[1]


def variant(found: Optimized, name: str) -> Variant:
    return next(each for each in found.variants if each.name == name)


def kinds(found: Optimized) -> set[str]:
    return {each.how for each in found.variants}


@pytest.mark.slow
def test_trees_are_cut_trained_smaller_taught_and_put_on_fewer_features(ws: Workspace, trees: str) -> None:
    found = ws.model.optimise(trees, tries=12)

    assert {"first trees", "cut back", "smaller", "fewer features", "taught"} <= kinds(found)
    half = variant(found, "rounds 12")
    assert {"rounds": 12} == half.params
    assert half.cost.size_bytes < 0.55 * found.parent.cost.size_bytes
    assert all(
        each.gain.low is not None and each.gain.low <= each.gain.value <= each.gain.high for each in found.variants if each.gain.value
    )
    assert ("", "") == (found.picked, found.made)
    assert found.front
    assert found.n_left_out > 0
    taught = next(each for each in found.variants if each.how == "taught")
    assert taught.params == variant(found, taught.beside).params
    assert found.next[0].startswith(f"sampan model optimise {trees} --budget loss=")


@pytest.mark.slow
def test_a_budget_makes_a_version_that_passes_its_own_gate_and_is_reproduced(ws: Workspace, trees: str) -> None:
    ws.model.gate(trees)
    ws.model.promote(trees)

    found = ws.model.optimise(trees, tries=3, budget="size=9kB,loss=0.02")

    node = ws.catalog.resolve(found.made, kind="model")
    picked = variant(found, found.picked)
    assert picked.cost.size_bytes <= 9000
    assert -(picked.gain.low or 0) <= 0.02
    assert (trees, 0.02) == (node.facts["variant"]["parent_ref"], node.facts["variant"]["allowed_loss"])
    parents = {(edge.role, ws.catalog.node(edge.src).kind) for edge in ws.catalog.edges_to(node.id)}
    assert {("input", "model"), ("derived_from", "run"), ("trained_on", "dataset")} == parents
    assert "run" == ws.catalog.node(ws.model.show(found.made).run).kind
    gated = ws.model.gate(found.made)
    assert {"loss_over_budget", "log_loss_worse", "cost_worse"} <= {check.code for check in gated.checks}
    assert gated.passed == all(check.passed for check in gated.checks)
    again = ws.model.optimise(trees, tries=3, budget="size=9kB,loss=0.02")
    assert (found.made, found.optimization) == (again.made, again.optimization)
    assert again.n_remembered > 3
    if node.facts["variant"]["is_replayable"]:
        assert "bit-equal" == ws.home.reproduce(found.made).verdict


@pytest.mark.slow
def test_what_no_budget_allows_is_not_made_and_ends_with_a_no(ws: Workspace, trees: str) -> None:
    found = ws.model.optimise(trees, tries=1, budget="size=10,loss=0.01")

    assert ("", "", 3) == (found.picked, found.made, found.exit_code())
    assert all(any("size" in fault for fault in each.exceeds) for each in found.variants if each.how != "threads")
    assert "nothing is within size ≤ 10 bytes, loss ≤ 0.01" in found.text()
    kept = ws.model.optimise(trees, tries=1, budget="p50=10s,loss=0")
    assert (PARENT, "", 0) == (kept.picked, kept.made, kept.exit_code())


@pytest.mark.slow
def test_a_variant_that_is_named_is_made_of_its_parents_graph_and_packed(ws: Workspace, trees: str) -> None:
    found = ws.model.optimise(trees, tries=1, take="first trees 50 %")

    node = ws.catalog.resolve(found.made, kind="model")
    assert ("onnx", False) == (node.facts["flavor"], node.facts["variant"]["is_replayable"])
    assert node.facts["variant"]["distance"]["mean"] < 0.05
    assert ws.model.verify(ws.model.pack(found.made).package).passed
    files = {each.path: each.digest for each in ws.catalog.artifacts(node.id)}
    assert files["model.onnx"] == files["native/model.onnx"]
    assert OnnxScorer(ws.store.blobs.read(files["model.onnx"]))(np.zeros((2, 3), np.float32)).shape == (2,)
    with pytest.raises(Unsupported, match="was made from orders-late@v1 by 'first trees 50 %'"):
        ws.home.reproduce(found.made)
    with pytest.raises(Unsupported, match="without a training"):
        ws.model.optimise(found.made)
    with pytest.raises(NotFound, match="no variant 'half'"):
        ws.model.optimise(trees, tries=1, take="half")


@pytest.mark.slow
def test_a_network_is_thinned_and_kept_in_fewer_bits_and_says_where_it_is_slower(ws: Workspace) -> None:
    model = ws.model.train(write_training(ws.root, NETWORK, name="network.py"), trials=1, until=CUT).model.ref
    found = ws.model.optimise(model, tries=2, take="int8 dynamic")

    assert {"int8 dynamic", "int8 static", "float16", "fewer units", "smaller"} <= kinds(found)
    for each in found.variants:
        slower = each.cost.p50_ms > 1.1 * found.parent.cost.p50_ms
        assert slower == any("slower on one row" in warning for warning in each.warnings)
    assert ws.model.gate(found.made).decision


@pytest.mark.slow
@pytest.mark.parametrize(("text", "metric"), [(ENDS_FILE, "macro_auc"), (HOURS, "rmse")], ids=["classes", "numbers"])
def test_models_of_classes_and_of_numbers_are_made_smaller_too(tmp_path: Path, text: str, metric: str) -> None:
    with Workspace.open(tmp_path) as ws:
        add_visits(ws)
        model = ws.model.train(write_task(tmp_path, text), trials=1, until=CUT).model.ref
        found = ws.model.optimise(model, tries=2, take="first trees 50 %")

        assert metric == found.metric
        half = variant(found, "first trees 50 %")
        assert half.cost.size_bytes < 0.6 * found.parent.cost.size_bytes
        assert half.gain.low is not None
        assert ws.model.gate(found.made).checks


NEIGHBORS = """
import warnings
warnings.simplefilter("error")
@sp.train(name="NAME", features=VIEW, objective=goal)
def fit(features, labels, *, k=25):
    from sklearn.impute import KNNImputer
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    kind = KIND(n_neighbors=k)
    return make_pipeline(KNNImputer(), kind).fit(features, labels)
"""


def neighbors(name: str, view: str, kind: str) -> str:
    """A training that has no graph: gaps are filled in by neighbors."""
    return NEIGHBORS.replace("NAME", name).replace("VIEW", view).replace("KIND", kind)


@pytest.mark.slow
def test_a_model_without_a_graph_gets_one_that_is_trained_in_its_place(ws: Workspace) -> None:
    file = write_training(ws.root, neighbors("orders-late", "orders_view", "KNeighborsClassifier"), name="neighbors.py")
    model = ws.model.train(file, trials=1, until=CUT).model.ref
    tried = ws.model.optimise(model, tries=8)
    student = next(each for each in tried.variants if each.how == "taught")
    found = ws.model.optimise(model, tries=8, take=student.name)

    assert ("natively", {}) == (found.parent.how, found.refused)
    assert found.n_remembered > 7
    assert {"stand-in", "taught", "int8 dynamic"} <= kinds(found)
    assert "stand-in" == variant(found, student.beside).how
    assert 10 * student.cost.p50_ms < found.parent.cost.p50_ms
    assert student.gain.low is not None
    assert "its costs are of the model asked in Python" in found.text()
    node = ws.catalog.resolve(found.made, kind="model")
    assert ("sklearn", True, student.params) == (node.facts["flavor"], node.facts["parity"]["passed"], node.facts["params"])
    assert not node.facts["variant"]["is_replayable"]
    assert ws.model.verify(ws.model.pack(found.made).package).passed
    assert ws.model.gate(found.made).decision


@pytest.mark.slow
def test_tries_that_were_killed_are_taken_up_again(ws: Workspace, trees: str) -> None:
    command = [sys.executable, "-m", "sampan", "model", "optimise", trees, "--tries", "6"]
    with subprocess.Popen(command, cwd=ws.root, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Train smaller" in line:
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    found = ws.model.optimise(trees, tries=6)

    assert found.n_remembered >= 3
    assert variant(found, "rounds 12").gain.value is not None


def small_graph(path: Path, *, scale: float = 1.0) -> None:
    rng = np.random.default_rng(0)
    first = numpy_helper.from_array((scale * rng.normal(size=(12, 64))).astype(np.float32), "first")
    second = numpy_helper.from_array(rng.normal(size=(64, 16)).astype(np.float32), "second")
    nodes = [
        helper.make_node("MatMul", ["given", "first"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "second"], ["embedding"]),
    ]
    given = helper.make_tensor_value_info("given", TensorProto.FLOAT, [None, 12])
    made = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [None, 16])
    graph = helper.make_graph(nodes, "embed", [given], [made], [first, second])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


@pytest.mark.slow
def test_a_graph_from_outside_is_judged_by_a_probe_or_by_likeness_and_kept_with_its_lineage(tmp_path: Path) -> None:
    small_graph(tmp_path / "embed.onnx")
    rows = np.random.default_rng(1).normal(size=(400, 12)).astype(np.float32)
    np.savez(tmp_path / "told.npz", given=rows, labels=np.where(rows[:, 0] > 0, "up", "down"))
    np.savez(tmp_path / "alone.npz", given=rows)
    with Workspace.open(tmp_path) as ws:
        file = str(tmp_path / "embed.onnx")
        probed = ws.model.optimise(file, examples=tmp_path / "told.npz", budget="size=3kB", out=tmp_path / "small.onnx")
        alike = ws.model.optimise(file, examples=tmp_path / "alone.npz")

        assert ("accuracy of a probe", "likeness") == (probed.metric, alike.metric)
        assert probed.parent.value is not None
        assert probed.parent.value > 0.7
        assert {"int8 dynamic", "int8 static", "float16", "fewer units"} <= kinds(alike)
        eighth = variant(alike, "int8 dynamic")
        assert (True, True) == ((eighth.value or 0) > 0.99, eighth.cost.size_bytes < 0.9 * alike.parent.cost.size_bytes)
        made = ws.catalog.resolve(probed.made.removeprefix("graph:"), kind="graph")
        assert (tmp_path / "small.onnx").stat().st_size == made.size <= 3000
        assert [(alike.model.removeprefix("graph:"), "derived_from")] == [
            (ws.catalog.node(edge.src).ref, edge.role) for edge in ws.catalog.edges_to(made.id)
        ]
        again = ws.model.optimise(alike.model, examples=tmp_path / "alone.npz")
        assert alike.model == again.model
        assert again.n_remembered > len(again.variants) - 2
        again = ws.model.optimise(file, examples=tmp_path / "told.npz", budget="size=3kB")
        assert (probed.made, len(again.variants)) == (again.made, again.n_remembered)


def test_examples_that_do_not_fit_a_graph_are_refused_with_every_fault(tmp_path: Path) -> None:
    small_graph(tmp_path / "embed.onnx")
    np.savez(tmp_path / "wrong.npz", given=np.zeros((4, 12), np.float32), labels=np.zeros(3))
    np.savez(tmp_path / "lacking.npz", other=np.zeros((4, 12), np.float32))
    with Workspace.open(tmp_path) as ws:
        for examples, words in (
            ("wrong.npz", "arrays of different lengths: given 4, labels 3; labels of one class only"),
            ("lacking.npz", "no array for the input 'given'"),
            ("embed.onnx", "holds no arrays"),
        ):
            with pytest.raises(ParameterError, match=words):
                ws.model.optimise(str(tmp_path / "embed.onnx"), examples=tmp_path / examples)
        with pytest.raises(ParameterError, match="without rows to judge it on"):
            ws.model.optimise(str(tmp_path / "embed.onnx"))
        with pytest.raises(NotFound, match="there is no file"):
            ws.model.optimise(str(tmp_path / "none.onnx"))
        with pytest.raises(ParameterError, match="picks a variant, and --take names one"):
            ws.model.optimise("late", budget="size=1kB", take="int8")
        with pytest.raises(ParameterError, match="are for an ONNX file"):
            ws.model.optimise("late", examples=tmp_path / "wrong.npz")
