"""A service's server process: started detached, known by a liveness file and a lock, asked over HTTP, stopped by signal.

The lock, held by the server for life, says whether it is alive: a pid in a file may since belong to someone else.
"""

from __future__ import annotations

import fcntl
import glob
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

import msgspec

from sampan.core.decoding import read_json
from sampan.core.times import Millis
from sampan.errors import AlreadyExists, Unavailable

READY_S = 60.0
STOP_S = 30.0
EVERY = "*"  # the server that answers for every service
_POLL_S = 0.05
_TRIES = 5
_LOG_TAIL = 2000
_ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Liveness(msgspec.Struct, frozen=True):
    """What a running server says of itself. Readable by its owner alone, since it holds the token."""

    service: str
    pid: int
    host: str
    port: int
    token: str
    started: Millis
    tls: bool = False
    grpc_port: int = 0  # 0: it does not answer gRPC
    worker: int | None = None  # its number, where a server has several processes; its address is then for this machine's commands

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"


class ServiceFiles:
    """The files of one service's process, under the store's folder."""

    def __init__(self, store_folder: Path, service: str) -> None:
        self.folder = store_folder / "services"
        stem = quote(service, safe="")
        self.liveness = self.folder / f"{stem}.json"
        self.lock = self.folder / f"{stem}.lock"
        self.log = self.folder / f"{stem}.log"
        self._stem = stem

    def worker(self, number: int) -> Path:
        """Return where a worker says that it lives."""
        return self.folder / f"{self._stem}.worker-{number}"

    @property
    def departed(self) -> Path:
        """Where the counts of workers that are no more are kept, so that a sum over workers never falls."""
        return self.folder / f"{self._stem}.departed"

    def marker(self, number: int) -> Path:
        """Return where a worker notes which package it is running."""
        return self.folder / f"{self._stem}.marker-{number}"

    def workers(self) -> list[Path]:
        """Return what workers said."""
        return sorted(self.folder.glob(f"{glob.escape(self._stem)}.worker-*"))


@contextmanager
def hold(files: ServiceFiles, service: str) -> Iterator[None]:
    """Be the one server of a service until the block ends. Raises AlreadyExists if there is one."""
    files.folder.mkdir(parents=True, exist_ok=True)
    with files.lock.open("w") as lock:
        _take(lock, service)
        try:
            yield
        finally:
            files.liveness.unlink(missing_ok=True)


def _take(lock: IO[str], service: str) -> None:
    for _ in range(_TRIES):  # `find` holds the lock for an instant, too
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_POLL_S)
        else:
            return
    raise AlreadyExists(f"a server for {service!r} is running already", hint=f"sampan service show {service}")


def announce(files: ServiceFiles, live: Liveness) -> None:
    """Write the liveness file of a server or of one of its workers; a reader sees the old one or the new one, whole."""
    place = files.liveness if live.worker is None else files.worker(live.worker)
    part = files.folder / f".{place.name}.{os.urandom(4).hex()}"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(live))
    part.replace(place)


def find(files: ServiceFiles) -> Liveness | None:
    """Return the running server, or None if there is none: never started, stopped, or dead."""
    try:
        live = read_json(files.liveness.read_bytes(), Liveness)
        with files.lock.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return live
    except (OSError, msgspec.DecodeError):
        return None
    return None


def processes(files: ServiceFiles, live: Liveness) -> list[Liveness]:
    """Return whom to ask about a running server: its workers if it has any, else itself."""
    found = []
    for path in files.workers():
        with suppress(OSError, msgspec.DecodeError):
            one = read_json(path.read_bytes(), Liveness)
            if one.token == live.token:  # else of a server before this one
                found.append(one)
    return found or [live]


def start(files: ServiceFiles, command: Sequence[str]) -> Liveness:
    """Start a detached server and wait until it is ready.

    Raises
    ------
    Unavailable : it ended, or was not ready in time; the message carries the end of its log.
    """
    files.folder.mkdir(parents=True, exist_ok=True)
    files.liveness.unlink(missing_ok=True)  # of a server that was killed
    begun = files.log.stat().st_size if files.log.exists() else 0
    pid = _spawn(command, files.log)
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if (code := _exit_code(pid)) is not None:
            raise Unavailable(f"the server ended with exit code {code}: {_tail(files.log, begun)}", hint=f"its log: {files.log}")
        live = find(files)
        if live is not None and live.pid == pid and is_ready(live):
            return live
        time.sleep(_POLL_S)
    _signal(pid, signal.SIGKILL)
    raise Unavailable(f"the server was not ready after {READY_S:.0f} s: {_tail(files.log, begun)}", hint=f"its log: {files.log}")


def stop(files: ServiceFiles, live: Liveness) -> None:
    """Ask a server to finish what it has and end; insist when it does not."""
    for wish, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S)):
        _signal(live.pid, wish)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if find(files) is None:
                with suppress(ChildProcessError):
                    os.waitpid(live.pid, os.WNOHANG)  # where it was our child, it would stay a zombie
                return
            time.sleep(_POLL_S)
    raise Unavailable(f"process {live.pid} does not end", hint=f"kill -9 {live.pid}")


def ask(live: Liveness, method: str, path: str, *, body: bytes = b"", timeout_s: float = 30.0) -> tuple[int, bytes]:
    """Send one request to a server, with its token; return status and body. Raises Unavailable."""
    import http.client
    import ssl

    connection = http.client.HTTPConnection(live.host, live.port, timeout=timeout_s)
    if live.tls:
        # The address is this machine's own, from a file that only its owner can write; the name in the certificate is another one.
        unverified = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection(live.host, live.port, timeout=timeout_s, context=unverified)
    try:
        connection.request(method, path, body=body or None, headers={"Authorization": f"Bearer {live.token}"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as cause:
        raise Unavailable(f"{live.service!r} at {live.url} does not answer: {cause}", hint=f"sampan service show {live.service}") from cause
    finally:
        connection.close()


def is_ready(live: Liveness) -> bool:
    """Say whether a server is ready to predict."""
    try:
        return ask(live, "GET", "/v2/health/ready", timeout_s=5.0)[0] == 200
    except Unavailable:
        return False


def server_command(project: Path, service: str, *, host: str = "", port: int = 0) -> list[str]:
    """Return the command that runs a service's server in the foreground; without a host, at the address sampan.toml names."""
    address = ["--host", host] if host else []
    return [sys.executable, "-m", "sampan", "serve", service, "--project", str(project), *address, "--port", str(port)]


def _spawn(command: Sequence[str], log: Path) -> int:
    """Start a process in a session of its own that outlives this one, and return its pid."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], list(command), {**os.environ, **_ONE_THREAD}, file_actions=actions, setsid=True)


def _exit_code(pid: int) -> int | None:
    """Return how our child ended, or None while it runs."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _signal(pid: int, wish: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, wish)


def _tail(log: Path, begun: int) -> str:
    with log.open("rb") as file:
        file.seek(begun)
        return file.read()[-_LOG_TAIL:].decode(errors="replace").strip() or "it said nothing"
