"""Is the data useful: the batches that came and what they would do to the model, and the rows of a version that a person should look at."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sampan.web import charts
from sampan.web.page import Page

if TYPE_CHECKING:
    from sampan.core.graph import Node
    from sampan.workspace.workspace import Workspace

MOST_BATCHES, MOST_ROWS, MOST_CELLS = 20, 100, 12


def load_admission(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load a dataset's judged batches and the values of one version's rows."""
    node = workspace.catalog.resolve(given["ref"], kind="dataset")
    batches = workspace.catalog.nodes(kind="batch", name=f"{node.name}.batch", limit=MOST_BATCHES)
    valuation = _newest_valuation(workspace, node)
    withheld = workspace.data.withheld(node)
    valued = workspace.data.valued(valuation, node, top=MOST_ROWS) if valuation and not withheld else None
    return {
        "ref": node.ref,
        "name": node.name,
        "judged": [(batch, batch.facts["admission"]) for batch in batches if "admission" in batch.facts],
        "valued": valued,
        "withheld": withheld,
        "columns": [*valued.rows[0].cells][:MOST_CELLS] if valued and valued.rows else [],
        "drawing": partial(charts.histogram, edges=[], counts=list(valued.counts)) if valued else None,
        "title": node.ref,
    }


def _newest_valuation(workspace: Workspace, node: Node) -> Node | None:
    """Return the newest valuation of this version's rows."""
    edges = (edge for edge in workspace.catalog.edges_from(node.id) if edge.role == "evaluated_on")
    found = (workspace.catalog.node(edge.dst) for edge in edges)
    return max((one for one in found if one.kind == "value"), key=lambda one: one.seq, default=None)


PAGES = (Page("/data/{ref}/admission", "Is it useful?", "admission.html", load_admission),)
