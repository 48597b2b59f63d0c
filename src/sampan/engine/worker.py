"""The other end of a pool's connection: takes calls, sends back what they return or raise. Runs until the pool closes it or dies."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any


def serve(connection_fd: int, life_fd: int) -> None:
    """Answer calls until the connection ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it closes us
    threading.Thread(target=_die_with_parent, args=(life_fd,), daemon=True).start()
    with Connection(connection_fd) as connection:
        while True:
            try:
                call, args = connection.recv()
            except EOFError:
                return
            except Exception as error:  # noqa: BLE001  # the function cannot be imported here
                _send(connection, error)
                continue
            _send(connection, _outcome(call, args))


def _outcome(call: Any, args: tuple[Any, ...]) -> Any:
    try:
        return call(*args)
    except Exception as error:  # noqa: BLE001  # whatever a task raises is its outcome
        # A traceback does not travel with its error; its text does.
        error.add_note(traceback.format_exc())
        return error


def _send(connection: Connection[Any, Any], outcome: Any) -> None:
    try:
        data = pickle.dumps(outcome)
    except Exception as cause:  # noqa: BLE001  # a class may do anything when pickled
        data = pickle.dumps(RuntimeError(f"a {type(outcome).__qualname__} cannot be sent back: {cause}"))
    connection.send_bytes(data)


def _die_with_parent(life_fd: int) -> None:
    os.read(life_fd, 1)
    os._exit(1)
