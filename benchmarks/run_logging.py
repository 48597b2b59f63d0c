"""Goals: what a run costs beside MLflow on SQLite, as anyone would write it.

1,000 short runs and a whole process take 15 times less wall time, the history of 100,000 points 50 times, a metric point call by call to a
closed run 300 times, and 8 writers at once log 500 times the points a second, none lost. Beside torch's SummaryWriter, which only appends
to a file, the same points take 10 times less.

    python benchmarks/run_logging.py --peer-python /envs/mlflow/bin/python --board-python /envs/torch-and-tensorboard/bin/python

Ours by `sp.run()`, MLflow by its fluent API. A short run has 20 parameters and 20 metrics. What takes MLflow minutes is done fewer times
(short runs 100, points 1,000, writers 40 points each) and compared by the piece. SummaryWriter runs where torch and tensorboard are,
without an interpreter for it that row is left out. Rounds alternate; medians. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from side_by_side import Spent, machine, measure, run, summary, versions

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONWARNINGS": "ignore", "GIT_PYTHON_REFRESH": "quiet"}
# job: goal, pieces of ours, pieces of MLflow's
JOBS = {
    "point to a closed run": (300.0, 100_000, 1_000),
    "whole process": (15.0, 1, 1),
    "short runs": (15.0, 1_000, 100),
    "history": (50.0, 100_000, 100_000),
    "8 writers": (500.0, 8 * 50_000, 8 * 40),
    "point to a board": (10.0, 100_000, 20_000),
}
N_WRITERS = 8
BOARD = "point to a board"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, required=True, help="the interpreter of an environment that has MLflow")
    parser.add_argument("--board-python", type=Path, help="the interpreter of an environment that has torch and tensorboard")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--do", nargs=4, metavar=("WHO", "JOB", "FOLDER", "PIECES"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.do:
        who, job, folder, pieces = asked.do
        print(json.dumps(DO[who][job](Path(folder), int(pieces))))
        return 0
    peers = {"sampan": Path(sys.executable), "mlflow": asked.peer_python.absolute()}
    if asked.board_python:
        peers |= {"torch": asked.board_python.absolute()}
    print(machine())
    print(*(versions(who, python=python) for who, python in peers.items()), sep=", ")
    missed = 0
    for job in asked.jobs:
        goal, *pieces = JOBS[job]
        peer = "torch" if job == BOARD else "mlflow"
        if peer not in peers:
            print(f"left out {job}: no --board-python")
            continue
        pythons = {who: peers[who] for who in ("sampan", peer)}
        spent: dict[str, list[Spent]] = {who: [] for who in pythons}
        for _ in range(asked.rounds):
            for (who, python), n in zip(pythons.items(), pieces, strict=True):
                took = time_once(who, python, job, n)
                spent[who].append(Spent(took.wall_s / n, took.cpu_s / n))
        ours, theirs = (summary(who, each) for who, each in spent.items())
        ratio, cpu = theirs.wall_s / ours.wall_s, theirs.cpu_s / ours.cpu_s
        missed += ratio < goal
        word = "reached" if ratio >= goal else "MISSED "
        times = f"sampan {ours.wall_s * 1e6:12,.1f} µs   {peer} {theirs.wall_s * 1e6:12,.1f} µs"
        print(f"{word} {job:<22} {times}   {ratio:8.1f}x wall, {cpu:8.1f}x cpu, at least {goal:g}x", flush=True)
    return 1 if missed else 0


def time_once(who: str, python: Path, job: str, pieces: int) -> Spent:
    """Do a job in a process of its own; a whole process is timed from outside."""
    with tempfile.TemporaryDirectory() as folder:
        words = [python, __file__, "--peer-python", "-", "--do", who, job, folder, str(pieces)]
        said = run(words, env=QUIET).splitlines()[-1]  # of a whole process the first one only makes the store
        return measure(words, env=QUIET) if job == "whole process" else Spent(*json.loads(said))


def timed(job: Callable[[], object]) -> tuple[float, float]:
    """Return the wall and processor time of a call, of child processes too."""
    spent = measure(job)
    return spent.wall_s, spent.cpu_s


def our_points(folder: Path, n: int) -> tuple[float, float]:
    import sampan as sp

    with sp.run("warm", project=folder) as live:
        live.log("loss", 0.0)

    def job() -> None:
        with sp.run("points", project=folder) as live:
            for i in range(n):
                live.log("loss", i * 0.5, step=i)

    return timed(job)


def our_process(folder: Path, _: int) -> tuple[float, float]:
    import sampan as sp

    with sp.run("whole", project=folder, params={f"p{k}": k for k in range(10)}) as live:
        live.log({f"m{k}": k / 10 for k in range(10)})
    return 0.0, 0.0


def our_runs(folder: Path, n: int) -> tuple[float, float]:
    import sampan as sp

    with sp.run("warm", project=folder):
        pass

    def job() -> None:
        for i in range(n):
            with sp.run("short", project=folder, params={f"p{k}": k for k in range(20)}) as live:
                live.log({f"m{k}": i + k for k in range(20)})

    return timed(job)


def our_history(folder: Path, n: int) -> tuple[float, float]:
    import sampan as sp
    from sampan.workspace.workspace import Workspace

    with sp.run("points", project=folder) as live:
        for i in range(n):
            live.log("loss", i * 0.5, step=i)
    with Workspace.open(folder) as ws:
        assert len(ws.catalog.metric_history(live.id, "loss").values) == n
        return timed(lambda: ws.catalog.metric_history(live.id, "loss"))


def our_writers(folder: Path, n: int) -> tuple[float, float]:
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


def in_processes(writer: Callable[[str, int, object, object], None], folder: Path, n: int) -> tuple[float, float]:
    """Let 8 processes write at once; return the time from the first point to the last one's end."""
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    writers = [context.Process(target=writer, args=(str(folder), n // N_WRITERS, ready, go)) for _ in range(N_WRITERS)]
    for each in writers:
        each.start()
    for _ in writers:
        ready.acquire()

    def job() -> None:
        go.set()
        for each in writers:
            each.join()

    took = timed(job)
    assert all(each.exitcode == 0 for each in writers)
    return took


def begin_theirs(folder: Path) -> object:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("points")
    return mlflow


def their_points(folder: Path, n: int) -> tuple[float, float]:
    mlflow = begin_theirs(folder)
    with mlflow.start_run():  # type: ignore[attr-defined]  # of the other environment
        mlflow.log_metric("warm", 0.0)  # type: ignore[attr-defined]

    def job() -> None:
        with mlflow.start_run():  # type: ignore[attr-defined]
            for i in range(n):
                mlflow.log_metric("loss", i * 0.5, step=i)  # type: ignore[attr-defined]

    return timed(job)


def board_points(folder: Path, n: int) -> tuple[float, float]:
    from torch.utils.tensorboard import SummaryWriter

    def job() -> None:
        with SummaryWriter(str(folder)) as writer:
            for i in range(n):
                writer.add_scalar("loss", i * 0.5, i)

    return timed(job)


def their_process(folder: Path, _: int) -> tuple[float, float]:
    mlflow = begin_theirs(folder)
    with mlflow.start_run():  # type: ignore[attr-defined]
        mlflow.log_params({f"p{k}": k for k in range(10)})  # type: ignore[attr-defined]
        mlflow.log_metrics({f"m{k}": k / 10 for k in range(10)})  # type: ignore[attr-defined]
    return 0.0, 0.0


def their_runs(folder: Path, n: int) -> tuple[float, float]:
    mlflow = begin_theirs(folder)
    with mlflow.start_run():  # type: ignore[attr-defined]
        mlflow.log_metric("warm", 0.0)  # type: ignore[attr-defined]

    def job() -> None:
        for i in range(n):
            with mlflow.start_run():  # type: ignore[attr-defined]
                mlflow.log_params({f"p{k}": k for k in range(20)})  # type: ignore[attr-defined]
                mlflow.log_metrics({f"m{k}": i + k for k in range(20)})  # type: ignore[attr-defined]

    return timed(job)


def their_history(folder: Path, n: int) -> tuple[float, float]:
    mlflow = begin_theirs(folder)
    from mlflow.entities import Metric

    client = mlflow.MlflowClient()  # type: ignore[attr-defined]
    with mlflow.start_run() as live:  # type: ignore[attr-defined]
        for start in range(0, n, 1000):
            client.log_batch(live.info.run_id, metrics=[Metric("loss", i * 0.5, i, i) for i in range(start, start + 1000)])
    assert len(client.get_metric_history(live.info.run_id, "loss")) == n
    return timed(lambda: client.get_metric_history(live.info.run_id, "loss"))


def their_writers(folder: Path, n: int) -> tuple[float, float]:
    begin_theirs(folder)
    return in_processes(their_writer, folder, n)


def their_writer(folder: str, n: int, ready: object, go: object) -> None:
    mlflow = begin_theirs(Path(folder))
    with mlflow.start_run():  # type: ignore[attr-defined]
        ready.release()  # type: ignore[attr-defined]
        go.wait()  # type: ignore[attr-defined]
        for i in range(n):
            mlflow.log_metric("loss", i * 0.5, step=i)  # type: ignore[attr-defined]


DO: dict[str, dict[str, Callable[[Path, int], tuple[float, float]]]] = {
    "sampan": dict(zip(JOBS, (our_points, our_process, our_runs, our_history, our_writers, our_points), strict=True)),
    "mlflow": dict(zip(JOBS, (their_points, their_process, their_runs, their_history, their_writers), strict=False)),
    "torch": {BOARD: board_points},
}

if __name__ == "__main__":
    sys.exit(main())
