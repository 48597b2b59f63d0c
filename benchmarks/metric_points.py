"""Goal: one metric point logged, call by call, takes at most 1/50 of the wall time of MLflow on SQLite, and none is lost by kill -9.

    python benchmarks/metric_points.py --peer-python /envs/mlflow/bin/python

Ours logs 100,000 points a round through a journal, and the time holds opening, closing and folding into the tables. MLflow logs 1,000 a
round by `mlflow.log_metric`, after one that warms it up, and both are compared per point: MLflow's time is linear in their number, and
100,000 would take minutes. Importing and making the store are in neither. Rounds alternate. Then a process of each is killed after two
seconds of logging, and the points found are compared with those whose call had returned. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import mmap
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from side_by_side import Spent, Timing, environment, machine, run, summary, table, versions

N_OURS = 100_000
N_PEER = 1_000
FEWER_TIMES = 50.0
KILL_AFTER_S = 2.0
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONWARNINGS": "ignore"}
FOREVER = 10**9

Acknowledge = Callable[[int], object]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, help="the interpreter of an environment that has MLflow")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", nargs=3, metavar=("WHO", "FOLDER", "POINTS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write:
        who, folder, n = asked.write
        return write(who, Path(folder), int(n))

    pythons = {"sampan": Path(sys.executable), **({"mlflow": asked.peer_python} if asked.peer_python else {})}
    print(machine())
    print(*(versions(who, python=python) for who, python in pythons.items()), sep=", ")
    timings = time_in_turns(pythons, asked.rounds)
    print(table(list(timings.values()), unit="µs/point", scale=1e6))
    lost = {who: lost_by_kill(who, python) for who, python in pythons.items()}
    return report(timings, lost)


def time_in_turns(pythons: dict[str, Path], rounds: int) -> dict[str, Timing]:
    """Let each log its points in a process of its own, in turns; return times per point."""
    spent: dict[str, list[Spent]] = {who: [] for who in pythons}
    for _ in range(rounds):
        for who, python in pythons.items():
            n = N_OURS if who == "sampan" else N_PEER
            with tempfile.TemporaryDirectory() as folder:
                took = json.loads(run([python, __file__, "--write", who, folder, str(n)], env=QUIET).splitlines()[-1])
            spent[who].append(Spent(took["wall_s"] / n, took["cpu_s"] / n))
    return {who: summary(who, each) for who, each in spent.items()}


def lost_by_kill(who: str, python: Path) -> tuple[int, int]:
    """Kill a process that logs; return how many calls had returned, and how many points are there afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "errors").open("wb") as errors:
            process = subprocess.Popen(
                [str(python), __file__, "--write", who, name, str(FOREVER)], env=environment(QUIET), stdout=errors, stderr=errors
            )
            while not acknowledged(folder):
                if process.poll() is not None:
                    raise SystemExit((folder / "errors").read_text())
                time.sleep(0.05)
            time.sleep(KILL_AFTER_S)
            process.kill()
            process.wait()
        return acknowledged(folder), FOUND[who](folder)


def report(timings: dict[str, Timing], lost: dict[str, tuple[int, int]]) -> int:
    """Say which goals are reached; return the exit code."""
    goals = {}
    if "mlflow" in timings:
        ratio = timings["mlflow"].wall_s / timings["sampan"].wall_s
        goals[f"{ratio:,.0f}x less wall time than MLflow, goal: at least {FEWER_TIMES:g}x"] = ratio >= FEWER_TIMES
    for who, (acked, found) in lost.items():
        said = f"{who}, killed: {acked:,} calls had returned, {found:,} points found, {max(acked - found, 0):,} lost"
        if who == "sampan":
            goals[said] = found >= acked
        else:
            print(f"         {said}")
    for said, holds in goals.items():
        print(("reached  " if holds else "MISSED   ") + said)
    return 0 if all(goals.values()) else 1


def write(who: str, folder: Path, n: int) -> int:
    """Log points in this process and print what it took. Runs in either environment."""
    counts = folder / "acknowledged"
    counts.write_bytes(bytes(8))
    with counts.open("r+b") as file, mmap.mmap(file.fileno(), 8) as count:
        # Only the process that will be killed counts its calls, so that the timed one does nothing else.
        acknowledge = (lambda i: struct.pack_into("<Q", count, 0, i + 1)) if n == FOREVER else None
        spent = WRITERS[who](folder, n, acknowledge)
    print(json.dumps({"wall_s": spent.wall_s, "cpu_s": spent.cpu_s}))
    return 0


def write_ours(folder: Path, n: int, acknowledge: Acknowledge | None) -> Spent:
    from sampan.core.events import RunStarted, new_id
    from sampan.ledger import Ledger
    from sampan.store import Store

    with Store.open(folder / "store") as store:
        ledger, run_id = Ledger(store, actor="benchmark"), new_id()
        ledger.append(RunStarted(node=run_id, experiment="points", title="", started=0))
        wall, cpu = time.perf_counter(), time.process_time()
        with store.journals.open(run_id) as journal:
            log = journal.log
            for i in range(n):
                log("loss", i * 0.5, step=i, at=time.time_ns() // 1_000_000)
                if acknowledge:
                    acknowledge(i)
        ledger.fold(run_id)
        return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def write_theirs(folder: Path, n: int, acknowledge: Acknowledge | None) -> Spent:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("points")
    with mlflow.start_run():
        mlflow.log_metric("warm", 0.0, step=0)
        wall, cpu = time.perf_counter(), time.process_time()
        for i in range(n):
            mlflow.log_metric("loss", i * 0.5, step=i)
            if acknowledge:
                acknowledge(i)
        return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def found_ours(folder: Path) -> int:
    from sampan.store import Store

    with Store.open(folder / "store") as store:
        (running,) = store.catalog.runs()
        return len(store.catalog.metric_history(running.node.id, "loss").values)


def found_theirs(folder: Path) -> int:
    connection = sqlite3.connect(folder / "mlflow.db")
    n: int = connection.execute("select count(*) from metrics where key = 'loss'").fetchone()[0]
    connection.close()
    return n


def acknowledged(folder: Path) -> int:
    try:
        return int.from_bytes((folder / "acknowledged").read_bytes(), "little")
    except FileNotFoundError:
        return 0


WRITERS = {"sampan": write_ours, "mlflow": write_theirs}
FOUND = {"sampan": found_ours, "mlflow": found_theirs}

if __name__ == "__main__":
    sys.exit(main())
