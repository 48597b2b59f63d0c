"""The Open Inference Protocol by gRPC beside the same server's REST, and beside kserve's own model server with the same graph.

    python benchmarks/grpc_requests.py [--kserve-python PYTHON] [--requests 2000] [--rounds 3]

PYTHON is an environment with kserve and onnxruntime. Ours serves two models: `orders` has five fields and looks up the past of each row's
shop, `parcels` has four and looks nothing up; it reads, checks, counts and logs every row. kserve is sent the matrix of features and runs
the graph of `orders`. One client asks in turn, so that a busy machine is busy for all; each answer is checked. CPU is the server's for a
request, with all that comes after its answer.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "workspace"))

import plain_package
from small_package import WEIGHTS, add_package, draw_orders, logistic_graph, requests_of, true_chances

from sampan.plugins import require
from sampan.serving.grpc_messages import SERVICE, message_types
from sampan.workspace.services import process
from sampan.workspace.workspace import Workspace

NAME = "orders-late"
KSERVE = """
import sys
import kserve, numpy as np, onnxruntime

class Orders(kserve.Model):
    def __init__(self):
        super().__init__("orders-late")
        options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[1], options); self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        score = self.session.run(["score"], {"features": payload.inputs[0].as_numpy()})[0]
        told = kserve.InferOutput("score", list(score.shape), "FP32"); told.set_data_from_numpy(score, binary_data=True)
        return kserve.InferResponse(response_id="1", model_name=self.name, infer_outputs=[told])

server = kserve.ModelServer(http_port=int(sys.argv[2]), grpc_port=int(sys.argv[3]), workers=1, access_log_format=None)
server.start([Orders()])
"""


def free_port() -> int:
    """Find a port that nobody has."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def cpu_s(pid: int) -> float:
    """Return the processor time a process took."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Grpc:
    """A client that sends one request again and again."""

    def __init__(self, port: int, inputs: Sequence[tuple[str, str, list[int], bytes]], *, model: str = NAME) -> None:
        grpc, self.types = require("grpc", extra="grpc"), message_types()
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        grpc.channel_ready_future(channel).result(60)
        self.call = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=self.types["ModelInferRequest"].SerializeToString,
            response_deserializer=self.types["ModelInferResponse"].FromString,
        )
        self.request = self.types["ModelInferRequest"](model_name=model)
        for name, kind, shape, data in inputs:
            self.request.inputs.add(name=name, datatype=kind, shape=shape)
            self.request.raw_input_contents.append(data)

    def ask(self) -> Any:
        """Return the scores."""
        answer = self.call(self.request)
        at = [one.name for one in answer.outputs].index("score")
        kind = np.float32 if answer.outputs[at].datatype == "FP32" else np.float64
        return np.frombuffer(answer.raw_output_contents[at], kind)


class Rest:
    """The same over HTTP, as JSON."""

    def __init__(self, port: int, inputs: list[dict[str, Any]]) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.body = json.dumps({"inputs": inputs})

    def ask(self) -> Any:
        """Return the scores."""
        self.connection.request("POST", f"/v2/models/{NAME}/infer", self.body, {"content-type": "application/json"})
        told = json.loads(self.connection.getresponse().read())
        return np.array(next(one["data"] for one in told["outputs"] if one["name"] == "score"))


def measure(ask: Callable[[], Any], right: Any, pid: int, n: int) -> dict[str, float]:
    """Ask some times; return the median latency and the server's processor time, both in microseconds a request."""
    taken, began = [], cpu_s(pid)
    for _ in range(n):
        begun = time.perf_counter()
        found = ask()
        taken.append(time.perf_counter() - begun)
        assert np.allclose(found, right, atol=1e-5), (found, right)
    time.sleep(0.5)  # the log writes what it gathered
    return {"p50_us": statistics.median(taken) * 1e6, "cpu_us": (cpu_s(pid) - began) / n * 1e6}


def main() -> int:
    """Serve, ask in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kserve-python")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    parcels = [{"parcel": float(k), "at": 1_356_998_400_000 + 3_600_000 * k, "shop": "north", "kilos": 0.5 + k} for k in range(100)]
    parcels_right = np.array([row["kilos"] + row["at"] // 3_600_000 % 24 / 100 for row in parcels])
    rows = requests_of(draw_orders(100, first=0, day=0, rng=np.random.default_rng(1)))
    right = true_chances(*(np.array([r[x] for r in rows], float) for x in ("x1", "x2")), WEIGHTS)
    with tempfile.TemporaryDirectory() as folder, Workspace.open(folder) as ws:
        add_package(ws, Path(folder) / "package")
        ws.service.deploy(NAME, start=False)
        ws.service.deploy(plain_package.add_plain_package(ws, Path(folder) / "plain").id, "parcels", start=False)
        servers = {name: process.ServiceFiles(ws.store_folder, name) for name in (NAME, "parcels")}
        lives = {
            name: process.start(files, [*process.server_command(ws.root, name), "--grpc-port", "0"]) for name, files in servers.items()
        }
        live = lives[NAME]
        peer = None
        try:
            plain_schema = {"parcel": "FP64", "at": "INT64", "shop": "BYTES", "kilos": "FP64"}
            schema = {"order": "FP64", "at": "INT64", "shop": "BYTES", "x1": "FP64", "x2": "FP64"}
            jobs: dict[str, tuple[Callable[[], Any], Any, int]] = {}
            for n in (1, 100):
                tensors = [_raw(name, kind, rows[:n]) for name, kind in schema.items()]
                listed = [{"name": f, "datatype": k, "shape": [n], "data": [r[f] for r in rows[:n]]} for f, k in schema.items()]
                jobs[f"gRPC, {n} rows"] = (Grpc(live.grpc_port, tensors).ask, right[:n], live.pid)
                tensors = [_raw(name, kind, parcels[:n]) for name, kind in plain_schema.items()]
                plain = lives["parcels"]
                jobs[f"gRPC, {n} rows, no look-ups"] = (
                    Grpc(plain.grpc_port, tensors, model="parcels").ask,
                    parcels_right[:n],
                    plain.pid,
                )
                jobs[f"REST JSON, {n} rows"] = (Rest(live.port, listed).ask, right[:n], live.pid)
            if given.kserve_python:
                graph, port = Path(folder) / "logistic.onnx", free_port()
                graph.write_bytes(logistic_graph(WEIGHTS))
                words = [given.kserve_python, "-c", KSERVE, str(graph), str(free_port()), str(port)]
                peer = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                matrix = np.array([[r["x1"], r["x2"], 0.0] for r in rows], np.float32)
                for n in (1, 100):
                    ask = Grpc(port, [("features", "FP32", [n, 3], matrix[:n].tobytes())]).ask
                    jobs[f"kserve gRPC, {n} rows"] = (ask, right[:n], peer.pid)
            for ask, answer, pid in jobs.values():  # a model runs in threads before it is trusted with the event loop
                measure(ask, answer, pid, 50)
            found: dict[str, list[dict[str, float]]] = {name: [] for name in jobs}
            for _ in range(given.rounds):
                for name, (ask, answer, pid) in jobs.items():
                    found[name].append(measure(ask, answer, pid, given.requests // given.rounds))
        finally:
            for name, files in servers.items():
                process.stop(files, lives[name])
            if peer is not None:
                peer.terminate()
                peer.wait(30)
    told = {name: {what: statistics.median(one[what] for one in runs) for what in ("p50_us", "cpu_us")} for name, runs in found.items()}
    print(json.dumps({"machine": machine(), **told}, indent=2))
    return 0


def _raw(name: str, kind: str, rows: Sequence[dict[str, Any]]) -> tuple[str, str, list[int], bytes]:
    values = [row[name] for row in rows]
    if kind == "BYTES":
        texts = [str(value).encode() for value in values]
        return name, kind, [len(rows)], b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return name, kind, [len(rows)], np.array(values, np.float64 if kind == "FP64" else np.int64).tobytes()


if __name__ == "__main__":
    sys.exit(main())
