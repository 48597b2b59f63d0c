"""Models: the list, and one with its evaluation, gate decision, groups and package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sampan.web.page import Page
from sampan.web.pages import figures
from sampan.web.pages.explanations import explanations_of
from sampan.workspace.model_answers import ModelList

if TYPE_CHECKING:
    from sampan.core.graph import Node
    from sampan.workspace.workspace import Workspace

MOST_MODELS = 100
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
    "auc_worse": "Does it rank no worse than the champion?",
    "cost_worse": "Does it cost no more than the champion?",
    "not_compared": "Could it be compared with the champion?",
    "no_value": "Does it pay to use it?",
}


def load_models(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load the newest versions of all models, or of one by `name`."""
    name = given.get("name", "")
    return {"found": workspace.model.list(name=name, limit=MOST_MODELS) if workspace.has_store else ModelList(models=()), "name": name}


def load_model(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load one version of a model."""
    shown = workspace.model.show(given["ref"])
    node = workspace.catalog.node(shown.node)
    report = shown.report
    decision = workspace.catalog.resolve(shown.decision_ref, kind="decision") if shown.decision_ref else None
    metric = node.facts["objective"]["metric"]
    return {
        "shown": shown,
        "node": node,
        "facts": node.facts,
        "report": report,
        "metrics": _metrics(report) if report else [],
        "charts": [figures.calibration(report), figures.cost_curve(report)] if report else [],
        "slices": _slices(report, metric) if report else [],
        "gaps": report["gaps"] if report else (),
        "questions": QUESTIONS,
        "decision": decision,
        "beside": _beside(node, decision),
        "families": _families(node),
        "packages": _packages(workspace, node),
        "explanations": explanations_of(workspace, node),
        "versions": workspace.model.list(name=node.name).models,
        "title": node.ref,
    }


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
