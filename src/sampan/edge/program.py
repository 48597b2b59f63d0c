"""What generated code computes for one row: a list of steps over buffers of numbers. `reading.py` makes it, `source.py` writes it as C.

Shapes are those of one row; the batch dimension of the graph is gone. Steps are in the order in which they run, each buffer is written by
one step only, and all weights are here: nothing is looked up later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Kind = Literal["float", "double", "text"]


@dataclass(frozen=True, slots=True)
class Buffer:
    """A value that a step writes and others read: float32, in a feature transform also float64 and texts."""

    number: int
    size: int
    kind: Kind = "float"


Operand = Buffer | Floats  # a constant is laid out like the answer, or holds one number


@dataclass(frozen=True, slots=True, eq=False)
class Elementwise:
    """`out[i] = operation(operands[0][i], …)`; a buffer or constant of one number stands for all i. Operations are in `elementwise.py`."""

    operation: str
    operands: tuple[Operand, ...]
    out: Buffer


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """`out` is put together from pieces of other buffers: slices, transpositions, columns picked, parts joined."""

    pieces: tuple[tuple[Buffer, NDArray[np.int64]], ...]  # source, which of its elements
    out: Buffer


@dataclass(frozen=True, slots=True, eq=False)
class Reduce:
    """`out[i]` = sum, product, mean, max, min, norm1, norm2 or place (of the largest) of `given[i * n]` to `given[i * n + n - 1]`."""

    operation: str
    given: Buffer
    out: Buffer


@dataclass(frozen=True, slots=True, eq=False)
class Softmax:
    """Shares that add up to one, over each run of `width` numbers."""

    given: Buffer
    out: Buffer
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """`out = weights @ given + bias` for each of `n` groups of inputs; weights have shape (outputs, inputs)."""

    given: Buffer
    out: Buffer
    weights: Floats
    bias: Floats
    relu: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """Where a filter looks: channels, height and width, of input and output, and how it steps."""

    given: tuple[int, int, int]
    out: tuple[int, int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int] = (0, 0)  # above, left; below and right follow from the output's size
    dilations: tuple[int, int] = (1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """A two-dimensional convolution; weights have shape (outputs, inputs of the group, height, width)."""

    given: Buffer
    out: Buffer
    window: Window
    weights: Floats
    bias: Floats
    groups: int = 1
    relu: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The maximum or mean under a window, channel by channel; padding does not count, unless `counts_padding`."""

    operation: str  # max | mean
    given: Buffer
    out: Buffer
    window: Window
    counts_padding: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Nodes in any order, the root first; `given[feature] <= threshold` goes left. Leaves have `left < 0`."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.int64]  # an order-preserving key, see `keys.py`
    missing_left: NDArray[np.bool_]
    values: Floats | NDArray[np.float64]  # (nodes, outputs): what a leaf adds


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """`out` = base + the sum of the leaves that the row reaches."""

    given: Buffer
    out: Buffer
    trees: tuple[Tree, ...]
    base: NDArray[np.float64]  # (outputs,)


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """`out` = heights[how many edges lie at or below the given number]; edges rise."""

    given: Buffer
    out: Buffer
    edges: NDArray[np.float64]
    heights: NDArray[np.float64]


Text = tuple[Buffer, int] | str | None  # a place in a buffer of texts, or a constant; None is a missing text


@dataclass(frozen=True, slots=True, eq=False)
class Encode:
    """`out` = the number of a text, as an encoder gives it; `missing` for a missing text, `unseen` for all others."""

    text: Text
    out: Buffer
    numbers: tuple[tuple[str, float], ...]  # sorted by the texts' bytes
    missing: float
    unseen: float


@dataclass(frozen=True, slots=True, eq=False)
class SameText:
    """`out` = 1 where two texts are equal, 0 where they are not."""

    texts: tuple[Text, Text]
    out: Buffer


@dataclass(frozen=True, slots=True, eq=False)
class ChooseText:
    """`out` = the first text where the condition is not 0, else the second."""

    condition: Buffer
    texts: tuple[Text, Text]
    out: Buffer


@dataclass(frozen=True, slots=True, eq=False)
class JoinTexts:
    """`out` = two texts, one after the other; cut after `longest` bytes, more than any text that it is compared with."""

    texts: tuple[Text, Text]
    out: Buffer
    longest: int


Step = Any  # one of the above; extended by `quantizing.py` and `layouts.py`


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """All steps, from the features to the answer."""

    given: Buffer
    out: Buffer
    steps: tuple[Step, ...] = field(default_factory=tuple)
    texts: Buffer | None = None  # of a feature transform: the row's texts, beside its numbers

    @property
    def n_inputs(self) -> int:
        """How many features a row has."""
        return self.given.size

    @property
    def n_outputs(self) -> int:
        """How many numbers an answer has."""
        return self.out.size


def reads(step: Step) -> Sequence[Buffer]:
    """Return the buffers a step reads."""
    match step:
        case Elementwise():
            return [o for o in step.operands if isinstance(o, Buffer)]
        case Move():
            return [source for source, _ in step.pieces]
        case Encode():
            return _places([step.text])
        case SameText() | JoinTexts():
            return _places(step.texts)
        case ChooseText():
            return [step.condition, *_places(step.texts)]
    return [step.given]


def _places(texts: Sequence[Text]) -> list[Buffer]:
    return [text[0] for text in texts if isinstance(text, tuple)]
