"""What changed between two versions of a dataset: rows, columns, values, and how each keeps the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sampan.errors import NotFound
from sampan.web.page import Page
from sampan.workspace.data.answers import cell_text

if TYPE_CHECKING:
    from sampan.core.graph import Node
    from sampan.workspace.workspace import Workspace

MOST_CHOICES, MOST_CELLS = 50, 12


def load_diff(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load the difference from one version, by default the one before, to another."""
    node = workspace.catalog.resolve(given["ref"], kind="dataset")
    before = given.get("before", "") or _before(workspace, node).ref
    found = workspace.data.diff(before, node.ref)
    key = list(found.key)
    columns = {word: [*key, *_values(rows, key)][:MOST_CELLS] for word, rows in found.examples.items()}
    versions = workspace.catalog.nodes(kind="dataset", name=node.name, limit=MOST_CHOICES)
    return {
        "found": found,
        "name": node.name,
        "node": node,
        "columns": columns,
        "cell_text": cell_text,
        "changed": sorted(found.changed_columns.items(), key=lambda item: -item[1]),
        "schema": [
            (word, name, said)
            for word, said_of in (("added", found.columns_added), ("removed", found.columns_removed), ("retyped", found.columns_retyped))
            for name, said in said_of.items()
        ],
        "choices": [one.ref for one in versions if one.id != node.id],
        "title": f"{found.before} → {found.after}",
    }


def _before(workspace: Workspace, node: Node) -> Node:
    """Return the version a version was made from, or else the one numbered before it."""
    sources = [workspace.catalog.node(edge.src) for edge in workspace.catalog.edges_to(node.id) if edge.role == "derived_from"]
    own = [one for one in sources if (one.kind, one.name) == (node.kind, node.name)]
    if own:
        return own[0]
    if not node.version or node.version == 1:
        raise NotFound(f"{node.ref} is the first version of {node.name}", hint="name the version to compare with: ?before=NAME@v1")
    return workspace.catalog.resolve(f"{node.name}@v{node.version - 1}", kind=node.kind)


def _values(rows: list[dict[str, Any]], key: list[str]) -> list[str]:
    """Return the columns of example rows, the key apart; of changed rows each has those that changed in it."""
    return [*dict.fromkeys(name for row in rows for name in row if name not in key)]


PAGES = (Page("/data/{ref}/diff", "What changed", "diff.html", load_diff),)
