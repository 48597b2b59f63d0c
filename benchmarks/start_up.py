"""Goal: `sampan --help` takes at most 3x the CPU of bare Python, and at least 8x less than `mlflow --help` and `dvc --help`.

    python benchmarks/start_up.py --peer-python mlflow=/envs/mlflow/bin/python --peer-python dvc=/envs/dvc/bin/python

A peer is named with the interpreter of its own environment; without peers only the first ratio is measured. Exits with 1 if a
goal is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from side_by_side import Timing, machine, side_by_side, table, versions

OF_BARE_PYTHON = 3.0
OF_PEERS = 8.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    peers = {name: Path(python) for name, _, python in (each.partition("=") for each in asked.peer_python)}

    beside = Path(sys.executable).parent
    jobs: dict[str, list[str | Path]] = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "sampan --help": [beside / "sampan", "--help"],
        "sampan --version": [beside / "sampan", "--version"],
    }
    jobs |= {f"{name} --help": [python.parent / name, "--help"] for name, python in peers.items()}
    timings = side_by_side(jobs, rounds=asked.rounds, warm_up=2)

    print(machine())
    print(versions("sampan"), *(versions(name, python=python) for name, python in peers.items()), sep=", ")
    print(table(list(timings.values())))
    return report(timings, list(peers))


def report(timings: Mapping[str, Timing], peers: list[str]) -> int:
    """Say which goals are reached; return the exit code."""
    ours = timings["sampan --help"].cpu_s
    of_bare = ours / timings["python -c pass"].cpu_s
    goals = {f"{of_bare:.2f}x the CPU of bare Python, goal: at most {OF_BARE_PYTHON:g}x": of_bare <= OF_BARE_PYTHON}
    for name in peers:
        ratio = timings[f"{name} --help"].cpu_s / ours
        goals[f"{ratio:.1f}x less CPU than {name} --help, goal: at least {OF_PEERS:g}x"] = ratio >= OF_PEERS
    for said, holds in goals.items():
        print(("reached  " if holds else "MISSED   ") + said)
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
