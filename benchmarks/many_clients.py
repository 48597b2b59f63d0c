"""Thirty-two clients at once on one server, for five minutes: how many requests it answers, how long they wait, whether anything is lost.

    python benchmarks/many_clients.py [SECONDS] [CLIENTS]

Each client speaks MLflow's protocol over its own connection: it begins a run, logs a hundred points in batches of ten, a parameter, a tag,
searches, and ends the run, again and again. Every answer is checked; at the end every run, parameter, tag and point is counted again.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from sampan.workspace.workspace import Workspace

API = "/api/2.0/mlflow"
BATCHES, POINTS = 10, 10


class Client(threading.Thread):
    """One client; it remembers what was acknowledged, and how long each request took."""

    def __init__(self, port: int, number: int, until: float) -> None:
        super().__init__(name=f"client {number}")
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._number, self._until = number, until
        self.waits: list[float] = []
        self.faults: Counter[str] = Counter()
        self.runs: dict[str, int] = {}  # run -> points that were acknowledged

    def run(self) -> None:
        """Work until the time is over; a run that was begun is ended."""
        while time.monotonic() < self._until:
            told = self._ask("POST", "runs/create", {"experiment_id": "0", "run_name": f"{self._number}"})
            run = told["run"]["info"]["run_id"]
            self.runs[run] = 0
            self._ask("POST", "runs/log-parameter", {"run_id": run, "key": "client", "value": str(self._number)})
            self._ask("POST", "runs/set-tag", {"run_id": run, "key": "kind", "value": "load"})
            for batch in range(BATCHES):
                steps = range(batch * POINTS, (batch + 1) * POINTS)
                points = [{"key": "loss", "value": 1 / (step + 1), "step": step, "timestamp": step} for step in steps]
                self._ask("POST", "runs/log-batch", {"run_id": run, "metrics": points})
                self.runs[run] += POINTS
            self._ask("POST", "runs/search", {"experiment_ids": ["0"], "filter": f"params.client = '{self._number}'", "max_results": 5})
            self._ask("POST", "runs/update", {"run_id": run, "status": "FINISHED"})

    def _ask(self, method: str, path: str, body: dict[str, Any]) -> Any:
        began = time.perf_counter()
        self._connection.request(method, f"{API}/{path}", json.dumps(body), {"content-type": "application/json"})
        answer = self._connection.getresponse()
        said = answer.read()
        self.waits.append(time.perf_counter() - began)
        if answer.status != 200:
            self.faults[f"{path}: {answer.status} {said[:120]!r}"] += 1
            raise RuntimeError(f"{path}: {answer.status} {said[:300]!r}")
        return json.loads(said)


def resident_mb(pid: int) -> float:
    """Return a process's resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Measure and print."""
    seconds, n_clients = (float(sys.argv[1]) if len(sys.argv) > 1 else 300.0), (int(sys.argv[2]) if len(sys.argv) > 2 else 32)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "sampan", "ui", "--port", "0", "--json"]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            port = json.loads(server.stdout.readline())["port"]
            clients = [Client(port, number, time.monotonic() + seconds) for number in range(n_clients)]
            for client in clients:
                client.start()
            memory = []
            while any(client.is_alive() for client in clients):
                memory.append(resident_mb(server.pid))
                time.sleep(1)
            for client in clients:
                client.join()
            server.terminate()
        report(clients, memory, seconds)
        check(Path(folder), clients)


def report(clients: list[Client], memory: list[float], seconds: float) -> None:
    """Print rates, waits and memory."""
    waits = sorted(wait for client in clients for wait in client.waits)
    faults = sum((client.faults for client in clients), Counter())
    shares = ", ".join(f"p{share * 100:g} {waits[int(share * (len(waits) - 1))] * 1000:.0f} ms" for share in (0.5, 0.95, 0.99, 1.0))
    quarter = memory[len(memory) // 4 :]
    print(f"{len(clients)} clients, {seconds:.0f} s: {len(waits) / seconds:.0f} requests/s, {shares}; faults: {dict(faults) or 'none'}")
    print(f"server's memory: {memory[0]:.0f} MB at first, {quarter[0]:.0f} MB after a quarter of the time, {memory[-1]:.0f} MB at the end")


def check(folder: Path, clients: list[Client]) -> None:
    """Count everything that was acknowledged."""
    expected = {run: n for client in clients for run, n in client.runs.items()}
    with Workspace.open(folder) as ws:
        ws.store.folding.fold_all()
        lost = [run for run, n in expected.items() if len(ws.catalog.metric_history(run, "loss").values) < n]
        states = Counter(ws.catalog.node(run).state for run in expected)
        untagged = [run for run in expected if ws.catalog.tags(run).get("kind") != "load" or "client" not in ws.catalog.params(run)]
        whole = ws.audit.verify().exit_code() == 0 and not ws.home.fsck().faults
    points = sum(expected.values())
    print(f"{len(expected):,} runs, {points:,} points acknowledged; runs with points lost: {len(lost)}; states {dict(states)};")
    print(f"without parameter or tag: {len(untagged)}; ledger and store {'whole' if whole else 'NOT WHOLE'}")
    if lost or untagged or not whole:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
