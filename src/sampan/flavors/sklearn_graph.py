"""scikit-learn pipelines as one ONNX graph, built here: transformers and estimators by what they learned, computed in double.

Each kind has a function that writes its nodes (`sklearn_transformers.py`, `sklearn_estimators.py`, `sklearn_texts.py`). What none knows is
converted by skl2onnx and put in the place it has; the public converter is silently wrong for some, so a graph is used only after the parity
gate has seen it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import numpy as np

from sampan.errors import Unsupported
from sampan.flavors.onnx_graph import INPUT, OUTPUT, checked_graph
from sampan.plugins import require
from sampan.table.graph_writer import DOUBLE, FLOAT, ML, Block, Writer, joined

Build = Callable[..., Any]  # build(estimator, frame) -> Frame of a transformer, Block of an estimator's answers
_OPSET: Final = {"": 21, ML: 3}
# The public converter's graphs of these are right for most rows and silently wrong for some: a gate may not meet those.
_NEVER: Final = ("KNNImputer",)
_KNOWN: Final[dict[str, dict[str, Build]]] = {"transform": {}, "answer": {}, "decide": {}}


@dataclass(frozen=True, slots=True)
class Frame:
    """What goes into a step: blocks of columns side by side, with names where they came with some."""

    blocks: tuple[Block, ...]
    names: tuple[str, ...] = ()
    is_single: bool = False  # scikit-learn keeps these numbers as float32, and rounds after every operation

    @property
    def width(self) -> int:
        """How many columns there are."""
        return sum(block.width for block in self.blocks)

    @property
    def numbers(self) -> Block:
        """All columns as one block. Raises Unsupported where some are text."""
        return joined(self.blocks)

    def each(self) -> list[Block]:
        """Return every column as a block of its own."""
        return [block.columns([place]) for block in self.blocks for place in range(block.width)]

    def take(self, places: Sequence[int]) -> Frame:
        """Take columns, in this order; neighbors of one block come as one."""
        home = [(number, place) for number, block in enumerate(self.blocks) for place in range(block.width)]
        runs: list[tuple[int, list[int]]] = []
        for number, place in (home[each] for each in places):
            if runs and runs[-1][0] == number:
                runs[-1][1].append(place)
            else:
                runs.append((number, [place]))
        names = tuple(self.names[each] for each in places) if self.names else ()
        return Frame(tuple(self.blocks[number].columns(run) for number, run in runs), names, self.is_single)

    def made(self, *blocks: Block) -> Frame:
        """Return what a step makes of these columns, of the same precision."""
        return Frame(blocks, is_single=self.is_single)

    def rounded(self, block: Block) -> Block:
        """Round as scikit-learn does after an operation in place."""
        return block.of(block.writer.node("Cast", block.as_float32(), to=DOUBLE)) if self.is_single else block

    def places(self, columns: Any) -> list[int]:
        """Return the places of columns as scikit-learn names them: names, numbers, a mask, a slice."""
        if isinstance(columns, slice):
            if isinstance(columns.start, str) or isinstance(columns.stop, str):
                raise Unsupported("columns named by a slice of names", hint="list their names")
            return list(range(self.width))[columns]
        listed = [columns] if isinstance(columns, str | int) else list(columns)
        if listed and isinstance(listed[0], bool | np.bool_):
            return [int(each) for each in np.flatnonzero(listed)]
        return [self.names.index(each) if isinstance(each, str) else int(each) % self.width for each in listed]


Given = TypeVar("Given", bound=Build)


def knows(what: str, *names: str) -> Callable[[Given], Given]:
    """Register the function that writes the nodes of these classes: of what they transform, answer or decide."""

    def register(build: Given) -> Given:
        for name in names:
            _KNOWN[what][name] = build
        return build

    return register


def transform(step: Any, frame: Frame) -> Frame:
    """Write a fitted transformer."""
    if step is None or step == "passthrough":
        return frame
    found = _find("transform", step)
    if found is not None:
        return cast(Frame, found(step, frame))
    given = frame.blocks[0] if len(frame.blocks) == 1 else frame.numbers
    return frame.made(converted(step, given))


def answer(estimator: Any, frame: Frame) -> Block:
    """Write a fitted estimator: a column for each class, or one of numbers."""
    found = _find("answer", estimator)
    if found is not None:
        return cast(Block, found(estimator, frame))
    return converted(estimator, frame.numbers)


def decide(estimator: Any, frame: Frame) -> Block:
    """Write a classifier's decision function, shape (n, 1) for two classes. Raises Unsupported for one it is not known of."""
    found = _find("decide", estimator)
    if found is None:
        raise Unsupported(f"the decision of {type(estimator).__name__} has no counterpart in ONNX")
    return cast(Block, found(estimator, frame))


def graph_of_matrix(estimator: Any, n_features: int) -> bytes:
    """Build a graph of the common shape: float32 features in, score out."""
    writer = Writer()
    given = Block(writer, writer.node("Cast", INPUT, to=DOUBLE), n_features)
    return _finished(writer, answer(estimator, Frame((given,), is_single=True)), [(INPUT, FLOAT, [None, n_features])])


def graph_of_table(estimator: Any, columns: Mapping[str, tuple[str, int]], tensors: Mapping[str, tuple[int, int]]) -> bytes:
    """Build a graph from named columns.

    Parameters
    ----------
    columns : for each column of the estimator, in its order, the input tensor it is in and its place there
    tensors : for each input tensor its type and width
    """
    writer = Writer()
    blocks = []
    for tensor, place in columns.values():
        kind, width = tensors[tensor]
        blocks.append(Block(writer, tensor, width, is_text=kind != DOUBLE).columns([place]))
    frame = Frame(tuple(blocks), tuple(columns))
    return _finished(writer, answer(estimator, frame), [(name, kind, [None, width]) for name, (kind, width) in tensors.items()])


def converted(step: Any, given: Block) -> Block:
    """Convert a step with skl2onnx and write its graph in place. Raises Unsupported where it cannot."""
    refuse_known_wrong(step)
    if given.is_text:
        raise Unsupported(f"{type(step).__name__} has no counterpart in ONNX", hint="it is served natively, slower")
    skl2onnx = require("skl2onnx", extra="train")
    onnx = require("onnx", extra="train")
    data_types = require("skl2onnx.common.data_types", extra="train")
    options = {id(step): {"zipmap": False}} if hasattr(step, "predict_proba") else None
    types = [("given", data_types.FloatTensorType([None, given.width]))]
    try:
        model = skl2onnx.to_onnx(step, initial_types=types, options=options, target_opset=_OPSET)
    except Exception as cause:  # converters raise anything
        reason = str(cause).split("\n", 1)[0][:200]  # some print the whole model
        hint = "it is served natively, slower"
        raise Unsupported(f"{type(step).__name__} cannot be converted to ONNX: {reason}", hint=hint) from cause
    floats = [each.name for each in model.graph.output if each.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    if not floats:
        raise Unsupported(f"{type(step).__name__} gives no numbers in ONNX", hint="it is served natively, slower")
    result = inlined(given.writer, model, {"given": given.as_float32()})[floats[-1]]
    width = len(step.classes_) if options else _width_of(step, given.width)
    return given.of(given.writer.node("Cast", result, to=DOUBLE), width)


def refuse_known_wrong(estimator: Any) -> None:
    """Raise Unsupported for an estimator with a part in it that the public converter gets wrong for some rows."""
    parts = [step for _, step in getattr(estimator, "steps", ())] or [estimator]
    for part in parts:
        inner = [step for _, step, _ in getattr(part, "transformers_", ())]
        for each in (part, *inner):
            if type(each).__name__ in _NEVER:
                raise Unsupported(
                    f"{type(each).__name__} is not exported: its graph would be wrong for some rows", hint="it is served natively"
                )
            if each is not estimator:
                refuse_known_wrong(each)


def inlined(writer: Writer, model: Any, given: Mapping[str, str]) -> dict[str, str]:
    """Write a graph's nodes into another; return the names its outputs have there."""
    if model.functions or any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute):
        raise Unsupported("a graph with functions or graphs in it")
    names = dict(given)

    def named(name: str) -> str:
        return names.setdefault(name, writer.fresh()) if name else ""

    for constant in model.graph.initializer:
        constant.name = named(constant.name)
        writer.constants.append(constant)
    for node in model.graph.node:
        node.input[:] = [named(each) for each in node.input]
        node.output[:] = [named(each) for each in node.output]
        node.name = ""
        writer.nodes.append(node)
    for opset in model.opset_import:
        writer.opsets[opset.domain] = max(writer.opsets.get(opset.domain, 0), opset.version)
    return {each.name: names[each.name] for each in model.graph.output}


def _find(what: str, step: Any) -> Build | None:
    from sampan.flavors import sklearn_estimators, sklearn_texts, sklearn_transformers  # noqa: F401  # each registers what it knows

    kind = type(step)
    if not kind.__module__.startswith("sklearn."):
        return _FOREIGN.get(what, {}).get(kind.__module__.partition(".")[0])
    return _KNOWN[what].get(kind.__name__)


_FOREIGN: Final[dict[str, dict[str, Build]]] = {"answer": {}}


def knows_library(name: str) -> Callable[[Given], Given]:
    """Register the function that writes the estimators of another library."""

    def register(build: Given) -> Given:
        _FOREIGN["answer"][name] = build
        return build

    return register


def _finished(writer: Writer, found: Block, given: Sequence[tuple[str, int, list[Any]]]) -> bytes:
    """Give the score of two classes, of all, or the number its place: see `onnx_graph`."""
    answers = found.columns([1]) if found.width == 2 else found
    result = answers.as_float32()
    if answers.width == 1:
        writer.output(OUTPUT, result, "Squeeze", writer.constant(np.array([1]), 7))
    else:
        writer.output(OUTPUT, result)
    shape = [None] if answers.width == 1 else [None, answers.width]
    return checked_graph(writer.model("pipeline", given, [(OUTPUT, FLOAT, shape)]))


def _width_of(step: Any, width: int) -> int:
    """Find how many columns a transformer gives."""
    if not hasattr(step, "transform"):
        return 1
    return int(np.asarray(step.transform(np.zeros((1, width), np.float32))).shape[1])
