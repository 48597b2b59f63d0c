"""gRPC for the prediction server: the Open Inference Protocol's service. Each call becomes a request to the application, as over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote

import msgspec

from sampan.errors import ParameterError, Unavailable
from sampan.plugins import require
from sampan.serving.grpc_messages import METHODS, SERVICE, message_types, read_infer, write_infer
from sampan.serving.inference_protocol import InferRequest, Values
from sampan.web.inference.app import DEADLINE, told
from sampan.web.inference.reply import Answered, Reply, Request, TensorForm

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
_OURS = (DEADLINE.decode(),)  # headers that HTTP has for what a call says otherwise
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
        }
        handlers = {
            name: self._grpc.unary_unary_rpc_method_handler(
                calls[name], request_deserializer=self._types[asked].FromString, response_serializer=self._types[told].SerializeToString
            )
            for name, (asked, told) in METHODS.items()
            if name != "ModelInfer"
        }
        handlers["ModelInfer"] = self._grpc.unary_unary_rpc_method_handler(self._model_infer)  # bytes in, bytes out
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

    async def _ask(self, context: Any, method: str, path: str, *, body: bytes = b"", form: TensorForm | None = None) -> Reply:
        """Ask the application; return its reply. Ends the call where it is refused."""
        request = Request(method, path, _headers(context), body, _client(context.peer()), form=form)
        answered = self._app.answer(request)
        reply = answered if isinstance(answered, Reply) else await answered
        if reply.status >= 400:  # HTTP's
            await self._refuse(context, reply)
        return reply

    async def _asked(self, context: Any, path: str) -> Any:
        """Ask for what is told in JSON; return it."""
        return msgspec.json.decode((await self._ask(context, "GET", path)).body)

    async def _refuse(self, context: Any, reply: Reply) -> None:
        said = msgspec.json.decode(reply.body)
        hint = f" ({said['hint']})" if said.get("hint") else ""
        code = getattr(self._grpc.StatusCode, _CODES.get(reply.status, "INTERNAL"))
        await context.abort(code, f"{said.get('error', 'not ready')}{hint}")

    async def _server_live(self, request: Any, context: Any) -> Any:  # noqa: ARG002  # the calls' signature
        said = await self._asked(context, "/v2/health/live")
        return self._types["ServerLiveResponse"](live=said["live"])

    async def _server_ready(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        return self._types["ServerReadyResponse"](ready=await self._is_ready(context, "/v2/health/ready"))

    async def _model_ready(self, request: Any, context: Any) -> Any:
        return self._types["ModelReadyResponse"](ready=await self._is_ready(context, f"{_path(request.name, request.version)}/ready"))

    async def _is_ready(self, context: Any, path: str) -> bool:
        """Ask for readiness, of which a 503 is an answer and no refusal."""
        answered = self._app.answer(Request("GET", path, _headers(context), b"", _client(context.peer())))
        reply = answered if isinstance(answered, Reply) else await answered
        said = msgspec.json.decode(reply.body)
        if "ready" not in said:
            await self._refuse(context, reply)
        return bool(said["ready"])

    async def _server_metadata(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        said = await self._asked(context, "/v2")
        return self._types["ServerMetadataResponse"](**said)

    async def _model_metadata(self, request: Any, context: Any) -> Any:
        said = await self._asked(context, _path(request.name, request.version))
        return self._types["ModelMetadataResponse"](**said)

    async def _model_infer(self, data: bytes, context: Any) -> bytes:
        try:
            message = self._types["ModelInferRequest"].FromString(data)
        except ValueError as cause:
            refusal = ParameterError(f"not a ModelInferRequest: {cause}", hint="see open_inference_grpc.proto of the standard")
            await self._refuse(context, told(refusal))
            raise
        path = f"{_path(message.model_name, message.model_version)}/infer"
        reply = await self._ask(context, "POST", path, body=data, form=_Tensors(message, self._types["ModelInferResponse"]))
        return reply.body


class _Tensors:
    """Reads the tensors of one call's message, and writes the answer as one."""

    def __init__(self, message: Any, response_type: Callable[[], Any]) -> None:
        self._message = message
        self._response_type = response_type

    def read(self, request: Request, *, max_rows: int) -> InferRequest:  # noqa: ARG002  # the message is decoded already
        return read_infer(self._message, max_rows=max_rows)

    def write(self, model: str, version: str, answers: Mapping[str, Values], asked: InferRequest) -> Reply:
        return Reply(write_infer(self._response_type(), version, answers, model=model, request=asked).SerializeToString())


def _headers(context: Any) -> list[tuple[bytes, bytes]]:
    """Return a call's metadata as headers, with the deadline it has."""
    headers = [
        (name.encode(), value if isinstance(value, bytes) else value.encode("latin-1", "replace"))
        for name, value in context.invocation_metadata()
        if name not in _OURS
    ]
    left_s = context.time_remaining()
    if left_s is not None and left_s < _LONGEST_S:
        headers.append((DEADLINE, b"%d" % max(1, int(left_s * 1000))))
    return headers


@lru_cache(maxsize=1024)
def _client(peer: str) -> str:
    """Return the address in what gRPC calls a peer, such as `ipv4:127.0.0.1:50412`."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")


def _path(name: str, version: str) -> str:
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path
