"""How much each caller asked of each version, minute by minute: counted before any sampling, kept when the predictions are long gone."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pyarrow as pa

from sampan.core.times import Millis
from sampan.serving.records import Scored

VOLUMES = pa.schema(
    [
        ("at", pa.int64()),  # when the span began
        ("until", pa.int64()),
        ("caller", pa.string()),
        ("version", pa.string()),  # "" where a request was refused before a model saw it
        ("role", pa.string()),
        ("requests", pa.int64()),
        ("rows", pa.int64()),
        ("refused", pa.int64()),  # of the requests
        ("latency_us_sum", pa.int64()),
        ("latency_us_max", pa.int64()),
    ]
)
MOST_CALLERS = 1000  # in one span; what others ask is counted together, so that memory has a bound
OTHERS = "(others)"


class _Count(msgspec.Struct):
    requests: int = 0
    rows: int = 0
    refused: int = 0
    latency_us_sum: int = 0
    latency_us_max: int = 0


class Volumes:
    """Counts of one service since the last `take`. Not for several threads at once."""

    def __init__(self) -> None:
        self._since: Millis | None = None
        self._counts: dict[tuple[str, str, str], _Count] = {}
        self._callers: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, scored: Sequence[Scored]) -> None:
        """Count answered requests."""
        for one in scored:
            count = self._of(one.caller, one.version, one.role, one.at)
            count.requests += 1
            count.rows += len(one.ids)
            count.latency_us_sum += one.latency_us
            count.latency_us_max = max(count.latency_us_max, one.latency_us)

    def refuse(self, caller: str, at: Millis) -> None:
        """Count a request that was refused."""
        count = self._of(caller, "", "", at)
        count.requests += 1
        count.refused += 1

    def take(self, until: Millis) -> pa.RecordBatch:
        """Return what was counted, and begin anew."""
        since, counts = self._since or until, self._counts
        self._since, self._counts, self._callers = None, {}, set()
        rows = [
            {"at": since, "until": until, "caller": caller, "version": version, "role": role, **msgspec.structs.asdict(count)}
            for (caller, version, role), count in counts.items()
        ]
        return pa.RecordBatch.from_pylist(rows, schema=VOLUMES)

    def _of(self, caller: str, version: str, role: str, at: Millis) -> _Count:
        if self._since is None:
            self._since = at
        if caller not in self._callers:
            if len(self._callers) >= MOST_CALLERS:
                caller = OTHERS
            self._callers.add(caller)
        key = (caller, version, role)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count()
        return count


def volumes_stream(service: str) -> str:
    """Name a service's log of volumes."""
    return f"volumes.{service}"
