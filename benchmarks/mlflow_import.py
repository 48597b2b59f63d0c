"""Goal: 10,000 runs of MLflow come over with history in at most a fifth of what MLflow's own migration of the same folder takes.

    python benchmarks/mlflow_import.py --peer-python mlflow=/envs/mlflow/bin/python [--runs 10000]

The same `mlruns` folder (10 parameters, 10 metrics of 5 points, 5 tags a run) goes into Sampan by `sampan import mlflow` and into SQLite by
`mlflow migrate-filestore`, in turns, each as a whole process into an empty place. Beside them: the folder's files only opened and read,
which is the least any of them can take; the import from the SQLite database that MLflow made; and importing again, when nothing is new. The
store is verified, and runs' points are counted, after the clock stopped. Exits with 1 if the goal is missed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from side_by_side import Job, Timing, machine, run, side_by_side, table, versions

from sampan.core.mlflow import MlflowExperiment, MlflowFile, MlflowModel, MlflowRegistered, MlflowRun
from sampan.workspace.mlflow.exporting import MlflowFolderWriter
from sampan.workspace.workspace import SilentStage, Workspace

GOAL = 5.0  # times less CPU, and less wall, than MLflow's own migration
_PARAMS, _METRICS, _POINTS, _TAGS = 10, 10, 5, 5


class ManyRuns:
    """Made-up runs, the same each time."""

    address = "made up"

    def __init__(self, n_runs: int) -> None:
        self.ids = [f"{number:032x}" for number in range(1, n_runs + 1)]

    def experiments(self) -> list[MlflowExperiment]:
        """Return the experiments."""
        return [MlflowExperiment(id="0", name="Default"), MlflowExperiment(id="77", name="many", created=1_700_000_000_000)]

    def run_ids(self, experiment: MlflowExperiment) -> Sequence[str]:
        """Return the ids of all runs."""
        return self.ids if experiment.id == "77" else []

    def runs(self, _experiment: MlflowExperiment, ids: Sequence[str]) -> list[MlflowRun]:
        """Return some runs."""
        return [self._run(int(each, 16)) for each in ids]

    def _run(self, number: int) -> MlflowRun:
        began = 1_700_000_000_000 + number * 1000
        points = {
            f"m{key}": [(step, began + step, (number * (key + 1) + step) % 97 / 97) for step in range(_POINTS)] for key in range(_METRICS)
        }
        return MlflowRun(
            id=f"{number:032x}",
            experiment_id="77",
            name=f"run {number}",
            user="ana",
            state="finished",
            started=began,
            ended=began + 500,
            params={f"p{key}": str(number % (key + 2)) for key in range(_PARAMS)},
            tags={"mlflow.runName": f"run {number}", "mlflow.user": "ana", **{f"t{key}": str(number % 3) for key in range(_TAGS - 2)}},
            points=points,
        )

    def models(self, _experiment: MlflowExperiment) -> Iterator[MlflowModel]:
        """Return none."""
        return iter(())

    def registered(self) -> Iterator[MlflowRegistered]:
        """Return none."""
        return iter(())

    def files(self, _owner: MlflowRun | MlflowModel, _into: Path) -> list[MlflowFile]:
        """Return none."""
        return []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="mlflow=PATH of the Python that has it")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    python = Path(given.peer_python.partition("=")[2])
    with tempfile.TemporaryDirectory(prefix="bench-mlflow-") as folder:
        return compare(Path(folder), python, given.runs, given.rounds)


def compare(home: Path, python: Path, n_runs: int, rounds: int) -> int:
    source = ManyRuns(n_runs)
    folder, here, database = home / "all" / "mlruns", home / "here", home / "mlflow.db"
    MlflowFolderWriter(folder, source).write({each.id: source.run_ids(each) for each in source.experiments()}, SilentStage())
    shutil.rmtree(folder / ".trash")
    sampan = [sys.executable, "-m", "sampan", "--project", here, "import", "mlflow"]
    migrate = [python.parent / "mlflow", "migrate-filestore", "--source", home / "all", "--target", f"sqlite:///{database}"]
    read = f"import pathlib; print(sum(len(p.read_bytes()) for p in pathlib.Path({str(folder)!r}).rglob('*') if p.is_file()))"

    def into_nothing(command: Sequence[str | Path], *places: Path) -> Job:
        def job() -> None:
            for place in places:
                shutil.rmtree(place, ignore_errors=True)
                place.unlink(missing_ok=True)
            here.mkdir(exist_ok=True)
            run(command)

        return job

    found = side_by_side(
        {
            "sampan import mlflow FOLDER": into_nothing([*sampan, folder], here),
            "mlflow migrate-filestore": into_nothing(migrate, database),
            "the folder's files only read": [sys.executable, "-c", read],
            "sampan import, nothing new": [*sampan, folder],
            "sampan import mlflow sqlite:///…": into_nothing([*sampan, f"sqlite:///{database}"], here),
        },
        rounds=rounds,
        warm_up=0,
    )
    print(f"{n_runs:,} runs; {versions('mlflow', python=python)}; {machine()}")
    print(table(list(found.values()), unit="s", scale=1))
    return judged(here, found["sampan import mlflow FOLDER"], found["mlflow migrate-filestore"], n_runs)


def judged(here: Path, ours: Timing, theirs: Timing, n_runs: int) -> int:
    cpu, wall = theirs.cpu_s / ours.cpu_s, theirs.wall_s / ours.wall_s
    print(f"{cpu:.1f}x less CPU, {wall:.1f}x less wall (goal {GOAL:.0f}x)")
    with Workspace.open(here) as ws:
        rows = ws.catalog.runs(limit=n_runs + 1)
        assert len(rows) == n_runs, len(rows)
        assert all(metric.n == _POINTS for row in rows[:: max(1, n_runs // 50)] for metric in ws.catalog.metrics(row.node.id))
        assert ws.ledger.verify().first_bad is None
    return 0 if min(cpu, wall) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
