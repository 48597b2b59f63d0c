"""gRPC for the prediction server: the Open Inference Protocol's service. Each call becomes a request to the application, as over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from sampan.errors import SampanError, Unavailable
from sampan.plugins import require
from sampan.serving.grpc_messages import METHODS, SERVICE, from_body, message_types, to_body
from sampan.serving.inference_protocol import BINARY_HEADER
from sampan.web.inference.app import DEADLINE, told
from sampan.web.inference.reply import Answered, Reply, Request

# HTTP status -> gRPC's
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_LONGEST_S = 1e6  # what a client without a deadline says it has left


class _Application(Protocol):
    def answer(self, request: Request) -> Answered: ...


class GrpcEdge:
    """A gRPC server in front of an application, on a port of its own."""

    def __init__(self, app: _Application, *, body_bytes: int) -> None:
        self._grpc = require("grpc", extra="grpc")
        self._app = app
        self._types = message_types()
        options = [
            ("grpc.max_receive_message_length", body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 1),  # several processes may share the port
        ]
        self._server = self._grpc.aio.server(options=options)
        calls: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
        }
        handlers = {
            name: self._grpc.unary_unary_rpc_method_handler(
                calls[name], request_deserializer=self._types[asked].FromString, response_serializer=self._types[told].SerializeToString
            )
            for name, (asked, told) in METHODS.items()
        }
        self._server.add_generic_rpc_handlers((self._grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def start(self, host: str, port: int, *, cert: str = "", key: str = "") -> int:
        """Begin to answer; return the port. Raises Unavailable where it is taken."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if cert:
                pair = [(Path(key).read_bytes(), Path(cert).read_bytes())]
                bound = self._server.add_secure_port(address, self._grpc.ssl_server_credentials(pair))
            else:
                bound = self._server.add_insecure_port(address)
        except RuntimeError as cause:
            raise Unavailable(f"cannot listen for gRPC on {address}: {cause}", hint="choose another port; 0 finds a free one") from cause
        await self._server.start()
        return int(bound)

    async def stop(self, grace_s: float) -> None:
        """Finish the calls in hand, then end."""
        await self._server.stop(grace_s)

    async def _ask(self, context: Any, method: str, path: str, *, body: bytes = b"", json_bytes: int = 0) -> tuple[Reply, Any]:
        """Ask the application; return its reply and, where it is no tensors, the reply's content. Ends the call where it is refused."""
        headers = [
            (name.encode(), v if isinstance(v, bytes) else v.encode("latin-1", "replace")) for name, v in context.invocation_metadata()
        ]
        headers = [(name, value) for name, value in headers if name not in (BINARY_HEADER, DEADLINE)]
        if json_bytes:
            headers.append((BINARY_HEADER, b"%d" % json_bytes))
        left_s = context.time_remaining()
        if left_s is not None and left_s < _LONGEST_S:
            headers.append((DEADLINE, b"%d" % max(1, int(left_s * 1000))))
        client = context.peer().partition(":")[2].rpartition(":")[0].strip("[]")
        answered = self._app.answer(Request(method, path, headers, body, client))
        reply = answered if isinstance(answered, Reply) else await answered
        if reply.status >= 400:  # HTTP's
            await self._refuse(context, reply)
        return reply, None if json_bytes else msgspec.json.decode(reply.body)

    async def _refuse(self, context: Any, reply: Reply) -> None:
        said = msgspec.json.decode(reply.body)
        hint = f" ({said['hint']})" if said.get("hint") else ""
        code = getattr(self._grpc.StatusCode, _CODES.get(reply.status, "INTERNAL"))
        await context.abort(code, f"{said.get('error', 'not ready')}{hint}")

    async def _server_live(self, request: Any, context: Any) -> Any:  # noqa: ARG002  # the calls' signature
        _, said = await self._ask(context, "GET", "/v2/health/live")
        return self._types["ServerLiveResponse"](live=said["live"])

    async def _server_ready(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        return self._types["ServerReadyResponse"](ready=await self._is_ready(context, "/v2/health/ready"))

    async def _model_ready(self, request: Any, context: Any) -> Any:
        return self._types["ModelReadyResponse"](ready=await self._is_ready(context, f"{_path(request.name, request.version)}/ready"))

    async def _is_ready(self, context: Any, path: str) -> bool:
        """Ask for readiness, of which a 503 is an answer and no refusal."""
        answered = self._app.answer(Request("GET", path, [(n.encode(), str(v).encode()) for n, v in context.invocation_metadata()], b""))
        reply = answered if isinstance(answered, Reply) else await answered
        said = msgspec.json.decode(reply.body)
        if "ready" not in said:
            await self._refuse(context, reply)
        return bool(said["ready"])

    async def _server_metadata(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        _, said = await self._ask(context, "GET", "/v2")
        return self._types["ServerMetadataResponse"](**said)

    async def _model_metadata(self, request: Any, context: Any) -> Any:
        _, said = await self._ask(context, "GET", _path(request.name, request.version))
        return self._types["ModelMetadataResponse"](**said)

    async def _model_infer(self, request: Any, context: Any) -> Any:
        try:
            body, json_bytes = to_body(request)
        except SampanError as refusal:
            await self._refuse(context, told(refusal))
            raise
        path = f"{_path(request.model_name, request.model_version)}/infer"
        reply, _ = await self._ask(context, "POST", path, body=body, json_bytes=json_bytes)
        size = next((int(value) for name, value in reply.headers if name == BINARY_HEADER), 0)
        return from_body(self._types["ModelInferResponse"](), reply.body, size)


def _path(name: str, version: str) -> str:
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path
