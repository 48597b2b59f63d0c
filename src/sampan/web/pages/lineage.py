"""Lineage: what a thing came from and what came of it, drawn and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sampan.core.graph import Graph, Node
from sampan.web.lineage import draw, fold, nearest
from sampan.web.page import Page

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

MOST_NODES = 300
MOST_WALKED = 1_500  # each way; alike ones among them are folded
DEPTH_DOWN = 3


def load_lineage(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load the neighborhood of a node. Alike nodes are folded into one unless `fold=no`."""
    node = workspace.catalog.resolve(given["ref"])
    around, is_whole = _around(workspace, node)
    folds = given.get("fold", "yes") != "no"
    graph, folded = fold(around, keep=node.id) if folds else (around, {})
    shown = nearest(graph, node.id, most=MOST_NODES)
    by_id = {one.id: one for one in shown.nodes}
    rows = [(by_id[e.src], e.role.replace("_", " "), by_id[e.dst]) for e in shown.edges if e.src in by_id and e.dst in by_id]
    return {
        "node": node,
        "drawing": draw(shown, focus=node.id, folded=folded),
        "rows": rows,
        "folded": folded,
        "folds": folds,
        "n_left_out": len(graph.nodes) - len(shown.nodes) if is_whole else None,
        "n_nodes": len(shown.nodes),
        "impact": workspace.home.impact(node.id),
        "who": workspace.home.who(node.id),
        "title": "Lineage",
    }


def _around(workspace: Workspace, node: Node) -> tuple[Graph, bool]:
    """Return the graph around a node, and whether that is all of it within reach."""
    up = workspace.catalog.nearest([node], up=True, most=MOST_WALKED)
    down = workspace.catalog.nearest([node], up=False, depth=DEPTH_DOWN, most=MOST_WALKED)
    nodes = {one.id: one for one in (*up.nodes, *down.nodes)}
    edges = {(e.dst, e.src, e.role): e for e in (*up.edges, *down.edges)}
    return Graph(nodes=tuple(nodes.values()), edges=tuple(edges.values())), up.whole and down.whole


PAGES = (Page("/lineage/{ref}", "Lineage", "lineage.html", load_lineage),)
