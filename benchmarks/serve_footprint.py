r"""What a machine that serves takes, beside `mlflow models serve`: seconds to the first right answer, memory, megabytes installed.

    python benchmarks/serve_footprint.py --package FOLDER --table served_flights.parquet --mlflow-python PYTHON --mlflow-model FOLDER

Ours is served from an environment of its own, made here by uv: this working tree's wheel and what the package's `serving.txt` pins, with
--no-deps. FOLDER and the model of MLflow are those of `serve_requests.py`. Log, validation and metrics are on. All are started in turns and
asked the same row; memory is that after a thousand requests, as PSS of all its processes. The floor is Python with numpy, ONNX Runtime, the
same session and the HTTP libraries, which do nothing. Sizes are blocks on the disk without bytecode, each hard link once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from serve_requests import Server, ask, servers
from side_by_side import machine, versions

FLOOR = """
import asyncio, os, re, ssl, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import httptools, msgspec, numpy as np, onnxruntime as ort, uvicorn, uvloop
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(open(sys.argv[1], "rb").read(), options, providers=["CPUExecutionProvider"])
given = session.get_inputs()[0]
for _ in range(1000):
    session.run(None, {given.name: np.zeros((1, given.shape[1]), np.float32)})
print(re.search(r"^Pss:\\s+(\\d+)", open("/proc/self/smaps_rollup").read(), re.M)[1])
"""
N_ASKED = 1000


def serving_environment(package: Path, home: Path) -> Path:
    """Install what a package's serving.txt pins, and this working tree's wheel; return the Python there."""
    from sampan.packaging.closure import lock_lines
    from sampan.packaging.packages import read_facts

    root = Path(__file__).parents[1]
    uv = Path(sys.executable).with_name("uv")
    lock, python = home / "serving.txt", home / "environment" / "bin" / "python"
    lock.write_text("".join(lock_lines(package, read_facts(package))))
    for words in (
        ["build", "--wheel", "--no-build-isolation", "--out-dir", home / "wheels", root],
        ["venv", "--python", sys.executable, home / "environment"],
        ["pip", "install", "--python", python, "--no-deps", "--find-links", home / "wheels", "-r", lock],
    ):
        subprocess.run([uv, "--quiet", *words], check=True)
    return python


def installed_mb(python: Path) -> float:
    """Return how much an environment takes of a disk."""

    def blocks() -> Iterator[tuple[int, int]]:
        for folder, _, names in os.walk(python.parents[1]):
            for name in names:
                if not name.endswith(".pyc"):
                    stat = os.lstat(Path(folder, name))
                    yield stat.st_ino, stat.st_blocks * 512

    return sum(dict(blocks()).values()) / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--mlflow-python", type=Path, required=True)
    parser.add_argument("--mlflow-model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        python = serving_environment(arguments.package, folder)
        print(machine(), versions("numpy", "onnxruntime", python=str(python)), "|", versions("mlflow", python=str(arguments.mlflow_python)))
        found = servers(argparse.Namespace(**vars(arguments), fastapi_python=sys.executable, serving_python=str(python)), folder)
        ours, theirs = found[0], found[-1]
        for server in (ours, theirs):
            run(server)  # Python's bytecode is there from now on
        taken: dict[str, list[tuple[float, float]]] = {server.name: [] for server in (ours, theirs)}
        for _ in range(arguments.rounds):
            for server in (ours, theirs):
                taken[server.name].append(run(server))
        floor = subprocess.run([python, "-c", FLOOR, arguments.package / "model.onnx"], capture_output=True, text=True, check=True)
        return report(
            taken, int(floor.stdout) / 1024, {ours.name: installed_mb(python), theirs.name: installed_mb(arguments.mlflow_python)}
        )
    finally:
        shutil.rmtree(folder)


def run(server: Server) -> tuple[float, float]:
    """Start a server, ask it, stop it; return the seconds to its first right answer, and its memory."""
    one = replace(server)
    one.start(core=0)
    path, body, _, _ = one.bodies["one"]
    for _ in range(N_ASKED if server.name == "sampan" else N_ASKED // 20):  # which takes the other as long
        ask(one.port, path, body.read_bytes().partition(b"\n")[0])
    memory = one.memory_mb()
    assert one.process is not None
    one.process.terminate()
    one.process.wait(30)
    return one.start_s, memory


def report(taken: dict[str, list[tuple[float, float]]], floor_mb: float, installed: dict[str, float]) -> int:
    """Print the table and the goals; return 1 where one is missed."""
    rows = {}
    for name, runs in taken.items():
        start_s, memory = (statistics.median(each) for each in zip(*runs, strict=True))
        rows[name] = (start_s, memory, installed[name])
        print(f"{name:22} start {start_s:6.2f} s   memory {memory:5.0f} MB   installed {installed[name]:5.0f} MB")
    print(f"{'floor':22}                   memory {floor_mb:5.0f} MB")
    ours, theirs = rows.values()
    wanted = {"start": 8.0, "memory": 4.0, "install": 4.0}
    goals = [(what, their / our, goal) for (what, goal), our, their in zip(wanted.items(), ours, theirs, strict=True)]
    for what, reached, goal in goals:
        print(f"{'ok  ' if reached >= goal else 'MISS'} {what}, mlflow's / ours: {reached:.2f}, goal {goal:.2f}")
    return int(any(reached < goal for _, reached, goal in goals))


if __name__ == "__main__":
    sys.exit(main())
