"""Whose signature a model version needs before it may have an alias or a stage, and whose it has.

A rule stands in `sampan.toml` ([sign_offs.champion]). A signature is of a person, for one target, on one version, and rests on the gate's
newest decision at the time: a later decision wants new signatures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from sampan.core.changes import AddEdge, AddNode, Change, SetState
from sampan.core.events import Event
from sampan.core.graph import Node, NodeId
from sampan.errors import GateRejected

if TYPE_CHECKING:
    from sampan.core.project import SignOffRule
    from sampan.workspace.workspace import Workspace

KIND: Final = "sign_off"
STAGE: Final = "sampan.stage"  # the tag that holds the stage of a version, also of one that MLflow's clients registered
_DAY_MS: Final = 86_400_000


class ModelSignedOff(Event, frozen=True, kw_only=True):
    """A person signed a model version for an alias or a stage."""

    type: ClassVar[str] = "model_signed_off"

    node: NodeId
    name: str
    model: NodeId
    facts: dict[str, Any]  # for, by, decision, note

    def subject(self) -> NodeId:
        """Return the model."""
        return self.model

    def changes(self) -> tuple[Change, ...]:
        """Add the signature, on the version."""
        return (AddNode(id=self.node, kind=KIND, name=self.name, facts=self.facts), AddEdge(dst=self.node, src=self.model, role="input"))


class SignOffWithdrawn(Event, frozen=True, kw_only=True):
    """A person took a signature back."""

    type: ClassVar[str] = "sign_off_withdrawn"

    node: NodeId
    model: NodeId
    reason: str

    def subject(self) -> NodeId:
        """Return the model."""
        return self.model

    def changes(self) -> tuple[Change, ...]:
        """Compare and set the signature's state."""
        return (SetState(node=self.node, before="active", after="withdrawn"),)


def rule_for(ws: Workspace, model: str, target: str) -> SignOffRule | None:
    """Return the rule for a model's alias or stage; the case of a stage does not matter."""
    for name, rule in ws.project.sign_offs.items():
        if name.lower() == target.lower() and (not rule.models or model in rule.models):
            return rule
    return None


def people_of(ws: Workspace, team: str) -> list[str]:
    """Return a team's people, as `sampan.toml` names them."""
    return [name.strip() for name in ws.project.governance.teams.get(team, "").split(",") if name.strip()]


def signatures(ws: Workspace, model: Node) -> list[Node]:
    """Return the signatures on a version, also those taken back, the newest first."""
    found = [ws.catalog.node(edge.dst) for edge in ws.catalog.edges_from(model.id) if edge.role == "input"]
    return sorted((node for node in found if node.kind == KIND), key=lambda node: -node.seq)


def missing(ws: Workspace, model: Node, target: str) -> tuple[str, ...]:
    """Say whose signatures a version lacks for a target, and what is stale; nothing where no rule holds."""
    rule = rule_for(ws, model.name, target)
    if rule is None:
        return ()
    decision = newest_decision(ws, model)
    given = [each for each in signatures(ws, model) if each.state == "active" and str(each.facts["for"]).lower() == target.lower()]
    stale = {str(each.facts["by"]) for each in given if each.facts["decision"] != (decision.id if decision else "")}
    signed = {str(each.facts["by"]) for each in given} - stale
    reasons = [_lacks(person, f"{person} has not signed", stale) for person in rule.people if person not in signed]
    for team in rule.teams:
        people = people_of(ws, team)
        if not signed & set(people):
            among = (
                f"nobody of {team} ({', '.join(people)}) has signed" if people else f"the team {team} has no people in [governance.teams]"
            )
            reasons.append(f"sign_off_missing: {among}")
    if rule.fresh_days is not None:
        reasons += _too_old(ws, decision, rule.fresh_days)
    return tuple(reasons)


def _lacks(person: str, what: str, stale: set[str]) -> str:
    return f"sign_off_stale: {person} signed before the newest decision" if person in stale else f"sign_off_missing: {what}"


def _too_old(ws: Workspace, decision: Node | None, days: int) -> list[str]:
    if decision is None:
        return ["no_decision: never judged"]
    age = (ws.clock() - decision.created) / _DAY_MS
    return [f"stale_decision: decided {age:.0f} days ago, at most {days} are allowed"] if age > days else []


def newest_decision(ws: Workspace, model: Node) -> Node | None:
    """Return the newest decision of the gate about a version."""
    about = (ws.catalog.node(edge.dst) for edge in ws.catalog.edges_from(model.id) if edge.role == "input")
    return max(
        (each for each in about if each.kind == "decision" and each.facts.get("model") == model.id), key=lambda n: n.seq, default=None
    )


def refusal(ws: Workspace, model: Node, target: str) -> GateRejected | None:
    """Return why a version may not have an alias or a stage for want of signatures, or None."""
    reasons = missing(ws, model, target)
    if not reasons:
        return None
    lacking = "; ".join(reason.partition(": ")[2] for reason in reasons)
    return GateRejected(
        f"{model.ref} may not be {target}: {lacking}", reasons=reasons, hint=f"sampan model sign-off {model.ref} --to {target}"
    )


def require_signed(ws: Workspace, model: Node, target: str) -> None:
    """Refuse what lacks a signature.

    Raises
    ------
    GateRejected : it names who has not signed.
    """
    if (refused := refusal(ws, model, target)) is not None:
        raise refused
