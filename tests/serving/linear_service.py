"""A small real service for tests: a logistic model as an ONNX graph, an online table, a server process that reads its routing from a file.

Run as `python linear_service.py FOLDER`: serves FOLDER/routing.json, logs into the store FOLDER, writes FOLDER/ready.json (and the port
of gRPC into FOLDER/grpc.txt).
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from sampan.core.refs import nearest
from sampan.errors import ParameterError
from sampan.serving.routing import Role, Routing, Variant
from sampan.table.rows import row_type

FIELDS = {"order": "number", "x1": "number", "x2": "number", "shop": "text"}


def logistic_graph(weights: Sequence[float], bias: float) -> bytes:
    """Build score = sigmoid(features @ weights + bias) as ONNX."""
    k = len(weights)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "w"], ["product"]),
            helper.make_node("Add", ["product", "b"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["chance"]),
            helper.make_node("Reshape", ["chance", "flat"], ["score"]),
        ],
        "logistic",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, k])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])],
        [
            helper.make_tensor("w", TensorProto.FLOAT, [k, 1], list(weights)),
            helper.make_tensor("b", TensorProto.FLOAT, [1], [bias]),
            helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


class LinearPredictor:
    """Scores x1, x2 and the total fed for the row's shop. `slow_s` makes it take its time; with `held_until` it waits for that file."""

    feature_names = ("x1", "x2", "total")
    row_type = row_type({name: (kind, False) for name, kind in FIELDS.items()})

    def __init__(self, version: str, weights: Sequence[float], bias: float, *, slow_s: float = 0.0, held_until: str = "") -> None:
        self.name = "linear"
        self.version = version
        self._slow_s = slow_s
        self._held_until = held_until
        self._totals: dict[str, float] = {}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(logistic_graph(weights, bias), options, providers=["CPUExecutionProvider"])

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, Any]:
        return self.score(self.features(rows))

    def features(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, Any]:
        for index, row in enumerate(rows):
            self._check(index, row)
        return np.array([(row["x1"], row["x2"], self._totals.get(row["shop"], 0.0)) for row in rows], dtype=np.float32)

    def score(self, features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        time.sleep(self._slow_s)
        while self._held_until and not Path(self._held_until).exists():
            time.sleep(0.005)
        (scores,) = self._session.run(["score"], {"features": features})
        return np.asarray(scores, dtype=np.float64)

    def scope_notes(self, rows: Sequence[Mapping[str, Any]], features: np.ndarray[Any, Any]) -> dict[int, tuple[str, ...]]:
        return {index: (f"x1: {rows[index]['x1']:g} is beyond training",) for index in np.flatnonzero(features[:, 0] > 1000).tolist()}

    def moments(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, Any]:
        return np.array([int(row["order"]) * 1000 for row in rows], dtype=np.int64)

    def feed(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if table != "totals":
            raise ParameterError(f"no online table {table!r}", hint="totals")
        for row in rows:
            self._totals[row["shop"]] = self._totals.get(row["shop"], 0.0) + row["amount"]

    @staticmethod
    def _check(index: int, row: Mapping[str, Any]) -> None:
        for name, kind in FIELDS.items():
            value = row.get(name)
            if not isinstance(value, str if kind == "text" else (int, float)):
                raise ParameterError(f"row {index}: field {name!r} is {value!r}, expected {kind}")
        for name in row:
            if name not in FIELDS:
                raise ParameterError(f"row {index}: unexpected field {name!r}, did you mean {nearest(name, FIELDS, n=1)}?")


def variant(role: Role, *, version: str, weights: Sequence[float], bias: float = 0.0, **pace: Any) -> Variant:
    """Load a linear model in a role; its package id follows from the version."""
    return Variant(
        role=role,
        package=version.rpartition("v")[2].ljust(32, "0"),
        version=version,
        predictor=LinearPredictor(version, weights, bias, **pace),
        threshold=0.5,
        fields=tuple(FIELDS.items()),
        keys=("order",),
        slices=("shop",),
    )


def routing_from(plan: dict[str, Any]) -> Routing:
    """Load what a plan says: {"live": {"version": …, "weights": […]}, "shadow": {…}, "canary": {…}, "share": 0.5}."""
    loaded: dict[str, Any] = {role: variant(role, **plan[role]) for role in ("live", "canary", "shadow") if role in plan}
    return Routing(share=plan.get("share", 0.0), **loaded)


def expected_score(weights: Sequence[float], bias: float, features: Sequence[float]) -> float:
    """Compute a score by hand."""
    logit = float(np.dot(weights, features)) + bias
    return float(1 / (1 + np.exp(-logit)))


async def main(folder: Path) -> None:
    """Serve until told to stop."""
    from sampan.core.project import Traces
    from sampan.store.segments import Segments
    from sampan.web.inference.app import InferenceApp
    from sampan.web.inference.grpc import GrpcEdge
    from sampan.web.inference.log import ArrivalLog, PredictionLog
    from sampan.web.inference.plan import listen
    from sampan.web.inference.scoring import Limits
    from sampan.web.inference.server import serve_app
    from sampan.web.inference.traces import exporter_of

    plan = json.loads((folder / "routing.json").read_text())
    if "file_bytes" in plan:
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan["file_bytes"], resource.RLIM_INFINITY))
    segments = Segments(folder)
    limits = Limits(**plan.get("limits", {}))
    app = InferenceApp("linear", log=PredictionLog(segments), arrivals=ArrivalLog(segments, "linear"), token="secret", limits=limits)

    app.tracer = tracer = exporter_of(Traces(**plan.get("traces", {})), service="linear")

    async def nothing_to_catch_up() -> None:
        return

    async def reload() -> None:
        fresh = await asyncio.to_thread(lambda: routing_from(json.loads((folder / "routing.json").read_text())))
        await app.scorer.swap(fresh, catch_up=nothing_to_catch_up)

    app.reload = reload
    await reload()
    grpc = GrpcEdge(app, body_bytes=app.limits.body_bytes)
    (folder / "grpc.txt").write_text(str(await grpc.start("127.0.0.1", 0)))
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        await serve_app(app, listener, ready=lambda: (folder / "ready.json").write_text(str(port)))
    await grpc.stop(1)
    await app.close()
    if tracer is not None:
        tracer.close()
        (folder / "spans.json").write_text(json.dumps({"sent": tracer.sent, "dropped": tracer.dropped}))


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(Path(sys.argv[1])))
