"""What the processes of a prediction server are told: how it runs, which of them one is, and the socket they answer on."""

from __future__ import annotations

import socket
from typing import Final

import msgspec

from sampan.errors import Unavailable
from sampan.web.security import is_loopback

GRACE_S: Final = 20  # for requests in hand when a process is asked to end
NOT_FORKED: Final = 0  # in place of a process id
ID_BYTES: Final = 8  # of a process id between the nursery and who asks it


class ServerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a server runs: what of, where, in how many processes."""

    project: str
    name: str  # of the one service, or EVERY
    models: bool = False  # with EVERY: models without a service are answered by their alias
    host: str = "127.0.0.1"
    port: int = 0
    workers: int = 1
    tls_cert: str = ""
    tls_key: str = ""
    grpc_port: int | None = None

    @property
    def is_loopback(self) -> bool:
        """Say whether it can be reached from this machine alone."""
        return is_loopback(self.host)


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One of several processes of a server, as it is told."""

    plan: ServerPlan
    number: int
    of: int
    token: str
    suspects: tuple[str, ...] = ()  # packages that a worker hung on


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Bind a socket; port 0 finds a free one. Several `shared` ones may have the same port. Raises Unavailable where it is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as cause:
        raise Unavailable(f"cannot listen on {host}:{port}: {cause}", hint="choose another port; 0 finds a free one") from cause
    return listener
