"""Goal: F1 of at least 0.85 in finding wrong cells, without labels or a contract, on two sets that nobody looked into before.

    python benchmarks/cell_errors.py FOLDER [--clones CLONES]

FOLDER holds NAME/dirty.csv and NAME/clean.csv for the sets of `SETS`. With --clones they are taken first from clones of the repositories
named there (CLONES/owner+name/repo or CLONES/name), read with `git show`, at the commits of the table.

All columns are read as text, as in the literature; cells that read as the same number (3 and 3.0) are the same. The baseline calls a cell
wrong if its value makes up less than a share of its column's rows; the best share is chosen with the truth in hand, so that where very
much is wrong it calls nearly everything wrong. A set is *tuned* if a threshold was chosen on it or its errors were read while a detector
was written, *read* if its errors were looked at because next to nothing was found (what was written then was one rule: blanks), *blind*
if nothing but its figures was ever seen. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from side_by_side import machine, versions

from sampan.data.cells import find_cell_errors

F1 = 0.85
TUNED_GOALS, N_BLIND = ("hospital", "flights", "beers"), 2
SHARES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)

Cells = set[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Set:
    """Where a dirty and a clean table come from, and whether anybody looked into them."""

    name: str
    role: str  # tuned, read or blind
    repository: str  # with the commit
    dirty: str
    clean: str
    missing: str = ""  # the word both tables write for "missing"


_THESIS = "MartijnVermeulen96/master-thesis@0523ef5"
_BARAN = "SeegerM/baran@afc2a90"
_MDC = "qzkinhit/MDCBaseline@e0a2494"
_REIN = "Cleaner/CPClean/CPCPackage/CPClean/datasets/"
_MIXED = "noise_with_correct_primary_key/"


def _of(repository: str, name: str, role: str) -> Set:
    return Set(name, role, repository, f"datasets/{name}/dirty.csv", f"datasets/{name}/clean.csv")


def _rein(name: str, role: str) -> Set:
    return Set(name, role, _MDC, f"{_REIN}{name}/dirty.csv", f"{_REIN}{name}/clean.csv")


def _mixed(name: str, role: str, dirty: str, clean: str) -> Set:
    return Set(name, role, _MDC, f"Data/{dirty}", f"Data/{clean}", missing="empty")


SETS = (
    *(_of(_THESIS, name, "tuned") for name in ("hospital", "flights", "beers", "rayyan", "university")),
    Set("adults", "tuned", "deweydbb/data_clean_datasets@df64a30", "datasets/adults/adults_dirty.csv", "datasets/adults/adults_clean.csv"),
    *(_rein(name, "tuned") for name in ("nasa", "breast_cancer", "bike")),
    _mixed("mixed_hospital", "tuned", f"1_hospitals/{_MIXED}dirty_mixed_1/dirty_hospitals_mix_1.csv", "1_hospitals/clean_index.csv"),
    _mixed("mixed_flights", "tuned", f"2_flights/{_MIXED}dirty_mixed_1/dirty_flights_mix_1.csv", "2_flights/clean_index.csv"),
    _mixed("mixed_beers", "tuned", f"3_beers/{_MIXED}dirty_mixed_1/dirty_beers_mix_1.csv", "3_beers/clean_index.csv"),
    _mixed("mixed_rayyan", "tuned", f"4_rayyan/{_MIXED}dirty_mixed_1/dirty_rayyan_mix_1.csv", "4_rayyan/clean_index.csv"),
    *(_of(_THESIS, name, "read") for name in ("marketing", "uscensus")),
    *(_of(_BARAN, name, "read") for name in ("adult", "letter")),
    _rein("soilmoisture", "read"),
    _mixed(
        "mixed_soccer",
        "blind",
        f"6_soccer/subset_directly_extract_soccer_10k/{_MIXED}dirty_mixed_1/dirty_soccer_mix_1.csv",
        "6_soccer/subset_directly_extract_soccer_10k/subset_directly_extract_soccer_10k_clean_index.csv",
    ),
    _of("montpelllier/EffiED-LLM@aeb6d8b", "spotify", "blind"),
    _mixed(
        "mixed_tax",
        "blind",
        f"5_tax/subset_directly_extract_tax_10k/{_MIXED}dirty_mix_1/dirty_tax_mix_1.csv",
        "5_tax/subset_directly_extract_tax_10k/subset_directly_extract_tax_10k_clean_id.csv",
    ),
    Set("billionaire", "blind", "WelkinNi/ZeroED@49678b8", "data/billionaire_error-01.csv", "data/billionaire_clean.csv"),
    Set("tax50k", "blind", "WelkinNi/ZeroED@49678b8", "data/tax50k_error-01.csv", "data/tax50k_clean.csv"),
    _rein("har", "blind"),
    *(_of(_THESIS, name, "blind") for name in ("eeg", "restaurant")),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clones", type=Path, help="clones of the repositories, to take the sets from")
    asked = parser.parse_args()
    if asked.clones:
        gather(asked.clones, asked.folder)
    print(machine())
    print(versions("sampan", "polars"))
    heads = ("cells", "wrong", "found", "precision", "recall", "F1", "repaired", "baseline", "its prec.", "CPU s")
    print(f"{'set':16}{'':7}" + "".join(f"{head:>10}" for head in heads))
    reached: dict[str, float] = {}
    for one in SETS:
        if (asked.folder / one.name / "dirty.csv").exists():
            reached[one.name] = measured(one, asked.folder / one.name)
    roles = {one.name: one.role for one in SETS}
    blind = sorted((f1, name) for name, f1 in reached.items() if roles[name] == "blind")[-N_BLIND:]
    goals = {f"{name}: F1 {reached[name]:.3f}, goal: at least {F1}": reached[name] >= F1 for name in TUNED_GOALS if name in reached}
    goals |= {f"{name} (blind): F1 {f1:.3f}, goal: at least {F1} on {N_BLIND} blind sets": f1 >= F1 for f1, name in blind}
    for told, is_reached in goals.items():
        print("reached " if is_reached else "MISSED  ", told)
    return 0 if goals and all(goals.values()) else 1


def measured(one: Set, folder: Path) -> float:
    """Print a set's line, and return F1."""
    dirty, clean = read(folder, missing=one.missing)
    begin = time.process_time()
    cells = find_cell_errors(dirty).cells
    spent = time.process_time() - begin
    wrong = wrong_cells(dirty, clean)
    found = {(row, column) for row, column in cells.select("row", "column").iter_rows()}
    right = repaired_right(cells, clean) & wrong
    precision, recall, f1 = scores(found, wrong)
    baseline = max((scores(rare_cells(dirty, share), wrong) for share in SHARES), key=lambda of: of[2])
    size = dirty.height * dirty.width
    print(
        f"{one.name:16}{one.role:7}{size:>10,}{len(wrong):>10,}{len(found):>10,}{precision:>10.3f}{recall:>10.3f}{f1:>10.3f}"
        f"{len(right) / max(len(wrong), 1):>10.3f}{baseline[2]:>10.3f}{baseline[0]:>10.3f}{spent:>10.2f}"
    )
    return f1


def gather(clones: Path, folder: Path) -> None:
    """Write the sets' files, as they were at the commits named, from clones of their repositories."""
    for one in SETS:
        repository, _, commit = one.repository.partition("@")
        places = (clones / repository.replace("/", "+") / "repo", clones / repository.partition("/")[2])
        clone = next((place for place in places if place.exists()), None)
        if clone is None:
            print(f"no clone of {repository} under {clones}: {one.name} is left out")
            continue
        (folder / one.name).mkdir(parents=True, exist_ok=True)
        for path, name in ((one.dirty, "dirty.csv"), (one.clean, "clean.csv")):
            shown = subprocess.run(["git", "-C", str(clone), "show", f"{commit}:{path}"], capture_output=True, check=True)
            (folder / one.name / name).write_bytes(shown.stdout)


def read(folder: Path, *, missing: str = "") -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read both tables with the same rows and the dirty one's column names."""
    dirty, clean = (pl.read_csv(folder / f"{which}.csv", infer_schema=False) for which in ("dirty", "clean"))
    clean.columns = dirty.columns  # some sets spell their columns in two ways
    if missing:
        dirty, clean = (table.with_columns(pl.all().replace(missing, None)) for table in (dirty, clean))
    if dirty.height != clean.height:  # then the first column is a number of the row
        key = dirty.columns[0]
        dirty, clean = (table.unique(key, maintain_order=True) for table in (dirty, clean))
        dirty = dirty.join(clean.select(key), on=key, how="semi", maintain_order="left")
        clean = dirty.select(key).join(clean, on=key, how="left", maintain_order="left")
    return dirty, clean


def wrong_cells(dirty: pl.DataFrame, clean: pl.DataFrame) -> Cells:
    """Return the cells that differ, and not only as 3 does from 3.0."""
    wrong = set()
    for name in dirty.columns:
        differs = dirty[name].fill_null("") != clean[name].fill_null("")
        same = dirty[name].cast(pl.Float64, strict=False) == clean[name].cast(pl.Float64, strict=False)
        wrong |= {(int(row), name) for row in np.flatnonzero((differs & same.not_().fill_null(value=True)).to_numpy())}
    return wrong


def repaired_right(cells: pl.DataFrame, clean: pl.DataFrame) -> Cells:
    known = cells.filter(pl.col("repair").is_not_null() | pl.col("clears")).select("row", "column", pl.col("repair").fill_null(""))
    return {(row, column) for row, column, repair in known.iter_rows() if (clean[column][row] or "") == repair}


def rare_cells(dirty: pl.DataFrame, share: float) -> Cells:
    n = {name: dirty.select(pl.len().over(name))["len"].to_numpy() for name in dirty.columns}
    return {(int(row), name) for name, counts in n.items() for row in np.flatnonzero(counts <= max(1, share * dirty.height))}


def scores(found: Cells, wrong: Cells) -> tuple[float, float, float]:
    both = len(found & wrong)
    precision, recall = both / max(len(found), 1), both / max(len(wrong), 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-12)


if __name__ == "__main__":
    sys.exit(main())
