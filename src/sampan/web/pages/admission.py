"""Is the data useful: the batches that came and what they would do to the model, and the rows of a version that a person should look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sampan.web import charts
from sampan.web.page import Page
from sampan.workspace.data.admission_answers import RowToSee

if TYPE_CHECKING:
    from sampan.core.graph import Node
    from sampan.workspace.workspace import Workspace

MOST_BATCHES, MOST_ROWS, MOST_CELLS = 20, 100, 12
MOST_ROWS_OF_BATCH = 10


def load_admission(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load a dataset's judged batches and the values of one version's rows."""
    node = workspace.catalog.resolve(given["ref"], kind="dataset")
    batches = workspace.catalog.nodes(kind="batch", name=f"{node.name}.batch", limit=MOST_BATCHES)
    valuation = _newest_valuation(workspace, node)
    withheld = workspace.data.withheld(node)
    valued = workspace.data.valued(valuation, node, top=MOST_ROWS) if valuation and not withheld else None
    return {
        "ref": node.ref,
        "name": node.name,
        "judged": [_judged(workspace, batch, hidden=bool(withheld)) for batch in batches if "admission" in batch.facts],
        "valued": valued,
        "withheld": withheld,
        "columns": [*valued.rows[0].cells][:MOST_CELLS] if valued and valued.rows else [],
        "drawing": partial(charts.histogram, edges=[], counts=list(valued.counts)) if valued else None,
        "title": node.ref,
    }


@dataclass(frozen=True, slots=True)
class Judged:
    """A batch as a person follows it: what came in, the verdict, which rows, and what happens if it is admitted."""

    batch: Node
    found: Mapping[str, Any]
    holding: Node | None
    rows: tuple[RowToSee, ...]

    @property
    def columns(self) -> list[str]:
        """The columns that are shown of a row."""
        return [*self.rows[0].cells][:MOST_CELLS] if self.rows else []


def _judged(workspace: Workspace, batch: Node, *, hidden: bool) -> Judged:
    found = batch.facts["admission"]
    held = (workspace.catalog.node(edge.dst) for edge in workspace.catalog.edges_from(batch.id) if edge.role == "held_from")
    holding = next((one for one in held if str(one.facts.get("why", "")).startswith(found["verdict"])), None)
    rows = () if hidden or holding is None else tuple(_rows_to_see(workspace, holding, found))
    return Judged(batch, found, holding, rows)


def _rows_to_see(workspace: Workspace, holding: Node, found: Mapping[str, Any]) -> Iterator[RowToSee]:
    """Read the most suspicious rows from quarantine, where they lie in the batch's order, alone or with the whole batch."""
    from sampan.workspace.data.quarantine import REASONS
    from sampan.workspace.data.room import plain

    alone = holding.facts["n_rows"] == found["n_suspicious"]
    places = list(found.get("places" if alone else "rows", ()))[:MOST_ROWS_OF_BATCH]
    if max(places, default=0) >= holding.facts["n_rows"]:
        return  # other rows than those named
    cells = workspace.store.tables.take(holding.digest, places).drop(REASONS).iter_rows(named=True)
    details = (found.get(name, ()) for name in ("rows", "surprise", "given", "likely", "causes"))
    for row, number, surprise, label, likely, by in zip(cells, *details, strict=False):
        shown = {name: value for name, value in row.items() if not isinstance(value, list | bytes)}
        yield RowToSee(row=number, value=surprise, label=label, fits=likely if likely != label else "", cells=plain(shown), by=tuple(by))


def _newest_valuation(workspace: Workspace, node: Node) -> Node | None:
    """Return the newest valuation of this version's rows."""
    edges = (edge for edge in workspace.catalog.edges_from(node.id) if edge.role == "evaluated_on")
    found = (workspace.catalog.node(edge.dst) for edge in edges)
    return max((one for one in found if one.kind == "value"), key=lambda one: one.seq, default=None)


PAGES = (Page("/data/{ref}/admission", "Is it useful?", "admission.html", load_admission),)
