"""A program that is told by webhooks, on loopback: checks each signature as MLflow's documentation says, and keeps what it was told."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Answers 200 to what is signed with its secret, 401 to anything else; `failures` says how many times it answers 503 first."""

    def __init__(self, secret: str, *, failures: int = 0) -> None:
        self.secret = secret
        self.failures = failures
        self.got: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def __enter__(self) -> Receiver:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, number: int, seconds: float = 20) -> list[dict[str, Any]]:
        """Return what it was told once it was told so often."""
        end = time.monotonic() + seconds
        while len(self.got) < number and time.monotonic() < end:
            time.sleep(0.02)
        return list(self.got)

    def take(self, headers: Any, body: bytes) -> int:
        """Check and keep a delivery; return the status to answer with."""
        if self.failures:
            self.failures -= 1
            return 503
        signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.{body.decode()}".encode()
        expected = "v1," + base64.b64encode(hmac.digest(self.secret.encode(), signed, "sha256")).decode()
        if headers["X-MLflow-Signature"] != expected:
            return 401
        self.got.append(json.loads(body))
        return 200

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the server's own name for it
                status = receiver.take(self.headers, self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
