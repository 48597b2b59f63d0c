"""What a graph costs in use, as figures. How they are measured is in `timing`; nothing is computed here, so a reader loads no NumPy."""

from __future__ import annotations

import msgspec


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a graph costs. Times are in milliseconds, for one row and for a hundred at once; work is per row, asked one at a time."""

    size_bytes: int
    p50_ms: float
    p99_ms: float
    p50_100_ms: float
    p99_100_ms: float
    cpu_us: float  # processor time of all threads
    instructions: float | None = None  # None where the system does not show them, or several threads share the work
    threads: int = 1
    disturbed: float = 0.0  # share of calls from which the system took the processor away

    @property
    def limits(self) -> dict[str, float]:
        """The figures by the names of a budget."""
        return {
            "p50": self.p50_ms,
            "p99": self.p99_ms,
            "p50_100": self.p50_100_ms,
            "p99_100": self.p99_100_ms,
            "size": float(self.size_bytes),
        }
