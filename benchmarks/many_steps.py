"""Goals: planning 1,000 chained steps of which nothing changed takes 10x less CPU than DVC, one cached step 10x less than Metaflow.

    python benchmarks/many_steps.py --peer-python dvc=/envs/dvc/bin/python metaflow=/envs/metaflow/bin/python

DVC has the same steps as stages, their outcomes committed, and runs `dvc repro`. Metaflow keeps no outcomes between runs: beside one more
cached step of ours stands one more step of `resume`, by which it takes over what a run made before. What is timed is the CPU of whole
processes; a single step is the difference between many and few, shared. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from side_by_side import machine, measure, run, summary, versions

GOAL = 10.0
N_STEPS, N_FEW = 1_000, 10
N_FLOW, N_FLOW_FEW = 12, 2
STEP = """
@step
def s{n}(s{before}: int, *, by: int = {n}) -> int:
    return s{before} + by

"""
RUN = """
import os
os.chdir({folder!r})
from pathlib import Path

from sampan.engine.pipeline import load_steps
from sampan.workspace.workspace import Workspace

with Workspace.open(".") as ws:
    steps = load_steps(Path("pipeline.py"), ws.engine.hints)
    outcomes = ws.engine.run(steps, inputs={{}})
    print(sum(outcome.cached for outcome in outcomes.values()), len(outcomes))
"""


def ours(folder: Path, n: int) -> list[str | Path]:
    """Write n chained steps, run them once, and return the command of a further run."""
    folder.mkdir()
    steps = "".join(STEP.format(n=k, before=k - 1) for k in range(1, n))
    (folder / "pipeline.py").write_text(f"from sampan import step\n\n\n@step\ndef s0() -> int:\n    return 0\n\n{steps}")
    (folder / "sampan.toml").write_text("")
    (folder / "again.py").write_text(RUN.format(folder=str(folder)))
    command: list[str | Path] = [sys.executable, folder / "again.py"]
    run(command)
    assert run(command).split() == [str(n), str(n)]
    return command


def dvc(folder: Path, n: int, python: Path) -> list[str | Path]:
    """Write n chained stages with their outcomes, commit them, and return the command of a further run."""
    folder.mkdir()
    stages = [f"  s{k}:\n    cmd: cp s{k - 1}.txt s{k}.txt\n    deps: [s{k - 1}.txt]\n    outs: [s{k}.txt]\n" for k in range(1, n + 1)]
    (folder / "dvc.yaml").write_text("stages:\n" + "".join(stages))
    for k in range(n + 1):
        (folder / f"s{k}.txt").write_text("0")
    program = python.with_name("dvc")
    run([program, "--cd", folder, "init", "--no-scm", "-q"])
    run([program, "--cd", folder, "config", "core.analytics", "false"])
    run([program, "--cd", folder, "commit", "-f", "-q"])
    command: list[str | Path] = [program, "--cd", folder, "repro"]
    assert run(command).count("didn't change, skipping") == n
    return command


def metaflow(folder: Path, n: int, python: Path) -> list[str | Path]:
    """Write a flow of n steps that all succeed but the last, which a resumed run does again; return the command that resumes."""
    folder.mkdir()
    names = ["start", *(f"s{k}" for k in range(1, n - 1)), "end"]
    steps = "".join(
        f"    @step\n    def {name}(self):\n        self.x = {k}\n        self.next(self.{names[k + 1]})\n\n"
        for k, name in enumerate(names[:-1])
    )
    flow = f"from metaflow import FlowSpec, step\n\n\nclass Many(FlowSpec):\n{steps}    @step\n    def end(self):\n        pass\n\n\n"
    (folder / "flow.py").write_text(f"{flow}if __name__ == '__main__':\n    Many()\n")
    starter = (
        f"import os, sys; os.chdir({str(folder)!r}); os.execv(sys.executable, [sys.executable, 'flow.py', '--no-pylint', *sys.argv[1:]])"
    )
    run([python, "-c", starter, "run"], env=FLOW)
    return [python, "-c", starter, "resume", "end"]


FLOW = {"METAFLOW_USER": "benchmark", "METAFLOW_HOME": tempfile.gettempdir(), "USERNAME": "benchmark"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", nargs="+", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    peers = {name: Path(path).absolute() for name, _, path in (each.partition("=") for each in asked.peer_python)}
    print(machine(), *(versions(name, python=python) for name, python in peers.items()), sep="\n")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        jobs = {"sampan": ours(place / "many", N_STEPS), "sampan, few": ours(place / "few", N_FEW)}
        if "dvc" in peers:
            jobs["dvc"] = dvc(place / "dvc", N_STEPS, peers["dvc"])
        if "metaflow" in peers:
            jobs["metaflow"] = metaflow(place / "flow", N_FLOW, peers["metaflow"])
            jobs["metaflow, few"] = metaflow(place / "flow-few", N_FLOW_FEW, peers["metaflow"])
        found = {
            each: summary(each, [measure(command, env={**FLOW, **os.environ}) for _ in range(asked.rounds)])
            for each, command in jobs.items()
        }
    for each, timing in found.items():
        print(f"{each:<14} wall {timing.wall_s:8.2f} s   cpu {timing.cpu_s:8.2f} s")
    one = max((found["sampan"].cpu_s - found["sampan, few"].cpu_s) / (N_STEPS - N_FEW), 1e-6)
    missed = 0
    if "dvc" in found:
        missed += say(f"plan of {N_STEPS:,} steps beside DVC", found["dvc"].cpu_s / found["sampan"].cpu_s)
    if "metaflow" in found:
        theirs = (found["metaflow"].cpu_s - found["metaflow, few"].cpu_s) / (N_FLOW - N_FLOW_FEW)
        missed += say(f"one cached step, {one * 1e3:.2f} ms, beside Metaflow's {theirs * 1e3:.0f} ms", theirs / one)
    return 1 if missed else 0


def say(what: str, ratio: float) -> bool:
    """Print whether a goal is reached; return whether it is missed."""
    print(f"{'reached' if ratio >= GOAL else 'MISSED '} {what}: {ratio:.1f}x less CPU, at least {GOAL:g}x")
    return ratio < GOAL


if __name__ == "__main__":
    sys.exit(main())
