"""The one shape every exported graph has: float32 (n, k) `features` in, float32 `score` out; and how it is run.

The score has shape (n,): a probability or a number. Of m classes it has shape (n, m): the probability of each.

Converters name and shape their inputs and outputs each in their own way. `with_one_score` puts the same front on all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from sampan.errors import IntegrityError, Unsupported
from sampan.plugins import require

INPUT, OUTPUT = "features", "score"


ALL: Final = "all"


def with_one_score(graph_bytes: bytes, *, column: int | Literal["all"]) -> bytes:
    """Rewrite a converted graph to the common shape.

    Parameters
    ----------
    column : which column of the two-dimensional output holds the score; "all" where each is the probability of a class

    Raises
    ------
    Unsupported : the graph has several inputs, or no output of float32.
    """
    onnx = require("onnx", extra="train")
    model = onnx.compose.add_prefix(onnx.load_from_string(graph_bytes), "inner_")  # converters use the names `features` and `score` too
    graph = model.graph
    floats = [o for o in graph.output if o.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    if len(graph.input) != 1 or not floats:
        raise Unsupported("the converted graph has no single input and float output", hint="serve the native model instead")
    given, found = graph.input[0].name, floats[-1].name
    n_outputs = floats[-1].type.tensor_type.shape.dim[-1].dim_value or None
    width = graph.input[0].type.tensor_type.shape.dim[-1].dim_value
    helper = onnx.helper
    graph.node.insert(0, helper.make_node("Identity", [INPUT], [given]))
    if column == ALL:
        graph.node.append(helper.make_node("Identity", [found], [OUTPUT]))
    else:
        graph.initializer.extend([helper.make_tensor("score_column", onnx.TensorProto.INT64, [], [column])])
        graph.node.append(helper.make_node("Gather", [found, "score_column"], [OUTPUT], axis=1))
    del graph.input[:]
    del graph.output[:]
    graph.input.extend([helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, [None, width])])
    graph.output.extend([helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, [None, n_outputs] if column == ALL else [None])])
    _drop_unused(graph)
    _forget_origin(model)
    return checked_graph(model)


Link = Literal["none", "sigmoid", "softmax", "exp", "signed_square"]
_OPERATORS: Final[dict[str, tuple[str, dict[str, int]]]] = {
    "sigmoid": ("Sigmoid", {}),
    "softmax": ("Softmax", {"axis": 1}),
    "exp": ("Exp", {}),
}


def tree_graph(
    columns: Mapping[str, Sequence[Any]],
    n_features: int,
    *,
    link: Link = "none",
    scale: float = 1.0,
    base: Sequence[float] = (0.0,),
    exact: bool = False,
) -> bytes:
    """Build a graph of the common shape from the attributes of one TreeEnsembleRegressor.

    Parameters
    ----------
    base : added to the sum of leaves of each output; as many as there are outputs
    link, scale : the score is link(scale * sum)
    exact : rows come as float64 and are compared so
    """
    onnx = require("onnx", extra="train")
    helper = onnx.helper
    n_outputs = len(base)
    trees: dict[str, Any] = {**columns, "n_targets": n_outputs, **({"base_values": list(base)} if any(base) else {})}
    if exact:
        for name in ("nodes_values", "target_weights", "base_values"):
            if name in trees:
                values = trees.pop(name)
                trees[f"{name}_as_tensor"] = helper.make_tensor(name, onnx.TensorProto.DOUBLE, [len(values)], values)
    nodes = [helper.make_node("TreeEnsembleRegressor", [INPUT], ["sums"], domain="ai.onnx.ml", **trees)]
    constants = []
    last = "sums"
    if link != "none":
        constants.append(helper.make_tensor("scale", onnx.TensorProto.FLOAT, [], [scale]))
        nodes.append(helper.make_node("Mul", ["sums", "scale"], ["scaled"]))
        nodes += _linked(helper, link)
        last = "linked"
    if n_outputs == 1:
        constants.append(helper.make_tensor("score_column", onnx.TensorProto.INT64, [], [0]))
        nodes.append(helper.make_node("Gather", [last, "score_column"], [OUTPUT], axis=1))
    else:
        nodes.append(helper.make_node("Identity", [last], [OUTPUT]))
    given = helper.make_tensor_value_info(INPUT, onnx.TensorProto.DOUBLE if exact else onnx.TensorProto.FLOAT, [None, n_features])
    score = helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, [None] if n_outputs == 1 else [None, n_outputs])
    graph = helper.make_graph(nodes, "trees", [given], [score], constants)
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="sampan")
    return checked_graph(model)


def _linked(helper: Any, link: Link) -> list[Any]:
    if link == "signed_square":  # sign(x) * x * x, as LightGBM's reg_sqrt
        return [helper.make_node("Abs", ["scaled"], ["size"]), helper.make_node("Mul", ["scaled", "size"], ["linked"])]
    operator, attributes = _OPERATORS[link]
    return [helper.make_node(operator, ["scaled"], ["linked"], **attributes)]


class OnnxScorer:
    """Runs a graph of the common shape with one thread: answers do not depend on the machine's load or thread count."""

    def __init__(self, graph: bytes) -> None:
        self._session = open_session(graph)
        self._width = [each if isinstance(each, int) else 0 for each in self._session.get_outputs()[0].shape[1:]]

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the scores, shape (n,), or (n, m) of m classes."""
        if not len(features):
            return np.empty((0, *self._width))
        (scores,) = self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(features, dtype=np.float32)})
        return np.asarray(scores, dtype=np.float64)


def open_session(graph: bytes) -> Any:
    """Open a graph to be run with one thread.

    Raises
    ------
    IntegrityError : the runtime does not take it.
    """
    ort = require("onnxruntime", extra="train")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as cause:  # the runtime's own error classes are not public
        raise IntegrityError(f"the ONNX graph cannot be loaded: {cause}", hint="pack the model again") from cause


def checked_graph(model: Any) -> bytes:
    """Return a graph's bytes, the same for the same graph. Raises Unsupported where it breaks a rule of ONNX."""
    onnx = require("onnx", extra="train")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as cause:
        reason = str(cause).partition("\n")[0][:200]
        raise Unsupported(f"the converted graph is not valid: {reason}", hint="the model is served natively, slower") from cause
    return bytes(model.SerializeToString(deterministic=True))


def _forget_origin(model: Any) -> None:
    """Leave out what an exporter notes of the source: file names and lines, which make the same model differ from folder to folder."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.graph.doc_string = ""
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


def _drop_unused(graph: Any) -> None:
    """Leave out nodes that do not lead to the score, such as the predicted class."""
    needed, kept = {OUTPUT}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    initializers = [i for i in graph.initializer if i.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(initializers)
