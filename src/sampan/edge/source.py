"""A program as one C99 file and its header, without dependencies: `name.c`, `name.h`.

All constants are in flash, nothing is allocated; the function may be called from several threads unless the header says that it keeps its
working memory. Text is ASCII and the same for the same program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from sampan.edge.layouts import TOLERANCE, LeafFormat
from sampan.edge.program import Program
from sampan.edge.text import comment, identifier, number, quoted
from sampan.edge.writing import Function, Parts


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
    numbers: tuple[Field, ...] = ()  # of the request, where the transform is generated
    texts: tuple[Field, ...] = ()
    digest: str = ""  # of the graph it is generated from


class Options(msgspec.Struct, frozen=True):
    """How trees are written."""

    leaves: LeafFormat = "exact"
    fastest: bool = False  # larger tables, fewer instructions
    tolerance: float = TOLERANCE  # by how much "exact" sums of leaves may be off


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


def generate(program: Program, schema: Schema, options: Options | None = None, *, transform: Program | None = None) -> Generated:
    """Write a program as C.

    Parameters
    ----------
    transform : what makes the program's features of a request's numbers and texts; it becomes a function of its own
    """
    asked, parts = options or Options(), Parts()
    name = identifier(schema.name)
    front = None if transform is None else Function(transform, parts, given="numbers")
    model = Function(program, parts, leaves=asked.leaves, fastest=asked.fastest, tolerance=asked.tolerance)
    kept = model.kept or (front is not None and front.kept)
    files = {f"{name}.c": _file(name, schema, parts, front, model), f"{name}.h": _header(name, schema, program, transform, kept=kept)}
    working = model.working_bytes + (front.working_bytes if front is not None else 0)
    return Generated(name, files, parts.constants_bytes, working, parts.tree_error)


def _file(name: str, schema: Schema, parts: Parts, front: Function | None, model: Function) -> str:
    functions = _functions(schema, front, model)
    text = "".join([*parts.tables, *parts.functions.values(), *functions])
    needs_math = any(f"{word}(" in text.replace(f"@{word}(", "") for word in _MATH)
    includes = ['#include "' + name + '.h"', "", "#include <stdint.h>", *(["#include <math.h>"] if needs_math else [])]
    code = "\n".join([*includes, "", *parts.tables, "\n".join(parts.functions.values()), *functions])
    head = [f"/* {comment(line)} */" for line in _about(schema)]  # which may hold a reference such as churn@live
    return "\n".join([*head, code.replace("@", f"{name}_")]) + "\n"


def _functions(schema: Schema, front: Function | None, model: Function) -> list[str]:
    """Write the functions that the header tells of."""
    lines: list[str] = []
    if front is not None:
        lines += _function("void @features(const double *numbers, const char *const *texts, float *y)", front)
        unused = [f"    (void){word};" for word in ("numbers", "texts") if not any(word in line for line in front.lines)]
        lines[-1:] = [*unused, "}", ""]
    lines += _function("void @scores(const float *x, float *y)", model)
    if front is not None:
        lines += ["", "void @answer(const double *numbers, const char *const *texts, float *y)", "{"]
        lines += ["    float x[@N_FEATURES];", "    @features(numbers, texts, x);", "    @scores(x, y);", "}"]
    if len(schema.outputs) == 1:
        lines += ["", "float @score(const float *x)", "{", "    float y[1];", "    @scores(x, y);", "    return y[0];", "}"]
    upper = identifier(schema.name).upper()
    return [line.replace("@N_FEATURES", f"{upper}_N_FEATURES") for line in lines]


def _function(signature: str, function: Function) -> list[str]:
    inside = [*function.declarations(), *function.lines]
    return [signature, "{", *(f"    {line}" for line in inside), "}"]


_MATH: Final = tuple(
    word + ending for word in ("ceil", "floor", "erf", "log", "pow", "sqrt", "sin", "cos", "exp", "tanh") for ending in ("", "f")
)


def _about(schema: Schema) -> list[str]:
    what = f"{schema.name} {schema.version}".strip()
    return [f"{what}: generated by Sampan, C99, no dependencies. Do not edit; generate it again.", *schema.about]


def _header(name: str, schema: Schema, program: Program, transform: Program | None, *, kept: bool) -> str:
    upper = name.upper()
    guard = f"{upper}_H"
    lines = [*(f"/* {comment(line)} */" for line in _about(schema)), f"#ifndef {guard}", f"#define {guard}", ""]
    lines += ["#ifdef __cplusplus", 'extern "C" {', "#endif", ""]
    told = {"VERSION": schema.version, "DIGEST": schema.digest}
    lines += [f"#define {upper}_{word} {quoted(value)}" for word, value in told.items() if value]
    lines += [f"#define {upper}_N_FEATURES {program.n_inputs}", f"#define {upper}_N_OUTPUTS {program.n_outputs}"]
    if schema.threshold is not None:
        lines.append(f"#define {upper}_THRESHOLD {number(schema.threshold)} /* at or above it the answer is yes */")
    fields = schema.fields or tuple(Field(f"feature {i}") for i in range(program.n_inputs))
    lines += _enumerated("A row's numbers, in this order.", upper, fields)
    if transform is not None:
        lines += _enumerated("What a request says in numbers; moments are milliseconds since 1970 UTC.", f"{upper}_NUMBER", schema.numbers)
        lines += _enumerated("What a request says in texts; NULL where missing.", f"{upper}_TEXT", schema.texts)
    lines.append("")
    if kept:
        lines.append("/* Keeps its working memory: call it from one thread at a time. */")
    lines += [
        f"/* Answers one row: x has {upper}_N_FEATURES numbers, y gets {upper}_N_OUTPUTS ({comment(', '.join(schema.outputs))}). */",
        f"void {name}_scores(const float *x, float *y);",
    ]
    if transform is not None:
        both = "const double *numbers, const char *const *texts"
        lines += ["", "/* Makes a row's numbers of a request. */", f"void {name}_features({both}, float *x);"]
        lines += ["", "/* Answers a request: both in one. */", f"void {name}_answer({both}, float *y);"]
    if len(schema.outputs) == 1:
        lines += ["", f"/* Returns the one number of the answer: {comment(schema.outputs[0])}. */", f"float {name}_score(const float *x);"]
    lines += ["", "#ifdef __cplusplus", "}", "#endif", "#endif"]
    return "\n".join(lines) + "\n"


def _enumerated(about: str, prefix: str, fields: Sequence[Field]) -> list[str]:
    """Write an enum of places; C has none without members."""
    if not fields:
        return []
    lines = ["", f"/* {about} */", "enum {"]
    for n, field in enumerate(fields):
        told = ", ".join(comment(part) for part in (field.name, field.about, field.missing) if part)
        lines.append(f"    {prefix}_{_unique(field.name, n, fields)} = {n}, /* {told} */")
    return [*lines, "};"]


_TAKEN: Final = ("N_FEATURES", "N_OUTPUTS", "THRESHOLD", "VERSION", "DIGEST", "H")
_PREFIXES: Final = ("NUMBER_", "TEXT_", "SELFTEST_")


def _unique(name: str, place: int, fields: Sequence[Field]) -> str:
    """Return a field's name as an identifier, numbered where it would be another's, or one of the header's own."""
    own = identifier(name).upper()
    known = [identifier(field.name).upper() for field in fields]
    is_taken = own in _TAKEN or own.startswith(_PREFIXES) or known.count(own) > 1
    numbered = f"{own}_{place}"
    while is_taken and numbered in known:
        numbered += "_"
    return numbered if is_taken else own
