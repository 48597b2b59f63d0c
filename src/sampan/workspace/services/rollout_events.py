"""What a rollout is and what happens to it: a plan of steps with guards, each step an event with the figures it was taken on."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

import msgspec

from sampan.core.changes import AddEdge, AddNode, Change, SetState, SetTag
from sampan.core.events import Event
from sampan.core.graph import NodeId
from sampan.core.reasons import Reason

KIND: Final = "rollout"
RUNNING: Final = "running"
Outcome = Literal["done", "rolled_back", "stopped"]
STEP, SINCE, BASELINE, REFERENCE = "step", "since", "baseline", "reference"  # tags: where it is, since when, what was counted before
FORMS: Final = {  # how reasons are said that come from no guard
    "load": "load: {cause}",
    "nothing_to_follow": "{cause}",
    "crash": "crash: {n} process of the server ended while it ran",
    "crashes": "crash: {n} processes of the server ended while it ran",
    "seconds_left": "{n} s of this step are left",
    "minutes_left": "{n} min of this step are left",
    "not_shadow": "it is no longer the shadow of {service}",
    "not_canary": "it is no longer the canary of {service}",
    "not_live": "it is no longer the live of {service}",
    "not_followed": "{live} is no longer what it follows",
}


class RolloutBegan(Event, frozen=True, kw_only=True):
    """A version began to be rolled out in a service."""

    type: ClassVar[str] = "rollout_began"

    node: NodeId
    service: str
    package: NodeId
    facts: dict[str, Any]  # version, live, shares, shadow_ms, hold_ms, guards

    def subject(self) -> NodeId:
        """Return the rollout."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the rollout, of the package."""
        return (
            AddNode(id=self.node, kind=KIND, name=self.service, state=RUNNING, facts=self.facts, numbered=False),
            AddEdge(dst=self.node, src=self.package, role="rolled_out_by"),
        )


class RolloutStepped(Event, frozen=True, kw_only=True):
    """A version was given its next share of the keys; `figures` are what the step before showed."""

    type: ClassVar[str] = "rollout_stepped"

    node: NodeId
    service: str
    step: int
    share: float
    figures: dict[str, Any] = {}
    tags: dict[str, str] = {}

    def subject(self) -> NodeId:
        """Return the rollout."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Set where the rollout is."""
        return tuple(SetTag(node=self.node, key=key, value=value) for key, value in self.tags.items())


class RolloutEnded(Event, frozen=True, kw_only=True):
    """A rollout came to its end: through all steps, back to what was live, or stopped by a person."""

    type: ClassVar[str] = "rollout_ended"

    node: NodeId
    service: str
    outcome: str
    figures: dict[str, Any] = {}
    reasons: tuple[Reason, ...] = ()

    def subject(self) -> NodeId:
        """Return the rollout."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Compare and set the rollout's state."""
        return (SetState(node=self.node, before=RUNNING, after=self.outcome),)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout's facts, read back."""

    version: str
    package: NodeId
    live: str  # the version it is to follow
    shares: tuple[float, ...]  # 0 is shadowing, 1 is live
    shadow_ms: float
    hold_ms: float
    guards: dict[str, Any]

    def hold(self, step: int) -> float:
        """Return how long a step is held at least, in milliseconds."""
        return self.shadow_ms if self.shares[step] == 0 else self.hold_ms


def step_name(share: float) -> str:
    """Say a step in a word or two."""
    return "shadow" if share == 0 else "live" if share == 1 else f"{share * 100:.3g}%"
