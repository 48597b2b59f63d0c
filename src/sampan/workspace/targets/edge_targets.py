"""Targets of `sampan model pack` that are microcontrollers: the package's graph as C, compiled, run in emulation, held to a budget.

What does not fit climbs the ladder (`ladder.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.settings import read_settings
from sampan.errors import ParameterError
from sampan.ports import Built, Progress, TargetOptions
from sampan.workspace.targets.ladder import LOSS, Ladder, LadderSettings, Taken, build_version

if TYPE_CHECKING:
    from sampan.edge.profiles import Profile
    from sampan.edge.program import Program
    from sampan.edge.trying import Board
    from sampan.workspace.targets.edge_packages import CarriedPackage

REPORT: Final = "report.json"
# How far the untouched model's answers may be from the package's, in the scale of answers: what a package's own probe set allows. Trees are
# off by some 1e-7, float32 sums taken in another order by 1e-6, steep calibrations by 1e-5.
PARITY: Final = 1e-4


class BoardSettings(LadderSettings, frozen=True, kw_only=True):
    """What a person may set of a board."""

    profile: str = ""  # a file that describes another board
    transform: bool = True  # whether the features are made on the board; without, it is given features
    name: str = ""  # of the C functions; by default the model's
    selftest: int = 24  # rows of the self-test, at most 64; 0 for none


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
        GateRejected : the form that was taken may not take the model's place.
        Unsupported : the package has no graph, or one that no code is generated for, or whose code answers otherwise.
        MissingDependency : a compiler or emulator is not installed.
        """
        from sampan.edge.emulation import require_tools
        from sampan.edge.profiles import read_profile
        from sampan.workspace.targets.edge_packages import open_carried

        asked = read_settings(options.settings, BoardSettings)
        options.refuse_base("a board has no base")
        profile = read_profile(asked.profile or self.name)
        require_tools(profile)
        budget = _budget(profile, options)
        carried = open_carried(package, asked.name, transform=asked.transform)
        board, why_without = _board(carried, profile)
        ladder = Ladder(board, carried, asked, PARITY, options.forms)
        taken = ladder.climb(budget, progress, f"Build for {profile.name}")
        if taken.form:
            return build_version(self, taken, out, options, progress)
        warnings = taken.warnings(asked=bool(asked.variant))
        if why_without:
            warnings = (*warnings, f"features are left to the caller: {why_without}")
        _write_project(out, taken, board, carried, min(max(asked.selftest, 0), len(carried.hard.rows)))
        return _write(out, taken, board, carried, budget, warnings)


def _budget(profile: Profile, options: TargetOptions) -> dict[str, float]:
    """Return the part's own limits under a person's. Raises ParameterError for a limit that cannot be held."""
    known = {"flash", "ram", "stack", "ms", "instructions", LOSS, *(["uj"] if profile.nanojoules_per_cycle is not None else [])}
    if unknown := sorted(set(options.budget) - known):
        raise ParameterError(
            f"a limit on {', '.join(unknown)} cannot be held", parameter="budget", hint=f"there are {', '.join(sorted(known))}"
        )
    return {**profile.limits(), **options.budget}


def _board(carried: CarriedPackage, profile: Profile) -> tuple[Board, str]:
    """Return the board with what it is asked, and why features are left to the caller, "" where they are not."""
    from sampan.edge.requests import pack_requests
    from sampan.edge.trying import Board

    transform, why_without, schema = carried.transform, carried.why_without, carried.schema
    if transform is not None and not profile.math and _needs_math(transform):
        transform, why_without = None, f"it needs math.h, which {profile.name} is compiled without"
        schema = msgspec.structs.replace(schema, numbers=(), texts=())
    packed = pack_requests(carried.asked_tensors) if transform is not None else None
    return Board(profile, schema, carried.asked_rows, carried.probe, transform, packed), why_without


def _needs_math(transform: Program) -> bool:
    from sampan.edge.source import Schema, generate
    from sampan.edge.trying import needs_math

    return needs_math(generate(transform, Schema("transform")))


def _write_project(out: Path, taken: Taken, board: Board, carried: CarriedPackage, n_rows: int) -> None:
    """Write what build systems need, and the self-test with the answers of this very code in emulation."""
    from sampan.edge.firmware import SelfTest, project_files, selftest_files

    assert taken.generated is not None
    manifest, hard = carried.manifest, carried.hard.first(n_rows)
    files = project_files(taken.generated, about=f"Model {manifest.model}", version=manifest.version, has_selftest=n_rows > 0)
    if n_rows:
        answers = board.replies(taken.generated, len(carried.expected[0]))[len(carried.rows) :][:n_rows]
        asked: dict[str, Any] = {"rows": hard.rows}
        if board.transform is not None:
            asked = {"numbers": hard.tensors.get("num"), "texts": hard.tensors.get("cat")}
        files |= selftest_files(taken.generated, SelfTest(answers, scale=manifest.scale, **asked))
    for name, text in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text, encoding="ascii")


def _write(out: Path, taken: Taken, board: Board, carried: CarriedPackage, budget: dict[str, float], warnings: tuple[str, ...]) -> Built:
    from sampan.edge.hosted import write_sources

    assert taken.generated is not None
    write_sources(taken.generated, out)
    profile = board.profile
    report = Report(
        model=carried.manifest.model,
        target=profile.name,
        profile=msgspec.to_builtins(profile),
        budget=budget,
        variant=taken.point.variant,
        n_rows=len(carried.rows),
        points=tuple({**point.facts(), **({"why_not": point.why_not} if point.why_not else {})} for point in taken.points),
        front=taken.front,
    )
    (out / REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    facts = taken.point.facts()
    facts |= {
        "profile": profile.name,
        "profile_source": profile.source,
        "n_rows": report.n_rows,
        "n_hard_rows": len(carried.hard.rows),
        "compiler": _version(profile.compiler),
        "emulator": _version(profile.emulator[0]),
        "transform": board.transform is not None,
    }
    check = ("cmake -S {out} -B {out}-check && cmake --build {out}-check && {out}-check/" + f"{taken.generated.name}_check",)
    following = (f"cat {{out}}/{taken.generated.name}.h", *(check if (out / "examples").exists() else ()))
    return Built.of(out, facts=facts, warnings=warnings, next=following)


def _version(tool: str) -> str:
    """Return the first line of what a tool says of itself."""
    from sampan.edge.hosted import call

    told = call([tool, "--version"], what=f"{tool} does not start").decode("utf-8", "replace")
    return told.splitlines()[0].strip() if told.strip() else tool
