"""The near side of a pickle's process: starts it, asks it, stops waiting, starts another after it has died."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.core.decoding import read_builtins
from sampan.errors import Unavailable, Unsupported

START_S: Final = 60.0
ANSWER_S: Final = 20.0
EXPORT_S: Final = 300.0
_AGAIN: Final = "it is started again at the next request"
_SECRETS: Final = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")


class About(msgspec.Struct, frozen=True):
    """What a pickled estimator says of itself."""

    kind: str
    regressor: bool
    classes: tuple[str, ...]
    columns: tuple[str, ...]


class PickleProcess:
    """A pickle, read and asked in a process of its own. May be called from many threads; they wait for each other."""

    def __init__(self, file: Path, *, answer_s: float = ANSWER_S) -> None:
        self._file = file
        self._answer_s = answer_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._said: About | None = None

    @property
    def about(self) -> About:
        """What the model is; starts the process. Raises Unsupported where the file cannot be read as a model."""
        with self._lock:
            self._running()
            assert self._said is not None
            return self._said

    def graph(self, places: Mapping[str, tuple[str, int]], tensors: Mapping[str, tuple[int, int]]) -> bytes:
        """Return the ONNX graph of the whole pipeline. Raises Unsupported where it has none."""
        found: bytes = self._ask({"do": "graph", "places": places, "tensors": tensors}, timeout_s=EXPORT_S)["graph"]
        return found

    def scores(self, columns: Mapping[str, Sequence[Any]]) -> NDArray[np.float64]:
        """Answer rows given as columns.

        Raises
        ------
        Unsupported : the model raised; the message says what.
        Unavailable : it died or took too long; the next call starts it again.
        """
        return np.asarray(self._ask({"do": "scores", "columns": columns}, timeout_s=self._answer_s)["scores"], np.float64)

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _ask(self, message: Any, *, timeout_s: float) -> dict[str, Any]:
        with self._lock:
            process = self._running()
            data = msgspec.msgpack.encode(message)
            deadline = time.monotonic() + timeout_s
            try:
                assert process.stdin is not None
                process.stdin.write(len(data).to_bytes(4, "little") + data)
                process.stdin.flush()
                found = self._hear(process, deadline)
            except TimeoutError as cause:
                self._end()
                raise Unavailable(f"{self._file.name} did not answer within {timeout_s:g} s", hint=_AGAIN) from cause
            except (OSError, EOFError) as cause:
                self._end()
                raise Unavailable(f"the process of {self._file.name} has died", hint=_AGAIN) from cause
        if "error" in found:
            raise Unsupported(f"{self._file.name} raised {found['error']}", hint="look at what it is asked")
        return found

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        environment = {name: value for name, value in os.environ.items() if not any(word in name.upper() for word in _SECRETS)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sampan.workspace.models.pickle_worker", str(self._file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environment, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        try:
            said = self._hear(self._process, time.monotonic() + START_S)
        except (OSError, EOFError, TimeoutError) as cause:
            self._end()
            raise Unsupported(
                f"{self._file.name} cannot be read: its process died or hung", hint="was it pickled with other libraries?"
            ) from cause
        if "error" in said:
            self._end()
            raise Unsupported(f"{self._file.name} cannot be read: {said['error']}", hint="install what it was pickled with")
        self._said = read_builtins(said, About)
        return self._process

    def _hear(self, process: subprocess.Popen[bytes], deadline: float) -> dict[str, Any]:
        assert process.stdout is not None
        size = int.from_bytes(_read(process.stdout.fileno(), 4, deadline), "little")
        found: dict[str, Any] = msgspec.msgpack.decode(_read(process.stdout.fileno(), size, deadline))
        return found

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        process.kill()
        process.wait()

    def __del__(self) -> None:
        self._end()


def _read(descriptor: int, size: int, deadline: float) -> bytes:
    """Read so many bytes by a moment. Raises TimeoutError, or EOFError where the other side is gone."""
    parts: list[bytes] = []
    while size > 0:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise TimeoutError
        data = os.read(descriptor, min(size, 1 << 20))
        if not data:
            raise EOFError
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
