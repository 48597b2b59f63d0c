"""What transports of the prediction server hand to its application, and what they get back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from sampan.serving.spans import Origin

if TYPE_CHECKING:
    from sampan.serving.inference_protocol import InferRequest

JSON = b"application/json"


class TensorForm(Protocol):
    """How a protocol reads a request's tensors and writes an answer's."""

    def read(self, request: Request, *, max_rows: int) -> InferRequest:
        """Return the rows of a request. Raises ParameterError."""
        ...

    def write(self, model: str, version: str, answers: Mapping[str, Any], asked: InferRequest) -> Reply:
        """Return the reply with a model's outputs. Raises ParameterError where one is wanted that it does not have."""
        ...


class Request(msgspec.Struct, gc=False):
    """A whole request. `path` is as it was sent, still percent-encoded and without the query; header names are in lower case."""

    method: str
    path: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    client: str = ""  # the address it came from
    origin: Origin = msgspec.field(default_factory=Origin)
    timeout_s: float = 0.0  # how long its caller waits, where the body says it
    form: TensorForm | None = None  # how its tensors are written, where that is not REST's way

    def header(self, name: bytes) -> bytes:
        """Return a header's value, b"" where there is none."""
        for known, value in self.headers:
            if known == name:
                return value
        return b""


class Reply(msgspec.Struct, frozen=True, gc=False):
    """A whole answer."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Soon:
    """A reply that is there at the end of this turn of the event loop, for who calls `then`, or awaits it."""

    __slots__ = ("_deliver", "_reply")

    def __init__(self) -> None:
        self._reply: Reply | None = None
        self._deliver: Callable[[Reply], None] | None = None

    def come(self, reply: Reply) -> None:
        """Hand the reply to who waits for it."""
        self._reply = reply
        if self._deliver is not None:
            self._deliver(reply)

    def then(self, deliver: Callable[[Reply], None]) -> None:
        """Say who takes the reply."""
        self._deliver = deliver
        if self._reply is not None:
            deliver(self._reply)

    def __await__(self) -> Generator[Any, None, Reply]:
        coming: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.then(lambda reply: None if coming.done() else coming.set_result(reply))
        return coming.__await__()


class Coming:
    """What a reply is made of at the end of this turn of the event loop, unless its making raises."""

    __slots__ = ("_deliver",)

    def __init__(self) -> None:
        self._deliver: Callable[[Callable[[], Reply]], None] | None = None

    def come(self, make: Callable[[], Reply]) -> None:
        """Hand what makes the reply to who waits for it."""
        if self._deliver is not None:
            self._deliver(make)

    def then(self, deliver: Callable[[Callable[[], Reply]], None]) -> None:
        """Say who takes it."""
        self._deliver = deliver


Answered = Reply | Soon | Awaitable[Reply]
Handler = Callable[[Request, str], Answered | Coming]
Admit = Callable[[Request], str]
