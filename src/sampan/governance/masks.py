"""Masks: what is left of a value when only its shape may be seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_HIDDEN: Final = "***"


def mask(value: str, pii: str) -> str:
    """Hide a value but for what its class may show: the last digits of a number, the initials of a name, the year of a birth.

    >>> mask("ana.tran@example.com", "email"), mask("4111 1111 1111 1111", "card"), mask("Trần Thị Ana", "name")
    ('a***@***.com', '**** **** **** 1111', 'T*** T*** A***')
    """
    return _MASKS[pii](value) if pii in _MASKS else _HIDDEN


def _email(value: str) -> str:
    name, at, host = value.strip().partition("@")
    if not at:
        return _HIDDEN
    _, dot, top = host.rpartition(".")
    return f"{name[:1]}{_HIDDEN}@{_HIDDEN}{dot}{top}"


def _ending(kept: int) -> Callable[[str], str]:
    def hide(value: str) -> str:
        plain = [at for at, letter in enumerate(value) if letter.isalnum()]
        # A short number would be told by its ending.
        shown = set(plain[-kept:]) if len(plain) >= 2 * kept else set()
        return "".join("*" if letter.isalnum() and at not in shown else letter for at, letter in enumerate(value))

    return hide


def _name(value: str) -> str:
    return " ".join(f"{word[0]}{_HIDDEN}" for word in value.split())


def _address(value: str) -> str:
    """Leave the last part, the city or country."""
    parts = [part.strip() for part in re.split(r"[,\n]", value) if part.strip()]
    return f"{_HIDDEN}, {parts[-1]}" if len(parts) > 1 and not any(c.isdigit() for c in parts[-1]) else _HIDDEN


def _ip(value: str) -> str:
    parts = value.strip().split(".")
    return ".".join([*parts[:2], "*", "*"]) if len(parts) == 4 else value.strip().split(":")[0] + ":***"


def _birth(value: str) -> str:
    year = re.search(r"(?:19|20)\d\d", value)
    return f"{year[0]}-**-**" if year else _HIDDEN


_MASKS: Final[dict[str, Callable[[str], str]]] = {
    "email": _email,
    "name": _name,
    "address": _address,
    "ip": _ip,
    "birth-date": _birth,
    "card": _ending(4),
    **dict.fromkeys(("phone", "national-id", "tax-id", "passport", "bank-account", "plate"), _ending(3)),
}
