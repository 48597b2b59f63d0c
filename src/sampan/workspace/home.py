"""The top-level verbs: what is live and what to do next, where a thing came from, what happened, and the store's upkeep.

They read the graph by kind and state alone, so that what a plug-in stores is shown as well.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import msgspec

from sampan.core.answers import Answer
from sampan.core.graph import NodeId, Recorded
from sampan.core.times import iso
from sampan.errors import NotFound, ParameterError
from sampan.workspace.columns import count, size_text
from sampan.workspace.diagnosis import Finding, examine
from sampan.workspace.explaining.explaining import Explaining
from sampan.workspace.explaining.reproducing import Reproducing
from sampan.workspace.lineage.tracing import Tracing
from sampan.workspace.merging.history import as_it_happened
from sampan.workspace.merging.merging import Merging
from sampan.workspace.operation import Room, operation
from sampan.workspace.parameters import Count
from sampan.workspace.runs.comparing import Comparing
from sampan.workspace.services.monitors import quality_text

DAY_MS = 86_400_000
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


class Freed(Answer, frozen=True, kw_only=True):
    """What `gc` freed, or would free."""

    n_objects: int
    n_bytes: int  # of objects and leftovers
    dry_run: bool
    n_leftovers: int = 0  # temporary files of work that never ended
    n_deleted: int = 0  # deleted runs and logged models whose files are given up
    n_segments: int = 0  # of prediction logs, older than they are kept

    def text(self) -> str:
        """Say how much."""
        verb = "would free" if self.dry_run else "freed"
        if not self.n_objects and not self.n_leftovers and not self.n_deleted and not self.n_segments:
            return "nothing to free"
        leftovers = f" and {self.n_leftovers:,} leftover files" if self.n_leftovers else ""
        leftovers += f" and {count(self.n_segments, 'segment')} of prediction logs" if self.n_segments else ""
        line = f"{verb} {count(self.n_objects, 'object')}{leftovers}, {size_text(self.n_bytes)}"
        if not self.n_deleted:
            return line
        files = "and would give up the files of" if self.dry_run else "the files given up of"
        return f"{line}; {files} {self.n_deleted:,} deleted run{'s' if self.n_deleted > 1 else ''}"


class Damage(msgspec.Struct, frozen=True):
    """One stored thing that is missing or not what its record says."""

    digest: str  # "" where it is no object
    what: str
    needed_by: str


class Checked(Answer, frozen=True, kw_only=True):
    """What `fsck` found."""

    clean: bool
    faults: tuple[Damage, ...] = ()

    def text(self) -> str:
        """Name each fault and what needs the damaged bytes."""
        if self.clean:
            return "the store is clean"
        return "\n".join(
            (f"{fault.digest}: " if fault.digest else "") + fault.what + (f"; needed by {fault.needed_by}" if fault.needed_by else "")
            for fault in self.faults
        )

    def exit_code(self) -> int:
        """Exit as IntegrityError does where bytes are damaged."""
        return 0 if self.clean else 8


class Diagnosis(Answer, frozen=True, kw_only=True):
    """What the doctor saw."""

    findings: tuple[Finding, ...]

    def text(self) -> str:
        """One line a finding; what needs attention is marked."""
        width = max(len(one.about) for one in self.findings)
        return "\n".join(
            f"{'!' if one.trouble else ' '} {one.about:<{width}}  {one.value}" + (f"\n    {one.trouble}" if one.trouble else "")
            for one in self.findings
        )


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
        subject = self.ws.catalog.resolve(ref).id if ref else ""
        found = self.ws.catalog.events(after=after, subject=subject, type=type, limit=limit, newest_first=True)
        return Log(events=tuple(self._happened(as_it_happened(one)) for one in found), next=("sampan audit verify",))

    def _open_incidents(self) -> Iterator[Open]:
        for node in self.ws.catalog.nodes(kind="incident", state="open"):
            about = str(node.facts.get("service") or node.name)
            yield Open(incident=node.id[:12], about=about, what=str(node.facts.get("title", "")), since=iso(node.created))

    def _live(self, name: str, incidents: tuple[Open, ...]) -> Live:
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


class Upkeep(Room):
    """The verbs that look after the store and the machine."""

    noun = ""

    @operation()
    def gc(self, *, dry_run: bool = False, grace_minutes: float = 60.0, deleted_days: float = 30.0) -> Freed:
        """Free stored bytes that nothing needs any more, files of runs deleted long ago, and prediction logs beyond their days.

        Parameters
        ----------
        dry_run : only say what would be freed
        grace_minutes : leave what is younger than this; someone may be about to commit it
        deleted_days : give up the files of runs and logged models that were deleted longer ago than this
        """
        if grace_minutes < 0:
            raise ParameterError(
                f"grace_minutes: {grace_minutes:g} is negative", parameter="grace_minutes", hint="expected a number from 0"
            )
        if deleted_days < 0:
            raise ParameterError(f"deleted_days: {deleted_days:g} is negative", parameter="deleted_days", hint="expected a number from 0")
        if not self.ws.has_store:
            return Freed(n_objects=0, n_bytes=0, dry_run=dry_run)
        from sampan.store.upkeep import gc
        from sampan.workspace.governing.erasure import finish_erasures
        from sampan.workspace.runs.deleting import give_up_files, long_deleted
        from sampan.workspace.services.log_retention import expired_segments, remove_segments

        given_up = long_deleted(self.ws, before=self.ws.clock() - round(deleted_days * DAY_MS))
        if not dry_run:
            finish_erasures(self.ws)
            give_up_files(self.ws, given_up)
        swept = gc(self.ws.store, grace_ms=round(grace_minutes * 60_000), now=self.ws.clock(), dry_run=dry_run)
        expired = expired_segments(self.ws, self.ws.clock())  # after gc, which seals what killed servers left
        n_bytes = sum(path.stat().st_size for path in expired) if dry_run else remove_segments(expired)
        return Freed(
            n_objects=swept.n_objects,
            n_bytes=swept.n_bytes + n_bytes,
            dry_run=dry_run,
            n_leftovers=swept.n_leftovers,
            n_deleted=len(given_up),
            n_segments=len(expired),
        )

    @operation(reads=True)
    def fsck(self, *, quick: bool = False) -> Checked:
        """Re-read everything stored and the ledger; name what is damaged and who needs it.

        Parameters
        ----------
        quick : compare sizes instead of reading all bytes
        """
        if not self.ws.has_store:
            return Checked(clean=True)
        from sampan.store.upkeep import fsck

        found = fsck(self.ws.store, quick=quick, ledger=lambda: self.ws.ledger.verify().what)
        faults = tuple(Damage(digest=f.digest, what=f.what, needed_by=f.needed_by) for f in found)
        return Checked(clean=not faults, faults=faults, next=("sampan audit verify", "sampan log") if faults else ())

    @operation(reads=True, local=True)
    def doctor(self, model: str = "") -> Diagnosis:
        """Look at this machine and this project for likely trouble; or say whether this machine matches what a model was built on.

        Parameters
        ----------
        model : such as flights-late@champion
        """
        if model:
            return self._diagnose(model)
        found = tuple(examine(self.ws))
        return Diagnosis(findings=found, next=("sampan fsck",) if self.ws.has_store else FIRST_COMMANDS)

    def _diagnose(self, model: str) -> Diagnosis:
        from sampan.workspace.explaining.replaying import model_node
        from sampan.workspace.models.diagnosis import examine_model

        node = model_node(self.ws, model)
        return Diagnosis(findings=tuple(examine_model(self.ws, node)), next=(f"sampan reproduce {shlex.quote(node.ref)}",))


class Home(Overview, Tracing, Comparing, Explaining, Reproducing, Merging, Upkeep):
    """The top-level verbs."""


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
