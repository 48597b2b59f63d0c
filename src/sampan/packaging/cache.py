"""What was made before, so that a change of the model does not compress a whole operating system again."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from sampan.core.decoding import read_json
from sampan.core.digests import digest_value

MOST_BLOBS: Final = 12
T = TypeVar("T")


class Cache:
    """A folder of notes, by what they are about, and of blobs, by their digests. All of it may be deleted at any time."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def noted(self, about: object, kind: type[T]) -> T | None:
        """Return what was noted about a JSON-able value; None if nothing was, or not in a way this release reads."""
        if self._folder is None:
            return None
        try:
            return read_json(self._note(about).read_bytes(), kind)
        except (OSError, msgspec.DecodeError):
            return None

    def note(self, about: object, value: object) -> None:
        """Note a JSON-able value."""
        if self._folder is not None:
            self._put(self._note(about), msgspec.json.encode(value))

    def blob(self, digest: str) -> Path | None:
        """Return the file of a blob, or None where it is not kept."""
        if self._folder is None or not (path := self._blob(digest)).is_file():
            return None
        os.utime(path)
        return path

    def keep(self, digest: str, source: Path) -> None:
        """Keep a copy of a blob; those not used for longest make room."""
        if self._folder is None or self._blob(digest).is_file():
            return
        self._put(self._blob(digest), source)
        blobs = sorted(self._folder.glob("blob-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in blobs[MOST_BLOBS:]:
            old.unlink(missing_ok=True)

    def _put(self, path: Path, content: bytes | Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{secrets.token_hex(8)}.part")
        if isinstance(content, bytes):
            part.write_bytes(content)
        else:
            shutil.copyfile(content, part)
        part.replace(path)

    def _note(self, about: object) -> Path:
        assert self._folder is not None
        return self._folder / f"note-{digest_value(about).removeprefix('b3:')[:40]}.json"

    def _blob(self, digest: str) -> Path:
        assert self._folder is not None
        return self._folder / f"blob-{digest.replace(':', '-')}"
