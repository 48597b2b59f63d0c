"""A dataset's contract: every rule in words, and the file to edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sampan.web.page import Page

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

MOST_RULES = 500


def load_contract(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load the contract as it is now."""
    node = workspace.catalog.resolve(given["ref"], kind="dataset")
    has_one = workspace.data.contracts.path(node.name).exists()
    text, digest, shown = "", "", None
    if has_one:
        text, digest = workspace.data.contracts.text(node.name)
        # A file that has faults is shown, too: it is to be mended here.
        shown = workspace.data.contract(node.name) if workspace.data.contracts.fault(node.name) is None else None
    rules = [rule.partition(": ")[::2] for rule in shown.rules[:MOST_RULES]] if shown else []
    return {
        "name": node.name,
        "has_one": has_one,
        "contents": text,
        "digest": digest,
        "rules": rules,
        "n_rules": shown.n_rules if shown else 0,
        "fault": workspace.data.contracts.fault(node.name) if has_one else None,
        "saved": given.get("saved", ""),
        "title": f"{node.name}: contract",
    }


def save_contract(workspace: Workspace, given: Mapping[str, str]) -> str:
    """Save what was typed; return to the page."""
    name = workspace.catalog.resolve(given["ref"], kind="dataset").name
    saved = workspace.data.save_contract(name, contents=given.get("contents", ""), base=given.get("base", ""))
    return f"/data/{quote(name)}/contract?saved={quote(saved.version)}"


PAGES = (Page("/data/{ref}/contract", "Contract", "contract.html", load_contract, submit=save_contract),)
