"""Sends spans of answered requests to an OpenTelemetry collector: OTLP over HTTP, protobuf, from a thread with a bounded queue.

Nothing is sent unless `[traces] endpoint` in sampan.toml names a collector. A collector that is slow or away costs spans, which are
counted, and never a request.

References
----------
OpenTelemetry, "OTLP Specification 1.x": paths, retryable statuses, Retry-After; "Environment variable specification": the headers.
"""

from __future__ import annotations

import gzip
import http.client
import logging
import os
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from sampan import __version__
from sampan.core.project import Traces
from sampan.errors import ParameterError
from sampan.serving.spans import Attribute, Sampler, Span

logger = logging.getLogger(__name__)

HEADERS: Final = "OTEL_EXPORTER_OTLP_HEADERS"
CAPACITY: Final = 4096  # spans that wait
MOST_AT_ONCE: Final = 512  # in one export
GATHER_S: Final = 0.5
TIMEOUT_S: Final = 10.0
CLOSE_S: Final = 5.0  # for what waits when the server stops
_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_TRIES: Final = 5
_FIRST_WAIT_S: Final = 0.5
_FAILED: Final = 500  # a status from here on is the server's fault
_SERVER, _INTERNAL, _ERROR = 2, 1, 2  # OTLP's numbers for kinds of spans and states


class SpanExporter:
    """Begins spans, takes them back when their requests are answered, and sends them. `begin` and `end` belong to the event loop."""

    def __init__(self, traces: Traces, *, service: str, rng: random.Random | None = None) -> None:
        self._address = _address(traces.endpoint)
        self._headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip", **_given_headers()}
        self._service = traces.name or service
        self._sampler = Sampler(traces.sample, rng=rng or random.SystemRandom())
        self._queue: deque[Span] = deque()
        self._changed = threading.Condition()
        self._closing_by: float | None = None
        # The moment of time.perf_counter_ns's zero: spans are timed by the clock that no one sets back.
        self._epoch_ns = time.time_ns() - time.perf_counter_ns()
        self._ailing = False
        self.sent = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._work, name="spans", daemon=True)
        self._thread.start()

    def begin(self, *, parent: bytes, state: bytes) -> Span | None:
        """Return the span of a request that came now, None where it is not traced."""
        return self._sampler.begin(parent=parent, state=state, now_ns=self._epoch_ns + time.perf_counter_ns())

    def end(self, span: Span, *, route: str, method: str, status: int, service: str, caller: str) -> None:
        """Take the span of a request that is answered now, or drop and count it when the queue is full."""
        span.end_ns = self._epoch_ns + time.perf_counter_ns()
        span.name = f"{method} {route}"
        span.failed = status >= _FAILED
        span.attributes = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "sampan.service": service,
        }
        if caller:
            span.attributes["sampan.caller"] = caller
        with self._changed:
            if len(self._queue) >= CAPACITY or self._closing_by is not None:
                self.dropped += 1
                return
            self._queue.append(span)
            if len(self._queue) == 1:
                self._changed.notify()

    def close(self) -> None:
        """Send what waits, for a moment, and stop."""
        with self._changed:
            self._closing_by = time.monotonic() + CLOSE_S
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and self._closing_by is None:
                    self._changed.wait()
                if self._closing_by is None:
                    self._changed.wait(GATHER_S)
                taken = [self._queue.popleft() for _ in range(min(len(self._queue), MOST_AT_ONCE))]
                closing = self._closing_by is not None
            if taken:
                self._send(taken)
            elif closing:
                return

    def _send(self, spans: list[Span]) -> None:
        body = gzip.compress(self._encode(spans), compresslevel=1)
        wait_s = _FIRST_WAIT_S
        for attempt in range(_TRIES):
            refused, asked_s = self._post(body)
            if not refused:
                self.sent += len(spans)
                self._ailing = False
                return
            wait_s = asked_s if asked_s is not None else wait_s
            if asked_s == 0 or attempt == _TRIES - 1 or not self._may_wait(wait_s):
                break
            wait_s *= 2
        self.dropped += len(spans)
        if not self._ailing:
            logger.warning("spans cannot be sent to %s and are dropped: %s", self._address.geturl(), refused)
        self._ailing = True

    def _post(self, body: bytes) -> tuple[str, float | None]:
        """Send one export. Returns what went wrong ("" for nothing) and how long to wait by the collector's word; 0: do not try again."""
        place = self._address
        assert place.hostname
        kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
        more: dict[str, Any] = {"context": ssl.create_default_context()} if place.scheme == "https" else {}
        connection = kind(place.hostname, place.port, timeout=TIMEOUT_S, **more)
        try:
            connection.request("POST", place.path, body=body, headers=self._headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as cause:
            return str(cause) or type(cause).__name__, None
        finally:
            connection.close()
        if answer.status < 300:
            return "", None
        if answer.status not in _RETRYABLE:
            return f"status {answer.status}", 0
        after = answer.headers.get("Retry-After", "")
        return f"status {answer.status}", float(after) if after.isdigit() else None

    def _may_wait(self, seconds: float) -> bool:
        """Wait, unless the server is closing and has no time for it."""
        with self._changed:
            if self._closing_by is None:
                self._changed.wait(seconds)
            if self._closing_by is None:
                return True
            left = self._closing_by - time.monotonic()
        if seconds >= left:
            return False
        time.sleep(seconds)
        return True

    def _encode(self, spans: list[Span]) -> bytes:
        from sampan.web.mlflow.otlp import messages

        request = messages()["Request"]()
        resource = request.resource_spans.add()
        _put(resource.resource, {"service.name": self._service, "service.version": __version__, "process.pid": os.getpid()})
        scope = resource.scope_spans.add()
        scope.scope.name, scope.scope.version = "sampan", __version__
        for span in spans:
            _add_span(scope.spans.add(), span)
            for name, start_ns, end_ns, attributes in _parts(span, self._epoch_ns):
                child = scope.spans.add()
                _add_span(
                    child, Span(trace=span.trace, id=self._sampler.new_id(), parent=span.id, name=name, start_ns=start_ns, end_ns=end_ns)
                )
                child.kind = _INTERNAL
                _put(child, attributes)
        return bytes(request.SerializeToString())


def exporter_of(traces: Traces, *, service: str) -> SpanExporter | None:
    """Return what sends spans, None where the project names no collector.

    Raises
    ------
    ParameterError : `[traces]` names no address, or a share that is none.
    """
    if not traces.endpoint:
        return None
    if not 0 <= traces.sample <= 1:
        raise ParameterError(
            f"sampan.toml, [traces]: sample is {traces.sample}, expected 0 to 1", hint="0.01 traces one request in a hundred"
        )
    return SpanExporter(traces, service=service)


def _address(endpoint: str) -> Any:
    place = urlsplit(endpoint)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise ParameterError(f"sampan.toml, [traces]: endpoint is {endpoint!r}, no address", hint="http://127.0.0.1:4318")
    return place if place.path.strip("/") else place._replace(path="/v1/traces")


def _given_headers() -> Mapping[str, str]:
    pairs = (entry.partition("=") for entry in os.environ.get(HEADERS, "").split(",") if "=" in entry)
    return {unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs}


def _parts(span: Span, epoch_ns: int) -> Iterator[tuple[str, int, int, dict[str, Attribute]]]:
    for part in span.parts:
        attributes: dict[str, Attribute] = {"sampan.version": part.version, "sampan.role": part.role, "sampan.rows": part.n_rows}
        yield f"predict {part.version}", epoch_ns + part.started_ns, epoch_ns + part.ended_ns, attributes


def _add_span(message: Any, span: Span) -> None:
    message.trace_id, message.span_id = bytes.fromhex(span.trace), bytes.fromhex(span.id)
    message.parent_span_id, message.trace_state = bytes.fromhex(span.parent), span.state
    message.name, message.kind = span.name, _SERVER
    message.start_time_unix_nano, message.end_time_unix_nano = span.start_ns, span.end_ns
    if span.failed:
        message.status.code = _ERROR
    _put(message, span.attributes)


def _put(message: Any, attributes: Mapping[str, Attribute]) -> None:
    for name, value in attributes.items():
        pair = message.attributes.add(key=name)
        if isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        else:
            pair.value.string_value = value
