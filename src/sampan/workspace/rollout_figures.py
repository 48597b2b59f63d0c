"""What the prediction log says of a rollout's step: the answers of each version, and what their decisions were worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.graph import NodeId
from sampan.core.times import Millis
from sampan.serving.records import predictions_stream

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

_NONE = {"id": pl.String, "key": pl.String, "at": pl.Int64, "role": pl.String, "score": pl.Float64, "latency_us": pl.Int64}
_EVER = 1 << 62
_DAY_MS = 86_400_000


def answers_since(ws: Workspace, service: str, since: Millis, wanted: Mapping[str, str]) -> dict[str, pl.DataFrame]:
    """Return, for each version that is wanted in a role, what it answered there since a moment."""
    deployments = ws.catalog.nodes(kind="deployment", name=service, limit=10_000)
    packages: dict[str, set[NodeId]] = {}
    for node in deployments:
        packages.setdefault(str(node.facts["version"]), set()).add(str(node.facts["package"]))
    found = {}
    for version, role in wanted.items():
        tables = [ws.store.segments.read_range(predictions_stream(service, one), "at", since, _EVER) for one in packages.get(version, ())]
        frames = [pl.from_arrow(table) for table in tables if table.num_rows]
        frame = pl.concat([f for f in frames if isinstance(f, pl.DataFrame)], how="diagonal") if frames else pl.DataFrame(schema=_NONE)
        found[version] = frame.filter(pl.col("role") == role)
    return found


def decision_values(ws: Workspace, service: str, package: NodeId, answers: pl.DataFrame) -> NDArray[np.float64]:
    """Return what each labelled answer's decision was worth by the model's objective, shape (n,); none where the objective says nothing."""
    from sampan.evaluation.costs import DecisionRule, row_costs
    from sampan.evaluation.objective import Value

    models = [ws.catalog.node(edge.src) for edge in ws.catalog.edges_to(package) if edge.role == "packaged_as"]
    worth, threshold = _stated(models[0].facts) if models else (None, None)
    if worth is None or threshold is None or not answers.height:
        return np.empty(0)
    import msgspec

    from sampan.workspace.prediction_history import joined_labels

    labelled = joined_labels(ws, service, answers).filter(pl.col("label").is_not_null())
    if not labelled.height:
        return np.empty(0)
    rule = DecisionRule(threshold, msgspec.convert(worth, Value))
    return -row_costs(labelled["label"].to_numpy(), labelled["score"].to_numpy(), rule)


def _stated(facts: Mapping[str, object]) -> tuple[object | None, float | None]:
    objective, threshold = facts.get("objective"), facts.get("threshold")
    worth = objective.get("kpi") if isinstance(objective, dict) else None
    return worth, float(threshold) if isinstance(threshold, (int, float)) else None
