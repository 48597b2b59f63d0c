"""How often admission catches planted faults, and how often it alarms without one; writes docs/reference/admission-rates.md.

    ADMISSION_SETS=/folder/site-packages python benchmarks/admission_table.py            # reporting sets and seeds, 100-109
    ADMISSION_SETS=/folder/site-packages python benchmarks/admission_table.py --tuning   # sets and seeds the limits were chosen on, 0-4

An alarm is the verdict suspicious or harmful. Rows come in months where the table has them (trusted rows: up to six months before), else at
random. Drift is the next month, or where there are none rows drawn more often the greater a number; a new category is a value, 5 to 30 % of
the batch, that no trusted row has. Both keep their true labels.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl
from admission_sets import REPORTING, TUNING, Labeled
from planted_faults import FAULTS, HONEST, Arrival

from sampan.evaluation.admission.judge import Judgment, judge
from sampan.evaluation.admission.learner import Learner
from sampan.evaluation.admission.table import read_table
from sampan.stats.intervals import wilson
from sampan.stats.ranking import auc

MOST_BASE, MOST_BATCH = 4_000, 1_000
PAGE = Path(__file__).parent.parent / "docs/reference/admission-rates.md"


def main() -> None:
    """Judge every fault on every set and seed that --out has not yet, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--sets", default="", help="only these, with commas")
    parser.add_argument("--kinds", default="", help="only these, with commas")
    parser.add_argument("--out", type=Path, default=Path("/tmp/admission.jsonl"), help="verdicts, a line each; what is there is kept")
    given = parser.parse_args()
    sets, first, n = (TUNING, 0, given.seeds or 5) if given.tuning else (REPORTING, 100, given.seeds or 10)
    kinds = given.kinds.split(",") if given.kinds else [*HONEST, *FAULTS]
    lines = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    done = {(line["set"], line["seed"], line["kind"]) for line in lines}
    cells = [(seed, name, kind) for seed in range(first, first + n) for name in sets for kind in kinds]
    wanted = [cell for cell in cells if (cell[1], cell[0], cell[2]) not in done and (not given.sets or cell[1] in given.sets.split(","))]
    loaded = {name: sets[name]() for name in dict.fromkeys(name for _, name, _ in wanted)}
    with given.out.open("a") as out:
        for (seed, name), of_draw in groupby(wanted, key=lambda cell: cell[:2]):
            for line in judge_all(loaded[name], seed, [kind for _, _, kind in of_draw]):
                lines.append(line)
                out.write(json.dumps(line) + "\n")
                out.flush()
    lines = [line for line in lines if line["set"] in sets]
    lines.sort(key=lambda line: [*sets].index(line["set"]))
    sys.stdout.write(table(lines))
    if not given.tuning and not given.sets and not given.kinds:
        PAGE.write_text(page(lines, n), encoding="utf-8")


def judge_all(labeled: Labeled, seed: int, kinds: list[str]) -> Iterator[dict[str, object]]:
    """Judge a batch of each kind that the set can show; faults are planted in the clean one."""
    drawn = {kind: kind if kind in HONEST else "clean" for kind in kinds}
    arrivals = {kind: arrive(labeled, kind, np.random.default_rng([seed, HONEST.index(kind)])) for kind in set(drawn.values())}
    for kind in kinds:
        found = arrivals[drawn[kind]]
        if found is None:
            continue
        rng = np.random.default_rng([seed, 100 + [*HONEST, *FAULTS].index(kind)])
        arrival, moments = found
        if kind in FAULTS:
            arrival = FAULTS[kind](arrival, rng)
        began = time.process_time()
        read = read_table(arrival.base, arrival.batch, arrival.base_labels, arrival.labels)
        judgment = judge(read, rng, moments=moments)
        cpu_s = round(time.process_time() - began, 2)
        yield {"set": labeled.name, "seed": seed, "kind": kind, "cpu_s": cpu_s, **shown(judgment, arrival)}


def shown(judgment: Judgment, arrival: Arrival) -> dict[str, object]:
    """What one verdict is remembered by."""
    wrong, labels = arrival.wrong, judgment.labels
    row_auc = auc(wrong.astype(float), judgment.surprise) if 0 < wrong.sum() < len(wrong) else None
    marked = judgment.suspicious
    return {
        "verdict": judgment.verdict,
        "reasons": judgment.reasons,
        "row_auc": row_auc,
        "precision": float(wrong[marked].mean()) if marked.any() else None,
        "recall": float(marked[wrong].mean()) if wrong.any() else None,
        "share": labels.share.value if labels else None,
        "own": labels.own.value if labels else None,
        "figures": judgment.figures,
        "limits": {"share": labels.share_usual.limit, "own": labels.own_usual.limit} if labels else {},
    }


def arrive(labeled: Labeled, kind: str, rng: np.random.Generator) -> tuple[Arrival, np.ndarray | None] | None:
    """Draw trusted rows and a batch; None where the set cannot show this kind."""
    split = _by_month(labeled, rng) if labeled.months is not None else _at_random(labeled, kind, rng)
    if kind == "new category":
        split = _withhold(labeled, split, rng)
    if split is None:
        return None
    base, batch = split
    batch = batch[:MOST_BATCH]
    moments = labeled.months[base] * 30 * 86_400_000 if labeled.months is not None else None
    arrival = _arrival(labeled, base, batch)
    return arrival, moments


def _at_random(labeled: Labeled, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    order = rng.permutation(len(labeled.labels))
    n_batch = min(MOST_BATCH, len(order) // 5)
    if kind == "drift":
        numbers = [name for name in labeled.frame.columns if labeled.frame[name].dtype.is_numeric() and labeled.frame[name].n_unique() > 20]
        ranks = labeled.frame[numbers[rng.integers(len(numbers))]].fill_null(strategy="mean").rank().to_numpy() / len(order)
        weights = np.exp(1.5 * ranks)
        batch = rng.choice(len(order), n_batch, replace=False, p=weights / weights.sum())
        return rng.permutation(np.setdiff1d(order, batch))[:MOST_BASE], batch
    return order[n_batch : n_batch + MOST_BASE], order[:n_batch]


def _by_month(labeled: Labeled, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    assert labeled.months is not None
    months = np.unique(labeled.months)
    month = months[rng.integers(6, len(months))]
    before = np.flatnonzero((labeled.months < month) & (labeled.months >= month - 6))
    now = np.flatnonzero(labeled.months == month)
    return np.sort(rng.permutation(before)[:MOST_BASE]), rng.permutation(now)[:MOST_BATCH]


def _withhold(labeled: Labeled, split: tuple[np.ndarray, np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    base, batch = split
    fitting = []
    for name in labeled.frame.columns:
        if labeled.frame[name].dtype == pl.String or labeled.frame[name].dtype == pl.Categorical:
            column = labeled.frame[name].cast(pl.String)[batch]
            counts = column.value_counts()
            fitting += [(name, value) for value, n in counts.iter_rows() if value is not None and 0.05 <= n / len(batch) <= 0.3]
    if not fitting:
        return None
    name, value = sorted(fitting)[rng.integers(len(fitting))]
    has = (labeled.frame[name].cast(pl.String) == value).fill_null(value=False).to_numpy()
    return base[~has[base]], batch


def _arrival(labeled: Labeled, base: np.ndarray, batch: np.ndarray) -> Arrival:
    trusted, arriving = labeled.frame[base], labeled.frame[batch]
    read = read_table(trusted, arriving, labeled.labels[base], labeled.labels[batch])
    model = Learner(read.matrix, read.labels, [*read.categories]).fit(read.base)
    chances = model(read.matrix[read.n_base :])
    rng = np.random.default_rng(0)
    losses = []
    for column in range(len(read.names)):
        moved = read.matrix[read.n_base :].copy()
        moved[:, column] = rng.permutation(moved[:, column])
        losses.append(auc(read.labels[read.n_base :], model(moved)))
    important = tuple(read.names[i] for i in np.argsort(losses) if read.names[i] in trusted.columns)
    return Arrival(trusted, labeled.labels[base], arriving, labeled.labels[batch], chances, important, np.zeros(len(batch), dtype=bool))


def table(lines: list[dict[str, object]]) -> str:
    """Lay the rates out, a row for each kind and a column for each set."""
    sets = list(dict.fromkeys(str(line["set"]) for line in lines))
    head = "| batch | alarm | " + " | ".join(sets) + " | row AUC |\n"
    rows = [head, "|---|---|" + "---|" * (len(sets) + 1) + "\n"]
    for kind in (*HONEST, *FAULTS):
        own = [line for line in lines if line["kind"] == kind]
        if not own:
            continue
        by_set = defaultdict(list)
        for line in own:
            by_set[line["set"]].append(line["verdict"] in ("suspicious", "harmful"))
        alarms = [alarm for each in by_set.values() for alarm in each]
        cells = [f"{sum(by_set[name])}/{len(by_set[name])}" if by_set[name] else "–" for name in sets]
        areas = [float(str(line["row_auc"])) for line in own if line["row_auc"] is not None and kind not in ("half repeated",)]
        area = f"{np.median(areas):.2f}" if areas else "–"
        low, high = wilson(sum(alarms), len(alarms))
        rate = f"{sum(alarms)}/{len(alarms)} = {sum(alarms) / len(alarms):.0%} ({low:.0%} to {high:.0%})"
        rows.append(f"| {kind} | {rate} | {' | '.join(cells)} | {area} |\n")
    return "".join(rows)


def page(lines: list[dict[str, object]], n_seeds: int) -> str:
    """Write the reference page."""
    intro = Path(__file__).with_name("admission_rates_head.md").read_text(encoding="utf-8")
    return intro.format(n_seeds=n_seeds, last_seed=99 + n_seeds, base=f"{MOST_BASE:,}", batch=f"{MOST_BATCH:,}") + "\n" + table(lines)


if __name__ == "__main__":
    main()
