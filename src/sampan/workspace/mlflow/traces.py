"""Traces of MLflow's as changes of the graph, and back: what an import makes of one, and what an export tells of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.changes import ActedThen, AddArtifact, AddEdge, AddNode, Change, SetTag
from sampan.core.decoding import read_json
from sampan.core.digests import Digest
from sampan.core.graph import Node, NodeId
from sampan.core.mlflow import MlflowTrace
from sampan.core.mlflow_spans import LOCATION_TAG, PLACE_TAG
from sampan.workspace.mlflow import graph
from sampan.workspace.mlflow.changes import node_of
from sampan.workspace.mlflow.trace_events import ASSESSMENT, KIND, SPANS, SUMMARY, Summary
from sampan.workspace.models.events import StoredFile

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

_FILE: Final = f"{SPANS}imported.json"
_SOMEBODY: Final = "mlflow"


def trace_node(trace: MlflowTrace) -> NodeId:
    """Return the id a trace has here: its own, without MLflow's mark."""
    return node_of(trace.id.removeprefix("tr-"))


def stored_spans(trace: MlflowTrace, put: Callable[[bytes], Digest]) -> StoredFile:
    """Store a trace's spans."""
    content = msgspec.json.encode(trace.spans)
    return StoredFile(_FILE, put(content), len(content))


def new_trace(trace: MlflowTrace, experiment: graph.Experiment, spans: StoredFile | None, *, run: NodeId) -> Iterator[Change]:
    """Yield a whole trace."""
    node = trace_node(trace)
    yield ActedThen(trace.requested, trace.metadata.get(graph.USER_TAG) or _SOMEBODY)
    facts = {"client": "mlflow", "experiment": experiment.id}
    yield AddNode(id=node, kind=KIND, name=experiment.asset, numbered=True, facts=facts)
    yield from (SetTag(node=node, key=key, value=value) for key, value in _tags(trace, experiment).items())
    if spans is not None:
        yield AddArtifact(node=node, path=spans.path, digest=spans.digest, size=spans.size)
    if run:
        yield AddEdge(dst=node, src=run, role="run")


def more_of_trace(trace: MlflowTrace, experiment: graph.Experiment, known: Mapping[str, str]) -> Iterator[Change]:
    """Yield what is new of a trace that is here; nothing where all of it is."""
    tags = _tags(trace, experiment)
    yield from (SetTag(node=trace_node(trace), key=key, value=value) for key, value in tags.items() if known.get(key) != value)


def _tags(trace: MlflowTrace, experiment: graph.Experiment) -> dict[str, str]:
    summary = Summary(
        requested=trace.requested,
        duration=trace.duration,
        state=trace.state,
        request=trace.request,
        response=trace.response,
        client_request_id=trace.client_request_id,
        metadata=trace.metadata,
        is_final=True,
    )
    place = f"{experiment.location.rstrip('/')}/traces/{trace.id}/artifacts"
    told = {f"{ASSESSMENT}{each['assessment_id']}": msgspec.json.encode(each).decode() for each in trace.assessments}
    return {**trace.tags, PLACE_TAG: place, LOCATION_TAG: "TRACKING_STORE", SUMMARY: msgspec.json.encode(summary).decode(), **told}


def told_traces(ws: Workspace, nodes: Sequence[Node], experiment: str) -> Iterator[MlflowTrace]:
    """Tell traces in MLflow's nouns, without those that were deleted."""
    tags = ws.catalog.tags_of([node.id for node in nodes])
    for node in nodes:
        mine = tags[node.id]
        if mine.get(graph.LIFECYCLE) == graph.DELETED:
            continue
        summary = read_json(mine[SUMMARY], Summary) if SUMMARY in mine else Summary(node.created)
        yield MlflowTrace(
            id=f"tr-{node.id}",
            experiment_id=experiment,
            requested=summary.requested,
            duration=summary.duration,
            state=summary.state,
            request=summary.request,
            response=summary.response,
            client_request_id=summary.client_request_id,
            metadata=summary.metadata,
            tags={key: value for key, value in mine.items() if not key.startswith((SUMMARY, ASSESSMENT))},
            assessments=tuple(msgspec.json.decode(value) for key, value in sorted(mine.items()) if key.startswith(ASSESSMENT)),
            spans=tuple(spans_of(ws, node.id)),
        )


def spans_of(ws: Workspace, trace: NodeId) -> list[dict[str, Any]]:
    """Return a trace's spans by their start; one that was sent again counts as it was sent last."""
    found: dict[str, dict[str, Any]] = {}
    for file in ws.catalog.artifacts(trace):
        if file.path.startswith(SPANS):
            for span in msgspec.json.decode(ws.store.blobs.read(file.digest)):
                found[span["span_id"]] = span
    return sorted(found.values(), key=lambda span: int(span.get("start_time_unix_nano", 0)))
