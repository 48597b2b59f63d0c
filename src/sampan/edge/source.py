"""A program as one C99 file and its header, without dependencies: `name.c`, `name.h`.

All constants are in flash, nothing is allocated; the function may be called from several threads unless the header says that it keeps its
working memory. Text is ASCII and the same for the same program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.edge.elementwise import EXPRESSIONS, FUNCTIONS, called
from sampan.edge.layers_source import LAYERS
from sampan.edge.layouts import LeafFormat, lay_out
from sampan.edge.memory import plan
from sampan.edge.program import Buffer, Convolution, Dense, Elementwise, Move, Pool, Program, Reduce, Softmax, Step, Trees
from sampan.edge.quantizing import Quantized
from sampan.edge.text import comment, floats, identifier, integers, number
from sampan.edge.trees_source import APART, KEY_FUNCTION, write_trees
from sampan.errors import Unsupported

STACK_BYTES: Final = 512  # working memory up to this size is on the stack, more of it is static


class Field(msgspec.Struct, frozen=True):
    """One number of a row, as the header explains it."""

    name: str
    about: str = ""  # unit, meaning
    missing: str = "NaN where missing"


class Schema(msgspec.Struct, frozen=True):
    """What the header says of the model."""

    name: str
    version: str = ""
    fields: tuple[Field, ...] = ()
    outputs: tuple[str, ...] = ("score",)
    threshold: float | None = None
    about: tuple[str, ...] = ()  # lines for the head of both files


class Options(msgspec.Struct, frozen=True):
    """How trees are written."""

    leaves: LeafFormat = "exact"
    fastest: bool = False  # larger tables, fewer instructions


class Generated(msgspec.Struct, frozen=True):
    """The two files, by name, and what is known of them before they are compiled."""

    name: str
    files: dict[str, str]
    constants_bytes: int
    working_bytes: int
    tree_error: float = 0.0  # by how much rounding of leaves may move a sum, at most

    @property
    def source(self) -> str:
        """The C file."""
        return self.files[f"{self.name}.c"]

    @property
    def header(self) -> str:
        """The header."""
        return self.files[f"{self.name}.h"]


def generate(program: Program, schema: Schema, options: Options | None = None) -> Generated:
    """Write a program as C."""
    writer = _Writer(program, options or Options())
    body = writer.body()
    name = identifier(schema.name)
    source = _file(name, schema, writer, body)
    header = _header(name, schema, program, kept=writer.kept)
    return Generated(
        name,
        {f"{name}.c": source, f"{name}.h": header},
        writer.constants_bytes,
        writer.working_bytes,
        writer.tree_error,
    )


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


class _Writer:
    """Collects tables and functions while it writes the steps."""

    def __init__(self, program: Program, options: Options) -> None:
        self._program, self._options = program, options
        self._offsets, self.n_floats = plan(program)
        self.tables: list[str] = []
        self.functions: dict[str, str] = {}
        self.constants_bytes = 0
        self.tree_error = 0.0
        self.flows: tuple[int, ...] = (0, 0)  # whole numbers between layers, at most so many in either place
        self._known: dict[bytes, str] = {}

    @property
    def working_bytes(self) -> int:
        """Working memory, known once the body is written."""
        return 4 * self.n_floats + 2 * sum(self.flows)

    @property
    def kept(self) -> bool:
        """Whether working memory is static."""
        return self.working_bytes > STACK_BYTES

    def body(self) -> list[str]:
        """Write every step."""
        lines: list[str] = []
        for step in self._program.steps:
            lines += self._step(step)
        if not self._program.steps:  # the answer is the row itself
            lines += self._loop(self._program.out.size, "y[{i}] = x[{i}];")
        return lines

    def _place(self, buffer: Buffer) -> _Place:
        if buffer.number == self._program.out.number and self._program.steps:
            return _Place("y", 0)
        return _Place("x", 0) if buffer.number == self._program.given.number else _Place("b", self._offsets[buffer.number])

    def _step(self, step: Step) -> list[str]:
        match step:
            case Elementwise():
                return self._elementwise(step)
            case Move():
                return self._move(step)
            case Trees():
                return self._trees(step)
            case Softmax():
                self._use("softmax")
                return [f"@softmax({self._place(step.given)}, {self._place(step.out)}, {step.given.size}, {step.width});"]
            case Reduce():
                self._use(f"{step.operation}_of")
                each = step.given.size // step.out.size
                return [f"@{step.operation}_of({self._place(step.given)}, {self._place(step.out)}, {step.out.size}, {each});"]
            case Dense():
                return self._dense(step)
            case Convolution() | Pool():
                return self._windowed(step)
            case Quantized():
                return self._quantized(step)
        raise Unsupported(f"{type(step).__name__} has no C", hint="this is a fault of Sampan")

    def _elementwise(self, step: Elementwise) -> list[str]:
        size = step.out.size
        operands = []
        for each in step.operands:
            if isinstance(each, Buffer):
                place = self._place(each)
                operands.append(place.at(0) if each.size == 1 else place.at("{i}"))
            elif each.size == 1:
                operands.append(number(float(each[0])))
            else:
                operands.append(f"{self.table(each)}[{{i}}]")
        text = EXPRESSIONS[step.operation].format(*operands)
        for name in called(EXPRESSIONS[step.operation]):
            self.functions[name] = FUNCTIONS[name]
        return self._loop(size, f"{self._place(step.out).at('{i}')} = {text};")

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
                    lines.append(f"for (i = 0; i < {n}; ++i) {target} = {place.at(f'{self.table(index)}[i]')};")
            at += n
        return lines

    def _trees(self, step: Trees) -> list[str]:
        layout = lay_out(step, leaves=self._options.leaves, fastest=self._options.fastest)
        self.tree_error = max(self.tree_error, layout.error)
        self.constants_bytes += layout.size_bytes
        n = sum("@trees" in name for name in self.functions)
        if layout.keys:
            self.functions.setdefault("key", APART + KEY_FUNCTION)
        self.functions[f"@trees{n}"] = write_trees(layout, n)
        return [f"@trees{n}({self._place(step.given)}, {self._place(step.out)});"]

    def _dense(self, step: Dense) -> list[str]:
        self._use("dense")
        given, out = self._place(step.given), self._place(step.out)
        arguments = f"{self.table(step.weights)}, {self.table(step.bias)}, {step.given.size}, {step.out.size}, {int(step.relu)}"
        return [f"@dense({given}, {out}, {arguments});"]

    def _windowed(self, step: Convolution | Pool) -> list[str]:
        window = step.window
        shape = [*window.given, *window.out, *window.kernel, *window.strides, *window.pads, *window.dilations]
        given, out = self._place(step.given), self._place(step.out)
        if isinstance(step, Pool):
            self._use(f"pool_{step.operation}")
            shape.append(int(step.counts_padding))
            return [f"@pool_{step.operation}({given}, {out}, {self.table(np.array(shape, np.int64), wide=True)});"]
        self._use("convolution")
        shape += [step.groups, int(step.relu)]
        tables = f"{self.table(step.weights)}, {self.table(step.bias)}, {self.table(np.array(shape, np.int64), wide=True)}"
        return [f"@convolution({given}, {out}, {tables});"]

    def _quantized(self, step: Quantized) -> list[str]:
        """Write a chain of layers in whole numbers; what flows between them lies in two places by turns."""
        for name in ("flow", "sum8", *(["hidden8"] if len(step.layers) > 1 else []), "last8"):
            self._use(name)
        sizes = [step.given.size, *(len(layer.weights) for layer in step.layers[:-1])]
        self.flows = tuple(max(a, b) for a, b in zip(self.flows, (max(sizes[::2]), max(sizes[1::2], default=0)), strict=True))
        ranges = f"{self.table(step.offset)}, {self.table(step.rate)}, {step.given.size}, {number(step.reach)}"
        lines = [f"@flow({self._place(step.given)}, q0, {ranges});"]
        for n, layer in enumerate(step.layers):
            tables = f"{self.table(layer.weights)}, {self.table(layer.bias, wide=True)}"
            shape = f"{layer.weights.shape[1]}, {layer.weights.shape[0]}"
            if n == len(step.layers) - 1:
                lines.append(f"@last8(q{n % 2}, {self._place(step.out)}, {tables}, {self.table(layer.scale)}, {shape});")
            else:
                rounding = f"{self.table(layer.factor, wide=True)}, {self.table(layer.shift)}"
                lines.append(f"@hidden8(q{n % 2}, q{(n + 1) % 2}, {tables}, {rounding}, {shape}, {layer.top});")
        return lines

    def _use(self, name: str) -> None:
        for each in called(LAYERS[name]):
            self.functions[each] = FUNCTIONS[each]
        self.functions[name] = LAYERS[name]

    def table(self, values: NDArray[Any], *, wide: bool = False) -> str:
        """Write a table, once for equal ones; return its name."""
        key = values.dtype.str.encode() + bytes([wide]) + np.ascontiguousarray(values).tobytes()
        if key not in self._known:
            name = f"@table{len(self._known)}"
            self._known[key] = name
            if values.dtype.kind == "f":
                told, width = floats(name, values), 4
            else:
                kind = _WIDE.get(values.dtype.name) if wide else _KINDS.get(values.dtype.name)
                told, width = integers(name, values.ravel().tolist(), kind=kind), values.dtype.itemsize
            self.tables.append(told)
            self.constants_bytes += width * values.size
        return self._known[key]


def _file(name: str, schema: Schema, writer: _Writer, body: Sequence[str]) -> str:
    text = "".join([*writer.tables, *writer.functions.values(), *body])
    loops = any(line.startswith("for (i") for line in body)
    keep = "static " if writer.kept else ""
    memory = [f"    {keep}float b[{writer.n_floats}];"] if writer.n_floats else []
    memory += [f"    {keep}int16_t q{n}[{size}];" for n, size in enumerate(writer.flows) if size]
    needs_math = any(f"{word}(" in text for word in _MATH)
    includes = ['#include "' + name + '.h"', "", "#include <stdint.h>", *(["#include <math.h>"] if needs_math else [])]
    head = [f"/* {comment(line)} */" for line in _about(schema)]
    lines = [*head, *includes, "", *writer.tables, "\n".join(writer.functions.values())]
    lines += ["void @scores(const float *x, float *y)", "{", *memory, *(["    int i;"] if loops else [])]
    lines += [f"    {line}" for line in body]
    lines.append("}")
    if len(schema.outputs) == 1:
        lines += ["", "float @score(const float *x)", "{", "    float y[1];", "    @scores(x, y);", "    return y[0];", "}"]
    code = "\n".join(lines[len(head) :]).replace("@", f"{name}_")  # the head may hold a reference such as churn@live
    return "\n".join([*head, code]) + "\n"


# Tables that a function takes have its type; others have the smallest that holds them.
_KINDS: Final = {"int8": "int8_t", "uint8": "uint8_t"}
_WIDE: Final = {"int64": "int16_t", "int32": "int32_t"}
_MATH: Final = ("ceilf", "floorf", "erff", "logf", "powf", "sqrtf")


def _about(schema: Schema) -> list[str]:
    what = f"{schema.name} {schema.version}".strip()
    return [f"{what}: generated by Sampan, C99, no dependencies. Do not edit; generate it again.", *schema.about]


def _header(name: str, schema: Schema, program: Program, *, kept: bool) -> str:
    upper = name.upper()
    guard = f"{upper}_H"
    lines = [*(f"/* {comment(line)} */" for line in _about(schema)), f"#ifndef {guard}", f"#define {guard}", ""]
    lines += ["#ifdef __cplusplus", 'extern "C" {', "#endif", ""]
    lines += [f"#define {upper}_N_FEATURES {program.n_inputs}", f"#define {upper}_N_OUTPUTS {program.n_outputs}"]
    if schema.threshold is not None:
        lines.append(f"#define {upper}_THRESHOLD {number(schema.threshold)} /* at or above it the answer is yes */")
    lines += ["", "/* A row's numbers, in this order. */", "enum {"]
    for n, field in enumerate(schema.fields or tuple(Field(f"feature {i}") for i in range(program.n_inputs))):
        about = ", ".join(comment(part) for part in (field.name, field.about, field.missing) if part)
        lines.append(f"    {upper}_{_unique(field.name, n, schema.fields)} = {n}, /* {about} */")
    lines += ["};", ""]
    if kept:
        lines.append("/* Keeps its working memory: call it from one thread at a time. */")
    lines += [
        f"/* Answers one row: x has {upper}_N_FEATURES numbers, y gets {upper}_N_OUTPUTS ({comment(', '.join(schema.outputs))}). */",
        f"void {name}_scores(const float *x, float *y);",
    ]
    if len(schema.outputs) == 1:
        lines += ["", f"/* Returns the one number of the answer: {comment(schema.outputs[0])}. */", f"float {name}_score(const float *x);"]
    lines += ["", "#ifdef __cplusplus", "}", "#endif", "#endif"]
    return "\n".join(lines) + "\n"


def _unique(name: str, place: int, fields: Sequence[Field]) -> str:
    """Return a field's name as an identifier, numbered where two would be the same."""
    own = identifier(name).upper()
    return f"{own}_{place}" if [identifier(f.name).upper() for f in fields].count(own) > 1 else own
