"""What a trace is kept as: a node of its experiment's asset, with its summary and its assessments beside it and its spans as files."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from sampan.core.changes import Change, SetTag
from sampan.core.events import Event
from sampan.core.graph import NodeId
from sampan.core.times import Millis

KIND: Final = "trace"
RUN_KEY: Final = "mlflow.sourceRun"  # of its metadata: the run it was made in
SUMMARY, ASSESSMENT = "sampan.trace", "sampan.assessment."  # tags of ours
SPANS: Final = "spans/"  # the folder of a trace's artifacts that holds its spans


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is said of a trace as a whole."""

    requested: Millis
    duration: Millis | None = None  # None: it goes on
    state: str = "IN_PROGRESS"  # OK | ERROR | IN_PROGRESS | STATE_UNSPECIFIED
    request: str = ""
    response: str = ""
    client_request_id: str = ""
    metadata: dict[str, str] = {}
    is_final: bool = False  # told by the client, not drawn from the spans


class TraceSummarized(Event, frozen=True, kw_only=True):
    """A trace's summary was written or written again."""

    type: ClassVar[str] = "trace_summarized"

    node: NodeId
    summary: Summary

    def subject(self) -> NodeId:
        """Return the trace."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Keep the summary beside the node."""
        return (SetTag(node=self.node, key=SUMMARY, value=msgspec.json.encode(self.summary).decode()),)
