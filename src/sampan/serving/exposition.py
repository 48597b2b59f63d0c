"""Counters and one latency histogram, written and read as Prometheus text (exposition format 0.0.4)."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping

LATENCY_BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

Labels = tuple[tuple[str, str], ...]
Samples = Mapping[tuple[str, Labels], float]

_HELP: dict[str, tuple[str, str]] = {
    "sampan_requests_total": ("counter", "Requests answered, by route and status."),
    "sampan_errors_total": ("counter", "Requests answered with an error, by its code."),
    "sampan_predictions_total": ("counter", "Rows scored, by version and role."),
    "sampan_request_seconds": ("histogram", "Time from a prediction request's last byte to its answer."),
    "sampan_requests_in_flight": ("gauge", "Requests being answered now."),
    "sampan_log_queue_rows": ("gauge", "Scored rows that wait to be written to the prediction log."),
    "sampan_log_written_rows_total": ("counter", "Rows the prediction log holds since the start."),
    "sampan_log_dropped_rows_total": ("counter", "Rows lost to the prediction log: its queue or the disk was full."),
    "sampan_shadow_queue_rows": ("gauge", "Answered rows that wait for the shadow."),
    "sampan_shadow_scored_rows_total": ("counter", "Rows that a shadow scored, by version."),
    "sampan_shadow_dropped_rows_total": ("counter", "Rows the shadow did not score: its queue was full, or it raised."),
    "sampan_shadow_failed_rows_total": ("counter", "Rows that a shadow raised on, by version."),
    "sampan_stuck_requests": ("gauge", "Calls of a model that run far beyond any deadline, by version."),
    "sampan_failed_rows_total": ("counter", "Rows that got an error, by version and role: refused, raised on, or not in time."),
    "sampan_failed_requests_total": ("counter", "Requests, or parts of them by version, that got an error."),
    "sampan_shadow_failed_requests_total": ("counter", "Requests that a shadow raised on, by version."),
    "sampan_outcomes_total": ("counter", "True labels received."),
    "sampan_feature_renewals_total": ("counter", "Times online features were taken from newer versions of their datasets."),
    "sampan_feature_renewal_failures_total": ("counter", "Times newer versions of datasets could not be used for online features."),
    "sampan_feature_store_fetches_total": ("counter", "Round trips to the Redis that online features live in."),
    "sampan_feature_store_failures_total": ("counter", "Times that Redis did not answer."),
    "sampan_feature_store_missing_total": ("counter", "Values that Redis did not answer for and that were taken as missing."),
    "sampan_fed_rows_total": ("counter", "Rows fed to online feature tables."),
    "sampan_swaps_total": ("counter", "Times the routing was replaced."),
    "sampan_swap_failures_total": ("counter", "Times a new routing could not be loaded."),
    "sampan_routing_info": ("gauge", "1 for each version in its role."),
    "sampan_canary_share": ("gauge", "Share of keys that the canary answers."),
}
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)\Z")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Counters:
    """One server's counts since its start. Written by the event loop alone, so it needs no lock."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, Labels], float] = {}
        self._buckets = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self._seconds = 0.0

    def add(self, name: str, n: float = 1, **labels: str) -> None:
        """Add to a counter."""
        key = (name, tuple(labels.items()))
        self._values[key] = self._values.get(key, 0) + n

    def count(self, counter: tuple[str, Labels], n: int = 1) -> None:
        """Add to a counter whose labels were put together before: a third of the cost of `add`."""
        self._values[counter] = self._values.get(counter, 0) + n

    def observe(self, seconds: float) -> None:
        """Count one request's latency."""
        self._buckets[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        self._seconds += seconds

    def text(self, gauges: Samples) -> str:
        """Write everything, with the present `gauges`."""
        samples = sorted({**self._values, **gauges}.items())
        lines: list[str] = []
        shown = ""
        for (name, labels), value in samples:
            if name != shown:
                lines += _head(name)
                shown = name
            lines.append(f"{name}{_braces(labels)} {_number(value)}")
        return "\n".join([*lines, *self._histogram()]) + "\n"

    def _histogram(self) -> list[str]:
        name = "sampan_request_seconds"
        lines, total = _head(name), 0
        for bound, n in zip((*map(str, LATENCY_BOUNDS_S), "+Inf"), self._buckets, strict=True):
            total += n
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*lines, f"{name}_sum {self._seconds!r}", f"{name}_count {total}"]


def parse(text: str) -> dict[tuple[str, Labels], float]:
    """Read Prometheus text back into samples."""
    samples: dict[tuple[str, Labels], float] = {}
    for line in text.split("\n"):  # not splitlines: a label may hold other line ends
        if found := _SAMPLE.match(line):
            labels = tuple((name, _unescape(value)) for name, value in _LABEL.findall(found[2] or ""))
            samples[(found[1], labels)] = float(found[3])
    return samples


def total(samples: Samples, name: str, **labels: str) -> float:
    """Add up a metric's samples that carry all of `labels`."""
    wanted = set(labels.items())
    return sum(value for (known, have), value in samples.items() if known == name and wanted <= set(have))


def latency_quantile(samples: Samples, share: float) -> float | None:
    """Estimate a quantile of the request latency in seconds from its buckets, straight within a bucket; None without requests.

    Above the last bound the last bound is returned: the truth is at least that.
    """
    below, lower = 0.0, 0.0
    wanted = share * samples.get(("sampan_request_seconds_count", ()), 0.0)
    if wanted <= 0:
        return None
    for bound in LATENCY_BOUNDS_S:
        up_to = samples.get(("sampan_request_seconds_bucket", (("le", str(bound)),)), 0.0)
        if up_to >= wanted:
            return lower + (bound - lower) * (wanted - below) / (up_to - below)
        below, lower = up_to, bound
    return lower


def _head(name: str) -> list[str]:
    kind, words = _HELP[name]
    return [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels) + "}"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)
