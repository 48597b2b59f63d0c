"""A collector of OTLP exports over HTTP, and the peers that read them: the real OpenTelemetry SDK in an environment of its own."""

from __future__ import annotations

import gzip
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PEERS = Path(__file__).parents[2] / ".peers"
_DECODE = """
import json, sys
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
found = []
for line in sys.stdin:
    request = ExportTraceServiceRequest()
    request.ParseFromString(bytes.fromhex(line.strip()))
    for resource in request.resource_spans:
        service = {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                found.append({
                    "service": service, "name": span.name, "kind": span.kind, "trace": span.trace_id.hex(), "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(), "state": span.trace_state, "status": span.status.code,
                    "nanoseconds": span.end_time_unix_nano - span.start_time_unix_nano, "start": span.start_time_unix_nano,
                    "attributes": {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes},
                })
print(json.dumps(found))
"""


class Collector:
    """Takes exports on a port of its own; `statuses` are answered first, then 200."""

    def __init__(self, *, statuses: tuple[int, ...] = ()) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        waiting = list(statuses)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.headers.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
                status = waiting.pop(0) if waiting else 200
                if status == 200:
                    outer.bodies.append(gzip.decompress(body))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's signature
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def spans(self) -> list[dict[str, Any]]:
        """Read what came, with the real OpenTelemetry messages."""
        lines = "\n".join(body.hex() for body in self.bodies)
        python = PEERS / "mlflow3" / "bin" / "python"
        assert python.exists(), "run `make peers`"
        done = subprocess.run([str(python), "-c", _DECODE], input=lines, capture_output=True, text=True, check=True)
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
