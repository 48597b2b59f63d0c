"""Tables in 8 and 4 bits, and columns far out of a layer's inputs: what is answered, what is left alone, what is saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, load_from_string, numpy_helper

from sampan.compression import graphs
from sampan.compression.edits import INT4_TABLES, edited, edits_for
from sampan.compression.outliers import evened_out
from sampan.compression.tables import in_fewer_bits, share_of_tables
from sampan.compression.timing import open_session

IDS = np.random.default_rng(3).integers(0, 4000, (50, 6))


def graph_of(nodes: list[Any], arrays: dict[str, NDArray[Any]], *, inputs: dict[str, tuple[int, list[Any]]]) -> bytes:
    given = [helper.make_tensor_value_info(name, *each) for name, each in inputs.items()]
    made = helper.make_graph(
        nodes,
        "it",
        given,
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return bytes(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString())


def vocabulary(rows: int = 4000, columns: int = 64, *, axis: int = 0) -> bytes:
    """A table of vectors, the mean of a text's, and a layer over it."""
    rng = np.random.default_rng(0)
    table = (rng.normal(size=(rows, columns)) * rng.uniform(0.1, 3, (rows, 1))).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["vectors"], axis=axis),
        helper.make_node("ReduceMean", ["vectors"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["out"]),
    ]
    arrays = {"table": table, "weights": rng.normal(size=(columns, 8)).astype(np.float32)}
    return graph_of(nodes, arrays, inputs={"ids": (TensorProto.INT64, ["rows", "tokens"])})


def answers(graph: bytes, **given: NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = open_session(graph).run(None, given)[0]
    return found


@pytest.mark.parametrize(("bits", "size", "error"), [(8, 0.28, 0.01), (4, 0.17, 0.09)])
def test_a_table_in_fewer_bits_gives_nearly_the_same_vectors(bits: int, size: float, error: float) -> None:
    graph = vocabulary()
    made = in_fewer_bits(graph, bits=bits)
    before, after = answers(graph, ids=IDS), answers(made, ids=IDS)

    assert len(made) < size * len(graph)
    assert np.linalg.norm(after - before) < error * np.linalg.norm(before)


def test_rows_of_zeros_and_negative_places_are_looked_up_alike() -> None:
    model = load_from_string(vocabulary())
    table = numpy_helper.to_array(model.graph.initializer[0]).copy()
    table[:10] = 0
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(table, "table"))
    graph, ids = model.SerializeToString(), np.array([[0, 1, 2], [-1, -2, 5], [3, 4, 5]])

    for bits in (8, 4):
        found = answers(in_fewer_bits(graph, bits=bits), ids=ids)
        wanted = answers(graph, ids=ids)
        assert not found[[0, 2]].any()
        assert np.linalg.norm(found - wanted) < 0.12 * np.linalg.norm(wanted)


def test_a_table_that_is_used_otherwise_or_too_small_is_left_alone() -> None:
    small, columns = vocabulary(rows=10, columns=64), vocabulary(rows=64, columns=4000, axis=1)
    for graph in (small, columns):
        assert [1] * 2 == [each.data_type for each in load_from_string(in_fewer_bits(graph, bits=4)).graph.initializer]
        assert 0 == share_of_tables(graph)
    model = load_from_string(vocabulary())
    model.graph.output.append(helper.make_tensor_value_info("table", TensorProto.FLOAT, None))
    assert 0 == share_of_tables(model.SerializeToString())


def test_only_a_graph_whose_table_is_large_is_tried_in_4_bits() -> None:
    graph = vocabulary()
    names = [edit for edit, _ in edits_for(graph)]
    made = edited(graph, INT4_TABLES, 1.0, {"ids": IDS})

    assert INT4_TABLES in names
    assert INT4_TABLES not in [edit for edit, _ in edits_for(layer(np.ones(48)))]
    assert len(made) < len(edited(graph, "int8 dynamic", 1.0, {"ids": IDS})) < 0.3 * len(graph)


def layer(reach: NDArray[Any]) -> bytes:
    """Two layers with an activation between, whose columns reach so far."""
    rng = np.random.default_rng(1)
    first = (rng.normal(size=(16, len(reach))) * reach).astype(np.float32)
    second = (rng.normal(size=(len(reach), 4)) / reach[:, None]).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["sums"]),
        helper.make_node("Tanh", ["x"], ["unused"]),
        helper.make_node("Relu", ["sums"], ["active"]),
        helper.make_node("MatMul", ["active", "second"], ["out"]),
    ]
    return graph_of(nodes, {"first": first, "second": second}, inputs={"x": (TensorProto.FLOAT, ["rows", 16])})


def test_a_column_far_out_no_longer_takes_the_steps_from_the_others() -> None:
    reach = np.ones(48)
    reach[5] = 40
    graph, rows = layer(reach), np.random.default_rng(2).normal(size=(300, 16)).astype(np.float32)
    even = evened_out(graph, {"x": rows})
    whole, apart = answers(graph, x=rows), answers(graphs.in_dynamic_int8(graph, {"x": rows}), x=rows)
    # The error that the quantizer leaves where the rows show nothing far out.
    blind = answers(graphs.in_dynamic_int8(graph, {"x": np.zeros_like(rows)}), x=rows)

    np.testing.assert_allclose(answers(even, x=rows), whole, rtol=1e-3, atol=1e-4)
    assert 1 == sum(node.op_type == "Mul" for node in load_from_string(even).graph.node)
    assert np.abs(apart - whole).mean() < 0.6 * np.abs(blind - whole).mean()


def test_layers_whose_columns_are_alike_are_left_as_they_are() -> None:
    rows = np.random.default_rng(2).normal(size=(300, 16)).astype(np.float32)

    assert not [node for node in load_from_string(evened_out(layer(np.ones(48)), {"x": rows})).graph.node if node.op_type == "Mul"]
