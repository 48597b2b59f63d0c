"""Sources that are not on this machine: HTTP(S) and S3 addresses, fetched into a temporary file when someone names one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from sampan.errors import AccessDenied, NotFound, Unavailable
from sampan.plugins import require
from sampan.ports import Progress

_ADDRESS = re.compile(r"^(https?|s3|sqlite|postgres(?:ql)?):(/{1,3})(?=[^/])", re.IGNORECASE)
_TIMEOUT_S = 60.0
_BLOCK = 1 << 22


def address_of(source: str | Path) -> str:
    """Return a source's address; "" for a path. A `Path` keeps but one slash of an address; the others are put back.

    >>> address_of(Path("https://a.org/t.csv")), address_of("sqlite:///tmp/x.db"), address_of(Path("data/t.csv"))
    ('https://a.org/t.csv', 'sqlite:///tmp/x.db', '')
    """
    text = str(source)
    found = _ADDRESS.match(text)
    if not found:
        return ""
    rest = text[found.end() :]
    if found[1].lower() == "sqlite":
        return f"sqlite:///{rest}" if isinstance(source, Path) or len(found[2]) == 3 else f"sqlite:{found[2]}{rest}"
    return f"{found[1].lower()}://{rest}"


def is_database(address: str) -> bool:
    """Say whether an address is of a database, which is asked by a query."""
    return address.startswith(("sqlite:", "postgres:", "postgresql:"))


def without_secrets(address: str) -> str:
    """Return an address as it may be recorded: without password, and without a query that may sign it.

    >>> without_secrets("postgresql://ana:secret@db/x"), without_secrets("https://a.org/t.csv?sig=1"), without_secrets("sqlite:///x.db")
    ('postgresql://ana@db/x', 'https://a.org/t.csv', 'sqlite:///x.db')
    """
    if address.startswith("sqlite:"):
        return address  # a path: it has no secret, and is no URL to be put together again
    parts = urlsplit(address)
    user = f"{parts.username}@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{user}{parts.hostname or ''}{port}", parts.path, "", ""))


@contextmanager
def fetched(address: str, progress: Progress | None = None) -> Iterator[Path]:
    """Fetch an address into a temporary file that keeps its name, for as long as the block lasts.

    Raises
    ------
    NotFound, AccessDenied, Unavailable : the address does not answer with the file.
    MissingDependency : S3 was asked for and its package is not installed.
    """
    import tempfile

    name = Path(unquote(urlsplit(address).path)).name or "source"
    with tempfile.TemporaryDirectory(prefix="sampan-source-") as folder:
        path = Path(folder) / name
        blocks, size = _from_s3(address) if address.startswith("s3:") else _from_http(address)
        shown = progress.stage(f"fetching {name}", total=size, unit="bytes") if progress else nullcontext()
        with shown as stage, path.open("wb") as file:
            for block in blocks:
                file.write(block)
                if stage is not None:
                    stage.advance(len(block))
        yield path


def _from_http(address: str) -> tuple[Iterator[bytes], int | None]:
    from http.client import HTTPException  # with TLS below it, as the next; who adds a file needs neither
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    said = without_secrets(address)
    try:
        answer = urlopen(Request(address, headers={"User-Agent": "sampan"}), timeout=_TIMEOUT_S)  # noqa: S310  # http and https only, see _ADDRESS
    except HTTPError as cause:
        if cause.code in (401, 403):
            raise AccessDenied(f"{said} refuses: {cause.code} {cause.reason}", hint="check the address and its access") from cause
        if cause.code in (404, 410):
            raise NotFound(f"there is nothing at {said}: {cause.code} {cause.reason}", hint="check the address") from cause
        raise Unavailable(f"{said} answers {cause.code} {cause.reason}", hint="try again later") from cause
    except (URLError, HTTPException, OSError) as cause:
        why = str(getattr(cause, "reason", cause)).strip() or type(cause).__name__
        raise Unavailable(f"{said} cannot be reached: {why}", hint="check the address and the network") from cause
    length = answer.headers.get("Content-Length")

    def blocks() -> Iterator[bytes]:
        with answer:
            n_bytes = 0
            try:
                while block := answer.read(_BLOCK):
                    n_bytes += len(block)
                    yield block
            except (HTTPException, OSError) as cause:
                raise Unavailable(f"{said} broke off after {n_bytes:,} bytes: {cause}", hint="try again") from cause
            if length is not None and n_bytes != int(length):
                raise Unavailable(f"{said} broke off after {n_bytes:,} of {int(length):,} bytes", hint="try again")

    return blocks(), int(length) if length else None


def _from_s3(address: str) -> tuple[Iterable[bytes], int | None]:
    obstore = require("obstore", extra="s3")
    bucket, _, key = address.removeprefix("s3://").partition("/")
    try:
        found = obstore.get(_bucket(bucket), key)
    except FileNotFoundError as cause:
        raise NotFound(f"there is nothing at {address}", hint="check bucket and key") from cause
    except (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError) as cause:
        raise AccessDenied(f"{address} refuses", hint="check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy") from cause
    except obstore.exceptions.BaseError as cause:
        raise Unavailable(f"{address} cannot be read: {str(cause).splitlines()[0]}", hint="check the endpoint and the network") from cause
    return (bytes(block) for block in found.stream(_BLOCK)), int(found.meta["size"])


def _bucket(name: str, environment: Mapping[str, str] | None = None) -> Any:
    import os

    stores = require("obstore.store", extra="s3")
    variables = os.environ if environment is None else environment
    endpoint = variables.get("AWS_ENDPOINT_URL_S3") or variables.get("AWS_ENDPOINT_URL") or variables.get("AWS_ENDPOINT", "")
    options: dict[str, Any] = {"client_options": {"allow_http": True}} if endpoint.startswith("http://") else {}
    return stores.S3Store(name, **({"endpoint": endpoint} if endpoint else {}), **options)
