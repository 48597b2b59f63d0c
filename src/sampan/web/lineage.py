"""Lay a part of the lineage graph out in columns and draw it as SVG with links: sources on the left, what came of them on the right.

Layering by longest path, then a few sweeps ordering each column by the mean position of its neighbors (Sugiyama, Tagawa and Toda, 1981,
"Methods for Visual Understanding of Hierarchical System Structures"). Lineage is close to a tree, so this needs no more.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from sampan.core.graph import Edge, Graph, Node
from sampan.web.charts import shorten

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, PAD = 158, 46, 40, 14, 12
LONGEST_LABEL = 20
SWEEPS = 6
LEAST_FOLDED = 4


@dataclass(frozen=True, slots=True)
class Placed:
    """A node with its place in the drawing (left upper corner, CSS pixels)."""

    node: Node
    x: int
    y: int


def layers(nodes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Give each node a column: one right of the rightmost thing it was made from."""
    needs: dict[str, list[str]] = defaultdict(list)
    known = set(nodes)
    for edge in edges:
        if edge.dst in known and edge.src in known and edge.dst != edge.src:
            needs[edge.dst].append(edge.src)
    column: dict[str, int] = {}
    for start in nodes:
        stack = [start]
        while stack:
            top = stack[-1]
            waiting = [src for src in needs[top] if src not in column and src not in stack]
            if waiting:
                stack.append(waiting[0])
                continue
            column[stack.pop()] = 1 + max((column.get(src, -1) for src in needs[top]), default=-1)
    return column


def place(graph: Graph) -> list[Placed]:
    """Give every node of the graph a place."""
    by_id = {node.id: node for node in graph.nodes}
    column = layers(list(by_id), graph.edges)
    columns: dict[int, list[str]] = defaultdict(list)
    for node in sorted(by_id.values(), key=lambda n: (n.kind, n.created, n.id)):
        columns[column[node.id]].append(node.id)
    _order(columns, graph.edges)
    tallest = max((len(ids) for ids in columns.values()), default=0)
    placed: list[Placed] = []
    for number in sorted(columns):
        ids = columns[number]
        top = PAD + (tallest - len(ids)) * (BOX_HEIGHT + GAP_Y) // 2
        placed.extend(
            Placed(by_id[one], PAD + number * (BOX_WIDTH + GAP_X), top + row * (BOX_HEIGHT + GAP_Y)) for row, one in enumerate(ids)
        )
    return placed


def _order(columns: Mapping[int, list[str]], edges: Sequence[Edge]) -> None:
    neighbors: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        neighbors[edge.dst].append(edge.src)
        neighbors[edge.src].append(edge.dst)
    for sweep in range(SWEEPS):
        position = {one: row - len(ids) / 2 for ids in columns.values() for row, one in enumerate(ids)}
        for number in sorted(columns, reverse=bool(sweep % 2)):

            def mean(one: str, position: dict[str, float] = position) -> float:
                near = [position[n] for n in neighbors[one] if n in position]
                return sum(near) / len(near) if near else position[one]

            columns[number].sort(key=mean)
            position.update({one: row - len(columns[number]) / 2 for row, one in enumerate(columns[number])})


def fold(graph: Graph, *, keep: str = "", least: int = LEAST_FOLDED) -> tuple[Graph, dict[str, int]]:
    """Fold nodes of one kind with the very same neighbors (the trials of a search, the windows of a service) into the newest of them.

    Returns the smaller graph, and how many nodes each remaining one stands for where that is more than itself. `keep` is never folded.
    """
    around: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for edge in graph.edges:
        around[edge.dst].append(("from", edge.src, edge.role))
        around[edge.src].append(("to", edge.dst, edge.role))
    alike: dict[tuple[str, str, tuple[tuple[str, str, str], ...]], list[Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.id != keep and around[node.id]:
            alike[node.kind, node.name, tuple(sorted(around[node.id]))].append(node)
    folded = {max(group, key=lambda n: (n.created, n.seq)).id: group for group in alike.values() if len(group) >= least}
    gone = {node.id for first, group in folded.items() for node in group if node.id != first}
    smaller = Graph(
        nodes=tuple(node for node in graph.nodes if node.id not in gone),
        edges=tuple(edge for edge in graph.edges if edge.dst not in gone and edge.src not in gone),
    )
    return smaller, {first: len(group) for first, group in folded.items()}


def nearest(graph: Graph, focus: str, *, most: int) -> Graph:
    """Keep the `most` nodes that are fewest edges away from the focus."""
    if len(graph.nodes) <= most:
        return graph
    beside: dict[str, list[str]] = defaultdict(list)
    for edge in graph.edges:
        beside[edge.dst].append(edge.src)
        beside[edge.src].append(edge.dst)
    reached, waiting = {focus: None}, deque([focus])
    while waiting and len(reached) < most:
        for one in beside[waiting.popleft()]:
            if one not in reached and len(reached) < most:
                reached[one] = None
                waiting.append(one)
    return Graph(
        nodes=tuple(node for node in graph.nodes if node.id in reached),
        edges=tuple(edge for edge in graph.edges if edge.dst in reached and edge.src in reached),
    )


def draw(graph: Graph, *, focus: str = "", link: str = "/node/", folded: Mapping[str, int] | None = None) -> Markup:
    """Draw the graph as SVG; each box links to its node's page, the focus is marked, folded ones say how many they stand for."""
    placed = {one.node.id: one for one in place(graph)}
    width = PAD + max((p.x + BOX_WIDTH for p in placed.values()), default=0)
    height = PAD + max((p.y + BOX_HEIGHT for p in placed.values()), default=0)
    parts = [_edge(placed[e.src], placed[e.dst], e.role) for e in graph.edges if e.src in placed and e.dst in placed]
    parts += [_box(one, focus=focus, link=link, n=(folded or {}).get(one.node.id, 1)) for one in placed.values()]
    title = f"lineage of {len(placed)} things; the table below lists them"
    return Markup(  # noqa: S704 -- every text inside is escaped where it is written
        f'<svg class="lineage" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="group" aria-label="{escape(title)}">'
        + "".join(parts)
        + "</svg>"
    )


def _edge(src: Placed, dst: Placed, role: str) -> str:
    x1, y1 = src.x + BOX_WIDTH, src.y + BOX_HEIGHT // 2
    x2, y2 = dst.x, dst.y + BOX_HEIGHT // 2
    bend = max((x2 - x1) // 2, 20)
    path = f"M{x1},{y1} C{x1 + bend},{y1} {x2 - bend},{y2} {x2},{y2}"
    return f'<path class="edge" d="{path}"><title>{escape(role)}</title></path>'


def _box(one: Placed, *, focus: str, link: str, n: int) -> str:
    node = one.node
    label = node.ref if node.version is not None else str(node.facts.get("label") or node.name or node.id[:8])
    if n > 1:
        label = f"{n} × {node.name or node.kind}"
    shown = shorten(label, LONGEST_LABEL)
    marked = " focus" if node.id == focus else ""
    what = " · ".join([node.kind, *node.aliases])
    return (
        f'<a href="{escape(link)}{escape(node.id)}" class="kind-{escape(node.kind)}{marked}">'
        f"<title>{escape(label)} ({escape(node.kind)})</title>"
        f'<rect x="{one.x}" y="{one.y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"/>'
        f'<text x="{one.x + 12}" y="{one.y + 19}" class="what">{escape(what)}</text>'
        f'<text x="{one.x + 12}" y="{one.y + 36}" class="label">{escape(shown)}</text></a>'
    )
