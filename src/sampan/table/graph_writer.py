"""Writing an ONNX graph node by node, and blocks of columns that are computed with as matrices are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sampan.errors import Unsupported
from sampan.plugins import require

FLOAT, INT64, STRING, BOOL, DOUBLE = 1, 7, 8, 9, 11  # onnx.TensorProto's numbers
MISSING: Final = (
    "\ue000"  # stands for a missing text; of Unicode's private use area: no data holds it, and it survives every way a text travels
)
ML: Final = "ai.onnx.ml"
OPSETS: Final = {"": 21, ML: 3}
IR_VERSION: Final = 10


class Writer:
    """Collects a graph's nodes and constants; the same node asked for twice is written once."""

    def __init__(self) -> None:
        self._helper = require("onnx.helper", extra="train")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.opsets: dict[str, int] = dict(OPSETS)
        self._made: dict[Any, str] = {}

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node of one output; return the output's name."""
        key = (op, inputs, domain, repr(sorted(attributes.items())))
        if key not in self._made:
            self._made[key] = self.fresh()
            self.nodes.append(self._helper.make_node(op, inputs, [self._made[key]], domain=domain, **attributes))
        return self._made[key]

    def fresh(self) -> str:
        """Return a name that nothing has yet."""
        name = f"t{len(self._made)}"
        self._made[name] = name
        return name

    def constant(self, values: Any, kind: int = DOUBLE) -> str:
        """Add a constant; return its name."""
        array = np.asarray(values)
        # As bytes or text, since NaN differs from itself and -0 not from 0.
        key = ("constant", kind, array.shape, repr(array.tolist()) if array.dtype.hasobject or array.dtype.kind == "U" else array.tobytes())
        if key not in self._made:
            self._made[key] = f"c{len(self._made)}"
            flat = [str(each).encode() for each in array.ravel()] if kind == STRING else array.ravel().tolist()
            self.constants.append(self._helper.make_tensor(self._made[key], kind, array.shape, flat))
        return self._made[key]

    def model(self, name: str, given: Sequence[tuple[str, int, list[Any]]], made: Sequence[tuple[str, int, list[Any]]]) -> Any:
        """Return the graph as a model; inputs and outputs are told by name, type and shape."""
        ends = [[self._helper.make_tensor_value_info(*each) for each in side] for side in (given, made)]
        graph = self._helper.make_graph(self.nodes, name, *ends, self.constants)
        opsets = [self._helper.make_opsetid(domain, version) for domain, version in sorted(self.opsets.items())]
        return self._helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="sampan")

    def output(self, name: str, result: str, op: str = "Identity", *more: str) -> None:
        """Give a result the name of an output."""
        self.nodes.append(self._helper.make_node(op, [result, *more], [name]))


@dataclass(frozen=True, slots=True)
class Block:
    """Columns of one type in a graph, shape (n, width): numbers as double, or text."""

    writer: Writer
    name: str
    width: int
    is_text: bool = False

    def of(self, name: str, width: int | None = None) -> Block:
        """Return another block of numbers of the same graph."""
        return Block(self.writer, name, self.width if width is None else width)

    def columns(self, indices: Sequence[int]) -> Block:
        """Take columns, in this order."""
        if list(indices) == list(range(self.width)):
            return self
        taken = self.writer.node("Gather", self.name, self.writer.constant(np.asarray(indices, np.int64), INT64), axis=1)
        return Block(self.writer, taken, len(indices), self.is_text)

    def apply(self, op: str, *more: Block | Any, **attributes: Any) -> Block:
        """Apply an operation column by column; what is no block is a constant, one number or one for each column."""
        others = [each if isinstance(each, Block) else self.constant(each) for each in more]
        width = max([self.width, *(each.width for each in others)])
        return self.of(self.writer.node(op, self.name, *(each.name for each in others), **attributes), width)

    def constant(self, values: Any) -> Block:
        """Return a row of numbers as a block that fits every row."""
        row = np.asarray(values, np.float64).reshape(1, -1)
        return self.of(self.writer.constant(row), row.shape[1])

    def test(self, op: str, *more: Block | Any) -> Block:
        """Mark, as 1 or 0, where a test holds."""
        found = self.apply(op, *more)
        return found.of(self.writer.node("Cast", found.name, to=DOUBLE))

    def matmul(self, matrix: Any) -> Block:
        """Multiply rows by a matrix, shape (width, k)."""
        array = np.asarray(matrix, np.float64)
        return self.of(self.writer.node("MatMul", self.name, self.writer.constant(array)), array.shape[1])

    def reduce(self, op: str) -> Block:
        """Make one column of all: ReduceSum, ReduceMax and the like."""
        return self.of(self.writer.node(op, self.name, self.writer.constant(np.array([1]), INT64), keepdims=1), 1)

    def where(self, test: Block, other: Block | Any) -> Block:
        """Take `other` where the marks of a test are 1."""
        condition = self.writer.node("Cast", test.name, to=BOOL)
        fallback = other if isinstance(other, Block) else self.constant(other)
        width = max(self.width, test.width, fallback.width)
        return self.of(self.writer.node("Where", condition, fallback.name, self.name), width)

    def as_float32(self) -> str:
        """Return the columns as float32."""
        return self.writer.node("Cast", self.name, to=FLOAT)

    def __add__(self, other: Block | Any) -> Block:
        return self.apply("Add", other)

    def __sub__(self, other: Block | Any) -> Block:
        return self.apply("Sub", other)

    def __mul__(self, other: Block | Any) -> Block:
        return self.apply("Mul", other)

    def __truediv__(self, other: Block | Any) -> Block:
        return self.apply("Div", other)

    def __neg__(self) -> Block:
        return self.apply("Neg")


def joined(blocks: Sequence[Block]) -> Block:
    """Put blocks of numbers side by side."""
    if any(each.is_text for each in blocks):
        raise Unsupported("columns of text where numbers are computed with")
    if len(blocks) == 1:
        return blocks[0]
    writer = blocks[0].writer
    return Block(writer, writer.node("Concat", *(each.name for each in blocks), axis=1), sum(each.width for each in blocks))
