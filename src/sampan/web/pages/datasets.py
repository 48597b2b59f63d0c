"""Datasets: the list and its search, and one with all that is asked of it, its contract, columns, versions, wrong cells and users."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sampan.web import charts
from sampan.web.page import Page
from sampan.workspace.columns import distinct
from sampan.workspace.data.answers import Datasets
from sampan.workspace.data.cells import FINDING as CELLS
from sampan.workspace.data.cells import newest_finding
from sampan.workspace.data.leaks import KIND as LEAKAGE
from sampan.workspace.data.leaks import newest_leaks

if TYPE_CHECKING:
    from sampan.core.graph import Node
    from sampan.workspace.data.answers import Profiled
    from sampan.workspace.workspace import Workspace

TYPES = {
    "Int": "integer",
    "UInt": "integer",
    "Float": "number",
    "String": "text",
    "Boolean": "yes or no",
    "Datetime": "time",
    "Date": "date",
}
MOST_USERS = 30
MOST_VALUES = 4
MOST_CONTRACT_BYTES = 200_000
MOST_CELLS = 200
MOST_SEARCHED = 5_000_000


def load_datasets(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load the list, what is searched for by words, or the columns with the values of one."""
    words = given.get("q", "").split()
    return {
        "found": workspace.data.list() if workspace.has_store else Datasets(datasets=()),
        "asked": " ".join(words),
        "fitting": workspace.data.search(words).datasets if words and workspace.has_store else None,
        "alike": workspace.data.like(given["like"], given["column"]) if given.get("like") and given.get("column") else None,
    }


def load_dataset(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load one version of a dataset."""
    shown = workspace.data.show(given["ref"])
    profiled = workspace.data.profile(shown.ref)
    node = workspace.catalog.resolve(shown.ref, kind="dataset")
    check = workspace.catalog.resolve(shown.check, kind="check") if shown.check else None
    return {
        "shown": shown,
        "node": node,
        "check": check,
        "contract": _contract(workspace, check),
        "leaks": newest_leaks(workspace, node),
        "distinct": distinct,
        "columns": [(column, plain_type(column.type), _drawing(profiled, column.name)) for column in profiled.columns],
        "users": _users(workspace, node),
        "card": workspace.data.card(shown.ref),
        "cells": newest_finding(workspace.data, node),
        "title": shown.ref,
    }


def load_cells(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load the cells of a version that look wrong; a great table is not searched for a page."""
    node = workspace.catalog.resolve(given["ref"], kind="dataset")
    n_cells = node.facts["n_rows"] * len(node.facts["columns"])
    cells = workspace.data.look(node.ref, limit=MOST_CELLS) if n_cells <= MOST_SEARCHED else None
    return {"node": node, "cells": cells, "title": f"{node.ref}: cells"}


def plain_type(name: str) -> str:
    """Write a type as a reader knows it.

    >>> plain_type("Int64"), plain_type("Datetime(time_unit='us', time_zone='UTC')")
    ('integer', 'time (UTC)')
    """
    base, _, detail = name.partition("(")
    zone = detail.partition("time_zone='")[2].partition("'")[0]
    word = next((word for start, word in TYPES.items() if base.startswith(start)), name)
    return f"{word} ({zone})" if zone else word


def _drawing(profiled: Profiled, name: str) -> Any:
    """Return what draws a column, given its title; None where there is nothing to draw."""
    if top := profiled.top.get(name):
        return partial(charts.shares, items=[(value, count / max(profiled.n_rows, 1)) for value, count in top[:MOST_VALUES]])
    edges, counts = profiled.histograms.get(name, ([], []))
    return partial(charts.histogram, edges=[], counts=counts) if counts and edges else None


def _contract(workspace: Workspace, check: Node | None) -> tuple[Node, str] | None:
    """Return the contract a check was made by, and its text."""
    if check is None:
        return None
    needed = (workspace.catalog.node(edge.src) for edge in workspace.catalog.edges_to(check.id))
    contract = next((node for node in needed if node.kind == "contract"), None)
    if contract is None or contract.size > MOST_CONTRACT_BYTES:
        return None
    return contract, workspace.store.blobs.read(contract.digest).decode("utf-8", errors="replace")


def _users(workspace: Workspace, node: Node) -> list[tuple[str, Node]]:
    edges = [edge for edge in workspace.catalog.edges_from(node.id) if edge.role != "checked_by"]
    found = [(edge.role.replace("_", " "), workspace.catalog.node(edge.dst)) for edge in edges[-MOST_USERS:]]
    return [(role, user) for role, user in reversed(found) if user.kind not in ("check", LEAKAGE, CELLS)]


PAGES = (
    Page("/data", "Datasets", "datasets.html", load_datasets, in_navigation=True, order=10),
    Page("/data/{ref}", "Dataset", "dataset.html", load_dataset),
    Page("/data/{ref}/cells", "Cells that look wrong", "dataset_cells.html", load_cells),
)
