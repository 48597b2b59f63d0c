"""Goal: from an empty environment to the first live, watched prediction in 4 commands and 0 configuration files.

    python benchmarks/newcomer.py

Types the four commands of the README for `examples/churn` in a fresh virtual environment and an empty folder, then asks the live service
for a prediction and looks for it in the log that monitoring reads. Every command and file is counted. The peer's counts are from the
research behind this project, by hand from its documentation: MLflow 3 with Evidently, 9 commands, 1 file to edit, 3 processes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROW = {"customer": 1, "asked": 1_700_000_000_000, "months": 3, "late_bills": 2, "region": "north", "left": None}
PEER = ("MLflow 3 + Evidently", 9, 1)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder, venv = Path(scratch) / "churn", Path(scratch) / "venv"
        shutil.copytree(ROOT / "examples" / "churn", folder)
        uv = str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(venv)], check=True)
        typed = [
            [uv, "pip", "install", "-q", "--python", str(venv / "bin" / "python"), f"{ROOT}[train]"],
            ["sampan", "run", "train.py"],
            ["sampan", "ship", "churn"],
            ["sampan", "status"],
        ]
        began = time.monotonic()
        for command in typed:
            words = command if command[0] == uv else [str(venv / "bin" / "sampan"), *command[1:]]
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
            print(f"$ {'pip install sampan[train]' if command[0] == uv else ' '.join(command)}   ({time.monotonic() - began:.0f} s so far)")
            if done.returncode:
                raise SystemExit(done.stdout + done.stderr)
        print(done.stdout)
        report(folder, venv, len(typed))


def report(folder: Path, venv: Path, n_commands: int) -> None:
    """Ask for a prediction, find it logged, print the counts."""
    sampan = str(venv / "bin" / "sampan")

    def told(*words: str) -> dict[str, object]:
        return json.loads(subprocess.run([sampan, *words, "--json"], cwd=folder, capture_output=True, text=True, check=True).stdout)

    try:
        url = str(told("service", "show", "churn")["url"])
        row = {name: value for name, value in ROW.items() if name != "left"}
        request = urllib.request.Request(f"{url}/predict", json.dumps(row).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            print("prediction:", answer.read().decode())
        window = told("monitor", "window", "churn", "2023-11-01", "2023-12-01")
        print("seen by monitoring:", window["window"]["n_rows"], "row")  # type: ignore[index]
    finally:
        subprocess.run([sampan, "service", "stop", "churn"], cwd=folder, capture_output=True)
    configured = [p.name for p in folder.iterdir() if p.suffix in {".toml", ".yaml", ".yml", ".ini", ".cfg"}]
    print(f"{'':<24}commands  configuration files")
    print(f"{'sampan':<24}{n_commands:>8}  {len(configured):>19}   goal: 4 and 0")
    print(f"{PEER[0]:<24}{PEER[1]:>8}  {PEER[2]:>19}")


if __name__ == "__main__":
    main()
