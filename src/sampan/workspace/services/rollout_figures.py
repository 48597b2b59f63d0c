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
    from sampan.evaluation.metrics import Answered, row_losses
    from sampan.workspace.models.judging import objective_of, task_of_model
    from sampan.workspace.services.prediction_history import answers as answers_of
    from sampan.workspace.services.prediction_history import coded_labels, joined_labels

    models = [ws.catalog.node(edge.src) for edge in ws.catalog.edges_to(package) if edge.role == "packaged_as"]
    stated = objective_of(models[0]) if models and models[0].facts.get("objective") else None
    if stated is None or stated.kpi is None or not answers.height:
        return np.empty(0)
    task, threshold = task_of_model(models[0]), models[0].facts.get("threshold")
    if task.kind == "binary" and threshold is None:
        return np.empty(0)
    labelled = coded_labels(joined_labels(ws, service, answers), task).filter(pl.col("label").is_not_null())
    if not labelled.height:
        return np.empty(0)
    told = Answered.under(stated, labelled["label"].to_numpy(), answers_of(labelled, task), task, threshold=threshold)
    costs = row_losses("cost", told)
    return -costs if costs is not None else np.empty(0)
