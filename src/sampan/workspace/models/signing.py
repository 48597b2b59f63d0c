"""The model room's verbs by which named people answer for a version: sign it, take it back, move its stage, read what happened."""

from __future__ import annotations

from shlex import quote
from typing import ClassVar

import msgspec

from sampan.core.answers import Answer
from sampan.core.events import Tagged, new_id
from sampan.core.graph import Node, Recorded
from sampan.core.times import iso
from sampan.errors import AccessDenied, NotFound, ParameterError
from sampan.workspace.columns import align
from sampan.workspace.merging.history import as_it_happened
from sampan.workspace.models import sign_offs
from sampan.workspace.models.sign_offs import STAGE, ModelSignedOff, SignOffWithdrawn
from sampan.workspace.operation import Room, operation

STAGES = ("None", "Staging", "Production", "Archived")
_MANY = 500


class Signed(Answer, frozen=True, kw_only=True):
    """A signature that was given or taken back, and who has still to sign."""

    model: str
    to: str
    by: str
    withdrawn: bool = False
    missing: tuple[str, ...] = ()

    def text(self) -> str:
        """Say who signed what, and who is missing."""
        verb = "took back the signature on" if self.withdrawn else "signed"
        lines = [f"{self.by} {verb} {self.model} for {self.to}"]
        return "\n".join([*lines, *(f"  {reason.partition(': ')[2]}" for reason in self.missing)])


class Staged(Answer, frozen=True, kw_only=True):
    """A version's stage."""

    model: str
    before: str
    stage: str
    archived: tuple[str, ...] = ()

    def text(self) -> str:
        """Say where it stood and stands."""
        also = f"; archived: {', '.join(self.archived)}" if self.archived else ""
        return f"{self.model}: {self.before} → {self.stage}{also}"


class Moment(msgspec.Struct, frozen=True):
    """One thing that happened to a model's versions."""

    at: str
    version: str
    what: str
    who: str
    why: str = ""


class History(Answer, frozen=True, kw_only=True):
    """What happened to a model's versions: trainings, decisions, signatures, aliases, stages; the newest first."""

    model: str
    moments: tuple[Moment, ...]

    def text(self) -> str:
        """One line an event."""
        rows = [(one.at, one.version, one.what, one.who, one.why) for one in self.moments]
        return align(("when", "version", "what", "who", "why"), rows) if rows else f"{self.model}: nothing happened yet"


class Signing(Room):
    """Answering for models."""

    noun: ClassVar[str] = "model"

    @operation()
    def sign_off(self, model: str, *, to: str = "champion", note: str = "") -> Signed:
        """Sign a version for an alias or a stage, in your own name.

        Parameters
        ----------
        model : such as flights-late@v2
        to : the alias or stage, as in [sign_offs.champion] of sampan.toml
        note : what you looked at, in words
        """
        node = self._version(model)
        rule = sign_offs.rule_for(self.ws, node.name, to)
        if rule is None:
            raise ParameterError(
                f"no rule asks for signatures on {node.name} for {to!r}", parameter="to", hint=f"add [sign_offs.{to}] to sampan.toml"
            )
        people = {
            *rule.people,
            *(name.strip() for team in rule.teams for name in self.ws.project.governance.teams.get(team, "").split(",")),
        }
        if self.ws.actor not in people:
            asked = ", ".join(sorted(people - {""})) or "nobody"
            raise AccessDenied(f"{self.ws.actor} is not among those who sign {node.name} for {to}", hint=f"asked are {asked}")
        decision = sign_offs.newest_decision(self.ws, node)
        facts = {"for": to, "by": self.ws.actor, "decision": decision.id if decision else "", "note": note}
        self.ws.ledger.append(ModelSignedOff(node=new_id(), name=node.name, model=node.id, facts=facts), reason=note)
        return self._signed(node, to)

    @operation()
    def withdraw(self, model: str, *, to: str = "champion", reason: str) -> Signed:
        """Take your signature back.

        Parameters
        ----------
        model : such as flights-late@v2
        to : the alias or stage it was given for
        reason : why, in words
        """
        node = self._version(model)
        own = [
            each
            for each in sign_offs.signatures(self.ws, node)
            if each.state == "active" and each.facts["by"] == self.ws.actor and each.facts["for"] == to
        ]
        if not own:
            raise NotFound(f"{self.ws.actor} has not signed {node.ref} for {to}", hint=f"sampan model history {quote(node.name)}")
        events = [SignOffWithdrawn(node=each.id, model=node.id, reason=reason) for each in own]
        self.ws.ledger.append(*events, reason=reason)
        return msgspec.structs.replace(self._signed(node, to), withdrawn=True)

    @operation()
    def stage(self, model: str, stage: str, *, archive: bool = False) -> Staged:
        """Move a version to a stage: Staging, Production, Archived or None. What MLflow clients see is the same stage.

        Parameters
        ----------
        model : such as flights-late@v2
        stage : the stage; [sign_offs.Production] of sampan.toml may ask for signatures
        archive : move the versions that have this stage to Archived
        """
        node = self._version(model)
        wanted = next((each for each in STAGES if each.lower() == stage.lower()), "")
        if not wanted:
            raise ParameterError(f"no stage is called {stage!r}", parameter="stage", hint=", ".join(STAGES))
        sign_offs.require_signed(self.ws, node, wanted)
        tags = self.ws.catalog.tags
        before = tags(node.id).get(STAGE, "None")
        others = (
            [each for each in self.ws.catalog.nodes(kind="model", name=node.name, limit=_MANY) if each.id != node.id] if archive else []
        )
        archived = [each for each in others if tags(each.id).get(STAGE, "None") == wanted and wanted not in ("None", "Archived")]
        moved = [(node, wanted), *((each, "Archived") for each in archived)]
        self.ws.ledger.append(*(Tagged(node=each.id, key=STAGE, value=to) for each, to in moved))
        return Staged(
            model=node.ref,
            before=before,
            stage=wanted,
            archived=tuple(each.ref for each in archived),
            next=(f"sampan model history {quote(node.name)}",),
        )

    @operation(reads=True)
    def history(self, model: str, *, limit: int = 50) -> History:
        """Show what happened to a model's versions: trainings, decisions, signatures, aliases, stages.

        Parameters
        ----------
        model : a model, such as flights-late, or one version of it
        limit : at most so many events
        """
        node = self._version(model)
        versions = [node] if "@" in model else self.ws.catalog.nodes(kind="model", name=node.name, limit=_MANY)
        found: list[tuple[Recorded, Node]] = []
        for version in versions:
            about = [version, *(self.ws.catalog.node(e.dst) for e in self.ws.catalog.edges_from(version.id) if e.role == "input")]
            judged = [each for each in about if each is version or (each.kind == "decision" and each.facts.get("model") == version.id)]
            for each in judged:
                found += [(as_it_happened(event), version) for event in self.ws.catalog.events(subject=each.id, limit=_MANY)]
        found.sort(key=lambda pair: -pair[0].seq)
        return History(
            model=node.name,
            moments=tuple(_moment(event, version) for event, version in found[:limit]),
            next=(f"sampan model show {quote(node.ref)}",),
        )

    def _version(self, ref: str) -> Node:
        return self.ws.catalog.resolve(ref, kind="model")

    def _signed(self, node: Node, to: str) -> Signed:
        lacking = sign_offs.missing(self.ws, node, to)
        promote = f"sampan model promote {node.ref}" + ("" if to == "champion" else f" --alias {to}")
        following = f"sampan model stage {node.ref} {to}" if to.capitalize() in STAGES else promote
        return Signed(
            model=node.ref,
            to=to,
            by=self.ws.actor,
            missing=lacking,
            next=(following,) if not lacking else (f"sampan model history {quote(node.name)}",),
        )


def _moment(event: Recorded, version: Node) -> Moment:
    body, what = event.body, event.type.replace("_", " ")
    if event.type == "alias_moved":
        what = f"{body['alias']} {'moved here' if body['after'] == version.id else 'moved away'}"
    elif event.type == "tagged" and body.get("key") == STAGE:
        what = f"stage {body['value']}"
    elif event.type == "model_signed_off":
        what = f"signed for {body['facts']['for']}"
    elif body.get("kind") == "decision":
        what = f"gate {body.get('state', '')}"
    return Moment(at=iso(event.at), version=version.ref, what=what, who=event.actor, why=event.reason)
