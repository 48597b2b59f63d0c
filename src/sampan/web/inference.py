"""The prediction server's application: raw ASGI, no framework between socket and model.

    POST /predict                    one object or {"rows": [...]}          GET /health    GET /metrics
    GET  /v2 …, POST /v2/models/{service}[/versions/{v}]/infer              Open Inference Protocol
    POST /outcomes                   true labels, when they become known
    POST /feed/{table}               rows for an online feature table
    POST /admin/reload               look at the routing now (loopback and token)

Not here: scoring, logging and swapping (`inference_scoring`), loading models (`inference_models`), the process (`inference_server`).
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote

import msgspec

from sampan import __version__
from sampan.core.refs import nearest
from sampan.core.times import Clock, system_clock
from sampan.errors import AccessDenied, MethodRefused, NotFound, ParameterError, SampanError, TooLarge, Unavailable
from sampan.serving import inference_protocol as v2
from sampan.serving.exposition import Counters, Labels
from sampan.serving.outcomes import decode_feed, decode_outcomes
from sampan.serving.requests import Predictions, decode_predict, encode_predictions
from sampan.web.inference_log import ArrivalLog, PredictionLog
from sampan.web.inference_scoring import Limits, Scorer

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Reload = Callable[[], Awaitable[None]]

JSON = b"application/json"
PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
LINGER_S = 2.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


Handler = Callable[[Scope, Receive, str], Awaitable[Reply]]


class InferenceApp:
    """One service's ASGI application."""

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
        self.reload: Reload | None = None  # set by who watches the routing
        self.fault = ""  # why the newest routing could not be loaded
        self._arrivals = arrivals
        self._arrival_worker = ThreadPoolExecutor(1, thread_name_prefix="arrivals")
        self._token = token
        self._clock = clock
        self._started = clock()
        self._in_flight = 0
        self._routes: dict[str, tuple[str, Handler]] = {
            "/predict": ("POST", self._predict),
            "/outcomes": ("POST", self._outcomes),
            "/feed/": ("POST", self._feed),
            "/health": ("GET", self._health),
            "/metrics": ("GET", self._metrics),
            "/admin/reload": ("POST", self._admin_reload),
            "/v2": ("GET", self._v2_server),
            "/v2/health/live": ("GET", self._v2_live),
            "/v2/health/ready": ("GET", self._v2_ready),
            "/v2/models/": ("", self._v2_model),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        self._in_flight += 1
        route = "unknown"
        try:
            route, handler, rest = self._find(scope["path"], scope["method"])
            self._admit(scope["method"])
            reply = await handler(scope, receive, rest)
        except SampanError as refusal:
            reply = self._refuse(refusal)
        except Exception:  # the edge of the process: a bug answers 500 and the server lives on
            logger.exception("a request to %s failed", route)
            reply = self._refuse(SampanError("the server failed on this request; its log says why"))
        finally:
            self._in_flight -= 1
        self.counters.add("sampan_requests_total", route=route, status=str(reply.status))
        await _send(reply, receive, send)

    async def close(self) -> None:
        """Write every log to its end. Called once no request is in flight."""
        await self.scorer.close()
        await asyncio.get_running_loop().run_in_executor(self._arrival_worker, self._arrivals.close)
        self._arrival_worker.shutdown()

    def _find(self, path: str, method: str) -> tuple[str, Handler, str]:
        path = path.rstrip("/") or "/"
        route, rest = path, ""
        for prefix in ("/v2/models/", "/feed/"):
            if path.startswith(prefix):
                route, rest = prefix, path[len(prefix) :]
        if route not in self._routes:
            raise NotFound(f"no page {path}", did_you_mean=nearest(path, self._routes))
        expected, handler = self._routes[route]
        if expected and method != expected:
            raise MethodRefused(f"{path} takes {expected}, not {method}")
        return route, handler, rest

    def _admit(self, method: str) -> None:
        if method == "POST" and self._in_flight > self.limits.in_flight:
            raise Unavailable(f"{self.limits.in_flight} requests are being answered already", hint="try again in a second")

    def _refuse(self, refusal: SampanError) -> Reply:
        self.counters.add("sampan_errors_total", code=refusal.code)
        body = {"error": refusal.message, "code": refusal.code, "hint": refusal.hint, **refusal.details()}
        headers = ((b"retry-after", b"1"),) if isinstance(refusal, Unavailable) else ()
        return Reply(msgspec.json.encode(body), status=refusal.http_status, headers=headers)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        most = self.limits.body_bytes
        if (declared := _header(scope, b"content-length")).isdigit() and int(declared) > most:
            raise TooLarge(f"the body has {int(declared):,} bytes, at most {most:,} are read", hint="send several requests")
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ParameterError("the client left before its body was whole")
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > most:
                raise TooLarge(f"the body has more than {most:,} bytes", hint="send several requests")
            if not message.get("more_body"):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _predict(self, scope: Scope, receive: Receive, _: str) -> Reply:
        request = decode_predict(await self._body(scope, receive), max_rows=self.limits.rows)
        ids = request.ids
        if request.single and (name := _header(scope, b"x-request-id")):
            ids = (name.decode("latin-1"),)
        predictions = await self.scorer.answer(request.rows, ids=ids)
        return Reply(encode_predictions(Predictions(model=self.service, predictions=predictions), single=request.single))

    async def _outcomes(self, scope: Scope, receive: Receive, _: str) -> Reply:
        body, now = await self._body(scope, receive), self._clock()
        outcomes = decode_outcomes(body, keys=self.scorer.live().keys, now=now, max_rows=self.limits.rows)
        await self._keep(lambda: self._arrivals.outcomes(outcomes, received=now))
        self.counters.add("sampan_outcomes_total", len(outcomes))
        return Reply(msgspec.json.encode({"received": len(outcomes)}))

    async def _feed(self, scope: Scope, receive: Receive, table: str) -> Reply:
        body, now = await self._body(scope, receive), self._clock()
        feed = decode_feed(body, now=now, max_rows=self.limits.rows)
        name = unquote(table)
        await self.scorer.feed(name, feed, keep=lambda: self._keep(lambda: self._arrivals.feed(name, feed, received=now)))
        return Reply(msgspec.json.encode({"table": name, "fed": len(feed.rows)}))

    async def _keep(self, write: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._arrival_worker, write)

    async def _health(self, scope: Scope, receive: Receive, _: str) -> Reply:  # noqa: ARG002  # the handlers' signature
        routing = self.scorer.routing
        roles: dict[str, object] = {variant.role: variant.version for variant in routing.variants}
        body: dict[str, object] = {
            "service": self.service,
            "ready": routing.live is not None,
            **roles,
            "canary_share": routing.share if routing.canary else 0.0,
            "up_s": (self._clock() - self._started) / 1000,
            "fault": self.fault,
        }
        return Reply(msgspec.json.encode(body))

    async def _metrics(self, scope: Scope, receive: Receive, _: str) -> Reply:  # noqa: ARG002
        gauges: dict[tuple[str, Labels], float] = {**self.scorer.gauges(), ("sampan_requests_in_flight", ()): self._in_flight}
        return Reply(self.counters.text(gauges).encode(), content_type=PROMETHEUS)

    async def _admin_reload(self, scope: Scope, receive: Receive, _: str) -> Reply:
        client = scope.get("client")
        given = _header(scope, b"authorization").removeprefix(b"Bearer ")
        if not client or not _is_loopback(client[0]) or not self._token or not hmac.compare_digest(given, self._token.encode()):
            raise AccessDenied("reload is for this machine and with the server's token", hint="sampan service commands use it for you")
        if self.reload is None:
            raise Unavailable("this server watches no routing")
        await self.reload()
        return await self._health(scope, receive, "")

    async def _v2_server(self, scope: Scope, receive: Receive, _: str) -> Reply:  # noqa: ARG002
        return Reply(v2.server_metadata(__version__))

    async def _v2_live(self, scope: Scope, receive: Receive, _: str) -> Reply:  # noqa: ARG002
        return Reply(b'{"live":true}')

    async def _v2_ready(self, scope: Scope, receive: Receive, _: str) -> Reply:  # noqa: ARG002
        return self._ready(self.scorer.routing.live is not None)

    async def _v2_model(self, scope: Scope, receive: Receive, rest: str) -> Reply:
        """Answer /v2/models/{name}[/versions/{v}][/ready | /infer]."""
        parts = [unquote(part) for part in rest.split("/")]
        name, verb, version = parts.pop(0), "", ""
        if parts and parts[-1] in ("ready", "infer"):
            verb = parts.pop()
        if len(parts) == 2 and parts[0] == "versions":
            version = parts[1]
        elif parts:
            raise NotFound(f"no page {scope['path']}", hint=f"/v2/models/{self.service}[/versions/VERSION][/ready | /infer]")
        if name != self.service:
            raise NotFound(
                f"no model called {name!r} here", did_you_mean=nearest(name, [self.service]), hint=f"this server has {self.service!r}"
            )
        expected = "POST" if verb == "infer" else "GET"
        if scope["method"] != expected:
            raise MethodRefused(f"{scope['path']} takes {expected}, not {scope['method']}")
        if verb == "infer":
            return await self._v2_infer(scope, receive, version)
        if verb == "ready":
            return self._ready(bool(self.scorer.variant(version)) if version else self.scorer.routing.live is not None)
        variant = self.scorer.variant(version) if version else self.scorer.live()
        versions = [loaded.version for loaded in self.scorer.routing.variants]
        return Reply(v2.model_metadata(self.service, versions, dict(variant.fields)))

    async def _v2_infer(self, scope: Scope, receive: Receive, version: str) -> Reply:
        if _header(scope, v2.BINARY_HEADER):
            raise v2.refuse_binary_header()
        request = v2.decode_infer(await self._body(scope, receive), max_rows=self.limits.rows)
        n_rows = len(request.rows)
        ids = [request.id] if request.id and n_rows == 1 else [f"{request.id}.{i}" for i in range(n_rows)] if request.id else ()
        predictions = await self.scorer.answer(request.rows, ids=ids, version=version, whole=True)
        scores = [p.score for p in predictions]
        return Reply(v2.encode_infer(self.service, predictions[0].version, scores, request_id=request.id))

    def _ready(self, ready: bool) -> Reply:
        return Reply(msgspec.json.encode({"ready": ready}), status=200 if ready else 503)


def _header(scope: Scope, name: bytes) -> bytes:
    for known, value in scope["headers"]:
        if known == name:
            return bytes(value)
    return b""


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
