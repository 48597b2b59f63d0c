"""Home: what is live, how it is doing, what to do next. And the page of any node, by its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sampan.web.page import Page

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace


def load_home(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load the status and the newest events."""
    del given
    return {"status": workspace.home.status(), "log": workspace.home.log(limit=8)}


def load_lineage(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load the neighborhood of a node: what it came from and what came of it, drawn and as a table."""
    from sampan.web.lineage import draw

    node = workspace.catalog.resolve(given["ref"])
    graph = _around(workspace, node.id)
    by_id = {one.id: one for one in graph.nodes}
    rows = [(by_id[e.src], e.role.replace("_", " "), by_id[e.dst]) for e in graph.edges if e.src in by_id and e.dst in by_id]
    return {"node": node, "drawing": draw(graph, focus=node.id), "rows": rows, "title": "Lineage"}


def load_node(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load any node: its facts, edges and history. Kinds with a page of their own are linked from it."""
    node = workspace.catalog.node(given["id"])
    needed = [(edge.role.replace("_", " "), workspace.catalog.node(edge.src)) for edge in workspace.catalog.edges_to(node.id)]
    needing = [(edge.role.replace("_", " "), workspace.catalog.node(edge.dst)) for edge in workspace.catalog.edges_from(node.id)]
    events = workspace.catalog.events(subject=node.id, limit=50, newest_first=True)
    return {"node": node, "needed": needed, "needing": needing, "events": events, "title": node.ref, "own_page": own_page(node.kind, node)}


def own_page(kind: str, node: Any) -> str:
    """Return the path of the page made for this kind, or ''."""
    paths = {
        "dataset": f"/data/{node.ref}",
        "model": f"/models/{node.ref}",
        "run": f"/runs/{node.id}",
        "service": f"/services/{node.name}",
        "deployment": f"/services/{node.name}",
        "incident": f"/incidents/{node.id}",
    }
    return paths.get(kind, "")


def _around(workspace: Workspace, node_id: str) -> Any:
    from sampan.core.graph import Graph

    up, down = workspace.catalog.lineage(node_id, up=True), workspace.catalog.lineage(node_id, up=False, depth=3)
    nodes = {one.id: one for one in (*up.nodes, *down.nodes)}
    edges = {(e.dst, e.src, e.role): e for e in (*up.edges, *down.edges)}
    return Graph(nodes=tuple(nodes.values()), edges=tuple(edges.values()))


PAGES = (
    Page("/", "Home", "home.html", load_home, in_navigation=True, order=0),
    Page("/lineage/{ref}", "Lineage", "lineage.html", load_lineage),
    Page("/node/{id}", "Node", "node.html", load_node),
)
