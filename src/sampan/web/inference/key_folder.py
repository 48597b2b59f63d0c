"""Keys of callers as files: one for each caller, named for it, holding its key. So Kubernetes mounts a Secret, and so does Docker."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from sampan.core.times import Clock, system_clock
from sampan.errors import ParameterError
from sampan.serving.callers import Caller, KeyRing, hash_key
from sampan.web.inference.reply import Request

LOOK_S: Final = 5.0
_OPEN: Final = ("/health", "/v2/health/")  # orchestrators ask for these, and have no key


class KeyFolder:
    """Admits requests by the keys in a folder, and looks at it again now and then: keys are renewed under a running server.

    Raises
    ------
    ParameterError : the folder does not exist or holds no key, when the server starts.
    """

    def __init__(self, folder: Path, *, service: str, clock: Clock = system_clock) -> None:
        self._folder = folder
        self._service = service
        self._clock = clock
        self._ring = self._read()
        self._looked = time.monotonic()
        if not len(self._ring):
            raise ParameterError(
                f"{folder} holds no key", parameter="keys", hint="a file named for each caller, with its key; Kubernetes mounts a Secret so"
            )

    def admit(self, request: Request) -> str:
        """Return who sent a request. Raises NotSignedIn."""
        if request.path.startswith(_OPEN):
            return ""
        if time.monotonic() - self._looked > LOOK_S:
            self._ring, self._looked = self._read(), time.monotonic()
        given = request.header(b"x-api-key") or request.header(b"authorization").removeprefix(b"Bearer ")
        return self._ring.caller(given.decode("latin-1"), service=self._service, now=self._clock()).name

    def _read(self) -> KeyRing:
        """Read every key there is; a folder that is gone opens nothing."""
        if not self._folder.is_dir():
            return KeyRing(asked_for=True)
        files = [path for path in sorted(self._folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
        found = [(path.read_text(encoding="utf-8").strip(), Caller(path.name)) for path in files]
        return KeyRing([(hash_key(key), caller) for key, caller in found if key], asked_for=True)
