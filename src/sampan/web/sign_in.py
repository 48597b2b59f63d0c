"""Signing in: the token that the server printed, in exchange for a cookie, by the printed address or by the form of a page."""

from __future__ import annotations

import hashlib
import hmac
import html
from urllib.parse import parse_qsl, quote, urlencode

from sampan.errors import NotSignedIn
from sampan.web.asgi import Receive, Scope, Send

Header = tuple[bytes, bytes]

PATH = "/sign-in"  # where the form posts the token to
TOKEN = "token"  # noqa: S105  # the name of a query parameter, and of the form's field
PLACE = "place"  # what the person had asked for, handed on by the form's address
FORM = "application/x-www-form-urlencoded"


class Session:
    """What a browser shows once its person has signed in; `token` "" asks nobody."""

    def __init__(self, token: str) -> None:
        self._token = token
        # The cookie is not the token: who reads one from a browser's disk learns nothing to sign in with elsewhere.
        self._cookie = hmac.new(token.encode(), b"sampan session", hashlib.sha256).hexdigest()

    async def answers(self, scope: Scope, headers: dict[bytes, str], receive: Receive, send: Send) -> bool:
        """Sign in who offers the token; say whether that was what the request was for."""
        if not self._token:
            return False
        offered = _query(scope).get(TOKEN) if scope["method"] in ("GET", "HEAD") else None
        if offered is not None:
            await self._welcome(offered, scope, headers, send)
        elif scope["path"] != PATH:
            return False
        elif scope["method"] == "POST":
            self._check(await _posted_token(headers, receive))
            await _reply(send, 303, [_led(scope), *self._keys(scope, headers)])
        else:  # who is signed in and opens the form's address again
            self.require(headers)
            await _reply(send, 303, [_led(scope)])
        return True

    def require(self, headers: dict[bytes, str]) -> None:
        """Refuse a request whose headers show neither the token nor its cookie."""
        scheme, _, token = headers.get(b"authorization", "").partition(" ")
        if self._token and scheme.lower() == "bearer":
            self._check(token.strip())
        elif self._token and not self._is_kept(headers):
            raise NotSignedIn("this server asks you to sign in", hint="open the address with ?token=… that the server printed")

    def _is_kept(self, headers: dict[bytes, str]) -> bool:
        cookies = dict(part.strip().partition("=")[::2] for part in headers.get(b"cookie", "").split(";"))
        return hmac.compare_digest(cookies.get(cookie_name(headers), "").encode(), self._cookie.encode())

    def _check(self, token: str) -> None:
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            raise NotSignedIn("this token is not the server's", hint="the server printed its token when it started")

    async def _welcome(self, token: str, scope: Scope, headers: dict[bytes, str], send: Send) -> None:
        """Exchange the token in the address for a cookie, and take it out of the address."""
        self._check(token)
        place = place_of(scope)
        # Not a redirect: a browser that came from a link elsewhere would not send a Strict cookie along with it.
        refresh = f'<meta name="color-scheme" content="light dark"><meta http-equiv="refresh" content="0; url={html.escape(place)}">'
        page = f'<!doctype html>{refresh}<p><a href="{html.escape(place)}">Signed in</a>'
        told = [(b"content-type", b"text/html; charset=utf-8"), (b"refresh", f"0; url={place}".encode())]
        await _reply(send, 200, [*told, *self._keys(scope, headers)], page.encode())

    def _keys(self, scope: Scope, headers: dict[bytes, str]) -> list[Header]:
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        cookie = f"{cookie_name(headers)}={self._cookie}; Path=/; HttpOnly; SameSite=Strict{secure}"
        return [(b"set-cookie", cookie.encode()), (b"cache-control", b"no-store")]


def place_of(scope: Scope) -> str:
    """Return the address that a person who signs in goes on to: what the request asked for, without the token.

    >>> place_of({"path": "//evil.example/a b", "query_string": b"lang=vi&token=x"})
    '/evil.example/a%20b?lang=vi'
    """
    if scope["path"] == PATH:
        path, _, query = _query(scope).get(PLACE, "/").partition("?")
    else:
        path, query = quote(scope["path"]), scope["query_string"].decode("latin-1")
    rest = [(name, value) for name, value in parse_qsl(query) if name != TOKEN]
    # One slash only, and no backslash, which browsers read as one: "//elsewhere.example" would be another host.
    return "/" + quote(path.lstrip("/"), safe="/%") + ("?" + urlencode(rest) if rest else "")


def form_address(scope: Scope, **more: str) -> str:
    """Return where the sign-in page's form posts to, so that it leads on to what was asked for."""
    return f"{PATH}?{urlencode({PLACE: place_of(scope), **more})}"


def cookie_name(headers: dict[bytes, str]) -> str:
    """Name the session's cookie. Browsers keep cookies by host without port, and one machine may run several servers."""
    port = headers.get(b"host", "").rpartition(":")[2]
    return f"sampan_session_{port}" if port.isdigit() else "sampan_session"


async def _posted_token(headers: dict[bytes, str], receive: Receive) -> str:
    if headers.get(b"content-type", "").partition(";")[0].strip().lower() != FORM:
        raise NotSignedIn("a token is posted here by the form of the sign-in page", hint="programs send Authorization: Bearer TOKEN")
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return dict(parse_qsl(body.decode("utf-8", errors="replace"), max_num_fields=10)).get(TOKEN, "").strip()


async def _reply(send: Send, status: int, headers: list[Header], body: bytes = b"") -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _led(scope: Scope) -> Header:
    return b"location", place_of(scope).encode()


def _query(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1")))
