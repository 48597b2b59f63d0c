"""10,000 registered models in one server, 200 of them hot: what a hot one costs beside a server of one model, and what a first use costs.

    python benchmarks/many_models.py [--models 10000] [--hot 200] [--rounds 20]

Each model is the 23-feature pipeline of `flights_of_23.py` (200 trees of 63 leaves), packaged on its own: nothing is shared but the bytes
that are the same. One connection asks one row at a time. Rounds of the two servers alternate, so that a busy machine is busy for both.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from flights_of_23 import make_table

from sampan.core.events import AliasMoved, Event, Input, new_id
from sampan.workspace.models.events import ModelTrained, PackageBuilt, StoredFile
from sampan.workspace.models.package_files import package_digest
from sampan.workspace.models.predictors import COMPACT, GRAPH, MANIFEST
from sampan.workspace.services import process
from sampan.workspace.services.process import Liveness, ServiceFiles
from sampan.workspace.workspace import Workspace

ORIGINAL = "flights-of-23"
BATCH = 200  # models recorded in one transaction


def prepare(root: Path, n_models: int) -> dict[str, Any]:
    """Train the pipeline once, register it under many names, each with a package and the alias champion; return a row to ask."""
    table = make_table()
    table.write_parquet(root / "served_flights.parquet")
    (root / "sampan.toml").write_text("[serving]\nmemory_mb = 8192\n")
    for words in (
        ["data", "add", "served_flights.parquet", "--name", "served_flights", "--key", "order"],
        ["run", _TRAINING],
        ["pack", ORIGINAL],
    ):
        subprocess.run([sys.executable, "-m", "sampan", *words], cwd=root, check=True, stdout=subprocess.DEVNULL)
    with Workspace.open(root) as ws:
        files = ws.catalog.artifacts(ws.catalog.resolve(f"{ORIGINAL}@v1", kind="package").id)
        shared = tuple(StoredFile(a.path, a.digest, a.size) for a in files if a.path != MANIFEST)
        manifest = msgspec.json.decode(ws.store.blobs.read(next(a.digest for a in files if a.path == MANIFEST)))
        model = ws.catalog.resolve(f"{ORIGINAL}@v1", kind="model")
        for first in range(0, n_models, BATCH):
            events: list[Event] = []
            for number in range(first, min(first + BATCH, n_models)):
                events += _events(ws, f"model-{number:05d}", model.facts, manifest, shared)
            ws.ledger.append(*events)
        graphs = {a.path: a.digest for a in files}
        (root / "model.onnx").write_bytes(ws.store.blobs.read(graphs.get(COMPACT, graphs[GRAPH])))
        ws.service.deploy("model-00000@v1", "alone", start=False)
        fields = list(manifest["request_schema"])
    row = table.row(40_000, named=True)
    return {name: row[name] for name in fields}


def _events(ws: Workspace, name: str, facts: dict[str, Any], manifest: dict[str, Any], shared: tuple[StoredFile, ...]) -> list[Event]:
    ref = f"{name}@v1"
    data = msgspec.json.encode({**manifest, "name": name, "version": "v1", "model": ref})
    files = (*shared, StoredFile(MANIFEST, ws.store.blobs.put(data), len(data)))
    model = ModelTrained(node=new_id(), kind="model", name=name, digest="", facts=facts)
    package = PackageBuilt(
        node=new_id(),
        kind="package",
        name=name,
        digest=package_digest(files),
        facts={"model": ref, "served_by": manifest["served_by"]},
        inputs=(Input(model.node, "packaged_as"),),
        files=files,
    )
    return [model, package, AliasMoved(kind="model", name=name, alias="champion", before=None, after=model.node)]


_TRAINING = str(Path(__file__).parent / "flights_of_23.py")


class Client:
    """One connection that asks the same row."""

    def __init__(self, live: Liveness, row: dict[str, Any]) -> None:
        self.live = live
        self.socket = socket.create_connection((live.host, live.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.body = json.dumps(row).encode()
        self.score: float | None = None

    def ask(self, path: str, *, model: str) -> float:
        """Return how long an answer took, in milliseconds; check that it is this model's, and the same as every other's."""
        begun = time.perf_counter()
        self.socket.sendall(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (path.encode(), len(self.body), self.body))
        head, _, body = self.socket.recv(65536).partition(b"\r\n\r\n")
        took = (time.perf_counter() - begun) * 1000
        told = json.loads(body)
        assert b" 200 " in head[:20], body
        assert told["version"] == f"{model}@v1"
        self.score = self.score if self.score is not None else told["score"]
        assert math.isclose(told["score"], self.score)
        return took

    def cpu_s(self) -> float:
        """Return the processor time the server took so far, which a busy machine does not lengthen as it does the clock's."""
        fields = Path(f"/proc/{self.live.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def floor(graph: bytes, *, hot: int, rounds: int) -> dict[str, float]:
    """Run the graph alone, with nothing of ours: many sessions in turn, and one. The ratio is what the processor's caches cost.

    `open_cpu_ms` is what opening a session takes of a processor, the part of a first use that is onnxruntime's.
    """
    from sampan.flavors.onnx_graph import INPUT, OUTPUT, open_session

    began = time.process_time()
    sessions = [open_session(graph) for _ in range(hot)]
    open_cpu_ms = (time.process_time() - began) / hot * 1000
    features = {INPUT: np.zeros((1, sessions[0].get_inputs()[0].shape[1]), np.float32)}
    taken: dict[str, list[float]] = {"many": [], "one": []}
    for _ in range(rounds):
        for kind, chosen in (("many", sessions), ("one", sessions[:1] * hot)):
            for session in chosen:
                begun = time.perf_counter()
                session.run([OUTPUT], features)
                taken[kind].append((time.perf_counter() - begun) * 1e6)
    return {"hot_us": statistics.median(taken["many"]), "single_us": statistics.median(taken["one"]), "open_cpu_ms": open_cpu_ms}


def measure(many: Client, alone: Client, *, models: int, hot: int, rounds: int) -> dict[str, Any]:
    """Ask every hot model for the first time, then both servers in turns."""
    names = [f"model-{number * (models // hot):05d}" for number in range(hot)]
    began = many.cpu_s()
    first = [many.ask(f"/services/{name}/predict", model=name) for name in names]
    first_cpu_ms = (many.cpu_s() - began) / hot * 1000
    for _ in range(20):  # so often a model runs in threads before it is trusted with the event loop
        for name in names:
            many.ask(f"/services/{name}/predict", model=name)
    for _ in range(200):
        alone.ask("/predict", model="model-00000")
    in_company, by_itself = [], []
    began, began_alone = many.cpu_s(), alone.cpu_s()
    for _ in range(rounds):
        in_company += [many.ask(f"/services/{name}/predict", model=name) for name in names]
        by_itself += [alone.ask("/predict", model="model-00000") for _ in names]
    cpu_us, cpu_alone_us = ((c - b) / len(by_itself) * 1e6 for c, b in ((many.cpu_s(), began), (alone.cpu_s(), began_alone)))
    ordered = sorted(first)
    return {
        "first_use_ms": {"p50": statistics.median(first), "p95": ordered[int(hot * 0.95)], "max": ordered[-1], "cpu_mean": first_cpu_ms},
        "hot_us": {"p50": statistics.median(in_company) * 1000, "p95": sorted(in_company)[int(len(in_company) * 0.95)] * 1000},
        "single_us": {"p50": statistics.median(by_itself) * 1000, "p95": sorted(by_itself)[int(len(by_itself) * 0.95)] * 1000},
        "cpu_us_a_request": {"hot": cpu_us, "single": cpu_alone_us, "ratio": cpu_us / cpu_alone_us},
        "hot_over_single_p50": statistics.median(in_company) / statistics.median(by_itself),
    }


def main() -> int:
    """Prepare, measure, print; the exit code says whether both goals are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--hot", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="a folder to prepare once and use again")
    given = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", POLARS_MAX_THREADS="1")
    with ExitStack() as until_the_end:
        root = given.keep or Path(until_the_end.enter_context(tempfile.TemporaryDirectory()))
        root.mkdir(exist_ok=True)
        noted = root / "row.json"
        if not noted.exists():
            begun = time.monotonic()
            noted.write_text(json.dumps(prepare(root, given.models), default=str))
            sys.stderr.write(f"prepared {given.models:,} models in {time.monotonic() - begun:.0f} s\n")
        row = json.loads(noted.read_text())
        servers = []
        for name, words in ((process.EVERY, ["--all", "--models"]), ("alone", ["alone"])):
            files = ServiceFiles(root / ".sampan", name)
            command = [sys.executable, "-m", "sampan", "serve", *words, "--project", str(root)]
            live = process.start(files, command)
            until_the_end.callback(process.stop, files, live)
            servers.append(live)
        told = measure(Client(servers[0], row), Client(servers[1], row), models=given.models, hot=given.hot, rounds=given.rounds)
        size = int(Path(f"/proc/{servers[0].pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
        told["floor"] = floor((root / "model.onnx").read_bytes(), hot=given.hot, rounds=given.rounds)
        told |= {"models": given.models, "hot": given.hot, "server_mb": size}
    print(json.dumps(told, indent=2))
    return 0 if told["hot_over_single_p50"] <= 1.5 and told["first_use_ms"]["p50"] <= 50 else 1


if __name__ == "__main__":
    sys.exit(main())
