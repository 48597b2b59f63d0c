"""What an operation answers: a typed struct that every surface can show, and the next useful commands."""

from __future__ import annotations

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every operation's result. JSON is its fields; a terminal shows `text()`; `next` are commands to type next."""

    next: tuple[str, ...] = ()

    def text(self) -> str:
        """Return what a terminal shows; '' lets the surface lay the fields out itself."""
        return ""
