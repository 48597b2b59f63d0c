"""One row through a package in Python, beside bare onnxruntime: `load_package(folder).predict([row])` and `session.run`.

The model is that of `flights_of_23.py`: 18 numbers and 5 texts, 200 trees of 63 leaves. Bare onnxruntime is asked in three ways: its one
graph from request to score with the tensors made of the row by hand, as whoever has no package would write it; the same with the tensors at
hand; and the trees alone with the encoded features at hand, the floor under everything. Each answer is checked.

    python benchmarks/package_row.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl

import sampan as sp

sys.path.insert(0, str(Path(__file__).parent))
from flights_of_23 import make_table

from sampan.workspace.models.predictors import EXPECTED

CALLS = 2_000
GOAL = 1.3


def session(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def packed(root: Path) -> Path:
    make_table().write_parquet(root / "served_flights.parquet")
    with sp.open(root) as ws:
        ws.data.add(root / "served_flights.parquet", name="served_flights")
        made = ws.model.train(Path(__file__).parent / "flights_of_23.py", trials=1)
        ws.model.pack(made.model.ref, out=root / "package")
    return root / "package"


def microseconds(call: Callable[[int], object]) -> float:
    began = time.process_time()
    for number in range(CALLS):
        call(number)
    return (time.process_time() - began) / CALLS * 1e6


def main(rounds: int) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        folder = packed(Path(temporary))
        predictor = sp.load_package(folder)
        frame = pl.read_parquet(folder / "probe.parquet")
        rows, expected = frame.drop(EXPECTED).to_dicts(), frame[EXPECTED].to_numpy()
        whole, trees = session(folder / "whole.onnx"), session(folder / "model.onnx")
        inputs = predictor.manifest.inputs
        assert inputs is not None
        numbers, texts = [each.name for each in inputs.num], [each.name for each in inputs.cat]
        tensors = [predictor.tensors([row]) for row in rows]
        features = [predictor.features([row]) for row in rows]

        def by_hand(number: int) -> np.ndarray:
            row = rows[number % len(rows)]
            num = np.array([[row[name] for name in numbers]], np.float64)
            cat = np.array([["\ue000" if row[name] is None else row[name] for name in texts]], object)
            return whole.run(["score"], {"num": num, "cat": cat})[0]

        jobs: dict[str, Callable[[int], np.ndarray]] = {
            "load_package(…).predict([row])": lambda n: predictor.predict([rows[n % len(rows)]]),
            "onnxruntime, one graph, tensors at hand": lambda n: whole.run(["score"], tensors[n % len(rows)])[0],
            "onnxruntime, one graph, tensors made of the row": by_hand,
            "onnxruntime, trees alone, features at hand": lambda n: trees.run(["score"], {"features": features[n % len(rows)]})[0],
        }
        for name, job in jobs.items():
            found = np.array([job(n)[0] for n in range(len(rows))])
            assert np.abs(found - expected).max() < 1e-6, name
        spent: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(rounds):
            for name, job in jobs.items():
                spent[name].append(microseconds(job))
        medians = {name: statistics.median(each) for name, each in spent.items()}
        ours = medians["load_package(…).predict([row])"]
        print("| CPU us a row, median of", rounds, "rounds in turns | us | ours takes |\n|---|---|---|")
        for name, each in medians.items():
            print(f"| {name} | {each:.1f} | {ours / each:.2f}x |")
        many = [1, 4, 16, 64, 256]
        print("\n| rows | features in Python, then trees: us | one graph: us |\n|---|---|---|")
        for n in many:
            some = rows[:n]
            python = (
                microseconds(lambda _, some=some: predictor.predict(some))
                if n <= 16
                else _few(lambda _, some=some: predictor.predict(some))
            )
            graph = _few(lambda _, some=some: whole.run(["score"], predictor.tensors(some)))
            print(f"| {n} | {python:.0f} | {graph:.0f} |")
        return int(ours > GOAL * medians["onnxruntime, one graph, tensors at hand"])


def _few(call: Callable[[int], object]) -> float:
    began = time.process_time()
    for number in range(200):
        call(number)
    return (time.process_time() - began) / 200 * 1e6


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
