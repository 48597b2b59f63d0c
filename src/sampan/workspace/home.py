"""The top-level verbs: what is live and what to do next, where a thing came from, what happened, and the store's upkeep."""

from __future__ import annotations

from sampan.workspace.explaining.explaining import Explaining
from sampan.workspace.explaining.reproducing import Reproducing
from sampan.workspace.lineage.tracing import Tracing
from sampan.workspace.merging.merging import Merging
from sampan.workspace.overview import Overview
from sampan.workspace.runs.comparing import Comparing
from sampan.workspace.upkeep import Upkeep


class Home(Overview, Tracing, Comparing, Explaining, Reproducing, Merging, Upkeep):
    """The top-level verbs."""
