"""What has to be installed where a package is served: a quarter of what `pip install sampan` brings, and no more than it imports.

Names stand here; versions are those of the environment that packs, which is where the package's probe set was answered.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from packaging.markers import default_environment

from sampan import __version__
from sampan.errors import Unsupported
from sampan.packaging.distributions import gather, installed, native_libraries
from sampan.packaging.lock_hashes import Hashes
from sampan.packaging.packages import PackageFacts

LOCK: Final = "serving.txt"
SERVING: Final = ("blake3", "click", "httptools", "msgspec", "numpy", "onnxruntime", "uvicorn", "uvloop")
TABLES: Final = ("polars", "pyarrow")  # index the tables that features look up, and read the log of what was fed to them
_ONLINE: Final = "online"
_HEAD: Final = """\
# What a machine needs to serve {model}, as {where} had it. All of it, so that nothing else is brought:
#     python3 -m venv /opt/sampan && /opt/sampan/bin/pip install --no-deps -r {lock}
#     /opt/sampan/bin/sampan serve --package FOLDER
"""
_UNHASHED: Final = """\
# Without hashes, so not for pip's --require-hashes: no lock beside sampan.toml knows those of {which}.
"""


def serving_names(package: Path, facts: PackageFacts, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Name the libraries that serving a package imports, and `more`, without those that they require themselves.

    Raises
    ------
    Unsupported : it is served natively by a flavor that is none of ours, and nobody says what that needs.
    """
    tables = TABLES if any((package / _ONLINE).glob("*.parquet")) else ()
    return (*SERVING, *tables, *(more if facts.served_by == "onnx" else native_libraries(facts.flavor, more)))


def lock_lines(package: Path, facts: PackageFacts, *, known: Hashes | None = None) -> Iterator[str]:
    """Pin what serving a package needs, as pip reads it; what is not installed here is named without a version.

    Where all of it has hashes among those `known`, pip is given them; it takes no file in which some have one and others do not.
    """
    yield _HEAD.format(model=facts.model, where=f"Python {sys.version_info.major}.{sys.version_info.minor}", lock=LOCK)
    try:
        names = serving_names(package, facts)
    except Unsupported:
        names = serving_names(package, facts, [facts.flavor])  # for the person who knows what it needs to see
    here = {name: str(value) for name, value in default_environment().items()}
    found, lost = gather(names, installed, here)
    pins = sorted([*((library.name, library.version) for library in found), *((name, "") for name in lost)])
    pins.append(("sampan", __version__))
    hashes = known or {}
    if unknown := [f"{name}=={version}" if version else name for name, version in pins if (name, version) not in hashes]:
        yield _UNHASHED.format(which="any of it" if len(unknown) == len(pins) else ", ".join(unknown))
    for name, version in pins:
        pin = f"{name}=={version}" if version else name
        yield " \\\n    ".join([pin, *(f"--hash=sha256:{each}" for each in (() if unknown else hashes[name, version]))]) + "\n"
