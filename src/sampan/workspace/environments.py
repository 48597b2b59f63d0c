"""The environment a model was trained in, read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.core.decoding import read_json
from sampan.core.graph import Node
from sampan.engine.environment import Environment
from sampan.workspace.models.predictors import ENVIRONMENT

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace


def environment_of(ws: Workspace, model: Node) -> Environment:
    """Read the environment kept with a model."""
    digest = next(each.digest for each in ws.catalog.artifacts(model.id) if each.path == ENVIRONMENT)
    return read_json(ws.store.blobs.read(digest), Environment)
