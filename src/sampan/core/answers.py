"""What an operation answers: a typed struct that every surface can show, and the next useful commands."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every operation's result. JSON is its fields; a terminal shows `text()`; `next` are commands to type next."""

    next: tuple[str, ...] = ()

    def text(self) -> str:
        """Return what a terminal shows; '' lets the surface lay the fields out itself."""
        return ""

    def exit_code(self) -> int:
        """Return what the command line exits with: 0, or an error class's code where the answer is a no (a contract broken: 3)."""
        return 0


def to_json(value: object) -> bytes:
    """Encode an answer, or anything in one, as JSON. NaN and infinities become null."""
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return value.tolist()
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")
