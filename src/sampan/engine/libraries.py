"""Installed distributions, read from the names of their metadata folders: nothing is imported, all of them take a millisecond or two."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Protocol

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_METADATA = re.compile(r"-.*\.(dist|egg)-info\Z")
_RUN = re.compile(r"[-_.]+")
# Tables travel as Polars frames in Parquet: its version may change any step's result.
_ALWAYS: Final = ("polars",)


class Memory(Protocol):
    """Where a slow look-up may be kept between processes."""

    def get(self, name: str) -> Any:
        """Return what was put, or None."""
        ...

    def put(self, name: str, value: Any) -> None:
        """Keep a JSON-able value."""
        ...


def installed(path: Iterable[str] | None = None) -> dict[str, str]:
    """Return every installed distribution's normalized name and version, sorted; the first on the path wins, as for imports."""
    found: dict[str, str] = {}
    for folder in _metadata_folders(path):
        name, _, version = folder.stem.partition("-")
        found.setdefault(_normal(name), version.partition("-py")[0])
    return dict(sorted(found.items()))


def versions_behind(modules: Iterable[str], memory: Memory | None = None) -> dict[str, str]:
    """Return name and version of the distributions that these top-level modules come from, with all that those require.

    An unrelated installation changes nothing in the answer. Modules of Python and of the project have no distribution and are left out.
    """
    known = _Known(memory)
    wanted = sorted({*modules, *_ALWAYS} - set(sys.stdlib_module_names))
    names = [name for module in wanted if (name := known.distribution_of(module))]
    closed: dict[str, str] = {}
    while names:
        name = names.pop()
        if name not in closed and name in known.versions:
            closed[name] = known.versions[name]
            names.extend(known.requirements_of(name))
    known.keep()
    return dict(sorted(closed.items()))


class _Known:
    """What was read of the installed distributions, valid while no folder on the path changes."""

    def __init__(self, memory: Memory | None) -> None:
        self._memory = memory
        self._signature = _signature()
        kept = memory.get("libraries") if memory else None
        if not isinstance(kept, dict) or kept.get("signature") != self._signature:
            kept = {"signature": self._signature, "versions": installed(), "owners": {}, "requirements": {}}
            self._changed = True
        else:
            self._changed = False
        self._kept: dict[str, Any] = kept
        self.versions: dict[str, str] = kept["versions"]

    def distribution_of(self, module: str) -> str:
        """Return the distribution a top-level module comes from, '' if none."""
        owners: dict[str, str] = self._kept["owners"]
        if module not in owners:
            owners[module] = _normal(module) if _normal(module) in self.versions else _owner(module)
            self._changed = True
        return owners[module]

    def requirements_of(self, name: str) -> list[str]:
        """Return what a distribution requires without extras, whether it is installed or not."""
        requirements: dict[str, list[str]] = self._kept["requirements"]
        if name not in requirements:
            requirements[name] = _requirements(name)
            self._changed = True
        return requirements[name]

    def keep(self) -> None:
        """Let the next process know."""
        if self._memory and self._changed:
            self._memory.put("libraries", self._kept)


def _signature() -> list[Any]:
    """Identify the state of the import path: installing or removing anything changes a folder's time."""
    folders = []
    for folder in dict.fromkeys(path for path in sys.path if path.endswith("-packages")):
        try:
            folders.append([folder, Path(folder).stat().st_mtime_ns])
        except OSError:
            continue
    return [list(sys.version_info[:3]), folders]


def _metadata_folders(path: Iterable[str] | None = None) -> list[Path]:
    found: list[Path] = []
    for folder in dict.fromkeys(sys.path if path is None else path):
        try:
            with os.scandir(folder or ".") as entries:
                paths = sorted(entry.path for entry in entries if _METADATA.search(entry.name))
        except OSError:
            continue
        found.extend(map(Path, paths))
    return found


def _owner(module: str) -> str:
    """Find which distribution's file list holds a top-level module that is not called like it: sklearn comes from scikit-learn."""
    starts = (f"{module}/", f"{module}.")
    for folder in _metadata_folders():
        try:
            with (folder / "RECORD").open(encoding="utf-8") as record:
                if any(line.startswith(starts) for line in record):
                    return _normal(folder.stem.partition("-")[0])
        except OSError:
            continue
    return ""


def _requirements(name: str) -> list[str]:
    for folder in _metadata_folders():
        if _normal(folder.stem.partition("-")[0]) == name:
            try:
                with (folder / "METADATA").open(encoding="utf-8") as metadata:
                    return _read_requirements(metadata)
            except OSError:
                return []
    return []


def _read_requirements(metadata: Iterable[str]) -> list[str]:
    found: set[str] = set()
    for line in metadata:
        if line == "\n":  # the description follows
            break
        key, _, text = line.partition(": ")
        requirement, _, marker = text.partition(";")
        if key == "Requires-Dist" and "extra ==" not in marker and (name := _NAME.match(requirement)):
            found.add(_normal(name[0]))
    return sorted(found)


def _normal(name: str) -> str:
    return _RUN.sub("-", name).lower()
