"""Lists of words by which names of people and places are told: one a line, `#` for a comment."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def words(name: str, most: int = 0) -> frozenset[str]:
    """Read a list, or its first `most` words."""
    lines = (files(__name__) / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if line and not line.startswith("#")]
    return frozenset(found[:most] if most else found)
