"""What serving a package takes, measured by serving it: seconds to the first answer, memory, processor time and latency of single requests.

The server is started as a container starts it, on this machine's loopback, and asked the package's own probe set.
"""

from __future__ import annotations

import http.client
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from sampan.errors import Unavailable
from sampan.packaging.packages import probe_rows

READY_S: Final = 60.0
CALLS: Final = 400
_ONE_THREAD: Final = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What serving took."""

    start_s: float  # from nothing to the first answer
    rss_mb: float  # at its highest
    cpu_ms: float  # of the processor, for a request
    p50_ms: float
    p99_ms: float


def measure_serving(package: Path) -> Taken:
    """Serve a package, ask its probe set row by row over one connection, and say what it took.

    Raises
    ------
    Unavailable : the server did not start, or refused a request of the probe set.
    """
    requests = [msgspec.json.encode(row) for row in probe_rows(package)]
    begun = time.perf_counter()
    with _served(package) as (server, address):
        connection = http.client.HTTPConnection(*address, timeout=READY_S)
        _ask(connection, requests[0])
        start_s = time.perf_counter() - begun
        before, seconds = _cpu_s(server.pid), []
        for call in range(CALLS):
            asked = time.perf_counter()
            _ask(connection, requests[call % len(requests)])
            seconds.append(time.perf_counter() - asked)
        cpu_s = _cpu_s(server.pid) - before
        connection.close()
        peak_mb = _peak_mb(server.pid)
    seconds.sort()
    return Taken(
        start_s=start_s,
        rss_mb=peak_mb,
        cpu_ms=cpu_s / CALLS * 1000,
        p50_ms=seconds[CALLS // 2] * 1000,
        p99_ms=seconds[CALLS * 99 // 100] * 1000,
    )


@contextmanager
def _served(package: Path) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    command = [sys.executable, "-m", "sampan", "serve", "--package", str(package), "--port", "0"]
    server = subprocess.Popen(command, env={**os.environ, **_ONE_THREAD}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield server, _address(server)
    finally:
        server.kill()
        server.communicate()


def _address(server: subprocess.Popen[str]) -> tuple[str, int]:
    """Read where a server says that it answers."""
    assert server.stdout is not None
    readable, _, _ = select.select([server.stdout], [], [], READY_S)
    said = server.stdout.readline() if readable else ""
    if "http://" not in said:
        server.kill()
        raise Unavailable(
            f"the package could not be served: {server.communicate()[1].strip() or 'no answer'}", hint="sampan serve --package FOLDER"
        )
    host, _, port = said.rstrip().rpartition("http://")[2].rpartition(":")
    return host, int(port)


def _ask(connection: http.client.HTTPConnection, body: bytes) -> None:
    connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    said = reply.read()
    if reply.status != 200:
        raise Unavailable(f"a request of the probe set was refused: {said.decode(errors='replace')}", hint="sampan model verify MODEL")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
