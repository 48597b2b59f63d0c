"""Budgets: what a build may take, as a person writes them: `flash=64k,ram=8k,ms=5`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from sampan.errors import BudgetExceeded, ParameterError

_SIZES: Final = {"k": 1024.0, "m": 1024.0**2, "g": 1024.0**3}  # as datasheets and linkers count memory


def read_budget(text: str) -> dict[str, float]:
    """Read limits by name. Sizes are in bytes and may end in k, M or G (powers of 1024); other units are in the name.

    Raises
    ------
    ParameterError : naming every part that is no limit.

    >>> read_budget("flash=64k, ms=5")
    {'flash': 65536.0, 'ms': 5.0}
    """
    limits: dict[str, float] = {}
    faults = []
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, written = map(str.strip, part.partition("="))
        limit = _number(written)
        if not name.isidentifier() or limit is None:
            faults.append(f"{part!r} is no limit")
        elif name in limits:
            faults.append(f"{name} has two limits")
        else:
            limits[name] = limit
    if faults:
        raise ParameterError("; ".join(faults), parameter="budget", hint="write it as flash=64k,ram=8k,ms=5")
    return limits


def hold_to(budget: Mapping[str, float], measured: Mapping[str, float], *, hint: str = "") -> None:
    """Hold what was measured to a budget's limits.

    Raises
    ------
    ParameterError : a limit is on what was not measured: it is never ignored.
    BudgetExceeded : naming every limit that is exceeded.
    """
    if unknown := sorted(set(budget) - set(measured)):
        raise ParameterError(f"a limit on {', '.join(unknown)} cannot be held", parameter="budget", hint=f"there are {', '.join(measured)}")
    over = tuple(f"{name} is {measured[name]:,.6g}, at most {limit:,.6g}" for name, limit in budget.items() if measured[name] > limit)
    if over:
        raise BudgetExceeded("; ".join(over), measured=dict(measured), reasons=over, hint=hint or "a wider --budget, or a smaller model")


def _number(written: str) -> float | None:
    factor = _SIZES.get(written[-1:].lower(), 1.0)
    try:
        number = float(written[:-1] if factor > 1 else written) * factor
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None
