"""Variants of a model at one site: each generated, compiled, run on the probe rows, and held against the package's answers.

A site is where generated code runs: a board, a page, a computer. The front is what there is to choose from: the variants that no other
beats in everything they take and in how they answer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.edge.emulation import Measured, Sources, measure
from sampan.edge.layouts import TOLERANCE
from sampan.edge.profiles import Profile
from sampan.edge.program import Program
from sampan.edge.requests import Packed
from sampan.edge.source import Generated, Options, Schema, generate
from sampan.errors import SampanError, Unsupported
from sampan.ports import Gain

EXACT: Final = "exact"
SIZES: Final = ("flash", "wasm", "download", "program", "ram")
_COUNTS: Final = (*SIZES, "stack", "instructions")


class Variant(msgspec.Struct, frozen=True):
    """A form of a model that is worth a try; `why_not` says why it cannot be had."""

    name: str
    program: Program | None
    options: Options = Options()
    why_not: str = ""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A variant as measured. Differences are from the package's answers, in the scale of answers."""

    variant: str
    limits: dict[str, float] = {}  # what it takes, by the names of a budget
    more: dict[str, float] = {}  # what else was measured
    max_difference: float = 0.0
    mean_difference: float = 0.0
    changed: float = 0.0  # share of rows on the other side of the threshold
    gain: Gain | None = None  # on rows held out, where the model can be fitted without them
    why_not: str = ""

    def facts(self) -> dict[str, str | int | float | bool | None]:
        """Return all that was measured, flat."""
        found: dict[str, str | int | float | bool | None] = {name: int(v) if name in _COUNTS else v for name, v in self.limits.items()}
        found |= {"variant": self.variant, **self.more, "max_difference": self.max_difference}
        found |= {"mean_difference": self.mean_difference, "changed": self.changed}
        if self.gain is not None:
            found |= {"metric": self.gain.metric, "gain": self.gain.value, "gain_low": self.gain.low, "gain_high": self.gain.high}
        return found


class Site(Protocol):
    """Where generated code runs."""

    def attempt(self, variant: Variant, folder: Path) -> tuple[Generated | None, Point]:
        """Generate, compile and run a variant; None and the reason where it cannot be had. Raises SampanError for the model as it is."""
        ...

    def answers(self, variant: Variant, rows: NDArray[np.float32], folder: Path) -> NDArray[np.float64]:
        """Answer other rows of features by a variant, shape (n, outputs)."""
        ...


class Probe(msgspec.Struct, frozen=True):
    """What variants are to answer: to the probe rows, and to hard rows after them (missing, unseen, far out). Shapes are (n, outputs)."""

    expected: NDArray[np.float64]
    hard: NDArray[np.float64]
    scale: float = 1.0
    threshold: float | None = None

    def point(self, variant: str, answers: NDArray[np.float64], limits: Mapping[str, float], **more: float) -> Point:
        """Hold answers, to the probe rows and then to the hard ones, against those expected."""
        usual, hard = np.split(answers, [len(self.expected)])
        distance = _distances(usual, self.expected) / self.scale
        changed = 0.0
        if self.threshold is not None:
            changed = float(((usual[:, 0] >= self.threshold) != (self.expected[:, 0] >= self.threshold)).mean())
        # A number far out costs float32 its last digits: what it makes large is told beside itself.
        hard_distance = _distances(hard, self.hard) / np.maximum(self.scale, np.abs(np.nan_to_num(self.hard, posinf=1.0, neginf=1.0)))
        return Point(
            variant=variant,
            limits=dict(limits),
            more={**more, "hard_difference": float(hard_distance.max(initial=0.0))},
            max_difference=float(distance.max(initial=0.0)),
            mean_difference=float(distance.mean()),
            changed=changed,
        )


def _distances(answers: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far answers are off; not finite counts as infinitely far, but where the very same is expected."""
    with np.errstate(invalid="ignore"):
        found = np.nan_to_num(np.abs(answers - expected), nan=np.inf)
    found[(answers == expected) | (np.isnan(answers) & np.isnan(expected))] = 0.0
    return np.asarray(found)


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """A board in emulation."""

    profile: Profile
    schema: Schema
    rows: NDArray[np.float32]
    probe: Probe
    transform: Program | None = None  # what makes features of `requests`; without it, boards are given `rows`
    requests: Packed | None = None

    def attempt(self, variant: Variant, folder: Path) -> tuple[Generated | None, Point]:
        """Generate, compile and run a variant; None and the reason where it cannot be had."""
        if variant.program is None:
            return None, Point(variant=variant.name, why_not=variant.why_not)
        try:
            generated = self._generated(variant, self.transform)
            answers, found = self._measured(generated, variant.program.n_outputs, folder)
        except SampanError as cause:
            if variant.name == EXACT:
                raise
            return None, Point(variant=variant.name, why_not=cause.message)
        counted = {"instructions": found.instructions, "worst_instructions": found.worst_instructions}
        return generated, self.probe.point(variant.name, answers, self._limits(found), **counted)

    def replies(self, generated: Generated, n_outputs: int) -> NDArray[np.float64]:
        """Return what generated code answers to the rows or requests, shape (n, outputs)."""
        with tempfile.TemporaryDirectory() as folder:
            return self._measured(generated, n_outputs, Path(folder))[0]

    def _measured(self, generated: Generated, n_outputs: int, folder: Path) -> tuple[NDArray[np.float64], Measured]:
        if self.requests is None:
            sources, rows = Sources(generated.files, f"{generated.name}_scores", self.rows.shape[1], n_outputs), self.rows
        else:
            rows, beside = self.requests.words, self.requests.adapter(generated.name)
            sources = Sources(generated.files, f"{generated.name}_asked", rows.shape[1], n_outputs, beside)
        return measure(sources, rows, self.profile, folder)

    def answers(self, variant: Variant, rows: NDArray[np.float32], folder: Path) -> NDArray[np.float64]:
        """Answer other rows of features."""
        assert variant.program is not None
        generated = self._generated(variant, None)
        sources = Sources(generated.files, f"{generated.name}_scores", variant.program.n_inputs, variant.program.n_outputs)
        return measure(sources, rows, self.profile, folder)[0]

    def _generated(self, variant: Variant, transform: Program | None) -> Generated:
        assert variant.program is not None
        options = msgspec.structs.replace(variant.options, tolerance=TOLERANCE * self.probe.scale)
        generated = generate(variant.program, self.schema, options, transform=transform)
        if needs_math(generated) and not self.profile.math:
            raise Unsupported(f"the code needs math.h, which {self.profile.name} is compiled without", hint="name another compiler")
        return generated

    def _limits(self, found: Measured) -> dict[str, float]:
        limits = {"flash": float(found.flash_bytes), "ram": float(found.ram_bytes), "stack": float(found.stack_bytes)}
        limits |= {"ms": self.profile.milliseconds(found.worst_instructions), "instructions": float(found.worst_instructions)}
        uj = self.profile.microjoules(found.instructions)
        return limits if uj is None else {**limits, "uj": uj}


def needs_math(generated: Generated) -> bool:
    """Say whether generated code calls functions of math.h."""
    return "#include <math.h>" in generated.source


def over(point: Point, budget: Mapping[str, float]) -> list[str]:
    """Name the limits that a variant exceeds."""
    return [
        f"{name} {told(name, point.limits[name])}, at most {told(name, limit)}"
        for name, limit in budget.items()
        if point.limits[name] > limit
    ]


def front(points: Iterable[Point]) -> list[Point]:
    """Return the variants that no other beats in everything, the smallest first."""
    known = [point for point in points if not point.why_not]
    judged = any(point.gain is not None for point in known)
    figures = [_figures(point, judged=judged) for point in known]
    kept = [point for point, own in zip(known, figures, strict=True) if not any(_beats(other, own) for other in figures)]
    return sorted(kept, key=lambda point: tuple(point.limits.values()))


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _figures(point: Point, *, judged: bool) -> tuple[float, ...]:
    """Return what is the less the better. Where forms were judged it is the metric that counts, else how far the answers are off."""
    taken = tuple(
        value for name, value in point.limits.items() if name in (*SIZES, "instructions")
    )  # times in Node differ by half from run to run
    if not judged:
        return *taken, point.max_difference
    return *taken, -point.gain.value if point.gain is not None else np.inf


def told(name: str, value: float) -> str:
    """Write a figure of a budget."""
    return f"{value:,.0f}" if name in _COUNTS else f"{value:.4g}"
