"""Free text in a model: which tickets are urgent, by what people write in English and Vietnamese. `sampan run train.py`."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

import sampan as sp
from sampan.features import DAY, Letters, Words, feature

tickets = sp.dataset("tickets.csv", key="ticket", time="written", later=["urgent"])
goal = sp.objective(metric="auc", at_least=0.8, kpi=sp.value(fp=-1, fn=-10), min_rows=300)


@sp.feature_view(
    on="tickets",
    columns=tickets,
    key=["ticket"],
    slices=["shop"],
    moment=tickets.written,
    label=sp.Label(tickets.urgent, known_at=tickets.written + DAY),
)
def tickets_view(c: sp.features.Columns) -> dict[str, sp.features.Expr | sp.features.FeatureOptions]:
    """Describe a ticket: its words, pieces of words for those that were mistyped, and who writes."""
    message = c.message.fill("")
    return {
        "words": feature(message, encode=Words(most=200, longest=2)),
        "pieces": feature(message, encode=Letters(most=200)),
        "orders": c.orders,
        "where": c.shop,
    }


@sp.train(name="tickets", features=tickets_view, objective=goal)
def fit(features: np.ndarray, labels: np.ndarray, *, strength: float = sp.logs(0.1, 10.0)) -> LogisticRegression:
    """Fit a line through words."""
    return LogisticRegression(C=strength, max_iter=2000).fit(features, labels)
