"""The same rooms and methods over HTTP: `connect(url).data.show("flights")` answers what the workspace there would.

What there is to call is read from the server's OpenAPI document, so that the server's plug-ins appear here as well. Answers come
as the same structs where this machine has their room, and as structs made on the spot where it has not.
"""

from __future__ import annotations

import http.client
import inspect
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from sampan import errors, plugins
from sampan.core.answers import Answer, to_json
from sampan.core.decoding import read_builtins, read_json
from sampan.core.refs import nearest
from sampan.errors import NotFound, SampanError, Unavailable, UsageError
from sampan.workspace.operation import ROOMS, operations

DOCUMENT: Final = "/api/v1/openapi.json"
_NO_DEFAULT = inspect.Parameter.empty


def connect(url: str, token: str = "", *, timeout_s: float = 300.0) -> Remote:
    """Connect to a server started by `sampan ui` or `sampan server`.

    Parameters
    ----------
    url : where the server is; the address it printed may be given with its token
    token : the sign-in token, where the server asks for one

    Raises
    ------
    UsageError : `url` is no HTTP address.
    Unavailable : nobody answers there, or something that is not Sampan does.
    NotSignedIn : the token is missing or wrong.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is no address of a server", hint="write http://127.0.0.1:4140")
    token = token or dict(parse_qsl(parts.query)).get("token", "")
    return Remote(_Wire(parts.scheme, parts.hostname, parts.port, token, timeout_s))


class Remote:
    """A workspace on a server. Its attributes are the server's rooms."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        try:
            described = wire.get(DOCUMENT)
        except SampanError:
            wire.close()
            raise
        if "openapi" not in described:
            wire.close()
            raise Unavailable(f"{wire} is not a Sampan server", hint="give the address that sampan ui or sampan server printed")
        rooms: dict[str, dict[str, _Call]] = {}
        for path, methods in described["paths"].items():
            for http_method, operation in methods.items():
                call = _Call(wire, path, http_method.upper(), operation)
                rooms.setdefault(call.noun, {})[call.method] = call
        self._rooms = {noun: RemoteRoom(noun, calls) for noun, calls in rooms.items()}

    def room(self, noun: str) -> RemoteRoom:
        """Return a room by its noun; "" is the top level."""
        if noun not in self._rooms:
            raise NotFound(f"the server has no room {noun!r}", did_you_mean=nearest(noun, self._rooms))
        return self._rooms[noun]

    def __getattr__(self, name: str) -> RemoteRoom:
        rooms = self.__dict__.get("_rooms", {})
        noun = "" if name == "home" else name.replace("_", "-")
        if noun not in rooms:
            raise AttributeError(f"the server has no room {name!r}; it has {', '.join(self.__dir__())}")
        found: RemoteRoom = rooms[noun]
        return found

    def __dir__(self) -> list[str]:
        return sorted((noun or "home").replace("-", "_") for noun in self.__dict__.get("_rooms", {}))

    def close(self) -> None:
        """Close the connections. A later call opens a new one."""
        self._wire.close()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"connect({str(self._wire)!r})"


class RemoteRoom:
    """A room on a server. Its attributes are the room's operations."""

    def __init__(self, noun: str, calls: Mapping[str, _Call]) -> None:
        self.noun = noun
        self._calls = calls

    def __getattr__(self, name: str) -> _Call:
        calls = self.__dict__.get("_calls", {})
        if name not in calls:
            raise AttributeError(f"the server's room {self.noun or 'home'!r} has no operation {name!r}; it has {', '.join(calls)}")
        found: _Call = calls[name]
        return found

    def __dir__(self) -> list[str]:
        return sorted(self.__dict__.get("_calls", {}))


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    positional: bool
    many: str
    default: Any = _NO_DEFAULT


class _Call:
    """One operation on a server; call it as the method it stands for."""

    def __init__(self, wire: _Wire, path: str, http_method: str, operation: Mapping[str, Any]) -> None:
        extra = operation["x-sampan"]
        self._wire, self._path, self._http_method = wire, path, http_method
        self.noun: str = extra["noun"]
        self.verb: str = extra["verb"]
        self.method: str = extra["method"]
        self.__name__ = self.method
        self.__doc__ = operation.get("description", "")
        self._parameters = {p["name"]: _Parameter(**p) for p in extra["parameters"]}
        self._result: str = extra["result"]
        self.__signature__ = inspect.Signature([_as_python(p) for p in self._parameters.values()])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = self.__signature__.bind(*args, **kwargs).arguments
        if self._http_method == "GET":
            query = urlencode([pair for name, value in given.items() for pair in self._texts(self._parameters[name], value)])
            answer = self._wire.send("GET", self._path + (f"?{query}" if query else ""))
        else:
            answer = self._wire.send(self._http_method, self._path, to_json(given))
        return self._decoded(answer)

    @staticmethod
    def _texts(parameter: _Parameter, value: Any) -> Iterator[tuple[str, str]]:
        """Write a value as the query's texts; what equals the default is left out."""
        if value is None or value == parameter.default:
            return
        if parameter.many == "mapping":
            yield from ((parameter.name, f"{key}={item}") for key, item in value.items())
        elif parameter.many == "list" and not parameter.positional:
            yield parameter.name, to_json(list(value)).decode()
        elif parameter.many == "list":
            yield from ((parameter.name, str(item)) for item in value)
        else:
            yield parameter.name, str(value).lower() if isinstance(value, bool) else str(value)

    def _decoded(self, answer: bytes) -> Any:
        value = msgspec.json.decode(answer)
        # The class is found in this machine's own rooms: a server never says what to import.
        known = operations(self.noun).get(self.verb) if self.noun in plugins.names(ROOMS) else None
        if known is None or known.result.__name__ != self._result:
            return _made_up(self._result, value)
        return read_builtins(_with_nan(value, known.result), known.result)

    def __repr__(self) -> str:
        return f"<{self.noun} {self.verb}{self.__signature__} at {self._wire}>"


def _as_python(parameter: _Parameter) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if parameter.positional else inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(parameter.name, kind, default=parameter.default)


def _made_up(name: str, value: Mapping[str, Any]) -> Any:
    """Make a struct for an answer whose room is not installed here."""
    fields = [(field, Any) for field in value if field != "next"]
    kind = msgspec.defstruct(name, fields, bases=(Answer,), frozen=True, kw_only=True)
    return kind(**{**value, "next": tuple(value.get("next", ()))})


def _with_nan(value: Any, kind: Any) -> Any:
    """Put NaN back where JSON had to write null for a plain float."""
    described = msgspec.inspect.type_info(kind)
    return _fill(value, described)


def _fill(value: Any, kind: msgspec.inspect.Type) -> Any:
    info = msgspec.inspect
    if value is None:
        return float("nan") if isinstance(kind, info.FloatType) else None
    if isinstance(value, dict) and isinstance(kind, info.StructType):
        types = {field.encode_name: field.type for field in kind.fields}
        return {name: _fill(item, types[name]) if name in types else item for name, item in value.items()}
    if isinstance(value, dict) and isinstance(kind, info.DictType):
        return {name: _fill(item, kind.value_type) for name, item in value.items()}
    if isinstance(value, list) and isinstance(kind, info.TupleType):
        return [_fill(item, of) for item, of in zip(value, kind.item_types, strict=False)]
    if isinstance(value, list) and isinstance(kind, (info.ListType, info.VarTupleType, info.SetType, info.FrozenSetType)):
        return [_fill(item, kind.item_type) for item in value]
    return value


class _Wire:
    """HTTP to one server; connections are kept open for the next call, of whatever thread."""

    def __init__(self, scheme: str, host: str, port: int | None, token: str, timeout_s: float) -> None:
        self._scheme, self._host, self._port, self._token, self._timeout_s = scheme, host, port, token, timeout_s
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def get(self, path: str) -> dict[str, Any]:
        """Get a JSON object."""
        try:
            return read_json(self.send("GET", path), dict[str, Any])
        except msgspec.DecodeError:
            return {}

    def send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send a request and return the answer's body; raise the error that the server answered."""
        headers = {"accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        # A server may close an idle connection at any time. Asking again is safe for a read; a write gets a new connection at once.
        kept = self._take() if method == "GET" else None
        if kept is not None:
            try:
                return self._exchange(kept, method, path, body, headers)
            except (OSError, http.client.HTTPException):
                self.close()
        try:
            return self._exchange(self._connect(), method, path, body, headers)
        except (OSError, http.client.HTTPException) as cause:
            raise Unavailable(f"{self} does not answer: {cause}", hint="is the server running there?") from cause

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> bytes:
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            data = answer.read()
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        if answer.status >= 400:
            raise _error_from(answer.status, data, str(self))
        return data

    def _take(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _connect(self) -> http.client.HTTPConnection:
        if self._scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)

    def close(self) -> None:
        """Close the connections that are idle."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def __str__(self) -> str:
        return f"{self._scheme}://{self._host}" + (f":{self._port}" if self._port else "")


def _error_from(status: int, data: bytes, where: str) -> SampanError:
    """Rebuild the error a server answered, of the same class."""
    try:
        told = read_json(data, dict[str, dict[str, Any]])["error"]
        code, message = told.pop("code"), told.pop("message")
    except (msgspec.DecodeError, KeyError):
        return Unavailable(f"{where} answered {status} without saying why", hint="is it a Sampan server?")
    kind = _classes().get(code, SampanError)
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    error.__dict__.update({"message": message, "hint": "", **fields})
    return error


def _classes() -> dict[str, type[SampanError]]:
    return {kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SampanError)}
