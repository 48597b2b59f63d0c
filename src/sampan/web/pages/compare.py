"""Things side by side, and many runs at once: parallel coordinates, scatter, the best of each group. One address is one view."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from sampan.errors import NotFound
from sampan.web import charts
from sampan.web.charts import Figure, Series, number
from sampan.web.page import Page
from sampan.web.pages.runs import metric_columns
from sampan.workspace.runs.comparing import is_higher_better
from sampan.workspace.runs.listing import RunLine

if TYPE_CHECKING:
    from sampan.workspace.runs.comparing_answers import Cell, Comparison, Line
    from sampan.workspace.workspace import Workspace

MOST_RUNS = 10_000
MOST_AXES, MOST_PARAMS = 8, 5
MOST_CURVES, GRID = 8, 120
_SHOWN, _LOOKED_AT = 20, 60


def load_compare(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load things side by side; without two of them, ask for them."""
    refs = given.get("ref", "").split()
    if len(refs) < 2:
        newest = workspace.run.list(limit=8).runs if workspace.has_store else ()
        return {"found": None, "refs": refs, "charts": (), "newest": newest, "everything": False, "other": ""}
    everything = given.get("everything") == "yes"
    found = workspace.home.compare(refs, everything=everything)
    other = [("ref", ref) for ref in refs] + ([] if everything else [("everything", "yes")])
    return {
        "found": found,
        "refs": refs,
        "charts": overlaid(found),
        "newest": (),
        "everything": everything,
        "other": "/compare?" + urlencode(other),
        "title": " | ".join(side.ref for side in found.sides),
    }


def overlaid(found: Comparison) -> list[Figure]:
    """Chart the curves of all sides, one chart a metric."""
    section = found.section("curves")
    names = [side.title or side.ref for side in found.sides]
    return [_overlay(line, names) for line in (section.lines[:MOST_CURVES] if section else ())]


def _overlay(line: Line, names: Sequence[str]) -> Figure:
    cells = [(name, cell) for name, cell in zip(names, line.cells, strict=True) if cell is not None and cell.values]
    steps = [step for _, cell in cells for step in cell.steps]
    low, high = min(steps), max(steps)
    grid = [low + (high - low) * i / (GRID - 1) for i in range(GRID)]
    series = [Series(name, [_value_at(cell, step) for step in grid]) for name, cell in cells]
    labels = [f"{step:.6g}" for step in grid]
    rows = [(labels[i], *(number(one.y[i], 4) for one in series)) for i in range(0, GRID, 6)]
    legend = tuple((name, f"c{1 + place % 4}") for place, (name, _) in enumerate(cells))
    return Figure(line.name, partial(charts.lines, labels=labels, series=series), ("Step", *(name for name, _ in cells)), rows, legend)


def _value_at(cell: Cell, step: float) -> float | None:
    """Return a curve's value at a step, on the line between its neighbors; None outside of it."""
    place = bisect_right(cell.steps, step)
    if place == 0 or (place == len(cell.steps) and step > cell.steps[-1]):
        return None
    if place == len(cell.steps):
        return cell.values[-1]
    left, right = cell.steps[place - 1], cell.steps[place]
    share = (step - left) / (right - left) if right > left else 0.0
    value = cell.values[place - 1] + share * (cell.values[place] - cell.values[place - 1])
    return value if value == value else None


def load_many(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load a view of many runs: which axes there are, the first runs by the color's metric, and the best of each group."""
    asked = {name: given[name] for name in ("experiment", "where", "axes", "color", "group", "x", "y") if given.get(name)}
    experiment, where = asked.get("experiment", ""), asked.get("where", "")
    if not workspace.has_store:
        raise NotFound("there is no run yet", hint="sampan run FILE")
    experiments = [asset.name for asset in workspace.catalog.assets("run")]
    some = workspace.run.list(experiment=experiment, where=where, limit=_LOOKED_AT).runs
    # Names with spaces in them cannot be axes: a view's axes are words of its address.
    metrics, params = ([name for name in names if " " not in name] for names in (metric_columns(some), varying(some)))
    axes = asked.get("axes", "").split() or [*(f"params.{name}" for name in params[:MOST_PARAMS]), *metrics[:2]] or ["seconds"]
    axes = axes[:MOST_AXES]
    color = asked.get("color") or next((axis for axis in reversed(axes) if not axis.startswith("params.")), axes[-1])
    ascending = is_higher_better(color) is False
    group = asked.get("group", "")
    best: tuple[RunLine, ...] = ()
    if group and some:
        best = workspace.run.list(experiment=experiment, where=where, sort=color, ascending=ascending, best_of=group, limit=_SHOWN).runs
    fields = list(dict.fromkeys([*axes, color, asked.get("x") or axes[0], asked.get("y") or color]))
    source = [*(("fields", field) for field in fields), ("sort", color), ("limit", str(MOST_RUNS))]
    source += [(name, asked[name]) for name in ("experiment", "where") if name in asked] + ([("ascending", "true")] if ascending else [])
    return {
        "asked": asked,
        "axes": axes,
        "color": color,
        "x": asked.get("x") or axes[0],
        "y": asked.get("y") or color,
        "fields": [*(f"params.{name}" for name in params), *metrics, "seconds", "started"],
        "experiments": experiments,
        "first": workspace.run.list(experiment=experiment, where=where, sort=color, ascending=ascending, limit=_SHOWN).runs if some else (),
        "best": best,
        "group": group,
        "value": value_of,
        "source": "/api/v1/run/columns?" + urlencode(source),
    }


def varying(runs: Sequence[RunLine]) -> list[str]:
    """Return the parameters of which runs have different values, those of most values first."""
    values: dict[str, set[str]] = {}
    for run in runs:
        for name, value in run.params.items():
            values.setdefault(name, set()).add(value)
    return sorted((name for name, found in values.items() if len(found) > 1), key=lambda name: (-len(values[name]), name))


def value_of(run: RunLine, field: str) -> str:
    """Write a field of a run for the table."""
    if field.startswith("params."):
        return run.params.get(field.removeprefix("params."), "–")
    if field == "seconds":
        return number(run.seconds)
    if field == "started":
        return run.started[:16].replace("T", " ")
    return number(run.metrics.get(field.removeprefix("metrics.")), 4)


PAGES = (
    Page("/compare", "Side by side", "compare.html", load_compare, several=("ref",)),
    Page("/compare/runs", "Many runs", "many_runs.html", load_many, several=("axes",)),
)
