"""Traces as they are kept: a node of the experiment's asset, its summary and tags beside it, its spans as files.

A trace's id in MLflow is `tr-` and its OpenTelemetry id, which is the node's id here. Spans come one by one while the trace goes on, its
summary last or, from other exporters than MLflow's, never: then it is drawn from the spans.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.decoding import read_json
from sampan.core.events import Event, Input, Tagged, VersionCommitted, new_id
from sampan.core.graph import Node, NodeId
from sampan.core.mlflow_spans import LOCATION_TAG, NAME_TAG
from sampan.errors import NotFound
from sampan.web.mlflow import otlp
from sampan.web.mlflow.experiments import Experiment, Experiments
from sampan.web.mlflow.refusals import invalid, missing
from sampan.workspace.mlflow.graph import DELETED, LIFECYCLE
from sampan.workspace.mlflow.trace_events import ASSESSMENT, KIND, RUN_KEY, SPANS, SUMMARY, Summary, TraceSummarized
from sampan.workspace.mlflow.traces import spans_of
from sampan.workspace.models.events import StoredFile
from sampan.workspace.runs.events import ArtifactsLogged, InputsRead

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

HERE: Final = {LOCATION_TAG: "TRACKING_STORE"}  # tells clients to ask us for spans, not for a file of them
PREVIEW: Final = 1000  # characters
_OURS: Final = (SUMMARY, ASSESSMENT, LIFECYCLE)
_HEX: Final = frozenset("0123456789abcdef")
_MANY: Final = 100_000
_ERROR_CODE: Final = 2  # of a span's status


class Trace(msgspec.Struct, frozen=True):
    """One trace as it is kept."""

    node: NodeId
    experiment: str
    summary: Summary
    tags: dict[str, str]
    assessments: list[dict[str, Any]]

    @property
    def id(self) -> str:
        """Its id in MLflow."""
        return f"tr-{self.node}"


class TraceRecords:
    """The traces of one workspace."""

    def __init__(self, ws: Workspace, experiments: Experiments) -> None:
        self._ws = ws
        self._experiments = experiments
        # A client sends a trace's spans and its summary side by side: whoever comes first makes the node.
        self._lock = threading.Lock()

    # -- reading

    def find(self, trace_id: str) -> Trace:
        """Return a trace. Raises Refusal."""
        found = self._known(trace_id.removeprefix("tr-"))
        if found is None or found.tags.get(LIFECYCLE) == DELETED:
            raise missing(f"Trace with ID '{trace_id}' not found.")
        return found

    def of(self, experiments: Iterable[Experiment]) -> list[Trace]:
        """Return the traces of some experiments, newest first, without those that were deleted."""
        nodes = [node for each in experiments for node in self._ws.catalog.nodes(kind=KIND, name=each.asset, limit=_MANY)]
        tags = self._ws.catalog.tags_of([node.id for node in nodes])
        found = [_read(node, tags[node.id]) for node in nodes if tags[node.id].get(LIFECYCLE) != DELETED]
        return sorted(found, key=lambda each: (-each.summary.requested, each.node))

    def spans(self, trace: NodeId) -> list[otlp.Span]:
        """Return a trace's spans by their start; one that was sent again counts as it was sent last."""
        return spans_of(self._ws, trace)

    # -- writing

    def begin(self, experiment: Experiment, summary: Summary, tags: Mapping[str, str], *, trace_id: str = "") -> Trace:
        """Keep a trace's summary, and the trace itself if it is new."""
        node = _checked(trace_id.removeprefix("tr-")) if trace_id else new_id()
        with self._lock:
            self._begin(node, experiment, summary, tags)
        return self.find(node)

    def _begin(self, node: NodeId, experiment: Experiment, summary: Summary, tags: Mapping[str, str]) -> None:
        known = self._known(node)
        events: list[Event] = [] if known else [self._made(node, experiment)]
        if known:
            summary = msgspec.structs.replace(summary, metadata={**known.summary.metadata, **summary.metadata})
        events.append(TraceSummarized(node=node, summary=summary))
        events += self._from_run(node, summary.metadata.get(RUN_KEY, ""))
        self._ws.ledger.append(*events, *(Tagged(node=node, key=key, value=value) for key, value in tags.items()))

    def add_spans(self, experiment: Experiment, spans: Sequence[otlp.Span], *, run: NodeId = "") -> None:
        """Keep spans with their traces; a trace not told of yet begins with them."""
        by_trace: dict[NodeId, list[otlp.Span]] = {}
        for span in spans:
            by_trace.setdefault(otlp.trace_of(span), []).append(span)
        for node, some in by_trace.items():
            with self._lock:
                self._add_spans(node, experiment, some, run)

    def _add_spans(self, node: NodeId, experiment: Experiment, spans: Sequence[otlp.Span], run: NodeId) -> None:
        known = self._known(node)
        digest = self._ws.store.blobs.put(content := msgspec.json.encode(spans))
        # In the order they came: the moment sorts, the rest tells apart what two processes keep at once.
        file = StoredFile(f"{SPANS}{self._ws.clock():015d}-{new_id()[:8]}.json", digest, len(content))
        events: list[Event] = [] if known else [self._made(node, experiment)]
        events.append(ArtifactsLogged(node=node, files=(file,)))
        tags = HERE if known is None else {}
        if known is None or not known.summary.is_final:
            summary, drawn = _drawn(spans, known)
            events.append(TraceSummarized(node=node, summary=summary))
            tags = {**tags, **drawn}
        events += [Tagged(node=node, key=key, value=value) for key, value in tags.items()]
        self._ws.ledger.append(*events, *self._from_run(node, run))

    def summarize(self, trace: Trace, summary: Summary, tags: Mapping[str, str]) -> Trace:
        """Replace a trace's summary and add tags."""
        events = (Tagged(node=trace.node, key=key, value=value) for key, value in tags.items())
        self._ws.ledger.append(TraceSummarized(node=trace.node, summary=summary), *events)
        return self.find(trace.node)

    def tag(self, trace: Trace, key: str, value: str | None) -> None:
        """Set or, with None, remove a tag. Raises Refusal."""
        if key.startswith(_OURS):
            raise invalid(f"Invalid tag name: {key!r} is kept for Sampan")
        if value is None and key not in trace.tags:
            raise missing(f"No trace tag with key '{key}' for trace with ID '{trace.id}'")
        self._ws.ledger.append(Tagged(node=trace.node, key=key, value=value))

    def assess(self, trace: Trace, assessment: Mapping[str, Any]) -> None:
        """Keep an assessment under its id."""
        value = msgspec.json.encode(assessment).decode()
        self._ws.ledger.append(Tagged(node=trace.node, key=f"{ASSESSMENT}{assessment['assessment_id']}", value=value))

    def withdraw(self, trace: Trace, assessment_id: str) -> None:
        """Remove an assessment."""
        self._ws.ledger.append(Tagged(node=trace.node, key=f"{ASSESSMENT}{assessment_id}", value=None))

    def link(self, traces: Sequence[Trace], run: NodeId) -> None:
        """Say that traces belong to a run."""
        events: list[Event] = []
        for trace in traces:
            summary = msgspec.structs.replace(trace.summary, metadata={**trace.summary.metadata, RUN_KEY: run})
            events += [TraceSummarized(node=trace.node, summary=summary), *self._from_run(trace.node, run)]
        self._ws.ledger.append(*events)

    def delete(self, traces: Sequence[Trace]) -> None:
        """Take traces out of what clients see."""
        if traces:
            self._ws.ledger.append(*(Tagged(node=each.node, key=LIFECYCLE, value=DELETED) for each in traces))

    # -- within

    def _made(self, node: NodeId, experiment: Experiment) -> Event:
        return VersionCommitted(
            node=node, kind=KIND, name=experiment.asset, digest="", facts={"client": "mlflow", "experiment": experiment.id}
        )

    def _known(self, node: NodeId) -> Trace | None:
        try:
            found = self._ws.catalog.node(node)
        except NotFound:
            return None
        if found.kind != KIND:
            raise invalid(f"Invalid trace ID: {node!r} is the id of a {found.kind}")
        return _read(found, self._ws.catalog.tags(node))

    def _from_run(self, node: NodeId, run: NodeId) -> list[Event]:
        if not run:
            return []
        try:
            self._ws.catalog.run(run)
        except NotFound as cause:
            raise missing(f"Run with id={run} not found") from cause
        return [InputsRead(node=node, inputs=(Input(run, "run"),))]


def _read(node: Node, tags: Mapping[str, str]) -> Trace:
    summary = read_json(tags[SUMMARY], Summary) if SUMMARY in tags else Summary(node.created)
    shown = {key: value for key, value in tags.items() if not key.startswith((SUMMARY, ASSESSMENT))}
    assessments = [msgspec.json.decode(value) for key, value in tags.items() if key.startswith(ASSESSMENT)]
    return Trace(node.id, node.facts["experiment"], summary, shown, sorted(assessments, key=lambda each: str(each.get("create_time", ""))))


def _drawn(spans: Sequence[otlp.Span], known: Trace | None) -> tuple[Summary, dict[str, str]]:
    """Return what spans, and what is known already, say of their trace: its summary and tags."""
    before = known.summary if known else None
    started = min(otlp.nanoseconds(span, "start") for span in spans) // 1_000_000
    ended = max(otlp.nanoseconds(span, "end") for span in spans) // 1_000_000
    if before is not None:
        started, ended = min(started, before.requested), max(ended, before.requested + (before.duration or 0))
    summary = Summary(started, max(ended - started, 0)) if before is None else msgspec.structs.replace(
        before, requested=started, duration=max(ended - started, 0)
    )  # fmt: skip
    root = next((span for span in spans if not span.get("parent_span_id")), None)
    if root is None:
        return summary, {}
    said = otlp.attributes(root)
    state = "ERROR" if root.get("status", {}).get("code") == _ERROR_CODE else "OK"
    request, response = (str(said.get(f"mlflow.span{side}", ""))[:PREVIEW] for side in ("Inputs", "Outputs"))
    return msgspec.structs.replace(summary, state=state, request=request, response=response), {NAME_TAG: root.get("name", "")}


def _checked(trace_id: str) -> NodeId:
    if len(trace_id) != 32 or not _HEX.issuperset(trace_id):
        raise invalid(f"Invalid trace ID: {trace_id!r} is not 'tr-' and 32 hexadecimal digits")
    return trace_id
