"""A study: every trial of a search, what mattered, and how the search did on later spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from sampan.web import charts
from sampan.web.charts import Figure, Series, number
from sampan.web.page import Page
from sampan.workspace.models.tuning import finished_trials
from sampan.workspace.training.studies import find_study

if TYPE_CHECKING:
    from sampan.workspace.training.tuning_answers import Mattering, TriedOnce, Tuned
    from sampan.workspace.workspace import Workspace

_TICKS = 6


def load_study(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load one study, with its trials in the order in which they were made."""
    node, _ = find_study(workspace, given["ref"])
    shown, tried = workspace.model.study(node.ref), finished_trials(node)
    names = list(node.facts["space"])
    figures = [_progress(tried, shown), *([_importance(shown.mattered)] if shown.mattered else [])]
    return {
        "node": node,
        "shown": shown,
        "facts": node.facts,
        "trials": node.facts["trials"],
        "tried": {each.number: each for each in tried},
        "names": names,
        "front": {each.number for each in shown.front},
        "charts": figures,
        "many": _many(workspace, shown, names),
        "text": _text,
        "title": node.ref,
    }


def _progress(tried: Sequence[TriedOnce], shown: Tuned) -> Figure:
    """Chart what each trial came to, and the best so far."""
    lead = next(iter(shown.best.values))
    values = [each.values[lead] for each in tried]
    better = max if shown.best.values[lead] >= max(values, default=0.0) > min(values, default=0.0) else min
    best = [better(values[: place + 1]) for place in range(len(values))]
    every = max(1, len(tried) // _TICKS)
    labels = [str(each.number) if place % every == 0 else "" for place, each in enumerate(tried)]
    series = [Series("best so far", best), Series("trial", values, joined=False)]  # what is drawn last lies above
    rows = [(str(each.number), number(value, 5), number(least, 5)) for each, value, least in zip(tried, values, best, strict=True)]
    draw = partial(charts.lines, labels=labels, series=series)
    legend = (("best so far", "c1"), ("each trial", "c2 dots"))
    return Figure("What the trials came to", draw, ("Trial", "Value", "best so far"), rows, legend)


def _importance(mattered: Sequence[Mattering]) -> Figure:
    """Chart which parameters the differences come from."""
    items = [(each.name, each.overall) for each in mattered if each.overall is not None]
    rows = [(each.name, _share(each.overall), _share(each.near_best), ", ".join(map(_text, each.good))) for each in mattered]
    head = ("Parameter", "Of all differences", "Near the best", "Good values")
    note = "Shares of all differences between trials; few trials tell little."
    return Figure("What mattered", partial(charts.shares, items=items, width=320), head, rows, note=note)


def _many(workspace: Workspace, shown: Tuned, names: Sequence[str]) -> str:
    """Return the address that lays the trials out as parallel coordinates."""
    if not shown.run:
        return ""
    parent = workspace.catalog.node(shown.run).seq
    axes = [("axes", name) for name in (*(f"params.{name}" for name in names if " " not in name), shown.loss)]
    view = [("experiment", shown.model), ("where", f"parent = {parent}"), *axes, ("color", shown.loss)]
    return "/compare/runs?" + urlencode(view, quote_via=quote)


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


PAGES = (Page("/studies/{ref}", "Study", "study.html", load_study),)
