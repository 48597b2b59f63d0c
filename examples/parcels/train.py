"""Two questions of one table: how many hours a parcel takes (a number), and where it ends (a class). `sampan run train.py --name …`."""

from __future__ import annotations

import lightgbm
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

import sampan as sp
from sampan.features import HOUR, Columns, Expr, Means, feature

parcels = sp.dataset("parcels.csv", key="parcel", time="sent", later=["hours", "ended"])
arrived = parcels.sent + parcels.hours * HOUR

in_time = sp.objective(metric="mae", at_most=4, equal_across=["region"], max_gap=2, min_rows=300)
# To decide for "door" where a parcel comes back costs most, so that is decided only where it is nearly sure.
well_ended = sp.objective(
    metric="macro_auc",
    at_least=0.75,
    kpi=sp.value(
        by_class={
            "door": {"returned": -3, "shop": -1},
            "returned": {"door": -8, "shop": -4},
            "shop": {"door": -2, "returned": -3},
        }
    ),
    min_rows=300,
)


@sp.feature_view(
    on="parcels", columns=parcels, key=["parcel"], slices=["region"], moment=parcels.sent, label=sp.Label(parcels.hours, known_at=arrived)
)
def duration(p: Columns) -> dict[str, Expr | sp.features.FeatureOptions]:
    """Describe a parcel when it is handed in; regions by how long they usually take."""
    return {
        "distance": p.distance_km,
        "weight": p.weight_kg,
        "hour": p.sent.hour("UTC"),
        "weekday": p.sent.weekday("UTC"),
        "usual": feature(p.region, encode=Means()),
    }


@sp.feature_view(
    on="parcels", columns=parcels, key=["parcel"], slices=["region"], moment=parcels.sent, label=sp.Label(parcels.ended, known_at=arrived)
)
def ending(p: Columns) -> dict[str, Expr]:
    """Describe a parcel when it is handed in."""
    return {"distance": p.distance_km, "weight": p.weight_kg, "hour": p.sent.hour("UTC"), "where": p.region}


@sp.train(name="parcel-hours", features=duration, objective=in_time)
def hours(features: np.ndarray, labels: np.ndarray, *, leaves: int = sp.ints(4, 31), seed: int = 0) -> lightgbm.Booster:
    """Learn the median: what the mean absolute error asks for."""
    settings = {"objective": "regression_l1", "num_leaves": leaves, "learning_rate": 0.08, "verbose": -1, "num_threads": 1, "seed": seed}
    return lightgbm.train(settings, lightgbm.Dataset(features, labels), 80)


@sp.train(name="parcel-end", features=ending, objective=well_ended)
def end(features: np.ndarray, labels: np.ndarray, *, rate: float = sp.logs(0.02, 0.3), seed: int = 0) -> HistGradientBoostingClassifier:
    """Learn the chance of each end; labels are 0, 1, 2 in the order of the names."""
    return HistGradientBoostingClassifier(learning_rate=rate, max_iter=60, max_leaf_nodes=8, random_state=seed).fit(features, labels)
