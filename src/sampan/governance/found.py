"""A piece of personal data found in a text."""

from __future__ import annotations

import msgspec


class Found(msgspec.Struct, frozen=True):
    """Where personal data stands in a text, of which class, and what speaks for it."""

    start: int
    end: int
    pii: str
    evidence: str

    def of(self, text: str) -> str:
        """Return the piece itself."""
        return text[self.start : self.end]
