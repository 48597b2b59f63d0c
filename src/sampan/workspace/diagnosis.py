"""What `sampan doctor` looks at: the machine, the libraries, and the store's folder."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from sampan import __version__

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

LOW_DISK_BYTES: Final = 2_000_000_000
EXTRAS: Final = {"train": ("scikit-learn", "lightgbm", "optuna", "onnx", "skl2onnx", "onnxmltools"), "postgres": ("psycopg",)}


class Finding(msgspec.Struct, frozen=True):
    """One thing the doctor looked at."""

    about: str
    value: str
    trouble: str = ""  # what to do about it; "" where all is well


def examine(workspace: Workspace) -> Iterator[Finding]:
    """Yield what was looked at, with what to do where something is not well."""
    yield Finding(about="sampan", value=f"{__version__}, Python {platform.python_version()} at {sys.executable}")
    yield Finding(about="machine", value=f"{platform.system()} {platform.machine()}, {len(os.sched_getaffinity(0))} CPU cores usable")
    yield Finding(about="project", value=f"{workspace.root}, acting as {workspace.actor}")
    yield _store(workspace)
    yield _disk(workspace.root)
    yield from map(_extra, EXTRAS)


def _store(workspace: Workspace) -> Finding:
    import tempfile

    folder = workspace.store_folder
    database = "PostgreSQL" if workspace.project.store.database else "SQLite"
    if not folder.is_dir():
        return Finding(about="store", value=f"none yet; it will be {folder} ({database})")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as cause:
        return Finding(about="store", value=str(folder), trouble=f"cannot be written: {cause.strerror}; mend its permissions")
    return Finding(about="store", value=f"{folder} ({database}), {len(workspace.catalog.assets()):,} assets")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    trouble = "less than 2 GB: free some, or sampan gc" if free < LOW_DISK_BYTES else ""
    return Finding(about="disk", value=f"{free / 1e9:.1f} GB free", trouble=trouble)


def _extra(name: str) -> Finding:
    missing = [package for package in EXTRAS[name] if not _version(package)]
    if missing:
        return Finding(about=f"extra {name}", value="not installed: " + ", ".join(missing) + f" (pip install 'sampan[{name}]')")
    return Finding(about=f"extra {name}", value=", ".join(f"{package} {_version(package)}" for package in EXTRAS[name]))


def _version(package: str) -> str:
    from importlib import metadata  # takes longer to import than the doctor's other answers together

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
