"""Models: the list, and one with its evaluation, gate decision, groups and package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sampan.web.page import Page
from sampan.web.pages import figures
from sampan.web.pages.explanations import explanations_of
from sampan.web.pages.optimizations import optimizations_of
from sampan.workspace.models.listing import ModelList

if TYPE_CHECKING:
    from sampan.core.graph import Node
    from sampan.workspace.workspace import Workspace

MOST_MODELS = 100
COLUMNS = ("auc", "log_loss", "accuracy", "rmse", "mae", "cost")
# A gate's codes in plain words, as a question that "yes" answers well.
QUESTIONS = {
    "too_few_rows": "Was it judged on enough rows?",
    "metric_missed": "Does it reach the metric that was asked for?",
    "gap_too_wide": "Does it treat groups alike?",
    "too_slow": "Does it answer fast enough?",
    "latency_unknown": "Is its answer time known?",
    "online_differs": "Does it answer online as in batch?",
    "label_noise": "Are the newest labels sound?",
    "log_loss_not_better": "Is it shown better than the champion?",
    **dict.fromkeys((f"{loss}_not_better" for loss in ("rmse", "mae", "mape", "pinball")), "Is it shown better than the champion?"),
    "auc_worse": "Does it rank no worse than the champion?",
    "macro_auc_worse": "Does it rank no worse than the champion?",
    "accuracy_worse": "Is it right no less often than the champion?",
    "macro_f1_worse": "Is it right no less often than the champion?",
    **dict.fromkeys((f"{error}_worse" for error in ("rmse", "mae", "mape", "pinball", "r2")), "Is it no farther off than the champion?"),
    "log_loss_worse": "Are its chances no worse than the champion's?",
    "brier_worse": "Are its chances no worse than the champion's?",
    "cost_worse": "Does it cost no more than the champion?",
    "loss_over_budget": "Does it lose no more than its budget allows?",
    "not_compared": "Could it be compared with the champion?",
    "no_value": "Does it pay to use it?",
}


def load_models(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load the newest versions of all models, or of one by `name`."""
    name = given.get("name", "")
    found = workspace.model.list(name=name, limit=MOST_MODELS) if workspace.has_store else ModelList(models=())
    return {"found": found, "name": name, "columns": columns(found), "words": figures.METRIC_WORDS}


def load_model(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load one version of a model."""
    shown = workspace.model.show(given["ref"])
    node = workspace.catalog.node(shown.node)
    report = shown.report
    decision = workspace.catalog.resolve(shown.decision_ref, kind="decision") if shown.decision_ref else None
    metric, versions = node.facts["objective"]["metric"], workspace.model.list(name=node.name)
    return {
        "shown": shown,
        "node": node,
        "facts": node.facts,
        "report": report,
        "metrics": _metrics(report) if report else [],
        "charts": _charts(report) if report else [],
        "words": figures.METRIC_WORDS,
        "columns": columns(versions),
        "residual_shares": sorted(report.get("residuals", ()), key=float) if report else [],
        "slices": _slices(report, metric) if report else [],
        "gaps": report["gaps"] if report else (),
        "questions": QUESTIONS,
        "decision": decision,
        "beside": _beside(node, decision),
        "families": _families(node),
        "packages": _packages(workspace, node),
        "explanations": explanations_of(workspace, node),
        "optimizations": optimizations_of(workspace, node),
        "versions": versions.models,
        "title": node.ref,
    }


def columns(found: ModelList) -> list[str]:
    """Return the metrics that a list of versions shows: those any of them has, the most telling first."""
    return [name for name in COLUMNS if any(name in one.metrics for one in found.models)]


def _charts(report: Mapping[str, Any]) -> list[Any]:
    return [figures.calibration(report), *([figures.cost_curve(report)] if report.get("cost_curve") else [])]


def _metrics(report: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    found, known = report["metrics"], figures.METRIC_WORDS
    return [(known.get(key, key), found[key]) for key in (*(k for k in known if k in found), *(k for k in found if k not in known))]


def _slices(report: Mapping[str, Any], metric: str) -> list[Any]:
    overall = report["metrics"].get(metric, {}).get("value")
    return [figures.slices(column, groups, metric, overall=overall) for column, groups in report["slices"].items()]


def _beside(node: Node, decision: Node | None) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the paired tests of this model: beside the champion of its gate, and beside the simple baseline."""
    found = []
    if decision is not None and decision.facts.get("paired"):
        found.append((str(decision.facts["champion_ref"]), decision.facts["paired"]))
    if node.facts.get("baseline"):
        found.append(("", node.facts["baseline"]))
    return found


def _families(node: Node) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, family in sorted(node.facts.get("families", {}).items()):
        found.setdefault(family, []).append(name)
    return found


def _packages(workspace: Workspace, node: Node) -> list[Node]:
    made = [workspace.catalog.node(edge.dst) for edge in workspace.catalog.edges_from(node.id) if edge.role == "packaged_as"]
    return [one for one in reversed(made) if one.kind == "package"]


PAGES = (
    Page("/models", "Models", "models.html", load_models, in_navigation=True, order=30),
    Page("/models/{ref}", "Model", "model.html", load_model),
)
