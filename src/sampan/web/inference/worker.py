"""Where the processes of a prediction server come from: `python -m sampan.web.inference.worker`, which `nursery.py` starts and asks.

It imports all that serving needs, once, and forks a worker each time it is asked for one. What it imported stays one copy in memory, and a
worker that takes the place of another need not import anything. It has one thread, so forking is safe.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
import time
import traceback
from typing import Final, NoReturn

from sampan.core.decoding import read_json
from sampan.errors import Unavailable
from sampan.web.inference.plan import ID_BYTES, NOT_FORKED, Worker

MOST_TOLD: Final = 1 << 20  # bytes of what a worker is told
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_POLL_S, _HANDED_ON_S = 0.001, 10.0


def main() -> NoReturn:
    """Fork a worker for each message, until the other end closes."""
    watcher = os.getppid()
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal it reaches everyone: the watcher ends all in order
    asked = socket.socket(fileno=int(sys.argv[1]))
    _import_all()
    gc.collect()
    gc.freeze()  # a collection in a worker would write to every object, and so copy its page
    while True:
        told, descriptors, _, _ = socket.recv_fds(asked, MOST_TOLD, 1)
        if not told:
            os._exit(0)
        asked.send(_forked(told, descriptors[0], asked, watcher).to_bytes(ID_BYTES))
        os.close(descriptors[0])


def _import_all() -> None:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # which numpy would start at import, and threads do not outlive a fork
    from sampan.plugins import require
    from sampan.web.inference import server
    from sampan.web.inference.server_log import tell_with_moments
    from sampan.workspace.models import package_files, predictors

    require("onnxruntime", extra="train")
    del server, package_files, predictors
    tell_with_moments()


def _forked(told: bytes, descriptor: int, asked: socket.socket, watcher: int) -> int:
    """Fork a worker that is the watcher's child: what forks it ends at once, and the kernel hands it on. Return its process id."""
    reading, writing = os.pipe()
    try:
        between = os.fork()
        if between == 0:
            os.close(reading)
            _fork_on(told, descriptor, asked, watcher, writing)
        os.close(writing)
        os.waitpid(between, 0)
        return int.from_bytes(os.read(reading, ID_BYTES))
    except OSError:
        traceback.print_exc()
        return NOT_FORKED
    finally:
        os.close(reading)


def _fork_on(told: bytes, descriptor: int, asked: socket.socket, watcher: int, writing: int) -> NoReturn:
    try:
        worker = os.fork()
    except OSError:
        traceback.print_exc()
        os._exit(1)
    if worker == 0:
        asked.close()
        os.close(writing)
        _work(told, descriptor, watcher)
    os.write(writing, worker.to_bytes(ID_BYTES))
    os._exit(0)


def _work(told: bytes, descriptor: int, watcher: int) -> NoReturn:
    """Be a worker, to the end of this process."""
    code = 0
    try:
        from sampan.web.inference.server import run_worker

        _wait_for_parent(watcher)
        _end_with_parent()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run_worker(read_json(told, Worker), descriptor)
    except BaseException:  # noqa: BLE001  # a process's edge
        traceback.print_exc()
        code = 1
    # Every log is written. A model that hangs in a thread would keep Python, or the libraries' own end, from coming to it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _wait_for_parent(watcher: int) -> None:
    """Wait until this process was handed on, which takes a moment. Raises Unavailable where who watches is gone."""
    deadline = time.monotonic() + _HANDED_ON_S
    while os.getppid() != watcher:
        if time.monotonic() > deadline:
            raise Unavailable("who watches over this worker is gone")
        time.sleep(_POLL_S)


def _end_with_parent() -> None:
    """Have the kernel ask this process to end when the one that watches is gone, however that ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main()
