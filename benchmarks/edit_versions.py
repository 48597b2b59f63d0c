"""Goals for edits of a large table and for reading it afterwards, beside Lance and delta-rs in one run.

    python benchmarks/edit_versions.py --peer-python tables=/envs/tables/bin/python [--copies 30] [--rounds 3]

The table is the flights grown to 10.1 million rows (30 copies). Every system writes its rows in its own layout ("adopted": our store takes
the Parquet file that Polars wrote as it is, which costs nothing then and more at each reading; shown, not judged), then in this order:
replaces 1 % of the rows by key, adds a label column by key (the labels are shuffled), deletes one subject; then the newest version is read
whole, and the rows with 1,000 random keys, five times with other keys (the median counts). We do both again from a cached version
(`Tables.cache`, an uncompressed file that is mapped), and add a column of it up, since mapping alone reads nothing. Each system runs in a
process of its own, in turns, and reads its first version whole before the clock
starts; times are of the call alone, imports and reading of the edits' input left out. "Growth" is what the folder grew by.

    upsert 1 %                  at most Lance's wall time; 10x less CPU than delta-rs; growth at most 1.5x the changed rows' Parquet
    label column, by key        at most Lance's wall time; growth at most 1.2x the column's Parquet
    delete one subject          at most Lance's wall time; growth at most 1 MB
    read the head, 1,000 rows   at most 1.2x the better of the two

Exits with 1 if a goal is missed. Row counts and one column's sum are compared between the systems.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SYSTEMS = ("sampan", "lance", "delta-rs", "adopted")
JOBS = ("upsert 1 %", "label column", "delete subject", "read head", "1,000 rows", "cache", "read cached", "1,000 cached")
SUBJECT = 777
N_KEY_SETS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=30)
    parser.add_argument("--peer-python", default="", metavar="tables=PYTHON")
    parser.add_argument("--run", default="", help=argparse.SUPPRESS)
    parser.add_argument("--inputs", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print(json.dumps(run_one(asked.run, asked.inputs)))
        return 0
    from grown_flights import grown_flights
    from side_by_side import machine, versions

    peer = Path(asked.peer_python.partition("=")[2]) if asked.peer_python else None
    pythons = {"sampan": Path(sys.executable), "adopted": Path(sys.executable)} | ({"lance": peer, "delta-rs": peer} if peer else {})
    with tempfile.TemporaryDirectory() as name:
        inputs = Path(name)
        sizes = lay_out(grown_flights(asked.copies), inputs)
        found: dict[str, list[dict[str, Any]]] = {system: [] for system in pythons}
        for _ in range(asked.rounds):
            for system, python in pythons.items():
                found[system].append(in_process(python, system, inputs))
    print(machine(), f"{found['sampan'][0]['rows']:,} rows", f"{asked.rounds} rounds, medians", sep=", ")
    print(versions("sampan", "polars"), *([versions("pylance", "deltalake", "polars", python=peer)] if peer else []), sep="; peers ")
    check_same(found)
    medians = {system: median_of(rounds) for system, rounds in found.items()}
    print_table(medians)
    return judge(medians, sizes) if peer else 0


def lay_out(source: Path, folder: Path) -> dict[str, int]:
    """Write what the edits need; return the size of the changed rows and of the column as Parquet."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(7)
    (folder / "table.parquet").symlink_to(source)
    n_rows = int(pl.scan_parquet(source).select(pl.len()).collect().item())
    ids = pl.Series("id", np.sort(rng.choice(n_rows, n_rows // 100, replace=False)))
    changed = pl.scan_parquet(source).filter(pl.col("id").is_in(ids.implode())).with_columns(pl.col("fare") + 1).collect()
    changed.write_parquet(folder / "changed.parquet", compression="zstd", compression_level=1)
    labels = pl.DataFrame({"id": rng.permutation(n_rows), "late": rng.random(n_rows) < 0.2})
    labels.write_parquet(folder / "labels.parquet", compression="zstd", compression_level=1)
    labels.sort("id").select("late").write_parquet(folder / "column.parquet", compression="zstd", compression_level=1)
    sets = [pl.DataFrame({"id": rng.choice(n_rows, 1000, replace=False), "set": number}) for number in range(2 * N_KEY_SETS)]
    pl.concat(sets).write_parquet(folder / "keys.parquet")
    return {name: (folder / f"{name}.parquet").stat().st_size for name in ("changed", "column")}


def in_process(python: Path, system: str, inputs: Path) -> dict[str, Any]:
    """Run a system's jobs in a process of its own."""
    command = [python, __file__, "--run", system, "--inputs", inputs]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{system} failed\n{done.stdout}{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def run_one(system: str, inputs: Path) -> dict[str, Any]:
    """Do the jobs in this process and say what each took."""
    folder = Path(tempfile.mkdtemp(prefix=f"{system}-"))
    try:
        jobs = {"sampan": sampan_jobs, "adopted": adopted_jobs, "lance": lance_jobs, "delta-rs": delta_jobs}[system](inputs, folder)
        jobs.pop("ingest")()
        jobs.pop("warm up")()
        told: dict[str, Any] = {}
        for name in (job for job in JOBS if job in jobs):
            os.sync()
            before = bytes_of(folder)
            runs = [timed(jobs[name]) for _ in range(N_KEY_SETS if name.startswith("1,000") else 1)]
            answer = runs[-1][2]
            wall, cpu = (statistics.median(run[i] for run in runs) for i in range(2))
            told[name] = {"wall": wall, "cpu": cpu, "growth": bytes_of(folder) - before}
            if name == "read head":
                told["rows"], told["sum"] = answer.num_rows if hasattr(answer, "num_rows") else answer.height, sum_of(answer)
            del answer
        told["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return told
    finally:
        shutil.rmtree(folder)


def timed(job: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return what a call takes, wall and CPU, and its answer."""
    wall, cpu = time.perf_counter(), cpu_s()
    answer = job()
    return time.perf_counter() - wall, cpu_s() - cpu, answer


Jobs = dict[str, Callable[[], Any]]


def sampan_jobs(inputs: Path, folder: Path) -> Jobs:
    """Return the jobs on a store of ours that writes the table."""
    import polars as pl

    return our_jobs(inputs, folder, lambda tables, file: tables.create(pl.scan_parquet(file)).digest)


def adopted_jobs(inputs: Path, folder: Path) -> Jobs:
    """Return the jobs on a store of ours that takes the file as it is."""
    return our_jobs(inputs, folder, lambda tables, file: tables.adopt(file).digest)


def our_jobs(inputs: Path, folder: Path, take_in: Callable[[Any, Path], str]) -> Jobs:
    """Return the jobs on a store of ours."""
    import polars as pl

    from sampan.store.blobs import LocalBlobs
    from sampan.store.tables import Tables, cached, taking

    del cached, taking  # imported before the clock starts, as the peers' are
    tables = Tables(LocalBlobs(folder), cache=folder / "cache" / "tables")
    changed, labels = pl.read_parquet(inputs / "changed.parquet"), pl.read_parquet(inputs / "labels.parquet")
    keys = iter(pl.read_parquet(inputs / "keys.parquet").partition_by("set", include_key=False))
    at: list[str] = []
    return {
        "ingest": lambda: at.append(take_in(tables, inputs / "table.parquet")),
        "upsert 1 %": lambda: at.append(tables.upsert(at[-1], changed, key=["id"]).digest),
        "label column": lambda: at.append(tables.join(at[-1], labels, key=["id"]).digest),
        "delete subject": lambda: at.append(tables.delete(at[-1], pl.col("subject") == SUBJECT).digest),
        "warm up": lambda: tables.read(at[-1]),
        "read head": lambda: tables.read(at[-1]),
        "1,000 rows": lambda: tables.rows_with(at[-1], next(keys)),
        "cache": lambda: tables.cache(at[-1]),
        "read cached": lambda: sum_of(tables.read(at[-1])),
        "1,000 cached": lambda: tables.rows_with(at[-1], next(keys)),
    }


def lance_jobs(inputs: Path, folder: Path) -> Jobs:
    """Return the jobs on a Lance dataset."""
    import lance
    import polars as pl

    changed = pl.read_parquet(inputs / "changed.parquet").to_arrow(compat_level=pl.CompatLevel.oldest())
    labels = pl.read_parquet(inputs / "labels.parquet").to_arrow()
    keys = iter(pl.read_parquet(inputs / "keys.parquet").partition_by("set", include_key=False))
    at = str(folder / "table.lance")

    def ingest() -> None:
        import pyarrow.parquet as pq

        file = pq.ParquetFile(inputs / "table.parquet")
        lance.write_dataset(file.iter_batches(131_072), at, schema=file.schema_arrow)

    return {
        "ingest": ingest,
        "warm up": lambda: lance.dataset(at).to_table(),
        "upsert 1 %": lambda: lance.dataset(at).merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(changed),
        "label column": lambda: lance.dataset(at).merge(labels, "id"),
        "delete subject": lambda: lance.dataset(at).delete(f"subject = {SUBJECT}"),
        "read head": lambda: lance.dataset(at).to_table(),
        "1,000 rows": lambda: lance.dataset(at).to_table(filter=f"id in ({','.join(map(str, next(keys)['id']))})"),
    }


def delta_jobs(inputs: Path, folder: Path) -> Jobs:
    """Return the jobs on a Delta table, written by delta-rs and read by Polars."""
    import polars as pl
    import pyarrow.parquet as pq
    from deltalake import DeltaTable, write_deltalake

    changed = pl.read_parquet(inputs / "changed.parquet").to_arrow(compat_level=pl.CompatLevel.oldest())
    labels = pl.read_parquet(inputs / "labels.parquet")
    keys = iter(pl.read_parquet(inputs / "keys.parquet").partition_by("set", include_key=False))
    at = str(folder / "table")

    def ingest() -> None:
        write_deltalake(at, pq.ParquetFile(inputs / "table.parquet").read())

    def upsert() -> None:
        merge = DeltaTable(at).merge(changed, predicate="t.id = s.id", source_alias="s", target_alias="t")
        merge.when_matched_update_all().when_not_matched_insert_all().execute()

    def label() -> None:
        joined = pl.scan_delta(at).join(labels.lazy(), on="id", how="left").collect()
        write_deltalake(at, joined.to_arrow(compat_level=pl.CompatLevel.oldest()), mode="overwrite", schema_mode="overwrite")

    return {
        "ingest": ingest,
        "warm up": lambda: pl.read_delta(at),
        "upsert 1 %": upsert,
        "label column": label,
        "delete subject": lambda: DeltaTable(at).delete(f"subject = {SUBJECT}"),
        "read head": lambda: pl.read_delta(at),
        "1,000 rows": lambda: pl.scan_delta(at).filter(pl.col("id").is_in(next(keys)["id"].implode())).collect(),
    }


def check_same(found: dict[str, list[dict[str, Any]]]) -> None:
    """Stop if the systems do not hold the same rows after all edits."""
    answers = {(round_["rows"], round(round_["sum"], 2)) for rounds in found.values() for round_ in rounds}
    if len(answers) != 1:
        raise SystemExit(f"the systems differ in rows and sum of fares: {answers}")


def median_of(rounds: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return each job's medians over the rounds."""
    found = [job for job in JOBS if job in rounds[0]]
    return {job: {what: statistics.median(r[job][what] for r in rounds) for what in ("wall", "cpu", "growth")} for job in found}


def print_table(medians: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print wall, CPU and growth of each job and system."""
    print(f"{'':16}" + "".join(f"{system:>32}" for system in medians))
    print(f"{'':16}" + f"{'wall s':>12}{'cpu s':>9}{'growth MB':>11}" * len(medians))
    for job in JOBS:
        cells = (
            f"{m[job]['wall']:>12.3f}{m[job]['cpu']:>9.3f}{m[job]['growth'] / 1e6:>11.2f}" if job in m else " " * 32
            for m in medians.values()
        )
        print(f"{job:16}" + "".join(cells))


def judge(medians: dict[str, dict[str, dict[str, float]]], sizes: dict[str, int]) -> int:
    """Print what was reached; return 1 if anything was not."""
    ours, lance, delta, _adopted = (medians[system] for system in SYSTEMS)
    goals: list[tuple[bool, str]] = []
    for job in ("upsert 1 %", "label column", "delete subject"):
        times = ours[job]["wall"] / lance[job]["wall"]
        goals.append((times <= 1, f"{job}: {times:.2f}x Lance's wall time, goal: at most 1x"))
    less = delta["upsert 1 %"]["cpu"] / ours["upsert 1 %"]["cpu"]
    goals.append((less >= 10, f"upsert 1 %: {less:.0f}x less CPU than delta-rs, goal: at least 10x"))
    for job, of, most in (("upsert 1 %", "changed", 1.5), ("label column", "column", 1.2)):
        growth = ours[job]["growth"] / sizes[of]
        goals.append((growth <= most, f"{job}: the store grows by {growth:.2f}x what is new as Parquet, goal: at most {most:g}x"))
    goals.append(
        (ours["delete subject"]["growth"] <= 1e6, f"delete subject: growth {ours['delete subject']['growth'] / 1e6:.2f} MB, goal: 1")
    )
    for job, cached in (("read head", "read cached"), ("1,000 rows", "1,000 cached")):
        best = min(lance[job]["wall"], delta[job]["wall"])
        best_cpu = min(lance[job]["cpu"], delta[job]["cpu"])
        for ours_is in (job, cached):
            times, cpu = ours[ours_is]["wall"] / best, ours[ours_is]["cpu"] / best_cpu
            goals.append((times <= 1.2, f"{ours_is}: {times:.2f}x the better peer (CPU {cpu:.2f}x), goal: at most 1.2x"))
    for is_reached, told in goals:
        print("reached " if is_reached else "MISSED  ", told)
    return 0 if all(is_reached for is_reached, _ in goals) else 1


def sum_of(answer: Any) -> float:
    """Add one column up, whatever holds it."""
    column = answer["fare"]
    return float(column.sum()) if not hasattr(column, "chunks") else float(__import__("pyarrow.compute").compute.sum(column).as_py())


def bytes_of(folder: Path) -> int:
    """Return what the files of a folder hold."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def cpu_s() -> float:
    """Return the CPU seconds this process used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
