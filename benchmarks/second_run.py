"""Goal: a second run of 10 chained steps with nothing changed takes at least 5x less CPU than `dvc repro` of the same 10 stages.

    python benchmarks/second_run.py --peer-python dvc=/envs/dvc/bin/python

Both sides make the same 10 tables from the same 1 MB file: each step reads the last one's table, adds a column and hands it on. What is
timed is the whole process of a run after that. Exits with 1 if the goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from side_by_side import machine, run, side_by_side, table, versions

N_STEPS = 10
GOAL = 5.0
TABLE = "import random; r = random.Random(0); print('x'); print(*(r.randrange(10**6) for _ in range(150_000)), sep='\\n')"

PIPELINE = """
from pathlib import Path

import polars as pl

from sampan import step


@step
def s0(raw: Path) -> pl.DataFrame:
    return pl.read_csv(raw)

"""
ONE_STEP = """
@step
def s{n}(s{before}: pl.DataFrame, *, by: int = {n}) -> pl.DataFrame:
    return s{before}.with_columns((pl.col("x") % (by + 2)).alias("c{n}"))

"""
RUN = """
from pathlib import Path

from sampan.engine.pipeline import load_steps
from sampan.workspace.workspace import Workspace

with Workspace.open(".") as ws:
    steps = load_steps(Path("pipeline.py"), ws.engine.hints)
    outcomes = ws.engine.run(steps, inputs={"raw": Path("raw.csv")})
    print(sum(outcome.cached for outcome in outcomes.values()), "from cache of", len(outcomes))
"""
STAGE = """
import sys

import polars as pl

n = int(sys.argv[1])
if n == 0:
    made = pl.read_csv("raw.csv")
else:
    made = pl.read_parquet(f"s{n - 1}.parquet").with_columns((pl.col("x") % (n + 2)).alias(f"c{n}"))
made.write_parquet(f"s{n}.parquet")
"""


def lay_out_ours(folder: Path) -> list[str | Path]:
    """Write the project, run it once, and return the command of a further run."""
    steps = "".join(ONE_STEP.format(n=n, before=n - 1) for n in range(1, N_STEPS))
    (folder / "pipeline.py").write_text(PIPELINE + steps)
    (folder / "sampan.toml").write_text("")
    (folder / "again.py").write_text(f"import os\nos.chdir({str(folder)!r})\n{RUN}")
    command: list[str | Path] = [sys.executable, folder / "again.py"]
    run(command)
    answer = run(command).strip()
    assert answer == f"{N_STEPS} from cache of {N_STEPS}", answer
    return command


def lay_out_dvc(folder: Path, python: Path) -> list[str | Path]:
    """Write the same stages, run them once, and return the command of a further run."""
    (folder / "stage.py").write_text(STAGE)
    stages = [
        f"  s{n}:\n    cmd: {sys.executable} stage.py {n}\n    deps: [stage.py, {needed}]\n    outs: [s{n}.parquet]\n"
        for n, needed in enumerate(["raw.csv", *(f"s{n}.parquet" for n in range(N_STEPS - 1))])
    ]
    (folder / "dvc.yaml").write_text("stages:\n" + "".join(stages))
    dvc = python.parent / "dvc"
    run([dvc, "--cd", folder, "init", "--no-scm", "-q"])
    run([dvc, "--cd", folder, "config", "core.analytics", "false"])
    command: list[str | Path] = [dvc, "--cd", folder, "repro"]
    run(command)
    answer = run(command)
    assert answer.count("didn't change, skipping") == N_STEPS, answer
    return command


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", default="", metavar="dvc=PYTHON")
    parser.add_argument("--rounds", type=int, default=11)
    asked = parser.parse_args()
    peer = Path(asked.peer_python.partition("=")[2]) if asked.peer_python else None

    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
        raw = run([sys.executable, "-c", TABLE])
        for place in (ours, theirs):
            place.mkdir()
            (place / "raw.csv").write_text(raw)
        jobs = {"sampan": lay_out_ours(ours), "python -c pass": [sys.executable, "-c", "pass"]}
        if peer:
            jobs["dvc repro"] = lay_out_dvc(theirs, peer)
        timings = side_by_side(jobs, rounds=asked.rounds, warm_up=2)

    print(machine())
    print(versions("sampan"), *([versions("dvc", python=peer)] if peer else []), sep=", ")
    print(table(list(timings.values())))
    if not peer:
        return 0
    ratio = timings["dvc repro"].cpu_s / timings["sampan"].cpu_s
    print(f"{'reached ' if ratio >= GOAL else 'MISSED  '} {ratio:.1f}x less CPU than dvc repro, goal: at least {GOAL:g}x")
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
