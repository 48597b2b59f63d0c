"""Spans of requests: what a caller's trace is told of an answer. Pure; `sampan.web.inference.traces` sends them.

References
----------
W3C, "Trace Context" (Recommendation, 2021): the traceparent and tracestate headers.
"""

from __future__ import annotations

import random
import re
import time
from typing import Final, NamedTuple

import msgspec

from sampan.core.times import Millis

_PARENT: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_FIRST_VERSION: Final = 55  # characters of a traceparent of version 00, which has no more
_SAMPLED: Final = 1

Attribute = str | int | float | bool


class Part(NamedTuple):
    """What one version did within a request; moments by `time.perf_counter_ns`."""

    version: str
    role: str
    n_rows: int
    started_ns: int
    ended_ns: int


class Span(msgspec.Struct, kw_only=True):
    """A request within a trace. Times are nanoseconds since 1970."""

    trace: str  # 32 hexadecimal digits
    id: str  # 16
    parent: str = ""
    state: str = ""  # the caller's tracestate
    name: str = ""
    start_ns: int
    end_ns: int = 0
    failed: bool = False
    attributes: dict[str, Attribute] = {}
    parts: list[Part] = []

    def note(self, version: str, role: str, n_rows: int, *, started_ns: int) -> None:
        """Note that a version answered rows of the request. `started_ns` is by `time.perf_counter_ns`, as the end is now."""
        self.parts.append(Part(version, role, n_rows, started_ns, time.perf_counter_ns()))


class Origin(msgspec.Struct, kw_only=True):
    """When and from whom a request came, as far as its answer and the log want to know."""

    at: Millis = 0  # when it came, by the server's clock
    started_ns: int = 0  # the same, by time.perf_counter_ns
    caller: str = ""
    size_bytes: int = 0  # of its body
    span: Span | None = None  # where this request is traced

    @property
    def trace(self) -> str:
        """The trace it belongs to; "" where it is not traced."""
        return self.span.trace if self.span is not None else ""


class Sampler:
    """Decides which requests are traced: their caller does, by traceparent, else a share of them is."""

    def __init__(self, share: float, *, rng: random.Random) -> None:
        self._share = share
        self._rng = rng

    def begin(self, *, parent: bytes, state: bytes, now_ns: int) -> Span | None:
        """Begin the span of a request, or return None where it is not traced. A broken traceparent counts as none."""
        told = read_parent(parent) if parent else None
        if told is not None:
            trace, caller, flags = told
            if not flags & _SAMPLED:
                return None
            return Span(trace=trace, id=self.new_id(), parent=caller, state=state.decode("latin-1"), start_ns=now_ns)
        if self._rng.random() >= self._share:
            return None
        return Span(trace=self._id(128), id=self.new_id(), start_ns=now_ns)

    def new_id(self) -> str:
        """Draw the id of a span."""
        return self._id(64)

    def _id(self, bits: int) -> str:
        return f"{self._rng.getrandbits(bits) or 1:0{bits // 4}x}"


def read_parent(header: bytes) -> tuple[str, str, int] | None:
    """Return trace, calling span and flags of a traceparent header; None where it is not one.

    >>> read_parent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    ('4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', 1)
    >>> read_parent(b"00-00000000000000000000000000000000-00f067aa0ba902b7-01")
    """
    found = _PARENT.fullmatch(header.strip())
    if found is None or (header.strip().startswith(b"00") and len(header.strip()) != _FIRST_VERSION):
        return None
    return found[1].decode(), found[2].decode(), int(found[3], 16)
