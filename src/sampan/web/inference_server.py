"""The process of one service: one event loop, one socket, the watch over its routing. `sampan serve NAME` runs it."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn
import uvloop

from sampan.core.refs import nearest
from sampan.errors import NotFound, Unavailable
from sampan.web.inference import InferenceApp
from sampan.web.inference_http import HttpEdge
from sampan.web.inference_log import ArrivalLog, PredictionLog
from sampan.web.inference_models import Follower, Watch
from sampan.workspace.log_rules import log_rules
from sampan.workspace.service_process import Liveness, ServiceFiles, announce, hold
from sampan.workspace.workspace import Workspace

GRACE_S = 20
_BACKLOG = 2048
_SWITCH_S = 0.0005


def serve(project: Path, name: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
    """Serve a service's live package until the process is told to stop; then finish the requests in hand and write the logs out.

    Raises
    ------
    NotFound : the project has no service of that name.
    AlreadyExists : another process serves it.
    Unavailable : the port is taken.
    """
    with Workspace.open(project, create=False) as workspace:
        known = [asset.name for asset in workspace.catalog.assets("service")]
        if name not in known:
            raise NotFound(
                f"no service called {name!r}", did_you_mean=nearest(name, known), hint="" if known else "sampan ship MODEL makes one"
            )
        files = ServiceFiles(workspace.store_folder, name)
        with hold(files, name), listen(host, port) as listener:
            uvloop.run(_run(workspace, name, listener, files))


async def _run(workspace: Workspace, name: str, listener: socket.socket, files: ServiceFiles) -> None:
    # The shadow and the log writer are threads; the loop must not wait 5 ms, the default, for each to let go.
    sys.setswitchinterval(_SWITCH_S)
    token = secrets.token_urlsafe(24)
    segments, rules = workspace.store.segments, log_rules(workspace)
    arrivals = ArrivalLog(segments, name, rules=rules)
    log = PredictionLog(segments, rules=rules, clock=workspace.clock)
    app = InferenceApp(name, log=log, arrivals=arrivals, token=token, clock=workspace.clock)
    follower = Follower(app, workspace, arrivals)
    watch = Watch(workspace, lambda: (follower,), moved=lambda: None)
    try:
        await follower.begin()
        watch.start()
        host, port = listener.getsockname()[:2]
        live = Liveness(service=name, pid=os.getpid(), host=host, port=port, token=token, started=workspace.clock())
        await serve_app(app, listener, ready=lambda: announce(files, live))
    finally:
        await watch.stop()
        await app.close()


async def serve_app(app: InferenceApp, listener: socket.socket, *, ready: Callable[[], object]) -> None:
    """Answer requests on a bound socket until SIGTERM or SIGINT; `ready` is called once it accepts them."""
    config = uvicorn.Config(
        app,
        http=HttpEdge(app),  # type: ignore[arg-type]  # any callable that makes a protocol
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=GRACE_S,
    )
    for wish in (signal.SIGTERM, signal.SIGINT):
        # uvicorn takes these while it serves and raises them again at its end, when the logs still have to be written out.
        signal.signal(wish, lambda *_: None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        ready()
    await serving


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket; port 0 finds a free one. Raises Unavailable where it is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as cause:
        raise Unavailable(f"cannot listen on {host}:{port}: {cause}", hint="choose another port; 0 finds a free one") from cause
    return listener
