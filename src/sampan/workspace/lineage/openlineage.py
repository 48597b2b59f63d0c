"""The openlineage room: tell others what ran here on what, and take up what they tell.

Nothing is sent unless asked for. What a target has been told is remembered, so that sending again sends only what is new.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from sampan.core.answers import Answer
from sampan.core.decoding import decoder_of
from sampan.core.digests import digest_value
from sampan.core.events import Event, Input, RunEnded, RunStarted, VersionCommitted, new_id
from sampan.core.graph import Node, NodeId, Recorded
from sampan.core.times import Millis, to_millis
from sampan.errors import DataFormatError, NotFound, ParameterError, Unavailable
from sampan.workspace.columns import count
from sampan.workspace.lineage.openlineage_events import ENDED, Dataset, RunEvent, asset_name, namespace, node_id, run_event, version_event
from sampan.workspace.operation import Room, operation
from sampan.workspace.runs.events import InputsRead

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

EXTERNAL: Final = "external"
_TOLD_KINDS: Final = frozenset({"dataset", "model", "package"})
_STATES: Final = {"COMPLETE": "finished", "FAIL": "failed", "ABORT": "killed"}
_BATCH, _TIMEOUT_S = 500, 30
_DECODE = decoder_of(RunEvent).decode


class Sent(Answer, frozen=True, kw_only=True):
    """Events that were sent to a target."""

    to: str
    n_events: int

    def text(self) -> str:
        """Say how many."""
        return f"{count(self.n_events, 'event')} sent to {self.to}" if self.n_events else f"{self.to} has been told everything"


class Received(Answer, frozen=True, kw_only=True):
    """Events that were taken up."""

    n_events: int
    n_runs: int
    n_new: int  # things that were not known before

    def text(self) -> str:
        """Say how many and what was new."""
        return f"{count(self.n_events, 'event')} of {count(self.n_runs, 'run')}; {count(self.n_new, 'thing')} not known before"


class OpenLineage(Room):
    """Runs and their data, told in OpenLineage's words."""

    noun: ClassVar[str] = "openlineage"

    @operation(local=True)  # it writes to a file or speaks to an address that someone names: not for callers over HTTP
    def send(self, to: str, *, again: bool = False) -> Sent:
        """Tell a file or an address of the runs and versions that it has not been told of.

        A file gets one event a line; to an address each is posted.

        Parameters
        ----------
        to : events.ndjson, or https://marquez.example/api/v1/lineage
        again : from the beginning
        """
        if not self.ws.has_store:
            return Sent(to=to, n_events=0)
        consumer = f"openlineage:{to}"
        after = 0 if again else None
        tell = _post if to.startswith(("http://", "https://")) else _write
        n_events = 0
        while recorded := self._unsent(consumer, after):
            events = [event for each in recorded for event in told_of(self.ws, each)]
            tell(to, events)
            # Noted after it was told: a target may hear something twice, but misses nothing.
            self.ws.ledger.sent(consumer, recorded[-1].seq)
            n_events += len(events)
            after = recorded[-1].seq if again else None
        return Sent(to=to, n_events=n_events)

    @operation()
    def receive(self, file: Path) -> Received:
        """Take up events of other tools from a file, one event a line: their runs, and what these read and wrote.

        Taking up an event again changes nothing. Over HTTP, POST /api/v1/lineage takes one event, as OpenLineage's clients send it.

        Parameters
        ----------
        file : a file of OpenLineage run events as JSON lines
        """
        try:
            lines = file.read_bytes().splitlines()
        except OSError as cause:
            raise NotFound(f"{file} cannot be read: {cause.strerror}", hint="give a file with one event a line") from cause
        events = [read_event(line, where=f"{file}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]
        known = sum(self.ws.catalog.counts().values()) if self.ws.has_store else 0
        for event in events:
            take_up(self.ws, event)
        new = sum(self.ws.catalog.counts().values()) - known if events else 0
        return Received(
            n_events=len(events),
            n_runs=len({event.run.runId for event in events}),
            n_new=new,
            next=(f"sampan lineage {events[-1].run.runId.hex[:12]}",) if events else (),
        )

    def _unsent(self, consumer: str, after: int | None) -> list[Recorded]:
        if after is None:
            return self.ws.ledger.unsent(consumer, limit=_BATCH)
        return self.ws.catalog.events(after=after, limit=_BATCH)


def told_of(ws: Workspace, recorded: Recorded) -> Iterator[dict[str, Any]]:
    """Yield what a row of the ledger is in OpenLineage's words; nothing for what it has no word for."""
    if recorded.type in ("run_started", "run_ended"):
        row = ws.catalog.run(recorded.subject)
        if "openlineage" in row.node.facts:  # those who told us know it
            return
        if recorded.type == "run_started":
            yield run_event(ws, row, "START", recorded.at)
        else:
            yield run_event(ws, row, ENDED.get(str(recorded.body["state"]), "OTHER"), recorded.at)
    elif recorded.body.get("kind") in _TOLD_KINDS and recorded.body.get("node") == recorded.subject:
        node = ws.catalog.node(recorded.subject)
        if not any(ws.catalog.node(edge.src).kind == "run" for edge in ws.catalog.edges_to(node.id)):
            yield version_event(ws, node)


def read_event(data: bytes, *, where: str) -> RunEvent:
    """Read one event.

    Raises
    ------
    DataFormatError : it is no run event of OpenLineage.
    """
    try:
        return _DECODE(data)
    except msgspec.MsgspecError as cause:
        raise DataFormatError(f"{where}: no run event of OpenLineage: {cause}", source=where, hint="https://openlineage.io/spec") from cause


def take_up(ws: Workspace, event: RunEvent) -> NodeId:
    """Record an event of another tool; again, it changes nothing. Return the run."""
    at, run = _moment(event.eventTime), node_id(event.run.runId)
    row = _known_run(ws, run)
    events: list[Event] = []
    if row is None:
        facts = {"openlineage": {"namespace": event.job.namespace, "name": event.job.name, "producer": event.producer}}
        job = asset_name(Dataset(event.job.namespace, event.job.name))
        events.append(RunStarted(node=run, experiment=job, title=event.job.name, started=at, source=event.producer, facts=facts))
    elif "openlineage" not in row.facts:
        return run  # our own run, told back to us
    made = {edge.dst for edge in ws.catalog.edges_from(run)} if row else set()
    fresh: dict[str, NodeId] = {}
    read = [_version_of(ws, each, events, fresh) for each in event.inputs or ()]
    present = {edge.src for edge in ws.catalog.edges_to(run)} if row else set()
    if new := [node for node in dict.fromkeys(read) if node not in present]:
        events.append(InputsRead(node=run, inputs=tuple(Input(node, "input") for node in new)))
    known = {(node.name, node.digest) for node in map(ws.catalog.node, made)}
    for each in event.outputs or ():
        name, digest = asset_name(each), _content(each)
        if (name, digest) not in known:
            events.append(_committed(each, name, digest, (Input(run, "output"),)))
    if (state := _STATES.get(event.eventType or "")) and (row is None or row.state == "running"):
        events.append(RunEnded(node=run, state=state, ended=at))
    if events:
        ws.ledger.append(*events)
    return run


def _known_run(ws: Workspace, run: NodeId) -> Node | None:
    try:
        return ws.catalog.node(run)
    except NotFound:
        return None


def _version_of(ws: Workspace, found: Dataset, events: list[Event], fresh: dict[str, NodeId]) -> NodeId:
    """Return the version a dataset of an event means: ours where it names one of ours, else the newest like it, else a new one."""
    if found.namespace == namespace(ws):
        said = found.facet("version", "datasetVersion")
        try:
            return ws.catalog.resolve(f"{found.name}@{said}" if said else found.name).id
        except NotFound:
            pass  # a name of ours that is gone: it is kept as they say
    name, digest = asset_name(found), _content(found)
    if (known := ws.catalog.find_version(EXTERNAL, name, digest)) is not None:
        return known.id
    if name not in fresh:
        event = _committed(found, name, digest, ())
        fresh[name] = event.node
        events.append(event)
    return fresh[name]


def _content(found: Dataset) -> str:
    """Digest what is known of a dataset's content: its version where that is told, else its columns."""
    return digest_value({"version": found.facet("version", "datasetVersion"), "columns": _columns(found)})


def _columns(found: Dataset) -> dict[str, str]:
    fields = found.facet("schema", "fields")
    if not isinstance(fields, list):
        return {}
    return {str(each.get("name")): str(each.get("type") or "") for each in fields if isinstance(each, Mapping)}


def _committed(found: Dataset, name: str, digest: str, inputs: tuple[Input, ...]) -> VersionCommitted:
    owners = found.facet("ownership", "owners")
    owner = str(owners[0].get("name") or "") if isinstance(owners, list) and owners and isinstance(owners[0], Mapping) else ""
    facts: dict[str, Any] = {"openlineage": {"namespace": found.namespace, "name": found.name}, "columns": _columns(found)}
    if owner:
        facts["owner"] = owner
    if version := found.facet("version", "datasetVersion"):
        facts["label"] = str(version)
    return VersionCommitted(node=new_id(), kind=EXTERNAL, name=name, digest=digest, facts=facts, inputs=inputs)


def _moment(text: str) -> Millis:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as cause:
        raise ParameterError(f"eventTime is {text!r}", hint="a moment such as 2026-11-22T01:30:00Z") from cause
    return to_millis(found if found.tzinfo else found.replace(tzinfo=UTC))


def _write(to: str, events: Iterable[dict[str, Any]]) -> None:
    try:
        with Path(to).open("ab") as file:
            for event in events:
                file.write(msgspec.json.encode(event) + b"\n")
    except OSError as cause:
        raise ParameterError(f"{to} cannot be written: {cause.strerror}", parameter="to", hint="name a file, or an http address") from cause


def _post(to: str, events: Iterable[dict[str, Any]]) -> None:
    for event in events:
        request = urllib.request.Request(to, data=msgspec.json.encode(event), headers={"Content-Type": "application/json"})  # noqa: S310  # http only
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310  # the user named it
                pass
        except urllib.error.HTTPError as cause:
            raise Unavailable(
                f"{to} answered {cause.code}: {cause.read()[:200].decode(errors='replace')}", hint="check the address"
            ) from cause
        except OSError as cause:
            raise Unavailable(f"{to} cannot be reached: {cause}", hint="check the address; nothing was noted as sent") from cause
