"""Why something was decided: the kind of reason and its figures for programs and pages in any language, and the sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sampan.core.decoding import read_builtins


class Reason(msgspec.Struct, frozen=True):
    """One reason. `text` is the whole sentence in English, so that a record is read without what wrote it."""

    text: str
    kind: str = ""  # which form it was said in; "" where it is of a time before reasons had kinds
    figures: dict[str, float | int | str] = {}

    def __str__(self) -> str:
        return self.text


def because(forms: Mapping[str, str], kind: str, **figures: float | int | str) -> Reason:
    """Give a reason in the form of its kind.

    >>> str(because({"late": "{n:,} of {of:,} came late"}, "late", n=1200, of=3000))
    '1,200 of 3,000 came late'
    """
    return Reason(forms[kind].format(**figures), kind, dict(figures))


def recorded(reasons: Any) -> tuple[Reason, ...]:
    """Read reasons out of an event's body; older ones are sentences alone."""
    return tuple(Reason(one) if isinstance(one, str) else read_builtins(one, Reason) for one in reasons or ())
