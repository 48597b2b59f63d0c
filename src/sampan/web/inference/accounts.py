"""What is noted of every call of a model: which one runs, what it took and failed, its rows in the log, counts, what its shadow hears."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from mmap import mmap
from typing import Any

from sampan.serving.exposition import Counters, Labels
from sampan.serving.records import Scored
from sampan.serving.routing import Variant
from sampan.serving.spans import Origin
from sampan.web.inference.lanes import SLOW_S, Lane
from sampan.web.inference.log import PredictionLog
from sampan.web.inference.shadow import Shadow

MARK_BYTES = 64
_SLOW_NS = int(SLOW_S * 1e9)


class Accounts:
    """One service's accounts. All methods belong to the event loop's thread."""

    def __init__(self, log: PredictionLog, counters: Counters, shadow: Shadow, lanes: Mapping[str, Lane]) -> None:
        self._log = log
        self._counters = counters
        self._shadow = shadow
        self.marker: mmap | None = None
        self._lanes = lanes  # by package
        self._counted: dict[tuple[str, str], tuple[str, Labels]] = {}

    def begin(self, variant: Variant) -> None:
        """Name the package that runs now."""
        if self.marker is not None:
            self.marker[:MARK_BYTES] = variant.package.encode()[:MARK_BYTES].ljust(MARK_BYTES)

    def failed(self, variant: Variant, n_rows: int) -> None:
        """Count a request, or the part of one, that got an error."""
        self._counters.add("sampan_failed_rows_total", n_rows, version=variant.version, role=variant.role)
        self._counters.add("sampan_failed_requests_total", version=variant.version, role=variant.role)

    def took(self, variant: Variant, took_ns: int, *, n_requests: int = 1) -> None:
        """Hold a slow call on the event loop against its model."""
        if (lane := self._lanes.get(variant.package)) is None:
            return
        lane.calls_now += n_requests
        if took_ns > _SLOW_NS:
            lane.noted_slow(took_ns / 1e9, now_s=time.monotonic())

    def answered(self, variant: Variant, scored: Scored, *origins: Origin) -> None:
        """Log and count rows that were answered, of one request or of several of a row each; note them where a request is traced."""
        n_rows = len(scored.ids)
        self._log.offer(variant, scored)
        place = (variant.version, variant.role)
        if (counted := self._counted.get(place)) is None:
            counted = self._counted[place] = ("sampan_predictions_total", (("version", variant.version), ("role", variant.role)))
        self._counters.count(counted, n_rows)
        for origin in origins:
            if origin.span is not None:
                origin.span.note(scored.version, scored.role, n_rows // len(origins), started_ns=origin.started_ns)

    def ended(self, rows: Sequence[Mapping[str, Any]], ids: Sequence[str], origin: Origin) -> None:
        """Let the shadow hear of a request that was answered as a whole, and count how long it took."""
        self._shadow.offer(rows, ids, origin)
        self._counters.observe((time.perf_counter_ns() - origin.started_ns) / 1e9)
