"""One of several processes of a prediction server: `python -m sampan.web.inference.worker`, told what to do by its environment."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import NoReturn

from sampan.core.decoding import read_json

PLAN = "SAMPAN_WORKER"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> NoReturn:
    """Run the worker that the environment describes."""
    from sampan.web.inference.server import Worker, run_worker
    from sampan.web.inference.server_log import tell_with_moments

    tell_with_moments()
    _end_with_parent()
    told = os.environ.pop(PLAN, "")  # it holds the server's token: nothing started from here needs it
    run_worker(read_json(told, Worker))
    # Every log is written. A model that hangs in a thread would keep Python, or the libraries' own end, from coming to it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _end_with_parent() -> None:
    """Have the kernel ask this process to end when the one that watches is gone, however that ended."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main()
