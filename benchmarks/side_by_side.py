"""Time jobs side by side on a machine that is never idle: in turns, CPU beside wall, medians, and only ratios are meant.

    ours, theirs = side_by_side({"sampan": run_ours, "mlflow": run_theirs}, rounds=5).values()
    print(table([ours, theirs]))

A job is a command line or a function. CPU is that of the job's process and of the children it waited for. Where a job leaves gigabytes of
memory behind that the next one would have to sort out, `processes_side_by_side` gives each a process of its own.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

Job = Sequence[str | Path] | Callable[[], object]


@dataclass(frozen=True, slots=True)
class Spent:
    """What one run of a job took."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Timing:
    """What a job's runs took: medians, and the extremes of the wall time."""

    name: str
    wall_s: float
    cpu_s: float
    fastest_s: float
    slowest_s: float
    rounds: int

    def per(self, n: int) -> Timing:
        """Share the times among `n` equal parts of the job."""
        return Timing(self.name, self.wall_s / n, self.cpu_s / n, self.fastest_s / n, self.slowest_s / n, self.rounds)


def measure(job: Job, *, env: Mapping[str, str] | None = None) -> Spent:
    """Run a job once. A command that fails stops the benchmark with its output."""
    wall, cpu = time.perf_counter(), _cpu()
    if callable(job):
        job()
    else:
        run(job, env=env)
    return Spent(time.perf_counter() - wall, _cpu() - cpu)


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=environment(env))
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def environment(added: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment for a job: without the setting by which Python would compile a job's modules anew each time."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **(added or {})}


def side_by_side(
    jobs: Mapping[str, Job], *, rounds: int = 5, warm_up: int = 1, before_each: Callable[[], object] | None = None
) -> dict[str, Timing]:
    """Run the jobs in turns, so that a busy moment of the machine meets all of them alike; return each one's medians."""
    spent: dict[str, list[Spent]] = {name: [] for name in jobs}
    for turn in range(warm_up + rounds):
        for name, job in jobs.items():
            if before_each:
                before_each()
            took = measure(job)
            if turn >= warm_up:
                spent[name].append(took)
    return {name: summary(name, runs) for name, runs in spent.items()}


def processes_side_by_side(
    jobs: Mapping[str, Sequence[str | Path]], *, rounds: int, env: Mapping[str, str] | None = None
) -> dict[str, dict[str, float]]:
    """Run commands in turns that say what they took: figures by name, as JSON in their last line; return each one's medians.

    So that none meets what another left in memory. Each runs twice a turn, and the second counts: the first finds again what the
    command before gave back to the system, which on a virtual machine can cost a small job more than its work.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, command in jobs.items():
            run(command, env=env)
            found[name].append(json.loads(run(command, env=env).splitlines()[-1]))
    return {name: {key: statistics.median(one[key] for one in runs) for key in runs[0]} for name, runs in found.items()}


def summary(name: str, runs: Sequence[Spent]) -> Timing:
    """Sum several runs of a job up."""
    walls = [r.wall_s for r in runs]
    return Timing(name, statistics.median(walls), statistics.median(r.cpu_s for r in runs), min(walls), max(walls), len(runs))


def table(timings: Sequence[Timing], *, unit: str = "ms", scale: float = 1e3) -> str:
    """Lay timings out; ratios are to the first."""
    first = timings[0]
    width = max(len(t.name) for t in timings)
    lines = [f"{'':{width}}  {'wall ' + unit:>12} {'(min … max)':>22} {'cpu ' + unit:>12} {'wall ratio':>11} {'cpu ratio':>10}"]
    for t in timings:
        spread = f"{t.fastest_s * scale:,.2f} … {t.slowest_s * scale:,.2f}"
        ratios = f"{t.wall_s / first.wall_s:>10.1f}x {t.cpu_s / first.cpu_s:>9.1f}x"
        lines.append(f"{t.name:{width}}  {t.wall_s * scale:>12,.2f} {spread:>22} {t.cpu_s * scale:>12,.2f} {ratios}")
    return "\n".join(lines)


def versions(*packages: str, python: Path | str = "") -> str:
    """Return `name version` of packages in this environment, or in the one of another interpreter."""
    if not python:
        return ", ".join(f"{p} {version(p)}" for p in packages)
    code = f"from importlib.metadata import version; print(', '.join(f'{{p}} {{version(p)}}' for p in {packages!r}))"
    return run([python, "-c", code]).strip()


def machine() -> str:
    """Describe the machine in one line, its load included."""
    return f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.machine()}, load {os.getloadavg()[0]:.1f}"


def _cpu() -> float:
    me, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return me.ru_utime + me.ru_stime + children.ru_utime + children.ru_stime
