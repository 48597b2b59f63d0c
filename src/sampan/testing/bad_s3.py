"""An S3 server as bad as some are: it ignores conditions and ranges, so that whoever counts on them is found out."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

import pytest


def reach_s3(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what a user sets to reach an S3 server of their own."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")


class Kept(NamedTuple):
    """An object."""

    data: bytes
    modified: datetime

    @property
    def etag(self) -> str:
        """Its ETag."""
        return '"' + hashlib.md5(self.data, usedforsecurity=False).hexdigest() + '"'


class BadS3(ThreadingHTTPServer):
    """Keeps objects in memory. `overwritten` counts puts that a condition should have refused."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, Kept] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.overwritten = 0

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def bad_s3() -> Iterator[BadS3]:
    """Serve until the block is left."""
    with BadS3() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: BadS3
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Say nothing."""

    @property
    def key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def do_PUT(self) -> None:
        data = self._body()
        query = self.query
        if "uploadId" in query:
            self.server.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = data
            self._answer(200, headers={"ETag": Kept(data, datetime.now(UTC)).etag})
            return
        if self.headers.get("If-None-Match") and self.key in self.server.objects:
            self.server.overwritten += 1
        self.server.objects[self.key] = Kept(data, datetime.now(UTC))
        self._answer(200, headers={"ETag": self.server.objects[self.key].etag})

    def do_POST(self) -> None:
        data, query = self._body(), self.query
        if "delete" in query:
            names = [unescape(found) for found in re.findall(r"<Key>([^<]*)</Key>", data.decode())]
            bucket = self.key.split("/")[0]
            for name in names:
                self.server.objects.pop(f"{bucket}/{name}", None)
            gone = "".join(f"<Deleted><Key>{escape(name)}</Key></Deleted>" for name in names)
            self._answer(200, f"<DeleteResult>{gone}</DeleteResult>")
        elif "uploads" in query:
            name = f"upload-{len(self.server.uploads)}"
            self.server.uploads[name] = {}
            self._answer(200, f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>")
        else:
            parts = self.server.uploads.pop(query["uploadId"][0])
            made = Kept(b"".join(parts[number] for number in sorted(parts)), datetime.now(UTC))
            self.server.objects[self.key] = made
            self._answer(200, f"<CompleteMultipartUploadResult><ETag>{escape(made.etag)}</ETag></CompleteMultipartUploadResult>")

    def do_GET(self) -> None:
        if "list-type" in self.query:
            self._list()
        else:
            self._object()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.server.objects.pop(self.key, None)
        self._answer(204)

    def _object(self) -> None:
        found = self.server.objects.get(self.key)
        if found is None:
            self._answer(404, "<Error><Code>NoSuchKey</Code></Error>")
            return
        headers = {"ETag": found.etag, "Last-Modified": format_datetime(found.modified, usegmt=True)}
        self._answer(200, found.data, headers=headers)  # the whole object, whatever range was asked for

    def _list(self) -> None:
        bucket = self.key.rstrip("/") + "/"
        prefix = self.query.get("prefix", [""])[0]
        lines = [
            f"<Contents><Key>{escape(name.removeprefix(bucket))}</Key><Size>{len(found.data)}</Size><ETag>{escape(found.etag)}</ETag>"
            f"<LastModified>{found.modified.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}</LastModified></Contents>"
            for name, found in sorted(self.server.objects.items())
            if name.startswith(bucket + prefix)
        ]
        self._answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(lines)}</ListBucketResult>")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, body: str | bytes = b"", *, headers: dict[str, str] | None = None) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(data)
