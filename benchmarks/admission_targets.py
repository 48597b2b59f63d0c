"""How often admission catches wrong labels of several classes, and wrong numbers; writes docs/reference/admission-rates-other-labels.md.

    ADMISSION_SETS=/folder/site-packages python benchmarks/admission_targets.py --out /folder/targets.jsonl

Nothing was chosen on these labels and seeds: limits are those chosen on tables with two classes (see admission_table.py). What was judged
before and stands in --out is not judged again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from admission_sets import _r
from planted_faults import Arrival, corrupt, shuffle
from sklearn.datasets import load_digits

from sampan.evaluation.admission.judge import judge
from sampan.evaluation.admission.learner import Learner
from sampan.evaluation.admission.table import read_table
from sampan.table.targets import target_of

MOST_BASE, MOST_BATCH = 4_000, 1_000
SEEDS = range(100, 110)
PAGE = Path(__file__).parent.parent / "docs/reference/admission-rates-other-labels.md"


@dataclass(frozen=True, slots=True)
class Asked:
    """A table, and the column that is its label; columns that tell the label are left out."""

    frame: pl.DataFrame
    label: str
    without: tuple[str, ...] = ()


def digits() -> Asked:
    """Read handwritten digits, 8 by 8 pixels."""
    found = load_digits()
    return Asked(pl.DataFrame(found.data, schema=[f"p{i}" for i in range(64)]).with_columns(digit=pl.Series(found.target)), "digit")


SETS: dict[str, Callable[[], Asked]] = {
    "digits (10 classes)": digits,
    "diamonds: cut (5 classes)": lambda: Asked(_r("ggplot2", "diamonds"), "cut"),
    "CPS1988: region (4 classes)": lambda: Asked(_r("AER", "CPS1988"), "region"),
    "diamonds: price": lambda: Asked(_r("ggplot2", "diamonds"), "price"),
    "CPS1988: wage": lambda: Asked(_r("AER", "CPS1988"), "wage"),
    "ames: sale price": lambda: Asked(_r("modeldata", "ames"), "Sale_Price"),
}


def exchange(share: float) -> Callable[[Arrival, np.random.Generator, int], Arrival]:
    """Give a share of the rows another class, or the number of another row."""

    def plant(arrival: Arrival, rng: np.random.Generator, n_classes: int) -> Arrival:
        turned = rng.random(len(arrival.labels)) < share
        other = (
            (arrival.labels + rng.integers(1, n_classes, len(arrival.labels))) % n_classes if n_classes else rng.permutation(arrival.labels)
        )
        return arrival.relabeled(np.where(turned, other, arrival.labels))

    return plant


def leave(arrival: Arrival, rng: np.random.Generator, n_classes: int) -> Arrival:
    """Leave the batch as it is."""
    del rng, n_classes
    return arrival


def shuffle_labels(arrival: Arrival, rng: np.random.Generator, n_classes: int) -> Arrival:
    """Give the labels to other rows."""
    del n_classes
    return shuffle(arrival, rng)


def corrupt_column(arrival: Arrival, rng: np.random.Generator, n_classes: int) -> Arrival:
    """Spoil one of the five most important columns in 30 % of the rows."""
    del n_classes
    return corrupt(arrival, rng)


KINDS: dict[str, Callable[[Arrival, np.random.Generator, int], Arrival]] = {
    "clean": leave,
    "exchanged 5 %": exchange(0.05),
    "exchanged 10 %": exchange(0.1),
    "exchanged 20 %": exchange(0.2),
    "labels shuffled": shuffle_labels,
    "column corrupted": corrupt_column,
}


def main() -> None:
    """Judge what was not judged yet, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("/tmp/admission-targets.jsonl"))
    given = parser.parse_args()
    lines = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    done = {(line["set"], line["seed"], line["kind"]) for line in lines}
    with given.out.open("a") as out:
        for seed in SEEDS:
            for name, load in SETS.items():
                if missing := [kind for kind in KINDS if (name, seed, kind) not in done]:
                    asked = load()
                    for kind in missing:
                        lines.append(judge_one(name, asked, seed, kind))
                        out.write(json.dumps(lines[-1]) + "\n")
                        out.flush()
    PAGE.write_text(page(lines), encoding="utf-8")


def judge_one(name: str, asked: Asked, seed: int, kind: str) -> dict[str, object]:
    """Draw trusted rows and a batch, plant a fault and judge."""
    rng = np.random.default_rng([seed, [*SETS].index(name)])
    target = target_of(asked.frame[asked.label])
    labels, frame = target.values.to_numpy(), asked.frame.drop(asked.label, *asked.without)
    order = rng.permutation(len(labels))
    n_batch = min(MOST_BATCH, len(order) // 5)
    batch, base = order[:n_batch], order[n_batch : n_batch + MOST_BASE]
    read = read_table(frame[base], frame[batch], labels[base], labels[batch], classes=target.classes)
    gains = Learner(read.matrix, read.labels, [*read.categories], n_classes=len(target.classes)).fit(read.base).gains
    important = tuple(read.names[at] for at in np.argsort(-gains))
    arrival = Arrival(frame[base], labels[base], frame[batch], labels[batch], np.zeros(n_batch), important, np.zeros(n_batch, dtype=bool))
    spoiled = KINDS[kind](arrival, np.random.default_rng([seed, [*KINDS].index(kind)]), len(target.classes))
    began = time.process_time()
    table = read_table(spoiled.base, spoiled.batch, spoiled.base_labels, spoiled.labels, classes=target.classes)
    found = judge(table, np.random.default_rng(seed))
    cpu_s = round(time.process_time() - began, 2)
    return {"set": name, "seed": seed, "kind": kind, "verdict": found.verdict, "reasons": found.reasons, "cpu_s": cpu_s}


def page(lines: list[dict[str, object]]) -> str:
    """Write the reference page."""
    alarms: dict[tuple[object, object], list[bool]] = defaultdict(list)
    for line in lines:
        alarms[line["kind"], line["set"]].append(line["verdict"] in ("suspicious", "harmful"))
    rows = ["| batch | " + " | ".join(SETS) + " |", "|---|" + "---|" * len(SETS)]
    for kind in KINDS:
        cells = [f"{sum(alarms[kind, name])}/{len(alarms[kind, name])}" for name in SETS]
        rows.append(f"| {kind} | " + " | ".join(cells) + " |")
    head = Path(__file__).with_name("admission_targets_head.md").read_text(encoding="utf-8")
    return head + "\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
