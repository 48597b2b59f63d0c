"""Goals: a contract drafted from the flights of January to June finds 4 of 4 planted faults in July to December, and warns of no other row.

    python benchmarks/inferred_contract.py --peer-python tfdv=/envs/tfdv/bin/python    (tensorflow-data-validation, dill, pyarrow)

Also: how many rules of the draft break in faultless deliveries, beside the number the draft itself expects. The second half year cut into
six parts is one check of that; other public tables, in random order cut into halves, are more (there, "deliveries a year" means nothing, so
one delivery is compared with a twelfth). The margins of the rules were set on the flights; the other tables only checked them. Pandera's
`infer_schema` gets the same task. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from pathlib import Path

import polars as pl
from grown_flights import flights
from side_by_side import machine, measure, run, versions

from sampan.data.checking import check_table
from sampan.data.contract import Contract, count_rules
from sampan.data.false_alarms import MONTHLY, N_PARTS
from sampan.data.inference import infer_contract

MOST_WARNINGS = 1
PLANTED = {"month": 70, "distance": 50, "carrier": 100, "origin": 40}
TFDV = """
import json, sys, pandas as pd, tensorflow_data_validation as tfdv
first, second, planted = (tfdv.generate_statistics_from_dataframe(pd.read_parquet(file)) for file in sys.argv[1:4])
schema = tfdv.infer_schema(first)
named = [sorted(tfdv.validate_statistics(one, schema).anomaly_info) for one in (second, planted)]
print(json.dumps(named))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", default="", metavar="tfdv=PYTHON")
    peer = parser.parse_args().peer_python.partition("=")[2]
    table = flights().with_columns(pl.col("time_hour").str.to_datetime(time_zone="UTC", strict=False))
    first, second = table.filter(pl.col("month") <= 6), table.filter(pl.col("month") > 6)
    faulty = plant(second)
    print(machine())
    print(versions("sampan", "polars", "pandera"), *([versions("tensorflow-data-validation", python=peer)] if peer else []), sep=", ")
    drafts: list[Contract] = []
    spent = measure(lambda: drafts.append(infer_contract("flights", first)))
    contract = drafts[-1]
    print(f"drafted {count_rules(contract)} rules from {first.height:,} rows in {spent.cpu_s:.2f} s CPU")

    clean, dirty = check_table(contract, second), check_table(contract, faulty)
    found = {f.columns[0]: f.count for f in dirty.findings if f.columns in {(name,) for name in PLANTED}}
    warned = sum(f.level == "warn" for f in clean.findings)
    blocked = sum(f.level == "block" for f in clean.findings)
    print(f"sampan: {found} of {PLANTED}; on {second.height:,} faultless rows {warned} warnings, {blocked} blocks")
    print(f"pandera infer_schema: {ask_pandera(first, second, faulty)}")
    if peer:
        print(f"TFDV infer_schema: {ask_tfdv(peer, first, second, faulty)}")
    say_false_alarms(contract, second)

    goals = (
        (found == PLANTED, "4 of 4 kinds of planted faults, with their counts"),
        (
            warned <= MOST_WARNINGS and not blocked,
            f"{warned} warnings and {blocked} blocks on faultless rows, goal: at most {MOST_WARNINGS}, 0",
        ),
    )
    for reached, told in goals:
        print("reached " if reached else "MISSED  ", told)
    return 0 if all(reached for reached, _ in goals) else 1


def plant(table: pl.DataFrame) -> pl.DataFrame:
    row = pl.int_range(table.height)
    return table.with_columns(
        month=pl.when(row < 70).then(13).otherwise("month"),
        distance=pl.when(row.is_between(100, 149)).then(-1).otherwise("distance"),
        carrier=pl.when(row.is_between(200, 299)).then(pl.lit("ua")).otherwise("carrier"),
        origin=pl.when(row.is_between(300, 339)).then(None).otherwise("origin"),
    )


def ask_pandera(first: pl.DataFrame, second: pl.DataFrame, faulty: pl.DataFrame) -> str:
    """Infer with pandas, which is what Pandera infers from, and say what breaks."""
    warnings.simplefilter("ignore")
    import pandera.errors
    import pandera.pandas as pa

    schema = pa.infer_schema(first.to_pandas())

    def failures(table: pl.DataFrame) -> pl.DataFrame:
        try:
            schema.validate(table.to_pandas(), lazy=True)
        except pandera.errors.SchemaErrors as errors:
            return pl.DataFrame({name: errors.failure_cases[name].astype(str).to_list() for name in ("column", "index")})
        return pl.DataFrame({"column": [], "index": []})

    clean, dirty = failures(second), failures(faulty)
    rows = {"month": 0, "distance": 100, "carrier": 200, "origin": 300}
    kinds = [name for name, row in rows.items() if dirty.filter(pl.col("column") == name, pl.col("index") == str(row)).height]
    without = f"{clean.height:,} cells of {clean['column'].n_unique()} columns fail without a fault"
    return f"finds {len(kinds)} of 4 ({', '.join(kinds)}); {without}"


def ask_tfdv(python: str, *tables: pl.DataFrame) -> str:
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / f"{i}.parquet" for i in range(len(tables))]
        for table, file in zip(tables, files, strict=True):
            table.with_columns(pl.col(pl.Datetime).cast(pl.String)).write_parquet(file)
        clean, dirty = json.loads(run([python, "-c", TFDV, *files]).splitlines()[-1])
    kinds = [name for name in PLANTED if name in dirty and name not in clean]
    return f"finds {len(kinds)} of 4 ({', '.join(kinds)}); {len(clean)} anomalies without a fault ({', '.join(clean)})"


def say_false_alarms(contract: Contract, second: pl.DataFrame) -> None:
    """Compare the false alarms that the drafts expect with those that happen."""
    expected = sum(rule.false_alarms or 0 for rule in contract.rules) / 2
    size = -(-second.height // N_PARTS)
    ordered = second.sort("time_hour")
    happened = sum(len(check_table(contract, ordered.slice(i * size, size)).findings) for i in range(N_PARTS))
    print(f"flights, six deliveries of the second half year: {happened} false alarms, {expected:.1f} expected")
    from sklearn import datasets

    for name in ("diabetes", "breast_cancer", "wine", "iris"):
        whole = pl.from_pandas(getattr(datasets, f"load_{name}")(as_frame=True).frame)
        happened, expected = 0, 0.0
        for seed in range(10):
            half = whole.height // 2
            mixed = whole.sample(fraction=1, shuffle=True, seed=seed)
            draft = infer_contract(name, mixed.head(half))
            delivery = mixed.slice(half, half // N_PARTS)
            happened += len(check_table(draft, delivery).findings)
            expected += sum(rule.false_alarms or 0 for rule in draft.rules) / MONTHLY
        print(f"{name}, ten drafts and a delivery each: {happened} false alarms, {expected:.1f} expected")


if __name__ == "__main__":
    sys.exit(main())
