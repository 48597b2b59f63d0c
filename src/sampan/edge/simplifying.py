"""Steps that need not be: products by one, sums with zero, an activation or bias that the layer before can carry."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

import numpy as np

from sampan.edge.program import Buffer, Convolution, Dense, Elementwise, Floats, Move, Program, Step, reads

_NEUTRAL: Final = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0}


def simplify(program: Program) -> Program:
    """Return a program of fewer steps with the same answers."""
    used = Counter(b.number for step in program.steps for b in reads(step))
    used[program.out.number] += 1
    steps: list[Step] = []
    stands: dict[int, Buffer] = {}  # a buffer that needs not be -> the one that holds the same
    for original in program.steps:
        step = _renamed(original, stands)
        before = steps[-1] if steps else None
        if isinstance(step, Elementwise) and (kept := _neutral(step)) is not None:
            stands[step.out.number] = kept
        elif isinstance(step, Elementwise) and before is not None and used[before.out.number] == 1:
            steps[-1:] = _carried(before, step)
        else:
            steps.append(step)
    return replace(program, out=stands.get(program.out.number, program.out), steps=tuple(steps))


def _renamed(step: Step, stands: dict[int, Buffer]) -> Step:
    match step:
        case Elementwise():
            return replace(step, operands=tuple(stands.get(o.number, o) if isinstance(o, Buffer) else o for o in step.operands))
        case Move():
            return replace(step, pieces=tuple((stands.get(source.number, source), index) for source, index in step.pieces))
    return replace(step, given=stands.get(step.given.number, step.given))


def _neutral(step: Elementwise) -> Buffer | None:
    """Return the operand that a step would only repeat."""
    first = step.operands[0]
    if step.operation == "Identity" and isinstance(first, Buffer) and _alike(first, step.out):
        return first
    if step.operation not in _NEUTRAL:
        return None
    second = step.operands[1]
    same = isinstance(first, Buffer) and _alike(first, step.out) and isinstance(second, np.ndarray)
    return first if same and bool((np.asarray(second) == _NEUTRAL[step.operation]).all()) else None  # type: ignore[return-value]  # looked at above


def _carried(before: Step, step: Elementwise) -> list[Step]:
    """Put an addition or a Relu into the layer before it."""
    apart = [before, step]
    if not isinstance(before, Dense | Convolution) or before.relu or before.out not in step.operands or not _alike(before.out, step.out):
        return apart
    if step.operation == "Relu":
        return [replace(before, out=step.out, relu=True)]
    if step.operation == "Add" and isinstance(before, Dense):
        constant = next((o for o in step.operands if not isinstance(o, Buffer)), None)
        if constant is not None:
            bias: Floats = (before.bias + constant).astype(np.float32)
            return [replace(before, out=step.out, bias=bias)]
    return apart


def _alike(one: Buffer, other: Buffer) -> bool:
    return (one.size, one.kind) == (other.size, other.kind)
