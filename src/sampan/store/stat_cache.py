"""What is already known of files: a file whose signature has not changed need not be read again to know its digest.

One line of JSON a file, appended; the last line of a path counts. Losing the cache costs time only, so it is never flushed.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import msgspec

from sampan.core.decoding import decoder_of
from sampan.core.digests import Digest
from sampan.store.files import Signature

_SETTLED_NS = 2_000_000_000


class Line(msgspec.Struct, frozen=True, array_like=True):
    """A file as it was when it was hashed."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    digest: Digest


class StatCache:
    """Digests by path and signature, in a file that every process of the store appends to."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lines: dict[str, Line] | None = None
        self._n_read = 0
        self._lock = threading.Lock()

    def get(self, path: Path, found: Signature) -> Digest | None:
        """Return the digest if the file is the same as when it was remembered."""
        line = self._known().get(str(path))
        if line is None or (line.size, line.mtime_ns, line.ctime_ns, line.inode) != found:
            return None
        return line.digest

    def remember(self, path: Path, found: Signature, digest: Digest) -> None:
        """Remember a file's digest, for this process and later ones.

        A file written to in this moment may change again without its time stamp changing: it is not remembered yet.
        """
        if time.time_ns() - found.mtime_ns < _SETTLED_NS:
            return
        self.remember_ours(path, found, digest)

    def remember_ours(self, path: Path, found: Signature, digest: Digest) -> None:
        """Remember a file that nobody but the store writes, however young it is."""
        line = Line(str(path), *found, digest)
        with self._lock:
            self._known()[line.path] = line
            self._append(msgspec.json.encode(line) + b"\n")

    def _known(self) -> dict[str, Line]:
        if self._lines is None:
            self._lines = self._load()
        return self._lines

    def _load(self) -> dict[str, Line]:
        lines: dict[str, Line] = {}
        decoder = decoder_of(Line)
        try:
            data = self._file.read_bytes()
        except OSError:
            return lines
        n = 0
        for text in data.splitlines():
            try:
                line = decoder.decode(text)
            except msgspec.DecodeError:  # a line torn by a crash
                continue
            lines[line.path] = line
            n += 1
        if n > 1000 and n > 4 * len(lines):
            self._rewrite(lines)
        return lines

    def _append(self, text: bytes) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            try:
                os.write(handle, text)
            finally:
                os.close(handle)
        except OSError as error:
            # A store that can only be read has no cache to write; it is slower and still right.
            import logging  # costs every command 3 ms, and is needed when something failed

            logging.getLogger(__name__).debug("cannot remember file signatures: %s", error)

    def _rewrite(self, lines: dict[str, Line]) -> None:
        new = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        try:
            new.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines.values()))
            new.replace(self._file)
        except OSError as error:
            import logging  # costs every command 3 ms, and is needed when something failed

            logging.getLogger(__name__).debug("cannot shorten %s: %s", self._file, error)
