"""A server under load while everything goes wrong: swaps, kill -9, hostile clients, and models that throw, hang or eat memory.

Each second a swap; now and then a worker is killed with -9; all the time slow clients, half-sent bodies, oversize and malformed requests,
and beside the model that is asked another one that throws, hangs or eats memory.

    python benchmarks/serve_chaos.py [--seconds 600] [--kill-every 20] [--json]

Clients ask at 80 % of what they get when nothing else happens. Each answer is compared with what the version it names must answer, row by
row and id by id. A request whose connection a killed worker closed is asked again; any other that gets no answer is lost. At the end the
prediction log must hold each answered row once, but for those answered in the second before a kill (what is written every fifth of a second
survives it). Exit code 0 if nothing was lost or mixed up and memory stayed flat.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import random
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "workspace"))

from small_package import WEIGHTS, add_package, draw_orders, requests_of, true_chances
from wild_graphs import wild_graph

from sampan.errors import SampanError
from sampan.serving.records import predictions_stream
from sampan.workspace.services import process
from sampan.workspace.workspace import Workspace

STEADY, WILD = "orders-late", "wild"
VERSIONS = {f"{STEADY}@v1": WEIGHTS, f"{STEADY}@v2": (-0.5, 2.0, 0.0)}
ROWS = requests_of(draw_orders(500, first=0, day=0, rng=np.random.default_rng(1)))
CHANCES = {
    version: [float(true_chances(np.array(r["x1"]), np.array(r["x2"]), weights)) for r in ROWS] for version, weights in VERSIONS.items()
}
THROWS, HANGS, EATS = 20.0, 30.0, 40.0  # x1 of a row that sets the wild model off
LOAD = 0.8
UNWRITTEN_S = 2.5  # before a kill: an answer younger than that may not be in the log, which gathers for 2 s at most
READ_LATE_S = 0.5  # what was sent before a kill may be read after it
CONFIG = """[serving]
workers = 2
timeout_s = 5.0
body_mb = 1
worker_memory_mb = 1200
"""


@dataclass
class Found:
    """What the clients saw."""

    answered: int = 0
    mixed_up: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    cut_by_kill: int = 0
    sent_away: int = 0  # 503 with Retry-After, asked again
    wild: Counter[str] = field(default_factory=Counter)
    hostile: Counter[str] = field(default_factory=Counter)
    swaps: int = 0
    swap_faults: list[str] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)  # also those by the server itself, of a worker that says nothing
    killed_by_server: int = 0
    relieved: list[float] = field(default_factory=list)  # workers that were asked to end, since calls of a model did not
    closed_at_relief: int = 0
    latencies: list[float] = field(default_factory=list)
    ids: dict[str, float] = field(default_factory=dict)  # answered row -> when
    memory_mb: list[tuple[float, float]] = field(default_factory=list)  # when, the largest worker


class Chaos:
    """One run."""

    def __init__(self, ws: Workspace, *, seconds: float, kill_every: float, clients: int) -> None:
        self.ws = ws
        self.seconds = seconds
        self.kill_every = kill_every
        self.n_clients = clients
        self.found = Found()
        self.ended = threading.Event()
        live = ws.service.running(STEADY)
        assert live is not None
        self.live = live
        self.files = process.ServiceFiles(ws.store_folder, process.EVERY)
        self.lock = threading.Lock()

    def run(self) -> None:
        """Measure the capacity in peace, then let everything go wrong."""
        peace = self._capacity(min(3.0, self.seconds / 5))
        pause = self.n_clients / (peace * LOAD) if peace else 0.0
        # Slow parts of a client's round are made up for, so that the load is kept.
        work: list[Callable[[], None]] = [lambda i=i: self._steady(i, pause) for i in range(self.n_clients)]  # type: ignore[misc]
        work += [self._swap, self._kill, self._wild, self._slow, self._half_sent, self._malformed, self._watch_memory, self._watch_workers]
        threads = [threading.Thread(target=one, daemon=True) for one in work]
        for thread in threads:
            thread.start()
        time.sleep(self.seconds)
        self.ended.set()
        for thread in threads:
            thread.join(30)
        self.found.hostile["requests/s in peace"] = round(peace)

    # -- the clients that must not notice -----------------------------------------------------------------------------------------

    def _capacity(self, seconds: float) -> float:
        until = time.monotonic() + seconds
        counts = [0] * self.n_clients

        def ask(index: int) -> None:
            connection = self._connect()
            while time.monotonic() < until:
                self._ask(connection, index, counts[index])
                counts[index] += 1
            connection.close()

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(self.n_clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / seconds

    def _steady(self, index: int, pause: float) -> None:
        connection = self._connect()
        due = time.monotonic()
        for number in itertools.count(1_000_000):
            if self.ended.is_set():
                break
            due = max(due + pause, time.monotonic() - 1)
            if (early := due - time.monotonic()) > 0:
                time.sleep(early)
            for attempt in range(40):
                try:
                    begun = time.monotonic()
                    if self._ask(connection, index, number):
                        self.found.latencies.append(time.monotonic() - begun)
                        break
                except (OSError, http.client.HTTPException, json.JSONDecodeError) as cause:
                    connection.close()
                    connection = self._connect(attempt)
                    self._account(cause, begun)
            else:
                self.found.lost.append(f"{index}-{number} was never answered")
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, index: int, number: int) -> bool:
        """Ask for three rows; False where the server sent the request away."""
        places = [(number * 3 + i) % len(ROWS) for i in range(3)]
        rows = [{**ROWS[place], "order": index * 100_000_000 + number * 3 + i} for i, place in enumerate(places)]
        ids = [f"{index}-{number}-{i}-{random.getrandbits(32):x}" for i in range(3)]
        connection.request("POST", f"/services/{STEADY}/predict", json.dumps({"rows": rows, "ids": ids}))
        answer = connection.getresponse()
        body = json.loads(answer.read())
        if answer.status == 503:
            self.found.sent_away += 1
            time.sleep(0.05)
            return False
        if answer.status != 200:
            self.found.lost.append(f"{answer.status} {body}")
            return True
        now = time.time()
        for given, place, prediction in zip(ids, places, body["predictions"], strict=True):
            right = CHANCES[prediction["version"]][place]
            if prediction["id"] != given or abs(prediction["score"] - right) > 1e-5:
                self.found.mixed_up.append(f"asked {given}, {right}; got {prediction}")
        with self.lock:
            self.found.answered += 1
            self.found.ids.update(dict.fromkeys(ids, now))
        return True

    def _account(self, cause: Exception, begun: float) -> None:
        """Say whose fault a cut connection is: a kill's, if there was one since the request began, or just before it noticed."""
        time.sleep(0.02)  # the one who kills notes it right after
        if any(begun - 1.0 <= when <= time.monotonic() for when in self.found.kills):
            self.found.cut_by_kill += 1
        elif any(begun - 3.0 <= when <= time.monotonic() for when in self.found.relieved):
            # A worker that ends closes connections which are idle; a request that crosses with that is asked again by any HTTP client.
            self.found.closed_at_relief += 1
        else:
            self.found.lost.append(f"{type(cause).__name__}: {cause}")

    def _connect(self, attempt: int = 0) -> http.client.HTTPConnection:
        if attempt:
            time.sleep(min(0.05 * attempt, 0.5))
        return http.client.HTTPConnection(self.live.host, self.live.port, timeout=20)

    # -- what goes wrong ----------------------------------------------------------------------------------------------------------

    def _swap(self) -> None:
        acts: Iterator[Callable[[], object]] = itertools.cycle(
            [
                lambda: self.ws.service.deploy(f"{STEADY}@v2", STEADY),
                lambda: self.ws.service.canary(f"{STEADY}@v1", STEADY, share=0.3),
                lambda: self.ws.service.promote(STEADY),
                lambda: self.ws.service.shadow(f"{STEADY}@v2", STEADY),
                lambda: self.ws.service.withdraw(STEADY, "shadow"),
            ]
        )
        while not self.ended.wait(1.0):
            try:
                next(acts)()
                self.found.swaps += 1
            except SampanError as cause:
                self.found.swap_faults.append(str(cause))

    def _kill(self) -> None:
        while not self.ended.wait(self.kill_every):
            workers = [one.pid for one in process.processes(self.files, self.live) if one.worker is not None]
            if len(workers) < 2:
                continue  # one is being replaced
            with suppress(ProcessLookupError):
                os.kill(random.choice(workers), signal.SIGKILL)
                self.found.kills.append(time.monotonic())

    def _watch_workers(self) -> None:
        """Notice workers that the server itself killed: nothing was heard of them. Those that it relieved ended by themselves."""
        found, relieved = self.found, 0
        while not self.ended.wait(0.05):
            log = self.files.log.read_text(errors="replace")
            if (told := log.count("says nothing for")) > found.killed_by_server:
                found.kills.append(time.monotonic())
                found.killed_by_server = told
            if (told := log.count("do not end, and is replaced")) > relieved:
                found.relieved.append(time.monotonic())
                relieved = told

    def _wild(self) -> None:
        """Ask the wild model for what it cannot do; its neighbors are asked by others meanwhile."""
        trouble = itertools.cycle([0.0, THROWS, 0.0, HANGS, 0.0, EATS])
        while not self.ended.wait(0.7):
            x1 = next(trouble)
            name = {0.0: "good", THROWS: "throws", HANGS: "hangs", EATS: "eats"}[x1]
            try:
                connection = http.client.HTTPConnection(self.live.host, self.live.port, timeout=10)
                body = json.dumps({**ROWS[0], "x1": x1})
                connection.request("POST", f"/services/{WILD}/predict", body, {"x-request-timeout-ms": "500"})
                self.found.wild[f"{name} {connection.getresponse().status}"] += 1
                connection.close()
            except (OSError, http.client.HTTPException):
                self.found.wild[f"{name} cut"] += 1

    def _slow(self) -> None:
        request = f"POST /services/{STEADY}/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 400\r\n\r\n{{".encode()
        with self._sockets() as sockets:
            while not self.ended.wait(0.2):
                while len(sockets) < 20:
                    sockets.append((socket.create_connection((self.live.host, self.live.port), timeout=5), 0))
                    self.found.hostile["slow clients"] += 1
                still = []
                for one, sent in sockets:
                    try:
                        one.sendall(request[sent : sent + 1] or b" ")
                        still.append((one, sent + 1))
                    except OSError:
                        one.close()
                sockets[:] = still

    @contextmanager
    def _sockets(self) -> Iterator[list[tuple[socket.socket, int]]]:
        sockets: list[tuple[socket.socket, int]] = []
        try:
            yield sockets
        finally:
            for one, _ in sockets:
                one.close()

    def _half_sent(self) -> None:
        whole = json.dumps({"rows": ROWS[:5]}).encode()
        head = f"POST /services/{STEADY}/predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(whole)}\r\n\r\n".encode()
        while not self.ended.wait(0.1):
            with suppress(OSError), socket.create_connection((self.live.host, self.live.port), timeout=5) as one:
                one.sendall(head + whole[: random.randrange(len(whole))])
                self.found.hostile["half-sent bodies"] += 1

    def _malformed(self) -> None:
        bodies = itertools.cycle([b"", b"{", b"[1,2]", b'{"rows": []}', b'{"rows": [{"order": "x"}]}', os.urandom(64), b"9" * (2 << 20)])
        while not self.ended.wait(0.05):
            body = next(bodies)
            try:
                connection = http.client.HTTPConnection(self.live.host, self.live.port, timeout=10)
                connection.request("POST", f"/services/{STEADY}/predict", body)
                answer = connection.getresponse()
                told = json.loads(answer.read())
                self.found.hostile[f"{answer.status} {told.get('code', '')}"] += 1
                connection.close()
            except (OSError, http.client.HTTPException):
                self.found.hostile["cut"] += 1

    def _watch_memory(self) -> None:
        while not self.ended.wait(0.5):
            sizes = [
                int(Path(f"/proc/{one.pid}/statm").read_text().split()[1]) * 4096 / 2**20
                for one in process.processes(self.files, self.live)
                if Path(f"/proc/{one.pid}").exists()
            ]
            if sizes:
                self.found.memory_mb.append((time.monotonic(), max(sizes)))


def verdict(chaos: Chaos, logged: Counter[str]) -> dict[str, Any]:
    """Sum up a run; `faults` is empty if it held."""
    found = chaos.found
    kills = [when - time.monotonic() + time.time() for when in found.kills]
    missing = [
        one for one, when in found.ids.items() if one not in logged and not any(-READ_LATE_S <= kill - when < UNWRITTEN_S for kill in kills)
    ]
    early = [
        min((kill - found.ids[one] for kill in kills if kill > found.ids[one] - READ_LATE_S), default=-1.0)
        for one in found.ids
        if one not in logged
    ]
    twice = [one for one in found.ids if logged[one] > 1]
    halves = np.array_split(np.array([size for _, size in found.memory_mb]), 3) if found.memory_mb else []
    flat = statistics.median(halves[2]) / statistics.median(halves[1]) if len(found.memory_mb) > 6 else 1.0
    latencies = sorted(found.latencies)
    faults = [f"mixed up: {one}" for one in found.mixed_up[:5]] + [f"lost: {one}" for one in found.lost[:5]]
    faults += [f"{len(missing)} answered rows are not in the log, e.g. {missing[0]}"] if missing else []
    faults += [f"{len(twice)} rows are logged twice"] if twice else []
    faults += [f"memory grew {flat:.2f} times"] if flat > 1.15 else []
    return {
        "seconds": chaos.seconds,
        "answered": found.answered,
        "requests_s": round(found.answered / chaos.seconds),
        "p50_ms": latencies[len(latencies) // 2] * 1e3 if latencies else None,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3 if latencies else None,
        "mixed_up": len(found.mixed_up),
        "lost": len(found.lost),
        "cut_by_kill_and_asked_again": found.cut_by_kill,
        "sent_away_and_asked_again": found.sent_away,
        "swaps": found.swaps,
        "swaps_refused": Counter(found.swap_faults),  # nothing answered just then, or the act made no sense after one that was refused
        "kills": len(found.kills) - found.killed_by_server,
        "killed_by_the_server": found.killed_by_server,
        "relieved_by_the_server": len(found.relieved),
        "closed_at_relief_and_asked_again": found.closed_at_relief,
        "not_logged_by_kill": sum(one not in logged for one in found.ids) - len(missing),
        "answered_at_most_s_before_the_kill": max(early, default=0.0),
        "wild": dict(found.wild),
        "hostile": dict(found.hostile),
        "largest_worker_mb": max((size for _, size in found.memory_mb), default=0.0),
        "memory_last_third_over_middle": flat,
        "faults": faults,
    }


@contextmanager
def serving(root: Path) -> Iterator[Workspace]:
    """Make a project of a steady and a wild service, and serve both by one server."""
    (root / "sampan.toml").write_text(CONFIG)
    with Workspace.open(root) as ws:
        for number, weights in enumerate(VERSIONS.values()):
            add_package(ws, root / f"steady-{number}", weights=weights)
        graph = wild_graph(WEIGHTS, throws_at=THROWS - 1, hangs_at=HANGS - 1, eats_at=EATS - 1)
        add_package(ws, root / "wild", name=WILD, graph=graph)
        files = process.ServiceFiles(ws.store_folder, process.EVERY)
        for name in (STEADY, WILD):
            ws.service.deploy(f"{name}@v1", name, start=False)
        process.start(files, [sys.executable, "-m", "sampan", "serve", "--all", "--project", str(root)])
        try:
            yield ws
        finally:
            if (live := process.find(files)) is not None:
                process.stop(files, live)


def main() -> int:
    """Run, print, and say by the exit code whether it held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--kill-every", type=float, default=20.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with serving(root) as ws:
            chaos = Chaos(ws, seconds=given.seconds, kill_every=given.kill_every, clients=given.clients)
            chaos.run()
        logged: Counter[str] = Counter()
        with Workspace.open(root) as ws:
            for stream in ws.store.segments.streams():
                if stream.startswith(predictions_stream(STEADY, "")):
                    table, _ = ws.store.segments.read(stream)
                    answered = table.filter(np.isin(np.array(table["role"].to_pylist()), ("live", "canary"))) if table.num_rows else table
                    logged.update(answered["id"].to_pylist() if answered.num_rows else [])
        told = verdict(chaos, logged)
    print(json.dumps(told) if given.json else json.dumps(told, indent=2))
    return 1 if told["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
