"""A dataset version explored: the same page that `sampan data explore` writes, in the server's shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sampan.web.explored import exploration_context
from sampan.web.jobs import jobs_of
from sampan.web.page import Page
from sampan.workspace.data.exploration import Asked, explore_version, explored_before

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

MOST_CELLS = 20_000_000  # a larger table takes longer than who asks for a page waits: it is explored once, as a job


def load_exploration(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load what was found in one version of a dataset; a small one that nobody explored yet is explored now, a large one in a job."""
    node = workspace.catalog.resolve(given["ref"], kind="dataset")
    groups = tuple(name for name in given.get("groups", "").split(",") if name)
    asked = Asked(target=given.get("target", ""), groups=groups, time=given.get("time", ""))
    shown = {"ref": node.ref, "title": node.ref}
    if node.facts["n_rows"] * len(node.facts["columns"]) > MOST_CELLS:
        found = explored_before(workspace, node, asked)
        if found is None:
            stages = jobs_of(workspace).run(f"explore {node.id} {asked}", lambda: explore_version(workspace, node, asked))
            return {**shown, "found": None, "stages": stages, "n_rows": node.facts["n_rows"]}
        return {**shown, **exploration_context(found)}
    return {**shown, **exploration_context(explore_version(workspace, node, asked))}


PAGES = (Page("/data/{ref}/explore", "Exploration", "explored.html", load_exploration),)
