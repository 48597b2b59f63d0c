"""An ONNX graph of the common shape read as a program for one row.

The batch dimension is taken as 1, so that every shape is known. What only places numbers anew (reshape, slice, transpose, concatenate) is
done on an array of element numbers and costs nothing; steps are written only for what computes. What depends on no feature is computed
here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.edge.elementwise import EXPRESSIONS, FLAGS
from sampan.edge.program import Buffer, Elementwise, Kind, Move, Operand, Program, Reduce, Softmax, Step, Trees, reads
from sampan.edge.reading_trees import ReadTrees, read_classifier, read_regressor
from sampan.errors import IntegrityError, Unsupported
from sampan.plugins import require

MAX_ELEMENTS: Final = 1 << 22  # of one value: what is larger is for no board
_REDUCTIONS: Final = {
    "ReduceSum": "sum",
    "ReduceMean": "mean",
    "ReduceMax": "max",
    "ReduceMin": "min",
    "ReduceProd": "product",
    "ReduceL1": "norm1",
    "ReduceL2": "norm2",
    "ReduceLogSumExp": "",
    "ReduceSumSquare": "",
}
# Attributes that stand where later versions of the operation have inputs, or as further operands.
_EXTRA_OPERANDS: Final[dict[str, tuple[tuple[str, float], ...]]] = {
    "LeakyRelu": (("alpha", 0.01),),
    "Elu": (("alpha", 1.0),),
    "Selu": (("alpha", 1.67326319), ("gamma", 1.05070102)),
    "HardSigmoid": (("alpha", 0.2), ("beta", 0.5)),
}


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A value that depends on the features: which element of which buffer stands in each place."""

    elements: NDArray[np.int64]


_TYPES: Final = {"float": np.float32, "double": np.float64}
Value = Row | NDArray[Any]
Attributes = Mapping[str, Any]


def read_transform(graph_bytes: bytes, output: str = "features") -> Program:
    """Read the part of a package's whole graph that makes features of what a request says: `num`, `cat` in, `features` out.

    Raises
    ------
    Unsupported, IntegrityError : as `read_program`.
    """
    return _read(graph_bytes, output, has_doubles=True)


def read_program(graph_bytes: bytes, *, has_doubles: bool = False) -> Program:
    """Read a graph from features to the answer.

    Parameters
    ----------
    has_doubles : keep float64 where the graph computes in it, between layers and trees; small processors are slow at it

    Raises
    ------
    Unsupported : it has an operation no code is generated for; the message names all of them.
    IntegrityError : it is no ONNX graph.
    """
    return _read(graph_bytes, "", has_doubles=has_doubles)


def _read(graph_bytes: bytes, output: str, *, has_doubles: bool) -> Program:
    onnx = require("onnx", extra="train")
    try:
        model = onnx.load_from_string(graph_bytes)
    except Exception as cause:  # protobuf's own error class is private to its implementation
        raise IntegrityError(f"the ONNX graph cannot be read: {cause}", hint="pack the model again") from cause
    if output:
        _keep_only(model.graph, output)
    reader = Reader(model, has_doubles=has_doubles)
    unknown = sorted({node.op_type for node in model.graph.node if not reader.knows(node.op_type)})
    if unknown:
        what = "words of free text" if "Tokenizer" in unknown else ", ".join(unknown)
        raise Unsupported(f"no C code is generated for {what}", hint="sampan pack MODEL --target oci serves it whole")
    return reader.read()


class Reader:
    """Walks a graph once. Layers add their operations through `sampan.edge.reading_layers`.

    Without doubles all numbers are float32, also where a model's graph computes in float64 on the way: small processors have no doubles,
    and what the generated code answers is compared with the package.
    """

    def __init__(self, model: Any, *, has_doubles: bool = False) -> None:
        from sampan.edge.reading_layers import LAYERS
        from sampan.edge.reading_texts import TEXTS

        self._onnx = require("onnx", extra="train")
        self._model = model
        self._has_doubles = has_doubles
        self.values: dict[str, Value] = {"": np.empty(0)}
        self.steps: list[Step] = []
        self._starts: list[int] = []  # of each buffer, in the numbering of elements
        self._buffers: list[Buffer] = []
        self._operations: dict[str, Callable[[Reader, Any, Attributes], None]] = {**_OPERATIONS, **LAYERS, **TEXTS}

    def knows(self, operation: str) -> bool:
        """Say whether the operation can be read."""
        return operation in self._operations or operation in EXPRESSIONS or operation in _REDUCTIONS or operation in _FOLDED

    def read(self) -> Program:
        """Return the program, without steps that lead nowhere."""
        graph = self._model.graph
        given = [self._input(each) for each in graph.input]
        numbers, texts = [b for b in given if b.kind != "text"], [b for b in given if b.kind == "text"]
        if len(numbers) > 1 or len(texts) > 1 or len(graph.output) != 1:
            raise Unsupported("the graph has several inputs or outputs", hint="pack the model again")
        for constant in graph.initializer:
            self._know(constant.name, self._onnx.numpy_helper.to_array(constant))
        for node in graph.node:
            self._node(node)
        out = self.whole(self.value(graph.output[0].name))
        first = numbers[0] if numbers else Buffer(-1, 0, "double")
        return Program(first, out, tuple(_needed(self.steps, out)), texts[0] if texts else None)

    def _input(self, given: Any) -> Buffer:
        kinds = self._onnx.TensorProto
        shape = [d.dim_value or 1 for d in given.type.tensor_type.shape.dim]
        found: dict[int, Kind] = {kinds.FLOAT: "float", kinds.DOUBLE: "double", kinds.STRING: "text"}
        kind = found.get(given.type.tensor_type.elem_type)
        if kind is None:
            raise Unsupported(f"the graph's input {given.name} is neither a number nor a text", hint="pack the model again")
        made = self.buffer(int(np.prod(shape)), kind)
        self.values[given.name] = self.row(made, (1, *shape[1:]))
        return made

    def _node(self, node: Any) -> None:
        attributes = {a.name: _plain(self._onnx.helper.get_attribute_value(a), self._onnx) for a in node.attribute}
        if all(isinstance(self.values[name], np.ndarray) for name in node.input):
            self._fold(node)
        elif node.op_type in self._operations:
            self._operations[node.op_type](self, node, attributes)
        elif node.op_type in _REDUCTIONS:
            self._reduce(node, attributes)
        elif node.op_type in EXPRESSIONS:
            extra = [np.float32(attributes.get(name, default)) for name, default in _EXTRA_OPERANDS.get(node.op_type, ())]
            self.elementwise(node, node.op_type, [*(self.values[name] for name in node.input), *map(np.asarray, extra)])
        else:
            raise Unsupported(f"{node.op_type} of a feature is not generated", hint="sampan pack MODEL --target oci serves it whole")

    def _fold(self, node: Any) -> None:
        """Compute what depends on no feature."""
        from onnx.reference import ReferenceEvaluator

        given = {name: value for name in node.input if name and isinstance(value := self.values[name], np.ndarray)}
        helper = self._onnx.helper
        infos = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for name, v in given.items()]
        outs = [helper.make_empty_tensor_value_info(name) for name in node.output]
        model = helper.make_model(helper.make_graph([node], "folded", infos, outs), opset_imports=self._model.opset_import)
        for name, found in zip(node.output, ReferenceEvaluator(model).run(None, given), strict=True):
            self._know(name, np.asarray(found))

    def _know(self, name: str, constant: NDArray[Any]) -> None:
        narrow = constant.dtype == np.float64 and not self._has_doubles
        self.values[name] = constant.astype(np.float32) if narrow else constant

    # What operations are written with.

    def value(self, name: str) -> Row:
        """Return a value that depends on the features; a constant is written into a buffer."""
        found = self.values[name]
        if isinstance(found, Row):
            return found
        kind: Kind = "double" if found.dtype == np.float64 else "float"
        out = self.buffer(found.size, kind)
        self.steps.append(Elementwise("Identity", (np.ascontiguousarray(found, _TYPES[kind]).ravel(),), out))
        return self.row(out, found.shape)

    def constant(self, name: str, what: str) -> NDArray[Any]:
        """Return a constant. Raises Unsupported where it depends on the features."""
        found = self.values[name]
        if isinstance(found, Row):
            raise Unsupported(
                f"{what} that depends on the features is not generated", hint="sampan pack MODEL --target oci serves it whole"
            )
        return found

    def buffer(self, size: int, kind: Kind = "float") -> Buffer:
        """Make a new buffer."""
        if size > MAX_ELEMENTS:
            raise Unsupported(f"a value of {size:,} numbers is too large for a board", hint="use a smaller model")
        self._starts.append(self._starts[-1] + self._buffers[-1].size if self._buffers else 0)
        self._buffers.append(Buffer(len(self._buffers), size, kind))
        return self._buffers[-1]

    def row(self, buffer: Buffer, shape: Sequence[int]) -> Row:
        """Return a buffer's elements in a shape."""
        start = self._starts[buffer.number]
        return Row(np.arange(start, start + buffer.size).reshape(shape))

    def sources(self, row: Row) -> NDArray[np.int64]:
        """Return the number of the buffer that holds each element."""
        found: NDArray[np.int64] = np.searchsorted(self._starts, row.elements.ravel(), side="right") - 1
        return found

    def kind(self, row: Row) -> Kind:
        """Return what the elements are; doubles where any is one."""
        kinds = {self._buffers[n].kind for n in np.unique(self.sources(row)).tolist()}
        return "text" if "text" in kinds else "double" if "double" in kinds else "float"

    def place(self, row: Row) -> tuple[Buffer, int]:
        """Return where a single element is."""
        (element,) = row.elements.ravel().tolist()
        source = int(self.sources(row)[0])
        return self._buffers[source], element - self._starts[source]

    def floats(self, row: Row) -> Buffer:
        """Return the elements as float32, for layers and trees."""
        if self.kind(row) != "double":
            return self.whole(row)
        return self.whole(self.cast(row, "float"))

    def cast(self, row: Row, kind: Kind) -> Row:
        """Write a step that turns numbers into another type."""
        if self.kind(row) == kind or not self._has_doubles:
            return row
        out = self.buffer(row.elements.size, kind)
        self.steps.append(Elementwise("Identity", (self.whole(row),), out))
        return self.row(out, row.elements.shape)

    def whole(self, row: Row) -> Buffer:
        """Return the buffer that holds exactly these elements in this order; they are moved into one where none does."""
        wanted = row.elements.ravel()
        sources = self.sources(row)
        first = self._buffers[int(sources[0])]
        if first.size == wanted.size and np.array_equal(wanted, self.row(first, (-1,)).elements):
            return first
        out = self.buffer(wanted.size, self.kind(row))
        bounds = [0, *(np.flatnonzero(np.diff(sources)) + 1).tolist(), wanted.size]
        pieces = []
        for low, high in pairwise(bounds):
            source = int(sources[low])
            pieces.append((self._buffers[source], wanted[low:high] - self._starts[source]))
        self.steps.append(Move(tuple(pieces), out))
        return out

    def longest_text(self) -> int:
        """Return how many bytes the longest text has that the graph knows."""
        known = [each for node in self._model.graph.node for a in node.attribute if a.name == "keys_strings" for each in a.strings]
        known += [each for constant in self._model.graph.initializer for each in constant.string_data]
        return max(map(len, known), default=0)

    def put(self, node: Any, found: Row, output: int = 0) -> None:
        """Name an answer of a node."""
        self.values[node.output[output]] = found

    def elementwise(self, node: Any, operation: str, values: Sequence[Value], output: int = 0) -> None:
        """Write one step for an operation on numbers; operands are brought to one shape."""
        self.put(node, self.computed(operation, values), output)

    def computed(self, operation: str, values: Sequence[Value]) -> Row:
        """Write a step for an operation on numbers; more than two operands of Max, Min and the like are taken one by one."""
        if operation in ("Max", "Min", "Sum") and len(values) != 2:
            first, *rest = values
            for each in rest:
                first = self.computed("Add" if operation == "Sum" else operation, [first, each])
            return first if isinstance(first, Row) else self.computed("Identity", [first])
        shapes = [v.elements.shape if isinstance(v, Row) else v.shape for v in values]
        shape = np.broadcast_shapes(*shapes)
        operands = [self._operand(v, shape) for v in values]
        numbers = values[1:] if operation == "Where" else values
        kinds = [self.kind(v) if isinstance(v, Row) else "double" if v.dtype == np.float64 else "float" for v in numbers]
        out = self.buffer(int(np.prod(shape)), "double" if "double" in kinds and operation not in FLAGS else "float")
        self.steps.append(Elementwise(operation, tuple(operands), out))
        return self.row(out, shape)

    def _operand(self, value: Value, shape: tuple[int, ...]) -> Operand:
        if isinstance(value, Row):
            return self.whole(value if value.elements.size == 1 else Row(np.broadcast_to(value.elements, shape)))
        given = value if value.dtype == np.float64 else np.asarray(value, np.float32)
        if given.size and (given == given.flat[0]).all():
            return given.ravel()[:1]
        return np.ascontiguousarray(np.broadcast_to(given, shape)).ravel()

    def _reduce(self, node: Any, attributes: Attributes) -> None:
        given = self.value(node.input[0]).elements
        told = attributes.get("axes") if len(node.input) < 2 else self.constant(node.input[1], "an axis").tolist()
        axes = sorted(a % given.ndim for a in (told or range(given.ndim)))
        rest = [a for a in range(given.ndim) if a not in axes]
        kept = [1 if a in axes else given.shape[a] for a in range(given.ndim)]
        lines = given.transpose([*rest, *axes]).reshape(int(np.prod([given.shape[a] for a in rest])), -1)
        found = self._reduced(node.op_type, Row(lines))
        self.put(node, Row(found.elements.reshape(kept if attributes.get("keepdims", 1) else [given.shape[a] for a in rest])))

    def _reduced(self, operation: str, lines: Row) -> Row:
        """Reduce each line to one number."""
        if operation == "ReduceLogSumExp":
            most = Row(self._reduced("ReduceMax", lines).elements[:, None])
            powers = self.computed("Exp", [self.computed("Sub", [lines, most])])
            logs = self.computed("Log", [self._reduced("ReduceSum", powers)])
            return self.computed("Add", [logs, Row(most.elements[:, 0])])
        if operation == "ReduceSumSquare":
            return self._reduced("ReduceSum", self.computed("Mul", [lines, lines]))
        out = self.buffer(len(lines.elements), self.kind(lines))
        self.steps.append(Reduce(_REDUCTIONS[operation], self.whole(lines), out))
        return self.row(out, (out.size,))


def _plain(value: Any, onnx: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if type(value).__name__ == "TensorProto":
        return onnx.numpy_helper.to_array(value)
    return value


def _keep_only(graph: Any, output: str) -> None:
    """Leave out what does not lead to one output."""
    wanted, kept = {output}, []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    outputs = [each for each in graph.output if each.name == output]
    if not outputs:
        raise IntegrityError(f"the graph has no output {output!r}", hint="pack the model again")
    for items, chosen in ((graph.node, kept[::-1]), (graph.output, outputs)):
        del items[:]
        items.extend(chosen)


def _needed(steps: Sequence[Step], out: Buffer) -> list[Step]:
    """Keep what leads to the answer."""
    wanted, kept = {out.number}, []
    for step in reversed(steps):
        if step.out.number in wanted:
            kept.append(step)
            wanted |= {b.number for b in reads(step)}
    return kept[::-1]


# Operations that only place elements anew.


def _placed(change: Callable[[Reader, NDArray[np.int64], Any, Attributes], NDArray[np.int64]]) -> Callable[[Reader, Any, Attributes], None]:
    def read(reader: Reader, node: Any, attributes: Attributes) -> None:
        reader.put(node, Row(np.asarray(change(reader, reader.value(node.input[0]).elements, node, attributes))))

    return read


def _reshape(reader: Reader, given: NDArray[np.int64], node: Any, attributes: Attributes) -> NDArray[np.int64]:
    wanted = reader.constant(node.input[1], "a shape").tolist()
    return given.reshape([given.shape[n] if size == 0 and not attributes.get("allowzero") else size for n, size in enumerate(wanted)])


def _flatten(_: Reader, given: NDArray[np.int64], _node: Any, attributes: Attributes) -> NDArray[np.int64]:
    axis = attributes.get("axis", 1)
    return given.reshape(int(np.prod(given.shape[:axis])), -1)


def _axes(reader: Reader, node: Any, attributes: Attributes) -> list[int] | None:
    if len(node.input) > 1:
        found: list[int] = reader.constant(node.input[1], "an axis").tolist()
        return found
    return attributes.get("axes")


def _squeeze(reader: Reader, given: NDArray[np.int64], node: Any, attributes: Attributes) -> NDArray[np.int64]:
    axes = _axes(reader, node, attributes)
    return given.squeeze(None if axes is None else tuple(axes))


def _unsqueeze(reader: Reader, given: NDArray[np.int64], node: Any, attributes: Attributes) -> NDArray[np.int64]:
    return np.expand_dims(given, tuple(_axes(reader, node, attributes) or ()))


def _gather(reader: Reader, given: NDArray[np.int64], node: Any, attributes: Attributes) -> NDArray[np.int64]:
    return given.take(reader.constant(node.input[1], "an index").astype(np.int64), axis=attributes.get("axis", 0))


def _extract(reader: Reader, given: NDArray[np.int64], node: Any, _: Attributes) -> NDArray[np.int64]:
    return given.take(reader.constant(node.input[1], "an index").astype(np.int64).ravel(), axis=-1)


def _slice(reader: Reader, given: NDArray[np.int64], node: Any, _: Attributes) -> NDArray[np.int64]:
    told = [reader.constant(name, "a slice").astype(np.int64).tolist() if name else None for name in node.input[1:]]
    starts, ends, axes, steps = (*told, None, None)[:4]
    assert starts is not None
    assert ends is not None
    cut = [slice(None)] * given.ndim
    for n, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis, step = axes[n] if axes else n, steps[n] if steps else 1
        cut[axis] = slice(start, None if step < 0 and end < -given.shape[axis] else end, step)
    return given[tuple(cut)]


def _concat(reader: Reader, node: Any, attributes: Attributes) -> None:
    parts = [reader.value(name).elements for name in node.input]
    reader.put(node, Row(np.concatenate(parts, axis=attributes["axis"])))


def _split(reader: Reader, node: Any, attributes: Attributes) -> None:
    given, axis = reader.value(node.input[0]).elements, attributes.get("axis", 0)
    sizes = reader.constant(node.input[1], "a size").tolist() if len(node.input) > 1 else attributes.get("split")
    n = len(node.output)
    places: Any = np.cumsum(sizes)[:-1] if sizes else n
    for output, part in enumerate(np.array_split(given, places, axis=axis) if sizes is None else np.split(given, places, axis=axis)):
        reader.put(node, Row(part), output)


def _shape(reader: Reader, node: Any, _: Attributes) -> None:
    reader.values[node.output[0]] = np.array(reader.value(node.input[0]).elements.shape, np.int64)


def _same(_: Reader, given: NDArray[np.int64], *_rest: Any) -> NDArray[np.int64]:
    return given


def _transpose(_: Reader, given: NDArray[np.int64], _node: Any, attributes: Attributes) -> NDArray[np.int64]:
    return given.transpose(attributes.get("perm"))


def _expand(reader: Reader, given: NDArray[np.int64], node: Any, _: Attributes) -> NDArray[np.int64]:
    return np.broadcast_to(given, np.broadcast_shapes(given.shape, tuple(reader.constant(node.input[1], "a shape").tolist())))


def _cast(reader: Reader, node: Any, attributes: Attributes) -> None:
    onnx = require("onnx", extra="train")
    kinds = onnx.TensorProto
    given = reader.value(node.input[0])
    if attributes["to"] in (kinds.FLOAT, kinds.DOUBLE):
        reader.put(node, reader.cast(given, "float" if attributes["to"] == kinds.FLOAT else "double"))
    elif attributes["to"] == kinds.BOOL:
        equal = reader.computed("Equal", [given, np.zeros(1, np.float32)])  # NaN is true
        reader.elementwise(node, "Not", [equal])
    elif attributes["to"] in (kinds.INT64, kinds.INT32, kinds.UINT8, kinds.INT8):
        sign = reader.computed("Sign", [given])
        reader.elementwise(node, "Mul", [sign, reader.computed("Floor", [reader.computed("Abs", [given])])])
    else:
        raise Unsupported("a cast to text or another kind of number is not generated", hint="keep the model's features numbers")


def _clip(reader: Reader, node: Any, attributes: Attributes) -> None:
    found: Row = reader.value(node.input[0])
    for place, word, operation in ((1, "min", "Max"), (2, "max", "Min")):
        bound = reader.values[node.input[place]] if len(node.input) > place and node.input[place] else attributes.get(word)
        if bound is not None:
            found = reader.computed(operation, [found, bound if isinstance(bound, Row) else np.asarray(bound, np.float32)])
    reader.put(node, found)


def _many(reader: Reader, node: Any, _: Attributes) -> None:
    reader.elementwise(node, node.op_type, [reader.values[name] for name in node.input])


def _softmax(reader: Reader, node: Any, attributes: Attributes) -> None:
    given = reader.value(node.input[0]).elements
    axis = attributes.get("axis", -1) % given.ndim
    moved = np.moveaxis(given, axis, -1)
    source = reader.floats(Row(moved))
    out = reader.buffer(source.size)
    reader.steps.append(Softmax(source, out, given.shape[axis]))
    reader.put(node, Row(np.moveaxis(reader.row(out, moved.shape).elements, -1, axis)))


def _tree_sums(reader: Reader, node: Any, read: ReadTrees) -> Row:
    given = reader.floats(reader.value(node.input[0]))
    out = reader.buffer(read.base.size)
    reader.steps.append(Trees(given, out, read.trees, read.base))
    return reader.row(out, (1, read.base.size))


def transformed(reader: Reader, sums: Row, how: str) -> Row:
    """Apply a post-transform of ONNX's ML operations."""
    if how == "LOGISTIC":
        return reader.computed("Sigmoid", [sums])
    if how == "SOFTMAX":
        source = reader.floats(sums)
        out = reader.buffer(source.size)
        reader.steps.append(Softmax(source, out, sums.elements.shape[-1]))
        return reader.row(out, sums.elements.shape)
    if how != "NONE":
        raise Unsupported(f"the post-transform {how} is not generated", hint="sampan pack MODEL --target oci serves it whole")
    return sums


def _tree_regressor(reader: Reader, node: Any, attributes: Attributes) -> None:
    read = read_regressor(attributes)
    reader.put(node, transformed(reader, _tree_sums(reader, node, read), read.transform))


def _tree_classifier(reader: Reader, node: Any, attributes: Attributes) -> None:
    read = read_classifier(attributes)
    sums = _tree_sums(reader, node, read)
    if not read.second_class:
        reader.put(node, transformed(reader, sums, read.transform), 1)
        return
    first = np.ones(1, np.float32) if read.second_class == "complement" else np.zeros(1, np.float32)
    parts = [reader.computed("Sub", [first, sums]), sums]
    scores = [transformed(reader, p, read.transform if read.transform != "SOFTMAX" else "NONE").elements for p in parts]
    reader.put(node, Row(np.concatenate(scores, axis=1)), 1)


def _arg_max(reader: Reader, node: Any, attributes: Attributes) -> None:
    given = reader.value(node.input[0]).elements
    axis = attributes.get("axis", 0) % given.ndim
    if attributes.get("select_last_index"):
        raise Unsupported("ArgMax of the last of equals is not generated", hint="sampan pack MODEL --target oci serves it whole")
    lines = np.moveaxis(given, axis, -1)
    out = reader.buffer(int(np.prod(lines.shape[:-1])))
    reader.steps.append(Reduce("place", reader.floats(Row(lines)), out))
    kept = [1 if a == axis else size for a, size in enumerate(given.shape)]
    reader.put(node, reader.row(out, kept if attributes.get("keepdims", 1) else lines.shape[:-1]))


_FOLDED: Final = ("Constant", "ConstantOfShape", "Range", "Tile")
_OPERATIONS: Final[dict[str, Callable[[Reader, Any, Attributes], None]]] = {
    "ArgMax": _arg_max,
    "ArrayFeatureExtractor": _placed(_extract),
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Dropout": _placed(_same),
    "Expand": _placed(_expand),
    "Flatten": _placed(_flatten),
    "Gather": _placed(_gather),
    "Identity": _placed(_same),
    "Max": _many,
    "Min": _many,
    "Reshape": _placed(_reshape),
    "Shape": _shape,
    "Slice": _placed(_slice),
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _placed(_squeeze),
    "Sum": _many,
    "Transpose": _placed(_transpose),
    "TreeEnsembleClassifier": _tree_classifier,
    "TreeEnsembleRegressor": _tree_regressor,
    "Unsqueeze": _placed(_unsqueeze),
}
