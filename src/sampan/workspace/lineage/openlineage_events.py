"""Our graph in the words of OpenLineage 2-0-2, and theirs in ours. Only the shapes; who sends and who receives is in `openlineage.py`.

A run of ours is a run of theirs, its experiment the job. What a run read and made are datasets, models too: OpenLineage has no other noun.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from sampan.core.graph import Node, NodeId, RunRow
from sampan.core.times import Millis, iso

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

PRODUCER: Final = "urn:sampan:openlineage"  # who tells: an address that needs to lead nowhere
SCHEMA: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS: Final = {
    "schema": "1-2-0/SchemaDatasetFacet",
    "ownership": "1-0-1/OwnershipDatasetFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "parent": "1-2-0/ParentRunFacet",
}
ENDED: Final = {"finished": "COMPLETE", "failed": "FAIL", "killed": "ABORT"}
_BAD: Final = re.compile(r"[\x00-\x1f@/\\]")
LONGEST_NAME: Final = 180


class Run(msgspec.Struct, frozen=True):
    """`run` of an event."""

    runId: UUID  # noqa: N815  # their word
    facets: dict[str, Any] = {}


class Job(msgspec.Struct, frozen=True):
    """`job` of an event."""

    namespace: str
    name: str
    facets: dict[str, Any] = {}


class Dataset(msgspec.Struct, frozen=True):
    """One of an event's inputs or outputs."""

    namespace: str
    name: str
    facets: dict[str, Any] | None = None

    def facet(self, name: str, field: str) -> Any:
        """Return one field of a facet, None where it is not there."""
        found = (self.facets or {}).get(name)
        return found.get(field) if isinstance(found, Mapping) else None


class RunEvent(msgspec.Struct, frozen=True):
    """An event as others send it; what else it holds is left alone."""

    eventTime: str  # noqa: N815  # their word
    run: Run
    job: Job
    eventType: str | None = None  # noqa: N815  # their word
    inputs: tuple[Dataset, ...] | None = None
    outputs: tuple[Dataset, ...] | None = None
    producer: str = ""


def run_event(ws: Workspace, row: RunRow, kind: str, at: Millis) -> dict[str, Any]:
    """Tell what a run read and, at its end, made."""
    facets: dict[str, Any] = {}
    if row.parent:
        parent = ws.catalog.run(row.parent)
        job = {"namespace": namespace(ws), "name": parent.experiment}
        facets["parent"] = facet("parent", run={"runId": str(UUID(row.parent))}, job=job)
    if kind == "FAIL":
        ended = ws.catalog.events(subject=row.node.id, type="run_ended", limit=1, newest_first=True)
        said = str(ended[0].body.get("reason") or "the run failed") if ended else "the run failed"
        facets["errorMessage"] = facet("errorMessage", message=said, programmingLanguage="python")
    read = [ws.catalog.node(edge.src) for edge in ws.catalog.edges_to(row.node.id)]
    made = [ws.catalog.node(edge.dst) for edge in ws.catalog.edges_from(row.node.id)] if kind != "START" else []
    return _event(
        ws,
        kind,
        at,
        run={"runId": str(UUID(row.node.id)), "facets": facets},
        job=row.experiment,
        inputs=[node for node in read if node.kind != "run"],
        outputs=[node for node in made if node.kind != "run"],
    )


def version_event(ws: Workspace, node: Node) -> dict[str, Any]:
    """Tell of a version that came to be without a run: its making is a job of its own."""
    read = [ws.catalog.node(edge.src) for edge in ws.catalog.edges_to(node.id)]
    run = {"runId": str(UUID(node.id)), "facets": {}}
    return _event(ws, "COMPLETE", node.created, run=run, job=f"{node.kind} {node.name}", inputs=read, outputs=[node])


def _event(
    ws: Workspace, kind: str, at: Millis, *, run: dict[str, Any], job: str, inputs: list[Node], outputs: list[Node]
) -> dict[str, Any]:
    return {
        "eventType": kind,
        "eventTime": iso(at),
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
        "run": run,
        "job": {"namespace": namespace(ws), "name": job, "facets": {}},
        "inputs": [_dataset(ws, node) for node in inputs],
        "outputs": [{**_dataset(ws, node), "outputFacets": _statistics(node)} for node in outputs],
    }


def _dataset(ws: Workspace, node: Node) -> dict[str, Any]:
    facets: dict[str, Any] = {}
    if node.version is not None:
        facets["version"] = facet("version", datasetVersion=f"v{node.version}")
    if columns := node.facts.get("columns"):
        facets["schema"] = facet("schema", fields=[{"name": name, "type": str(kind)} for name, kind in columns.items()])
    owner = str(node.facts.get("owner") or "")
    if node.kind == "dataset" and not owner:
        policy = ws.project.policies.get(node.name)
        owner = policy.owner if policy else ""
    if owner:
        facets["ownership"] = facet("ownership", owners=[{"name": owner, "type": "OWNER"}])
    if "openlineage" in node.facts:  # it came from elsewhere, and goes out under the name it has there
        return {**node.facts["openlineage"], "facets": facets}
    name = node.name if node.kind == "dataset" else f"{node.kind}:{node.name}" if node.name else f"{node.kind}:{node.id[:12]}"
    return {"namespace": namespace(ws), "name": name, "facets": facets}


def _statistics(node: Node) -> dict[str, Any]:
    rows = node.facts.get("n_rows") if node.kind == "dataset" else None
    counted = {"rowCount": rows} if isinstance(rows, int) else {}
    return {"outputStatistics": facet("outputStatistics", size=node.size, **counted)} if counted or node.size else {}


def facet(kind: str, **fields: Any) -> dict[str, Any]:
    """Return a facet with what every facet says of itself."""
    place = _FACETS[kind]
    name = place.partition("/")[2]
    return {"_producer": PRODUCER, "_schemaURL": f"https://openlineage.io/spec/facets/{place}.json#/$defs/{name}", **fields}


def namespace(ws: Workspace) -> str:
    """Return the namespace of this project's names."""
    return f"sampan://{ws.project.project.name or ws.root.name}"


def asset_name(found: Dataset) -> str:
    """Return the name under which another's dataset is kept here."""
    whole = f"{found.namespace} {found.name}" if found.namespace else found.name
    return _BAD.sub("·", whole).lstrip(" .-").rstrip()[:LONGEST_NAME] or "unnamed"


def node_id(run: UUID) -> NodeId:
    """Return a run's id as ours are written."""
    return run.hex
