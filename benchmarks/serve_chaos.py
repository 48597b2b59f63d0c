"""A server under load while everything goes wrong: swaps, kill -9, hostile clients, and models that throw, hang or eat memory.

Each second a swap; now and then a worker is killed with -9; all the time slow clients, half-sent bodies, oversize and malformed requests,
and beside the model that is asked three others, of which one throws, one hangs and one eats memory.

    python benchmarks/serve_chaos.py [--seconds 600] [--kill-every 20] [--unwritten-s 0.5] [--json]

Clients ask at 80 % of what they get when nothing else happens. Each answer is compared with what the version it names must answer, row by
row and id by id. What is excused, and nothing else:

    a connection that was cut       if a worker was killed after the last request that it answered over it was sent: asked again
    a row that is not in the log    if its worker was killed, wrote no later row of that version, and was sent it --unwritten-s before

Which worker answered is known by the connection. Exit code 0 if nothing else was lost, nothing mixed up, and memory stayed flat.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import math
import os
import random
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "workspace"))

from small_package import WEIGHTS, add_package, draw_orders, requests_of, true_chances
from wild_graphs import wild_graph

from sampan.errors import SampanError
from sampan.serving.records import predictions_stream
from sampan.workspace.services import process
from sampan.workspace.services.process import Liveness
from sampan.workspace.workspace import Workspace

STEADY = "orders-late"
VERSIONS = {f"{STEADY}@v1": WEIGHTS, f"{STEADY}@v2": (-0.5, 2.0, 0.0)}
ROWS = requests_of(draw_orders(500, first=0, day=0, rng=np.random.default_rng(1)))
CHANCES = {
    version: [float(true_chances(np.array(r["x1"]), np.array(r["x2"]), weights)) for r in ROWS] for version, weights in VERSIONS.items()
}
WILD = {"throws": 20.0, "hangs": 30.0, "eats": 40.0}  # a model by what it does, and the x1 of a row that makes it do so
LOAD = 0.8
PATIENCE_S = 120.0  # for the first answer, kill and swaps, where a machine is busy
UNWRITTEN_S = 0.5  # before a kill: a fifth of a second, and what laying out and writing the rows of that fifth takes, twice
JUDGED_S = 120.0  # how long a run has to be for its memory to be judged
KILL_S = 1.0  # from what the server says of a kill to the kill
CONFIG = """[serving]
workers = 2
timeout_s = 5.0
body_mb = 1
worker_memory_mb = 1200
"""


class Asked(NamedTuple):
    """A request that was answered."""

    when: float  # it was sent
    life: int  # of the connection: as long as it lives, one worker answers
    versions: tuple[str, ...]  # of its rows


class Cut(NamedTuple):
    """A connection that ended without an answer."""

    life: int
    alive: float  # when the last that was answered over it was sent, or when it was opened: its worker lived then
    seen: float
    cause: str


@dataclass
class Found:
    """What the clients saw."""

    asked: dict[str, Asked] = field(default_factory=dict)  # by the ids of its rows, without what tells them apart
    mixed_up: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    cut: list[Cut] = field(default_factory=list)
    sent_away: int = 0  # 503 with Retry-After, asked again
    wild: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in WILD})
    hostile: Counter[str] = field(default_factory=Counter)
    capacity: float = 0.0
    swaps: int = 0
    swap_faults: list[str] = field(default_factory=list)
    kills: list[tuple[float, float]] = field(default_factory=list)  # from when to when it may have come
    latencies: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)  # of the largest worker


class Line:
    """A client's connection: which one, and since when nothing says that its worker lives."""

    numbers = itertools.count()

    def __init__(self, live: Liveness) -> None:
        self.life = next(self.numbers)
        self.alive = time.time()
        self.connection = http.client.HTTPConnection(live.host, live.port, timeout=20)


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

    def run(self) -> None:
        """Measure the capacity in peace, then let everything go wrong."""
        self.found.capacity = peace = self._capacity(min(3.0, self.seconds / 5))
        pause = self.n_clients / (peace * LOAD) if peace else 0.0
        # Slow parts of a client's round are made up for, so that the load is kept.
        work: list[Callable[[], None]] = [lambda i=i: self._steady(i, pause) for i in range(self.n_clients)]  # type: ignore[misc]
        work += [lambda name=name: self._wild(name) for name in WILD]  # type: ignore[misc]
        work += [self._swap, self._kill, self._slow, self._half_sent, self._malformed, self._watch_memory]
        threads = [threading.Thread(target=one, daemon=True) for one in work]
        for thread in threads:
            thread.start()
        time.sleep(self.seconds)
        # Of a short run on a busy machine something may not have come yet.
        until = time.monotonic() + PATIENCE_S
        while not (self.found.asked and self.found.kills and self.found.swaps > 1) and time.monotonic() < until:
            time.sleep(0.1)
        self.ended.set()
        for thread in threads:
            thread.join(30)

    # -- the clients that must not notice -----------------------------------------------------------------------------------------

    def _capacity(self, seconds: float) -> float:
        until = time.monotonic() + seconds
        counts = [0] * self.n_clients

        def ask(index: int) -> None:
            line = Line(self.live)
            while time.monotonic() < until:
                self._ask(line, index, counts[index])
                counts[index] += 1
            line.connection.close()

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(self.n_clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / seconds

    def _steady(self, index: int, pause: float) -> None:
        line = Line(self.live)
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
                    if self._ask(line, index, number):
                        self.found.latencies.append(time.monotonic() - begun)
                        break
                except (OSError, http.client.HTTPException, json.JSONDecodeError) as cause:
                    self.found.cut.append(Cut(line.life, line.alive, time.time(), f"{type(cause).__name__}: {cause}"))
                    line.connection.close()
                    time.sleep(min(0.05 * attempt, 0.5))
                    line = Line(self.live)
            else:
                self.found.lost.append(f"{index}-{number} was never answered")
        line.connection.close()

    def _ask(self, line: Line, index: int, number: int) -> bool:
        """Ask for three rows; False where the server sent the request away."""
        places = [(number * 3 + i) % len(ROWS) for i in range(3)]
        rows = [{**ROWS[place], "order": index * 100_000_000 + number * 3 + i} for i, place in enumerate(places)]
        name = f"{index}-{number}-{random.getrandbits(32):x}"
        ids = [f"{name}-{i}" for i in range(3)]
        if line.connection.sock is None:  # the last answer said that the connection ends
            line.life, line.alive = next(Line.numbers), time.time()
        sent = time.time()
        line.connection.request("POST", f"/services/{STEADY}/predict", json.dumps({"rows": rows, "ids": ids}))
        answer = line.connection.getresponse()
        body = json.loads(answer.read())
        line.alive = sent
        if answer.status == 503:
            self.found.sent_away += 1
            time.sleep(0.05)
            return False
        if answer.status != 200:
            self.found.lost.append(f"{answer.status} {body}")
            return True
        for given, place, prediction in zip(ids, places, body["predictions"], strict=True):
            right = CHANCES[prediction["version"]][place]
            if prediction["id"] != given or abs(prediction["score"] - right) > 1e-5:
                self.found.mixed_up.append(f"asked {given}, {right}; got {prediction}")
        self.found.asked[name] = Asked(sent, line.life, tuple(sys.intern(one["version"]) for one in body["predictions"]))
        return True

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
            before = time.time()
            with suppress(ProcessLookupError):
                os.kill(random.choice(workers), signal.SIGKILL)
                self.found.kills.append((before, time.time()))

    def _wild(self, name: str) -> None:
        """Ask a wild model for what it can do, and for what it cannot; the others are asked meanwhile."""
        seen = self.found.wild[name]
        for x1 in itertools.cycle([0.0, WILD[name]]):
            if self.ended.wait(1.0):
                break
            try:
                connection = http.client.HTTPConnection(self.live.host, self.live.port, timeout=10)
                body = json.dumps({**ROWS[0], "x1": x1})
                connection.request("POST", f"/services/{name}/predict", body, {"x-request-timeout-ms": "800"})
                seen[f"{'asked to' if x1 else 'good'} {connection.getresponse().status}"] += 1
                connection.close()
            except (OSError, http.client.HTTPException):
                seen["cut"] += 1

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
                self.found.memory_mb.append(max(sizes))


class ServerLog(NamedTuple):
    """What the server says that it did to its workers: moments."""

    killed: list[float]  # nothing was heard of them
    relieved: list[float]

    @classmethod
    def read(cls, lines: Sequence[str]) -> ServerLog:
        """Read a server's log."""
        found = cls([], [])
        for line in lines:
            if line.endswith("is replaced"):
                when = datetime.fromisoformat(line.split(" ", 1)[0]).timestamp()
                (found.killed if "says nothing for" in line else found.relieved).append(when)
        return found


def verdict(chaos: Chaos, log: ServerLog, logged: Counter[str], *, unwritten_s: float) -> dict[str, Any]:
    """Sum up a run; `faults` is empty if it held."""
    found = chaos.found
    kills = [*found.kills, *((when, when + KILL_S) for when in log.killed)]
    excused = [one for one in found.cut if any(before <= one.seen and after >= one.alive for before, after in kills)]
    unexplained = [one for one in found.cut if one not in excused]
    missing, oldest_s = _missing(found, logged, kills=kills, killed={one.life for one in excused}, unwritten_s=unwritten_s)
    n_rows = sum(len(asked.versions) for asked in found.asked.values())
    n_logged = sum(f"{name}-{i}" in logged for name, asked in found.asked.items() for i in range(len(asked.versions)))
    twice = [one for one, n in logged.items() if n > 1]
    thirds = np.array_split(np.array(found.memory_mb), 3)
    # In seconds a model that eats, and a worker killed before or after it, decide which third is high: only minutes tell growth.
    flat = statistics.median(thirds[2]) / statistics.median(thirds[1]) if chaos.seconds >= JUDGED_S else 1.0
    latencies = sorted(found.latencies)
    faults = [f"mixed up: {one}" for one in found.mixed_up[:5]] + [f"lost: {one}" for one in found.lost[:5]]
    faults += [f"cut: {one.cause}, {one.seen - one.alive:.2f} s after its worker was known to live" for one in unexplained[:5]]
    faults += [f"{len(missing)} answered rows are not in the log, e.g. {missing[0]}"] if missing else []
    faults += [f"{len(twice)} rows are logged twice"] if twice else []
    faults += [f"memory grew {flat:.2f} times"] if flat > 1.15 else []
    return {
        "seconds": chaos.seconds,
        "answered": len(found.asked),
        "requests_s": round(len(found.asked) / chaos.seconds),
        "requests_s_in_peace": round(found.capacity),
        "p50_ms": latencies[len(latencies) // 2] * 1e3 if latencies else None,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3 if latencies else None,
        "mixed_up": len(found.mixed_up),
        "lost": len(found.lost) + len(unexplained),
        "cut_by_kill_and_asked_again": len(excused),
        "sent_away_and_asked_again": found.sent_away,
        "swaps": found.swaps,
        "swaps_refused": Counter(found.swap_faults),  # nothing answered just then, or the act made no sense after one that was refused
        "kills": len(found.kills),
        "killed_by_the_server": len(log.killed),
        "relieved_by_the_server": len(log.relieved),
        "not_logged_by_kill": n_rows - n_logged - len(missing),
        "answered_at_most_s_before_the_kill": oldest_s,
        "wild": {name: dict(seen) for name, seen in found.wild.items()},
        "hostile": dict(found.hostile),
        "largest_worker_mb": max(found.memory_mb, default=0.0),
        "memory_last_third_over_middle": flat,
        "faults": faults,
    }


def _missing(
    found: Found, logged: Counter[str], *, kills: list[tuple[float, float]], killed: set[int], unwritten_s: float
) -> tuple[list[str], float]:
    """Return the rows whose absence no kill explains, and how long before its kill the oldest of the others was answered."""
    absent: list[tuple[str, Asked, str]] = []
    written: dict[tuple[int, str], float] = defaultdict(float)  # by connection and version: when the last row in the log was answered
    for name, asked in found.asked.items():
        for number, version in enumerate(asked.versions):
            if f"{name}-{number}" in logged:
                written[asked.life, version] = max(written[asked.life, version], asked.when)
            else:
                absent.append((f"{name}-{number}", asked, version))
    missing, oldest_s = [], 0.0
    for row, asked, version in absent:
        age_s = min((after - asked.when for _, after in kills if after > asked.when), default=math.inf)
        if asked.life not in killed or written[asked.life, version] > asked.when or age_s > unwritten_s:
            missing.append(f"{row}, {age_s:.2f} s before a kill")
        else:
            oldest_s = max(oldest_s, age_s)
    return missing, oldest_s


@contextmanager
def serving(root: Path) -> Iterator[Workspace]:
    """Make a project of a steady and a wild service, and serve both by one server."""
    (root / "sampan.toml").write_text(CONFIG)
    with Workspace.open(root) as ws:
        for number, weights in enumerate(VERSIONS.values()):
            add_package(ws, root / f"steady-{number}", weights=weights)
        for name, x1 in WILD.items():
            add_package(ws, root / name, name=name, graph=wild_graph(WEIGHTS, **{f"{name}_at": x1 - 1}))  # type: ignore[arg-type]
        files = process.ServiceFiles(ws.store_folder, process.EVERY)
        for name in (STEADY, *WILD):
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
    parser.add_argument("--unwritten-s", type=float, default=UNWRITTEN_S, help="how long before a kill an answer may miss in the log")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with serving(root) as ws:
            chaos = Chaos(ws, seconds=given.seconds, kill_every=given.kill_every, clients=given.clients)
            chaos.run()
        words = chaos.files.log.read_text(errors="replace").splitlines()
        logged: Counter[str] = Counter()
        with Workspace.open(root) as ws:
            for stream in ws.store.segments.streams():
                if stream.startswith(predictions_stream(STEADY, "")):
                    table, _ = ws.store.segments.read(stream)
                    answered = table.filter(np.isin(np.array(table["role"].to_pylist()), ("live", "canary"))) if table.num_rows else table
                    logged.update(answered["id"].to_pylist() if answered.num_rows else [])
        told = verdict(chaos, ServerLog.read(words), logged, unwritten_s=given.unwritten_s)
    if told["faults"]:
        sys.stderr.write("\n".join(line for line in words if " failed on a request" not in line) + "\n")
    print(json.dumps(told) if given.json else json.dumps(told, indent=2))
    return 1 if told["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
