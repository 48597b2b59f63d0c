"""A small real training whose features are what a page can compute: texts, moments, arithmetic, and one value that the store knows."""

from __future__ import annotations

from pathlib import Path

from small_training import CUT, HEAD, add_orders

from sampan.workspace.workspace import Workspace

_TRAINING = (
    HEAD
    + """
from small_package import late, orders
from sampan.features import Means, feature, features, past

@features(on="orders", columns=orders, key=["order"], slices=["shop"], moment=orders.at, label=late)
def page_view(row):
    return {
        "x1": row.x1,
        "both": (row.x1 * row.x2).fill(0) + 0.1,
        "shop_code": feature(row.shop, encode=Means()),
        "hour": row.at.hour("America/New_York"),
        "shop_late": past(late.value, by=[row.shop], known_at=late.known_at, window="1d", stat="rate").fill(0),
    }

@sp.train(name="orders-page", features=page_view, objective=goal)
def fit(features, labels, *, num_leaves=sp.ints(4, 16), rounds=25, seed=0):
    params = {"objective": "binary", "verbose": -1, "num_threads": 1, "num_leaves": num_leaves,
              "deterministic": True, "force_row_wise": True, "seed": seed}
    return lightgbm.train(params, lightgbm.Dataset(features, labels), rounds)
"""
)


def train_for_a_page(ws: Workspace) -> Path:
    """Train and pack the model; return its package's folder."""
    add_orders(ws)
    file = ws.root / "page_training.py"
    file.write_text(_TRAINING)
    ws.model.train(file, trials=1, until=CUT)
    return ws.model.package_path(ws.model.pack("orders-page").package)
