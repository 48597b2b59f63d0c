"""Swaps under load: what a client sees of a new version every quarter of a second, beside the same server in peace.

    python benchmarks/hot_swap.py [--seconds 20] [--clients 4]

Blocks with and without swaps alternate, so that a busy machine is busy for both. Each answer is compared with its version's. Exit code 0 if
no request was lost or wrong and the 99th percentile with swaps is at most twice that without.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "workspace"))

from small_package import WEIGHTS, add_package, draw_orders, requests_of, true_chances

from sampan.workspace.workspace import Workspace

NAME = "orders-late"
VERSIONS = {f"{NAME}@v1": WEIGHTS, f"{NAME}@v2": (-0.5, 2.0, 0.0)}
ROW = requests_of(draw_orders(1, first=0, day=0, rng=np.random.default_rng(1)))[0]
RIGHT = {v: float(true_chances(np.array(ROW["x1"]), np.array(ROW["x2"]), w)) for v, w in VERSIONS.items()}


class Client(threading.Thread):
    """Asks one row after another over one connection."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.swapping = False
        self.ended = False
        self.taken: dict[bool, list[float]] = {False: [], True: []}
        self.wrong: list[str] = []
        self.versions: set[str] = set()

    def run(self) -> None:
        """Ask until told to end."""
        body = json.dumps(ROW).encode()
        request = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        while not self.ended:
            swapping, begun = self.swapping, time.perf_counter()
            try:
                self.socket.sendall(request)
                head, _, told = self.socket.recv(65536).partition(b"\r\n\r\n")
                answer = json.loads(told)
            except (OSError, json.JSONDecodeError) as cause:
                self.wrong.append(repr(cause))
                return
            self.taken[swapping].append((time.perf_counter() - begun) * 1000)
            if b" 200 " not in head[:20] or abs(answer["score"] - RIGHT[answer["version"]]) > 1e-5:
                self.wrong.append(told.decode())
            self.versions.add(answer["version"])
            time.sleep(0.002)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, default=4)
    given = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", POLARS_MAX_THREADS="1")
    with tempfile.TemporaryDirectory() as folder, Workspace.open(folder) as ws:
        for number, weights in enumerate(VERSIONS.values()):
            add_package(ws, Path(folder) / f"package-{number}", weights=weights)
        ws.service.deploy(f"{NAME}@v1")
        live = ws.service.running(NAME)
        assert live is not None
        try:
            clients = [Client((live.host, live.port)) for _ in range(given.clients)]
            for client in clients:
                client.start()
            time.sleep(1)
            swaps, until = 0, time.monotonic() + given.seconds
            while time.monotonic() < until:
                for client in clients:
                    client.swapping = not client.swapping
                block = time.monotonic() + 2
                while time.monotonic() < block:
                    if clients[0].swapping:
                        swaps += 1
                        ws.service.deploy(f"{NAME}@v{1 + swaps % 2}", NAME)
                    time.sleep(0.25)
            for client in clients:
                client.ended = True
                client.join()
        finally:
            ws.service.stop(NAME)
    taken = {kind: sorted(one for client in clients for one in client.taken[kind]) for kind in (False, True)}
    wrong = [one for client in clients for one in client.wrong]
    p99 = {kind: taken[kind][int(len(taken[kind]) * 0.99)] for kind in taken}
    told = {
        "swaps": swaps,
        "requests": sum(map(len, taken.values())),
        "lost_or_wrong": len(wrong),
        "versions": len(set().union(*(client.versions for client in clients))),
        "p50_ms": {"peace": statistics.median(taken[False]), "swaps": statistics.median(taken[True])},
        "p99_ms": {"peace": p99[False], "swaps": p99[True], "ratio": p99[True] / p99[False]},
        "first": wrong[:3],
    }
    print(json.dumps(told, indent=2))
    return 0 if not wrong and p99[True] <= 2 * p99[False] else 1


if __name__ == "__main__":
    sys.exit(main())
