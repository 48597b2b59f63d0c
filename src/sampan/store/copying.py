"""Copying a large file while digesting and flushing what is already copied: the three take the time of the longest, not of all.

The digest is of the copy, as it is read back, never of the source: whatever becomes of the source meanwhile, the bytes kept are the bytes
named.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import suppress

from sampan.core.digests import PREFIX, Digest

_COPY_BLOCK = 32 << 20
_HASH_BLOCK = 1 << 18  # small enough to stay in the processor's cache between reading and digesting


def copy(source: int, target: int) -> None:
    """Copy one open file to another inside the kernel. Raises OSError as writing does."""
    for _ in _copied(source, target):
        pass


def copy_and_digest(source: int, target: int) -> Digest:
    """Copy one open file to another, empty and readable too; return the digest of the copy. Raises OSError as writing does."""
    from queue import SimpleQueue

    from blake3 import blake3

    copied: SimpleQueue[int] = SimpleQueue()
    failed: list[BaseException] = []
    finished = threading.Event()

    def write() -> None:
        try:
            for n_bytes in _copied(source, target):
                copied.put(n_bytes)
        except BaseException as error:  # noqa: BLE001 — raised below, in the caller's thread
            failed.append(error)
        copied.put(0)

    def flush() -> None:
        with suppress(OSError):  # whoever gives the copy its name flushes again, and reports
            while not finished.is_set():
                os.fdatasync(target)

    threads = [threading.Thread(target=work, daemon=True) for work in (write, flush)]
    hasher, block = blake3(), memoryview(bytearray(_HASH_BLOCK))
    threads[0].start()
    position = end = 0
    while n_bytes := copied.get():
        if not threads[1].ident:
            threads[1].start()
        end += n_bytes
        while position < end:
            n_read = os.preadv(target, [block[: min(_HASH_BLOCK, end - position)]], position)
            if not n_read:
                raise OSError(errno.EIO, "the copy became shorter while it was being read")
            hasher.update(block[:n_read])
            position += n_read
    finished.set()
    for thread in threads:
        if thread.ident:
            thread.join()
    if failed:
        raise failed[0]
    return PREFIX + hasher.hexdigest()


def _copied(source: int, target: int) -> Iterator[int]:
    """Copy block by block; yield each one's size."""
    try:
        while n_bytes := os.copy_file_range(source, target, _COPY_BLOCK):
            yield n_bytes
    except OSError as error:
        # Older kernels and some pairs of file systems refuse; sendfile works everywhere and continues where the offsets stand.
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        while n_bytes := os.sendfile(target, source, None, _COPY_BLOCK):  # None: the file's own offset
            yield n_bytes
