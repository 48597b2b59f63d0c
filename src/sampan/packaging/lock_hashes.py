"""Hashes that the lock files of a project know already, so that pip holds what is installed to them. Nothing is fetched.

No installer keeps the hash of the archive it installed from, so an environment alone cannot say it: of uv, Poetry, PDM, pip-compile and
whatever writes the standard `pylock.toml`, each keeps it in its lock.

Source: packaging.python.org/specifications/pylock-toml; pip's documentation, "Secure installs".
"""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

from packaging.utils import canonicalize_name

Hashes = Mapping[tuple[str, str], tuple[str, ...]]  # name and version -> SHA-256 of each archive there is of it, in hexadecimal

logger = logging.getLogger(__name__)

TABLES: Final = ("uv.lock", "poetry.lock", "pdm.lock", "pylock*.toml")
LISTS: Final = ("*requirements*.txt", "requirements/*.txt", "requirements/*.lock")
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*==\s*([^\s;\\]+)")
_HASH = re.compile(r"(?:--hash=)?sha256:([0-9a-f]{64})\b")
_BARE = re.compile(r"[0-9a-f]{64}")


def locked_hashes(folder: Path) -> dict[tuple[str, str], tuple[str, ...]]:
    """Read the locks of a project. One that cannot be read is left out, with a warning: it is another tool's."""
    found: dict[tuple[str, str], set[str]] = {}
    for read, patterns in ((_of_table, TABLES), (_of_list, LISTS)):
        for path in sorted(chain.from_iterable(map(folder.glob, patterns))):
            try:
                for name, version, hashes in read(path.read_text(encoding="utf-8")):
                    found.setdefault((canonicalize_name(name), version), set()).update(hashes)
            except (OSError, ValueError) as cause:
                logger.warning("%s cannot be read, its hashes are not used: %s", path, cause)
    return {pin: tuple(sorted(hashes)) for pin, hashes in found.items() if hashes}


def _of_table(text: str) -> Iterator[tuple[str, str, set[str]]]:
    said = tomllib.loads(text)
    for one in (*said.get("package", ()), *said.get("packages", ())):  # of uv, Poetry and PDM; of the standard
        if isinstance(one, dict) and isinstance(one.get("name"), str) and isinstance(one.get("version"), str):
            yield one["name"], one["version"], set(_hashes(one))


def _of_list(text: str) -> Iterator[tuple[str, str, set[str]]]:
    for line in text.replace("\\\n", " ").splitlines():
        if pin := _PIN.match(line.strip()):
            yield pin[1], pin[2], set(_HASH.findall(line))


def _hashes(said: Any) -> Iterator[str]:
    """Find the hashes of a package's archives, wherever a lock has them: `hash = "sha256:…"`, or `hashes.sha256`."""
    if isinstance(said, list):
        for each in said:
            yield from _hashes(each)
    elif isinstance(said, dict):
        for name, value in said.items():
            if name == "hash" and isinstance(value, str) and (told := _HASH.fullmatch(value)):
                yield told[1]
            elif name == "sha256" and isinstance(value, str) and _BARE.fullmatch(value):
                yield value
            else:
                yield from _hashes(value)
