"""The smallest whole project: a CSV file beside this one, a view, an objective, a training function. `sampan run train.py`."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

import sampan as sp
from sampan.features import DAY

customers = sp.dataset("customers.csv", key="customer", time="asked", later=["left"])
goal = sp.objective(metric="auc", at_least=0.6, kpi=sp.value(fp=-5, fn=-40), min_rows=300)


@sp.feature_view(
    on="customers",
    columns=customers,
    key=["customer"],
    slices=["region"],
    moment=customers.asked,
    label=sp.Label(customers.left, known_at=customers.asked + DAY),
)
def churn(c: sp.features.Columns) -> dict[str, sp.features.Expr]:
    """Describe a customer on the day we ask."""
    return {"months": c.months, "late_bills": c.late_bills, "late_share": c.late_bills / (c.months + 1), "where": c.region}


@sp.train(name="churn", features=churn, objective=goal)
def fit(features: np.ndarray, labels: np.ndarray, *, strength: float = sp.logs(0.01, 10.0)) -> LogisticRegression:
    """Fit a model of chances, not of yes and no."""
    return LogisticRegression(C=strength, max_iter=1000).fit(features, labels)
