"""Boards as files: what code is compiled with, what it runs on in emulation, and what the part it stands for can do.

A profile names where its figures are from, and is made to be edited: copy one of `profiles/`, give it by its path.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from sampan.core.budgets import read_budget
from sampan.edge.described import find_file, read_described

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
    ParameterError : the file is no profile; the message names all its faults.
    """
    path = find_file(named, FOLDER, "board profile")
    return read_described(path, Profile, "board profile", example=FOLDER / "cortex-m4f.yaml", check=_faults)


def _faults(read: dict[str, Any]) -> Iterable[str]:
    positive = ("clock_mhz", "cycles_per_instruction", "instructions_per_tick", "nanojoules_per_cycle")
    yield from (f"{name} is {value}, and must be above 0" for name in positive if (value := read.get(name)) is not None and value <= 0)
    if "board" in read and not (BOARDS / f"{read['board']}.c").is_file():
        yield f"there is no board {read['board']!r}, but {', '.join(sorted(file.stem for file in BOARDS.glob('*.ld')))}"
    yield from (f"{name} is empty" for name in ("name", "compiler", "emulator", "source") if name in read and not read[name])
