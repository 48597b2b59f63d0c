r"""Requests to a prediction server beside its peers, each on one core, wrk on another, every answer checked. Goals of the serving room.

A request of one row brings another of a hundred real rows each time, and its answer has to be one of theirs (that each caller gets its own
row's is what `serve_chaos.py` holds).

    python benchmarks/serve_requests.py --package FOLDER --table served_flights.parquet \
        [--serving-python PYTHON] --fastapi-python PYTHON --mlflow-python PYTHON --mlflow-model FOLDER [--rounds 3] [--seconds 3]

FOLDER is `sampan model pack flights-of-23 --out FOLDER` after `sampan run benchmarks/flights_of_23.py`; the model of MLflow is what
`serve_requests_peers.py mlflow` writes. All servers run at once and are asked in turns, so that a busy moment meets all of them alike; CPU
is the server's own for each request, the figure that other work on the machine disturbs least. Ours validates, counts and logs every row.
What a server takes to start, of memory and of a disk: `serve_footprint.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from side_by_side import machine, versions

PEERS = Path(__file__).with_name("serve_requests_peers.py")
TICK = os.sysconf("SC_CLK_TCK")
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local path, rows = os.getenv("BODY"), {}
if path:match("%.jsonl$") then for line in io.lines(path) do table.insert(rows, line) end
else local file = io.open(path, "rb"); wrk.body = file:read("*all"); file:close() end
local head = os.getenv("JSON_BYTES"); if head ~= "" then wrk.headers["Inference-Header-Content-Length"] = head end
local want, wanted = os.getenv("WANT"), {}; wrong = 0; threads = {}
if head ~= "" then want = want:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end) end
for digits in want:gmatch("%S+") do wanted[digits] = true end
function setup(thread) table.insert(threads, thread) end
local turn, asks = 0, {}
if #rows > 0 then request = function()
  turn = turn % #rows + 1
  if not asks[turn] then asks[turn] = wrk.format(nil, nil, nil, rows[turn]) end
  return asks[turn]
end end
local function is_right(body)
  if #rows == 0 or not want:match("^0") then return string.find(body, want, 1, true) end
  return wanted[(body:match('"score":([%d.]+)') or ""):sub(1, 6)]
end
function response(status, headers, body)
  if status ~= 200 or not is_right(body) then wrong = wrong + 1 end
end
function done(summary, latency, requests)
  local n = 0
  for _, thread in ipairs(threads) do n = n + thread:get("wrong") end
  print(string.format("FOUND %d %d %d %d %d", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), n))
end
"""


@dataclass
class Server:
    """A server under test."""

    name: str
    command: Sequence[str]
    port: int
    bodies: dict[str, tuple[str, Path, str, int]]  # job -> path, body, what every answer holds, bytes of JSON in the body (0: all)
    ready: str = "/"
    process: subprocess.Popen[bytes] | None = None
    start_s: float = 0.0
    found: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def start(self, core: int) -> None:
        """Start it on its core, and take the time to the first right answer."""
        path, body, want, _ = self.bodies["one"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
        began = time.perf_counter()
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), *self.command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while time.perf_counter() - began < 240:
            assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}"
            try:
                if want.split()[0] in ask(self.port, path, body.read_bytes().partition(b"\n")[0]):
                    self.start_s = time.perf_counter() - began
                    return
            except OSError:
                time.sleep(0.01)
        raise SystemExit(f"{self.name} did not answer rightly in 240 s")

    def pids(self) -> list[int]:
        """Return its process and all below it."""
        assert self.process is not None
        found, more = [], [self.process.pid]
        while more:
            found.append(more.pop())
            children = Path(f"/proc/{found[-1]}/task/{found[-1]}/children")
            more += [int(pid) for pid in children.read_text().split()] if children.exists() else []
        return found

    def cpu_s(self) -> float:
        """Return the processor time they took."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids()]
        return sum(int(f[11]) + int(f[12]) for f in fields) / TICK

    def memory_mb(self) -> float:
        """Return the memory they hold, shared pages in parts."""
        sizes = [re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M) for pid in self.pids()]
        return sum(int(size[1]) for size in sizes if size) / 1024

    def measure(self, job: str, connections: int, *, core: int, seconds: int) -> None:
        """Ask one job for some seconds."""
        path, body, want, json_bytes = self.bodies[job]
        environment = {**os.environ, "BODY": str(body), "WANT": want, "JSON_BYTES": str(json_bytes or "")}
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(SCRIPT)
            script.flush()
            cpu = self.cpu_s()
            command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "--latency"]
            said = subprocess.run(
                [*command, "-s", script.name, f"http://127.0.0.1:{self.port}{path}"], env=environment, capture_output=True, text=True
            ).stdout
            time.sleep(0.4)  # the log writes what it gathered
            cpu = self.cpu_s() - cpu
        n, us, p50, p99, wrong = map(int, re.search(r"FOUND (\d+) (\d+) (\d+) (\d+) (\d+)", said).groups())  # type: ignore[union-attr]
        assert wrong == 0, f"{self.name}: {wrong} of {n} answers to {job} are wrong"
        figures = {"rate": n / us * 1e6, "p50_us": p50, "p99_us": p99, "cpu_us": cpu / n * 1e6}
        self.found.setdefault(f"{job} c={connections}", []).append(figures)

    def median(self, job: str, figure: str) -> float:
        """Return a figure's median over the rounds."""
        return statistics.median(found[figure] for found in self.found[job]) if job in self.found else float("nan")


def ask(port: int, path: str, body: bytes) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.read().decode())


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def digits(score: float) -> str:
    """Return how a score begins whatever its precision: the digits a float32 and a float64 share."""
    return f"{score:.9f}"[:6]


def binary_infer(rows: list[dict[str, Any]], fields: dict[str, str]) -> tuple[bytes, int]:
    """Write rows as a tensor request whose values are bytes, and ask for such an answer."""
    from sampan.serving.inference_protocol import to_bytes

    inputs, tail = [], []
    for name, kind in fields.items():
        values = [row[name] for row in rows]
        data = to_bytes([str(v) for v in values]) if kind in ("text", "moment") else to_bytes(np.array(values, np.float64))
        datatype = "BYTES" if kind in ("text", "moment") else "FP64"
        inputs.append({"name": name, "shape": [len(rows)], "datatype": datatype, "parameters": {"binary_data_size": len(data)}})
        tail.append(data)
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return b"".join([head, *tail]), len(head)


def servers(arguments: argparse.Namespace, folder: Path) -> list[Server]:
    """Write the bodies, find what the answers are, and put the commands together."""
    from sampan.workspace.models.predictors import open_predictor

    predictor = open_predictor(arguments.package)
    schema = {name: str(spec["type"]) for name, spec in predictor.manifest.request_schema.items()}
    table = pl.read_parquet(arguments.table).drop("arr_delay").drop_nulls(["manufacturer", "engine"]).tail(100)
    rows = table.select(list(schema)).to_dicts()
    scores = predictor.predict(rows)
    (folder / "hundred").write_text(json.dumps({"rows": rows}))
    (folder / "one.jsonl").write_text("\n".join(json.dumps(row) for row in rows))  # another row in each request
    (folder / "frame.jsonl").write_text("\n".join(json.dumps({"dataframe_records": [row]}) for row in rows))
    data, json_bytes = binary_infer(rows, schema)
    (folder / "binary").write_bytes(data)
    one, last = " ".join(map(digits, scores)), digits(scores[-1])
    python, package = sys.executable, str(arguments.package)
    ports = [free_port() for _ in range(4)]
    ours = [arguments.serving_python, "-m", "sampan", "serve", "--package", package, "--log", str(folder / "log"), "--port", str(ports[0])]
    bits = np.float64(scores[-1]).tobytes().hex()
    model = predictor.manifest.name
    found = [
        Server(
            "sampan",
            ours,
            ports[0],
            {
                "one": ("/predict", folder / "one.jsonl", one, 0),
                "hundred": ("/predict", folder / "hundred", last, 0),
                "binary": (f"/v2/models/{model}/infer", folder / "binary", bits, json_bytes),
            },
        ),
        Server(
            "limit",
            [python, str(PEERS), "limit", package, str(ports[1])],
            ports[1],
            {"one": ("/predict", folder / "one.jsonl", one, 0), "hundred": ("/predict", folder / "hundred", last, 0)},
        ),
        Server(
            "FastAPI + ONNX",
            [arguments.fastapi_python, str(PEERS), "fastapi", package, str(ports[2])],
            ports[2],
            {"one": ("/predict", folder / "one.jsonl", one, 0), "hundred": ("/many", folder / "hundred", last, 0)},
        ),
    ]
    if arguments.mlflow_model:
        bin_folder = Path(arguments.mlflow_python).parent  # mlflow looks for uvicorn on the path
        command = ["env", f"PATH={bin_folder}:{os.environ['PATH']}", "mlflow", "models", "serve", "-m", str(arguments.mlflow_model)]
        command += ["--env-manager", "local", "-p", str(ports[3]), "-w", "1"]
        found.append(Server("mlflow models serve", command, ports[3], {"one": ("/invocations", folder / "frame.jsonl", "predictions", 0)}))
    return found


def report(found: list[Server], alone: dict[str, float], parts: dict[str, float]) -> int:
    """Print the table and the goals; return 1 where one is missed."""
    print(
        f"{'':22}{'1 row c=1 p50':>14}{'c=32 p99':>10}{'req/s':>9}{'CPU us':>8}{'100 rows/s':>11}{'CPU us':>8}{'start s':>9}{'PSS MB':>8}"
    )
    for s in found:
        print(
            f"{s.name:22}{s.median('one c=1', 'p50_us'):>11,.0f} us{s.median('one c=32', 'p99_us') / 1e3:>7,.1f} ms"
            f"{s.median('one c=32', 'rate'):>9,.0f}{s.median('one c=32', 'cpu_us'):>8,.0f}{s.median('hundred c=8', 'rate'):>11,.0f}"
            f"{s.median('hundred c=8', 'cpu_us'):>8,.0f}{s.start_s:>9.2f}{s.memory_mb():>8.0f}"
        )
    ours, limit, fastapi, *mlflow = found
    print(f"onnxruntime alone: {alone['1']:,.1f} us for a row, {alone['100']:,.0f} us for a hundred")
    print(
        f"sampan, 100 rows as binary tensors: {ours.median('binary c=8', 'rate'):,.0f}/s, {ours.median('binary c=8', 'cpu_us'):,.0f} us CPU"
    )

    def cpu(server: Server, job: str = "one c=32") -> float:
        return server.median(job, "cpu_us")

    told = ", ".join(f"{name} {us:.1f}" for name, us in parts.items())
    share = sum(parts.values()) / cpu(ours)
    print(f"of the {cpu(ours):,.0f} us of a row, each measured for 16 rows of a turn: {told}: together {share:.0%}, at most 25 % wanted")

    goals = [
        ("req/s of FastAPI + ONNX", cpu(fastapi) / cpu(ours), 4.0),
        ("req/s of the limit, validation, metrics and log on", cpu(limit) / cpu(ours), 0.55),
        ("p50 at 1 connection, limit's / ours", limit.median("one c=1", "p50_us") / ours.median("one c=1", "p50_us"), 1 / 1.6),
        ("p99 at 32, FastAPI's / ours", fastapi.median("one c=32", "p99_us") / ours.median("one c=32", "p99_us"), 5.0),
        ("100 rows JSON, of onnxruntime alone", alone["100"] / cpu(ours, "hundred c=8"), 0.65),
        ("100 rows binary, of onnxruntime alone", alone["100"] / cpu(ours, "binary c=8"), 0.8),
    ]
    if mlflow:
        goals += [
            ("req/s of mlflow", cpu(mlflow[0]) / cpu(ours), 100.0),
            ("start, mlflow's / ours", mlflow[0].start_s / ours.start_s, 8.0),
            ("memory, mlflow's / ours", mlflow[0].memory_mb() / ours.memory_mb(), 4.0),
        ]
    for name, reached, wanted in goals:
        print(f"{'ok  ' if reached >= wanted else 'MISS'} {name}: {reached:.2f}, goal {wanted:.2f}")
    return int(any(reached < wanted for _, reached, wanted in goals))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--serving-python", default=sys.executable, help="of an environment that has what serving needs alone")
    parser.add_argument("--fastapi-python", required=True)
    parser.add_argument("--mlflow-python", default="")
    parser.add_argument("--mlflow-model", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    arguments = parser.parse_args()
    print(machine(), versions("onnxruntime", "uvicorn", "msgspec"), "| FastAPI:", versions("fastapi", python=arguments.fastapi_python))
    if arguments.mlflow_python:
        print(versions("mlflow", "scikit-learn", "lightgbm", python=arguments.mlflow_python))
    folder = Path(tempfile.mkdtemp())
    found = servers(arguments, folder)
    try:
        for server in found:
            server.start(core=0)
        alone = []
        for _ in range(arguments.rounds):
            for job, connections in (("one", 1), ("one", 32), ("hundred", 8), ("binary", 8)):
                for server in found:
                    if job in server.bodies:
                        server.measure(job, connections, core=1, seconds=arguments.seconds)
            said = subprocess.run(
                ["taskset", "-c", "0", sys.executable, PEERS, "ort", arguments.package, folder / "hundred"],
                capture_output=True,
                text=True,
                check=True,
            )
            alone.append(json.loads(said.stdout))
        command = ["taskset", "-c", "0", sys.executable, PEERS, "parts", arguments.package, folder / "one.jsonl"]
        parts = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return report(found, {n: statistics.median(a[n] for a in alone) for n in ("1", "100")}, parts)
    finally:
        for server in found:
            if server.process is not None:
                server.process.terminate()
                server.process.wait(30)
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
