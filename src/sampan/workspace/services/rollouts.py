"""The service room's verbs for rollouts: a new version in declared steps, each held until the guards agree, else back by itself.

    shadow → 1 % → 5 % → 25 % → live, watched for one more step → done

A running server takes a turn every second (`web.inference_pilot`); `sampan service advance` takes one by hand. All that a turn needs is in
the store: the plan and the step in the graph, the answers in the prediction log, errors in the server's counters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.answers import Answer
from sampan.core.decoding import read_builtins, read_json
from sampan.core.events import new_id
from sampan.core.graph import Node, NodeId
from sampan.core.reasons import Reason, because, recorded
from sampan.core.times import iso
from sampan.errors import Conflict, NotFound, ParameterError, SampanError
from sampan.workspace.columns import align
from sampan.workspace.operation import operation
from sampan.workspace.services.rollout_events import (
    BASELINE,
    FORMS,
    KIND,
    REFERENCE,
    RUNNING,
    SINCE,
    STEP,
    Outcome,
    Plan,
    RolloutBegan,
    RolloutEnded,
    RolloutStepped,
    step_name,
)
from sampan.workspace.services.room import ServiceRoom

if TYPE_CHECKING:
    from sampan.serving.guards import Seen, Verdict

_MOST: Final = 50
_GUARDS: Final = ("errors", "latency", "drift", "agreement", "min_rows", "kpi_loss")
_MINUTES_FROM_S: Final = 120
_BEFORE_MS: Final = 600_000  # that live is looked at where no step let it answer beside


class RolloutState(Answer, frozen=True, kw_only=True):
    """Where a rollout is, and what the guards say of its present step."""

    service: str
    did: str
    state: str  # running | done | rolled_back | stopped | none
    changed: bool = False
    version: str = ""
    live: str = ""
    step: str = ""
    steps: tuple[str, ...] = ()
    since: str = ""
    rows: int = 0
    errors: int | None = None
    p95_ms: float | None = None
    live_rows: int = 0
    live_errors: int | None = None
    live_p95_ms: float | None = None
    mean_score: float | None = None
    live_mean_score: float | None = None
    breaches: tuple[Reason, ...] = ()
    waiting: tuple[Reason, ...] = ()
    id: NodeId = ""

    def text(self) -> str:
        """Say what was done and what is waited for."""
        lines = [self.did]
        if self.steps:
            way = " → ".join(f"[{one}]" if one == self.step and self.state == RUNNING else one for one in self.steps)
            lines.append(f"  {self.version} after {self.live or 'nothing'}: {way}")
        if self.rows:
            latency = "" if self.p95_ms is None else f", p95 {self.p95_ms:.2f} ms"
            beside = "" if self.live_p95_ms is None else f" (live {self.live_p95_ms:.2f})"
            score = "" if self.mean_score is None else f", mean answer {self.mean_score:.4g}"
            lines.append(f"  {self.rows:,} rows, {'?' if self.errors is None else self.errors} errors{latency}{beside}{score}")
        lines += [f"  broken: {one}" for one in self.breaches]
        lines += [f"  waiting: {one}" for one in self.waiting]
        return "\n".join(lines)


class RolloutList(Answer, frozen=True, kw_only=True):
    """Rollouts of a service, newest first, each with what its steps showed."""

    service: str
    rollouts: tuple[RolloutState, ...]

    def text(self) -> str:
        """One line a rollout."""
        if not self.rollouts:
            return f"{self.service} has had no rollout"
        rows = [(r.version, r.state, r.step, r.since, "; ".join(map(str, r.breaches))) for r in self.rollouts]
        return align(("version", "state", "step", "since", "why"), rows)


class Rollouts(ServiceRoom):
    """The verbs for rollouts."""

    @operation(local=True)
    def rollout(
        self,
        model: str,
        name: str,
        *,
        steps: str = "",
        hold: str = "",
        shadow: str = "",
        guard: dict[str, str] | None = None,
        rule: list[str] | None = None,
    ) -> RolloutState:
        """Roll a version out in steps, held by guards; the running server goes from step to step, or back, by itself.

        What is not said here is taken from [services.NAME] of sampan.toml.

        Parameters
        ----------
        model : a model or package, like flights-late@v3
        steps : shares of the keys, like 1%,5%,25%,100%; the last one makes it live
        hold : the least time on each step, like 10min
        shadow : how long it scores unseen before the first step, like 1h; as long as a step is held, where nothing is said
        guard : errors, latency, drift, agreement, min_rows or kpi_loss, with its limit
        rule : an SQL condition on its answers, like "AVG(score) < 0.5"; repeat for more
        """
        aliases = self._known(name)
        if (running := self._running_rollout(name)) is not None:
            raise Conflict(
                f"{running.facts['version']} is being rolled out in {name} already", hint=f"sampan service withdraw {name} canary ends that"
            )
        package = self._package(model)
        self._require_allowed(package)
        if self._deploys(aliases, "live", package):
            raise Conflict(f"{self._version(package)} is the live model of {name}", hint="name another version")
        return self._begin(name, package, self._plan(name, package, steps, hold, shadow, guard or {}, tuple(rule or ())), reason=model)

    @operation(local=True)
    def advance(self, name: str) -> RolloutState:
        """Take one turn of a rollout: hold, step on, or roll back; begin one where the alias that a service follows moved."""
        return self.take_turn(name, {})

    @operation(reads=True)
    def rollouts(self, name: str) -> RolloutList:
        """List the rollouts of a service: how far each came, and what sent it back."""
        self._known(name)
        found = self.ws.catalog.nodes(kind=KIND, name=name, limit=_MOST)
        shown = tuple(self._told(node) for node in found)
        return RolloutList(service=name, rollouts=shown, next=(f"sampan service show {name}",))

    def rolling(self, name: str) -> RolloutState | None:
        """Return where a running rollout is and what the guards say now, changing nothing; None where none runs."""
        if (node := self._running_rollout(name)) is None:
            return None
        plan, tags = _plan(node), self.ws.catalog.tags(node.id)
        step = int(tags[STEP])
        candidate, live, verdict = self._look(node, plan, step, tags, n_lost=0)
        verdict = msgspec.structs.replace(verdict, waiting=(*self._left(plan, step, tags), *verdict.waiting))
        return self._state_of(node, plan, step, candidate, live, verdict, did=f"{plan.version} is on {step_name(plan.shares[step])}")

    def take_turn(self, name: str, lost: Mapping[NodeId, int]) -> RolloutState:
        """Take one turn, knowing how many processes of the server ended while they ran a package."""
        node = self._running_rollout(name)
        if node is None:
            return self._take_up(name)
        plan, tags = _plan(node), self.ws.catalog.tags(node.id)
        step = int(tags[STEP])
        if (overtaken := self._overtaken(name, plan, step)) is not None:
            return self._end(node, "stopped", reasons=(overtaken,), did=f"the rollout of {plan.version} was stopped: {overtaken}")
        candidate, live, verdict = self._look(node, plan, step, tags, n_lost=lost.get(plan.package, 0))
        if verdict.breaches:
            return self._roll_back(node, plan, step, candidate, live, verdict)
        if waiting := (*self._left(plan, step, tags), *verdict.waiting):
            verdict = msgspec.structs.replace(verdict, waiting=waiting)
            return self._state_of(node, plan, step, candidate, live, verdict, did=f"{plan.version} stays on {step_name(plan.shares[step])}")
        return self._step_on(node, plan, step, candidate, live)

    def takes_up(self, name: str) -> bool:
        """Say whether a turn would begin a rollout: the alias that a service follows points at what is not live and was not tried."""
        rules = self.ws.project.services.get(name)
        if rules is None or not rules.follow:
            return False
        try:
            package = self._package(rules.follow)
            return not self._deploys(self._aliases(name), "live", package) and self._last_try(name, package) is None
        except NotFound:
            return False

    def _last_try(self, name: str, package: Node) -> Node | None:
        """Return a service's newest rollout where it was that of this package."""
        newest = self.ws.catalog.nodes(kind=KIND, name=name, limit=1)
        return newest[0] if newest and newest[0].facts["package"] == package.id else None

    def _left(self, plan: Plan, step: int, tags: Mapping[str, str]) -> tuple[Reason, ...]:
        """Say how long a step is held still; nothing where it was held for long enough."""
        left_s = (int(tags[SINCE]) + plan.hold(step) - self.ws.clock()) / 1000
        if left_s <= 0:
            return ()
        if left_s < _MINUTES_FROM_S:
            return (because(FORMS, "seconds_left", n=round(left_s)),)
        return (because(FORMS, "minutes_left", n=round(left_s / 60)),)

    def _told(self, node: Node) -> RolloutState:
        """Tell a rollout from the graph and its last event."""
        from sampan.serving.guards import Seen

        plan, tags = _plan(node), self.ws.catalog.tags(node.id)
        step = int(tags.get(STEP, "0"))
        ended = [e.body for e in self.ws.catalog.events(subject=node.id, type=RolloutEnded.type)]
        reasons = recorded(ended[-1].get("reasons")) if ended else ()
        figures = ended[-1].get("figures") if ended else None
        candidate, live = (read_builtins(figures[who], Seen) for who in ("candidate", "live")) if figures else (None, None)
        state = self._state_of(node, plan, step, candidate, live, None, did=f"{plan.version}: {node.state}")
        return msgspec.structs.replace(state, breaches=reasons)

    def _running_rollout(self, service: str) -> Node | None:
        found = self.ws.catalog.nodes(kind=KIND, name=service, state=RUNNING, limit=1)
        return found[0] if found else None

    def _plan(self, name: str, package: Node, steps: str, hold: str, shadow: str, guard: dict[str, str], rules: tuple[str, ...]) -> Plan:
        from sampan.core.project import ServiceRules
        from sampan.features.moments import duration
        from sampan.serving.guards import Guards, check_rules

        said = self.ws.project.services.get(name, ServiceRules())
        limits = {k: getattr(said, k) for k in _GUARDS}
        guards = Guards(**{**limits, **_limits(guard)}, rules=rules or said.rules)
        check_rules(guards.rules)
        shares = _shares([part for part in steps.split(",") if part.strip()] or list(said.steps))
        hold_ms = duration(hold or said.hold)
        asked = shadow or said.shadow
        shadow_ms = duration(asked) if asked else hold_ms
        live = self._need(self._known(name), "live", name)
        return Plan(
            version=self._version(package),
            package=package.id,
            live=str(live.facts["version"]),
            shares=((0.0,) if shadow_ms else ()) + shares,
            shadow_ms=shadow_ms,
            hold_ms=hold_ms,
            guards=msgspec.to_builtins(guards),
        )

    def _begin(self, service: str, package: Node, plan: Plan, *, reason: str) -> RolloutState:
        facts = msgspec.to_builtins(plan)
        node = new_id()
        self.ws.ledger.append(RolloutBegan(node=node, service=service, package=package.id, facts=facts), reason=f"rolled out {reason}")
        began = self.ws.catalog.node(node)
        try:
            return self._give_share(began, plan, 0, did=f"{plan.version} begins in {service}: {step_name(plan.shares[0])}")
        except SampanError as cause:  # the server could not load it, and goes on with what it had
            self._end(began, "rolled_back", reasons=(because(FORMS, "load", cause=cause.message),), did="")
            raise

    def _give_share(self, node: Node, plan: Plan, step: int, *, did: str, figures: dict[str, Any] | None = None) -> RolloutState:
        """Put a rollout's version where a step wants it, and say so in one event with what the step before showed."""
        service, share, aliases = node.name, plan.shares[step], self._known(node.name)
        package = self.ws.catalog.node(plan.package)
        role = "shadow" if share == 0 else "live" if share == 1 else "canary"
        held = next((aliases[one] for one in ("canary", "shadow") if self._deploys(aliases, one, package)), None)
        tags = {STEP: str(step), SINCE: str(self.ws.clock()), BASELINE: msgspec.json.encode(self._error_counts(service)).decode()}
        if role == "live":
            tags[REFERENCE] = msgspec.json.encode((figures or {}).get("live") or self._seen_before(service, plan)).decode()
        stepped = RolloutStepped(node=node.id, service=service, step=step, share=share, figures=figures or {}, tags=tags)
        self._move(
            service,
            package,
            role,
            held,
            aliases,
            share=share if role == "canary" else None,
            reason=f"rollout of {plan.version}: {step_name(share)}",
            besides=(stepped,),
        )
        self._follow(service, aliases)
        return self._state_of(self.ws.catalog.node(node.id), plan, step, None, None, None, did=did, changed=True)

    def _step_on(self, node: Node, plan: Plan, step: int, candidate: Seen, live: Seen) -> RolloutState:
        figures = {"candidate": msgspec.to_builtins(candidate), "live": msgspec.to_builtins(live)}
        if step + 1 == len(plan.shares):
            return self._end(node, "done", figures=figures, did=f"{plan.version} is live in {node.name} and has kept to its guards")
        name = step_name(plan.shares[step + 1])
        return self._give_share(node, plan, step + 1, did=f"{plan.version} kept to its guards and goes on: {name}", figures=figures)

    def _roll_back(self, node: Node, plan: Plan, step: int, candidate: Seen, live: Seen, verdict: Verdict) -> RolloutState:
        """Take the version out, all at once: whatever it answered is answered by what was live before."""
        aliases = self._known(node.name)
        after = {alias: one for alias, one in aliases.items() if alias not in ("canary", "shadow")}
        if plan.shares[step] == 1:
            after = {**after, "live": aliases["previous"], "previous": aliases["live"]}
        figures = {"candidate": msgspec.to_builtins(candidate), "live": msgspec.to_builtins(live)}
        ended = RolloutEnded(node=node.id, service=node.name, outcome="rolled_back", figures=figures, reasons=verdict.breaches)
        self._route(node.name, aliases, after, reason="; ".join(map(str, verdict.breaches)), besides=(ended,))
        self._follow(node.name, after)
        did = f"{plan.version} was rolled back on {step_name(plan.shares[step])}; {plan.live} answers"
        state = self._state_of(self.ws.catalog.node(node.id), plan, step, candidate, live, verdict, did=did, changed=True)
        return msgspec.structs.replace(state, waiting=())

    def _end(
        self, node: Node, outcome: Outcome, *, did: str, figures: dict[str, Any] | None = None, reasons: tuple[Reason, ...] = ()
    ) -> RolloutState:
        self.ws.ledger.append(RolloutEnded(node=node.id, service=node.name, outcome=outcome, figures=figures or {}, reasons=reasons))
        return msgspec.structs.replace(self._told(self.ws.catalog.node(node.id)), did=did, changed=True)

    def _overtaken(self, service: str, plan: Plan, step: int) -> Reason | None:
        """Say what a person did meanwhile that the plan does not know of."""
        aliases, share = self._aliases(service), plan.shares[step]
        role = "shadow" if share == 0 else "live" if share == 1 else "canary"
        package = self.ws.catalog.node(plan.package)
        if not self._deploys(aliases, role, package):
            return because(FORMS, f"not_{role}", service=service)
        live = self._node_of(aliases, "live" if role != "live" else "previous")
        if live is None or str(live.facts["version"]) != plan.live:
            return because(FORMS, "not_followed", live=plan.live)
        return None

    def _take_up(self, service: str) -> RolloutState:
        """Begin a rollout of what a followed alias points at, unless it is live or was sent back before."""
        rules = self.ws.project.services.get(service)
        if rules is None or not rules.follow:
            return RolloutState(
                service=service, did=f"{service} has no rollout", state="none", next=(f"sampan service rollout MODEL {service}",)
            )
        try:
            package = self._package(rules.follow)
        except NotFound as missing:
            waiting = (because(FORMS, "nothing_to_follow", cause=f"{missing.message}; {missing.hint}".removesuffix("; ")),)
            return RolloutState(service=service, did=f"{service} follows {rules.follow}", state="none", waiting=waiting)
        aliases = self._aliases(service)
        version = self._version(package)
        if self._deploys(aliases, "live", package):
            return RolloutState(service=service, did=f"{service} follows {rules.follow}: {version} is live", state="none", live=version)
        if (tried := self._last_try(service, package)) is not None:  # what was sent back is not tried again before the alias moves
            did = f"{service} follows {rules.follow}, and the rollout of {version} ended: {tried.state.replace('_', ' ')}"
            return RolloutState(service=service, did=did, state="none", version=version, next=(f"sampan service rollouts {service}",))
        self._require_allowed(package)
        return self._begin(service, package, self._plan(service, package, "", "", "", {}, ()), reason=rules.follow)

    def _look(self, node: Node, plan: Plan, step: int, tags: dict[str, str], *, n_lost: int) -> tuple[Seen, Seen, Verdict]:
        """Read what the version and live did on this step, and ask the guards."""
        from sampan.serving.guards import Guards, Seen, judge, see
        from sampan.workspace.services.rollout_figures import answers_since, decision_values

        share, since = plan.shares[step], int(tags[SINCE])
        role = "shadow" if share == 0 else "live" if share == 1 else "canary"
        guards = read_builtins(plan.guards, Guards)
        rules = self.ws.project.logs.get(node.name)
        kept = (rules.sample if rules is not None else 1.0) or 1.0
        frames = answers_since(self.ws, node.name, since, {plan.version: role, **({plan.live: "live"} if role != "live" else {})})
        before, now = msgspec.json.decode(tags[BASELINE]), self._error_counts(node.name)

        def errors(version: str) -> int | None:
            if now is None:
                return None
            was, count = (before or {}).get(version, 0), now.get(version, 0)
            return count - was if count >= was else count  # the server began to count again

        worth = (
            {v: decision_values(self.ws, node.name, plan.package, frame) for v, frame in frames.items()}
            if guards.kpi_loss is not None
            else {}
        )
        if role == "live":  # nobody else answers any more: what live did on the step before stands for it
            live = read_json(tags[REFERENCE], Seen)
        else:
            live = see(plan.live, frames[plan.live], n_errors=errors(plan.live), values=worth.get(plan.live), kept=kept)
        own = frames[plan.version]
        beside = frames[plan.live] if role == "shadow" else None
        candidate = see(plan.version, own, n_errors=errors(plan.version), values=worth.get(plan.version), beside=beside, kept=kept)
        verdict = judge(guards, candidate, live, answers=own, shadowing=role == "shadow", beside=role != "live")
        if n_lost:
            crash = because(FORMS, "crash" if n_lost == 1 else "crashes", n=n_lost)
            verdict = msgspec.structs.replace(verdict, breaches=(crash, *verdict.breaches))
        return candidate, live, verdict

    def _seen_before(self, service: str, plan: Plan) -> Seen:
        """Sum up what live answered before a version that begins as live takes its place."""
        from sampan.serving.guards import see
        from sampan.workspace.services.rollout_figures import answers_since

        since = self.ws.clock() - max(int(plan.hold_ms), _BEFORE_MS)
        return see(plan.live, answers_since(self.ws, service, since, {plan.live: "live"})[plan.live], n_errors=0)

    def _error_counts(self, service: str) -> dict[str, int] | None:
        """Return how many requests of each version got an error, over all processes of the server; None where none runs."""
        from sampan.serving.exposition import Samples

        samples: Samples | None = self._counted(service)
        if samples is None:
            return None
        found: dict[str, int] = {}
        for (name, labels), value in samples.items():
            if name in ("sampan_failed_requests_total", "sampan_shadow_failed_requests_total"):
                version = dict(labels).get("version", "")
                found[version] = found.get(version, 0) + int(value)
        return found

    def _state_of(
        self,
        node: Node,
        plan: Plan,
        step: int,
        candidate: Seen | None,
        live: Seen | None,
        verdict: Verdict | None,
        *,
        did: str,
        changed: bool = False,
    ) -> RolloutState:
        def ms(us: float | None) -> float | None:
            return None if us is None else us / 1000

        return RolloutState(
            service=node.name,
            did=did,
            state=node.state,
            changed=changed,
            version=plan.version,
            live=plan.live,
            step=step_name(plan.shares[step]),
            steps=tuple(map(step_name, plan.shares)),
            since=iso(int(self.ws.catalog.tags(node.id).get(SINCE, str(node.created)))),
            rows=candidate.n_rows if candidate else 0,
            errors=candidate.n_errors if candidate else None,
            p95_ms=ms(candidate.p95_us) if candidate else None,
            live_rows=live.n_rows if live else 0,
            live_errors=live.n_errors if live else None,
            live_p95_ms=ms(live.p95_us) if live else None,
            mean_score=candidate.mean_score if candidate else None,
            live_mean_score=live.mean_score if live else None,
            breaches=verdict.breaches if verdict else (),
            waiting=verdict.waiting if verdict else (),
            id=node.id,
            next=(f"sampan service advance {node.name}",) if node.state == RUNNING else (f"sampan service rollouts {node.name}",),
        )


def _plan(node: Node) -> Plan:
    return read_builtins(node.facts, Plan)


def _shares(parts: list[str]) -> tuple[float, ...]:
    """Read steps like 1%, 0.05, 100%: they grow, and end in 100 %."""
    shares = []
    for part in parts:
        text = part.strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            raise ParameterError(f"{text!r} is no share", parameter="steps", hint="write steps as 1%,5%,25%,100%") from None
        shares.append(share)
    if shares != sorted(set(shares)) or not shares or shares[0] <= 0 or shares[-1] > 1:
        raise ParameterError(f"steps {','.join(parts)} do not grow from above 0 to 100%", parameter="steps", hint="as in 1%,5%,25%,100%")
    return tuple(shares) if shares[-1] == 1 else (*shares, 1.0)


def _limits(given: dict[str, str]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    faults = []
    for name, text in given.items():
        if name not in _GUARDS:
            faults.append(f"no guard is called {name!r}")
            continue
        try:
            limits[name] = int(text) if name == "min_rows" else float(text)
        except ValueError:
            faults.append(f"{name}={text} is no number")
    if faults:
        raise ParameterError("; ".join(faults), parameter="guard", hint=f"guards are {', '.join(_GUARDS)}")
    return limits
