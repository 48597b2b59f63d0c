"""What the verbs of the service room share: which package a reference means, moving it between roles, the server that follows."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from sampan.core.events import Event, new_id
from sampan.core.graph import Node, NodeId
from sampan.core.refs import nearest
from sampan.errors import NotFound, ParameterError, SampanError, Unavailable
from sampan.workspace.operation import Room
from sampan.workspace.services import process
from sampan.workspace.services.process import Liveness
from sampan.workspace.services.routing import ALIASES, Deployed, Planned, RoutingPlan, planned_routing, routed

if TYPE_CHECKING:
    from sampan.serving.exposition import Samples
    from sampan.workspace.services.process import ServiceFiles


class Served(msgspec.Struct, frozen=True):
    """One process that answers for a service, and where in it."""

    live: Liveness
    prefix: str = ""

    def ask(self, method: str, path: str, *, timeout_s: float) -> tuple[int, bytes]:
        """Send it one request; return status and body. Raises Unavailable."""
        return process.ask(self.live, method, self.prefix + path, timeout_s=timeout_s)


class ServiceRoom(Room):
    """Ground that the service room's verbs stand on."""

    noun = "service"

    def _move(
        self,
        service: str,
        package: Node,
        role: str,
        held: NodeId | None,
        before: dict[str, NodeId],
        *,
        share: float | None = None,
        reason: str,
        besides: tuple[Event, ...] = (),
    ) -> None:
        """Put a package into a role: by the deployment it has already (`held`), or a new one; `besides` is recorded in the same instant."""
        node = held or new_id()
        after = {alias: target for alias, target in before.items() if target != node}
        if role == "live" and "live" in before:
            after["previous"] = before["live"]
        after[role] = node
        if held is not None:
            self._route(service, before, after, share=share, reason=reason, besides=besides)
            return
        version = self._version(package)
        facts = {"package": package.id, "version": version, "environment": package.facts.get("environment", "")}
        deployed = Deployed(node=node, service=service, package=package.id, model=version, role=role, facts=facts)
        moved = routed(service, before, after, states=self._states(before), share=share, reason=reason)
        self.ws.ledger.append(deployed, moved, *besides, reason=reason)

    def _route(
        self,
        service: str,
        before: dict[str, NodeId],
        after: dict[str, NodeId],
        *,
        share: float | None = None,
        reason: str,
        besides: tuple[Event, ...] = (),
    ) -> None:
        moved = routed(service, before, after, states=self._states({**before, **after}), share=share, reason=reason)
        self.ws.ledger.append(moved, *besides, reason=reason)

    def _states(self, aliases: dict[str, NodeId]) -> dict[NodeId, str]:
        return {node: self.ws.catalog.node(node).state for node in set(aliases.values())}

    def _follow(self, service: str, before: dict[str, NodeId], *, port: int = 0) -> None:
        """Make the running server look at the routing now, or start one. If it cannot load what it should, route as `before`.

        Raises
        ------
        Unavailable : the server could not load a package, or not start; it goes on with what it had.
        """
        try:
            if self._served(service) is None:
                self._ensure_running(service, port)
                return
            answers = self._ask_each(service, "POST", "/admin/reload", timeout_s=process.READY_S)
            if not answers:
                raise Unavailable(f"the server of {service} does not answer", hint=f"sampan service show {service}")
            for status, body in answers:
                if status != 200:
                    raise Unavailable(f"the server of {service} refused to reload: {body.decode(errors='replace')}")
                if fault := msgspec.json.decode(body)["fault"]:
                    raise Unavailable(f"the server of {service} could not load it and goes on with what it had: {fault}")
        except Unavailable:
            if "live" in before:
                self._route(service, self._aliases(service), before, reason="the server could not follow")
                self._ask_each(service, "POST", "/admin/reload", timeout_s=process.READY_S)  # some of its processes may have followed
            raise

    def _ensure_running(self, service: str, port: int) -> bool:
        """Start the server unless it runs; say whether that was needed."""
        if self._served(service) is not None:
            return False
        with self.ws.progress.stage(f"starting the server of {service}"):
            process.start(self._files(service), process.server_command(self.ws.root, service, port=port))
        return True

    def _served(self, service: str) -> list[Served] | None:
        """Return every process that answers for a service: of its own server, or of the one that answers for all; None where none runs."""
        for name, prefix in ((service, ""), (process.EVERY, f"/services/{quote(service, safe='')}")):
            files = process.ServiceFiles(self.ws.store_folder, name)
            if (live := process.find(files)) is not None:
                return [Served(one, prefix) for one in process.processes(files, live)]
        return None

    def _counted(self, service: str) -> Samples | None:
        """Add up the counters of all of a service's processes, also of those that are no more; None where none answers."""
        from sampan.serving.exposition import parse
        from sampan.serving.merged_metrics import added_up

        pages = [body.decode() for status, body in self._ask_each(service, "GET", "/metrics", timeout_s=5.0) if status == 200]
        departed = process.ServiceFiles(self.ws.store_folder, service).departed
        if pages and departed.exists():
            pages.append(departed.read_text())
        return added_up([parse(page) for page in pages]) if pages else None

    def _ask_each(self, service: str, method: str, path: str, *, timeout_s: float) -> list[tuple[int, bytes]]:
        """Ask every process of a service. One that does not answer is left out: it is being replaced, and reads the graph then."""
        answers = []
        for one in self._served(service) or ():
            with suppress(Unavailable):
                answers.append(one.ask(method, path, timeout_s=timeout_s))
        return answers

    def _package(self, ref: str) -> Node:
        """Return the package a reference means: itself, or the newest one made of that model."""
        try:
            found = self.ws.catalog.resolve(ref)
        except SampanError:
            found = self.ws.catalog.resolve(ref, kind="model")
        if found.kind == "package":
            return found
        if found.kind != "model":
            raise ParameterError(f"{ref} is a {found.kind}, a service needs a model or a package", hint="sampan model list")
        made = [self.ws.catalog.node(edge.dst) for edge in self.ws.catalog.edges_from(found.id) if edge.role == "packaged_as"]
        packages = [node for node in made if node.kind == "package"]
        if not packages:
            raise NotFound(f"{found.ref} has no package yet", hint=f"sampan model pack {found.ref}")
        return max(packages, key=lambda node: node.created)

    def _require_allowed(self, package: Node) -> None:
        """Refuse to serve a model for a purpose, in a region or on a day that the terms of its data forbid."""
        from sampan.workspace.governing.governance import require_allowed

        models = [self.ws.catalog.node(edge.src) for edge in self.ws.catalog.edges_to(package.id) if edge.role == "packaged_as"]
        purpose = next((str(model.facts.get("purpose", "")) for model in models), "")
        require_allowed(self.ws, [package], purpose=purpose, act="serve")

    def _version(self, package: Node) -> str:
        """Return what answers call a package: the reference of its model."""
        if model := package.facts.get("model"):
            return str(model)
        return package.ref

    def routing_plan(self, name: str, *, alias: str = "") -> RoutingPlan:
        """Return what a server should answer with by a name: a service's routing, else, with `alias`, the model version that has it.

        Raises
        ------
        NotFound : there is no such service, nor a packaged model with that alias.
        PolicyRefused : the terms of its data forbid to serve the model.
        """
        if self._aliases(name):
            return planned_routing(self.ws.catalog, name)
        if not alias:
            raise NotFound(f"no service called {name!r}", hint="sampan service list")
        try:
            package = self._package(f"{name}@{alias}")
        except NotFound as missing:
            raise NotFound(f"no service and no packaged model {name}@{alias}", hint=missing.hint) from missing
        self._require_allowed(package)
        return RoutingPlan(live=Planned(deployment=package.id, package=package.id, version=self._version(package)))

    def _aliases(self, service: str) -> dict[str, NodeId]:
        return {alias: node for alias, node in self.ws.catalog.aliases("deployment", service).items() if alias in ALIASES}

    def _known(self, service: str) -> dict[str, NodeId]:
        """Return the aliases of a service that exists, or raise NotFound with the nearest names."""
        if aliases := self._aliases(service):
            return aliases
        known = [asset.name for asset in self.ws.catalog.assets("service")]
        raise NotFound(
            f"no service called {service!r}", did_you_mean=nearest(service, known), hint="" if known else "sampan ship MODEL makes one"
        )

    def _need(self, aliases: dict[str, NodeId], alias: str, service: str) -> Node:
        if alias not in aliases:
            raise NotFound(f"{service} has no {alias} model", hint=f"sampan service show {service}")
        return self.ws.catalog.node(aliases[alias])

    def _node_of(self, aliases: dict[str, NodeId], alias: str) -> Node | None:
        return self.ws.catalog.node(aliases[alias]) if alias in aliases else None

    def _deploys(self, aliases: dict[str, NodeId], role: str, package: Node) -> bool:
        node = self._node_of(aliases, role)
        return node is not None and node.facts["package"] == package.id

    def _files(self, service: str) -> ServiceFiles:
        return process.ServiceFiles(self.ws.store_folder, service)
