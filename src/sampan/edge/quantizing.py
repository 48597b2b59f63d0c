"""Layers in whole numbers: weights of 8 bits, one scale for each output; what flows between layers has up to 12 bits, fitted to rows.

A chain of layers joined by Relu is one step: features are rounded once, then integers are multiplied and added, and only the last sums
become float32 again. Before dense layers each feature is rounded by its own range, before a convolution all by one, around zero, since
padding is zero. On cores without floating point that is several times fewer instructions; on those with instructions for signals
(Armv7E-M) two products at once make it fewer than float32 takes.

References
----------
B. Jacob et al. (2018), "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR.
M. Nagel et al. (2019), "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV.
L. Lai, N. Suda, V. Chandra (2018), "CMSIS-NN: Efficient Neural Network Kernels for Arm Cortex-M CPUs", arXiv:1801.06601.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sampan.edge.evaluating import values_in
from sampan.edge.program import Buffer, Convolution, Dense, Elementwise, Pool, Program, Reduce, Step, Window, reads
from sampan.errors import Unsupported

_WEIGHT: Final = 127
_FLOW_BITS: Final = 12
_ROOM: Final = 1.25  # how much wider than the rows show ranges are taken; 12 bits leave room for it
_WIDEST: Final = 16.0  # times wider still, where a range matters little; tried on flights, looked at on breast cancer, wine and digits


@dataclass(frozen=True, slots=True, eq=False)
class Layer8:
    """A layer in whole numbers: sums are `weights @ given + bias`. A hidden one goes on with `sum * factor / 2^32`, cut to [0, top].

    The half that rounds is in the bias. A factor of few bits is exact enough: a sum below 2^30 is off by an eighth of a unit at most.
    """

    weights: NDArray[np.int8]  # (outputs, inputs)
    bias: NDArray[np.int32]
    scale: NDArray[np.float32]  # what one unit of a sum stands for
    factor: NDArray[np.int32]
    top: int

    @property
    def pairs(self) -> NDArray[np.int32]:
        """Return biases and factors as the code takes them: two outputs at a time."""
        filled = [np.append(each, np.zeros(len(each) % 2, np.int32)).reshape(-1, 2) for each in (self.bias, self.factor)]
        return np.concatenate(filled, axis=1).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Windowed8:
    """A convolution: a layer asked at each place of a window. Its input lies channel by channel (`planar`) or place by place."""

    layer: Layer8
    window: Window
    planar: bool


@dataclass(frozen=True, slots=True)
class Most8:
    """The maximum under a window."""

    window: Window


@dataclass(frozen=True, slots=True)
class Mean8:
    """The mean of each channel over all places."""

    channels: int
    places: int


Link8 = Layer8 | Windowed8 | Most8 | Mean8


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """A chain of layers; features become `round((x - offset) * rate)`, cut to [-reach, reach]. The last link is a layer."""

    given: Buffer
    out: Buffer
    offset: NDArray[np.float32]
    rate: NDArray[np.float32]
    reach: int
    links: tuple[Link8, ...]


def has_layers(program: Program) -> bool:
    """Say whether there is a layer to round."""
    return bool(_chains(program))


def in_int8(program: Program, rows: NDArray[np.float32]) -> Program:
    """Round every chain of dense layers.

    Parameters
    ----------
    rows : shape (n, features), rows as they come in use; those with missing values are left out of the ranges

    Raises
    ------
    Unsupported : what comes before the layers is not evaluated, or a layer's ranges cannot be told.
    """
    chains = [_unscaled(program, chain) for chain in _chains(program)]
    wanted = {chain.given.number for chain in chains} | {step.out.number for chain in chains for step in chain.links[:-1]}
    seen = values_in(program, wanted, rows)
    made = {id(chain.links[-1]): _quantized(chain, seen) for chain in chains}
    gone = {id(step) for chain in chains for step in (*chain.links, *chain.before)}
    steps = [made.get(id(step), step) for step in program.steps if id(step) in made or id(step) not in gone]
    return replace(program, steps=tuple(steps))


@dataclass(frozen=True, slots=True, eq=False)
class _Chain:
    """Links, and what is done to each number before the first: times `factor`, plus `constant`, by steps that need not be."""

    given: Buffer
    links: tuple[Step, ...]
    factor: NDArray[np.float64]
    constant: NDArray[np.float64]
    before: tuple[Step, ...] = ()


def _chains(program: Program) -> list[list[Step]]:
    """Find runs of layers in which what flows is never negative and feeds the next alone; each ends in a layer without a Relu."""
    readers = _readers(program)
    chains: list[list[Step]] = []
    for step in program.steps:
        if not _is_link(step):
            continue
        last = next((c for c in chains if c[-1].out.number == step.given.number), None)
        flows = last is not None and _flows(last[-1], step)
        if last is not None and flows and readers[step.given.number] == 1 and step.given.number != program.out.number:
            last.append(step)
        elif isinstance(step, Dense | Convolution):
            chains.append([step])
    return [chain for chain in chains if isinstance(chain[-1], Dense) and not chain[-1].relu]


def _flows(before: Step, step: Step) -> bool:
    """Say whether what one link gives is what the next takes: never negative, and planes where planes are wanted."""
    if isinstance(before, Dense | Convolution) and not before.relu:
        return False
    if isinstance(step, Pool | Reduce):
        planes = before.window.out if isinstance(before, Convolution | Pool) else (0,)
        return bool(planes[0] == (step.out.size if isinstance(step, Reduce) else step.window.given[0]))
    return True


def _is_link(step: Step) -> bool:
    match step:
        case Dense():
            return True
        case Convolution():
            return step.groups == 1
        case Pool():
            return step.operation == "max"
        case Reduce():
            return step.operation == "mean" and step.given.kind == "float"
    return False


def _readers(program: Program) -> dict[int, int]:
    found: dict[int, int] = {}
    for step in program.steps:
        for buffer in reads(step):
            found[buffer.number] = found.get(buffer.number, 0) + 1
    return found


_SCALES: Final = ("Add", "Sub", "Mul", "Div")


def _unscaled(program: Program, links: Sequence[Step]) -> _Chain:
    """Take scaling by constants before a dense layer into the layer: it costs nothing there."""
    given, readers = links[0].given, _readers(program)
    factor, constant, before = np.ones(given.size), np.zeros(given.size), []
    while isinstance(links[0], Dense):
        step = next((s for s in program.steps if s.out.number == given.number), None)
        if not isinstance(step, Elementwise) or step.operation not in _SCALES or readers[given.number] != 1:
            break
        number, other = step.operands
        if not isinstance(number, Buffer) or isinstance(other, Buffer) or number.size != given.size:
            break
        if step.operation in ("Add", "Sub"):
            constant = constant + factor * other * (1 if step.operation == "Add" else -1)
        else:
            factor = factor * (other if step.operation == "Mul" else 1 / other.astype(np.float64))
        before.append(step)
        given = number
    return _Chain(given, tuple(links), factor, constant, tuple(before))


def _quantized(chain: _Chain, seen: dict[int, NDArray[np.float32]]) -> Quantized:
    first = chain.links[0]
    offset, step, reach = _entered(chain, seen)
    weights, bias = first.weights.reshape(len(first.weights), -1).astype(np.float64), first.bias.astype(np.float64)
    if isinstance(first, Dense):
        bias = bias + weights @ (chain.constant + chain.factor * offset.astype(np.float64))
        weights = weights * chain.factor * step
    else:
        weights = weights * step[0]
    links: list[Link8] = []
    shape: tuple[int, int, int] | None = None  # channels, height, width of what lies place by place
    for n, link in enumerate(chain.links):
        if isinstance(link, Pool):
            links.append(Most8(link.window))
            shape = link.window.out
        elif isinstance(link, Reduce):
            links.append(Mean8(link.out.size, link.given.size // link.out.size))
            shape = None
        else:
            after = next((each for each in chain.links[n + 1 :] if isinstance(each, Dense | Convolution)), None)
            units, top = _units(link, after, seen) if after is not None else (None, 0)
            layer = _layer(_placed(link, weights, shape), bias, units=units, top=top)
            links.append(Windowed8(layer, link.window, planar=shape is None) if isinstance(link, Convolution) else layer)
            shape = link.window.out if isinstance(link, Convolution) else None
            if after is not None and units is not None:
                weights, bias = _columns(after, len(units)) * units[:, None], after.bias.astype(np.float64)
                weights = weights.reshape(len(after.weights), -1)
    return Quantized(chain.given, chain.links[-1].out, offset, (1 / step).astype(np.float32), reach, tuple(links))


def _entered(chain: _Chain, seen: dict[int, NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float64], int]:
    """Return how features are rounded: the middle of each, what one unit of it is, and how many there are to either side."""
    first = chain.links[0]
    given = seen[chain.given.number]
    given = given[np.isfinite(given).all(axis=1)].astype(np.float64)
    if not len(given):
        raise Unsupported("no row without missing values shows what the layers are given", hint="keep the layers in float32")
    reach = _flow(_width(first)) // 2
    if isinstance(first, Convolution):
        n = given.shape[1]
        return np.zeros(n, np.float32), np.full(n, max(_ROOM * np.abs(given).max(), 1e-12) / reach), reach
    low, high = given.min(axis=0), given.max(axis=0)
    matters = np.abs(first.weights * chain.factor).max(axis=0)
    return ((low + high) / 2).astype(np.float32), _balanced(_ROOM * (high - low) / 2, matters) / reach, reach


def _balanced(ranges: NDArray[np.float64], matters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Widen ranges until each matters as much as the one that matters most: its weights then have all their bits, and it needs fewer.

    A weight's rounding counts as often as what flows is large, so what matters little is better kept small.
    """
    ranges = np.maximum(ranges, 1e-12)
    most = float((ranges * matters).max(initial=0.0))
    return np.maximum(ranges, np.minimum(most / np.maximum(matters, 1e-30), _WIDEST * ranges))


def _units(link: Dense | Convolution, after: Dense | Convolution, seen: dict[int, NDArray[np.float32]]) -> tuple[NDArray[np.float64], int]:
    """Return what one unit of each output stands for, as it flows into the next layer, and the largest number that may."""
    top, n = _flow(_width(after)), len(link.weights)
    found = seen[link.out.number].astype(np.float64)
    found = np.where(np.isfinite(found), found, 0.0)
    highest = _ROOM * found.reshape(len(found), n, -1).max(axis=(0, 2))
    matters = np.abs(_columns(after, n)).max(axis=(0, 2))
    floor = max(float(highest.max(initial=0.0)), 1e-12) / _WIDEST
    return _balanced(np.maximum(highest, floor), matters) / top, top


def _columns(layer: Dense | Convolution, channels: int) -> NDArray[np.float64]:
    """Return a layer's weights by the channels of what it is given, shape (outputs, channels, rest)."""
    return layer.weights.astype(np.float64).reshape(len(layer.weights), channels, -1)


def _width(link: Step) -> int:
    """Return how many numbers an output of a layer is summed over."""
    return int(np.prod(link.weights.shape[1:]))


def _placed(link: Dense | Convolution, weights: NDArray[np.float64], shape: tuple[int, ...] | None) -> NDArray[np.float64]:
    """Order a layer's weights as its input lies: a window place by place; a layer after planes by places, channels filled up to fours."""
    if isinstance(link, Convolution):
        return weights.reshape(link.weights.shape).transpose(0, 2, 3, 1).reshape(len(weights), -1)
    if shape is None:
        return weights
    channels, height, width = shape
    planes = weights.reshape(len(weights), channels, height * width).transpose(0, 2, 1)
    return np.pad(planes, ((0, 0), (0, 0), (0, -channels % 4))).reshape(len(weights), -1)


def _flow(n_inputs: int) -> int:
    """Return the largest number that may flow into a layer, so that no sum passes 30 bits."""
    return min((1 << _FLOW_BITS) - 1, (1 << 29) // (_WEIGHT * n_inputs))


def _layer(weights: NDArray[np.float64], bias: NDArray[np.float64], *, units: NDArray[np.float64] | None, top: int) -> Layer8:
    scale = np.maximum(np.abs(weights).max(axis=1), 1e-30) / _WEIGHT
    whole = np.round(bias / scale)
    if np.abs(whole).max(initial=0) >= 1 << 30:
        # A row of hardly any weight beside a large bias: coarser weights leave room for the bias.
        scale = np.maximum(scale, np.abs(bias) / (1 << 29))
        whole = np.round(bias / scale)
    factor = np.zeros(len(scale))
    if units is not None:
        factor = scale / units * 2.0**32
        if (factor >= 1 << 31).any():
            raise Unsupported("a layer's sums stay far below what its weights could reach", hint="keep the layers in float32")
        whole = whole + np.minimum(np.round(0.5 * units / scale), 1 << 29)
    return Layer8(
        np.round(weights / scale[:, None]).astype(np.int8),
        whole.astype(np.int32),
        scale.astype(np.float32),
        np.round(factor).astype(np.int32),
        top,
    )


def in_fours(weights: NDArray[np.int8]) -> NDArray[np.int8]:
    """Lay rows out for code that multiplies four at a time in two rows: filled up with zeros, each four in the order 0, 2, 1, 3.

    >>> in_fours(np.array([[1, 2, 3, 4, 5]], np.int8)).tolist()
    [[1, 3, 2, 4, 5, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]]
    """
    filled = np.pad(weights, ((0, len(weights) % 2), (0, -weights.shape[1] % 4)))
    return np.ascontiguousarray(filled.reshape(len(filled), -1, 4)[:, :, [0, 2, 1, 3]].reshape(filled.shape))
