"""Who may talk to the server, and what their browser may do with its answers.

Checked on every request before any route: the Host header (a page elsewhere must not reach us through a name it controls), same origin for
writes, the sign-in token where there is one, and the body's size. Every answer carries the headers below.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from sampan.errors import AccessDenied, SampanError, TooLarge
from sampan.web import sign_in
from sampan.web.asgi import App, Message, Receive, Scope, Send

Refuse = Callable[[SampanError, Scope], App]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
UPLOADS = ("/api/2.0/mlflow-artifacts/artifacts/", "/api/2.0/mlflow-artifacts/parts/")
STATIC = "/static/"  # style sheets and scripts: the same for everybody, and the sign-in page needs them
SPANS = "/v1/traces"  # where OpenTelemetry's exporters post batches
LOOPBACK_NAMES = frozenset({"localhost"})
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may reach a server.

    `token` "" asks nobody to sign in: only for a server on loopback. `names` are the host names it answers to, beside loopback's; with
    `any_address`, IP addresses as well (an address in the Host header cannot come from a rebound name).
    """

    token: str = ""
    names: Collection[str] = field(default_factory=frozenset)
    any_address: bool = False
    body_bytes: int = 1 << 20
    batch_bytes: int = 16 << 20  # of spans
    upload_bytes: int = 64 << 30  # where files are put, which are written to disk as they come

    def limit_of(self, scope: Scope) -> int:
        """Return how many bytes a request's body may have."""
        if scope["method"] == "PUT" and scope["path"].startswith(UPLOADS):
            return self.upload_bytes
        return self.batch_bytes if scope["path"] == SPANS else self.body_bytes


def new_token() -> str:
    """Draw a sign-in token."""
    return secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Say whether a host name or address never leaves this machine."""
    if host.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Wraps an application; what it refuses never reaches it."""

    def __init__(self, app: App, *, access: Access, refuse: Refuse) -> None:
        self.app = app
        self.access = access
        self._refuse = refuse
        self._session = sign_in.Session(access.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then answer or refuse."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        send = _with_headers(send)
        try:
            check_host(headers.get(b"host", ""), self.access)
            check_origin(scope, headers)
            limit = self.access.limit_of(scope)
            limited = _Limited(receive, limit)
            if await self._session.answers(scope, headers, limited, send):
                return None
            if not is_open_to_all(scope):
                self._session.require(headers)
            length = headers.get(b"content-length", "0")
            if length.isdigit() and int(length) > limit:
                raise _too_large(limit)
            await self.app(scope, limited, send)
        except SampanError as refusal:
            await self._refuse(refusal, scope)(scope, receive, send)


def is_open_to_all(scope: Scope) -> bool:
    """Say whether a request reads what holds nobody's data, and so needs no sign-in."""
    return scope["method"] in ("GET", "HEAD") and scope["path"].startswith(STATIC)


def check_host(host: str, access: Access) -> None:
    """Refuse a Host header that names neither this machine nor one of the names the server answers to."""
    name = _host_name(host)
    if is_loopback(name) or name in access.names:
        return
    if access.any_address and _is_address(name):
        return
    raise AccessDenied(f"this server does not answer to the host name {name!r}", hint=f"start it with --allow-host {name or 'NAME'}")


def check_origin(scope: Scope, headers: dict[bytes, str]) -> None:
    """Refuse a write that another site's page makes a browser send."""
    if scope["method"] in SAFE_METHODS:
        return
    site = headers.get(b"sec-fetch-site", "")
    if site not in ("", "same-origin", "none"):
        raise AccessDenied(f"a page of another site ({site}) may not change anything here", hint="use the pages of this server")
    origin = headers.get(b"origin", "")
    if origin and origin != f"{scope.get('scheme', 'http')}://{headers.get(b'host', '')}":
        raise AccessDenied(f"a page of {origin} may not change anything here", hint="use the pages of this server")


def _host_name(host: str) -> str:
    name, _, port = host.rpartition(":")
    bare = name if name and port.isdigit() and (name.endswith("]") or ":" not in name) else host
    return bare.strip("[]").lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over {limit:,} bytes", hint="send less, or put the data in a file of the project")


class _Limited:
    """Receives a body and stops at the limit, whatever its headers promised."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._seen > self._limit:
            raise _too_large(self._limit)
        return message


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name for name, _ in message.get("headers", ())}
            message = {**message, "headers": [*message.get("headers", ()), *(h for h in HEADERS if h[0] not in present)]}
        await send(message)

    return sending
