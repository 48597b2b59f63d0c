"""Goals through the real MLflow client, beside MLflow's own server: log_metric at least 3x, search and history 2x less wall time.

    python benchmarks/mlflow_client.py --peer-python mlflow=/envs/mlflow/bin/python

Both servers run on loopback, MLflow's with SQLite and one worker; the client is the same process for both, in turns. The client's own
cost is in both figures, so a server that did nothing would reach about 5x. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

GOALS = {"log_metric": 3.0, "search": 2.0, "history": 2.0}
CLIENT = """
import json, os, sys, time
os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
import mlflow
from mlflow.entities import Metric
n_calls, n_runs, n_points = 300, 200, 20000
clients, found = {}, {}
for name, address in json.loads(sys.argv[1]).items():
    client = mlflow.MlflowClient(address)
    experiment = client.create_experiment("bench")
    for number in range(n_runs):
        run = client.create_run(experiment).info.run_id
        metrics = [Metric(f"m{k}", float(number * (k + 1) % 97), 1, 0) for k in range(10)]
        client.log_batch(run, metrics=metrics)
    long = client.create_run(experiment).info.run_id
    for start in range(0, n_points, 1000):
        client.log_batch(long, metrics=[Metric("loss", 1.0 / (1 + i), i, i) for i in range(start, start + 1000)])
    clients[name] = (client, experiment, client.create_run(experiment).info.run_id, long)
def timed(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
for round in range(3):
    for name, (client, experiment, run, long) in clients.items():
        def log():
            for i in range(n_calls):
                client.log_metric(run, "loss", 0.5, step=round * n_calls + i)
        jobs = {
            "log_metric": lambda: log(),
            "search": lambda: client.search_runs([experiment], "metrics.m3 > 40", order_by=["metrics.m5 DESC"], max_results=100),
            "history": lambda: client.get_metric_history(long, "loss"),
        }
        for job, call in jobs.items():
            found.setdefault(job, {}).setdefault(name, []).append(timed(call))
points = {name: len(client.get_metric_history(long, "loss")) for name, (client, _, _, long) in clients.items()}
print("FOUND " + json.dumps({"times": found, "points": points, "version": mlflow.__version__}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, metavar="mlflow=PYTHON")
    peer = Path(parser.parse_args().peer_python.partition("=")[2])
    ports = [free_port(), free_port()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        theirs = [peer.with_name("mlflow"), "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
        servers = {
            "sampan": ([sys.executable, "-m", "sampan", "ui", "--port", str(ports[0])], ports[0]),
            "mlflow": (
                [*theirs, "--host", "127.0.0.1", "--port", str(ports[1]), "--artifacts-destination", str(folder / "files")],
                ports[1],
            ),
        }
        running = [subprocess.Popen(c, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for c, _ in servers.values()]
        try:
            addresses = {server: f"http://127.0.0.1:{port}" for server, (_, port) in servers.items()}
            for address in addresses.values():
                wait_for(address)
            done = subprocess.run([peer, "-c", CLIENT, json.dumps(addresses)], capture_output=True, text=True, cwd=folder)
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(30)
    line = next((line for line in done.stdout.splitlines() if line.startswith("FOUND ")), "")
    if not line:
        print(done.stderr[-2000:])
        return 1
    found = json.loads(line.removeprefix("FOUND "))
    print(f"mlflow {found['version']}, points found: {found['points']}")
    missed = 0
    for job, times in found["times"].items():
        ours, other = (statistics.median(times[server]) for server in ("sampan", "mlflow"))
        ratio = other / ours
        missed += ratio < GOALS[job]
        word = "reached" if ratio >= GOALS[job] else "MISSED "
        print(
            f"{word} {job:<11} sampan {ours * 1000:9.1f} ms   mlflow {other * 1000:9.1f} ms   {ratio:5.1f}x, goal: at least {GOALS[job]:g}x"
        )
    return 1 if missed else 0


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def wait_for(address: str) -> None:
    """Wait until a server answers."""
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2)
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(address)


if __name__ == "__main__":
    sys.exit(main())
