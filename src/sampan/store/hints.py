"""Small facts that only save time: losing one, or the whole folder, costs a little work and no truth."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec


class Hints:
    """JSON values under names, one file each. Written without fsync; a torn or missing file reads as None."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> Any:
        """Return what was put under this name, or None."""
        try:
            return msgspec.json.decode((self._folder / f"{name}.json").read_bytes())
        except (OSError, msgspec.DecodeError):
            return None

    def put(self, name: str, value: Any) -> None:
        """Keep a JSON-able value. A folder that cannot be written keeps nothing, and that is no error."""
        target = self._folder / f"{name}.json"
        draft = target.with_suffix(f".{os.getpid()}.part")
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(msgspec.json.encode(value))
            draft.replace(target)
