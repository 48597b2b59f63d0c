"""What transports of the prediction server hand to its application, and what they get back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from sampan.serving.spans import Origin

JSON = b"application/json"


@dataclass(slots=True)
class Request:
    """A whole request. `path` is as it was sent, still percent-encoded and without the query; header names are in lower case."""

    method: str
    path: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    client: str = ""  # the address it came from
    origin: Origin = field(default_factory=Origin)
    timeout_s: float = 0.0  # how long its caller waits, where the body says it

    def header(self, name: bytes) -> bytes:
        """Return a header's value, b"" where there is none."""
        for known, value in self.headers:
            if known == name:
                return value
        return b""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


Answered = Reply | Awaitable[Reply]
Handler = Callable[[Request, str], Answered]
Admit = Callable[[Request], str]
