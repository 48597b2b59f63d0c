"""MLflow's names are free text; an asset's name in our graph is not. What a client calls a thing is kept beside it."""

from __future__ import annotations

from sampan.workspace.mlflow_graph import asset_name

__all__ = ["asset_name"]
