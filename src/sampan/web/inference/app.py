"""The prediction server's application: what a request to each path gets. Two transports carry it, both without a framework.

    POST /predict                    one object or {"rows": [...]}          GET /health    GET /metrics
    /v2 …, /invocations …            for clients of other servers, as `inference_tensors` lists
    POST /outcomes                   true labels, when they become known
    POST /feed/{table}               rows for an online feature table
    POST /admin/reload               look at the routing now (loopback and token)

`inference_http` is the connection that servers use; `InferenceApp` itself is an ASGI application for any other server. Both read the whole
body, then call `answer`: it returns a reply at once, or at the end of this turn of the event loop, where the model runs on the event loop,
else something to wait for.

Not here: scoring, logging and swapping (`inference_scoring`), loading models (`inference_models`), the process (`inference_server`).
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from itertools import repeat
from typing import Any, Protocol
from urllib.parse import quote, unquote

import msgspec

from sampan.core.refs import nearest
from sampan.core.times import Clock, system_clock
from sampan.errors import (
    AccessDenied,
    DeadlineExceeded,
    MethodRefused,
    NotFound,
    ParameterError,
    SampanError,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from sampan.serving.answers import encode_numbers
from sampan.serving.exposition import Counters, Labels
from sampan.serving.outcomes import decode_feed, decode_outcomes, strange_classes
from sampan.serving.records import Scored
from sampan.serving.requests import Prediction, Predictions, decode_predict, encode_predictions, typed_request
from sampan.serving.routing import Variant
from sampan.serving.spans import Origin, Span
from sampan.table.rows import Row as BareRow
from sampan.web.inference.direct import scope_notes
from sampan.web.inference.log import ArrivalLog, PredictionLog
from sampan.web.inference.reply import Admit, Answered, Coming, Handler, Reply, Request, Soon
from sampan.web.inference.scoring import Limits, Scorer, tell
from sampan.web.inference.tensors import TensorRoutes

logger = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Reload = Callable[[], Awaitable[None]]

PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
LINGER_S = 2.0
DEADLINE = b"x-request-timeout-ms"
_PREDICTING = ("/predict", "/v2/models/", "/invocations", "/endpoints/")
_REFUSED = 400  # a status from here on


class Tracer(Protocol):
    """Begins the spans of requests and takes them back when they are answered; see `inference_traces`."""

    def begin(self, *, parent: bytes, state: bytes) -> Span | None:
        """Return the span of a request that came now, None where it is not traced."""
        ...

    def end(self, span: Span, *, route: str, method: str, status: int, service: str, caller: str) -> None:
        """Take the span of a request that is answered now. Never blocks."""
        ...


class _RowAsked(msgspec.Struct, gc=False):
    """A request of one row, and who waits for its answer."""

    row: BareRow
    name: str
    request: Request
    soon: Soon

    @property
    def origin(self) -> Origin:
        """When and from whom it came."""
        return self.request.origin


class InferenceApp:
    """One service's application: transports hand it whole requests."""

    def __init__(
        self,
        service: str,
        *,
        log: PredictionLog,
        arrivals: ArrivalLog,
        token: str = "",
        limits: Limits | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self.service = service
        self.limits = limits or Limits()
        self.counters = Counters()
        self.scorer = Scorer(service, log=log, counters=self.counters, limits=self.limits, clock=clock)
        self.tensors = TensorRoutes(service, self.scorer, max_rows=self.limits.rows)
        self.reload: Reload | None = None  # set by who watches the routing
        self.more_samples: Callable[[], dict[tuple[str, Labels], float]] = dict  # of what else is counted, for /metrics
        self.admit: Admit | None = None  # set by who asks for keys: returns the caller's name, raises where a request may not come in
        self.tracer: Tracer | None = None  # set where spans are wanted
        self.fault = ""  # why the newest routing could not be loaded
        self._arrivals = arrivals
        self._arrival_worker = ThreadPoolExecutor(1, thread_name_prefix="arrivals")
        self._token = token
        self._clock = clock
        self._started = clock()
        self._in_flight = 0
        self._turn: list[_RowAsked] = []  # single rows that came in this turn of the event loop
        self._late: set[asyncio.Task[None]] = set()
        self._routes: dict[str, tuple[str, Handler]] = {
            "/predict": ("POST", self._predict),
            "/outcomes": ("POST", self._outcomes),
            "/feed/": ("POST", self._feed),
            "/health": ("GET", self._health),
            "/metrics": ("GET", self._metrics),
            "/admin/reload": ("POST", self._admin_reload),
            **self.tensors.routes,
        }

        self._counters_of: dict[tuple[str, int], tuple[str, Labels]] = {}
        self._prefixes = [route for route in self._routes if route.endswith("/")]

    # -- transports ---------------------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Answered:
        """Answer a whole request: a reply, or what becomes one. Never raises."""
        route = "unknown"
        try:
            route, handler, rest = self._find(request.path, request.method)
            request.origin = self._origin(request)
            reply = handler(request, rest)
        except Exception as cause:  # noqa: BLE001  # told and logged below
            reply = self._failed(route, cause)
        if isinstance(reply, Reply):
            self._count(route, request, reply)
            return reply
        if isinstance(reply, Soon):  # counted when it comes
            return reply
        if isinstance(reply, Coming):
            soon = Soon()
            reply.then(lambda make: self._made(route, request, make, soon))
            return soon
        return self._wait_for(route, request, reply)

    def _made(self, route: str, request: Request, make: Callable[[], Reply], soon: Soon) -> None:
        try:
            reply = make()
        except Exception as cause:  # noqa: BLE001  # told and logged below
            reply = self._failed(route, cause)
        self._count(route, request, reply)
        soon.come(reply)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request of an ASGI server."""
        headers = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
        raw = scope.get("raw_path") or quote(scope["path"]).encode()
        client = scope.get("client")
        reply: Answered
        try:
            body = await self._body(headers, receive)
            reply = self.answer(Request(scope["method"], raw.decode("latin-1"), headers, body, client[0] if client else ""))
        except SampanError as refusal:
            reply = self.refuse(refusal)
        await _send(reply if isinstance(reply, Reply) else await reply, receive, send)

    def refuse(self, refusal: SampanError) -> Reply:
        """Return what a client is told of a request that failed."""
        self.counters.add("sampan_errors_total", code=refusal.code)
        return told(refusal)

    async def close(self) -> None:
        """Write every log to its end. Called once no request is in flight."""
        await self.scorer.close()
        await self._close_arrivals()

    async def retire(self) -> None:
        """Write this service's own logs to their end; the prediction log, which services may share, goes on."""
        await self.scorer.retire()
        await self._close_arrivals()

    async def _close_arrivals(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._arrival_worker, self._arrivals.close)
        self._arrival_worker.shutdown()

    async def _wait_for(self, route: str, request: Request, coming: Awaitable[Reply]) -> Reply:
        self._in_flight += 1
        try:
            if request.method == "POST" and self._in_flight > self.limits.in_flight:
                raise Unavailable(f"{self.limits.in_flight} requests are being answered already", hint="try again in a second")
            reply = await self._in_time(route, request, coming)
        except Exception as cause:  # noqa: BLE001  # told and logged below
            if asyncio.iscoroutine(coming):
                coming.close()
            reply = self._failed(route, cause)
        finally:
            self._in_flight -= 1
        self._count(route, request, reply)
        return reply

    async def _in_time(self, route: str, request: Request, coming: Awaitable[Reply]) -> Reply:
        """Wait for an answer until the request's deadline, or the server's own; what reloads or stores takes its time."""
        timeout_s = deadline_s(request, self.limits.timeout_s) if route in _PREDICTING else None
        if timeout_s is not None and request.timeout_s:
            timeout_s = min(timeout_s, request.timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await coming
        except TimeoutError as cause:
            raise DeadlineExceeded(f"no answer after {timeout_s:g} s", hint=f"give it longer by the header {DEADLINE.decode()}") from cause

    def _find(self, path: str, method: str) -> tuple[str, Handler, str]:
        if not path.endswith("/") and (known := self._routes.get(path)) is not None and method == known[0]:
            return path, known[1], ""
        path = path.rstrip("/") or "/"
        route, rest = path, ""
        if path not in self._routes:
            for prefix in self._prefixes:
                if path.startswith(prefix):
                    route, rest = prefix, path[len(prefix) :]
        if route not in self._routes:
            raise NotFound(f"no page {unquote(path)}", did_you_mean=nearest(path, self._routes))
        expected, handler = self._routes[route]
        if expected and method != expected and (method, expected) != ("HEAD", "GET"):
            raise MethodRefused(f"{path} takes {expected}, not {method}")
        return route, handler, rest

    def _failed(self, route: str, cause: Exception) -> Reply:
        if isinstance(cause, SampanError):
            return self.refuse(cause)
        logger.error("a request to %s failed", route, exc_info=cause)  # the edge of the process: a bug answers 500, the server lives on
        return self.refuse(SampanError("the server failed on this request; its log says why"))

    def _origin(self, request: Request) -> Origin:
        origin = request.origin
        origin.caller, origin.size_bytes = request.client, len(request.body)
        if self.tracer is not None and request.method == "POST":
            origin.span = self.tracer.begin(parent=request.header(b"traceparent"), state=request.header(b"tracestate"))
        if self.admit is not None:
            origin.caller = self.admit(request) or request.client
        return origin

    def _count(self, route: str, request: Request, reply: Reply) -> None:
        counter = self._counters_of.get((route, reply.status))
        if counter is None:
            counter = ("sampan_requests_total", (("route", route), ("status", str(reply.status))))
            self._counters_of[route, reply.status] = counter
        self.counters.count(counter)
        if reply.status >= _REFUSED and route in _PREDICTING:
            self.scorer.refused(request.origin.caller)
        if self.tracer is not None and (span := request.origin.span) is not None:
            self.tracer.end(
                span, route=route, method=request.method, status=reply.status, service=self.service, caller=request.origin.caller
            )

    async def _body(self, headers: Sequence[tuple[bytes, bytes]], receive: Receive) -> bytes:
        most = self.limits.body_bytes
        declared = next((value for name, value in headers if name == b"content-length"), b"")
        if declared.isdigit() and int(declared) > most:
            raise body_too_large(int(declared), most)
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ParameterError("the client left before its body was whole")
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > most:
                raise body_too_large(0, most)
            if not message.get("more_body"):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    # -- plain requests -----------------------------------------------------------------------------------------------------------

    def _predict(self, request: Request, _: str) -> Answered | Coming:
        singles = self.scorer.singles
        if singles is None or (row := singles.read(request.body)) is None:
            return self._predict_rows(request)
        name = self.scorer.begin_row(request.origin)
        if given := request.header(b"x-request-id"):
            name = given.decode("latin-1")
        asked = _RowAsked(row, name, request, Soon())
        if not singles.company.gathers:
            return self._told(asked, singles.answer([asked])[0])
        if not self._turn:
            asyncio.get_running_loop().call_soon(self._end_turn)
        self._turn.append(asked)
        return asked.soon

    def _end_turn(self) -> None:
        """Answer the single rows that came since the event loop looked at its connections."""
        turn, self._turn = self._turn, []
        singles = self.scorer.singles
        for asked, answer in zip(turn, singles.answer(turn) if singles is not None else repeat(None)):  # noqa: B905  # without end
            try:
                reply = self._told(asked, answer)
            except Exception as cause:  # noqa: BLE001  # told and logged below
                reply = self._failed("/predict", cause)
            if isinstance(reply, Reply):
                self._come(asked, reply)
            else:
                task = asyncio.create_task(self._come_later(asked, reply))
                self._late.add(task)
                task.add_done_callback(self._late.discard)

    def _told(self, asked: _RowAsked, answer: Prediction | Exception | None) -> Answered:
        if isinstance(answer, Prediction):
            return Reply(_encode(answer))
        if answer is None:
            reply = self._predict_rows(asked.request)
            assert not isinstance(reply, Coming)  # a bare row does not wait for another turn's end
            return reply
        raise answer

    def _come(self, asked: _RowAsked, reply: Reply) -> None:
        self._count("/predict", asked.request, reply)
        asked.soon.come(reply)

    async def _come_later(self, asked: _RowAsked, coming: Awaitable[Reply]) -> None:
        asked.soon.come(await self._wait_for("/predict", asked.request, coming))

    def _predict_rows(self, request: Request) -> Reply | Coming | Awaitable[Reply]:
        singles = self.scorer.singles
        if singles is not None and (typed := singles.read_many(request.body)) is not None:
            asked = typed_request(*typed, max_rows=self.limits.rows)
        else:
            asked = decode_predict(request.body, max_rows=self.limits.rows)
        ids = asked.ids
        if asked.single and (name := request.header(b"x-request-id")):
            ids = (name.decode("latin-1"),)

        def reply(predictions: list[Prediction]) -> Reply:
            return Reply(encode_predictions(Predictions(model=self.service, predictions=predictions), single=asked.single))

        def replied(variant: Variant, scored: Scored) -> Reply:
            body = None if scope_notes(variant, scored) else encode_numbers(self.service, variant, scored)
            return Reply(body) if body is not None else reply(tell(variant, scored))

        coming = None if asked.single else self.scorer.gather(asked.rows, replied, ids=ids, origin=request.origin)
        if coming is not None:
            return coming
        if self.scorer.answers_now(len(asked.rows)):
            return reply(self.scorer.answer_now(asked.rows, ids=ids, origin=request.origin))
        return _then(self.scorer.answer(asked.rows, ids=ids, origin=request.origin), reply)

    async def _outcomes(self, request: Request, _: str) -> Reply:
        now = self._clock()
        live = self.scorer.live()
        outcomes = decode_outcomes(request.body, keys=live.keys, now=now, max_rows=self.limits.rows, expected=live.labels)
        await self._keep(lambda: self._arrivals.outcomes(outcomes, received=now, package=live.package))
        self.counters.add("sampan_outcomes_total", len(outcomes))
        strange = strange_classes(outcomes)
        return Reply(msgspec.json.encode({"received": len(outcomes), **({"unknown_classes": strange} if strange else {})}))

    async def _feed(self, request: Request, table: str) -> Reply:
        now = self._clock()
        feed = decode_feed(request.body, now=now, max_rows=self.limits.rows)
        name = unquote(table)
        await self.scorer.feed(name, feed, keep=lambda: self._keep(lambda: self._arrivals.feed(name, feed, received=now)))
        return Reply(msgspec.json.encode({"table": name, "fed": len(feed.rows)}))

    async def _keep(self, write: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._arrival_worker, write)

    def _health(self, request: Request, _: str) -> Reply:  # noqa: ARG002  # the handlers' signature
        routing = self.scorer.routing
        roles: dict[str, object] = {variant.role: variant.version for variant in routing.variants}
        body: dict[str, object] = {
            "service": self.service,
            "ready": routing.live is not None,
            **roles,
            "canary_share": routing.share if routing.canary else 0.0,
            "up_s": (self._clock() - self._started) / 1000,
            "fault": self.fault,
            "pace": self.scorer.paces(),
        }
        return Reply(msgspec.json.encode(body))

    def _metrics(self, request: Request, _: str) -> Reply:  # noqa: ARG002
        return Reply(self.metrics_text().encode(), content_type=PROMETHEUS)

    def metrics_text(self) -> str:
        """Write what was counted, for a request that asks."""
        # The request that asks is in flight, too.
        gauges: dict[tuple[str, Labels], float] = {**self.scorer.gauges(), ("sampan_requests_in_flight", ()): self._in_flight + 1}
        gauges |= self.more_samples()
        return self.counters.text(gauges)

    async def _admin_reload(self, request: Request, _: str) -> Reply:
        given = request.header(b"authorization").removeprefix(b"Bearer ")
        if not _is_loopback(request.client) or not self._token or not hmac.compare_digest(given, self._token.encode()):
            raise AccessDenied("reload is for this machine and with the server's token", hint="sampan service commands use it for you")
        if self.reload is None:
            raise Unavailable("this server watches no routing")
        await self.reload()
        return self._health(request, "")


def body_too_large(declared: int, most: int) -> TooLarge:
    """Return the answer to a body over the limit; `declared` is 0 where its size is not known."""
    size = f"{declared:,} bytes, at most {most:,} are read" if declared else f"more than {most:,} bytes"
    return TooLarge(f"the body has {size}", hint="send several requests")


async def _then(coming: Awaitable[list[Prediction]], reply: Callable[[list[Prediction]], Reply]) -> Reply:
    return reply(await coming)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def _send(reply: Reply, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", reply.content_type), (b"content-length", str(len(reply.body)).encode()), *reply.headers]
    cut = reply.status == TooLarge.http_status
    if cut:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": cut})
    if cut:
        await _linger(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _linger(receive: Receive) -> None:
    """Throw away what still comes, for a moment: closing on a client that is sending would cost it the answer already sent."""
    deadline = time.monotonic() + LINGER_S
    while (left := deadline - time.monotonic()) > 0:
        try:
            message = await asyncio.wait_for(receive(), left)
        except TimeoutError:
            return
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return


def deadline_s(request: Request, default: float) -> float:
    """Return how long a request may take: what it says itself, at most what the server allows."""
    said = request.header(DEADLINE)
    if not said:
        return default
    if not said.isdigit() or not int(said):
        raise ParameterError(f"{DEADLINE.decode()} is {said.decode('latin-1')!r}, expected whole milliseconds", hint="such as 250")
    return min(int(said) / 1000, default)


def told(refusal: SampanError) -> Reply:
    """Return what a client is told of a refusal."""
    body = {"error": refusal.message, "code": refusal.code, "hint": refusal.hint, **refusal.details()}
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if isinstance(refusal, Unavailable):
        wait_s = math.ceil(refusal.retry_after_s) if isinstance(refusal, TooManyRequests) else 1
        headers = ((b"retry-after", str(wait_s).encode()),)
    return Reply(msgspec.json.encode(body), status=refusal.http_status, headers=headers)
