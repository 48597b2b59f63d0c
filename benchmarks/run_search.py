"""Goals: the first 100 of a search over 10,000 and 100,000 runs take 20 times less wall time than MLflow on SQLite, 1.5 in a fresh process.

Four shapes, each on its own: a filter that few or most runs meet, in the order of a metric or of time.

    python benchmarks/run_search.py --peer-python /envs/mlflow/bin/python --runs 10000 100000

Both stores hold the same runs, 20 metrics and 5 parameters each, written by SQL: filling them is not what is measured. MLflow's tables are
analyzed, in its favor. Both answer with everything that was logged to the 100 runs, and the answers are held to be the same. Warm: the
median of 7 calls in one process each, in turns of processes. Cold: from starting Python to the answer. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from side_by_side import environment, machine, run, versions

WARM, COLD = 20.0, 1.5
N_METRICS, N_PARAMS, N_SHOWN, CALLS = 20, 5, 100, 7
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONWARNINGS": "ignore"}
STARTED = 1_700_000_000_000

# name: ours (where, sort), MLflow's (filter, order)
SHAPES = {
    "few, by metric": (("m3 > 0.999", "m5"), ("metrics.m3 > 0.999", "metrics.m5 DESC")),
    "few, by time": (("m3 > 0.999", "started"), ("metrics.m3 > 0.999", "attributes.start_time DESC")),
    "most, by metric": (("m3 > 0.3", "m5"), ("metrics.m3 > 0.3", "metrics.m5 DESC")),
    "most, by time": (("m3 > 0.3", "started"), ("metrics.m3 > 0.3", "attributes.start_time DESC")),
    "two metrics, none": (("m3 > 0.999 and m7 > 2", "m5"), ("metrics.m3 > 0.999 AND metrics.m7 > 2", "metrics.m5 DESC")),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, required=True, help="the interpreter of an environment that has MLflow")
    parser.add_argument("--runs", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ask", nargs=4, metavar=("WHO", "FOLDER", "SHAPE", "CALLS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ask:
        who, folder, shape, calls = asked.ask
        return ask(who, Path(folder), shape, int(calls))
    pythons = {"sampan": Path(sys.executable), "mlflow": asked.peer_python.absolute()}
    print(machine())
    print(*(versions(who, python=python) for who, python in pythons.items()), sep=", ")
    missed = 0
    for n in asked.runs:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            fill_ours(folder, n)
            fill_theirs(folder, n, pythons["mlflow"])
            print(f"\n{n:,} runs; ms")
            missed += compare(pythons, folder, asked.rounds)
    return 1 if missed else 0


def compare(pythons: dict[str, Path], folder: Path, rounds: int) -> int:
    """Time each shape, say what was reached; return how many goals were missed."""
    missed = 0
    for shape in SHAPES:
        warm: dict[str, list[float]] = {who: [] for who in pythons}
        cold: dict[str, list[float]] = {who: [] for who in pythons}
        answers: dict[str, list[float]] = {}
        for _ in range(rounds):
            for who, python in pythons.items():
                began = time.perf_counter()
                run([python, __file__, "--ask", who, folder, shape, "1", "--peer-python", "-"], env=QUIET)
                cold[who].append(time.perf_counter() - began)
                said = run([python, __file__, "--ask", who, folder, shape, str(CALLS), "--peer-python", "-"], env=QUIET)
                found = json.loads(said.splitlines()[-1])
                warm[who].append(found["seconds"])
                answers[who] = found["answer"]
        if answers["sampan"] != answers["mlflow"]:
            raise SystemExit(f"{shape}: the answers differ")
        for how, spent, goal in (("warm", warm, WARM), ("cold", cold, COLD)):
            ours, theirs = (statistics.median(spent[who]) for who in ("sampan", "mlflow"))
            missed += theirs / ours < goal
            word = "reached" if theirs / ours >= goal else "MISSED "
            times = f"sampan {ours * 1e3:9.2f}   mlflow {theirs * 1e3:9.2f}"
            print(f"{word} {how} {shape:<18} {times}   {theirs / ours:7.1f}x, at least {goal:g}x")
    return missed


def ask(who: str, folder: Path, shape: str, calls: int) -> int:
    """Search in this process; print the median of the calls after the first, and the metric by which the answer was chosen."""
    asked = SHAPES[shape][0 if who == "sampan" else 1]
    search = {"sampan": ask_ours, "mlflow": ask_theirs}[who](folder, *asked)
    answer = next(search)
    seconds = []
    for _ in range(calls - 1):
        began = time.perf_counter()
        answer = next(search)
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": statistics.median(seconds) if seconds else 0.0, "answer": answer}))
    return 0


def ask_ours(folder: Path, where: str, sort: str) -> Iterator[list[float]]:
    from sampan.workspace.workspace import Workspace

    with Workspace.open(folder / "ours") as ws:
        while True:
            found = ws.run.list(where=where, sort=sort, limit=N_SHOWN).runs
            yield [each.metrics["m5"] for each in found]


def ask_theirs(folder: Path, where: str, order: str) -> Iterator[list[float]]:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    while True:
        found = client.search_runs(["1"], where, order_by=[order], max_results=N_SHOWN)
        yield [each.data.metrics["m5"] for each in found]


def figures(n: int) -> Iterator[tuple[str, int, list[float], list[str]]]:
    """Draw the runs: id, start, metrics, parameters."""
    rng = random.Random(0)
    for number in range(n):
        yield (
            f"{rng.getrandbits(128):032x}",
            STARTED + number,
            [rng.random() for _ in range(N_METRICS)],
            [str(rng.randrange(9)) for _ in range(N_PARAMS)],
        )


def fill_ours(folder: Path, n: int) -> None:
    from sampan.core.events import RunEnded, RunStarted
    from sampan.ledger import Ledger
    from sampan.store import Store

    (folder / "ours").mkdir()
    with Store.open(folder / "ours" / ".sampan") as store:
        ledger = Ledger(store, actor="an")
        batch: list[RunStarted | RunEnded] = []
        for run_id, at, _, params in figures(n):
            named = {f"p{k}": value for k, value in enumerate(params)}
            batch.append(RunStarted(node=run_id, experiment="bench", title="", started=at, params=named))
            batch.append(RunEnded(node=run_id, state="finished", ended=at + 1))
            if len(batch) >= 20_000:
                ledger.append(*batch)
                batch.clear()
        ledger.append(*batch)
        with store.database.write() as session:
            session.many("insert into metric_key(pk, name) values (?, ?)", [(k + 1, f"m{k}") for k in range(N_METRICS)])
            numbers = dict(session.all("select id, pk from node where kind = 'run'"))
            rows = (
                (k + 1, numbers[run_id], value, 0, at, value, value, 1)
                for run_id, at, values, _ in figures(n)
                for k, value in enumerate(values)
            )
            session.many("insert into run_metric(key, run, last, last_step, last_at, min, max, n) values (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def fill_theirs(folder: Path, n: int, python: Path) -> None:
    make = f"import mlflow; c = mlflow.MlflowClient('sqlite:///{folder}/mlflow.db'); assert c.create_experiment('bench') == '1'"
    subprocess.run([python, "-c", make], check=True, capture_output=True, env=environment(QUIET))
    connection = sqlite3.connect(folder / "mlflow.db")
    columns = ("run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status", "start_time", "end_time")
    columns += ("source_version", "lifecycle_stage", "artifact_uri", "experiment_id")
    values = "?, '', 'UNKNOWN', '', '', 'an', 'FINISHED', ?, ?, '', 'active', '', 1"
    connection.executemany(
        f"insert into runs({', '.join(columns)}) values ({values})",
        ((run_id, at, at + 1) for run_id, at, _, _ in figures(n)),
    )
    for table in ("latest_metrics", "metrics"):
        connection.executemany(
            f"insert into {table}(key, value, timestamp, step, is_nan, run_uuid) values (?, ?, ?, 0, 0, ?)",
            ((f"m{k}", value, at, run_id) for run_id, at, values, _ in figures(n) for k, value in enumerate(values)),
        )
    connection.executemany(
        "insert into params(key, value, run_uuid) values (?, ?, ?)",
        ((f"p{k}", value, run_id) for run_id, _, _, params in figures(n) for k, value in enumerate(params)),
    )
    connection.commit()
    connection.execute("analyze")
    connection.commit()
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
