"""Variants of a model on one board: each generated, compiled, run on the probe rows, and held against the budget and the package's answers.

The first that fits and answers as it should is taken. Where none does, the front is what there is to choose from: the variants that no
other beats in flash, memory, time and closeness together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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

EXACT: Final = "exact"
# How far the untouched model's answers may be from the package's, in the scale of answers: what a package's own probe set allows. Trees are
# off by some 1e-7, float32 sums taken in another order by 1e-6, steep calibrations by 1e-5.
PARITY: Final = 1e-4


class Variant(msgspec.Struct, frozen=True):
    """A form of a model that is worth a try; `why_not` says why it cannot be had."""

    name: str
    program: Program | None
    options: Options = Options()
    why_not: str = ""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A variant as measured. Differences are from the package's answers, in the scale of answers."""

    variant: str
    flash: int = 0
    ram: int = 0
    stack: int = 0
    instructions: float = 0.0
    worst_instructions: int = 0
    ms: float = 0.0  # the slowest row at the board's clock
    uj: float | None = None  # a row's energy on average, where the board's profile tells it
    max_difference: float = 0.0
    mean_difference: float = 0.0
    changed: float = 0.0  # share of rows on the other side of the threshold
    why_not: str = ""

    @property
    def limits(self) -> dict[str, float]:
        """The figures by the names of a budget."""
        found = {"flash": float(self.flash), "ram": float(self.ram), "stack": float(self.stack), "ms": self.ms}
        found |= {"instructions": float(self.worst_instructions)}
        return found if self.uj is None else {**found, "uj": self.uj}


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """What variants are tried on, and what they are to answer."""

    profile: Profile
    schema: Schema
    rows: NDArray[np.float32]
    expected: NDArray[np.float64]  # shape (n, outputs), in the scale of answers
    scale: float = 1.0
    threshold: float | None = None
    transform: Program | None = None  # what makes features of `requests`; without it, boards are given `rows`
    requests: Packed | None = None

    def attempt(self, variant: Variant, folder: Path) -> tuple[Generated | None, Point]:
        """Generate, compile and run a variant; None and the reason where it cannot be had."""
        if variant.program is None:
            return None, Point(variant=variant.name, why_not=variant.why_not)
        try:
            options = msgspec.structs.replace(variant.options, tolerance=TOLERANCE * self.scale)
            generated = generate(variant.program, self.schema, options, transform=self.transform)
            if needs_math(generated) and not self.profile.math:
                raise Unsupported(f"the code needs math.h, which {self.profile.name} is compiled without", hint="name another compiler")
            n_outputs = variant.program.n_outputs
            if self.requests is None:
                sources, rows = Sources(generated.files, f"{generated.name}_scores", variant.program.n_inputs, n_outputs), self.rows
            else:
                rows, beside = self.requests.words, self.requests.adapter(generated.name)
                sources = Sources(generated.files, f"{generated.name}_asked", rows.shape[1], n_outputs, beside)
            answers, found = measure(sources, rows, self.profile, folder)
        except SampanError as cause:
            if variant.name == EXACT:
                raise
            return None, Point(variant=variant.name, why_not=cause.message)
        return generated, self._point(variant.name, answers, found)

    def _point(self, name: str, answers: NDArray[np.float64], found: Measured) -> Point:
        distance = np.where(np.isfinite(answers), np.abs(answers - self.expected), np.inf) / self.scale
        distance[np.isnan(answers) & np.isnan(self.expected)] = 0.0
        changed = 0.0
        if self.threshold is not None:
            changed = float(((answers[:, 0] >= self.threshold) != (self.expected[:, 0] >= self.threshold)).mean())
        return Point(
            variant=name,
            flash=found.flash_bytes,
            ram=found.ram_bytes,
            stack=found.stack_bytes,
            instructions=found.instructions,
            worst_instructions=found.worst_instructions,
            ms=self.profile.milliseconds(found.worst_instructions),
            uj=self.profile.microjoules(found.instructions),
            max_difference=float(distance.max(initial=0.0)),
            mean_difference=float(distance.mean()),
            changed=changed,
        )


def needs_math(generated: Generated) -> bool:
    """Say whether generated code calls functions of math.h."""
    return "#include <math.h>" in generated.source


def over(point: Point, budget: dict[str, float]) -> list[str]:
    """Name the limits that a variant exceeds."""
    return [
        f"{name} {_told(name, point.limits[name])}, at most {_told(name, limit)}"
        for name, limit in budget.items()
        if point.limits[name] > limit
    ]


def front(points: Iterable[Point]) -> list[Point]:
    """Return the variants that no other beats in everything, the smallest first."""
    known = [point for point in points if not point.why_not]
    kept = [point for point in known if not any(_beats(other, point) for other in known if other is not point)]
    return sorted(kept, key=lambda point: (point.flash, point.ms))


def check_parity(point: Point) -> None:
    """Hold the untouched model to the package's answers.

    Raises
    ------
    Unsupported : it answers otherwise than the package.
    """
    if point.max_difference > PARITY:
        raise Unsupported(
            f"the generated code differs from the package by up to {point.max_difference:.3g}, more than {PARITY:g}",
            hint="the graph holds a part that is generated otherwise; serve it whole: sampan model pack MODEL --target oci",
        )


def table_of(points: Sequence[Point]) -> list[str]:
    """Tell variants as lines of text."""
    return [
        f"{p.variant}: flash {p.flash:,}, ram {p.ram:,}, {p.ms:.3g} ms, off by {p.max_difference:.2g} at most"
        + (f", {p.changed:.2%} of decisions" if p.changed else "")
        for p in points
    ]


def _beats(one: Point, other: Point) -> bool:
    mine, theirs = _figures(one), _figures(other)
    return all(a <= b for a, b in zip(mine, theirs, strict=True)) and mine != theirs


def _figures(point: Point) -> tuple[float, ...]:
    return point.flash, point.ram, point.ms, point.max_difference


def _told(name: str, value: float) -> str:
    return f"{value:,.0f}" if name in ("flash", "ram", "stack", "instructions") else f"{value:.4g}"
