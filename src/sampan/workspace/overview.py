"""What is live and how it does, what there is, and what happened.

The graph is read by kind and state alone, so that what a plug-in stores is shown as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from sampan.core.answers import Answer
from sampan.core.graph import NodeId, Recorded
from sampan.core.times import iso
from sampan.errors import NotFound
from sampan.workspace.columns import count
from sampan.workspace.operation import Room, operation
from sampan.workspace.parameters import Count

FIRST_COMMANDS = ("sampan demo", "sampan data add FILE")


class Live(msgspec.Struct, frozen=True):
    """A service, the model it answers with, and how its newest window went."""

    service: str
    state: str
    model: str
    since: str
    url: str = ""
    window: str = ""
    verdict: str = ""
    reasons: tuple[str, ...] = ()
    quality: str = ""  # live, with its interval; "" before labels arrive
    n_incidents: int = 0


class Open(msgspec.Struct, frozen=True):
    """An incident nobody has closed."""

    incident: str
    about: str
    what: str
    since: str


class Status(Answer, frozen=True, kw_only=True):
    """What is live, how it is doing, and how much there is."""

    project: str
    owner: str = ""
    description: str = ""
    counts: dict[str, int] = {}  # named things, by kind
    stored: dict[str, int] = {}  # versions, runs, windows …, by kind
    live: tuple[Live, ...] = ()
    incidents: tuple[Open, ...] = ()

    def text(self) -> str:
        """Show services first, then incidents, then what is stored."""
        if not self.counts:
            return f"{self.project}: nothing here yet."
        head = self.project + (f" (owner: {self.owner})" if self.owner else "")
        parts = [head + (f"\n{self.description}" if self.description else "")]
        if self.live:
            parts.append("\n".join(["live:", *(f"  {_live_line(one)}" for one in self.live)]))
        else:
            parts.append("live: nothing yet")
        if self.incidents:
            lines = [f"  {one.incident}  {one.about}  {one.what}  (since {one.since})" for one in self.incidents]
            parts.append("\n".join(["open incidents:", *lines]))
        parts.append("stored: " + ", ".join(_stored_words({**self.counts, **self.stored})))
        return "\n\n".join(parts)


class Happened(msgspec.Struct, frozen=True):
    """One event, in a line."""

    seq: int
    at: str
    actor: str
    type: str
    subject: str
    what: str
    reason: str = ""


class Log(Answer, frozen=True, kw_only=True):
    """What happened, newest first."""

    events: tuple[Happened, ...]

    def text(self) -> str:
        """One line an event."""
        if not self.events:
            return "nothing happened yet"
        lines = [f"{one.seq:>6}  {one.at}  {one.actor}  {one.what}" + (f"  ({one.reason})" if one.reason else "") for one in self.events]
        return "\n".join(lines)


class Overview(Room):
    """The verbs that say how things are and how they came to be."""

    noun = ""

    @operation(reads=True)
    def status(self) -> Status:
        """Show what is live, how it is doing, and what to do next."""
        about = self.ws.project.project
        name = about.name or self.ws.root.name
        if not self.ws.has_store:
            return Status(project=name, owner=about.owner, description=about.description, next=FIRST_COMMANDS)
        assets = [asset for asset in self.ws.catalog.assets() if asset.state == "active"]
        counts: dict[str, int] = {}
        for asset in assets:
            counts[asset.kind] = counts.get(asset.kind, 0) + 1
        incidents = tuple(self._open_incidents())
        live = tuple(self._live(asset.name, incidents) for asset in assets if asset.kind == "service")
        return Status(
            project=name,
            owner=about.owner,
            description=about.description,
            counts=counts,
            stored=self.ws.catalog.counts(),
            live=live,
            incidents=incidents,
            next=self._next(counts, live, incidents),
        )

    @operation(reads=True)
    def log(self, ref: str = "", *, type: str = "", limit: Count = 20, after: int = 0) -> Log:  # noqa: A002  # the ledger's word
        """Show what happened, newest first.

        Parameters
        ----------
        ref : only what happened to this node, like flights@v3
        type : only events of this type, like alias_moved
        limit : at most so many
        after : only events after this number
        """
        if not self.ws.has_store:
            return Log(events=(), next=FIRST_COMMANDS)
        from sampan.workspace.merging.history import as_it_happened

        subject = self.ws.catalog.resolve(ref).id if ref else ""
        found = self.ws.catalog.events(after=after, subject=subject, type=type, limit=limit, newest_first=True)
        return Log(events=tuple(self._happened(as_it_happened(one)) for one in found), next=("sampan audit verify",))

    def _open_incidents(self) -> Iterator[Open]:
        for node in self.ws.catalog.nodes(kind="incident", state="open"):
            about = str(node.facts.get("service") or node.name)
            yield Open(incident=node.id[:12], about=about, what=str(node.facts.get("title", "")), since=iso(node.created))

    def _live(self, name: str, incidents: tuple[Open, ...]) -> Live:
        from sampan.workspace.services.monitors import quality_text

        deployment = self.ws.catalog.aliases("deployment", name).get("live")
        node = self.ws.catalog.node(deployment) if deployment else None
        running = self.ws.service.running(name)
        windows = self.ws.monitor.show(name).windows
        newest = windows[-1] if windows else None
        return Live(
            service=name,
            state="running" if running else "stopped",
            url=running.url if running else "",
            model=str(node.facts.get("version", "")) if node else "",
            since=iso(node.created) if node else "",
            window=newest.label if newest else "",
            verdict=newest.verdict if newest else "",
            reasons=newest.reasons if newest else (),
            quality=quality_text(dict(list(newest.quality.items())[:2])) if newest and newest.n_labelled else "",
            n_incidents=sum(one.about == name for one in incidents),
        )

    def _happened(self, event: Recorded) -> Happened:
        subject = self._ref_of(event.subject) if event.subject else ""
        words = [event.type.replace("_", " "), subject or str(event.body.get("name", "")), *_details(event.body)]
        return Happened(
            seq=event.seq,
            at=iso(event.at),
            actor=event.actor,
            type=event.type,
            subject=subject,
            what=" ".join(word for word in words if word),
            reason=event.reason,
        )

    def _ref_of(self, node_id: NodeId) -> str:
        try:
            return self.ws.catalog.node(node_id).ref
        except NotFound:
            return node_id[:12]

    @staticmethod
    def _next(counts: dict[str, int], live: tuple[Live, ...], incidents: tuple[Open, ...]) -> tuple[str, ...]:
        """Name the one or two commands a person in this state most likely needs."""
        if not counts:
            return FIRST_COMMANDS
        if incidents:
            return (f"sampan incident show {incidents[0].incident}", "sampan ui")
        if stopped := next((one for one in live if one.state == "stopped" and one.model), None):
            return (f"sampan service deploy {stopped.model} {stopped.service}", "sampan ui")
        if live:
            return (f"sampan monitor show {live[0].service}", "sampan ui")
        if "model" in counts:
            return ("sampan model list", "sampan ui")
        return ("sampan data list", "sampan ui")


# Fields of an event's body that its subject, time or reason already tell.
_TOLD_FIELDS = frozenset({"node", "kind", "name", "digest", "size", "reason", "before", "after", "key", "token", "state"})
_MOMENTS = frozenset({"started", "ended", "since", "until"})  # milliseconds, where they are numbers
_N_DETAILS = 3
_NODE_ID = re.compile(r"[0-9a-f]{32}")


# What a reader counts, in the order of a model's life; kinds that stand behind them are told on their pages.
_COUNTED = {"dataset": "dataset version", "run": "run", "model": "model version", "decision": "decision", "package": "package"}
_COUNTED |= {"service": "service", "window": "window", "incident": "incident"}
_BEHIND = frozenset({"contract", "check", "leakage", "report", "deployment", "monitor"})


def _stored_words(stored: dict[str, int]) -> Iterator[str]:
    """Yield how much there is of each kind; those of plug-ins last."""
    others = {kind: kind for kind in sorted(stored) if kind not in _BEHIND and kind not in _COUNTED}
    for kind, word in {**_COUNTED, **others}.items():
        if stored.get(kind):
            yield count(stored[kind], word)


def _details(body: dict[str, Any]) -> Iterator[str]:
    """Yield the few plain values of an event that tell it from others of its type."""
    before, after = body.get("before"), body.get("after")
    if isinstance(before, str) and isinstance(after, str) and not _NODE_ID.fullmatch(before) and not _NODE_ID.fullmatch(after):
        yield f"{before} → {after}"
    plain = {
        name: value
        for name, value in body.items()
        if name not in _TOLD_FIELDS and isinstance(value, (str, int, float)) and value != "" and not _NODE_ID.fullmatch(str(value))
    }
    yield from (
        f"{name}={iso(value) if name in _MOMENTS and isinstance(value, int) else value}" for name, value in list(plain.items())[:_N_DETAILS]
    )


def _live_line(one: Live) -> str:
    where = f" at {one.url}" if one.url else ""
    since = f", {'live since' if one.state == 'running' else 'deployed'} {one.since}" if one.since else ""
    parts = [f"{one.service}: {one.model or 'no model'}{since}, {one.state}{where}"]
    if one.window:
        reason = f" ({one.reasons[0]})" if one.reasons else ""
        parts.append(f"newest window {one.window}: {one.verdict}{reason}" + (f", live {one.quality}" if one.quality else ""))
    if one.n_incidents:
        parts.append(f"{one.n_incidents} open incident{'s' if one.n_incidents > 1 else ''}")
    return "; ".join(parts)
