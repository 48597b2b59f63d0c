"""The process of a prediction server: one event loop, its sockets, the watch over the graph. `sampan serve NAME` runs it.

With several workers this process only watches over them (`inference_workers`), and each of them runs `run_worker`.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import resource
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from sampan.core.refs import nearest
from sampan.errors import AccessDenied, NotFound, ParameterError, Unavailable
from sampan.serving.callers import RateLimiter
from sampan.web.inference.accounts import MARK_BYTES
from sampan.web.inference.app import InferenceApp
from sampan.web.inference.host import Gate, Host, Loaded
from sampan.web.inference.http import HttpEdge
from sampan.web.inference.log import ArrivalLog, PredictionLog
from sampan.web.inference.models import Follower, Watch
from sampan.web.inference.pilot import Pilot
from sampan.web.inference.plan import GRACE_S, ServerPlan, Worker, listen
from sampan.web.inference.scoring import Limits
from sampan.web.inference.traces import exporter_of
from sampan.workspace.services import process
from sampan.workspace.services.keys import key_ring
from sampan.workspace.services.log_rules import log_rules
from sampan.workspace.services.process import EVERY, Liveness, ServiceFiles, announce, hold
from sampan.workspace.workspace import Workspace

if TYPE_CHECKING:
    from sampan.web.inference.grpc import GrpcEdge

_BACKLOG = 2048
SWITCH_S = 0.0005
_MEGABYTE = 1 << 20
_MOST_FILES = 65_536


def serve(
    project: Path,
    name: str,
    *,
    host: str = "",
    port: int = 0,
    workers: int | None = None,
    models: bool = False,
    tls: Sequence[str] = (),
    grpc_port: int | None = None,
) -> None:
    """Serve until the process is told to stop; then finish the requests in hand and write the logs out.

    Parameters
    ----------
    name : a service, or EVERY for all of them, each loaded when it is first asked for
    host, workers, tls : by default what [serving] of sampan.toml says; `tls` is a certificate's file and its key's
    grpc_port : where to answer gRPC, too; by default what [serving] says; 0 finds a free one
    models : with EVERY, answer for models without a service, too, by their alias

    Raises
    ------
    NotFound : the project has no service of that name.
    AlreadyExists : another process serves it.
    AccessDenied : the address is beyond loopback, and there is no key.
    Unavailable : the port is taken.
    """
    with Workspace.open(project, create=False) as workspace:
        said = workspace.project.serving
        cert, key = (*tls, "", "")[:2] if tls else (said.tls_cert, said.tls_key)
        plan = ServerPlan(
            project=str(workspace.root),
            name=name,
            models=models,
            host=host or said.host,
            port=port,
            workers=workers or said.workers,
            tls_cert=cert,
            tls_key=key,
            grpc_port=said.grpc_port if grpc_port is None else grpc_port,
        )
        _check(workspace, plan)
        files = ServiceFiles(workspace.store_folder, name)
        with hold(files, name):
            if plan.workers > 1:
                from sampan.web.inference.workers import Supervisor

                Supervisor(workspace, plan, files).run()
                return
            with listen(plan.host, plan.port) as listener:
                uvloop.run(_run(workspace, plan, listener, files, token=secrets.token_urlsafe(24)))


def run_worker(worker: Worker, descriptor: int) -> None:
    """Run one of several processes of a server, on the listening socket of this number."""
    with Workspace.open(worker.plan.project, create=False) as workspace:
        files = ServiceFiles(workspace.store_folder, worker.plan.name)
        listener = socket.socket(fileno=descriptor)
        try:
            with listener, listen("127.0.0.1", 0) as control:
                uvloop.run(_run(workspace, worker.plan, listener, files, token=worker.token, worker=worker, control=control))
        finally:
            files.worker(worker.number).unlink(missing_ok=True)


def _check(workspace: Workspace, plan: ServerPlan) -> None:
    known = [asset.name for asset in workspace.catalog.assets("service")]
    if plan.name not in (*known, EVERY):
        raise NotFound(
            f"no service called {plan.name!r}", did_you_mean=nearest(plan.name, known), hint="" if known else "sampan ship MODEL makes one"
        )
    if not plan.is_loopback and not key_ring(workspace.catalog).asked_for:
        raise AccessDenied(f"{plan.host} is reached by others, and there is no key", hint="sampan service key add CALLER")
    if bool(plan.tls_cert) != bool(plan.tls_key):
        raise ParameterError("a certificate and its key go together", parameter="tls_cert", hint="--tls-cert FILE --tls-key FILE")
    if plan.workers > 1 and plan.grpc_port == 0:
        raise ParameterError("several processes share one port for gRPC", parameter="grpc_port", hint="name it: --grpc-port 8001")
    for file in filter(None, (plan.tls_cert, plan.tls_key)):
        if not Path(file).is_file():
            raise ParameterError(f"there is no file {file}", parameter="tls_cert", hint="give the paths of a PEM certificate and its key")


async def _run(
    workspace: Workspace,
    plan: ServerPlan,
    listener: socket.socket,
    files: ServiceFiles,
    *,
    token: str,
    worker: Worker | None = None,
    control: socket.socket | None = None,
) -> None:
    # The shadow and the log writer are threads; the loop must not wait 5 ms, the default, for each to let go.
    sys.setswitchinterval(SWITCH_S)
    _allow_many_files()
    until_the_end = ExitStack()
    log = PredictionLog(workspace.store.segments, rules=log_rules(workspace), clock=workspace.clock)
    host = _host(workspace, plan, log, token=token, worker=worker, marker=_marker(files, worker, until_the_end))
    host.tracer = tracer = exporter_of(workspace.project.traces, service=workspace.project.project.name or "sampan")
    if tracer is not None:
        until_the_end.callback(tracer.close)
    watch = Watch(workspace, host.followers, moved=lambda: _read_keys(workspace, plan, host.gate))
    watch.shares_feeds = worker is not None
    pilot = Pilot(workspace, host.names) if worker is None else None
    if worker is not None:
        host.siblings = partial(_siblings_metrics, files, worker)
    try:
        _read_keys(workspace, plan, host.gate)
        if plan.name != EVERY:
            await host.load(plan.name)
        watch.start()
        grpc, grpc_port = await _grpc(host, plan)

        def ready() -> None:
            address = (control or listener).getsockname()[:2]
            announce(
                files,
                Liveness(
                    service=plan.name,
                    pid=os.getpid(),
                    host=address[0],
                    port=address[1],
                    token=token,
                    started=workspace.clock(),
                    tls=bool(plan.tls_cert),
                    grpc_port=grpc_port,
                    worker=worker.number if worker else None,
                ),
            )
            if pilot is not None:
                pilot.start()

        sockets = [listener, control] if control is not None else [listener]
        try:
            await serve_app(host, sockets, ready=ready, cert=plan.tls_cert, key=plan.tls_key)
        finally:
            if grpc is not None:
                await grpc.stop(GRACE_S)
    finally:
        if pilot is not None:
            await asyncio.to_thread(pilot.stop)
        await watch.stop()
        await host.close()
        await asyncio.to_thread(log.close)
        until_the_end.close()


async def _grpc(host: Host, plan: ServerPlan) -> tuple[GrpcEdge | None, int]:
    """Begin to answer gRPC where that is wanted; return the port."""
    if plan.grpc_port is None:
        return None, 0
    from sampan.web.inference.grpc import GrpcEdge

    edge = GrpcEdge(host, body_bytes=host.limits.body_bytes)
    return edge, await edge.start(plan.host, plan.grpc_port, cert=plan.tls_cert, key=plan.tls_key)


def _host(
    workspace: Workspace, plan: ServerPlan, log: PredictionLog, *, token: str, worker: Worker | None, marker: mmap.mmap | None
) -> Host:
    said = workspace.project.serving
    limits = Limits(body_bytes=said.body_mb * _MEGABYTE, concurrency=said.concurrency, queue=said.queue, timeout_s=said.timeout_s)
    alias = said.alias if plan.models else ""

    async def open_service(name: str) -> Loaded:
        arrivals = ArrivalLog(workspace.store.segments, name, rules=log_rules(workspace))
        app = InferenceApp(name, log=log, arrivals=arrivals, token=token, limits=limits, clock=workspace.clock)
        app.scorer.mark_in(marker)
        app.scorer.suspects = frozenset(worker.suspects) if worker is not None else frozenset()
        follower = Follower(app, workspace, arrivals, plan=partial(workspace.service.routing_plan, alias=alias))
        if worker is not None:
            app.scorer.catch_up = follower.catch_up
        await follower.begin()
        return Loaded(app, follower, follower.size_bytes)

    def known() -> list[str]:
        kinds = ("service", "model") if alias else ("service",)
        return sorted({asset.name for kind in kinds for asset in workspace.catalog.assets(kind)})

    return Host(
        gate=Gate(token=token, rates=RateLimiter(said.rate, share=1 / (worker.of if worker else 1)), clock=workspace.clock),
        open_service=open_service,
        known=known,
        only="" if plan.name == EVERY else plan.name,
        limits=limits,
        memory_bytes=said.memory_mb * _MEGABYTE,
    )


def _allow_many_files() -> None:
    """Take as many open files as the machine allows: each connection is one, and each model's log."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _read_keys(workspace: Workspace, plan: ServerPlan, gate: Gate) -> None:
    gate.keys = key_ring(workspace.catalog, asked_for=not plan.is_loopback)


def _marker(files: ServiceFiles, worker: Worker | None, until_the_end: ExitStack) -> mmap.mmap | None:
    if worker is None:
        return None
    path = files.marker(worker.number)
    path.write_bytes(b" " * MARK_BYTES)
    file = until_the_end.enter_context(path.open("r+b"))
    return until_the_end.enter_context(mmap.mmap(file.fileno(), MARK_BYTES))


async def _siblings_metrics(files: ServiceFiles, worker: Worker) -> list[str]:
    """Return the metrics of the server's other processes, and of those that are no more."""
    own = Liveness(service=worker.plan.name, pid=os.getpid(), host="", port=0, token=worker.token, started=0)
    others = [one for one in process.processes(files, own) if one.worker not in (None, worker.number)]

    def ask(one: Liveness) -> str:
        try:
            status, body = process.ask(one, "GET", "/metrics", timeout_s=2.0)
        except Unavailable:  # it is being replaced
            return ""
        return body.decode() if status == 200 else ""

    pages = await asyncio.gather(*(asyncio.to_thread(ask, one) for one in others))
    departed = files.departed.read_text() if files.departed.exists() else ""
    return [page for page in (*pages, departed) if page]


async def serve_app(
    app: InferenceApp | Host, sockets: socket.socket | list[socket.socket], *, ready: Callable[[], object], cert: str = "", key: str = ""
) -> None:
    """Answer requests on bound sockets until SIGTERM or SIGINT; `ready` is called once it accepts them."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # the edge below calls it, uvicorn does not
        http=HttpEdge(app),  # type: ignore[arg-type]  # any callable that makes a protocol
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=cert or None,
        ssl_keyfile=key or None,
    )
    for wish in (signal.SIGTERM, signal.SIGINT):
        # uvicorn takes these while it serves and raises them again at its end, when the logs still have to be written out.
        signal.signal(wish, lambda *_: None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=sockets if isinstance(sockets, list) else [sockets]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        ready()
    await serving
