"""What a variant may cost at most, as a person writes it: `p99=2ms,size=1MB,loss=0.005`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from sampan.errors import ParameterError

_TIMES: Final = {"": 1.0, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "s": 1e3}
_SIZES: Final = {"": 1.0, "b": 1.0, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "kib": 1024.0, "mib": 1048576.0}
_NONE: Final = {"": 1.0}
_UNITS: Final = {
    "p50": _TIMES,
    "p99": _TIMES,
    "p50_100": _TIMES,
    "p99_100": _TIMES,
    "size": _SIZES,
    "loss": _NONE,
}
_WRITTEN: Final = re.compile(r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+)\s*([a-zµ]*)", re.IGNORECASE)
_HINT: Final = "write p99=2ms,size=1MB,loss=0.005; there are p50, p99, p50_100, p99_100, size and loss"


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """Limits; None where there is none. Times are of one row, or of 100 rows at once; `loss` is how much worse the metric may be."""

    p50: float | None = None  # ms
    p99: float | None = None
    p50_100: float | None = None
    p99_100: float | None = None
    size: float | None = None  # bytes
    loss: float | None = None

    @property
    def limits_cost(self) -> bool:
        """Say whether anything but the loss is limited."""
        return any(getattr(self, name) is not None for name in _UNITS if name != "loss")

    def __bool__(self) -> bool:
        return self.limits_cost or self.loss is not None

    def __str__(self) -> str:
        return ", ".join(f"{name} ≤ {_text(name, value)}" for name in _UNITS if (value := getattr(self, name)) is not None)


def read_limits(text: str) -> Budget:
    """Read a budget; "" limits nothing. Sizes are in powers of 1000 unless written kiB or MiB.

    Raises
    ------
    ParameterError : naming every part that is no limit.

    >>> str(read_limits("p99=2ms, size=1MB, loss=0.005"))
    'p99 ≤ 2 ms, size ≤ 1,000,000 bytes, loss ≤ 0.005'
    """
    limits: dict[str, float] = {}
    faults: list[str] = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, written = (each.strip() for each in part.partition("="))
        value = _read(name, written)
        if value is None:
            faults.append(f"{part!r} is no limit")
        elif name in limits:
            faults.append(f"{name} is limited twice")
        else:
            limits[name] = value
    if faults:
        raise ParameterError("; ".join(faults), parameter="budget", hint=_HINT)
    return Budget(**limits)


def over(budget: Budget, found: dict[str, float], loss: float) -> Iterator[str]:
    """Say which limits are not met, and by what.

    Parameters
    ----------
    found : what was measured, by the budget's names
    loss : how much worse the metric may be, at the far end of its interval
    """
    for name, value in {**found, "loss": loss}.items():
        limit = getattr(budget, name)
        if limit is not None and value > limit:
            yield f"{name} {_text(name, value)} > {_text(name, limit)}"


def _read(name: str, written: str) -> float | None:
    units, match = _UNITS.get(name), _WRITTEN.fullmatch(written)
    if units is None or match is None or match[2].lower() not in units:
        return None
    value = float(match[1]) * units[match[2].lower()]
    return value if math.isfinite(value) and (value > 0 or name == "loss") else None


def _text(name: str, value: float) -> str:
    if name == "size":
        return f"{value:,.0f} bytes"
    return f"{value:.3g}" if name == "loss" else f"{value:.3g} ms"
