"""`--generate`: features made from declared columns, chosen on data whose truth is known, served as they were trained."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_package import draw_orders
from small_training import write_training

from sampan.errors import ParameterError
from sampan.workspace.workspace import Workspace

LINE = """
@sp.train(name="orders-late", features=orders_view, objective=goal)
def fit(features, labels, *, seed=0):
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=300)).fit(features, labels)
"""


def write_orders(ws: Workspace, *, weight: float) -> Path:
    """Orders that are late where x1 and x2 have one sign, and in the rush hours; with weight 0 by chance alone."""
    rng = np.random.default_rng(0)
    frame = draw_orders(6000, first=0, day=0, rng=rng)
    hour = (frame["at"].to_numpy() // 3_600_000) % 24
    told = 2.5 * np.sign(frame["x1"].to_numpy() * frame["x2"].to_numpy()) + 1.5 * np.isin(hour, [7, 8, 17, 18])
    chances = 1 / (1 + np.exp(-(weight * told - 0.5)))
    frame = frame.with_columns(late=pl.Series((rng.random(frame.height) < chances).astype(np.float64)))
    file = ws.root / "orders.parquet"
    frame.write_parquet(file)
    ws.data.add(file, name="orders")
    return write_training(ws.root, LINE)


@pytest.mark.slow
def test_features_that_carry_the_truth_are_found_and_served_as_they_were_trained(tmp_path: Path) -> None:
    with Workspace.open(tmp_path) as ws:
        file = write_orders(ws, weight=1.0)

        plain = ws.model.train(file, trials=1)
        made = ws.model.train(file, trials=1, generate=4)

        assert (plain.metrics["auc"].value or 0) < 0.6 < 0.85 < (made.metrics["auc"].value or 0)
        assert "made_x1_times_x2" in made.made_features
        node = ws.catalog.resolve(made.model.ref, kind="model")
        assert len(node.facts["generated"]["added"]) <= 4
        ws.model.pack(made.model.ref)
        assert ws.model.verify(made.model.ref).passed
        assert ws.model.train(file, trials=1, generate=4).cached
        with pytest.raises(ParameterError, match="-1 features"):
            ws.model.train(file, generate=-1)


@pytest.mark.slow
def test_where_there_is_nothing_to_find_nothing_is_taken(tmp_path: Path) -> None:
    with Workspace.open(tmp_path) as ws:
        made = ws.model.train(write_orders(ws, weight=0.0), trials=1, generate=4)

        assert "none of" in made.made_features
        assert ("x1", "x2", "shop_late") == tuple(ws.catalog.resolve(made.model.ref, kind="model").facts["features"])
