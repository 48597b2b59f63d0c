"""How much each caller asked of each version, minute by minute: counted before any sampling, kept when the predictions are long gone."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from sampan.core.times import Millis
from sampan.serving.records import Scored
from sampan.table.arrow_blocks import Block, Column, Field, Schema

VOLUMES = Schema(
    [
        Field("at", "int64"),  # when the span began
        Field("until", "int64"),
        Field("caller", "utf8"),
        Field("version", "utf8"),  # "" where a request was refused before a model saw it
        Field("role", "utf8"),
        Field("requests", "int64"),
        Field("rows", "int64"),
        Field("refused", "int64"),  # of the requests
        Field("latency_us_sum", "int64"),
        Field("latency_us_max", "int64"),
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
            if isinstance(one.latency_us, int):
                assert isinstance(one.caller, str)
                count = self._of(one.caller, one.version, one.role, first_of(one.at))
                count.requests += 1
                count.rows += len(one.ids)
                count.latency_us_sum += one.latency_us
                count.latency_us_max = max(count.latency_us_max, one.latency_us)
            else:
                self._add_each(one, one.latency_us)

    def _add_each(self, scored: Scored, latencies_us: Sequence[int]) -> None:
        """Count rows that each came in a request of its own."""
        began, callers = first_of(scored.at), scored.caller
        by_caller: dict[str, list[int]] = {callers: list(latencies_us)} if isinstance(callers, str) else {}
        for caller, latency_us in zip(callers, latencies_us, strict=True) if not by_caller else ():
            by_caller.setdefault(caller, []).append(latency_us)
        for caller, latencies in by_caller.items():
            count = self._of(caller, scored.version, scored.role, began)
            count.requests += len(latencies)
            count.rows += len(latencies)
            count.latency_us_sum += sum(latencies)
            count.latency_us_max = max(count.latency_us_max, *latencies)

    def refuse(self, caller: str, at: Millis) -> None:
        """Count a request that was refused."""
        count = self._of(caller, "", "", at)
        count.requests += 1
        count.refused += 1

    def take(self, until: Millis) -> Block:
        """Return what was counted, and begin anew."""
        since, counts = self._since or until, self._counts
        self._since, self._counts, self._callers = None, {}, set()
        n = len(counts)
        moments: list[Column] = [np.full(n, since, np.int64), np.full(n, until, np.int64)]
        names: list[Column] = [list(names) for names in zip(*counts, strict=True)]
        numbers: list[Column] = [np.array(each, np.int64) for each in zip(*map(msgspec.structs.astuple, counts.values()), strict=True)]
        return Block(VOLUMES, n, [*moments, *names, *numbers])

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


def first_of(moments: Millis | Sequence[Millis]) -> Millis:
    """Return when the first of several requests came; there is one at least."""
    return moments if isinstance(moments, int) else moments[0]


def volumes_stream(service: str) -> str:
    """Name a service's log of volumes."""
    return f"volumes.{service}"
