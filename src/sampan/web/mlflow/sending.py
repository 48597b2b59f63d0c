"""One signed POST to an address that a client named. Such an address must not lead the server into its own network.

The name is looked up once, the address found is judged, and the connection is made to just that address: a name that is answered otherwise
the second time leads nowhere else. Redirects are not followed.
"""

from __future__ import annotations

import base64
import hmac
import http.client
import ipaddress
import json
import socket
import ssl
import uuid
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import urlsplit

from sampan.core.times import Millis, iso

_TIMEOUT_S: Final = 30
_SHOWN: Final = 4096  # bytes of an answer
_PORTS: Final = {"http": 80, "https": 443}


class Undelivered(Exception):  # errors are named for what happened
    """A receiver was not reached."""


def send(url: str, payload: dict[str, Any], *, now: Millis, secret: str, allowed: Collection[str]) -> tuple[int, str]:
    """Send what happened; return the answer's status and the beginning of its body.

    Parameters
    ----------
    payload : `entity`, `action` and `data`; the moment is added.
    secret : signs the delivery (HMAC-SHA256 over id, moment and body, as MLflow's receivers check it); "" for no signature.
    allowed : hosts that may lie within the server's own network.

    Raises
    ------
    Undelivered : the host is not found, lies within the server's own network, or does not answer.
    """
    body = json.dumps({**payload, "timestamp": iso(now)})
    delivery, moment = str(uuid.uuid4()), str(now // 1000)
    headers = {"content-type": "application/json", "x-mlflow-delivery-id": delivery, "x-mlflow-timestamp": moment}
    if secret:
        signed = hmac.digest(secret.encode(), f"{delivery}.{moment}.{body}".encode(), "sha256")
        headers["x-mlflow-signature"] = f"v1,{base64.b64encode(signed).decode()}"
    parts = urlsplit(url)
    connection = _connection(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme], allowed)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body.encode(), headers)
        answer = connection.getresponse()
        return answer.status, answer.read(_SHOWN).decode(errors="replace")
    except (OSError, http.client.HTTPException) as cause:
        raise Undelivered(f"{parts.hostname} does not answer: {cause}") from cause
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int, allowed: Collection[str]) -> http.client.HTTPConnection:
    address = _address(host, port, allowed)
    if scheme == "https":
        return _ToAddress(host, port, address)
    plain = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    plain._create_connection = lambda _, *rest: socket.create_connection((address, port), *rest)  # type: ignore[attr-defined]  # http.client's own hook
    return plain


class _ToAddress(http.client.HTTPSConnection):
    """Speaks TLS with a host by name, at an address that was judged."""

    def __init__(self, host: str, port: int, address: str) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, port, timeout=_TIMEOUT_S, context=self._tls)
        self._address = address

    def connect(self) -> None:
        """Connect to the address, and check that it is the host."""
        plain = socket.create_connection((self._address, self.port), _TIMEOUT_S)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


def _address(host: str, port: int, allowed: Collection[str]) -> str:
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as cause:
        raise Undelivered(f"{host} is not found: {cause}") from cause
    for address in found:
        if host in allowed or is_public(address):
            return address
    raise Undelivered(f'{host} lies within this network ({found[0]}); sampan.toml may allow it: [webhooks] allow = ["{host}"]')


def is_public(address: str) -> bool:
    """Say whether an address lies in the open network, also one that is wrapped in an IPv6 address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (_inner(found) if found in _NAT64 else None)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return found.is_global and not found.is_multicast


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def _inner(found: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
