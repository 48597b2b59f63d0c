"""Fuzz what reads a caller's bytes: the connection itself, and each body's decoder, in front of a real package.

    python benchmarks/fuzz_decoders.py [-max_total_time=600] [CORPUS]      with atheris beside this project's libraries

Whatever comes in, nothing but a refusal by name may come out: no exception of another kind, no 500, no answer that is no HTTP.
`tests/serving/test_fuzzed_decoders.py` replays seeded mutations of the same seeds without atheris.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "workspace"))

NOW = 1_700_000_000_000
MOST_ROWS = 1000
_ROW = {"order": 1, "at": "2013-01-05T10:00:00Z", "shop": "north", "x1": 0.5, "x2": None}
_TENSORS = {
    "id": "a",
    "inputs": [
        {"name": "order", "shape": [1], "datatype": "INT64", "data": [1]},
        {"name": "at", "shape": [1], "datatype": "BYTES", "data": ["2013-01-05T10:00:00Z"]},
        {"name": "shop", "shape": [1, 1], "datatype": "BYTES", "data": [["north"]]},
        {"name": "x1", "shape": [1], "datatype": "FP32", "data": [0.5]},
        {"name": "x2", "shape": [1], "datatype": "FP64", "data": [None]},
    ],
}
_BINARY_HEAD = json.dumps(
    {
        "inputs": [
            {"name": "x1", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}},
            {"name": "shop", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 9}},
        ]
    }
).encode()
BINARY = _BINARY_HEAD + struct.pack("<f", 0.5) + struct.pack("<I", 5) + b"north"


def _http(path: str, body: bytes, *headers: str, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


# The first byte says which decoder reads the rest.
SEEDS: tuple[bytes, ...] = (
    b"\x00" + json.dumps(_ROW).encode(),
    b"\x00" + json.dumps({"rows": [_ROW, _ROW], "ids": ["a", "b"]}).encode(),
    b"\x01" + json.dumps(_TENSORS).encode(),
    b"\x02" + BINARY,
    b"\x03" + json.dumps([{"order": 1, "label": 1, "at": 5}, {"id": "x", "label": False}]).encode(),
    b"\x04" + json.dumps({"rows": [{"shop": "north", "late": 1.0, "done": NOW}], "at": NOW}).encode(),
    b"\x05" + json.dumps({"dataframe_split": {"columns": list(_ROW), "data": [list(_ROW.values())]}}).encode(),
    b"\x05" + json.dumps({"inputs": {"x1": [1, 2]}, "params": {}}).encode(),
    b"\x06" + b"order,at,shop,x1,x2\n1,2013-01-05T10:00:00Z,north,0.5,\n",
    b"\x07" + _http("/predict", json.dumps(_ROW).encode()),
    b"\x07" + _http("/v2/models/orders-late/infer", json.dumps(_TENSORS).encode()) + _http("/health", b"", method="GET"),
    b"\x07" + _http("/v2/models/orders-late/infer", BINARY, f"inference-header-content-length: {len(_BINARY_HEAD)}"),
    b"\x07" + _http("/invocations", b"order,at\n1,2\n", "content-type: text/csv"),
    b'\x07POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"x1"\r\n5\r\n:1.0}\r\n0\r\n\r\n',
)


class Judge:
    """Reads bytes as the server would, and raises AssertionError for what must not happen."""

    def __init__(self, folder: Path) -> None:
        from small_package import add_package

        from sampan.serving.routing import Routing, Variant
        from sampan.store.segments import Segments
        from sampan.web.inference.app import InferenceApp
        from sampan.web.inference.log import ArrivalLog, PredictionLog
        from sampan.workspace.models.predictors import open_predictor
        from sampan.workspace.workspace import Workspace

        logging.disable(logging.CRITICAL)
        with Workspace.open(folder) as ws:
            add_package(ws, folder / "package")
        predictor = open_predictor(folder / "package")
        self.fields = {name: str(spec["type"]) for name, spec in predictor.manifest.request_schema.items()}
        variant = Variant(
            role="live",
            package="p",
            version="orders-late@v1",
            predictor=predictor,
            threshold=0.2,
            fields=tuple(self.fields.items()),
            keys=predictor.manifest.keys,
            slices=predictor.manifest.slices,
        )
        self.loop = asyncio.new_event_loop()
        segments = Segments(folder)
        self.log = PredictionLog(segments)
        self.app = InferenceApp("orders-late", log=self.log, arrivals=ArrivalLog(segments, "orders-late"))

        async def nothing() -> None:
            """Nothing was fed before."""

        self.loop.run_until_complete(self.app.scorer.swap(Routing(live=variant), catch_up=nothing))
        self._decoders: tuple[Callable[[bytes], Any], ...] = self._all()

    def close(self) -> None:
        """End the application and its threads."""
        self.loop.run_until_complete(self.app.close())
        self.loop.close()
        logging.disable(logging.NOTSET)

    def __call__(self, data: bytes) -> None:
        """Read one input."""
        from sampan.errors import SampanError

        if not data:
            return
        read = self._decoders[data[0] % len(self._decoders)]
        try:
            read(data[1:])
        except SampanError as refusal:
            if not 400 <= refusal.http_status < 500 and refusal.http_status != 501:
                raise AssertionError(f"{refusal.http_status}: {refusal}") from refusal

    def _all(self) -> tuple[Callable[[bytes], Any], ...]:
        from sampan.serving.inference_protocol import decode_infer
        from sampan.serving.invocations import decode_invocations
        from sampan.serving.outcomes import decode_feed, decode_outcomes
        from sampan.serving.requests import decode_predict

        head = len(_BINARY_HEAD)
        return (
            lambda body: decode_predict(body, max_rows=MOST_ROWS),
            lambda body: decode_infer(body, max_rows=MOST_ROWS),
            lambda body: decode_infer(body, max_rows=MOST_ROWS, json_bytes=head),
            lambda body: decode_outcomes(body, keys=("order",), now=NOW, max_rows=MOST_ROWS),
            lambda body: decode_feed(body, now=NOW, max_rows=MOST_ROWS),
            lambda body: decode_invocations(body, "application/json", self.fields, max_rows=MOST_ROWS),
            lambda body: decode_invocations(body, "text/csv", self.fields, max_rows=MOST_ROWS),
            self._connect,
        )

    def _connect(self, data: bytes) -> None:
        """Send bytes to a connection, in two pieces, as a network may; each answer must be whole HTTP and none a 500."""
        self.loop.run_until_complete(self._converse(data))

    async def _converse(self, data: bytes) -> None:
        from uvicorn.server import ServerState

        from sampan.web.inference.http import HttpConnection, HttpEdge

        transport = _Written()
        connection = HttpConnection(HttpEdge(self.app), ServerState(), asyncio.get_running_loop())
        connection.connection_made(transport)
        for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
            connection.data_received(piece)
        for _ in range(1000):
            if connection._task is None:
                break
            await asyncio.sleep(0.001)
        connection.connection_lost(None)
        # A model may answer a request with no number, and is named then. The server itself never fails.
        assert b"the server failed on this request" not in transport.data, transport.data[:500]
        assert not transport.data or re.match(rb"HTTP/1\.1 \d{3} ", transport.data), transport.data[:100]


class _Written(asyncio.Transport):
    """Takes what a connection writes."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""
        self._closing = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        """Keep it."""
        self.data += data

    def close(self) -> None:
        """Note it."""
        self._closing = True

    abort = close

    def is_closing(self) -> bool:
        """Say whether it was closed."""
        return self._closing

    def pause_reading(self) -> None:
        """Nothing more comes anyway."""

    resume_reading = pause_reading


def main() -> None:
    """Fuzz until told to stop; what breaks a rule is written to crash-… and shown."""
    import atheris

    with atheris.instrument_imports(include=["sampan.serving", "sampan.web", "sampan.features.online", "sampan.table.rows"]):
        import sampan.serving.inference_protocol
        import sampan.serving.invocations
        import sampan.serving.outcomes
        import sampan.serving.requests
        import sampan.web.inference.app
        import sampan.web.inference.http  # noqa: F401  # instrumented
    folder = Path(tempfile.mkdtemp())
    judge = Judge(folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS):
        (corpus / str(number)).write_bytes(seed)
    atheris.Setup([*sys.argv, str(corpus)], judge)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
