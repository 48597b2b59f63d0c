"""The forms of a model that were tried: the front as a picture, all of them as a table, what a budget picked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sampan.core.decoding import read_builtins
from sampan.web import charts
from sampan.web.charts import Figure, Spot, number
from sampan.web.page import Page
from sampan.workspace.models.optimizing_answers import NATIVELY, PARENT, Optimized, Variant

if TYPE_CHECKING:
    from sampan.core.graph import Node
    from sampan.workspace.workspace import Workspace

KIND = "optimization"
MOST = 20


def load_optimization(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load one optimization."""
    node = workspace.catalog.resolve(given["ref"], kind=KIND)
    found = read_builtins(node.facts, Optimized)
    return {
        "node": node,
        "found": found,
        "charts": [
            picture(found, "Size and quality", "kB", {each.name: each.cost.size_bytes / 1e3 for each in _all(found)}),
            picture(found, "Time of one row and quality", "µs", {each.name: 1e3 * each.cost.p50_ms for each in _all(found)}),
            picture(found, "Time of 100 rows and quality", "µs", {each.name: 1e3 * each.cost.p50_100_ms for each in _all(found)}),
        ],
        "rows": [found.parent, *found.front, *(each for each in found.variants if each.beaten_by)],
        "refused": {reason: [name for name, why in found.refused.items() if why == reason] for reason in found.refused.values()},
        "is_native": found.parent.how == NATIVELY,
        "parent_name": PARENT,
        "title": found.model,
    }


def picture(found: Optimized, title: str, axis: str, costs: Mapping[str, float]) -> Figure:
    """Draw what each variant costs against how much better or worse it is than the parent; `axis` is a unit, alike in every language."""
    shown = _all(found)
    spots = [
        Spot(
            costs[each.name],
            each.gain.value or 0.0,
            each.gain.low if not each.beaten_by else None,
            each.gain.high if not each.beaten_by else None,
            color=_color(each, found),
            is_large=each.name in (PARENT, found.picked),
        )
        for each in sorted(shown, key=lambda each: each.name in (PARENT, found.picked))  # what is looked for first lies on top
    ]
    rows = [(each.name, number(costs[each.name]), f"{each.gain.value or 0:+.4f}") for each in shown]
    draw = partial(charts.scatter, spots=spots, words=(axis, found.metric))
    picked = (("Picked", "c4 dots"),) if found.picked and found.picked != PARENT else ()
    legend = (("As it is", "c3 dots"), ("Beaten by none", "c1 dots"), ("Beaten", "c2 dots"), *picked)
    return Figure(title, draw, ("Variant", axis, "Against the parent"), rows, legend, says_rows=True)


def optimizations_of(workspace: Workspace, model: Node) -> list[Node]:
    """Return what was tried to make a model smaller, newest first."""
    made = [workspace.catalog.node(edge.dst) for edge in workspace.catalog.edges_from(model.id) if edge.role == "input"]
    return [node for node in reversed(made) if node.kind == KIND][:MOST]


def _all(found: Optimized) -> list[Variant]:
    return [found.parent, *found.variants]


def _color(one: Variant, found: Optimized) -> str:
    if one.name == PARENT:
        return "c3"
    if one.name == found.picked:
        return "c4"
    return "c2" if one.beaten_by else "c1"


PAGES = (Page("/optimizations/{ref}", "Smaller forms", "optimization.html", load_optimization),)
