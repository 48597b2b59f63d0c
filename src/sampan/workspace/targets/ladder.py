"""The ladder of smaller forms, for every target that carries a model as C: what is tried where it does not fit, and what is taken.

First the model as it is; then what needs no training, the least changed first: other layouts, leaves of 16 bits, layers in int8, and
the same of edited graphs. The first that fits and answers within `accept` of the package is built. Where there is none, smaller
trainings on labels are measured too, and each form is judged on rows held out, by twins (`docs/decisions/0020`). With a limit on
`loss` the best that fits becomes a version of the model and passes its gate; without one the build is refused with the front, and a
form can be asked for by its name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from sampan.compression.edits import OF_ONE_MATRIX, edited, edits_for, name_of
from sampan.core.budgets import hold_to
from sampan.core.refs import nearest
from sampan.edge.program import Program, Trees
from sampan.edge.quantizing import has_layers, in_int8
from sampan.edge.source import Generated, Options
from sampan.edge.trying import EXACT, SIZES, Point, Site, Variant, front, over, told
from sampan.errors import BudgetExceeded, NotFound, ParameterError, SampanError, Unsupported
from sampan.flavors.onnx_graph import INPUT
from sampan.ports import Built, Gain, Progress, SmallerForms, Stage, Target, TargetOptions
from sampan.workspace.columns import align, count
from sampan.workspace.targets.edge_packages import CarriedPackage, program_of
from sampan.workspace.targets.hard_rows import HARD_PARITY

ACCEPT: Final = 1e-3
LOSS: Final = "loss"  # in a budget: how much worse the objective's metric may be, at the far end of its interval
FASTEST, I16, INT8 = "fastest", "i16 leaves", "int8"
_CODES: Final = (FASTEST, I16, INT8)


class LadderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may set of the ladder."""

    variant: str = ""  # take this form, whatever it answers
    accept: float = ACCEPT  # how far a smaller form's answers may be from the package's, in the scale of answers
    tries: int = 12  # smaller trainings; 0 for none


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What the ladder ends with: code that was built, or a form of the model to make a version of first, and how its code is written."""

    points: list[Point]
    generated: Generated | None = None
    form: str = ""
    code: str = ""
    allowed_loss: float | None = None
    why_unjudged: str = ""

    @property
    def point(self) -> Point:
        """The one that was taken."""
        return self.points[-1]

    @property
    def front(self) -> tuple[str, ...]:
        """The names of the variants that no other beats."""
        return tuple(point.variant for point in front(self.points))

    def warnings(self, *, asked: bool) -> tuple[str, ...]:
        """Say what else than the model as it is was built, and why."""
        if self.point.variant == EXACT:
            return ()
        why = f"{self.point.variant} was asked for" if asked else "the model as it is does not fit"
        words = f"{why}; {self.point.variant} is off by up to {self.point.max_difference:.2g}"
        judged = str(self.point.gain) if self.point.gain is not None else self.why_unjudged and f"not judged: {self.why_unjudged}"
        return (f"{words}, {judged}" if judged else words,)


@dataclass(slots=True, eq=False)
class Ladder:
    """One package at one site."""

    site: Site
    carried: CarriedPackage
    asked: LadderSettings
    parity: float  # how far the model as it is may be from the package
    forms: SmallerForms | None = None
    _made: dict[str, tuple[str, str]] = field(default_factory=dict)  # variants by name: of which form, written how
    _points: list[Point] = field(default_factory=list)
    _n: int = 0
    _has_trained: bool = False

    def climb(self, budget: Mapping[str, float], progress: Progress, title: str) -> Taken:
        """Try until one fits.

        Raises
        ------
        BudgetExceeded : nothing fits; the message holds the front.
        ParameterError : a limit is on what is not measured, or there is no such variant.
        Unsupported : the model as it is answers otherwise than its package, or the variant that was asked for cannot be had.
        """
        limits = {name: limit for name, limit in budget.items() if name != LOSS}
        if LOSS in budget and (self.forms is None or self.forms.why_not):
            why = self.forms.why_not if self.forms is not None else "its rows are not at hand"
            raise ParameterError(f"a limit on loss cannot be held: {why}", parameter="budget", hint="leave loss out")
        if (form := self._named_form()) is not None:
            return Taken([], form=form[0], code=form[1], allowed_loss=budget.get(LOSS))
        with tempfile.TemporaryDirectory() as temporary:
            with progress.stage(title) as stage:
                taken = self._without_training(limits, Path(temporary), stage)
            if taken is None and self.forms is not None and not self.forms.why_not and not self.asked.variant:
                taken = self._with_training(limits, budget.get(LOSS), Path(temporary), progress)
        if taken is None:
            raise self._refusal(limits)
        return taken

    # -- what needs no training ---------------------------------------------------------------------------------------------------

    def _without_training(self, limits: Mapping[str, float], folder: Path, stage: Stage) -> Taken | None:
        passed_over: list[str] = []
        for variant in self._plain():
            if self.asked.variant and variant.name not in (EXACT, self.asked.variant):
                passed_over.append(variant.name)
                continue
            stage.advance(note=variant.name)
            generated, point = self._attempt(variant, folder)
            if variant.name == EXACT:
                hold_to(dict.fromkeys(limits, np.inf), point.limits)  # a limit on what is not measured is never ignored
            if generated is not None and self._is_taken(point, limits):
                why = self.forms.why_not if self.forms is not None and self._made[point.variant][0] else ""
                return Taken(self._points, generated, why_unjudged=why)
        if self.asked.variant not in ("", self._points[-1].variant):
            close = nearest(self.asked.variant, passed_over)
            hint = f"perhaps {close[0]!r}" if close else f"there are {', '.join([EXACT, *passed_over])}"
            raise ParameterError(f"there is no variant {self.asked.variant!r}", parameter="variant", hint=hint)
        return None

    def _is_taken(self, point: Point, limits: Mapping[str, float]) -> bool:
        if over(point, limits):
            return False
        if self.asked.variant:
            return point.variant == self.asked.variant
        return point.variant == EXACT or point.max_difference <= self.asked.accept

    def _plain(self) -> Iterator[Variant]:
        """Yield what needs no training, the least changed first. Nothing is computed before it is asked for."""
        yield from self._coded("", self.carried.graph)
        for edit, share in sorted(edits_for(self.carried.graph), key=lambda each: -each[1]):
            if edit not in OF_ONE_MATRIX:
                continue
            name = name_of(edit, share)
            try:
                graph = edited(self.carried.graph, edit, share, {INPUT: self.carried.usual})
            except SampanError as cause:
                yield Variant(name, None, why_not=cause.message)
                continue
            yield from self._coded(name, graph)

    def _coded(self, form: str, graph: bytes) -> Iterator[Variant]:
        """Yield a graph as it is, then the other ways its code can be written."""
        program = program_of(graph)
        self._made[form or EXACT] = form, ""
        yield Variant(form or EXACT, program)
        for code in _CODES:
            made = self._in_code(code, program)
            if made is not None and not (code == FASTEST and form):
                name = f"{form}, {code}" if form else code
                self._made[name] = form, code
                yield msgspec.structs.replace(made, name=name)

    def _in_code(self, code: str, program: Program) -> Variant | None:
        if code == INT8:
            return Variant(code, in_int8(program, self.carried.usual)) if has_layers(program) else None
        if not any(isinstance(step, Trees) for step in program.steps):
            return None
        return Variant(code, program, Options(fastest=True) if code == FASTEST else Options(leaves="i16"))

    def _attempt(self, variant: Variant, folder: Path) -> tuple[Generated | None, Point]:
        self._n += 1
        generated, point = self.site.attempt(variant, folder / str(self._n))
        if variant.name == EXACT and point.max_difference > self.parity:
            # The graph computes in float64 on its way, and needs to.
            in_doubles = Variant(EXACT, program_of(self.carried.graph, has_doubles=True))
            generated, point = self.site.attempt(in_doubles, folder / f"{self._n}-doubles")
        if variant.name == EXACT and point.max_difference > self.parity:
            raise Unsupported(
                f"the generated code differs from the package by up to {point.max_difference:.3g}, more than {self.parity:g}",
                hint="the graph holds a part that is generated otherwise; serve it whole: sampan model pack MODEL --target oci",
            )
        if variant.name == EXACT and point.more.get("hard_difference", 0.0) > HARD_PARITY:
            raise Unsupported(
                f"where values are missing, unseen or far out, the generated code differs from the package by up to "
                f"{point.more['hard_difference']:.3g}, more than {HARD_PARITY:g}",
                hint="serve it whole: sampan model pack MODEL --target oci",
            )
        self._points.append(point)
        return generated, point

    # -- what needs training ------------------------------------------------------------------------------------------------------

    def _named_form(self) -> tuple[str, str] | None:
        """Return the form of the model that was asked for, to be made a version, and how its code is written; None where it is neither."""
        name = self.asked.variant
        if name in ("", EXACT, *_CODES) or self.forms is None or self.forms.why_not:
            return None
        code = next((code for code in _CODES if name.endswith(f", {code}")), "")
        return name.removesuffix(f", {code}") if code else name, code

    def _with_training(self, limits: Mapping[str, float], loss: float | None, folder: Path, progress: Progress) -> Taken | None:
        """Train smaller, judge every form, and take the best that fits and loses no more than it may."""
        assert self.forms is not None
        with progress.stage("Try smaller trainings") as stage:
            for name, graph in self.forms.trained(self.asked.tries):
                self._has_trained = True
                for variant in self._coded(name, graph):
                    stage.advance(note=variant.name)
                    self._attempt(variant, folder)
        with progress.stage("Judge them on rows held out", total=len(self._points), unit="forms") as stage:
            self._points = [self._judged(point, folder, stage) for point in self._points]
        if loss is None:
            return None
        fitting = [p for p in self._points if not over(p, limits) and p.gain is not None and not p.gain.costs_more and p.gain.loss <= loss]
        if not fitting:
            return None
        best = max(fitting, key=lambda point: point.gain.value if point.gain is not None else -np.inf)
        form, code = self._made[best.variant]
        if not form:  # another way to write the code of the model as it is
            return self._coded_again(best, code, folder)
        return Taken(self._points, form=form, code=code, allowed_loss=loss)

    def _coded_again(self, point: Point, code: str, folder: Path) -> Taken:
        variant = self._in_code(code, program_of(self.carried.graph))
        assert variant is not None
        generated, _ = self.site.attempt(variant, folder / "taken")
        return Taken([*(each for each in self._points if each is not point), point], generated)

    def _judged(self, point: Point, folder: Path, stage: Stage) -> Point:
        assert self.forms is not None
        stage.advance(1, point.variant)
        if point.why_not:
            return point
        form, code = self._made[point.variant]
        # Rounding leaves to 16 bits moves answers by what "off by" says; rounding layers changes how the model answers.
        answer = self._answering(folder) if code == INT8 else None
        return msgspec.structs.replace(point, gain=self.forms.judge(form, answer))

    def _answering(self, folder: Path) -> Callable[[bytes, Any], Any]:
        def answer(graph: bytes, rows: Any) -> Any:
            self._n += 1
            return self.site.answers(Variant(INT8, in_int8(program_of(graph), self.carried.usual)), rows, folder / str(self._n))

        return answer

    def _refusal(self, limits: Mapping[str, float]) -> SampanError:
        first = self._points[-1] if self.asked.variant else self._points[0]
        if first.why_not:
            return Unsupported(f"{first.variant} cannot be had: {first.why_not}", hint="leave variant out for the front")
        reasons = over(first, limits)
        dear = [point for point in self._points if point.gain is not None and point.gain.costs_more]
        shown = front(point for point in self._points if point not in dear)
        if first not in shown:  # what the others are compared with
            shown.append(first)
        words = "\n".join([f"{first.variant}: {', '.join(reasons)}; the front is", table_of(shown, limits), *self._untried(len(dear))])
        measured = {**first.limits, "max_difference": first.max_difference}
        for point in shown:
            measured |= {f"{point.variant}: {name}": value for name, value in _told_of(point)}
        fits = [point.variant for point in shown if not over(point, limits)]
        return BudgetExceeded(words, measured=measured, reasons=tuple(reasons), hint=self._hint(fits))

    def _untried(self, n_dear: int) -> Iterable[str]:
        if n_dear:
            yield f"  {count(n_dear, 'other')} shown to make decisions cost more, which no gate lets pass"
        if self.forms is not None and self.forms.why_not:
            yield f"  none was trained smaller or judged: {self.forms.why_not}"

    def _hint(self, fits: list[str]) -> str:
        judged = any(point.gain is not None for point in self._points)
        if fits and judged:
            best = f"--budget …,{LOSS}=0.01 the best that loses no more than that, beyond doubt"
            return f"--setting 'variant={fits[-1]}' takes one that fits; {best}"
        if fits:
            return f"--setting 'variant={fits[-1]}' takes one that fits, --setting accept=0.01 allows more"
        more = ["a wider --budget"]
        if self._has_trained:
            more.append(f"more trainings: --setting tries={2 * self.asked.tries}")
        if self.carried.transform is not None:
            more.append("without the features, which the caller then makes: --setting transform=false")
        return "; ".join(more)


def build_version(target: Target, taken: Taken, out: Path, options: TargetOptions, progress: Progress) -> Built:
    """Make a version of the form that was taken, and build that one: it is held to the same budget, in the same code.

    Raises
    ------
    GateRejected : the version did not pass its gate.
    ParameterError : there is no such form.
    BudgetExceeded : fitted on all rows, it takes more than its twin did.
    """
    assert options.forms is not None
    try:
        package = options.forms.make(taken.form, allowed_loss=taken.allowed_loss)
    except NotFound as cause:
        hint = ", ".join(cause.did_you_mean) or cause.hint
        raise ParameterError(f"there is no variant {taken.form!r}", parameter="variant", hint=hint) from cause
    settings = {name: value for name, value in options.settings.items() if name != "variant"}
    if taken.code:
        settings["variant"] = taken.code
    limits = {name: limit for name, limit in options.budget.items() if name != LOSS}
    built = target.build(package, out, msgspec.structs.replace(options, budget=limits, settings=settings, forms=None), progress)
    return msgspec.structs.replace(built, facts={**built.facts, "form": taken.form})


def table_of(points: Sequence[Point], limits: Mapping[str, float]) -> str:
    """Lay variants out as a table; those that fit are marked."""
    sizes = [name for name in SIZES if name in points[0].limits]
    timed = [name for name in ("ms", "uj") if name in points[0].limits]
    gains = [point.gain for point in points if point.gain is not None]
    judged = [f"{gains[0].metric} gained on {gains[0].n_rows:,} rows held out"] if gains else []
    rows = [
        (
            "fits" if not over(point, limits) else "",
            point.variant,
            *(told(name, point.limits[name]) for name in sizes),
            *(f"{point.limits[name]:.3g}" for name in timed),
            f"{point.max_difference:.1g}",
            f"{point.changed:.1%}" if point.changed else "",
            *([_gain_words(point.gain)] if judged else []),
        )
        for point in points
    ]
    header = ("", "form", *sizes, *timed, "off by", "decisions", *judged)
    return align(header, rows, right=(*sizes, *timed, "off by", "decisions"))


def _gain_words(gain: Gain | None) -> str:
    if gain is None:
        return "not judged"
    return f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"


def _told_of(point: Point) -> Iterator[tuple[str, float]]:
    yield from point.limits.items()
    yield "max_difference", point.max_difference
    if point.gain is not None:
        yield from (("gain", point.gain.value), ("gain_low", point.gain.low), ("gain_high", point.gain.high))
