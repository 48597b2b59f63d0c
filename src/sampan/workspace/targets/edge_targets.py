"""Targets of `sampan model pack` that are microcontrollers: the package's graph as C, compiled, run in emulation, held to a budget.

What is built is the model as it is where that fits. Where it does not, smaller forms are tried that need no training
(`compression/edits.py`, leaves of 16 bits, layers in int8); one that answers within `accept` of the package is taken, else the build is
refused with the front.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.settings import read_settings
from sampan.errors import BudgetExceeded, IntegrityError, ParameterError, SampanError, Unsupported
from sampan.ports import Built, Progress, TargetOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sampan.edge.profiles import Profile
    from sampan.edge.program import Program
    from sampan.edge.source import Generated, Schema
    from sampan.edge.trying import Board, Point, Variant
    from sampan.workspace.models.predictors import PackageManifest, PackagePredictor

ACCEPT: Final = 1e-3
REPORT: Final = "report.json"
_CALIBRATION_ROWS: Final = 2000


class BoardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may set of a board."""

    profile: str = ""  # a file that describes another board
    variant: str = ""  # take this one of the front, whatever it answers
    accept: float = ACCEPT  # how far a smaller variant's answers may be from the package's, in the scale of answers
    transform: bool = True  # whether the features are made on the board; without, it is given features
    name: str = ""  # of the C functions; by default the model's


class Report(msgspec.Struct, frozen=True):
    """`report.json`: what was measured, and how."""

    model: str
    target: str
    profile: dict[str, Any]
    budget: dict[str, float]
    variant: str
    n_rows: int
    points: tuple[dict[str, Any], ...]
    front: tuple[str, ...]


class Microcontroller:
    """Builds for the board of the same name among the profiles."""

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self, package: Path, out: Path, options: TargetOptions, progress: Progress) -> Built:
        """Write C and header of a package, with a report of what they take.

        Raises
        ------
        ParameterError : a setting, limit or base that cannot be heeded.
        BudgetExceeded : nothing fits; the message holds the front.
        Unsupported : the package has no graph, or one that no code is generated for, or whose code answers otherwise.
        MissingDependency : a compiler or emulator is not installed.
        """
        from sampan.edge.emulation import require_tools
        from sampan.edge.profiles import read_profile

        asked = read_settings(options.settings, BoardSettings)
        options.refuse_base("a board has no base")
        profile = read_profile(asked.profile or self.name)
        require_tools(profile)
        budget = _budget(profile, options)
        with progress.stage(f"Build for {profile.name}") as stage:
            work = _Work(package, profile, asked)
            generated, points = work.choose(budget, stage.advance)
        return _write(out, generated, points, work, budget)


class _Work:
    """One package on one board."""

    def __init__(self, package: Path, profile: Profile, asked: BoardSettings) -> None:
        from sampan.workspace.models.predictors import GRAPH, open_predictor

        self.profile, self._asked = profile, asked
        predictor = open_predictor(package)
        self.manifest = predictor.manifest
        if self.manifest.served_by != "onnx":
            raise Unsupported(
                f"{self.manifest.model} has no graph that answers as it does: {self.manifest.why_slow}",
                hint="sampan model pack MODEL --target oci",
            )
        if self.manifest.direct:
            raise Unsupported(f"{self.manifest.model} answers from the rows themselves", hint="sampan model pack MODEL --target oci")
        self._graph = (package / GRAPH).read_bytes()
        self._calibration = _reference(package, predictor)
        schema = schema_of(self.manifest, asked.name)
        transform, self.why_without = _transform(package, self.manifest, profile) if asked.transform else (None, "")
        if transform is None:
            schema = msgspec.structs.replace(schema, numbers=(), texts=())
        self.board = _board(package, predictor, profile, schema, transform)

    @property
    def variant_asked(self) -> str:
        """The variant that a person wants, if any."""
        return self._asked.variant

    def choose(self, budget: dict[str, float], advance: Any) -> tuple[Generated, list[Point]]:
        """Try variants until one fits; return it last among those tried."""
        from sampan.edge.trying import EXACT, PARITY, Variant, check_parity, over

        points: list[Point] = []
        passed_over: list[str] = []
        with tempfile.TemporaryDirectory() as temporary:
            for n, variant in enumerate(self._variants()):
                if self._asked.variant and variant.name not in (EXACT, self._asked.variant):
                    passed_over.append(variant.name)
                    continue
                advance(note=variant.name)
                generated, point = self.board.attempt(variant, Path(temporary) / str(n))
                if variant.name == EXACT and point.max_difference > PARITY:
                    # The graph computes in float64 on its way, and needs to.
                    in_doubles = Variant(EXACT, program_of(self._graph, has_doubles=True))
                    generated, point = self.board.attempt(in_doubles, Path(temporary) / "doubles")
                points.append(point)
                if variant.name == EXACT:
                    check_parity(point)
                if generated is not None and self._fits(point, budget):
                    return generated, points
        chosen = points[-1] if self._asked.variant else points[0]
        if self._asked.variant not in ("", chosen.variant):
            known = ", ".join([EXACT, *passed_over])
            raise ParameterError(f"there is no variant {self._asked.variant!r}", parameter="variant", hint=f"there are {known}")
        if chosen.why_not:
            raise Unsupported(f"{chosen.variant} cannot be had: {chosen.why_not}", hint="leave variant out for the front")
        raise _refusal(chosen, over(chosen, budget), points, self._asked.accept)

    def _fits(self, point: Point, budget: dict[str, float]) -> bool:
        from sampan.edge.trying import EXACT, over

        if over(point, budget):
            return False
        if self._asked.variant:
            return point.variant == self._asked.variant
        return point.variant == EXACT or point.max_difference <= self._asked.accept

    def _variants(self) -> Iterator[Variant]:
        """Yield what is worth a try, the least changed first. Nothing is computed before it is asked for."""
        from sampan.compression.edits import CUT_BACK, FEWER_UNITS, FIRST_TREES, edits_for, name_of
        from sampan.edge.source import Options
        from sampan.edge.trying import EXACT, Variant

        whole = program_of(self._graph)
        yield Variant(EXACT, whole)
        if _has_trees(whole):
            yield Variant("fastest", whole, Options(fastest=True))
            yield Variant("i16 leaves", whole, Options(leaves="i16"))
        yield from self._quantized(whole, "")
        for edit, share in sorted(edits_for(self._graph), key=lambda each: -each[1]):
            if edit in (FIRST_TREES, CUT_BACK, FEWER_UNITS):
                name = name_of(edit, share)
                try:
                    program = program_of(self._edited(edit, share))
                except SampanError as cause:
                    yield Variant(name, None, why_not=cause.message)
                    continue
                yield Variant(name, program)
                if _has_trees(program):
                    yield Variant(f"{name}, i16 leaves", program, Options(leaves="i16"))
                yield from self._quantized(program, f"{name}, ")

    def _quantized(self, program: Program, prefix: str) -> Iterator[Variant]:
        from sampan.edge.quantizing import has_layers, in_int8
        from sampan.edge.trying import Variant

        if has_layers(program) and len(self._calibration):
            yield Variant(f"{prefix}int8", in_int8(program, self._calibration))

    def _edited(self, edit: str, share: float) -> bytes:
        from sampan.compression.edits import edited
        from sampan.flavors.onnx_graph import INPUT

        rows = self._calibration if len(self._calibration) else self.board.rows
        return edited(self._graph, edit, share, {INPUT: rows})


def _budget(profile: Profile, options: TargetOptions) -> dict[str, float]:
    """Return the part's own limits under a person's. Raises ParameterError for a limit that cannot be held."""
    known = {"flash", "ram", "stack", "ms", "instructions", *(["uj"] if profile.nanojoules_per_cycle is not None else [])}
    if unknown := sorted(set(options.budget) - known):
        raise ParameterError(
            f"a limit on {', '.join(unknown)} cannot be held", parameter="budget", hint=f"there are {', '.join(sorted(known))}"
        )
    return {**profile.limits(), **options.budget}


def schema_of(manifest: PackageManifest, name: str = "") -> Schema:
    """Say in the header what a package's manifest says."""
    from sampan.edge.source import Field, Schema

    fields = tuple(
        Field(each, manifest.families.get(each, ""), "NaN where missing" if manifest.takes_missing else "never missing")
        for each in manifest.feature_names
    )
    outputs = tuple(f"chance of {each}" for each in manifest.task.classes) if manifest.task.kind == "multiclass" else (manifest.output,)
    about, inputs = (f"Model {manifest.model}.",), manifest.inputs
    columns = (inputs.num, inputs.cat) if inputs is not None else ((), ())
    numbers, texts = (
        tuple(Field(each.name, each.kind, "looked up by the caller" if each.source == "store" else "") for each in some) for some in columns
    )
    return Schema(name or manifest.name, manifest.version, fields, outputs, manifest.threshold, about, numbers, texts)


def _transform(package: Path, manifest: PackageManifest, profile: Profile) -> tuple[Program | None, str]:
    """Read the feature transform; None and the reason where it cannot be generated."""
    from sampan.edge.reading import read_transform
    from sampan.edge.source import Schema, generate
    from sampan.edge.trying import needs_math
    from sampan.workspace.models.predictors import PROBE, WHOLE

    if not (package / WHOLE).exists() or not (package / PROBE).exists():
        return None, manifest.whole.reason if manifest.whole is not None else "the package has no whole graph"
    try:
        transform = read_transform((package / WHOLE).read_bytes())
        if not profile.math and needs_math(generate(transform, Schema("transform"))):
            return None, f"it needs math.h, which {profile.name} is compiled without"
    except Unsupported as cause:
        return None, cause.message
    return transform, ""


def program_of(graph: bytes, *, has_doubles: bool = False) -> Program:
    """Read a package's graph as a program of as few steps as it needs."""
    from sampan.edge.reading import read_program
    from sampan.edge.simplifying import simplify

    return simplify(read_program(graph, has_doubles=has_doubles))


def _has_trees(program: Program) -> bool:
    from sampan.edge.program import Trees

    return any(isinstance(step, Trees) for step in program.steps)


def _board(package: Path, predictor: PackagePredictor, profile: Profile, schema: Schema, transform: Program | None) -> Board:
    """Take the probe set's requests as rows of features, with what the package answers."""
    import numpy as np
    import polars as pl

    from sampan.edge.requests import pack_requests
    from sampan.edge.trying import Board
    from sampan.workspace.models.predictors import EXPECTED, PROBE

    manifest = predictor.manifest
    path = package / PROBE
    if path.exists():
        requests = pl.read_parquet(path).drop(EXPECTED).to_dicts()
        rows = predictor.features(requests)
    else:
        requests, rows = [], _reference(package, predictor)[:256]
    if not manifest.takes_missing:
        whole = np.asarray(~np.isnan(rows).any(axis=1))
        requests = [request for request, kept in zip(requests, whole.tolist(), strict=False) if kept]
        rows = rows[whole]
    if not len(rows):
        raise IntegrityError(f"package {manifest.name} has no rows to probe it with", hint="pack the model again")
    expected = np.asarray(predictor.score(rows), np.float64).reshape(len(rows), -1)
    threshold = manifest.threshold if manifest.task.kind == "binary" else None
    packed = pack_requests(predictor.tensors(requests)) if transform is not None else None
    return Board(profile, schema, rows, expected, manifest.scale, threshold, transform, packed)


def _reference(package: Path, predictor: PackagePredictor) -> NDArray[np.float32]:
    """Return rows that the model was tested on, for what needs to see usual values; none where the package has none."""
    import numpy as np
    import polars as pl

    from sampan.workspace.models.predictors import REFERENCE

    names = list(predictor.feature_names)
    if not (package / REFERENCE).exists():
        return np.empty((0, len(names)), np.float32)
    frame = pl.read_parquet(package / REFERENCE, columns=names)
    step = max(1, frame.height // _CALIBRATION_ROWS)
    return np.ascontiguousarray(frame.gather_every(step).to_numpy(), dtype=np.float32)


def _refusal(first: Point, reasons: list[str], points: list[Point], accept: float) -> BudgetExceeded:
    from sampan.edge.trying import front, table_of

    if not reasons:
        reasons = [f"{first.variant} fits, but its answers differ by {first.max_difference:.2g}, more than accept={accept:g}"]
    told = "\n  ".join([f"{first.variant}: {', '.join(reasons)}; the front is", *table_of(front(points))])
    measured = {**first.limits, "max_difference": first.max_difference}
    for point in front(points):
        measured |= {f"{point.variant}: {name}": value for name, value in (*point.limits.items(), ("max_difference", point.max_difference))}
    hint = "--setting variant=NAME takes one, --setting accept=0.01 allows more; or train it smaller: sampan model optimise"
    return BudgetExceeded(told, measured=measured, reasons=tuple(reasons), hint=hint)


def _write(out: Path, generated: Generated, points: list[Point], work: _Work, budget: dict[str, float]) -> Built:
    from sampan.edge.hosted import write_sources
    from sampan.edge.trying import EXACT, front

    taken = points[-1]
    write_sources(generated, out)
    report = Report(
        model=work.manifest.model,
        target=work.profile.name,
        profile=msgspec.to_builtins(work.profile),
        budget=budget,
        variant=taken.variant,
        n_rows=len(work.board.rows),
        points=tuple(msgspec.to_builtins(point) for point in points),
        front=tuple(point.variant for point in front(points)),
    )
    (out / REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    facts = {name: value for name, value in msgspec.to_builtins(taken).items() if name != "why_not"}
    why = f"{taken.variant} was asked for" if work.variant_asked else "the model as it is does not fit"
    warnings = () if taken.variant == EXACT else (f"{why}; {taken.variant} is off by up to {taken.max_difference:.2g}",)
    facts |= {
        "profile": work.profile.name,
        "profile_source": work.profile.source,
        "n_rows": report.n_rows,
        "compiler": _version(work.profile.compiler),
    }
    facts |= {"emulator": _version(work.profile.emulator[0]), "transform": work.board.transform is not None}
    if work.why_without:
        warnings = (*warnings, f"features are left to the caller: {work.why_without}")
    return Built.of(out, facts=facts, warnings=warnings, next=(f"cat {{out}}/{generated.name}.h",))


def _version(tool: str) -> str:
    """Return the first line of what a tool says of itself."""
    from sampan.edge.hosted import call

    told = call([tool, "--version"], what=f"{tool} does not start").decode("utf-8", "replace")
    return told.splitlines()[0].strip() if told.strip() else tool
