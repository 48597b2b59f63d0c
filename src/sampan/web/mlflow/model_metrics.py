"""Metric points that a run logs about a model: kept beside the model, a tag for each point, as well as in the run's own history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.events import Event, Tagged
from sampan.core.graph import NodeId
from sampan.errors import NotFound
from sampan.web.mlflow.refusals import integer, key_of, missing, number, text
from sampan.workspace.mlflow.graph import MODEL_POINT

if TYPE_CHECKING:
    from sampan.store.catalog import Catalog

_ABOUT: Final = ("dataset_name", "dataset_digest")


def events(catalog: Catalog, run: NodeId, points: Iterable[Mapping[str, Any]]) -> list[Event]:
    """Return what keeps those of a run's points that are about a model. Raises Refusal where the model is not there."""
    found: list[Event] = []
    for point in points:
        if model := text(point, "model_id", required=False):
            found.append(_event(catalog, run, model, point))
    return found


def _event(catalog: Catalog, run: NodeId, model: str, point: Mapping[str, Any]) -> Event:
    try:
        node = catalog.node(model.removeprefix("m-")).id
    except NotFound as cause:
        raise missing(f"Logged model with ID '{model}' not found.") from cause
    about = {name: text(point, name, required=False) for name in _ABOUT}
    told = {
        "key": key_of(point, "Metric"),
        "value": number(point, "value"),
        "timestamp": integer(point, "timestamp", default=0),
        "step": integer(point, "step", default=0),
        "run_id": run,
        "model_id": model,
        **{name: value for name, value in about.items() if value},
    }
    mark = f"{MODEL_POINT}{told['key']}.{told['timestamp']}.{told['step']}.{run}.{about['dataset_digest']}"
    return Tagged(node=node, key=mark, value=msgspec.json.encode(told).decode())


def of(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a model's points from its tags, by time and step."""
    found = [msgspec.json.decode(value) for key, value in tags.items() if key.startswith(MODEL_POINT)]
    return sorted(found, key=lambda point: (point["key"], point["timestamp"], point["step"]))


def latest(points: Iterable[Mapping[str, Any]], key: str) -> float | None:
    """Return the last value of a metric, None where there is none."""
    return next((float(point["value"]) for point in reversed(list(points)) if point["key"] == key), None)
