"""Goals: what a run costs beside MLflow on SQLite, as anyone would write it.

1,000 short runs and a whole process take 15 times less wall time, the history of 100,000 points 50 times, a metric point call by call to a
closed run 300 times, and 8 writers at once log 500 times the points a second, none lost.

    python benchmarks/run_logging.py --peer-python /envs/mlflow/bin/python

Ours by `sp.run()`, MLflow by its fluent API. A short run has 20 parameters and 20 metrics. What takes MLflow minutes is done fewer times
(short runs 100, points 1,000, writers 40 points each) and compared by the piece. Beside the points: torch's SummaryWriter is not measured
here, for want of torch in one environment with both. Rounds alternate; medians. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from side_by_side import machine, run, versions

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONWARNINGS": "ignore", "GIT_PYTHON_REFRESH": "quiet"}
# job: goal, pieces of ours, pieces of MLflow's
JOBS = {
    "point to a closed run": (300.0, 100_000, 1_000),
    "whole process": (15.0, 1, 1),
    "short runs": (15.0, 1_000, 100),
    "history": (50.0, 100_000, 100_000),
    "8 writers": (500.0, 8 * 50_000, 8 * 40),
}
N_WRITERS = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, required=True, help="the interpreter of an environment that has MLflow")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--do", nargs=4, metavar=("WHO", "JOB", "FOLDER", "PIECES"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.do:
        who, job, folder, pieces = asked.do
        print(json.dumps(DO[who][job](Path(folder), int(pieces))))
        return 0
    pythons = {"sampan": Path(sys.executable), "mlflow": asked.peer_python.absolute()}
    print(machine())
    print(*(versions(who, python=python) for who, python in pythons.items()), sep=", ")
    missed = 0
    for job in asked.jobs:
        goal, *pieces = JOBS[job]
        spent: dict[str, list[float]] = {who: [] for who in pythons}
        for turn in range(asked.rounds + (job == "whole process")):
            for (who, python), n in zip(pythons.items(), pieces, strict=True):
                took = time_once(who, python, job, n)
                if turn or job != "whole process":  # the first makes the store's files warm
                    spent[who].append(took / n)
        ours, theirs = (statistics.median(each) for each in spent.values())
        missed += theirs / ours < goal
        word = "reached" if theirs / ours >= goal else "MISSED "
        times = f"sampan {ours * 1e6:12,.1f} µs   mlflow {theirs * 1e6:12,.1f} µs"
        print(f"{word} {job:<22} {times}   {theirs / ours:8.1f}x, at least {goal:g}x")
    return 1 if missed else 0


def time_once(who: str, python: Path, job: str, pieces: int) -> float:
    """Do a job in a process of its own; return its seconds, for a whole process those of the process."""
    with tempfile.TemporaryDirectory() as folder:
        words = [python, __file__, "--peer-python", "-", "--do", who, job, folder, str(pieces)]
        if job == "whole process":
            run(words, env=QUIET)  # the store is there already
            began = time.perf_counter()
            run(words, env=QUIET)
            return time.perf_counter() - began
        found: float = json.loads(run(words, env=QUIET).splitlines()[-1])
        return found


def our_points(folder: Path, n: int) -> float:
    import sampan as sp

    with sp.run("warm", project=folder) as live:
        live.log("loss", 0.0)
    began = time.perf_counter()
    with sp.run("points", project=folder) as live:
        for i in range(n):
            live.log("loss", i * 0.5, step=i)
    return time.perf_counter() - began


def our_process(folder: Path, _: int) -> float:
    import sampan as sp

    with sp.run("whole", project=folder, params={f"p{k}": k for k in range(10)}) as live:
        live.log({f"m{k}": k / 10 for k in range(10)})
    return 0.0


def our_runs(folder: Path, n: int) -> float:
    import sampan as sp

    with sp.run("warm", project=folder):
        pass
    began = time.perf_counter()
    for i in range(n):
        with sp.run("short", project=folder, params={f"p{k}": k for k in range(20)}) as live:
            live.log({f"m{k}": i + k for k in range(20)})
    return time.perf_counter() - began


def our_history(folder: Path, n: int) -> float:
    import sampan as sp
    from sampan.workspace.workspace import Workspace

    with sp.run("points", project=folder) as live:
        for i in range(n):
            live.log("loss", i * 0.5, step=i)
    with Workspace.open(folder) as ws:
        ws.catalog.metric_history(live.id, "loss")
        began = time.perf_counter()
        found = ws.catalog.metric_history(live.id, "loss")
        took = time.perf_counter() - began
    assert len(found.values) == n
    return took


def our_writers(folder: Path, n: int) -> float:
    from sampan.workspace.workspace import Workspace

    took = in_processes(our_writer, folder, n)
    with Workspace.open(folder) as ws:
        rows = [row.node.id for row in ws.catalog.runs(experiment="points")]
        found = sum(len(ws.catalog.metric_history(each, "loss").values) for each in rows)
    assert found == n, f"{n - found} points lost"
    return took


def our_writer(folder: str, n: int, ready: object, go: object) -> None:
    import sampan as sp

    with sp.run("points", project=Path(folder)) as live:
        ready.release()  # type: ignore[attr-defined]  # a semaphore
        go.wait()  # type: ignore[attr-defined]  # an event
        for i in range(n):
            live.log("loss", i * 0.5, step=i)


def in_processes(writer: Callable[[str, int, object, object], None], folder: Path, n: int) -> float:
    """Let 8 processes write at once; return the time from the first point to the last one's end."""
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    writers = [context.Process(target=writer, args=(str(folder), n // N_WRITERS, ready, go)) for _ in range(N_WRITERS)]
    for each in writers:
        each.start()
    for _ in writers:
        ready.acquire()
    began = time.perf_counter()
    go.set()
    for each in writers:
        each.join()
    assert all(each.exitcode == 0 for each in writers)
    return time.perf_counter() - began


def begin_theirs(folder: Path) -> object:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("points")
    return mlflow


def their_points(folder: Path, n: int) -> float:
    mlflow = begin_theirs(folder)
    with mlflow.start_run():  # type: ignore[attr-defined]  # of the other environment
        mlflow.log_metric("warm", 0.0)  # type: ignore[attr-defined]
    began = time.perf_counter()
    with mlflow.start_run():  # type: ignore[attr-defined]
        for i in range(n):
            mlflow.log_metric("loss", i * 0.5, step=i)  # type: ignore[attr-defined]
    return time.perf_counter() - began


def their_process(folder: Path, _: int) -> float:
    mlflow = begin_theirs(folder)
    with mlflow.start_run():  # type: ignore[attr-defined]
        mlflow.log_params({f"p{k}": k for k in range(10)})  # type: ignore[attr-defined]
        mlflow.log_metrics({f"m{k}": k / 10 for k in range(10)})  # type: ignore[attr-defined]
    return 0.0


def their_runs(folder: Path, n: int) -> float:
    mlflow = begin_theirs(folder)
    with mlflow.start_run():  # type: ignore[attr-defined]
        mlflow.log_metric("warm", 0.0)  # type: ignore[attr-defined]
    began = time.perf_counter()
    for i in range(n):
        with mlflow.start_run():  # type: ignore[attr-defined]
            mlflow.log_params({f"p{k}": k for k in range(20)})  # type: ignore[attr-defined]
            mlflow.log_metrics({f"m{k}": i + k for k in range(20)})  # type: ignore[attr-defined]
    return time.perf_counter() - began


def their_history(folder: Path, n: int) -> float:
    mlflow = begin_theirs(folder)
    from mlflow.entities import Metric

    client = mlflow.MlflowClient()  # type: ignore[attr-defined]
    with mlflow.start_run() as live:  # type: ignore[attr-defined]
        for start in range(0, n, 1000):
            client.log_batch(live.info.run_id, metrics=[Metric("loss", i * 0.5, i, i) for i in range(start, start + 1000)])
    client.get_metric_history(live.info.run_id, "loss")
    began = time.perf_counter()
    found = client.get_metric_history(live.info.run_id, "loss")
    took = time.perf_counter() - began
    assert len(found) == n
    return took


def their_writers(folder: Path, n: int) -> float:
    begin_theirs(folder)
    return in_processes(their_writer, folder, n)


def their_writer(folder: str, n: int, ready: object, go: object) -> None:
    mlflow = begin_theirs(Path(folder))
    with mlflow.start_run():  # type: ignore[attr-defined]
        ready.release()  # type: ignore[attr-defined]
        go.wait()  # type: ignore[attr-defined]
        for i in range(n):
            mlflow.log_metric("loss", i * 0.5, step=i)  # type: ignore[attr-defined]


DO: dict[str, dict[str, Callable[[Path, int], float]]] = {
    "sampan": dict(zip(JOBS, (our_points, our_process, our_runs, our_history, our_writers), strict=True)),
    "mlflow": dict(zip(JOBS, (their_points, their_process, their_runs, their_history, their_writers), strict=True)),
}

if __name__ == "__main__":
    sys.exit(main())
