"""Commands that stay in the foreground and answer HTTP: `ui`, `server` and `serve`.

They are processes, not operations: the command line finds them in the plug-in group `sampan.processes` and hands them the words typed.
"""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sampan.errors import ParameterError, StoreUnavailable

if TYPE_CHECKING:
    from sampan.web.security import Access

PORT = 4140


def ui(arguments: list[str], *, project: str, as_json: bool) -> int:
    """Open the pages on this machine."""

    @click.command("ui", help="Open the pages on this machine. Nobody else can reach them; see `sampan server` for that.")
    @click.option("--port", type=click.IntRange(0, 65535), default=None, help=f"port to listen on (default: {PORT}, or a free one)")
    def command(port: int | None) -> None:
        from sampan.web.security import Access

        _serve_pages("127.0.0.1", port, Access(), project=project, as_json=as_json)

    return _run(command, arguments, "sampan ui")


def server(arguments: list[str], *, project: str, as_json: bool) -> int:
    """Serve pages and API to others, behind a sign-in token."""

    @click.command("server", help="Serve pages and API to others. Everyone signs in with the token printed at the start.")
    @click.option("--host", default="127.0.0.1", show_default=True, help="address to listen on; 0.0.0.0 is every one")
    @click.option("--port", type=click.IntRange(0, 65535), default=None, help=f"port to listen on (default: {PORT}, or a free one)")
    @click.option("--allow-host", multiple=True, metavar="NAME", help="a host name people reach this server by; repeat for more")
    @click.option("--token", envvar="SAMPAN_TOKEN", default="", help="the sign-in token (default: $SAMPAN_TOKEN, or a new random one)")
    def command(host: str, port: int | None, allow_host: tuple[str, ...], token: str) -> None:
        from sampan.web.security import Access, is_loopback, new_token

        names = {socket.gethostname().lower(), *(name.lower() for name in allow_host)}
        access = Access(token=token or new_token(), names=frozenset(names), any_address=not is_loopback(host))
        _serve_pages(host, port, access, project=project, as_json=as_json)

    return _run(command, arguments, "sampan server")


def serve(arguments: list[str], *, project: str, as_json: bool) -> int:
    """Answer prediction requests with a service's deployed model."""
    del as_json  # it prints nothing

    @click.command("serve", help="Answer prediction requests in the foreground: for a service, or with a package's folder alone.")
    @click.argument("service", required=False)
    @click.option("--package", type=click.Path(path_type=Path), help="a package's folder, to be served without a project")
    @click.option("--log", type=click.Path(path_type=Path), help="with --package: a folder to keep predictions and true labels in")
    @click.option("--keys", type=click.Path(path_type=Path), help="with --package: a folder with a file for each caller, its key inside")
    @click.option("--open", "is_open", is_flag=True, help="with --package: ask nobody for a key, also those who come from elsewhere")
    @click.option("--all", "every", is_flag=True, help="answer for every service of the project, each loaded when it is first asked")
    @click.option("--models", is_flag=True, help="with --all: also for every packaged model, by the alias that sampan.toml names")
    @click.option("--workers", type=click.IntRange(1, 256), default=None, help="processes; from 2 on they are watched and replaced")
    @click.option("--tls-cert", default="", help="a PEM certificate's file: answer over TLS")
    @click.option("--tls-key", default="", help="its key's file")
    @click.option("--grpc-port", type=click.IntRange(0, 65535), default=None, help="answer gRPC on this port, too; 0 finds a free one")
    @click.option("--host", default="", help="address to listen on (default: [serving] of sampan.toml, else 127.0.0.1)")
    @click.option("--port", type=click.IntRange(0, 65535), default=0, help="port to listen on (default: a free one)")
    def command(service: str | None, package: Path | None, host: str, port: int, **more: Any) -> None:
        alone = {name: more.pop(name) for name in ("log", "keys", "is_open")}
        if [service is not None, package is not None, more["every"]].count(True) != 1:
            raise ParameterError(
                "serve a SERVICE of this project, all of them (--all), or a folder: --package FOLDER",
                hint="sampan service list shows services",
            )
        from sampan.web.inference.server_log import tell_with_moments

        tell_with_moments()
        if package is not None:
            from sampan.web.inference.package import PackageServing, serve_package

            how = PackageServing(host=host or "127.0.0.1", port=port, log=alone["log"], keys=alone["keys"], open=alone["is_open"])
            return serve_package(package, how)
        if any(alone.values()):
            raise ParameterError(
                "--log, --keys and --open go with --package: a service has its log and keys in its store", hint="see `sampan service`"
            )
        from sampan.web.inference.server import serve as serve_service
        from sampan.workspace.services.process import EVERY
        from sampan.workspace.workspace import Workspace

        if service is not None:
            with Workspace.open(project, create=False) as workspace:
                workspace.service.require_allowed(service)
        tls = (more["tls_cert"], more["tls_key"]) if more["tls_cert"] or more["tls_key"] else ()
        name = service if service is not None else EVERY
        served = {"workers": more["workers"], "models": more["models"], "grpc_port": more["grpc_port"]}
        return serve_service(Path(project), name, host=host, port=port, tls=tls, **served)

    return _run(command, arguments, "sampan serve")


def _run(command: click.Command, arguments: list[str], name: str) -> int:
    code = command.main(args=arguments, prog_name=name, standalone_mode=False)
    return code if isinstance(code, int) else 0


def _serve_pages(host: str, port: int | None, access: Access, *, project: str, as_json: bool) -> None:
    import uvicorn

    from sampan.core.answers import to_json
    from sampan.web.app import create_app
    from sampan.web.progress import KeptProgress
    from sampan.workspace.workspace import Workspace

    with Workspace.open(project, progress=KeptProgress()) as workspace, listen(host, port) as listening:
        bound = listening.getsockname()[1]
        shown = host if host not in ("0.0.0.0", "::") else socket.gethostname()  # noqa: S104  # compared, not bound
        url = f"http://{f'[{shown}]' if ':' in shown else shown}:{bound}/" + (f"?token={access.token}" if access.token else "")
        app = create_app(workspace, access=access)
        if as_json:
            sys.stdout.write(to_json({"url": url, "project": workspace.root, "port": bound}).decode() + "\n")
        else:
            sys.stdout.write(f"{workspace.root.name} is at {url}\nCtrl-C stops it.\n")
        sys.stdout.flush()
        config = uvicorn.Config(app, log_level="warning", lifespan="on", server_header=False, timeout_graceful_shutdown=5)
        with suppress(KeyboardInterrupt):  # the customary way to stop a server
            uvicorn.Server(config).run(sockets=[listening])


def listen(host: str, port: int | None) -> socket.socket:
    """Bind and listen. Without a port, take the customary one, or a free one where that is taken.

    Raises
    ------
    ParameterError : `host` is no address of this machine.
    StoreUnavailable : the port is taken.
    """
    try:
        return _bound(host, PORT if port is None else port)
    except OSError as cause:
        if port is None:
            return _bound(host, 0)
        raise StoreUnavailable(f"cannot listen on {host}:{port}: {cause.strerror}", hint="give another --port") from cause


def _bound(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except socket.gaierror as cause:
        raise ParameterError(f"--host: {host!r} is no address of this machine", parameter="host", hint=str(cause.strerror)) from cause
    return socket.create_server((host, port), family=family, backlog=128)
