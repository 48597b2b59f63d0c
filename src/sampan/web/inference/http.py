"""HTTP/1.1 for the prediction server: one connection as an asyncio protocol on httptools, handing whole requests to the application.

uvicorn starts it (`http=HttpEdge(app)`), so signals, TLS and the graceful end are uvicorn's; what a request costs here is parsing it and
one write. A client mostly sends the same head again and again: one that came before, byte for byte, is not parsed again. Answers leave in
the order of their requests, also where a client sends the next before it has the last.

Not here: what a request gets (`inference`).
"""

from __future__ import annotations

import asyncio
import http
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import httptools

from sampan.errors import DeadlineExceeded, ParameterError, SampanError
from sampan.web.inference.app import LINGER_S, InferenceApp, body_too_large
from sampan.web.inference.reply import JSON, Reply, Request, Soon

if TYPE_CHECKING:
    from uvicorn.server import ServerState

REQUEST_S = 30.0  # from a request's first byte to its last
IDLE_S = 75.0  # a connection without a request
_SWEEP_S = 1.0
_QUIET_S, _LAST_BODY_S, _READ_FIRST_S = 2.0, 3.0, 0.05  # at the end of the server
_MOST_AHEAD = 16  # requests a client may have sent before it has its answers
_MOST_HEADER_BYTES = 64 * 1024

_MOST_HEADS, _LONGEST_HEAD = 512, 2048  # remembered, and bytes of one
_END_OF_HEAD: Final = b"\r\n\r\n"
_EACH_ITS_OWN: Final = {b"transfer-encoding", b"expect", b"upgrade"}  # headers after which more than a body of known size comes

_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
_OK_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Transport(Protocol):
    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def is_closing(self) -> bool: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def get_extra_info(self, name: str) -> Any: ...


class _Head(NamedTuple):
    """What the parser found in a head, and how many bytes of body follow it."""

    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    n_bytes: int


class HttpEdge:
    """Makes a server's connections and ends those that say nothing. uvicorn calls it as its protocol class."""

    def __init__(self, app: InferenceApp, *, request_s: float = REQUEST_S, idle_s: float = IDLE_S) -> None:
        self.app = app
        self.request_s = request_s
        self.idle_s = idle_s
        self.connections: set[HttpConnection] = set()
        self.heads: dict[bytes, _Head] = {}
        self._sweeping = False

    def __call__(  # noqa: D102  # the class says what it is called for
        self, *, server_state: ServerState, _loop: asyncio.AbstractEventLoop | None = None, **_: object
    ) -> HttpConnection:
        loop = _loop or asyncio.get_running_loop()
        return HttpConnection(self, server_state, loop)

    def opened(self, connection: HttpConnection, loop: asyncio.AbstractEventLoop) -> None:
        """Note a connection. One timer looks at all of them: a timer for each request would cost more than the request."""
        self.connections.add(connection)
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(_SWEEP_S, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in tuple(self.connections):
            connection.look(now)
        self._sweeping = bool(self.connections)
        if self._sweeping:
            loop.call_later(_SWEEP_S, self._sweep, loop)


class HttpConnection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, edge: HttpEdge, server_state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self._edge = edge
        self._app = edge.app
        self._most = edge.app.limits.body_bytes
        self._state = server_state
        self._loop = loop
        self._transport: _Transport
        self._parser = httptools.HttpRequestParser(self)
        self._client = ""
        self._waiting: deque[tuple[Request | Reply, bool]] = deque()  # whole requests (or a refusal), and whether the connection lives on
        self._task: asyncio.Task[None] | None = None
        self._soon = False  # an answer comes at the end of this turn
        self._is_writable = True
        self._is_reading = True
        self._ends = False  # the server is going down
        self._keeps = True  # the connection lives on after the last request
        self._piece = b""  # what came in one piece, where a request began with it
        self._refused = False  # what still comes is thrown away
        self._since = loop.time()  # when the present request began, or the last answer went out
        self._in_request = False
        self._start_request()

    # -- asyncio ------------------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport
        self._client = (transport.get_extra_info("peername") or ("",))[0]
        # uvicorn waits for these at its end.
        self._state.connections.add(self)  # type: ignore[arg-type]  # it lists its own two classes; it calls `shutdown` alone
        self._edge.opened(self, self._loop)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Forget what it still waits for."""
        self._state.connections.discard(self)
        self._edge.connections.discard(self)
        self._waiting.clear()
        self._refused = True

    def eof_received(self) -> None:
        """Let the transport close itself: the client sends no more."""

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._refused:
            return
        if self._in_request:
            self._piece = b""
        else:
            if (request := self._known(data)) is not None:
                self._since = self._loop.time()
                self._take(request)
                return
            self._piece = data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # A client may offer another protocol; who goes on in this one has declined. The parser stops at the offer, a new one goes on.
            self._parser = httptools.HttpRequestParser(self)
            if rest := data[upgrade.args[0] :]:
                self.data_received(rest)
        except httptools.HttpParserError as cause:
            self._refuse(ParameterError(f"not an HTTP/1.1 request: {cause}", hint="send a request line, headers and a body"))

    def pause_writing(self) -> None:
        """Stop answering a client that does not read."""
        self._is_writable = False

    def resume_writing(self) -> None:
        """Go on: the client reads again."""
        self._is_writable = True
        self._go_on()

    def shutdown(self) -> None:
        """Finish what was begun, then close. uvicorn calls it when the server ends."""
        self._ends = True
        self._close_when_quiet()

    def _close_when_quiet(self) -> None:
        """Close once nothing was asked for a while: who asks more often is told by an answer, where a close would lose the request."""
        left_s = self._since + _QUIET_S - self._loop.time()
        # A loop that was kept from running looks at its timers before its sockets: what came meanwhile has to be read first.
        self._loop.call_later(max(left_s, _READ_FIRST_S), self._close_if_idle if left_s <= 0 else self._close_when_quiet)

    def _close_if_idle(self) -> None:
        if self._task is None and not self._soon and not self._waiting and not self._in_request:
            self._transport.close()

    def look(self, now: float) -> None:
        """End a connection whose client sends nothing, or sends too slowly."""
        if self._task is not None or self._soon or self._waiting:
            return
        longest_s = _LAST_BODY_S if self._ends else self._edge.request_s
        if self._in_request and now - self._since > longest_s:
            self._refuse(DeadlineExceeded(f"the request was not whole after {longest_s:g} s", hint="send it at once"))
        elif not self._in_request and now - self._since > self._edge.idle_s:
            self._transport.close()

    # -- httptools ----------------------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._start_request()
        self._since = self._loop.time()
        self._in_request = True

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        self._url += url
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        name = name.lower()
        self._headers.append((name, value))
        self._count_header(len(name) + len(value))
        if name == b"expect" and value.lower() == b"100-continue":
            self._awaits_continue = True

    def on_headers_complete(self) -> None:
        """Refuse a body by its declared size, before it comes."""
        for name, value in self._headers:
            if name == b"content-length" and value.isdigit() and int(value) > self._most:
                self._refuse(body_too_large(int(value), self._most))
                return
        if self._awaits_continue and not self._refused:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if self._refused:
            return
        self._size += len(body)
        if self._size > self._most:
            self._refuse(body_too_large(0, self._most))
            return
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        """Answer the request, or queue it behind those before it."""
        if self._refused:
            return
        self._in_request = False
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        path = self._url.partition(b"?")[0].decode("latin-1")
        request = Request(self._parser.get_method().decode("latin-1"), path, self._headers, body, self._client)
        self._keeps = self._parser.should_keep_alive()
        if self._piece and self._keeps:
            self._remember(request)
        self._take(request)

    def _take(self, request: Request) -> None:
        if self._task is None and not self._soon and not self._waiting and self._is_writable:
            self._serve(request, self._keeps)
            return
        self._waiting.append((request, self._keeps))
        if len(self._waiting) >= _MOST_AHEAD and self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()

    def _known(self, data: bytes) -> Request | None:
        """Read a whole request whose head came before; None where the parser has to."""
        end = data.find(_END_OF_HEAD)
        head = self._edge.heads.get(data[:end]) if end > 0 and self._keeps else None
        if head is None or len(data) != end + len(_END_OF_HEAD) + head.n_bytes:
            return None
        return Request(head.method, head.path, head.headers, data[end + len(_END_OF_HEAD) :], self._client)

    def _remember(self, request: Request) -> None:
        """Keep the head of a request that came alone, whole and in one piece."""
        end, n_bytes = self._piece.find(_END_OF_HEAD), len(request.body)
        names = [name for name, _ in request.headers]
        sizes = [value for name, value in request.headers if name == b"content-length"]
        is_plain = not _EACH_ITS_OWN.intersection(names) and sizes == ([b"%d" % n_bytes] if sizes or n_bytes else [])
        if is_plain and end <= _LONGEST_HEAD and len(self._piece) == end + len(_END_OF_HEAD) + n_bytes:
            if len(self._edge.heads) >= _MOST_HEADS:
                self._edge.heads.clear()
            self._edge.heads[self._piece[:end]] = _Head(request.method, request.path, list(request.headers), n_bytes)

    # -- answering ----------------------------------------------------------------------------------------------------------------

    def _serve(self, request: Request | Reply, keeps: bool) -> None:
        if isinstance(request, Reply):
            self._end_with(request)
            return
        answered = self._app.answer(request)
        if isinstance(answered, Reply):
            self._write(answered, keeps, head_only=request.method == "HEAD")
            return
        if isinstance(answered, Soon):
            self._soon = True
            answered.then(lambda reply: self._serve_soon(reply, keeps))
            return
        self._task = self._loop.create_task(self._serve_later(answered, keeps, request.method == "HEAD"))
        self._state.tasks.add(self._task)
        self._task.add_done_callback(self._state.tasks.discard)

    def _serve_soon(self, reply: Reply, keeps: bool) -> None:
        self._soon = False
        if not self._transport.is_closing():
            self._write(reply, keeps)
            if self._waiting:
                self._go_on()

    async def _serve_later(self, coming: Any, keeps: bool, head_only: bool) -> None:
        reply = await coming
        self._task = None
        if not self._transport.is_closing():
            self._write(reply, keeps, head_only=head_only)
            self._go_on()

    def _go_on(self) -> None:
        """Answer what waited."""
        while self._waiting and self._task is None and not self._soon and self._is_writable and not self._transport.is_closing():
            self._serve(*self._waiting.popleft())
        if not self._is_reading and len(self._waiting) < _MOST_AHEAD and not self._transport.is_closing():
            self._is_reading = True
            self._transport.resume_reading()

    def _write(self, reply: Reply, keeps: bool, *, head_only: bool = False) -> None:
        keeps = keeps and not (self._ends and not self._waiting)
        if keeps and reply.status == 200 and reply.content_type is JSON and not reply.headers and not head_only:
            self._transport.write(_OK_JSON % (len(reply.body), reply.body))
        else:
            self._transport.write(_written(reply, keeps, head_only=head_only))
        self._since = self._loop.time()
        if not keeps:
            self._refused = True
            self._transport.close()

    def _refuse(self, refusal: SampanError) -> None:
        """Answer a request that is not whole, after those before it, and end the connection."""
        self._refused = True
        self._in_request = False
        reply = self._app.refuse(refusal)
        if self._task is not None or self._soon or self._waiting:
            self._waiting.append((reply, False))
        elif not self._transport.is_closing():
            self._end_with(reply)

    def _end_with(self, reply: Reply) -> None:
        # What still comes is thrown away for a moment: closing on a client that is sending would cost it the answer.
        self._transport.write(_written(reply, keeps=False))
        self._loop.call_later(LINGER_S, self._transport.close)

    def _start_request(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._size = 0
        self._header_bytes = 0
        self._awaits_continue = False

    def _count_header(self, n_bytes: int) -> None:
        self._header_bytes += n_bytes
        if self._header_bytes > _MOST_HEADER_BYTES and not self._refused:
            self._refuse(ParameterError(f"the headers have more than {_MOST_HEADER_BYTES:,} bytes"))


def _written(reply: Reply, keeps: bool, *, head_only: bool = False) -> bytes:
    parts = [
        _STATUS.get(reply.status) or b"HTTP/1.1 %d Unknown\r\n" % reply.status,
        b"content-type: %b\r\ncontent-length: %d\r\n" % (reply.content_type, len(reply.body)),
        *(b"%b: %b\r\n" % header for header in reply.headers),
        b"" if keeps else b"connection: close\r\n",
        b"\r\n",
        b"" if head_only else reply.body,
    ]
    return b"".join(parts)
