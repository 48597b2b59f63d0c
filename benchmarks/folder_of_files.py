"""Goals for versioning a folder of 20,000 small files (about 200 MB), beside `dvc add`, as whole commands.

    python benchmarks/folder_of_files.py --dvc /envs/dvc/bin/dvc [--rounds 3] [--files 20000]

Each round starts from a new project (ours) and a new repository (dvc, with analytics off) with a copy of the same folder. Timed are, as
whole processes with their start: adding the folder the first time, adding it again with one file changed, and adding it unchanged. Ours
makes a table of the files with their media types, besides storing them; so the part of it that dvc does as well, storing the files, is
timed inside one process too. What no such command can do without stands beside: a command that only lists the datasets, and one look at
each file of the folder.

    first time           at least 5x less CPU than dvc
    one file changed     at least 10x less CPU than dvc

Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from side_by_side import Spent, machine, measure, run, versions

GOALS = {"first time": 5.0, "one file changed": 10.0}
JOBS = ("first time", "one file changed", "unchanged")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dvc", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=20_000)
    asked = parser.parse_args()
    spent: dict[tuple[str, str], list[Spent]] = {}
    with tempfile.TemporaryDirectory() as name:
        source = make_files(Path(name) / "source", asked.files)
        for turn in range(asked.rounds):
            places = {"sampan": new_project(Path(name), source), "dvc": new_repository(Path(name), source, asked.dvc)}
            time.sleep(3)  # files written to a moment ago are not trusted to stay as they are
            commands = {
                "sampan": [Path(sys.executable).parent / "sampan", "--project", places["sampan"], "data", "add", places["sampan"] / "data"],
                "dvc": [asked.dvc, "--cd", places["dvc"], "add", "-q", "data"],
            }
            for job in JOBS:
                for system, command in commands.items():
                    if job == "one file changed":
                        (places[system] / "data" / "00" / "00000.bin").write_bytes(b"changed %d" % turn)
                    spent.setdefault((job, system), []).append(measure(command))
            for job, took in store_alone(places["sampan"], turn).items():
                spent.setdefault((job, "storing alone"), []).append(took)
            only_list = [*commands["sampan"][:3], "data", "list"]
            spent.setdefault(("unchanged", "only data list"), []).append(measure(only_list))
            folder = places["sampan"] / "data"
            spent.setdefault(("unchanged", "a look at each"), []).append(measure(partial(look_at_each, folder)))
            for place in places.values():
                shutil.rmtree(place)
    print(machine(), versions("sampan"), "dvc " + run([asked.dvc, "--version"]).strip(), f"{asked.files:,} files", sep=", ")
    medians = {which: statistics.median(one.cpu_s for one in runs) for which, runs in spent.items()}
    walls = {which: statistics.median(one.wall_s for one in runs) for which, runs in spent.items()}
    print(f"{'':18} {'':14} {'cpu s':>8} {'wall s':>8} {'dvc / ours, cpu':>16}")
    for (job, system), cpu in medians.items():
        print(f"{job:18} {system:14} {cpu:8.2f} {walls[job, system]:8.2f} {medians[job, 'dvc'] / cpu:15.1f}x")
    missed = [job for job, goal in GOALS.items() if medians[job, "dvc"] / medians[job, "sampan"] < goal]
    for job, goal in GOALS.items():
        print(f"{'MISSED' if job in missed else 'ok    '} {job}: goal at least {goal:g}x less CPU than dvc")
    return 1 if missed else 0


def make_files(folder: Path, n_files: int) -> Path:
    """Write files of 2 to 18 kB that do not compress, in 100 folders."""
    rng = random.Random(3)
    for number in range(n_files):
        path = folder / f"{number % 100:02d}" / f"{number:05d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randint(2_000, 18_000)))
    return folder


def new_project(home: Path, source: Path) -> Path:
    """Lay out a project of ours."""
    place = home / "ours"
    place.mkdir()
    (place / "sampan.toml").write_text("[project]\nname = 'files'\n")
    shutil.copytree(source, place / "data")
    return place


def new_repository(home: Path, source: Path, dvc: Path) -> Path:
    """Lay out a repository of dvc's."""
    place = home / "theirs"
    place.mkdir()
    run(["git", "init", "-q", place])
    run([dvc, "--cd", place, "init", "-q"])
    run([dvc, "--cd", place, "config", "core.analytics", "false"])
    shutil.copytree(source, place / "data")
    return place


def look_at_each(folder: Path) -> int:
    """Ask the system for the size and age of every file: the least that says whether one has changed."""
    folders = [entry.path for entry in os.scandir(folder)]
    return sum(entry.stat().st_size for one in folders for entry in os.scandir(one))


def store_alone(project: Path, turn: int) -> dict[str, Spent]:
    """Time what both do, storing the files, in this process and in a new store."""
    from sampan.store.blobs import LocalBlobs
    from sampan.store.folder_files import adopt_folder

    folder, root = project / "data", project / "another-store"

    def adopt() -> None:
        adopt_folder(LocalBlobs(root), folder)

    found = {"first time": measure(adopt)}
    (folder / "00" / "00001.bin").write_bytes(b"changed too %d" % turn)
    return {**found, "one file changed": measure(adopt), "unchanged": measure(adopt)}


if __name__ == "__main__":
    raise SystemExit(main())
