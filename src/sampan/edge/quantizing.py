"""Layers in whole numbers: weights of 8 bits, one scale for each output; what flows between layers has up to 12 bits, fitted to rows.

A chain of dense layers joined by Relu is one step: features are rounded once, each by its own range, then integers are multiplied and
added, and only the last sums become float32 again. On cores without floating point that is several times fewer instructions.

References
----------
B. Jacob et al. (2018), "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sampan.edge.evaluating import values_in
from sampan.edge.program import Buffer, Dense, Program, Step, reads
from sampan.errors import Unsupported

_WEIGHT: Final = 127
_FLOW_BITS: Final = 12
_ROOM: Final = 1.25  # how much wider than the rows show ranges are taken; 12 bits leave room for it


@dataclass(frozen=True, slots=True, eq=False)
class Layer8:
    """A layer in whole numbers: sums are `weights @ given + bias`; hidden ones are cut to [0, top] after times `factor / 2^shift`."""

    weights: NDArray[np.int8]  # (outputs, inputs)
    bias: NDArray[np.int32]
    scale: NDArray[np.float32]  # what one unit of a sum stands for
    factor: NDArray[np.int32]
    shift: NDArray[np.uint8]
    top: int


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """A chain of layers; features become `round((x - offset) * rate)`, cut to [-reach, reach]."""

    given: Buffer
    out: Buffer
    offset: NDArray[np.float32]
    rate: NDArray[np.float32]
    reach: int
    layers: tuple[Layer8, ...]


def has_layers(program: Program) -> bool:
    """Say whether there is a layer to round."""
    return any(isinstance(step, Dense) for step in program.steps)


def in_int8(program: Program, rows: NDArray[np.float32]) -> Program:
    """Round every chain of dense layers.

    Parameters
    ----------
    rows : shape (n, features), rows as they come in use; those with missing values are left out of the ranges

    Raises
    ------
    Unsupported : what comes before the layers is not evaluated, or a layer's ranges cannot be told.
    """
    chains = _chains(program)
    wanted = {step.given.number for chain in chains for step in chain} | {step.out.number for chain in chains for step in chain[:-1]}
    seen = values_in(program, wanted, rows)
    steps: list[Step] = []
    made = {id(chain[-1]): _quantized(chain, seen) for chain in chains}
    gone = {id(step) for chain in chains for step in chain}
    for step in program.steps:
        if id(step) in made:
            steps.append(made[id(step)])
        elif id(step) not in gone:
            steps.append(step)
    return replace(program, steps=tuple(steps))


def _chains(program: Program) -> list[list[Dense]]:
    """Find runs of layers in which each but the last ends in a Relu and feeds the next alone."""
    readers: dict[int, int] = {}
    for step in program.steps:
        for buffer in reads(step):
            readers[buffer.number] = readers.get(buffer.number, 0) + 1
    dense = [step for step in program.steps if isinstance(step, Dense)]
    chains: list[list[Dense]] = []
    for step in dense:
        last = next((c for c in chains if c[-1].out.number == step.given.number), None)
        if last is not None and last[-1].relu and readers[step.given.number] == 1 and step.given.number != program.out.number:
            last.append(step)
        else:
            chains.append([step])
    return [chain for chain in chains if not chain[-1].relu]  # one that ends in a Relu feeds no layer, and stays as it is


def _quantized(chain: Sequence[Dense], seen: dict[int, NDArray[np.float32]]) -> Quantized:
    first = chain[0]
    given = seen[first.given.number]
    given = given[np.isfinite(given).all(axis=1)].astype(np.float64)
    if not len(given):
        raise Unsupported("no row without missing values shows what the layers are given", hint="keep the layers in float32")
    low, high = given.min(axis=0), given.max(axis=0)
    reach = _flow(first.weights.shape[1]) // 2
    offset = ((low + high) / 2).astype(np.float32)
    step = np.maximum(_ROOM * (high - low) / 2, 1e-12) / reach
    weights, bias = first.weights.astype(np.float64) * step, first.bias + first.weights.astype(np.float64) @ offset.astype(np.float64)
    layers = []
    for layer, after in pairwise([*chain, None]):
        assert layer is not None
        if after is None:
            layers.append(_layer(weights, bias, unit=None, top=0))
            break
        found = seen[layer.out.number].astype(np.float64)
        top = _flow(after.weights.shape[1])
        unit = max(_ROOM * float(found[np.isfinite(found)].max(initial=0.0)), 1e-12) / top
        layers.append(_layer(weights, bias, unit=unit, top=top))
        weights, bias = after.weights.astype(np.float64) * unit, after.bias.astype(np.float64)
    return Quantized(first.given, chain[-1].out, offset, (1 / step).astype(np.float32), reach, tuple(layers))


def _flow(n_inputs: int) -> int:
    """Return the largest number that may flow into a layer, so that no sum passes 30 bits."""
    return min((1 << _FLOW_BITS) - 1, (1 << 29) // (_WEIGHT * n_inputs))


def _layer(weights: NDArray[np.float64], bias: NDArray[np.float64], *, unit: float | None, top: int) -> Layer8:
    scale = np.maximum(np.abs(weights).max(axis=1), 1e-30) / _WEIGHT
    whole = np.round(bias / scale)
    if np.abs(whole).max(initial=0) >= 1 << 30:
        # A row of hardly any weight beside a large bias: coarser weights leave room for the bias.
        scale = np.maximum(scale, np.abs(bias) / (1 << 29))
        whole = np.round(bias / scale)
    ratio = scale / unit if unit is not None else np.ones_like(scale)
    exponent = np.clip(30 - np.floor(np.log2(ratio)).astype(np.int64), 1, 62)
    factor = np.clip(np.round(ratio * 2.0**exponent), 0, (1 << 31) - 1)
    return Layer8(
        np.round(weights / scale[:, None]).astype(np.int8),
        whole.astype(np.int32),
        scale.astype(np.float32),
        factor.astype(np.int64).astype(np.int32),
        exponent.astype(np.uint8),
        top,
    )
