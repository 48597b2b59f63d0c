"""A fitted view as an ONNX graph: what a request says goes in, the model's matrix comes out.

Two tensors go in, one for each type: `num`, float64 (n, k), for numbers, flags (1 or 0) and moments (milliseconds since 1970 UTC), NaN
where missing; `cat`, text (n, m), `MISSING` where missing. A column is a field of the request, or what a store answers for it (a lookup,
the newest weather, a past): such a value is fetched before, and stands among the inputs by its name. `features`, float32 (n, features),
comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.errors import Unsupported
from sampan.features.encoding import Encoder
from sampan.features.fitted import FittedView
from sampan.features.nodes import Apply, AsOf, Column, Fetched, Kind, Lookup, Moment, Node, Past, Planned, walk
from sampan.features.nodes import Literal as Constant
from sampan.features.operations import OPERATIONS, kind_of
from sampan.features.terms import composed
from sampan.features.text_graph import text_columns
from sampan.features.texts import TextEncoder
from sampan.features.traced import Traced, choose, distance_to
from sampan.table.graph_writer import BOOL, DOUBLE, FLOAT, MISSING, ML, STRING, Writer

NUMBERS, TEXTS, OUTPUT = "num", "cat", "features"
_BARE: Final = ("add", "sub", "mul", "div")  # what is not finite becomes missing at the end anyway


class InputColumn(msgspec.Struct, frozen=True):
    """A column of an input tensor: a field of the request, or a value that the store answers for it."""

    name: str
    kind: Kind
    source: Literal["request", "store"]


class GraphInputs(msgspec.Struct, frozen=True):
    """The columns of both input tensors, in their order."""

    num: tuple[InputColumn, ...] = ()
    cat: tuple[InputColumn, ...] = ()


def leaves(fitted: FittedView) -> dict[Node, InputColumn]:
    """Return what goes into a view's graph: columns and fetched values, those that are features as they are first, in their order."""
    roots = [item.value for item in fitted.view.features]
    found = [node for node in roots if isinstance(node, Column | Fetched) and kind_of(node) != "text"]
    found += [node for root in roots for node in walk(root, _own_parts) if isinstance(node, Column | Fetched)]
    names: dict[str, int] = {}
    given = {item.value: item.name for item in fitted.view.features if isinstance(item.value, Fetched)}
    made: dict[Node, InputColumn] = {}
    for node in dict.fromkeys(found):
        plain = node.name if isinstance(node, Column) else given.get(node) or _fetched_name(node)
        taken = names[plain] = names.get(plain, 0) + 1
        name = plain if taken == 1 else f"{plain}.{taken}"
        made[node] = InputColumn(name, kind_of(node), "request" if isinstance(node, Column) else "store")
    return made


def inputs_of(columns: Mapping[Node, InputColumn]) -> GraphInputs:
    """Sort input columns to their tensors."""
    texts = tuple(each for each in columns.values() if each.kind == "text")
    return GraphInputs(num=tuple(each for each in columns.values() if each.kind != "text"), cat=texts)


def feature_graph(fitted: FittedView) -> bytes:
    """Build the graph. Its columns are `inputs_of(leaves(fitted))`.

    Raises
    ------
    Unsupported : a feature has no exact counterpart in ONNX.
    """
    columns = leaves(fitted)
    if not columns:
        raise Unsupported("no feature depends on the request", hint="a view of constants needs no graph")
    compiler = _Compiler(columns)
    encoders: dict[str, Encoder | TextEncoder] = {**fitted.encoders, **fitted.texts}
    pieces = [compiler.feature(item.value, encoders.get(item.name)) for item in fitted.view.features]
    writer = compiler.writer
    joined = writer.node("Concat", *_blocks(compiler, pieces), axis=1)
    # What is too large for float32 is missing, as in batch.
    writer.output(OUTPUT, joined, "Add", writer.node("Mul", joined, writer.constant([[0.0]], FLOAT)))
    both = inputs_of(columns)
    given = [(name, kind, [None, len(each)]) for name, kind, each in ((NUMBERS, DOUBLE, both.num), (TEXTS, STRING, both.cat)) if each]
    model = writer.model("features", given, [(OUTPUT, FLOAT, [None, len(fitted.names)])])
    return bytes(model.SerializeToString(deterministic=True))


class Tensors:
    """Lays values of the leaves out as a graph's input tensors."""

    def __init__(self, columns: Mapping[Node, InputColumn]) -> None:
        kinds = [each.kind for each in columns.values()]
        self._numbers = [place for place, kind in enumerate(kinds) if kind != "text"]
        self._texts = [place for place, kind in enumerate(kinds) if kind == "text"]

    def of(self, values: Sequence[Any], n: int) -> dict[str, NDArray[Any]]:
        """Return the tensors of n rows, by name; one without columns is left out."""
        found: dict[str, NDArray[Any]] = {}
        if self._numbers:
            found[NUMBERS] = np.empty((n, len(self._numbers)), np.float64)
            for column, place in enumerate(self._numbers):
                found[NUMBERS][:, column] = values[place]
        if self._texts:
            found[TEXTS] = np.empty((n, len(self._texts)), object)
            for column, place in enumerate(self._texts):
                found[TEXTS][:, column] = [MISSING if text is None else composed(text) for text in values[place]]
        return found


class _Compiler:
    """Writes expressions, each distinct part once."""

    def __init__(self, columns: Mapping[Node, InputColumn]) -> None:
        self.writer = Writer()
        both = inputs_of(columns)
        self._places = {
            node: (TEXTS, both.cat.index(each)) if each.kind == "text" else (NUMBERS, both.num.index(each))
            for node, each in columns.items()
        }

    def feature(self, node: Node, encoder: Encoder | TextEncoder | None) -> str | int:
        """Return the name of a feature's float32 columns; of one that is an input as it is, its place in `num`."""
        if node in self._places and encoder is None:
            return self._places[node][1]
        if isinstance(encoder, TextEncoder):
            found = text_columns(self.writer, self._text(node), encoder)
        elif encoder is not None:
            found = _encoded(self.writer, self._text(node), encoder)
        else:
            found = self.writer.node("Cast", self._number(node, bare=True).name, to=FLOAT)
        return found if any(each in self._places for each in walk(node, _own_parts)) else self._for_all_rows(found)

    def _for_all_rows(self, constant: str) -> str:
        """Repeat a constant for every row."""
        tensor = next(iter(self._places.values()))[0]
        return self.writer.node("Expand", constant, self.writer.node("Shape", self.column([0], tensor)))

    def value(self, node: Node) -> Any:
        """Return a part: a Traced, the name of a text column, or a number."""
        return self._text(node) if kind_of(node) == "text" else self._number(node)

    def column(self, places: list[int], tensor: str = NUMBERS) -> str:
        """Take columns out of an input tensor."""
        return self.writer.node("Gather", tensor, self.writer.constant(places, 7), axis=1)

    def _number(self, node: Node, *, bare: bool = False) -> Traced:
        match node:
            case Column() | Lookup() | AsOf() | Past() | Planned():
                return Traced(self.writer, self.column([self._places[node][1]]))
            case Constant():
                return Traced(self.writer, self.writer.constant([[float(node.value)]]))
            case Apply():
                return self._applied(node, bare=bare)
            case Moment():
                raise AssertionError("the view puts its moment in before compiling")

    def _applied(self, node: Apply, *, bare: bool) -> Traced:
        args = [self.value(each) for each in node.args]
        if node.op in _TEXT_TESTS and isinstance(args[0], str):
            return _TEXT_TESTS[node.op](self.writer, args, node.values)
        if node.op == "distance_to":
            return distance_to(args[0], [float(each) for each in node.values])
        if bare and node.op in _BARE:
            return Traced(self.writer, self.writer.node(_BARE_NODES[node.op], args[0].name, args[1].name))
        found = OPERATIONS[node.op].kernel(*args, *node.values)
        return found if isinstance(found, Traced) else Traced(self.writer, self.writer.constant([[float(found)]]))

    def _text(self, node: Node) -> str:
        match node:
            case Column() | Lookup() | AsOf():
                return self.column([self._places[node][1]], TEXTS)
            case Constant():
                return self.writer.constant([[str(node.value)]], STRING)
            case Apply() if node.op in _TEXT_OPERATIONS:
                return _TEXT_OPERATIONS[node.op](self.writer, [self.value(each) for each in node.args], node.values)
        raise Unsupported(f"{getattr(node, 'op', type(node).__name__)} of text has no counterpart in ONNX")


_BARE_NODES: Final = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div"}


def _blocks(compiler: _Compiler, pieces: list[str | int]) -> list[str]:
    """Turn features into float32 blocks: neighbors that are inputs as they are come as one."""
    blocks: list[str] = []
    run: list[int] = []
    for piece in [*pieces, ""]:
        if isinstance(piece, int):
            run.append(piece)
            continue
        if run:
            blocks.append(compiler.writer.node("Cast", compiler.column(run), to=FLOAT))
            run = []
        if piece:
            blocks.append(piece)
    return blocks


def _encoded(writer: Writer, text: str, encoder: Encoder) -> str:
    known = {**encoder.values, MISSING: float("nan")}
    values = [float(np.float32(each)) for each in known.values()]
    return writer.node(
        "LabelEncoder", text, domain=ML, keys_strings=list(known), values_floats=values, default_float=float(np.float32(encoder.unseen))
    )


def _is_text(writer: Writer, text: str, *wanted: str) -> str:
    """Mark where a text is one of these, as bool."""
    marks = [writer.node("Equal", text, writer.constant([[each]], STRING)) for each in wanted]
    return marks[0] if len(marks) == 1 else writer.node("Greater", _listed(writer, text, wanted), writer.constant([[0.0]], FLOAT))


def _listed(writer: Writer, text: str, wanted: tuple[str, ...]) -> str:
    keys = sorted(set(wanted))
    return writer.node("LabelEncoder", text, domain=ML, keys_strings=keys, values_floats=[1.0] * len(keys), default_float=0.0)


def _flag(writer: Writer, mark: str, *texts: str) -> Traced:
    """Make a flag of a bool column: missing where one of the texts is."""
    found = Traced(writer, mark, BOOL) * 1.0
    for text in texts:
        found = choose(writer, Traced(writer, _is_text(writer, text, MISSING), BOOL), np.nan, found)
    return found


def _equals(writer: Writer, args: list[Any], _: Any) -> Traced:
    return _flag(writer, writer.node("Equal", *args), *args)


def _differs(writer: Writer, args: list[Any], _: Any) -> Traced:
    return _flag(writer, writer.node("Not", writer.node("Equal", *args)), *args)


def _is_missing(writer: Writer, args: list[Any], _: Any) -> Traced:
    return Traced(writer, _is_text(writer, args[0], MISSING), BOOL) * 1.0


def _isin(writer: Writer, args: list[Any], values: tuple[float | str, ...]) -> Traced:
    return _flag(writer, _is_text(writer, args[0], *map(str, values)), args[0])


def _fill(writer: Writer, args: list[Any], _: Any) -> str:
    return writer.node("Where", _is_text(writer, args[0], MISSING), args[1], args[0])


def _where(writer: Writer, args: list[Any], _: Any) -> str:
    condition, first, second = args
    chosen = writer.node("Where", (condition == 1.0).name, first, second)
    missing = writer.node("IsNaN", condition.name)
    return writer.node("Where", missing, writer.constant([[MISSING]], STRING), chosen)


def _concat(writer: Writer, args: list[Any], values: tuple[float | str, ...]) -> str:
    joined: str = args[0]
    separator = str(values[0])
    for each in args[1:]:
        with_separator = writer.node("StringConcat", joined, writer.constant([[separator]], STRING)) if separator else joined
        joined = writer.node("StringConcat", with_separator, each)
    for each in args:
        joined = writer.node("Where", _is_text(writer, each, MISSING), writer.constant([[MISSING]], STRING), joined)
    return joined


_TEXT_TESTS: Final[dict[str, Callable[..., Traced]]] = {"eq": _equals, "ne": _differs, "is_missing": _is_missing, "isin": _isin}
_TEXT_OPERATIONS: Final[dict[str, Callable[..., str]]] = {"fill": _fill, "where": _where, "concat": _concat}


def _own_parts(node: Node) -> tuple[Node, ...]:
    """Return the parts of an expression; a fetched value is one, whatever it is fetched by."""
    return node.args if isinstance(node, Apply) else ()


def _fetched_name(node: Fetched) -> str:
    match node:
        case Lookup() | AsOf():
            return f"{node.table}.{node.column}"
        case Past():
            return f"past.{node.stat}"
        case Planned():
            return f"{node.table}.planned"
