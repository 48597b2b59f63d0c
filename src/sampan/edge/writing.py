"""Steps as lines of C: each in turn, with the tables and functions they need, which a file holds once however often they are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.edge.elementwise import DOUBLES, EXPRESSIONS, FUNCTIONS, called
from sampan.edge.layers_source import LAYERS
from sampan.edge.layouts import TOLERANCE, LeafFormat, lay_out
from sampan.edge.memory import plan
from sampan.edge.program import (
    Buffer,
    ChooseText,
    Convolution,
    Dense,
    Elementwise,
    Encode,
    JoinTexts,
    Kind,
    Ladder,
    Move,
    Pool,
    Program,
    Reduce,
    SameText,
    Softmax,
    Step,
    Text,
    Trees,
    Window,
)
from sampan.edge.quantizing import Layer8, Link8, Mean8, Most8, Quantized, Windowed8, in_fours
from sampan.edge.text import double, doubles, floats, integers, number, quoted, texts
from sampan.edge.texts_source import TEXT_FUNCTIONS
from sampan.edge.trees_source import APART, KEY_FUNCTION, write_trees
from sampan.errors import Unsupported

STACK_BYTES: Final = 512  # working memory up to this size is on the stack, more of it is static
_WORKING: Final[dict[Kind, tuple[str, str, int]]] = {
    "float": ("b", "float", 4),
    "double": ("d", "double", 8),
    "text": ("s", "const char *", 4),
}
# Tables that a function takes have its type; others have the smallest that holds them.
_KINDS: Final = {"int8": "int8_t", "uint8": "uint8_t"}
_WIDE: Final = {"int64": "int16_t", "int32": "int32_t"}


class Parts:
    """Tables and functions of one file."""

    def __init__(self) -> None:
        self.tables: list[str] = []
        self.functions: dict[str, str] = {}
        self.constants_bytes = 0
        self.tree_error = 0.0
        self._known: dict[bytes, str] = {}

    def use(self, name: str, text: str) -> None:
        """Bring a function along, after those that it calls."""
        for each in called(text):
            self.functions[each] = FUNCTIONS[each]
        self.functions[name] = text

    def table(self, values: NDArray[Any], *, wide: bool = False) -> str:
        """Write a table, once for equal ones; return its name."""
        key = values.dtype.str.encode() + bytes([wide]) + np.ascontiguousarray(values).tobytes()
        if key not in self._known:
            name = self._known[key] = f"@table{len(self._known)}"
            if values.dtype.kind == "f":
                self.tables.append(doubles(name, values) if values.dtype == np.float64 else floats(name, values))
            else:
                kind = _WIDE.get(values.dtype.name) if wide else _KINDS.get(values.dtype.name)
                self.tables.append(integers(name, values.ravel().tolist(), kind=kind))
            self.constants_bytes += (2 if values.dtype == np.int64 else values.dtype.itemsize) * values.size
        return self._known[key]

    def words(self, known: Sequence[str]) -> str:
        """Write a table of texts, once for equal ones; return its name."""
        key = "\0".join(known).encode() + b"text"
        if key not in self._known:
            name = self._known[key] = f"@texts{len(self._known)}"
            self.tables.append(texts(name, known))
            self.constants_bytes += sum(len(each.encode()) + 5 for each in known)
        return self._known[key]


class Function:
    """One function of the file: its lines and its working memory."""

    def __init__(
        self,
        program: Program,
        parts: Parts,
        *,
        leaves: LeafFormat = "exact",
        fastest: bool = False,
        tolerance: float = TOLERANCE,
        given: str = "x",
    ) -> None:
        self._program, self._parts = program, parts
        self._leaves, self._fastest, self._tolerance, self._given = leaves, fastest, tolerance, given
        self._offsets, self._sizes = plan(program)
        self._flows: tuple[int, ...] = (0, 0, 0)  # whole numbers between layers, at most so many in each place
        self._joined: list[int] = []  # bytes that joined texts take
        self.lines = [line for step in program.steps for line in self._step(step)]
        if not program.steps:  # the answer is the row itself
            self.lines = self._loop(program.out.size, f"y[{{i}}] = {given}[{{i}}];")

    @property
    def working_bytes(self) -> int:
        """How much working memory the function has."""
        numbers = sum(_WORKING[kind][2] * size for kind, size in self._sizes.items())
        return numbers + 2 * sum(self._flows) + sum(self._joined)

    @property
    def kept(self) -> bool:
        """Whether working memory is static."""
        return self.working_bytes > STACK_BYTES

    def declarations(self) -> list[str]:
        """Declare working memory."""
        keep = "static " if self.kept else ""
        held = [f"{_WORKING[kind][1]} {_WORKING[kind][0]}[{size}];" for kind, size in self._sizes.items()]
        held += [f"int16_t q{n}[{size}];" for n, size in enumerate(self._flows) if size]
        held += [f"char joined{n}[{size}];" for n, size in enumerate(self._joined)]
        loops = ["int i;"] if any(line.startswith("for (i") for line in self.lines) else []
        return [*(keep + each.replace("* ", "*") for each in held), *loops]

    def _place(self, buffer: Buffer) -> _Place:
        if buffer.number == self._program.out.number and self._program.steps:
            return _Place("y", 0)
        if buffer.number == self._program.given.number:
            return _Place(self._given, 0)
        if self._program.texts is not None and buffer.number == self._program.texts.number:
            return _Place("texts", 0)
        return _Place(_WORKING[buffer.kind][0], self._offsets[buffer.number])

    def _step(self, step: Step) -> list[str]:
        match step:
            case Elementwise():
                return self._elementwise(step)
            case Move():
                return self._move(step)
            case Trees():
                return self._trees(step)
            case Softmax():
                self._layer("softmax")
                return [f"@softmax({self._place(step.given)}, {self._place(step.out)}, {step.given.size}, {step.width});"]
            case Reduce():
                name = f"{step.operation}_of" + ("_doubles" if step.given.kind == "double" else "")
                self._layer(name)
                each = step.given.size // step.out.size
                return [f"@{name}({self._place(step.given)}, {self._place(step.out)}, {step.out.size}, {each});"]
            case Dense():
                return self._dense(step)
            case Convolution() | Pool():
                return self._windowed(step)
            case Quantized():
                return self._quantized(step)
            case Ladder():
                self._bring("ladder")
                tables = f"{self._parts.table(step.edges)}, {self._parts.table(step.heights)}, {len(step.edges)}"
                return [f"{self._place(step.out).at(0)} = @ladder({self._place(step.given).at(0)}, {tables});"]
            case Encode() | SameText() | ChooseText() | JoinTexts():
                return self._textual(step)
        raise Unsupported(f"{type(step).__name__} has no C", hint="this is a fault of Sampan")

    def _elementwise(self, step: Elementwise) -> list[str]:
        size = step.out.size
        in_double = any((o.kind if isinstance(o, Buffer) else o.dtype.name) in ("double", "float64") for o in step.operands)
        expression = DOUBLES.get(step.operation, EXPRESSIONS[step.operation]) if in_double else EXPRESSIONS[step.operation]
        operands = []
        for each in step.operands:
            if isinstance(each, Buffer):
                place = self._place(each)
                operands.append(place.at(0) if each.size == 1 else place.at("{i}"))
            elif each.size == 1:
                operands.append(double(float(each[0])) if each.dtype == np.float64 else number(float(each[0])))
            else:
                operands.append(f"{self._parts.table(each)}[{{i}}]")
        for name in called(expression):
            self._parts.functions[name] = FUNCTIONS[name]
        narrowed = "(float)({})" if in_double and step.out.kind == "float" and step.operation == "Identity" else "{}"
        return self._loop(size, f"{self._place(step.out).at('{i}')} = {narrowed.format(expression.format(*operands))};")

    def _textual(self, step: Encode | SameText | ChooseText | JoinTexts) -> list[str]:
        """Write a step on texts, which come one at a time."""
        out = self._place(step.out).at(0)
        match step:
            case ChooseText():
                first, second = map(self._text, step.texts)
                return [f"{out} = {self._place(step.condition).at(0)} != 0.0f ? {first} : {second};"]
            case SameText():
                self._bring("compare", "same")
                return [f"{out} = @same({', '.join(map(self._text, step.texts))});"]
            case JoinTexts():
                self._bring("join")
                self._joined.append(step.longest + 1)
                return [f"{out} = @join(joined{len(self._joined) - 1}, {step.longest}, {', '.join(map(self._text, step.texts))});"]
        if not step.numbers:
            return [f"{out} = {self._text(step.text)} ? {number(step.unseen)} : {number(step.missing)};"]
        self._bring("compare", "encode")
        known, values = zip(*step.numbers, strict=True)
        tables = f"{self._parts.words(known)}, {self._parts.table(np.array(values, np.float32))}, {len(known)}"
        return [f"{out} = @encode({self._text(step.text)}, {tables}, {number(step.missing)}, {number(step.unseen)});"]

    def _bring(self, *names: str) -> None:
        for name in names:
            self._parts.use(name, TEXT_FUNCTIONS[name])

    def _text(self, text: Text) -> str:
        if isinstance(text, tuple):
            return self._place(text[0]).at(text[1])
        return "(const char *)0" if text is None else quoted(text)

    def _loop(self, size: int, line: str) -> list[str]:
        if size == 1:
            return [line.replace("{i}", "0")]
        return [f"for (i = 0; i < {size}; ++i) {line.replace('{i}', 'i')}"]

    def _move(self, step: Move) -> list[str]:
        lines, at = [], 0
        out = self._place(step.out)
        for source, index in step.pieces:
            place, n = self._place(source), len(index)
            if n == 1:
                lines.append(f"{out.at(at)} = {place.at(int(index[0]))};")
            else:
                first, steps = int(index[0]), np.diff(index)
                target = _Place(out.pointer, out.offset + at).at("i")
                if (steps == 1).all():
                    lines.append(f"for (i = 0; i < {n}; ++i) {target} = {_Place(place.pointer, place.offset + first).at('i')};")
                else:
                    lines.append(f"for (i = 0; i < {n}; ++i) {target} = {place.at(f'{self._parts.table(index)}[i]')};")
            at += n
        return lines

    def _trees(self, step: Trees) -> list[str]:
        layout = lay_out(step, leaves=self._leaves, fastest=self._fastest, tolerance=self._tolerance)
        self._parts.tree_error = max(self._parts.tree_error, layout.error)
        self._parts.constants_bytes += layout.size_bytes
        n = sum("@trees" in name for name in self._parts.functions)
        if layout.keys:
            self._parts.functions.setdefault("key", APART + KEY_FUNCTION)
        self._parts.functions[f"@trees{n}"] = write_trees(layout, n)
        return [f"@trees{n}({self._place(step.given)}, {self._place(step.out)});"]

    def _dense(self, step: Dense) -> list[str]:
        self._layer("dense")
        given, out = self._place(step.given), self._place(step.out)
        arguments = (
            f"{self._parts.table(step.weights)}, {self._parts.table(step.bias)}, {step.given.size}, {step.out.size}, {int(step.relu)}"
        )
        return [f"@dense({given}, {out}, {arguments});"]

    def _windowed(self, step: Convolution | Pool) -> list[str]:
        shape = _window_of(step.window)
        given, out = self._place(step.given), self._place(step.out)
        if isinstance(step, Pool):
            self._layer(f"pool_{step.operation}")
            shape.append(int(step.counts_padding))
            return [f"@pool_{step.operation}({given}, {out}, {self._parts.table(np.array(shape, np.int64), wide=True)});"]
        self._layer("convolution")
        shape += [step.groups, int(step.relu)]
        tables = (
            f"{self._parts.table(step.weights)}, {self._parts.table(step.bias)}, {self._parts.table(np.array(shape, np.int64), wide=True)}"
        )
        return [f"@convolution({given}, {out}, {tables});"]

    def _quantized(self, step: Quantized) -> list[str]:
        """Write a chain of layers in whole numbers; what flows between them lies in two places by turns, windows in a third."""
        self._layer("flow")
        ranges = f"{self._parts.table(step.offset)}, {self._parts.table(step.rate)}, {step.given.size}, {number(step.reach)}"
        lines = [f"@flow({self._place(step.given)}, q0, {ranges});"]
        sizes = [_in_fours(step.given.size)]
        for n, link in enumerate(step.links):
            given, out = f"q{n % 2}", f"q{(n + 1) % 2}"
            if n == len(step.links) - 1:
                assert isinstance(link, Layer8)
                lines.append(self._last8(link, given, self._place(step.out)))
                break
            lines.append(self._link8(link, given, out))
            sizes.append(_flow_size(link))
        columns = [_in_fours(link.layer.weights.shape[1]) for link in step.links if isinstance(link, Windowed8)]
        needed = (max(sizes[::2]), max(sizes[1::2], default=0), max(columns, default=0))
        self._flows = tuple(max(a, b) for a, b in zip(self._flows, needed, strict=True))
        return lines

    def _last8(self, layer: Layer8, given: str, out: _Place) -> str:
        self._bring8("sums8", "last8")
        n_outputs, n_inputs = layer.weights.shape
        bias = self._parts.table(np.append(layer.bias, np.zeros(n_outputs % 2, np.int32)), wide=True)
        tables = f"{self._parts.table(in_fours(layer.weights))}, {bias}, {self._parts.table(layer.scale)}"
        return f"@last8({given}, {out}, {tables}, {_in_fours(n_inputs)}, {n_outputs});"

    def _link8(self, link: Link8, given: str, out: str) -> str:
        """Write a link that another follows."""
        match link:
            case Most8(window):
                self._bring8("most8")
                shape = self._parts.table(np.array(_window_of(window), np.int64), wide=True)
                return f"@most8({given}, {out}, {shape}, {_in_fours(window.out[0])});"
            case Mean8(channels, places):
                self._bring8("mean8")
                return f"@mean8({given}, {out}, {_in_fours(channels)}, {places});"
            case Windowed8(layer, window, planar):
                self._bring8("sums8", "hidden8", "convolution8")
                channels, height, width = window.given
                steps = (height * width, 1) if planar else (1, _in_fours(channels))
                shape = self._parts.table(np.array([*window.given, *steps, *_window_of(window)[3:]], np.int64), wide=True)
                return f"@convolution8({given}, {out}, q2, {self._tables8(layer)}, {shape}, {layer.top});"
        self._bring8("sums8", "hidden8")
        n_outputs, n_inputs = link.weights.shape
        return f"@hidden8({given}, {out}, {self._tables8(link)}, {_in_fours(n_inputs)}, {n_outputs + n_outputs % 2}, {link.top});"

    def _tables8(self, layer: Layer8) -> str:
        return f"{self._parts.table(in_fours(layer.weights))}, {self._parts.table(layer.pairs, wide=True)}"

    def _bring8(self, *names: str) -> None:
        for name in names:
            self._layer(name)

    def _layer(self, name: str) -> None:
        self._parts.use(name, LAYERS[name])


def _window_of(window: Window) -> list[int]:
    return [*window.given, *window.out, *window.kernel, *window.strides, *window.pads, *window.dilations]


def _in_fours(n: int) -> int:
    return -(-n // 4) * 4


def _flow_size(link: Link8) -> int:
    """Return how many numbers flow out of a link, as they lie."""
    match link:
        case Windowed8() | Most8():
            channels, height, width = link.window.out
            return _in_fours(channels) * height * width
        case Mean8():
            return _in_fours(link.channels)
    return _in_fours(len(link.weights))


@dataclass(frozen=True, slots=True)
class _Place:
    """A buffer in C: a pointer and where it begins."""

    pointer: str
    offset: int

    def __str__(self) -> str:
        return f"{self.pointer} + {self.offset}" if self.offset else self.pointer

    def at(self, index: int | str) -> str:
        if isinstance(index, int):
            return f"{self.pointer}[{self.offset + index}]"
        return f"{self.pointer}[{self.offset} + {index}]" if self.offset else f"{self.pointer}[{index}]"
