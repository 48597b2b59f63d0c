"""The service room: which model answers, beside whom, in which process; how to swap and go back without losing a request."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import msgspec

from sampan.core.answers import Answer
from sampan.core.decoding import read_json
from sampan.core.graph import NodeId
from sampan.core.refs import check_name
from sampan.core.times import iso
from sampan.errors import Conflict, NotFound, ParameterError, Unavailable
from sampan.workspace.columns import align
from sampan.workspace.operation import operation
from sampan.workspace.services import process
from sampan.workspace.services.keys import ServiceKeys
from sampan.workspace.services.prediction_log import PredictionLogs
from sampan.workspace.services.rollouts import Rollouts
from sampan.workspace.services.routing import ALIASES, planned_routing, routed

if TYPE_CHECKING:
    from sampan.serving.exposition import Samples
    from sampan.workspace.services.process import Liveness

Candidate = Literal["canary", "shadow"]
SETTLE_S = 0.05


class Deployment(msgspec.Struct, frozen=True):
    """A package in a role of a service."""

    role: str
    model: str
    package: str
    id: NodeId
    since: str
    predictions: int | None = None  # since the server started; None while none runs


class ServiceState(Answer, frozen=True, kw_only=True):
    """A service after a change of it: what it routes to now, and what was done."""

    service: str
    did: str
    changed: bool
    url: str = ""
    live: str = ""
    canary: str = ""
    canary_share: float = 0.0
    shadow: str = ""
    differences: tuple[str, ...] = ()  # of the server's environment from the one the package was made in

    def text(self) -> str:
        """Say what was done, then what answers where."""
        lines = [self.did]
        if self.live:
            lines.append(f"  live    {self.live}" + (f"  at {self.url}" if self.url else "  (no server running)"))
        if self.canary:
            lines.append(f"  canary  {self.canary}  {self.canary_share:.0%} of keys")
        if self.shadow:
            lines.append(f"  shadow  {self.shadow}")
        if self.differences:
            lines.append("the server's environment differs from the package's:")
            lines += [f"  {difference}" for difference in self.differences]
        return "\n".join(lines)


class Traffic(msgspec.Struct, frozen=True):
    """What a server counted since its start."""

    requests: int
    errors: int
    predictions: int
    p50_ms: float | None
    p95_ms: float | None
    log_rows: int
    log_dropped_rows: int
    shadow_dropped_rows: int


class ServiceShown(Answer, frozen=True, kw_only=True):
    """A service: its deployments, its process, its traffic."""

    service: str
    state: str  # running | stopped
    url: str = ""
    grpc: str = ""  # host and port, where it answers gRPC
    pid: int | None = None
    started: str = ""
    deployments: tuple[Deployment, ...] = ()
    traffic: Traffic | None = None
    fault: str = ""

    def text(self) -> str:
        """Show the process, the deployments and the traffic."""
        at = f" at {self.url}{f', gRPC at {self.grpc}' if self.grpc else ''}, process {self.pid}, since {self.started}" if self.url else ""
        lines = [f"{self.service}: {self.state}{at}"]
        for one in self.deployments:
            served = "" if one.predictions is None else f"  {one.predictions:,} rows"
            lines.append(f"  {one.role:<9}{one.model:<28}{one.package:<32}since {one.since}{served}")
        if (traffic := self.traffic) is not None:
            latency = "" if traffic.p95_ms is None else f", p50 {traffic.p50_ms:.1f} ms, p95 {traffic.p95_ms:.1f} ms"
            lines.append(
                f"  {traffic.requests:,} requests, {traffic.errors:,} errors{latency}; {traffic.log_rows:,} rows in the prediction log"
            )
            if traffic.log_dropped_rows or traffic.shadow_dropped_rows:
                lines.append(f"  lost: {traffic.log_dropped_rows:,} log rows, {traffic.shadow_dropped_rows:,} shadow rows")
        if self.fault:
            lines.append(f"  the newest routing could not be loaded: {self.fault}")
        return "\n".join(lines)


class ServiceList(Answer, frozen=True, kw_only=True):
    """All services."""

    services: tuple[ServiceShown, ...]

    def text(self) -> str:
        """One line a service."""
        if not self.services:
            return "no service yet"
        live = {s.service: next((d.model for d in s.deployments if d.role == "live"), "nothing") for s in self.services}
        return align(("service", "state", "live", "address"), [(s.service, s.state, live[s.service], s.url) for s in self.services])


class Services(Rollouts, ServiceKeys, PredictionLogs):
    """Deploy models, watch their traffic, swap and roll back.

    Parameters
    ----------
    name : the service
    model : a model or package, like flights-late@v2
    role : canary or shadow
    share : of the keys, above 0 and below 1
    reason : why, for the ledger
    """

    @operation(local=True)
    def deploy(self, model: str, name: str = "", *, port: int = 0, start: bool = True) -> ServiceState:
        """Make a model the live one of a service and start the service's server if none runs.

        Requests are answered by the old model until the new one is loaded; none is lost. What is live already stays as it is.

        Parameters
        ----------
        model : a model or package, like flights-late@champion
        name : the service; by default the model's name
        port : for a server that has to be started; 0 finds a free one
        start : start a server where none runs; without, one of `sampan serve --all` may answer
        """
        package = self._package(model)
        self._require_allowed(package)
        service = check_name(name or package.name)
        aliases = self._aliases(service)
        present = self._node_of(aliases, "live")
        if present is not None and present.facts["package"] == package.id:
            began = start and self._ensure_running(service, port)
            return self._state(service, f"{self._version(package)} is live in {service} already", changed=began)
        held = next((aliases[role] for role in ("canary", "shadow") if self._deploys(aliases, role, package)), None)
        self._move(service, package, "live", held, aliases, reason=f"deployed {model}")
        if start or self._served(service) is not None:
            self._follow(service, aliases, port=port)
        return self._state(service, f"{self._version(package)} is live in {service}", changed=True)

    @operation(local=True)
    def shadow(self, model: str, name: str) -> ServiceState:
        """Let a model score, unseen by callers, what the live one answers; its scores are logged."""
        return self._join(model, name, "shadow")

    @operation(local=True)
    def canary(self, model: str, name: str, *, share: float = 0.05) -> ServiceState:
        """Let a model answer a share of the keys; a key goes the same way each time.

        Parameters
        ----------
        share : of keys, above 0 and below 1
        """
        return self._join(model, name, "canary", share=_check_share(share))

    @operation(local=True)
    def shift(self, name: str, share: float) -> ServiceState:
        """Give the canary another share of the keys."""
        aliases = self._known(name)
        self._need(aliases, "canary", name)
        self.ws.ledger.append(routed(name, aliases, aliases, states={}, share=_check_share(share)), reason=f"canary share {share}")
        self._follow(name, aliases)
        return self._state(name, f"the canary of {name} answers {share:.0%} of the keys", changed=True)

    @operation(local=True)
    def promote(self, name: str, *, role: Candidate | None = None, reason: str = "") -> ServiceState:
        """Make the canary, or where there is none the shadow, the live model.

        Parameters
        ----------
        role : which of the two, where there are both
        reason : why, for the ledger
        """
        aliases = self._known(name)
        chosen = role or next((r for r in ("canary", "shadow") if r in aliases), None)
        if chosen is None:
            raise NotFound(f"{name} has neither canary nor shadow to promote", hint=f"sampan service shadow MODEL {name}")
        package = self.ws.catalog.node(str(self._need(aliases, chosen, name).facts["package"]))
        self._require_allowed(package)
        self._move(name, package, "live", aliases[chosen], aliases, reason=reason or f"promoted the {chosen}")
        self._follow(name, aliases)
        return self._state(name, f"{self._version(package)} is live in {name}, after being its {chosen}", changed=True)

    @operation(local=True)
    def withdraw(self, name: str, role: Candidate, *, reason: str = "") -> ServiceState:
        """Take the canary or the shadow out of a service."""
        aliases = self._known(name)
        gone = self._need(aliases, role, name)
        after = {alias: node for alias, node in aliases.items() if alias != role}
        self._route(name, aliases, after, reason=reason or f"withdrew the {role}")
        self._follow(name, aliases)
        return self._state(name, f"{gone.facts['version']} is no longer the {role} of {name}", changed=True)

    @operation(local=True)
    def rollback(self, name: str, *, reason: str = "") -> ServiceState:
        """Make the model that was live before live again."""
        aliases = self._known(name)
        back = self._need(aliases, "previous", name)
        self._require_allowed(self.ws.catalog.node(str(back.facts["package"])))
        after = {**aliases, "live": aliases["previous"], "previous": aliases["live"]}
        self._route(name, aliases, after, reason=reason or "rolled back")
        self._follow(name, aliases)
        return self._state(name, f"{back.facts['version']} is live in {name} again", changed=True)

    @operation(local=True)
    def stop(self, name: str) -> ServiceState:
        """Stop a service's server after the requests in hand; deploy starts it again."""
        self._known(name)
        files = self._files(name)
        live = process.find(files)
        if live is not None:
            process.stop(files, live)
        elif (shared := self.running(name)) is not None:
            raise Conflict(
                f"{name} is answered by the server of all services, process {shared.pid}", hint=f"kill {shared.pid} ends that server"
            )
        return self._state(name, f"{name} stopped" if live else f"{name} was not running", changed=live is not None)

    @operation(reads=True, verb="list")
    def list_services(self) -> ServiceList:
        """List services with what is live and where."""
        shown = tuple(self.show(asset.name) for asset in self.ws.catalog.assets("service")) if self.ws.has_store else ()
        return ServiceList(services=shown, next=() if shown else ("sampan ship MODEL",))

    @operation(reads=True)
    def show(self, name: str) -> ServiceShown:
        """Show a service: deployments, process, traffic and latency."""
        aliases = self._known(name)
        live = self.running(name)
        samples = self._counted(name)
        deployments = tuple(self._deployment(alias, aliases[alias], samples) for alias in ALIASES if alias in aliases)
        return ServiceShown(
            service=name,
            state="running" if samples is not None else "stopped",
            url=live.url if live else "",
            grpc=f"{live.host}:{live.grpc_port}" if live and live.grpc_port else "",
            pid=live.pid if live else None,
            started=iso(live.started) if live else "",
            deployments=deployments,
            traffic=_traffic(samples) if samples is not None else None,
            fault=self._fault(name),
            next=(f"sampan monitor show {name}",)
            if live
            else (f"sampan service deploy {deployments[0].model} {name}",)
            if deployments
            else (),
        )

    def require_allowed(self, name: str) -> None:
        """Refuse to serve what a service routes to, where the terms of its data forbid it.

        Raises
        ------
        PolicyRefused : naming the rule, the owner and how to ask.
        """
        for alias, node in self._aliases(name).items():
            if alias != "previous":
                self._require_allowed(self.ws.catalog.node(str(self.ws.catalog.node(node).facts["package"])))

    def serve_command(self, name: str, *, host: str = "", port: int = 0) -> list[str]:
        """Return the command that runs a service's server in the foreground."""
        return process.server_command(self.ws.root, name, host=host, port=port)

    def running(self, name: str) -> Liveness | None:
        """Return the service's running server, or None. For clients on this machine: where it is, and its token."""
        return process.find(self._files(name)) or process.find(self._files(process.EVERY))

    def settle(self, name: str, *, timeout_s: float = 10.0) -> None:
        """Wait until the running server has scored for its shadow, and logged, all that it has answered.

        Raises
        ------
        Unavailable : the server still has rows in hand after `timeout_s`.
        """
        waited_until = time.monotonic() + timeout_s
        while (samples := self._counted(name)) is not None:
            in_hand = sum(samples.get((key, ()), 0.0) for key in ("sampan_shadow_queue_rows", "sampan_log_queue_rows"))
            if not in_hand:
                return
            if time.monotonic() > waited_until:
                raise Unavailable(f"the server of {name} has {in_hand:,.0f} answered rows that are not logged yet", hint="try again")
            time.sleep(SETTLE_S)

    def _join(self, model: str, name: str, role: Candidate, *, share: float | None = None) -> ServiceState:
        package = self._package(model)
        self._require_allowed(package)
        aliases = self._known(name)
        version = self._version(package)
        if self._deploys(aliases, "live", package):
            raise Conflict(f"{version} is the live model of {name}", hint="name another version")
        if self._deploys(aliases, role, package):
            if share is not None:
                return self.shift(name, share)
            return self._state(name, f"{version} is the {role} of {name} already", changed=self._ensure_running(name, 0))
        self._move(name, package, role, None, aliases, share=share, reason=f"{role} {model}")
        self._follow(name, aliases)
        return self._state(name, f"{version} is the {role} of {name}", changed=True)

    def _state(self, service: str, did: str, *, changed: bool) -> ServiceState:
        plan = planned_routing(self.ws.catalog, service)
        live = self.running(service)
        return ServiceState(
            service=service,
            did=did,
            changed=changed,
            url=live.url if live else "",
            live=plan.live.version if plan.live else "",
            canary=plan.canary.version if plan.canary else "",
            canary_share=plan.share,
            shadow=plan.shadow.version if plan.shadow else "",
            differences=self._differences(plan.live.package) if plan.live else (),
            next=(f"sampan service show {service}", f"sampan monitor show {service}")
            if live or not plan.live
            else (f"sampan service deploy {plan.live.version} {service}",),
        )

    def _differences(self, package: NodeId) -> tuple[str, ...]:
        from sampan.engine.environment import Environment, capture, differences

        file = self.ws.model.package_path(package) / "environment.json"
        if not file.exists():
            return ()
        return tuple(differences(read_json(file.read_bytes(), Environment), capture(self.ws.root)))

    def _fault(self, service: str) -> str:
        """Return why the newest routing could not be loaded, "" where it could."""
        told = [msgspec.json.decode(body) for _, body in self._ask_each(service, "GET", "/health", timeout_s=5.0)]
        return next((str(one["fault"]) for one in told if one.get("fault")), "")

    def _deployment(self, alias: str, node_id: NodeId, samples: Samples | None) -> Deployment:
        node = self.ws.catalog.node(node_id)
        version = str(node.facts["version"])
        counted = None if samples is None else int(_scored_rows(samples, version, alias))
        package = self.ws.catalog.node(str(node.facts["package"]))
        return Deployment(
            role=alias, model=version, package=f"package:{package.ref}", id=node.id, since=iso(node.created), predictions=counted
        )


def _check_share(share: float) -> float:
    if not 0 < share < 1:
        raise ParameterError(f"share is {share}, expected a number above 0 and below 1", hint="0.05 is 5 % of the keys")
    return share


def _scored_rows(samples: Samples, version: str, role: str) -> float:
    """Return how many rows a version scored in a role; a shadow's answer nobody, and are counted by themselves."""
    from sampan.serving.exposition import total

    if role == "shadow":
        return total(samples, "sampan_shadow_scored_rows_total", version=version)
    return total(samples, "sampan_predictions_total", version=version, role=role)


def _traffic(samples: Samples) -> Traffic:
    from sampan.serving.exposition import latency_quantile, total

    p50, p95 = latency_quantile(samples, 0.5), latency_quantile(samples, 0.95)
    return Traffic(
        requests=int(
            total(samples, "sampan_requests_total", route="/predict") + total(samples, "sampan_requests_total", route="/v2/models/")
        ),
        errors=int(total(samples, "sampan_errors_total")),
        predictions=int(total(samples, "sampan_predictions_total")),
        p50_ms=None if p50 is None else p50 * 1000,
        p95_ms=None if p95 is None else p95 * 1000,
        log_rows=int(total(samples, "sampan_log_written_rows_total")),
        log_dropped_rows=int(total(samples, "sampan_log_dropped_rows_total")),
        shadow_dropped_rows=int(total(samples, "sampan_shadow_dropped_rows_total")),
    )
