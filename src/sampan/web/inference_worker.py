"""One of several processes of a prediction server: `python -m sampan.web.inference_worker`, told what to do by its environment."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import msgspec

PLAN = "SAMPAN_WORKER"


def main() -> NoReturn:
    """Run the worker that the environment describes."""
    from sampan.web.inference_server import Worker, run_worker

    told = os.environ.pop(PLAN, "")  # it holds the server's token: nothing started from here needs it
    run_worker(msgspec.json.decode(told, type=Worker))
    # Every log is written. A model that hangs in a thread would keep Python, or the libraries' own end, from coming to it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
