"""Train the model that warns of late arrivals: `sampan run examples/flights/late.py`.

The objective in code: a warning is sent two hours before departure. A false alarm makes a traveler change plans for nothing (5), a missed
warning costs three times that (15). The model must tell late from punctual better than chance by far, for each carrier and at each airport.
"""

from __future__ import annotations

import lightgbm
import numpy as np
from features import flights_view

import sampan as sp

goal = sp.objective(
    metric="auc",
    at_least=0.65,
    equal_across=["carrier", "origin"],
    max_gap=0.15,
    p95_ms=20,
    kpi=sp.value(fp=-5, fn=-15, currency="USD"),
)


@sp.train(name="flights-late", features=flights_view, objective=goal)
def fit(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    num_leaves: int = sp.ints(15, 63),
    learning_rate: float = sp.logs(0.03, 0.2),
    min_data_in_leaf: int = sp.ints(50, 1000, log=True),
    feature_fraction: float = sp.floats(0.4, 1.0),
    lambda_l2: float = sp.logs(0.1, 100.0),
    rounds: int = 80,
    num_threads: int = 1,
    seed: int = 0,
) -> lightgbm.Booster:
    """Fit gradient-boosted trees; one thread, since two that share a busy machine are several times slower than one."""
    params = {
        "objective": "binary",
        "num_leaves": num_leaves,
        "learning_rate": learning_rate,
        "min_data_in_leaf": min_data_in_leaf,
        "feature_fraction": feature_fraction,
        "lambda_l2": lambda_l2,
        "max_bin": 127,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": num_threads,
        "seed": seed,
        "verbose": -1,
    }
    return lightgbm.train(params, lightgbm.Dataset(features, labels), num_boost_round=rounds)
