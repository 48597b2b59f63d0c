"""A file as blocks of text: unpacked, decoded, and cut where a record ends, so that no more than a block is in memory at a time."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from typing import IO, Any, TypeVar, cast

from sampan.errors import DataFormatError

BLOCK_BYTES = 8 << 20
_LONGEST_RECORD = 64 << 20
_TAIL_BYTES = 1 << 14  # a line that is longer is cut
_GZIP, _ZIP, _ZSTD, _EMPTY_ZIP = b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"PK\x05\x06"
_BZIP2, _XZ = tuple(b"BZh%d1AY&SY" % level for level in range(1, 10)), b"\xfd7zXZ\0"
_PACKED = (_GZIP, _ZIP, _ZSTD, _EMPTY_ZIP, *_BZIP2, _XZ)
_MAGIC_BYTES = max(map(len, _PACKED))
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Block:
    """Whole records of a file."""

    text: bytes
    is_last: bool = False


@contextmanager
def open_unpacked(path: Path) -> Iterator[tuple[IO[bytes], str]]:
    """Open a file, unpacked as it is read (gzip, zstd, bzip2, xz, zip with one member); with the member's name.

    Raises
    ------
    DataFormatError : the archive is damaged, or has not one member.
    """
    with ExitStack() as stack:
        with _naming_damage(path):
            raw = stack.enter_context(path.open("rb"))
            magic = raw.read(_MAGIC_BYTES)
            raw.seek(0)
            stream, member = _unpacked(raw, magic, path, stack)
        yield stream, member


def is_packed(path: Path) -> bool:
    """Say whether a file is an archive that is unpacked as it is read."""
    with _naming_damage(path), path.open("rb") as raw:
        return raw.read(_MAGIC_BYTES).startswith(_PACKED)


def read_blocks(path: Path, *, size: int = BLOCK_BYTES, on_bytes: Callable[[int], object] | None = None) -> Iterator[bytes]:
    """Read a file, unpacked, in blocks of a size; the last one is shorter. Raises DataFormatError as `open_unpacked`."""
    with open_unpacked(path) as (stream, _):
        while True:
            with _naming_damage(path):
                block = stream.read(_whole_lines(stream, size))
            if not block:
                return
            yield block
            if on_bytes is not None:
                on_bytes(len(block))


def read_head(path: Path, size: int) -> tuple[bytes, str]:
    """Return the first bytes of a file, unpacked, and the name of the archive's member."""
    with open_unpacked(path) as (stream, member), _naming_damage(path):
        return stream.read(size), member


def decoded(blocks: Iterator[bytes], encoding: str, *, source: str) -> Iterator[bytes]:
    """Rewrite blocks of an encoding in UTF-8, without a byte order mark. UTF-8 passes as it is: whoever parses it checks it.

    Raises
    ------
    DataFormatError : the bytes are not of that encoding; names the first wrong one's offset and line.
    """
    if encoding in ("utf-8", "utf-8-sig"):
        yield from _without_mark(blocks)
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    n_bytes, n_lines, is_first = 0, 0, True
    for block in blocks:
        pending = len(decoder.getstate()[0])
        text = _decode(decoder, block, n_bytes - pending, n_lines, encoding, source)
        yield (text.removeprefix("\ufeff") if is_first else text).encode()
        n_bytes, n_lines, is_first = n_bytes + len(block), n_lines + text.count("\n"), False
    yield _decode(decoder, b"", n_bytes - len(decoder.getstate()[0]), n_lines, encoding, source, final=True).encode()


class Records:
    r"""Text cut where a record ends: at the last line end outside of quotes. Lines may end in \n, \r\n, or \r alone."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._carried = b""

    def give_back(self, rest: bytes) -> None:
        """Take the end of the last block back: it was no whole record, and comes again with the next block."""
        self._carried = rest + self._carried

    def __iter__(self) -> Iterator[Block]:
        """Iterate over the blocks."""
        returns = False
        for i, read in enumerate(self._blocks):
            returns = returns or (i == 0 and b"\n" not in read and b"\r" in read)
            block = read.replace(b"\r", b"\n") if returns else read
            if b'"' in block or b'"' in self._carried:
                block, self._carried = self._carried + block, b""
                end = _last_record_end(block)
            else:
                end = block.rfind(b"\n") + 1
            if not end:
                self._carried += block
            else:
                whole = b"".join((self._carried, memoryview(block)[:end])) if self._carried or end < len(block) else block
                self._carried = block[end:]
                yield Block(whole)
            if len(self._carried) > _LONGEST_RECORD and (end := self._carried.rfind(b"\n") + 1):
                # A quote that is never closed: whoever checks quotes names its line.
                long, self._carried = self._carried[:end], self._carried[end:]
                yield Block(long)
        if self._carried:
            yield Block(self._carried, is_last=True)


def cut_lines(blocks: Iterator[bytes]) -> Iterator[Block]:
    """Cut text where a line ends, for formats whose records are lines whatever quotes they hold."""
    carried = b""
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if end:
            yield Block(b"".join((carried, memoryview(block)[:end])) if carried or end < len(block) else block)
            carried = block[end:]
        else:
            carried += block
    if carried:
        yield Block(carried, is_last=True)


def ahead(items: Iterator[Item], *, depth: int = 1) -> Iterator[Item]:
    """Compute the next items in a thread of their own while the caller uses the last one."""
    queue: Queue[tuple[str, Any]] = Queue(maxsize=depth)
    left = Event()

    def run() -> None:
        try:
            for item in items:
                queue.put(("item", item))
                if left.is_set():
                    return
            queue.put(("end", None))
        except BaseException as error:  # noqa: BLE001  # raised again in the caller's thread
            queue.put(("error", error))

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            word, value = queue.get()
            if word == "error":
                raise value
            if word == "end":
                return
            yield cast("Item", value)
    finally:
        left.set()
        while thread.is_alive():  # it may wait to put an item nobody wants any more
            while not queue.empty():
                queue.get()
            thread.join(0.01)


@contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    """Say of an archive that cannot be read that it is damaged, and of a file that it may not be read."""
    try:
        yield
    except _DAMAGE as cause:
        if isinstance(cause, OSError) and cause.errno is not None:
            raise DataFormatError(f"{path} cannot be read: {cause.strerror}", source=str(path), hint="check its permissions") from cause
        raise DataFormatError(f"{path} is a damaged archive: {cause}", source=str(path), hint="fetch or write it again") from cause


def _unpacked(raw: IO[bytes], magic: bytes, path: Path, stack: ExitStack) -> tuple[IO[bytes], str]:
    if magic.startswith(_GZIP):
        return cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=raw))), ""
    if magic.startswith((_ZIP, _EMPTY_ZIP)):
        archive = stack.enter_context(zipfile.ZipFile(raw))
        member = _only_member(archive, str(path))
        return stack.enter_context(archive.open(member)), member
    if magic.startswith(_BZIP2):
        return cast("IO[bytes]", stack.enter_context(bz2.BZ2File(raw))), ""
    if magic.startswith(_XZ):
        return cast("IO[bytes]", stack.enter_context(lzma.LZMAFile(raw))), ""
    if magic.startswith(_ZSTD):
        import pyarrow as pa

        return stack.enter_context(pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")), ""
    return raw, ""


def _whole_lines(stream: IO[bytes], size: int) -> int:
    """Return how much of a plain file to read so that a block ends where a line does: whoever cuts records then has nothing to copy."""
    if not isinstance(stream, io.BufferedReader) or size <= _TAIL_BYTES:
        return size
    tail = os.pread(stream.fileno(), _TAIL_BYTES, stream.tell() + size - _TAIL_BYTES)
    end = tail.rfind(b"\n") + 1
    return size - _TAIL_BYTES + end if end else size


def _only_member(archive: zipfile.ZipFile, source: str) -> str:
    members = [m.filename for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
    if len(members) != 1:
        said = f"{len(members)} files ({', '.join(members[:5])})" if members else "no file"
        raise DataFormatError(f"{source} is an archive with {said}; one is expected", source=source, hint="unpack it and name one file")
    return members[0]


def _without_mark(blocks: Iterator[bytes]) -> Iterator[bytes]:
    for i, block in enumerate(blocks):
        yield block.removeprefix(codecs.BOM_UTF8) if i == 0 else block


def _decode(
    decoder: codecs.IncrementalDecoder, block: bytes, at: int, line: int, encoding: str, source: str, *, final: bool = False
) -> str:
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as cause:
        before = cause.object[: cause.start]
        number = line + before.count(b"\n") + 1
        raise DataFormatError(
            f"byte {at + cause.start:,} (line {number}) of {source} is not {encoding}: 0x{cause.object[cause.start]:02x}",
            source=source,
            line=number,
            hint="say another --encoding",
        ) from cause


def _last_record_end(text: bytes) -> int:
    """Return where the last whole record ends, its line end included; 0 if none does."""
    end = text.rfind(b"\n") + 1
    n_quotes = text.count(b'"', 0, end)
    while end and n_quotes % 2:
        before = text.rfind(b"\n", 0, end - 1) + 1
        n_quotes -= text.count(b'"', before, end)
        end = before
    return end
