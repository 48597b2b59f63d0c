"""One row asked with online features, by Sampan and by Feast, each with the same model: in one process, and as servers.

    .venv/bin/uv venv /envs/feast
    .venv/bin/uv pip install --python /envs/feast/bin/python 'feast[redis]' onnxruntime fastapi uvicorn
    .venv/bin/python benchmarks/online_features.py --feast /envs/feast/bin/python

10,000 customers with four numbers, 2,000 merchants with three numbers that change over time; a request has a customer, a merchant, an
amount, the model is a logistic one of all eight as an ONNX graph. Every answer is compared.

In the process: Feast is asked through its Python SDK, its fastest way in, with its SQLite and its Redis store, its newest values
materialized; Sampan's view with its tables in memory and in Redis. As servers: `sampan serve --package` with its checks, metrics and
prediction log; FastAPI with Feast's SDK and onnxruntime in it; and Feast's own feature server, which answers features alone, no model.
One connection, kept open. Percentiles are of all rounds together, CPU is the answering process's, a row. Redis is Debian's, on loopback.

Goal: p99 of one row at most a tenth of Feast's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

N_CUSTOMERS, N_MERCHANTS, N_TIMES = 10_000, 2_000, 5
CUSTOMER, MERCHANT = ("c1", "c2", "c3", "c4"), ("m1", "m2", "m3")
DAY_MS = 86_400_000
START = 1_767_225_600_000  # 2026-01-01
ASKED = START + (N_TIMES + 1) * DAY_MS
N_WARM, N_CALLS, ROUNDS = 100, 7_000, 3

FEAST = textwrap.dedent(
    """
    import sys
    sys.path.insert(0, sys.argv[1])
    from pathlib import Path
    from datetime import datetime, timedelta, timezone
    import numpy as np
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64
    import online_features as bench
    folder, store = Path(sys.argv[2]), sys.argv[3]
    online = {"type": "sqlite", "path": str(folder / f"{store}.db")}
    if store == "redis":
        online = {"type": "redis", "connection_string": sys.argv[4]}
    import yaml
    (folder / "feature_store.yaml").write_text(yaml.safe_dump({
        "project": "bench", "provider": "local", "registry": str(folder / f"{store}.registry"), "online_store": online,
        "offline_store": {"type": "dask"}, "entity_key_serialization_version": 3,
    }))
    views = []
    for name, columns in (("customer", bench.CUSTOMER), ("merchant", bench.MERCHANT)):
        entity = Entity(name=name, join_keys=[name], value_type=ValueType.STRING)
        source = FileSource(path=str(folder / f"{name}.parquet"), timestamp_field="at")
        schema = [Field(name=c, dtype=Float64) for c in columns]
        views += [entity, FeatureView(name=f"{name}s", entities=[entity], ttl=timedelta(0), schema=schema, source=source)]
    feast = FeatureStore(repo_path=str(folder))
    feast.apply(views)
    feast.materialize(datetime(2025, 1, 1, tzinfo=timezone.utc), datetime(2027, 1, 1, tzinfo=timezone.utc))
    names = [f"customers:{c}" for c in bench.CUSTOMER] + [f"merchants:{c}" for c in bench.MERCHANT]
    columns = [*bench.CUSTOMER, *bench.MERCHANT]
    score = bench.scorer(folder)

    def answer(row):
        found = feast.get_online_features(names, entity_rows=[{"customer": row["customer"], "merchant": row["merchant"]}]).to_dict()
        return score(np.array([[row["amount"], *(found[c][0] for c in columns)]], np.float32))

    if len(sys.argv) > 5:
        bench.serve_with_fastapi(answer, int(sys.argv[5]))
    bench.report(answer)
    """
)
FEAST_SERVES = textwrap.dedent(
    """
    import sys
    from feast import FeatureStore
    store = FeatureStore(repo_path=sys.argv[1])
    store.serve(host="127.0.0.1", port=int(sys.argv[2]), type_="http", workers=1, max_requests=10**6)  # by default a worker ends at 1,000
    """
)


def main() -> None:
    """Measure in turns and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--feast", default="python", help="the interpreter of an environment that has Feast")
    arguments.add_argument("--ours", nargs=2, metavar=("FOLDER", "REDIS"), help="run our side in the process, for the benchmark itself")
    arguments.add_argument("--serve", nargs=2, metavar=("FOLDER", "PORT"), help="run our server, for the benchmark itself")
    given = arguments.parse_args()
    if given.ours:
        report(ours(Path(given.ours[0]), given.ours[1]))
    elif given.serve:
        serve_ours(Path(given.serve[0]), int(given.serve[1]))
    else:
        compare(given.feast)


def compare(python: str) -> None:
    """Run everyone in turns."""
    with tempfile.TemporaryDirectory() as temporary, redis_server(Path(temporary)) as redis:
        folder = Path(temporary)
        draw(folder)
        (folder / "ask_feast.py").write_text(FEAST)
        (folder / "feast_serves.py").write_text(FEAST_SERVES)
        feast = [python, str(folder / "ask_feast.py"), str(Path(__file__).parent), str(folder)]
        here = [sys.executable, __file__, "--ours", str(folder)]
        jobs = {
            "sampan": [*here, ""],
            "sampan, redis": [*here, f"redis://{redis}/1"],
            "feast, sqlite": [*feast, "sqlite"],
            "feast, redis": [*feast, "redis", redis],
        }
        in_process: dict[str, list[dict[str, Any]]] = {name: [] for name in jobs}
        for _ in range(ROUNDS):
            for name, job in jobs.items():
                in_process[name].append(run(job))
                tell(name, in_process[name][-1])
        port = free_port()
        servers = {
            "sampan": ([sys.executable, __file__, "--serve", str(folder), str(port)], "/predict"),
            "feast in fastapi": ([*feast, "redis", redis, str(port)], "/predict"),
            "feast serve, no model": ([python, str(folder / "feast_serves.py"), str(folder), str(port)], "/get-online-features"),
        }
        as_servers: dict[str, list[dict[str, Any]]] = {name: [] for name in servers}
        for _ in range(ROUNDS):
            for name, (command, path) in servers.items():
                as_servers[name].append(ask_server(command, port, path))
                tell(name, as_servers[name][-1])
    version = subprocess.run([python, "-c", "import feast; print(feast.__version__)"], capture_output=True, text=True, check=True)
    sys.stdout.write(f"feast {version.stdout.strip()}; one row, {ROUNDS * N_CALLS:,} requests each, all answers the same to 1e-6\n")
    print_table("in one process", in_process)
    print_table("as servers, one connection", as_servers)


def tell(name: str, one: dict[str, Any]) -> None:
    """Say how far the benchmark is."""
    us = one["us"]
    sys.stderr.write(f"{name}: p50 {us[len(us) // 2]:.0f} us, p99 {us[len(us) * 99 // 100]:.0f} us, CPU {one['cpu_us']:.0f} us\n")


def draw(folder: Path) -> None:
    """Write the tables, the model and the requests."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    customers = pl.DataFrame({"customer": [f"c{i}" for i in range(N_CUSTOMERS)], **{c: rng.normal(size=N_CUSTOMERS) for c in CUSTOMER}})
    n = N_MERCHANTS * N_TIMES
    at = np.repeat(START + np.arange(N_TIMES) * DAY_MS, N_MERCHANTS)
    merchants = pl.DataFrame({"merchant": [f"m{i % N_MERCHANTS}" for i in range(n)], "at": at, **{c: rng.normal(size=n) for c in MERCHANT}})
    moment = pl.from_epoch("at", time_unit="ms").dt.replace_time_zone("UTC")
    customers.with_columns(pl.lit(START).alias("at")).with_columns(moment).write_parquet(folder / "customer.parquet")
    merchants.with_columns(moment).write_parquet(folder / "merchant.parquet")
    (folder / "model.onnx").write_bytes(logistic(weights()))


def requests() -> list[dict[str, Any]]:
    """Return the requests that everyone answers: the same pseudo-random walk over customers and merchants."""
    return [
        {
            "order": float(i),
            "at": ASKED,
            "customer": f"c{i * 7919 % N_CUSTOMERS}",
            "merchant": f"m{i * 104_729 % N_MERCHANTS}",
            "amount": (i % 97) / 10,
        }
        for i in range(N_WARM + N_CALLS)
    ]


def weights() -> list[float]:
    """Return the model's weights."""
    return [((7 * i) % 5 - 2) / 3 for i in range(1 + len(CUSTOMER) + len(MERCHANT))]


def logistic(weights: list[float], *, flat: bool = False) -> bytes:
    """Build score = sigmoid(features @ weights) as ONNX; of shape (n, 1), or flat as that of a package."""
    from onnx import TensorProto, helper

    nodes = [helper.make_node("MatMul", ["features", "w"], ["product"])]
    nodes += [helper.make_node("Reshape", ["product", "all"], ["line"])] if flat else []
    nodes.append(helper.make_node("Sigmoid", ["line" if flat else "product"], ["score"]))
    constants = [helper.make_tensor("w", TensorProto.FLOAT, [len(weights), 1], weights)]
    constants += [helper.make_tensor("all", TensorProto.INT64, [1], [-1])] if flat else []
    graph = helper.make_graph(
        nodes,
        "logistic",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(weights)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None] if flat else [None, 1])],
        constants,
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString())


def scorer(folder: Path) -> Callable[[Any], float]:
    """Open the model; one thread, for either side."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes(), options, providers=["CPUExecutionProvider"])
    return lambda features: float(session.run(["score"], {"features": features})[0][0, 0])


def fitted_view(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Define our feature view over the same tables; return it, fitted, and what it looks up in."""
    import polars as pl

    from sampan.features import Columns, Expr, as_of, lookup, moment, number, text, view, view_tables

    orders = Columns(
        order=number(nullable=False),
        at=moment(nullable=False),
        customer=text(nullable=False),
        merchant=text(nullable=False),
        amount=number(),
    )
    wanted: dict[str, Expr] = {"amount": orders.amount}
    wanted |= {c: lookup("customers", {"customer": orders.customer}, c) for c in CUSTOMER}
    wanted |= {c: as_of("merchants", {"merchant": orders.merchant}, c, time="at", tolerance="30d") for c in MERCHANT}
    made = view("bench", on="orders", columns=orders, key=["order"], moment=orders.at, features=wanted)
    tables = {"customers": pl.read_parquet(folder / "customer.parquet"), "merchants": pl.read_parquet(folder / "merchant.parquet")}
    asked = pl.DataFrame(requests()[:10])
    whole = {**tables, "orders": asked}
    return view_tables.fit(made, view_tables.batch(made, whole)), view_tables.online_tables(made, whole, ASKED)


def ours(folder: Path, redis: str) -> Callable[[dict[str, Any]], float]:
    """Open the view with its tables in memory, or in Redis; return what answers a request."""
    from sampan.features.online import OnlineView

    fitted, tables = fitted_view(folder)
    online = OnlineView.of(fitted, tables)
    if redis:
        from sampan.features.groups import Groups
        from sampan.workspace.models.redis_tables import FeatureRedis, SharedTables

        shared = SharedTables(FeatureRedis(redis), Groups(fitted.view), "bench")
        online = OnlineView(fitted, shared.taken_up(lambda: online.sources, held=None))
    score = scorer(folder)
    return lambda row: score(online.matrix([row]))


def serve_ours(folder: Path, port: int) -> None:
    """Write a package and serve it, with its prediction log."""
    import msgspec

    from sampan.engine.environment import capture
    from sampan.web.inference.package import PackageServing, serve_package
    from sampan.workspace.models.predictors import PackageManifest

    fitted, tables = fitted_view(folder)
    package = folder / "package"
    (package / "online").mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        frame.write_parquet(package / "online" / f"{name}.parquet")
    environment = capture(package)
    manifest = PackageManifest(
        name="bench",
        version="v1",
        model="bench@v1",
        view="bench",
        request_schema=msgspec.to_builtins(fitted.view.request_schema()),
        keys=fitted.view.key,
        slices=(),
        feature_names=tuple(fitted.names),
        families={},
        label="none",
        threshold=0.5,
        until=ASKED,
        flavor="onnx",
        served_by="onnx",
        environment=environment.digest,
    )
    (package / "package.json").write_bytes(msgspec.json.encode(manifest))
    (package / "features.json").write_bytes(fitted.to_json())
    (package / "environment.json").write_bytes(msgspec.json.encode(environment))
    (package / "model.onnx").write_bytes(logistic(weights(), flat=True))
    serve_package(package, PackageServing(port=port, log=folder / "log"))


def serve_with_fastapi(answer: Callable[[dict[str, Any]], float], port: int) -> None:
    """Serve Feast's answers as one would: FastAPI with a typed body."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Asked(BaseModel):
        order: float
        at: float
        customer: str
        merchant: str
        amount: float | None

    app = FastAPI()

    async def predict(asked: Asked) -> dict[str, float]:
        return {"score": answer(asked.model_dump())}

    predict.__annotations__ = {"asked": Asked}  # as text it could not be found from outside this function
    app.post("/predict")(predict)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
    sys.exit(0)


def ask_server(command: list[str], port: int, path: str) -> dict[str, Any]:
    """Start a server, ask it every request over one connection, stop it."""
    home = {**os.environ, "HOME": tempfile.gettempdir()}  # gunicorn writes there
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=home)
    try:
        for _ in range(1200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            bodies = [_request(path, row) for row in requests()]
            for body in bodies[:N_WARM]:
                _exchange(connection, body)
            begun, seconds, answers = _cpu_of(process.pid), [], []
            for body in bodies[N_WARM:]:
                before = time.perf_counter()
                answer = _exchange(connection, body)
                seconds.append(time.perf_counter() - before)
                answers.append(_score(answer, path))
            cpu = (_cpu_of(process.pid) - begun) / N_CALLS
    finally:
        process.terminate()
        process.wait(60)
    return {"us": sorted(1e6 * second for second in seconds), "cpu_us": cpu * 1e6, "answers": answers}


def _request(path: str, row: dict[str, Any]) -> bytes:
    body: dict[str, Any] = row
    if path != "/predict":
        names = [f"customers:{c}" for c in CUSTOMER] + [f"merchants:{c}" for c in MERCHANT]
        body = {"features": names, "entities": {"customer": [row["customer"]], "merchant": [row["merchant"]]}}
    data = json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data


def _exchange(connection: socket.socket, request: bytes) -> dict[str, Any]:
    connection.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += connection.recv(65536)
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise SystemExit(f"{head.decode()}\n{body.decode()}")
    answer: dict[str, Any] = json.loads(body)
    return answer


def _score(answer: dict[str, Any], path: str) -> float | None:
    return float(answer["score"]) if path == "/predict" else None


def _cpu_of(pid: int) -> float:
    """Return the processor seconds of a process and of its children."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(map(int, stat[11:13])) / os.sysconf("SC_CLK_TCK") + sum(_cpu_of(int(child)) for child in children)


def report(answer: Callable[[dict[str, Any]], float]) -> None:
    """Answer every request, one at a time, and print what it took."""
    rows = requests()
    for row in rows[:N_WARM]:
        answer(row)
    seconds, answers = [], []
    begun = _cpu()
    for row in rows[N_WARM:]:
        before = time.perf_counter()
        answers.append(answer(row))
        seconds.append(time.perf_counter() - before)
    cpu = (_cpu() - begun) / N_CALLS
    sys.stdout.write(json.dumps({"us": sorted(1e6 * second for second in seconds), "cpu_us": cpu * 1e6, "answers": answers}) + "\n")


def run(command: list[str]) -> dict[str, Any]:
    """Run one side; its last line is the report."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def free_port() -> int:
    """Return a port of loopback that nobody has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class redis_server:  # noqa: N801  # used as a function is
    """A Redis on a free port of loopback, for as long as the block lasts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> str:
        program = shutil.which("redis-server")
        if program is None:
            raise SystemExit("redis-server is not installed; run: apt-get install redis-server")
        port = free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return f"127.0.0.1:{port}"
            time.sleep(0.05)
        raise SystemExit("redis-server does not listen")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)


def print_table(what: str, found: dict[str, list[dict[str, Any]]]) -> None:
    """Print percentiles of all rounds, and how often ours goes into the others'."""
    mine = found["sampan"]
    say = sys.stdout.write
    say(f"\n{what:<28}{'p50 us':>10}{'p99 us':>10}{'CPU us':>10}{'p50 / ours':>12}{'p99 / ours':>12}{'CPU / ours':>12}\n")
    own_p50, own_p99, own_cpu = _figures(mine)
    for name, rounds in found.items():
        for one in rounds:
            apart = (
                max(abs(a - b) for a, b in zip(one["answers"], mine[0]["answers"], strict=True) if a is not None)
                if one["answers"][0]
                else 0
            )
            if apart > 1e-6:
                raise SystemExit(f"{name} answers other than sampan, by {apart}")
        p50, p99, cpu = _figures(rounds)
        say(f"{name:<28}{p50:>10.0f}{p99:>10.0f}{cpu:>10.0f}{p50 / own_p50:>12.1f}{p99 / own_p99:>12.1f}{cpu / own_cpu:>12.1f}\n")


def _figures(rounds: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Return p50 and p99 of all requests, and the median CPU of a row."""
    us = sorted(one for each in rounds for one in each["us"])
    return us[len(us) // 2], us[len(us) * 99 // 100], statistics.median(each["cpu_us"] for each in rounds)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
