"""Runs: the table, sorted and filtered by the query string, and one run with its curves, trials, environment and code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from sampan.errors import ParameterError
from sampan.web.page import Page
from sampan.web.pages import figures
from sampan.workspace.runs.listing import RunLine, RunList

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

STATES = ("running", "finished", "failed", "killed")
PAGE, MOST = 50, 1000
MOST_SEQ = 2**31 - 1  # nodes are numbered by a database's integer
MOST_METRICS = 5
MOST_CURVES = 8
FIRST_METRICS = (
    *("test_auc", "test_log_loss", "test_accuracy", "test_rmse", "test_mae", "test_cost"),
    *("best_log_loss", "best_rmse", "best_mae", "log_loss", "rmse", "mae"),
)
TRIAL, BEST = "trial_", "best_"  # before the metric that led a search, in what it logs to its run


def load_runs(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load the table: newest first and older ones page by page, or the first by `sort` (a metric, started or seconds) and `order`."""
    asked = {name: given[name] for name in ("experiment", "state", "trials", "sort", "order", "limit") if given.get(name)}
    limit = _number("limit", asked.get("limit", ""), PAGE, MOST)
    sort, before = asked.get("sort", ""), given.get("before", "")
    found = RunList(runs=())
    if workspace.has_store:
        found = workspace.run.list(
            experiment=asked.get("experiment", ""),
            state=asked.get("state", ""),
            trials=asked.get("trials") == "yes",
            sort=sort,
            ascending=asked.get("order") == "asc",
            before=None if sort or not before else _number("before", before, 0, MOST_SEQ),
            limit=limit,
        )

    def link(**change: str) -> str:
        return "/runs?" + urlencode({**asked, **change})

    return {
        "runs": found.runs,
        "metrics": metric_columns(found.runs),
        "experiments": [asset.name for asset in workspace.catalog.assets("run")] if workspace.has_store else [],
        "states": STATES,
        "asked": asked,
        "link": link,
        "more": link(limit=str(min(2 * limit, MOST))) if sort and len(found.runs) == limit < MOST else "",
        "older": link(before=str(found.before)) if found.before is not None else "",
        "newest": link() if before and not sort else "",
    }


def metric_columns(runs: Sequence[RunLine]) -> list[str]:
    """Choose the metrics the table shows: those that judge a model first, then the most common."""
    counts: dict[str, int] = {}
    for run in runs:
        for key in run.metrics:
            counts[key] = counts.get(key, 0) + 1
    known = [key for key in FIRST_METRICS if key in counts]
    others = sorted((key for key in counts if key not in known), key=lambda key: (-counts[key], key))
    return [*known, *others][:MOST_METRICS]


def load_run(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load one run."""
    shown = workspace.run.show(given["ref"])
    run_id, catalog = shown.run.run, workspace.catalog
    summaries = workspace.run.metrics(run_id).summaries
    inputs = [(edge.role.replace("_", " "), catalog.node(edge.src)) for edge in catalog.edges_to(run_id)]
    made = [(edge.role.replace("_", " "), catalog.node(edge.dst)) for edge in catalog.edges_from(run_id)]
    return {
        "shown": shown,
        "run": shown.run,
        "node": catalog.node(run_id),
        "row": catalog.run(run_id),
        "summaries": summaries,
        "charts": _charts(workspace, run_id, {m.key: m.n for m in summaries}),
        "inputs": inputs,
        "made": made,
        "environment": _environment(workspace, [node.id for _, node in made if node.kind == "model"]),
        "trial_params": sorted({name for trial in shown.trials for name in trial.params}),
        "trial_metrics": metric_columns(shown.trials),
        "brief": brief,
        "title": shown.run.title or shown.run.run[:12],
    }


def brief(value: str) -> str:
    """Write a parameter's number with four digits; other texts stay.

    >>> brief("0.7064965631185978"), brief("119"), brief("gbdt")
    ('0.7065', '119', 'gbdt')
    """
    try:
        return value if value.lstrip("-").isdecimal() else f"{float(value):.4g}"
    except ValueError:
        return value


def _charts(workspace: Workspace, run: str, counts: Mapping[str, int]) -> list[Any]:
    found = []
    led_by = next((key.removeprefix(TRIAL) for key in counts if key.startswith(TRIAL) and BEST + key.removeprefix(TRIAL) in counts), "")
    if led_by:
        losses, best = (workspace.run.metrics(run, key=key) for key in (TRIAL + led_by, BEST + led_by))
        each, so_far = (dict(zip(points.steps, points.values, strict=True)) for points in (losses, best))
        found.append(figures.trials(each, so_far, led_by))
    for key in [key for key, n in counts.items() if n > 1 and key not in (TRIAL + led_by, BEST + led_by)][:MOST_CURVES]:
        points = workspace.run.metrics(run, key=key)
        found.append(figures.curve(key, points.steps, points.values))
    return found


def _environment(workspace: Workspace, models: Sequence[str]) -> Mapping[str, Any] | None:
    """Return the environment that was kept with what the run made."""
    for model in models:
        for artifact in workspace.catalog.artifacts(model):
            if artifact.path == "environment.json":
                found: dict[str, Any] = msgspec.json.decode(workspace.store.blobs.read(artifact.digest))
                return found
    return None


def _number(name: str, text: str, default: int, most: int) -> int:
    if not text:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise ParameterError(f"{name} is {text!r}", hint=f"a number from 1 to {most:,}")
    return int(text)


PAGES = (
    Page("/runs", "Runs", "runs.html", load_runs, in_navigation=True, order=20),
    Page("/runs/{ref}", "Run", "run.html", load_run),
)
