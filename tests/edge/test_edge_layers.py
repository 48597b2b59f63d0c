"""Networks, linear models and scikit-learn's transformers as C answer as their graphs do."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_graphs import expected_of, graph_of, network, node

from sampan.edge.emulation import Sources, measure
from sampan.edge.hosted import compile_hosted, run_hosted
from sampan.edge.profiles import read_profile
from sampan.edge.program import Dense, Elementwise
from sampan.edge.quantizing import Quantized, in_int8
from sampan.edge.reading import read_program
from sampan.edge.simplifying import simplify
from sampan.edge.source import Field, Schema, generate
from sampan.errors import Unsupported
from sampan.flavors.sklearn import ScikitLearn

QUICK = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off")
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def answers(program: Any, rows: Any, folder: Path) -> Any:
    folder.mkdir(exist_ok=True)
    generated = generate(program, Schema("m", outputs=("score",) * program.n_outputs))
    return run_hosted(compile_hosted(generated, folder, flags=QUICK), rows, program.n_outputs)


def test_a_network_answers_as_onnx_and_carries_its_activations(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    graph, rows = network(rng), rng.normal(size=(100, 18)).astype(np.float32)

    program = simplify(read_program(graph))

    assert [(type(s), getattr(s, "relu", None)) for s in program.steps] == [
        (Dense, True),
        (Dense, True),
        (Dense, False),
        (Elementwise, None),
    ]
    assert np.abs(answers(program, rows, tmp_path) - expected_of(graph, rows)).max() < 1e-6


def test_a_network_in_int8_is_a_chain_of_whole_numbers_close_to_the_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    graph = network(rng)
    scales = 10.0 ** rng.integers(-2, 4, 18)  # features of very unlike ranges
    weights = onnx.load_from_string(graph)
    first = onnx.numpy_helper.to_array(weights.graph.initializer[0]) / scales
    weights.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(first.astype(np.float32), "w0"))
    graph = weights.SerializeToString()
    rows = (rng.normal(size=(2000, 18)) * scales + 3 * scales).astype(np.float32)

    program = in_int8(simplify(read_program(graph)), rows[:1000])

    assert [type(s) for s in program.steps] == [Quantized, Elementwise]
    assert np.abs(answers(program, rows[1000:], tmp_path) - expected_of(graph, rows[1000:])).max() < 0.02


@pytest.mark.parametrize("seed", range(4))
def test_a_convolutional_network_in_int8_is_whole_numbers_from_the_image_to_the_last_sums(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    channels, first, second = int(rng.integers(1, 4)), int(rng.integers(1, 9)), int(rng.integers(2, 11))
    ends_in_means = bool(seed % 2)
    weights = {
        "shape": np.array([-1, channels, 8, 8], np.int64),
        "k0": (rng.normal(size=(first, channels, 3, 3)) / 3).astype(np.float32),
        "b0": rng.normal(size=first).astype(np.float32),
        "k1": (rng.normal(size=(second, first, 2, 2)) / 3).astype(np.float32),
        "w": (rng.normal(size=(second * (1 if ends_in_means else 6), 12)) / 4).astype(np.float32),
        "v": rng.normal(size=(12, 3)).astype(np.float32),
    }
    nodes = [
        node("Reshape", ["features", "shape"], "planes"),
        node("Conv", ["planes", "k0", "b0"], "c0", pads=[1, 1, 1, 1]),
        node("Relu", ["c0"], "r0"),
        node("MaxPool", ["r0"], "p0", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 0, 0]),
        node("Conv", ["p0", "k1"], "c1", pads=[0, 1, 0, 1], strides=[1, 2], dilations=[1, 2]),
        node("Relu", ["c1"], "r1"),
        *([node("GlobalAveragePool", ["r1"], "p1")] if ends_in_means else [node("MaxPool", ["r1"], "p1", kernel_shape=[1, 1])]),
        node("Flatten", ["p1"], "flat"),
        node("MatMul", ["flat", "w"], "d"),
        node("Relu", ["d"], "e"),
        node("MatMul", ["e", "v"], "score"),
    ]
    graph = graph_of(nodes, weights, 64 * channels, ["n", 3])
    rows = rng.normal(size=(400, 64 * channels)).astype(np.float32)

    program = in_int8(simplify(read_program(graph)), rows[:200])

    assert [type(s) for s in program.steps] == [Quantized]
    wanted = expected_of(graph, rows[200:])
    assert np.abs(answers(program, rows[200:], tmp_path) - wanted).max() < 0.1 * wanted.std()


@pytest.mark.parametrize("board", ["cortex-m0plus", "cortex-m4f", "cortex-m7", "esp32c3"])
def test_int8_is_the_same_on_every_board_with_and_without_instructions_for_signals(board: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    graph = network(rng)
    rows = rng.normal(size=(300, 18)).astype(np.float32)
    program = in_int8(simplify(read_program(graph)), rows)
    program = replace(program, out=program.steps[0].out, steps=program.steps[:1])  # up to the last sums, all of it whole numbers
    generated = generate(program, Schema("m"))

    here = answers(program, rows[:64], tmp_path / "here")
    there, _ = measure(Sources(generated.files, "m_scores", 18, 1), rows[:64], read_profile(board), tmp_path / "there")

    np.testing.assert_array_equal(here, there)


def test_a_small_convolutional_network_answers_as_onnx(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    weights = {
        "shape": np.array([-1, 1, 8, 8], np.int64),
        "k0": rng.normal(size=(4, 1, 3, 3)).astype(np.float32),
        "b0": rng.normal(size=4).astype(np.float32),
        "k1": rng.normal(size=(6, 2, 3, 2)).astype(np.float32),
        "scale": rng.normal(size=6).astype(np.float32),
        "shift": rng.normal(size=6).astype(np.float32),
        "mean": rng.normal(size=6).astype(np.float32),
        "variance": rng.uniform(0.5, 2, 6).astype(np.float32),
        "w": rng.normal(size=(12, 3)).astype(np.float32),
        "axes": np.array([2, 3], np.int64),
    }
    nodes = [
        node("Reshape", ["features", "shape"], "planes"),
        node("Conv", ["planes", "k0", "b0"], "c0", pads=[1, 1, 1, 1], strides=[1, 1]),
        node("Relu", ["c0"], "r0"),
        node("MaxPool", ["r0"], "p0", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p0", "k1"], "c1", pads=[0, 1, 1, 0], strides=[1, 2], dilations=[1, 2], group=2),
        node("BatchNormalization", ["c1", "scale", "shift", "mean", "variance"], "n1"),
        node("AveragePool", ["n1"], "p1", kernel_shape=[2, 2], pads=[1, 0, 0, 1], count_include_pad=0),
        node("GlobalMaxPool", ["p1"], "high"),
        node("ReduceMean", ["p1", "axes"], "middle", keepdims=1),
        node("Concat", ["high", "middle"], "both", axis=1),
        node("Flatten", ["both"], "flat", axis=1),
        node("MatMul", ["flat", "w"], "sums"),
        node("Softmax", ["sums"], "score", axis=-1),
    ]
    graph = graph_of(nodes, weights, 64, [None, 3])
    rows = rng.normal(size=(50, 64)).astype(np.float32)

    program = simplify(read_program(graph))

    assert np.abs(answers(program, rows, tmp_path) - expected_of(graph, rows)).max() < 2e-6


def test_what_only_places_numbers_anew_costs_no_more_than_a_move(tmp_path: Path) -> None:
    weights = {"starts": np.array([1]), "ends": np.array([5]), "axes": np.array([1]), "at": np.array([2, 0]), "shape": np.array([0, 2, 2])}
    nodes = [
        node("Slice", ["features", "starts", "ends", "axes"], "cut"),
        node("Reshape", ["cut", "shape"], "square"),
        node("Transpose", ["square"], "turned", perm=[0, 2, 1]),
        node("Flatten", ["turned"], "flat"),
        node("Gather", ["features", "at"], "picked", axis=1),
        node("Concat", ["flat", "picked"], "score", axis=1),
    ]
    rows = np.arange(12, dtype=np.float32).reshape(2, 6)

    program = read_program(graph_of(nodes, weights, 6, [None, 6]))

    assert len(program.steps) == 1
    assert answers(program, rows, tmp_path)[0].tolist() == [1, 3, 2, 4, 2, 0]


@pytest.mark.slow
def test_scikit_learns_pipelines_answer_as_their_graphs(tmp_path: Path) -> None:
    from sklearn.decomposition import PCA
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, Normalizer, PolynomialFeatures, RobustScaler, StandardScaler

    rng = np.random.default_rng(4)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int)
    holes = np.where(rng.random(x.shape) < 0.1, np.nan, x).astype(np.float32)
    models = {
        "logistic": (make_pipeline(StandardScaler(), LogisticRegression()), x),
        "imputed": (make_pipeline(SimpleImputer(), RobustScaler(), SGDClassifier(loss="log_loss", random_state=0)), holes),
        "network": (make_pipeline(MinMaxScaler(), MLPClassifier((8, 4), max_iter=50, random_state=0)), x),
        "principal": (make_pipeline(PCA(4), Normalizer(), LogisticRegression()), x),
        "polynomial": (make_pipeline(PolynomialFeatures(2), LogisticRegression(max_iter=500)), x),
        "forest": (make_pipeline(StandardScaler(), RandomForestClassifier(20, max_depth=6, random_state=0)), x),
        "bayes": (GaussianNB(), x),
    }
    flavor, far = ScikitLearn(), {}
    for name, (model, rows) in models.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 50 steps are too few for it
            graph = flavor.to_onnx(model.fit(rows, y), 6)
        program = simplify(read_program(graph))
        far[name] = float(np.abs(answers(program, rows, tmp_path / name) - expected_of(graph, rows)).max())

    assert {name: distance for name, distance in far.items() if distance > 3e-6} == {}


def test_every_operation_without_code_is_named(tmp_path: Path) -> None:
    nodes = [node("Sinh", ["features"], "a"), node("CumSum", ["a", "axis"], "score")]

    with pytest.raises(Unsupported, match="CumSum, Sinh"):
        read_program(graph_of(nodes, {"axis": np.array(1)}, 2, [None, 2]))


def test_a_graph_of_single_operations_answers_as_onnx(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    single = [
        "Abs",
        "Exp",
        "Neg",
        "Relu",
        "Sigmoid",
        "Sign",
        "Tanh",
        "Floor",
        "Ceil",
        "Elu",
        "LeakyRelu",
        "Selu",
        "HardSigmoid",
        "Softplus",
    ]
    nodes = [node(kind, ["features"], kind) for kind in single]
    nodes += [node("Clip", ["features", "low", "high"], "Clip"), node("Max", ["features", "row", "zero"], "Max")]
    nodes += [node("Where", ["test", "features", "row"], "Where"), node("Less", ["features", "row"], "test")]
    nodes += [
        node("Reciprocal", ["features"], "Reciprocal"),
        node("Sqrt", ["Abs"], "Sqrt"),
        node("Log", ["Abs"], "Log"),
        node("Erf", ["features"], "Erf"),
    ]
    nodes.sort(key=lambda each: each.op_type == "Where")
    names = [*single, "Clip", "Max", "Where", "Reciprocal", "Sqrt", "Log", "Erf"]
    nodes.append(node("Concat", names, "score", axis=1))
    weights = {"low": np.float32(-0.5), "high": np.float32(0.5), "row": rng.normal(size=4).astype(np.float32), "zero": np.float32([0])}
    graph = graph_of(nodes, weights, 4, [None, 4 * len(names)])
    rows = np.concatenate([rng.normal(scale=3, size=(60, 4)), [[0.01, -0.02, 90, -100]]]).astype(np.float32)

    found, expected = answers(read_program(graph), rows, tmp_path), expected_of(graph, rows)

    same = found == expected  # infinities
    far = np.where(same, 0, np.abs(np.where(same, 0, found) - np.where(same, 0, expected)) / (0.1 + np.where(same, 0, np.abs(expected))))
    worst = far.max(axis=0).reshape(-1, 4).max(axis=1)
    assert {name: float(distance) for name, distance in zip(names, worst, strict=True) if not distance < 2e-6} == {}


def test_a_header_holds_whatever_features_are_called(tmp_path: Path) -> None:
    names = ("a b", "a-b", "n_features", "threshold", "h", "number_x", "giá vàng", "*/ evil", "1st", "while")
    schema = Schema(
        "int", fields=tuple(map(Field, names)), outputs=("x",) * 10, threshold=0.5, about=("made of churn@live */",), numbers=(Field("x"),)
    )
    weights = {"shape": np.array([0, 10])}
    graph = graph_of([node("Reshape", ["features", "shape"], "score")], weights, 10, [None, 10])
    rows = np.arange(20, dtype=np.float32).reshape(2, 10)

    found = run_hosted(compile_hosted(generate(read_program(graph), schema), tmp_path, flags=QUICK), rows, 10)

    assert np.array_equal(found, rows)
