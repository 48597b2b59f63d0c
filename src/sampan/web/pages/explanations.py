"""Why one model is better than another: the share of each change, as a picture and a table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sampan.web import charts
from sampan.web.charts import Bar, Figure
from sampan.web.page import Page

if TYPE_CHECKING:
    from sampan.core.graph import Node
    from sampan.workspace.workspace import Workspace

MOST = 20


def load_explanation(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load one explanation."""
    node = workspace.catalog.resolve(given["ref"], kind="explanation")
    found = node.facts
    title = f"{found['before']} → {found['after']}"
    return {"node": node, "found": found, "figure": shares(found), "words": found.get("words", ()), "title": title}


def shares(found: Mapping[str, Any]) -> Figure:
    """Chart the shares with their intervals; what made it worse is marked."""
    axes = found["axes"]
    bars = [
        Bar(
            axis["name"],
            axis["share"]["value"],
            axis["share"]["low"],
            axis["share"]["high"],
            note=f"{axis['share']['value']:+.4f}",
            alarm=axis["share"]["high"] is not None and axis["share"]["high"] < 0,
        )
        for axis in axes
    ]
    rows = [
        (
            axis["name"],
            _signed(axis["share"]["value"]),
            _between(axis["share"]),
            _signed(axis["alone"]),
            _signed(axis["last"]),
            axis["what"],
        )
        for axis in axes
    ]
    head = ("What changed", "Share of the gain", "95 % interval", "Alone", "As the last change", "In words")
    draw = partial(charts.intervals, bars=bars, reference=0.0, width=520)
    return Figure("What each change contributed", draw, head, rows, says_rows=True)


def explanations_of(workspace: Workspace, model: Node) -> list[Node]:
    """Return the explanations that a model is a side of, newest first."""
    made = [workspace.catalog.node(edge.dst) for edge in workspace.catalog.edges_from(model.id)]
    return [node for node in reversed(made) if node.kind == "explanation"][:MOST]


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"


def _between(figure: Mapping[str, Any]) -> str:
    return "" if figure["low"] is None else f"{figure['low']:+.4f} … {figure['high']:+.4f}"


PAGES = (Page("/explanations/{ref}", "Explanation", "explanation.html", load_explanation),)
