"""Trees as C answer as ONNX does, for every number a row may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.edge.hosted import compile_hosted, run_hosted
from sampan.edge.keys import HIGHEST, LOWEST, key_of
from sampan.edge.layouts import lay_out
from sampan.edge.program import Trees
from sampan.edge.reading import read_program
from sampan.edge.simplifying import simplify
from sampan.edge.source import Generated, Options, Schema, generate
from sampan.flavors.onnx_graph import OnnxScorer

QUICK = ("-std=c99", "-O0", "-Wall", "-Wextra", "-Werror", "-pedantic")
EDGES = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 3.4e38, -3.4e38, 1.0, -1.0, 0.5], np.float32)
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
N_FEATURES = 3


def generated_from(graph: bytes, options: Options | None = None) -> Generated:
    return generate(simplify(read_program(graph)), Schema("m"), options)


def answers(generated: Generated, rows: Any, folder: Path, n_outputs: int = 1, flags: tuple[str, ...] = QUICK) -> Any:
    folder.mkdir(exist_ok=True)
    return run_hosted(compile_hosted(generated, folder, flags=flags), rows, n_outputs)


def graph_of(trees: list[list[dict[str, Any]]], n_targets: int = 1, **more: Any) -> bytes:
    """Build a graph of the common shape; a node is {feature, mode, value, missing, yes, no} or {leaf: [(target, weight)]}."""
    names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true")
    columns: dict[str, list[Any]] = {f"nodes_{name}": [] for name in names}
    leaves: dict[str, list[Any]] = {f"target_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}
    for number, tree in enumerate(trees):
        for own, node in enumerate(tree):
            cells = (number, own, *(node.get(k, d) for k, d in (("feature", 0), ("mode", "LEAF"), ("value", 0.0))))
            rest = tuple(node.get(k, 0) for k in ("yes", "no", "missing"))
            for name, cell in zip(columns, (*cells, *rest), strict=True):
                columns[name].append(cell)
            for target, weight in node.get("leaf", ()):
                for name, cell in zip(leaves, (number, own, target, weight), strict=True):
                    leaves[name].append(cell)
    helper = onnx.helper
    node = helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["sums"], domain="ai.onnx.ml", n_targets=n_targets, **columns, **leaves, **more
    )
    nodes = [node]
    shape: list[Any] = [None, n_targets]
    last = "sums"
    if n_targets == 1:
        nodes.append(helper.make_node("Flatten", ["sums"], ["flat"], axis=0))
        nodes.append(helper.make_node("Gather", ["sums", "zero"], ["score"], axis=1))
        last, shape = "score", [None]
    given = helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, [None, N_FEATURES])
    out = helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, shape)
    zero = helper.make_tensor("zero", onnx.TensorProto.INT64, [], [0])
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(helper.make_graph(nodes, "g", [given], [out], [zero]), opset_imports=opsets, ir_version=8)
    return bytes(model.SerializeToString())


def random_tree(rng: np.random.Generator, depth: int, n_targets: int = 1) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []

    def grow(left: int) -> int:
        own = len(nodes)
        if left == 0 or rng.random() < 0.15:
            nodes.append({"leaf": [(t, float(rng.integers(-64, 64)) / 8) for t in range(n_targets)]})
            return own
        value = rng.choice(EDGES[1:]) if rng.random() < 0.7 else np.float32(rng.normal())
        node = {"feature": int(rng.integers(N_FEATURES)), "mode": str(rng.choice(MODES)), "value": float(value)}
        nodes.append({**node, "missing": int(rng.integers(2))})
        nodes[own]["yes"], nodes[own]["no"] = grow(left - 1), grow(left - 1)
        return own

    grow(depth)
    return nodes


def hard_rows(rng: np.random.Generator, trees: list[list[dict[str, Any]]]) -> Any:
    """Draw rows of edge values, thresholds and their neighbors."""
    values = np.array([n["value"] for t in trees for n in t if "value" in n] or [0.0], np.float32)
    with np.errstate(over="ignore"):
        near = [values, np.nextafter(values, np.float32(np.inf)), np.nextafter(values, np.float32(-np.inf))]
    return rng.choice(np.concatenate([EDGES, *near]), (200, N_FEATURES)).astype(np.float32)


def test_keys_keep_the_order_of_floats() -> None:
    values = np.array([-np.inf, -3.4e38, -1.0, -1e-38, -1e-45, 0.0, 1e-45, 1e-38, 1.0, 3.4e38, np.inf], np.float32)

    keys = key_of(values)

    assert (np.diff(keys) > 0).all()
    assert LOWEST < keys.min()
    assert keys.max() < HIGHEST
    assert key_of(np.array([-0.0], np.float32)).tolist() == [0]


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), leaves=st.sampled_from(["exact", "i16", "f32", "fastest"]))
def test_random_trees_answer_as_onnx_for_missing_infinite_denormal_and_zero_values(tmp_path: Path, seed: int, leaves: Any) -> None:
    rng = np.random.default_rng(seed)
    trees = [random_tree(rng, int(rng.integers(0, 6))) for _ in range(int(rng.integers(1, 6)))]
    graph = graph_of(trees, base_values=[0.5])
    rows = hard_rows(rng, trees)
    options = Options(fastest=True) if leaves == "fastest" else Options(leaves=leaves)

    found = answers(generated_from(graph, options), rows, tmp_path)[:, 0]

    # Leaves are eighths: whoever came to another leaf is off by one at least.
    assert np.array_equal(np.round(found * 8) / 8, OnnxScorer(graph)(rows))


def test_trees_of_several_targets_answer_for_each(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    trees = [random_tree(rng, 4, n_targets=3) for _ in range(5)]
    graph = graph_of(trees, n_targets=3)
    rows = hard_rows(rng, trees)
    import onnxruntime

    (expected,) = onnxruntime.InferenceSession(graph).run(None, {"features": rows})
    found = answers(generated_from(graph), rows, tmp_path, 3)

    assert np.array_equal(found, expected)


@pytest.mark.parametrize("leaves", ["exact", "i16", "f32"])
def test_trees_of_one_target_each_are_summed_apart(tmp_path: Path, leaves: Any) -> None:
    rng = np.random.default_rng(11)
    trees = [random_tree(rng, 4) for _ in range(9)]
    for number, tree in enumerate(trees):
        for node in tree:
            if "leaf" in node:
                node["leaf"] = [(number % 2 * 2, weight) for _, weight in node["leaf"]]  # nothing adds to the one between
    graph = graph_of(trees, n_targets=3, base_values=[0.5, 0.0, -1.0])
    rows = hard_rows(rng, trees)
    import onnxruntime

    (expected,) = onnxruntime.InferenceSession(graph).run(None, {"features": rows})
    found = answers(generated_from(graph, Options(leaves=leaves)), rows, tmp_path, 3)

    assert np.array_equal(np.round(found * 8) / 8, expected)


def test_a_feature_with_more_thresholds_than_a_byte_counts_is_given_several_keys() -> None:
    rng = np.random.default_rng(5)
    trees: list[list[dict[str, Any]]] = []
    for value in rng.normal(size=700).astype(np.float32).tolist():
        split = {"feature": 1, "mode": "BRANCH_LEQ", "value": value, "yes": 1, "no": 2}
        trees.append([split, {"leaf": [(0, 1.0)]}, {"leaf": [(0, -1.0)]}])
    step = next(s for s in read_program(graph_of(trees)).steps if isinstance(s, Trees))

    layout = lay_out(step, leaves="i16")

    assert [feature for feature, _ in layout.keys] == [1, 1, 1]
    assert layout.width == 3


def test_a_tree_of_one_leaf_is_a_constant(tmp_path: Path) -> None:
    graph = graph_of([[{"leaf": [(0, 0.25)]}]], base_values=[1.0])

    found = answers(generated_from(graph), np.zeros((2, N_FEATURES), np.float32), tmp_path)

    assert found.tolist() == [[1.25], [1.25]]


def test_rounding_of_leaves_is_within_the_error_that_is_told() -> None:
    rng = np.random.default_rng(8)
    trees = [random_tree(rng, 5) for _ in range(40)]
    step = next(s for s in read_program(graph_of(trees)).steps if isinstance(s, Trees))

    exact, short = lay_out(step), lay_out(step, leaves="i16")

    assert exact.error <= 1e-6 or exact.width == 8
    assert short.error > exact.error
    assert short.size_bytes < exact.size_bytes
