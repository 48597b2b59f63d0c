"""How a server process tells what it does: a line each on its standard error, with the moment, the process and how grave it is.

What ends a process at once, such as a fault in a library's own code, is told with the Python lines that every thread was in.
"""

from __future__ import annotations

import faulthandler
import logging
import time
from contextlib import suppress
from io import UnsupportedOperation


def tell_with_moments() -> None:
    """Let this process's log lines begin with a moment, in UTC. For the edge of a process; a program that set up its own keeps it."""
    form = logging.Formatter("%(asctime)s.%(msecs)03dZ %(process)d %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    form.converter = time.gmtime
    shown = logging.StreamHandler()
    shown.setFormatter(form)
    logging.basicConfig(handlers=[shown])
    logging.getLogger("sampan").setLevel(logging.INFO)
    with suppress(UnsupportedOperation):  # standard error is no file of the system's: the program around this one took it
        faulthandler.enable()
