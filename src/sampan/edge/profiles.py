"""Boards as files: what code is compiled with, what it runs on in emulation, and what the part it stands for can do.

A profile names where its figures are from, and is made to be edited: copy one of `profiles/`, give it by its path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from sampan.core.budgets import read_budget
from sampan.core.decoding import read_builtins
from sampan.core.refs import nearest
from sampan.errors import NotFound, ParameterError

FOLDER: Final = Path(__file__).parent / "profiles"
BOARDS: Final = Path(__file__).parent / "boards"


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A board."""

    name: str
    about: str
    source: str  # where its figures are from
    compiler: str
    flags: tuple[str, ...]
    board: str  # of `boards/`: start-up code and memory map
    emulator: tuple[str, ...]
    instructions_per_tick: int  # of the board's clock in emulation
    clock_mhz: float
    cycles_per_instruction: float
    math: bool = True  # whether the compiler brings math.h
    nanojoules_per_cycle: float | None = None
    budget: dict[str, str | float] = {}  # what the part has; a person's budget goes before it

    def limits(self) -> dict[str, float]:
        """Return the part's own budget in bytes, milliseconds and microjoules."""
        return read_budget(",".join(f"{name}={value}" for name, value in self.budget.items()))

    def milliseconds(self, instructions: float) -> float:
        """Tell how long instructions take at the part's clock."""
        return instructions * self.cycles_per_instruction / (self.clock_mhz * 1000)

    def microjoules(self, instructions: float) -> float | None:
        """Tell what instructions take of energy, where the profile knows."""
        return None if self.nanojoules_per_cycle is None else instructions * self.cycles_per_instruction * self.nanojoules_per_cycle / 1000


def names() -> list[str]:
    """Name the profiles that come with Sampan."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def read_profile(named: str) -> Profile:
    """Read a profile by its name, or a file by its path.

    Raises
    ------
    NotFound : neither is there.
    ParameterError : the file is no profile; the message names the line or field.
    """
    path = FOLDER / f"{named}.yaml"
    if "/" in named or named.endswith((".yaml", ".yml")):
        path = Path(named)
    if not path.is_file():
        raise NotFound(
            f"no board profile {named!r}", did_you_mean=tuple(nearest(named, names())), hint=f"one of {', '.join(names())}, or a path"
        )
    try:
        told: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        profile = read_builtins(told, Profile)
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as cause:
        reason = " ".join(str(cause).split())
        raise ParameterError(f"{path} is no board profile: {reason}", hint=f"begin with a copy of {FOLDER / 'cortex-m4f.yaml'}") from cause
    _check(profile, path)
    return profile


def _check(profile: Profile, path: Path) -> None:
    faults = [
        f"{name} is {value}"
        for name in ("clock_mhz", "cycles_per_instruction", "instructions_per_tick")
        if (value := getattr(profile, name)) <= 0
    ]
    if not (BOARDS / f"{profile.board}.c").is_file():
        faults.append(f"there is no board {profile.board!r}")
    faults += [f"{word} is empty" for word in ("compiler", "emulator", "source") if not getattr(profile, word)]
    if faults:
        raise ParameterError(f"{path}: {'; '.join(faults)}", hint="numbers are above 0, board is one of arm, riscv")
    profile.limits()
