"""The scheduler is a verb: a turn does what is due, and nothing runs between turns. Call it from cron, a systemd timer, or by hand.

A turn first judges every shadow that has a newly sealed window of its own, promotes or withdraws it, then takes up requests for runs: it
trains a candidate with the live model's recipe on everything known by the end of the window that asked, and lets it shadow the live one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import msgspec

from sampan.core.answers import Answer
from sampan.core.graph import Node
from sampan.core.times import iso
from sampan.errors import Conflict, NotFound
from sampan.workspace.operation import Room, operation

if TYPE_CHECKING:
    from sampan.workspace.services.monitors import RequestedRun


class Deed(msgspec.Struct, frozen=True):
    """One thing a turn did."""

    service: str
    did: str  # promoted | refused | trained | waiting
    model: str
    champion: str = ""
    reasons: tuple[str, ...] = ()
    decision: str = ""

    def __str__(self) -> str:
        words = {
            "promoted": f"{self.model} was shown better than {self.champion} and is live now",
            "refused": f"{self.model} is refused; {self.champion} stays live",
            "trained": f"{self.model} was trained and shadows {self.champion}",
            "waiting": f"{self.model} goes on as a shadow",
        }
        return "\n".join([f"{self.service}: {words[self.did]}", *(f"    {reason}" for reason in self.reasons)])


class Turned(Answer, frozen=True, kw_only=True):
    """What a turn did."""

    deeds: tuple[Deed, ...]

    def text(self) -> str:
        """One line a deed, with its reasons."""
        return "\n".join(map(str, self.deeds)) or "nothing was due"


class Schedule(Room):
    """The scheduler: judge shadows, take up requests for runs."""

    noun: ClassVar[str] = "schedule"

    @operation(local=True)
    def turn(self) -> Turned:
        """Do what is due: judge shadows on the windows they have seen, then train what was asked for."""
        judged = [deed for service in self._services() if (deed := self._judge(service)) is not None]
        # A request that a window raised about a model which is not live any more has been answered by the promotion.
        promoted = {deed.service: deed.model for deed in judged if deed.did == "promoted"}
        trained = [self._take_up(request, promoted) for request in self.ws.monitor.requests().requests]
        deeds = (*judged, *(deed for deed in trained if deed is not None))
        return Turned(deeds=deeds, next=("sampan status",) if deeds else ("sampan monitor list",))

    def _services(self) -> list[str]:
        return [asset.name for asset in self.ws.catalog.assets("service")] if self.ws.has_store else []

    def _judge(self, service: str) -> Deed | None:
        """Put a shadow before the gate on the newest window it has seen whole."""
        aliases = self.ws.catalog.aliases("deployment", service)
        if "shadow" not in aliases or "live" not in aliases:
            return None
        candidate, champion = (self._model_of(aliases[role]) for role in ("shadow", "live"))
        window = self._window_for(service, candidate)
        if window is None:
            return Deed(service, "waiting", candidate.ref, reasons=("no window with labels has been sealed since it began",))
        since, until = iso(window.facts["since"]), iso(window.facts["until"])
        gated = self.ws.model.gate(candidate.ref, service=service, since=since, until=until)
        if not gated.passed:
            self.ws.service.withdraw(service, "shadow", reason="; ".join(gated.reasons))
            self._close_incidents(service, f"{candidate.ref} was trained and refused: {'; '.join(gated.reasons)}")
            return Deed(service, "refused", candidate.ref, champion.ref, gated.reasons, gated.decision)
        self.ws.model.promote(candidate.ref)
        self.ws.service.promote(service, role="shadow", reason=f"gate {gated.decision}")
        self._close_incidents(service, f"{candidate.ref} was trained, shown better and promoted")
        return Deed(service, "promoted", candidate.ref, champion.ref, decision=gated.decision)

    def _take_up(self, request: RequestedRun, promoted: dict[str, str]) -> Deed | None:
        """Train what a request asks for, and let it shadow the live model."""
        if request.service in promoted:
            self.ws.monitor.handled(request.seq, f"answered by the promotion of {promoted[request.service]}")
            return None
        aliases = self.ws.catalog.aliases("deployment", request.service)
        champion = self._model_of(aliases["live"])
        trained = self.ws.model.train(self._file_of(champion), name=champion.name, until=iso(request.until), like=champion.ref, trials=1)
        candidate = self.ws.catalog.resolve(trained.model.ref, kind="model")
        self.ws.monitor.handled(request.seq, trained.run)
        if candidate.id == champion.id:
            return Deed(
                request.service,
                "refused",
                candidate.ref,
                champion.ref,
                ("same_model: nothing new was known, so the same model came out",),
            )
        self.ws.model.pack(candidate.ref)
        self.ws.service.shadow(candidate.ref, request.service)
        return Deed(request.service, "trained", candidate.ref, champion.ref, request.reasons)

    def _model_of(self, deployment: str) -> Node:
        package = self.ws.catalog.node(deployment).facts["package"]
        found = [edge.src for edge in self.ws.catalog.edges_to(package)]
        models = [node for node in map(self.ws.catalog.node, found) if node.kind == "model"]
        if not models:
            raise NotFound(f"package {package[:12]} was made from no model of this store", hint="sampan model pack MODEL")
        return models[0]

    def _window_for(self, service: str, candidate: Node) -> Node | None:
        windows = self.ws.catalog.nodes(kind="window", name=service, limit=50)
        for window in windows:
            facts = window.facts
            if facts["since"] >= candidate.facts["until"] and facts["n_labelled"] and facts["shadow"] == candidate.ref:
                return window
        return None

    def _file_of(self, model: Node) -> Path:
        """Return the file that declares a model: its training run's source."""
        run = next((edge.src for edge in self.ws.catalog.edges_to(model.id) if edge.role == "derived_from"), "")
        source = Path(self.ws.catalog.run(run).source) if run else Path()
        if not source.is_file():
            raise Conflict(f"{model.ref} was trained from {source}, which is gone", hint="train a candidate by hand: sampan run FILE")
        return source

    def _close_incidents(self, service: str, why: str) -> None:
        for incident in self.ws.catalog.nodes(kind="incident", name=service, state="open"):
            self.ws.incident.close(incident.id, why=why)
