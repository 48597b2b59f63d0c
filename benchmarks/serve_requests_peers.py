"""The servers beside ours in `serve_requests.py`, by interpreters of their own: `PYTHON serve_requests_peers.py NAME PACKAGE PORT`.

limit    the least that Python can do: asyncio.Protocol on httptools, msgspec, onnxruntime; no validation, metrics or log
fastapi  FastAPI with a pydantic model and the same graph
mlflow   trains the same pipeline with scikit-learn, writes it for `mlflow models serve` (PACKAGE is then the folder to write)
ort      no server: onnxruntime's own time for a row, and for a hundred
parts    no server: what ours spends on validation, flags, metrics and the log of a row, each measured alone, of 16 rows that came together
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

TOGETHER = 16  # rows of a turn: half of 32 connections, which ask while the others are answered
MISSING = "\ue000"  # a missing text, in the graph of a package


def opened(package: Path) -> tuple[Any, list[str], list[str]]:
    """Return the graph that a package serves, and the fields of its two inputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = onnxruntime.InferenceSession(str(package / "whole.onnx"), options, providers=["CPUExecutionProvider"])
    said = json.loads((package / "package.json").read_text())["inputs"]
    return graph, [c["name"] for c in said["num"]], [c["name"] for c in said["cat"]]


def tensors(rows: list[dict[str, Any]], numbers: list[str], texts: list[str]) -> dict[str, Any]:
    import numpy as np

    num = np.array([[row[name] for name in numbers] for row in rows], np.float64)
    cat = np.array([[MISSING if row[name] is None else row[name] for name in texts] for row in rows], object)
    return {"num": num, "cat": cat}


def limit(package: Path, port: int) -> None:
    import asyncio

    import httptools
    import msgspec
    import uvloop

    graph, numbers, texts = opened(package)
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode

    class Connection(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport, self.parser, self.body = transport, httptools.HttpRequestParser(self), b""

        def data_received(self, data: bytes) -> None:
            self.parser.feed_data(data)

        def on_body(self, body: bytes) -> None:
            self.body += body

        def on_message_complete(self) -> None:
            asked, self.body = decode(self.body), b""
            rows = asked.get("rows") or [asked]
            scores = graph.run(["score"], tensors(rows, numbers, texts))[0].tolist()
            answer = encode({"score": scores[0]} if rows[0] is asked else {"scores": scores})
            self.transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer)
            )

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(serve())


def fastapi(package: Path, port: int) -> None:
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel, create_model

    graph, numbers, texts = opened(package)
    kinds = {**dict.fromkeys(numbers, (float | None, ...)), **dict.fromkeys(texts, (str | None, ...)), "order": (int, ...)}
    row = create_model("Row", **kinds)
    rows = create_model("Rows", rows=(list[row], ...))

    class Score(BaseModel):
        score: float

    class Scores(BaseModel):
        scores: list[float]

    app = FastAPI()

    async def one(asked: Any) -> Any:
        return Score(score=graph.run(["score"], tensors([asked.model_dump()], numbers, texts))[0][0])

    async def many(asked: Any) -> Any:
        return Scores(scores=graph.run(["score"], tensors([r.model_dump() for r in asked.rows], numbers, texts))[0].tolist())

    one.__annotations__, many.__annotations__ = {"asked": row, "return": Score}, {"asked": rows, "return": Scores}
    app.post("/predict")(one)
    app.post("/many")(many)
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="error")


def mlflow(folder: Path, table: str) -> None:
    import lightgbm
    import mlflow.sklearn
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    frame = pd.read_parquet(table).dropna(subset=["arr_delay"])
    texts = ["carrier", "origin", "dest", "manufacturer", "engine"]
    numbers = [name for name in frame.columns if name not in (*texts, "arr_delay", "order", "time_hour")]
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = lightgbm.LGBMClassifier(n_estimators=200, num_leaves=63, learning_rate=0.05, n_jobs=1, verbose=-1)
    pipeline = Pipeline([("columns", ColumnTransformer([("cat", encode, texts)], remainder="passthrough")), ("model", model)])
    pipeline.fit(frame[numbers + texts], frame["arr_delay"] >= 15)
    mlflow.sklearn.save_model(pipeline, str(folder), pyfunc_predict_fn="predict_proba", serialization_format="cloudpickle")


def ort(package: Path, rows_file: str) -> None:
    graph, numbers, texts = opened(package)
    rows = json.loads(Path(rows_file).read_text())["rows"]
    found = {}
    for n, calls in ((1, 20_000), (100, 1000)):
        given = tensors(rows[:n], numbers, texts)
        times = []
        for _ in range(5):
            began = time.process_time()
            for _ in range(calls // 5):
                graph.run(["score"], given)
            times.append((time.process_time() - began) / (calls // 5) * 1e6)
        found[str(n)] = sorted(times)[2]
    sys.stdout.write(json.dumps(found))


def parts(package: Path, row_file: str) -> None:
    import tempfile

    import msgspec

    from sampan.serving.exposition import Counters
    from sampan.serving.spans import Origin
    from sampan.store.segments import Segments
    from sampan.web.inference.direct import direct_answers, scope_notes
    from sampan.web.inference.log import PredictionLog
    from sampan.web.inference.models import variant_of
    from sampan.workspace.models.predictors import open_predictor

    predictor = open_predictor(package)
    variant = variant_of(predictor, role="live", package="parts", version="parts")
    direct = direct_answers("parts", variant)
    assert direct is not None
    body = Path(row_file).read_bytes().partition(b"\n")[0]
    plain, counters, origin = msgspec.json.Decoder().decode, Counters(), Origin(at=5, caller="127.0.0.1")
    row = direct.read(body)
    assert row is not None
    asked: Any = [SimpleNamespace(row=row, name=f"parts-{k}", origin=origin) for k in range(TOGETHER)]
    scored, _ = direct.measure_together(asked)

    def alone(call: Any, calls: int = 20_000) -> float:
        times = []
        for _ in range(5):
            began = time.process_time()
            for _ in range(calls):
                call()
            times.append((time.process_time() - began) / calls * 1e6)
        return sorted(times)[2]

    answered = ("sampan_predictions_total", (("version", variant.version), ("role", variant.role)))

    def counted() -> None:
        counters.count(answered)  # of the request; the rows of a turn are counted at once
        counters.observe(0.0001)

    def logged(calls: int = 20_000 // TOGETHER) -> float:
        with tempfile.TemporaryDirectory() as folder:
            log = PredictionLog(Segments(Path(folder)))
            began = time.process_time()
            for _ in range(calls):
                log.offer(variant, scored)
                if log.queued_rows > 2000:
                    while log.queued_rows:
                        time.sleep(0.01)
            log.close()
            return (time.process_time() - began) / calls / TOGETHER * 1e6

    found = {
        "validation": alone(lambda: direct.read(body)) - alone(lambda: plain(body)),
        "flags": alone(lambda: scope_notes(variant, scored)) / TOGETHER,
        "metrics": alone(counted),
        "log": sorted(logged() for _ in range(3))[1],
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    name, where, more = sys.argv[1:4]
    {"limit": lambda: limit(Path(where), int(more)), "fastapi": lambda: fastapi(Path(where), int(more))}.get(
        name, lambda: {"mlflow": mlflow, "ort": ort, "parts": parts}[name](Path(where), more)
    )()
