"""The monitor room: seal a window of a service's traffic, judge it, open an incident and ask for a run where that is due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from sampan.core.answers import Answer
from sampan.core.decoding import read_builtins
from sampan.core.digests import digest_value
from sampan.core.events import Event, Input, new_id
from sampan.core.graph import Node, NodeId
from sampan.core.refs import nearest
from sampan.core.times import Millis, iso, to_millis
from sampan.errors import NotFound, ParameterError
from sampan.workspace.columns import align
from sampan.workspace.operation import Room, operation
from sampan.workspace.services.monitor_events import IncidentContinued, IncidentOpened, RunRequested, RunRequestHandled, WindowSealed

if TYPE_CHECKING:
    from sampan.workspace.services.prediction_history import PairedRows
    from sampan.workspace.services.window_findings import Findings

SHOWN_FEATURES = 5
MAX_WINDOWS = 10_000


class Figure(msgspec.Struct, frozen=True):
    """A figure with its 95 % interval; None where it could not be had."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return "-"
        return f"{self.value:.3f}" if self.low is None else f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed window: traffic, verdict, drift, live quality and the estimate that was made without labels."""

    id: NodeId
    label: str
    since: Millis
    until: Millis
    model: str
    verdict: str
    reasons: tuple[str, ...]
    n_rows: int
    n_labelled: int
    moved: tuple[str, ...] = ()  # features that moved, farthest first
    n_features: int = 0
    far_share: float = 0.0
    auc: Figure = Figure()
    log_loss: Figure = Figure()
    cost: Figure = Figure()
    estimated_auc: Figure = Figure()
    estimated_log_loss: Figure = Figure()
    estimated_cost: Figure = Figure()
    not_estimated: str = ""  # why there is no estimate
    others: dict[str, Figure] = {}  # of classes and numbers, what else is watched: accuracy, rmse …
    shadow_others: dict[str, Figure] = {}
    shadow: str = ""
    shadow_auc: Figure = Figure()
    shadow_log_loss: Figure = Figure()
    shadow_cost: Figure = Figure()

    @property
    def quality(self) -> dict[str, Figure]:
        """Live quality by metric, as far as the model has these metrics: of two outcomes AUC, log loss and cost."""
        return _by_metric(self.others, self.auc, self.log_loss, self.cost)

    @property
    def shadow_quality(self) -> dict[str, Figure]:
        """The shadow's quality by metric."""
        return _by_metric(self.shadow_others, self.shadow_auc, self.shadow_log_loss, self.shadow_cost)


def _by_metric(others: dict[str, Figure], auc: Figure, log_loss: Figure, cost: Figure) -> dict[str, Figure]:
    if not others:
        return {"auc": auc, "log_loss": log_loss, "cost": cost}
    from sampan.evaluation.objective import METRICS

    found = {"log_loss": log_loss, **others, "cost": cost}
    known = {name: figure for name, figure in found.items() if figure.value is not None}
    order = [*METRICS, *known]  # as everywhere; what is kept has lost its order
    return {name: known[name] for name in sorted(known, key=order.index)}


def quality_text(quality: dict[str, Figure]) -> str:
    """Write quality in words."""
    from sampan.evaluation.objective import METRICS

    named = [(METRICS[name].words if name in METRICS else name, figure) for name, figure in quality.items()]
    return ", ".join(f"{words} {figure}" + (" a row" if words == "cost" else "") for words, figure in named) or "unknown"


class WindowAnswer(Answer, frozen=True, kw_only=True):
    """A window after it was sealed, and what that led to."""

    service: str
    window: Window
    new: bool  # false: the same window with the same content had been sealed before
    incident: str = ""
    requested: int | None = None  # the number of the request for a run, in the ledger

    def text(self) -> str:
        """Say the verdict first, then what it rests on."""
        one = self.window
        lines = [f"{self.service} {one.label}: {one.verdict}", *(f"  {reason}" for reason in one.reasons)]
        lines.append(f"  {one.n_rows:,} rows, {one.n_labelled:,} with a label; {len(one.moved)} of {one.n_features} features moved")
        lines.append(f"  live       {quality_text(one.quality)}")
        if one.not_estimated:
            lines.append(f"  estimate   none: {one.not_estimated}")
        else:
            lines.append(f"  estimated  AUC {one.estimated_auc}, log loss {one.estimated_log_loss}, cost {one.estimated_cost} a row")
        if one.shadow:
            lines.append(f"  shadow     {quality_text(one.shadow_quality)}  ({one.shadow})")
        if self.incident:
            lines.append(f"  incident {self.incident[:12]}" + (", a run was requested" if self.requested else ""))
        return "\n".join(lines)


class MonitorShown(Answer, frozen=True, kw_only=True):
    """A service's windows in time, one row each."""

    service: str
    windows: tuple[Window, ...]

    def text(self) -> str:
        """Show a table: drift, live quality, the estimate beside the truth."""
        if not self.windows:
            return f"no window of {self.service} has been sealed yet"
        head = (
            "window",
            "verdict",
            "rows",
            "labels",
            "moved",
            "live AUC",
            "estimated",
            "log loss",
            "estimated",
            "cost",
            "estimated",
            "model",
        )
        rows = [head, *(_table_row(w) for w in self.windows)]
        if names := list(dict.fromkeys(name for window in self.windows if window.others for name in window.quality)):
            rows = [(*head[:5], *names, head[-1]), *(_row_by_metric(window, names) for window in self.windows)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


class Watched(msgspec.Struct, frozen=True):
    """A service and its newest window."""

    service: str
    n_windows: int
    newest: str
    verdict: str


class MonitorList(Answer, frozen=True, kw_only=True):
    """All watched services."""

    monitors: tuple[Watched, ...]

    def text(self) -> str:
        """One line a service."""
        return (
            align(
                ("service", "newest window", "verdict", "windows"),
                [(m.service, m.newest, m.verdict, f"{m.n_windows:,}") for m in self.monitors],
                right=("windows",),
            )
            if self.monitors
            else "nothing is watched yet"
        )


class RequestedRun(msgspec.Struct, frozen=True):
    """A request for a run that nobody has taken up yet."""

    seq: int
    at: Millis
    service: str
    model: str
    window: NodeId
    incident: NodeId
    since: Millis
    until: Millis
    reasons: tuple[str, ...]


class RunRequests(Answer, frozen=True, kw_only=True):
    """Pending requests for runs, oldest first."""

    requests: tuple[RequestedRun, ...]

    def text(self) -> str:
        """One line a request."""
        lines = [f"{r.seq:>6}  {iso(r.at)}  {r.service}: {r.reasons[0] if r.reasons else ''}" for r in self.requests]
        return "\n".join(lines) or "no run is requested"


class Monitors(Room):
    """Watch services: windows of traffic, drift, live and estimated quality.

    Parameters
    ----------
    service : the service
    """

    noun = "monitor"

    @operation()
    def window(self, service: str, since: str, until: str) -> WindowAnswer:
        """Seal a window of a service's traffic and judge it.

        Rows belong to a window by the moment they speak of, not by when they were asked. Sealing again, after more labels arrived, adds a
        newer reading of the same window; with nothing new it only answers.

        Parameters
        ----------
        since : first moment, like 2013-05-01, 2013-05-01T06:00Z or milliseconds
        until : the moment after the last
        """
        begin, end = _moment(since, "since"), _moment(until, "until")
        if end <= begin:
            raise ParameterError(f"the window ends ({until}) before it begins ({since})")
        self._known(service)
        from sampan.workspace.services.window_findings import find

        with self.ws.progress.stage(f"look at {service} {_label(begin, end)}"):
            self.ws.service.settle(service)
            findings = find(self.ws, service, begin, end)
        return self._seal(service, begin, end, findings)

    @operation(reads=True)
    def show(self, service: str) -> MonitorShown:
        """Show a service's windows: drift, live quality, and the estimate beside the later truth."""
        self._known(service)
        newest: dict[tuple[Millis, Millis], Window] = {}
        for node in reversed(self._windows(service)):
            window = _window(node)
            newest[(window.since, window.until)] = window
        shown = tuple(sorted(newest.values(), key=lambda w: w.since))
        return MonitorShown(
            service=service, windows=shown, next=(f"sampan service show {service}", f"sampan incident list --service {service}")
        )

    @operation(reads=True, verb="list")
    def list_monitors(self) -> MonitorList:
        """List watched services with their newest verdict."""
        found = []
        for asset in self.ws.catalog.assets("service") if self.ws.has_store else ():
            windows = self._windows(asset.name)
            newest = _window(windows[0]) if windows else None
            found.append(
                Watched(asset.name, len(windows), newest.label if newest else "no window yet", newest.verdict if newest else "unknown")
            )
        return MonitorList(monitors=tuple(found))

    @operation(reads=True)
    def requests(self) -> RunRequests:
        """List requests for runs that nobody has taken up."""
        catalog = self.ws.catalog
        handled = {int(e.body["request"]) for e in catalog.events(type=RunRequestHandled.type, limit=MAX_WINDOWS)}
        pending = [e for e in catalog.events(type=RunRequested.type, limit=MAX_WINDOWS) if e.seq not in handled]
        names = [name for name in RequestedRun.__struct_fields__ if name not in ("seq", "at")]
        return RunRequests(
            requests=tuple(read_builtins({"seq": e.seq, "at": e.at, **{n: e.body[n] for n in names}}, RequestedRun) for e in pending)
        )

    @operation()
    def handled(self, seq: int, by: str) -> RunRequests:
        """Note that a request for a run was taken up.

        Parameters
        ----------
        seq : the request's number
        by : the run that answers it, or words
        """
        if seq not in {request.seq for request in self.requests().requests}:
            raise NotFound(f"no pending request {seq}", hint="sampan monitor requests")
        self.ws.ledger.append(RunRequestHandled(request=seq, by=by))
        return self.requests()

    def paired_rows(self, service: str, since: Millis, until: Millis, *, candidate: str = "") -> PairedRows:
        """Return labelled rows that the live model and a shadow both scored: what a paired test of the two needs.

        `candidate` is the shadow's model reference; by default the shadow that scored last.
        """
        from sampan.workspace.services.prediction_history import pair, read_window

        return pair(self.ws, read_window(self.ws, service, since, until), candidate)

    def _seal(self, service: str, since: Millis, until: Millis, findings: Findings) -> WindowAnswer:
        facts: dict[str, Any] = {"label": _label(since, until), "since": since, "until": until, **findings.facts()}
        digest = digest_value(facts)
        earlier = [w for w in self._windows(service) if (w.facts["since"], w.facts["until"]) == (since, until)]
        same = next((w for w in earlier if w.digest == digest), None)
        if same is not None:
            return WindowAnswer(service=service, window=_window(same), new=False, incident=self._incident_of(same), next=_next(service))
        node = new_id()
        sealed = WindowSealed(
            node=node,
            service=service,
            verdict=findings.verdict.verdict,
            digest=digest,
            inputs=tuple(Input(d, "observed_by") for d in findings.deployments),
            points=findings.points(until),
            facts=facts,
        )
        alarmed_before = any(w.state == "alarm" for w in earlier)
        incident, events = self._consequences(service, node, since, until, findings) if not alarmed_before else ("", [])
        receipt = self.ws.ledger.append(sealed, *events)
        requested = receipt.seq if events and isinstance(events[-1], RunRequested) else None
        window = _window(self.ws.catalog.node(node))
        return WindowAnswer(service=service, window=window, new=True, incident=incident, requested=requested, next=_next(service, incident))

    def _consequences(self, service: str, window: NodeId, since: Millis, until: Millis, findings: Findings) -> tuple[NodeId, list[Event]]:
        """Return the incident an alarm belongs to, and the events it causes: one open incident and one pending request a service."""
        if not findings.verdict.alarm:
            return "", []
        reasons = findings.verdict.reasons
        open_now = self.ws.catalog.nodes(kind="incident", name=service, state="open", limit=1)
        incident = open_now[0].id if open_now else new_id()
        events: list[Event] = []
        if open_now:
            events.append(IncidentContinued(node=incident, window=window, reasons=reasons))
        else:
            title = f"{_label(since, until)}: {reasons[0]}"
            events.append(IncidentOpened(node=incident, service=service, title=title, reasons=reasons, window=window))
        if not any(request.service == service for request in self.requests().requests):
            events.append(
                RunRequested(
                    service=service, model=findings.version, window=window, incident=incident, since=since, until=until, reasons=reasons
                )
            )
        return incident, events

    def _incident_of(self, window: Node) -> NodeId:
        return next((edge.dst for edge in self.ws.catalog.edges_from(window.id) if edge.role == "raised"), "")

    def _windows(self, service: str) -> list[Node]:
        return self.ws.catalog.nodes(kind="window", name=service, limit=MAX_WINDOWS)

    def _known(self, service: str) -> None:
        known = [asset.name for asset in self.ws.catalog.assets("service")]
        if service not in known:
            hint = "" if known else "sampan ship MODEL makes one"
            raise NotFound(f"no service called {service!r}", did_you_mean=nearest(service, known), hint=hint)


def _window(node: Node) -> Window:
    return read_builtins({**node.facts, "id": node.id}, Window)


def _next(service: str, incident: NodeId = "") -> tuple[str, ...]:
    shown = (f"sampan incident show {incident[:12]}",) if incident else ()
    return (*shown, f"sampan monitor show {service}")


def _moment(text: str, name: str) -> Millis:
    if text.isdigit() and len(text) > 8:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as cause:
        raise ParameterError(
            f"{name} is {text!r}, which is no moment", hint="write 2013-05-01, 2013-05-01T06:00Z or milliseconds"
        ) from cause
    return to_millis(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _label(since: Millis, until: Millis) -> str:
    """Name a window as a person would: a month, a day, or its two ends."""
    begin, end = (datetime.fromtimestamp(moment / 1000, UTC) for moment in (since, until))
    midnight = begin.hour == begin.minute == begin.second == begin.microsecond == 0
    if midnight and begin.day == 1 and end == (begin + timedelta(days=31)).replace(day=1):
        return f"{begin:%B %Y}"
    if midnight and end - begin == timedelta(days=1):
        return f"{begin:%Y-%m-%d}"
    if midnight and end.hour == end.minute == end.second == end.microsecond == 0:
        return f"{begin:%Y-%m-%d} – {end - timedelta(days=1):%Y-%m-%d}"
    return f"{iso(since)[:16]} – {iso(until)[:16]}".replace("T", " ")


def _table_row(window: Window) -> tuple[str, ...]:
    estimates = (window.estimated_auc, window.estimated_log_loss, window.estimated_cost)
    estimated = ["refused" if window.not_estimated else str(e) for e in estimates]
    live = [str(window.auc), str(window.log_loss), str(window.cost)]
    pairs = [cell for both in zip(live, estimated, strict=True) for cell in both]
    moved = f"{len(window.moved)}/{window.n_features}"
    return (window.label, window.verdict, f"{window.n_rows:,}", f"{window.n_labelled:,}", moved, *pairs, window.model)


def _row_by_metric(window: Window, names: Sequence[str]) -> tuple[str, ...]:
    """Lay out a window of a model of classes or numbers, whose quality is not estimated without labels."""
    figures = [str(window.quality.get(name, Figure())) for name in names]
    return (*_table_row(window)[:5], *figures, window.model)
