"""Which learners come out the same when a training is replayed: with as many threads as then, and with two instead of one.

    python benchmarks/rebuilt_models.py

Each learner is trained on 6,101 rows with one thread, replayed in clean processes, and its predictions on the pinned rows compared.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

LIMITS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
if any(os.environ.get(name) != value for name, value in LIMITS.items()):  # libraries read them when they load
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **LIMITS})
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "workspace"))

from small_training import CUT, add_orders, write_training  # noqa: E402  # beside the tests, whose small project it is

from sampan.workspace.workspace import Workspace  # noqa: E402  # after the limits are set

TRAINER = """
@sp.train(name="{name}", features=orders_view, objective=goal)
def fit_{number}(features, labels, *, seed=0):
    whole = np.nan_to_num(features)
    {imports}
    return {made}.fit({given}, labels)
"""
LINE = "from sklearn.pipeline import make_pipeline; from sklearn.linear_model import LogisticRegression; "
LEARNERS = {
    "logistic": (LINE, "LogisticRegression(max_iter=500)", "whole"),
    "mlp": (
        "from sklearn.neural_network import MLPClassifier as Made",
        "Made((64, 64), max_iter=40, early_stopping=True, tol=0.01, random_state=seed)",
        "whole",
    ),
    "histogram": (
        "from sklearn.ensemble import HistGradientBoostingClassifier as Made",
        "Made(max_iter=60, random_state=seed)",
        "features",
    ),
    "forest": ("from sklearn.ensemble import RandomForestClassifier as Made", "Made(60, n_jobs=2, random_state=seed)", "features"),
    "extra-trees": ("from sklearn.ensemble import ExtraTreesClassifier as Made", "Made(60, n_jobs=2, random_state=seed)", "features"),
    "lightgbm": (
        "",
        "lightgbm.LGBMClassifier(n_estimators=60, verbose=-1, subsample=0.7, subsample_freq=1, random_state=seed)",
        "features",
    ),
    "xgboost": ("from xgboost import XGBClassifier as Made", "Made(n_estimators=60, subsample=0.7, random_state=seed)", "features"),
    "kmeans": (
        LINE + "from sklearn.cluster import KMeans",
        "make_pipeline(KMeans(12, n_init=1, random_state=seed), LogisticRegression(max_iter=500))",
        "whole",
    ),
    "randomized-pca": (
        LINE + "from sklearn.decomposition import PCA; from sklearn.preprocessing import PolynomialFeatures as Poly",
        "make_pipeline(Poly(3), PCA(10, svd_solver='randomized', random_state=seed), LogisticRegression(max_iter=500))",
        "whole",
    ),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Workspace.open(Path(folder)) as ws:
        add_orders(ws)
        texts = [
            TRAINER.format(name=name, number=number, imports=imports, made=made, given=given)
            for number, (name, (imports, made, given)) in enumerate(LEARNERS.items())
        ]
        file = write_training(ws.root, "".join(texts))
        print(f"{'learner':<16}{'as then':<20}{'2 threads':<20}moved at most")
        for name in LEARNERS:
            model = ws.model.train(file, name=name, trials=1, until=CUT).model
            as_then, by_two = ws.home.reproduce(model.ref), ws.home.reproduce(model.ref, threads=2)
            print(f"{name:<16}{as_then.verdict:<20}{by_two.verdict:<20}{by_two.max_difference:.1e}", flush=True)


if __name__ == "__main__":
    main()
