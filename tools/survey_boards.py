"""Write docs/reference/boards.md: what models take on each board, and how far their C is off, on real rows and on rows made hard.

Those of `survey.py` that take numbers, fitted on flights of New York in 2013, and others on scikit-learn's public sets: classes, numbers.
Each graph becomes C as `pack --target` makes it, is compiled for every board and run there in emulation on held-out rows and on rows that
are missing, negative or far out; then the same C answers rows that this gate has not seen. `--only NAME …` prints some.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets, ensemble, linear_model, neural_network
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parent))

from survey import flights
from surveyed import CASES

from sampan.edge.emulation import Measured, Sources, measure
from sampan.edge.hosted import compile_hosted, run_hosted
from sampan.edge.profiles import names, read_profile
from sampan.edge.quantizing import has_layers, in_int8
from sampan.edge.reading import read_program
from sampan.edge.simplifying import simplify
from sampan.edge.source import Generated, Schema, generate
from sampan.edge.trying import Probe, needs_math
from sampan.errors import SampanError
from sampan.flavors.finding import find_flavor
from sampan.flavors.onnx_graph import OnnxScorer
from sampan.flavors.parity import export
from sampan.workspace.targets.hard_rows import HARD_PARITY, spoiled_numbers

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "boards.md"
TRAIN, PROBED, AFTER = 3_000, 64, 4_000
PARITY, WRONG = 1e-4, 1e-3
BOARDS = tuple(names())


@dataclass(frozen=True)
class Case:
    """A fitted model with rows it has not seen."""

    name: str
    model: Any
    rows: np.ndarray
    has_missing: bool = False
    is_number: bool = False


@dataclass(frozen=True)
class Found:
    """What came of one form of it."""

    name: str
    shape: str
    boards: dict[str, Measured]
    off: float = 0.0
    hard: float = 0.0
    far_after: float = 0.0
    n_after: int = 0
    why_not: str = ""

    @property
    def is_wrong(self) -> bool:
        """Say whether code passed the gate that answers otherwise on rows the gate did not see."""
        return not self.why_not and self.far_after > 0

    def line(self) -> str:
        """Return the page's line."""
        if self.why_not:
            return f"| {self.name} | {self.shape} | {'| ' * len(BOARDS)}| | | {self.why_not} |"
        cells = " | ".join(_told(self.boards.get(board)) for board in BOARDS)
        largest = max(self.boards.values(), key=lambda each: each.ram_bytes)
        ram = f"{largest.static_bytes:,} + {largest.stack_bytes:,}"
        return (
            f"| {self.name} | {self.shape} | {cells} | {ram} | {self.off:.0e}, {self.hard:.0e} | {self.far_after:.2%} of {self.n_after:,} |"
        )


def _told(found: Measured | None) -> str:
    return "-" if found is None else f"{found.flash_bytes / 1000:.1f} kB, {found.instructions / 1000:.1f} k"


def cases() -> dict[str, Callable[[], Case]]:
    """Name all cases; each is fitted when it is asked for."""
    found: dict[str, Callable[[], Case]] = {}
    for name, (takes, _) in CASES.items():
        if takes != "a table":
            found[name] = partial(_flights, name)
    network = make_pipeline(StandardScaler(), neural_network.MLPClassifier((32, 16), max_iter=60, random_state=0))
    numbers = make_pipeline(StandardScaler(), neural_network.MLPRegressor(hidden_layer_sizes=(16, 8), max_iter=400, random_state=0))
    for label, load in (("digits", datasets.load_digits), ("wine", datasets.load_wine), ("breast cancer", datasets.load_breast_cancer)):
        found[f"{label}: logistic"] = partial(_public, f"{label}: logistic", linear_model.LogisticRegression(max_iter=300), load)
        found[f"{label}: forest"] = partial(
            _public, f"{label}: forest", ensemble.RandomForestClassifier(20, max_depth=6, random_state=0), load
        )
        boosted = ensemble.HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=8, random_state=0)
        found[f"{label}: boosting"] = partial(_public, f"{label}: boosting", boosted, load)
        found[f"{label}: network"] = partial(_public, f"{label}: network", network, load)
    for kind, model in (
        ("ridge", linear_model.Ridge()),
        ("forest", ensemble.RandomForestRegressor(20, max_depth=6, random_state=0)),
        ("boosting", ensemble.HistGradientBoostingRegressor(max_iter=20, max_leaf_nodes=8, random_state=0)),
        ("network", numbers),
    ):
        found[f"diabetes: {kind}"] = partial(_public, f"diabetes: {kind}", model, datasets.load_diabetes, is_number=True)
    return found


def _flights(name: str) -> Case:
    takes, model = CASES[name]
    _, matrix, labels = flights()
    rows = matrix if takes == "numbers with gaps" else np.nan_to_num(matrix, nan=-1.0)
    return Case(name, clone(model).fit(rows[:TRAIN], labels[:TRAIN]), rows[TRAIN : TRAIN + PROBED + AFTER], takes == "numbers with gaps")


def _public(name: str, model: Any, load: Callable[..., Any], *, is_number: bool = False) -> Case:
    x, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype(np.float32), y[order]
    half = len(x) // 2
    return Case(name, clone(model).fit(x[:half], y[:half]), x[half:], is_number=is_number)


def survey(case: Case) -> Iterator[Found]:
    """Export a case, make C of it, run it on every board; the same for its network in int8."""
    rows = np.ascontiguousarray(case.rows, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph, _ = export(find_flavor(case.model), case.model, rows, are_numbers=case.is_number)
    if graph is None:
        return  # served natively; the other survey says so
    shape = f"{rows.shape[1]}"
    try:
        program = simplify(read_program(graph))
        shape = f"{rows.shape[1]} to {program.n_outputs}"
        yield _form(case, case.name, shape, graph, rows, generate(program, Schema("m", outputs=("s",) * program.n_outputs)))
    except SampanError as cause:
        yield Found(case.name, shape, {}, why_not=cause.message)
        return
    if has_layers(program) and "network" in case.name:
        made = in_int8(program, rows[:PROBED])
        yield _form(
            case, f"{case.name}, int8", shape, graph, rows, generate(made, Schema("m", outputs=("s",) * program.n_outputs)), is_int8=True
        )


def _form(case: Case, name: str, shape: str, graph: bytes, rows: np.ndarray, generated: Generated, *, is_int8: bool = False) -> Found:
    rng = np.random.default_rng(0)
    probe, after = (
        rows[:PROBED],
        np.concatenate([rows[PROBED:], spoiled_numbers(rows[PROBED:], rng, has_missing=case.has_missing, n=len(rows) - PROBED)]),
    )
    hard = spoiled_numbers(probe, rng, has_missing=case.has_missing).astype(np.float32)
    scorer = OnnxScorer(graph)
    wanted = np.asarray(scorer(probe), np.float64).reshape(len(probe), -1)
    scale = float(wanted.std()) if case.is_number else 1.0
    held = Probe(wanted, np.asarray(scorer(hard), np.float64).reshape(len(hard), -1), scale)
    asked, boards, off, hard_off = np.concatenate([probe, hard]), {}, 0.0, 0.0
    for board in BOARDS:
        profile = read_profile(board)
        if needs_math(generated) and not profile.math:
            continue
        with tempfile.TemporaryDirectory() as folder:
            answers, boards[board] = measure(
                Sources(generated.files, "m_scores", rows.shape[1], wanted.shape[1]), asked, profile, Path(folder)
            )
        point = held.point(name, answers, {})
        off, hard_off = max(off, point.max_difference), max(hard_off, point.more["hard_difference"])
    if not is_int8 and (off > PARITY or hard_off > HARD_PARITY):
        return Found(name, shape, {}, why_not=f"refused: off by {off:.1e}, on hard rows by {hard_off:.1e}")
    with tempfile.TemporaryDirectory() as folder:
        answers = run_hosted(compile_hosted(generated, Path(folder)), after.astype(np.float32), wanted.shape[1])
    expected = np.asarray(scorer(after.astype(np.float32)), np.float64).reshape(len(after), -1)
    with np.errstate(invalid="ignore"):
        far = np.abs(answers - expected) / np.maximum(scale, np.abs(expected))
    far[(answers == expected) | (np.isnan(answers) & np.isnan(expected))] = 0.0
    share = 0.0 if is_int8 else float((~(far <= WRONG)).any(axis=1).mean())
    return Found(name, shape, boards, off, hard_off, share, len(after))


def lines(found: list[Found]) -> Iterator[str]:
    """Yield the page's lines."""
    as_code = [each for each in found if not each.why_not]
    yield "# What models take on boards"
    yield ""
    yield "Made by `python tools/survey_boards.py`: those of [the other survey](exports.md) that take numbers, fitted on 3,000 flights"
    yield "of New York in 2013, and others on scikit-learn's digits, wine, breast cancer and diabetes. Each graph becomes C, is compiled"
    yield f"for every board and run there in emulation on {PROBED} held-out rows and {PROBED} rows that nobody sent: shuffled, then missing"
    yield "(where the model takes that), negated, zero, or far out (1e9). The same C then answers other rows, and as many spoiled alike. A"
    yield "cell says flash (with the library parts it brings in) and instructions a row; memory is static and stack, in bytes, on the board"
    yield "that takes most; *off* is the largest difference from the package's graph on usual and on hard rows. Networks are also shown in"
    yield "int8, which is held to no limit here: what that loses is judged by the ladder of `pack`, on rows held out."
    yield ""
    wrong = sum(each.is_wrong for each in found)
    yield f"{len(found)} in all: {len(as_code)} as C, {len(found) - len(as_code)} refused; wrong and accepted: {wrong}."
    yield ""
    yield f"| what | features, answers | {' | '.join(BOARDS)} | memory | off | off by more than {WRONG:g} after it |"
    yield f"|---|---|{'---|' * len(BOARDS)}---|---|---|"
    yield from (each.line() for each in found)


def main() -> int:
    """Write the page, or print some cases; fail where wrong code was accepted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[])
    only = parser.parse_args().only
    found: list[Found] = []
    for name, case in cases().items():
        if not only or name in only:
            for each in survey(case()):
                found.append(each)
                sys.stdout.write(each.line() + "\n")
                sys.stdout.flush()
    if not only:
        PAGE.write_text("\n".join(lines(found)) + "\n", encoding="utf-8")
    return int(any(each.is_wrong for each in found))


if __name__ == "__main__":
    sys.exit(main())
