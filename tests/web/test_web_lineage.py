"""Lineage as a drawing: columns by dependence, alike things folded, the nearest kept."""

from __future__ import annotations

from sampan.core.graph import Edge, Graph, Node
from sampan.web.lineage import draw, fold, layers, nearest, place


def node(name: str, kind: str = "run", *, created: int = 0) -> Node:
    return Node(id=name, kind=kind, name=kind, version=None, digest="", state="", created=created, actor="an")


def search(n_trials: int) -> Graph:
    """A dataset, trials of a search over it, and the model that came of them."""
    trials = [node(f"trial{i}", created=i) for i in range(n_trials)]
    edges = [Edge(dst=t.id, src="data", role="input") for t in trials] + [Edge(dst="model", src=t.id, role="derived_from") for t in trials]
    return Graph(nodes=(node("data", "dataset"), *trials, node("model", "model")), edges=tuple(edges))


def test_what_was_made_is_right_of_what_it_was_made_from() -> None:
    graph = search(3)

    column = layers([one.id for one in graph.nodes], graph.edges)

    assert (0, 1, 2) == (column["data"], column["trial0"], column["model"])
    assert len({(one.x, one.y) for one in place(graph)}) == 5


def test_a_cycle_ends() -> None:
    edges = (Edge(dst="a", src="b", role="input"), Edge(dst="b", src="a", role="input"))

    assert set(layers(["a", "b"], edges)) == {"a", "b"}


def test_trials_of_a_search_fold_into_the_newest() -> None:
    graph, folded = fold(search(20))

    assert {"data", "trial19", "model"} == {one.id for one in graph.nodes}
    assert {"trial19": 20} == folded
    assert "20 × run" in draw(graph, folded=folded)


def test_few_alike_things_and_the_one_in_focus_are_not_folded() -> None:
    assert len(fold(search(3))[0].nodes) == 5
    graph, folded = fold(search(20), keep="trial3")

    assert "trial3" in {one.id for one in graph.nodes}
    assert {"trial19": 19} == folded


def test_of_too_many_the_nearest_stay() -> None:
    chain = Graph(
        nodes=tuple(node(str(i)) for i in range(1000)),
        edges=tuple(Edge(dst=str(i + 1), src=str(i), role="input") for i in range(999)),
    )

    near = nearest(chain, "500", most=11)

    assert {str(i) for i in range(495, 506)} == {one.id for one in near.nodes}
    assert len(near.edges) == 10


def test_names_in_a_drawing_are_escaped() -> None:
    bad = Node(id="x", kind="<b>", name="<script>", version=1, digest="", state="", created=0, actor="an")

    svg = draw(Graph(nodes=(bad,), edges=()), focus="x")

    assert "<script>" not in svg
    assert "<b>" not in svg
