"""Policies: what data may be used for, who said so, and how to ask; of one dataset or model, and of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sampan.web.page import Page

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

MANY_LEAVES = 50


def load_policies(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:  # noqa: ARG001  # a page's signature
    """Load every dataset's line, and who has or wants leave."""
    found = workspace.policy.list_policies()
    leaves = workspace.policy.leaves()
    return {
        "policies": found.policies,
        "unknown": found.unknown,
        "leaves": leaves.leaves[:MANY_LEAVES],
        "requests": tuple(each for each in leaves.requests if each.state == "open"),
        "next": found.next,
    }


def load_policy(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load what is said of one thing, and of all it comes from."""
    shown = workspace.policy.show(given["ref"])
    about = workspace.project.project
    return {"shown": shown, "purpose": about.purpose, "region": about.region, "title": f"{shown.ref}: policy"}


PAGES = (
    Page("/policies", "Policies", "policies.html", load_policies, in_navigation=True, order=45),
    Page("/policies/{ref}", "Policy", "policy.html", load_policy),
)
