"""What is known of a folder since it was last taken in: its files in the order the system lists them, how they were, and where they are.

Everything stands in columns, so that a folder in which nothing changed is recognized by comparing a few long texts. Losing this costs time
only, so it is never flushed.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from sampan.core.digests import PREFIX, digest_bytes

FIELDS = 4  # of a file: size, when its content and its entry changed, inode
SIGNATURE_BYTES = FIELDS * 8
DIGEST_BYTES = 32
LOOSE = 0  # the home of a file that is an object of its own
_BLOCK = 512  # files that are compared at once


class Columnar(Protocol):
    """Columns that belong together."""

    def is_whole(self) -> bool:
        """Say whether they do."""
        ...


Kept = TypeVar("Kept", bound=Columnar)


def in_one(paths: Sequence[str]) -> bytes:
    """Return paths as one text, which is written, read and compared fifty times as fast as they are."""
    return os.fsencode("\0".join(paths))


def count(names: bytes) -> int:
    """Count the paths of such a text."""
    return names.count(b"\0") + 1 if names else 0


def one_by_one(names: bytes) -> list[str]:
    """Return the paths of such a text."""
    return os.fsdecode(names).split("\0") if names else []


class FolderState(msgspec.Struct, frozen=True):
    """A folder's files, in columns."""

    names: bytes = b""  # their paths within the folder, with / between, see `in_one`
    signatures: bytes = b""
    digests: bytes = b""
    homes: tuple[str, ...] = ("",)  # the packs that hold them
    home_of: bytes = b""  # u32 a file, into `homes`

    def home_numbers(self) -> array[int]:
        """Return the home of each file."""
        return array("I", self.home_of)

    def is_whole(self) -> bool:
        """Say whether all columns are of one length, and every home is one."""
        n = count(self.names)
        whole = (len(self.signatures), len(self.digests), len(self.home_of)) == (SIGNATURE_BYTES * n, DIGEST_BYTES * n, 4 * n)
        return whole and all(home < len(self.homes) for home in set(self.home_numbers()))


class Remembered:
    """What is remembered of folders, under names, in a folder of the store: one file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str, kind: type[Kept]) -> Kept | None:
        """Return what was put under a name; None if that is lost or damaged."""
        try:
            found = msgspec.msgpack.decode(self._file(name).read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError):
            return None
        return found if found.is_whole() else None

    def put(self, name: str, value: Columnar) -> None:
        """Remember something. A store that can only be read remembers nothing, and is slower and still right."""
        file = self._file(name)
        draft = file.with_suffix(f".{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(msgspec.msgpack.encode(value))
            draft.replace(file)
        except OSError as error:
            import logging  # costs every command 3 ms, and is needed when something failed

            logging.getLogger(__name__).debug("cannot remember the files of a folder: %s", error)

    def _file(self, name: str) -> Path:
        return self._folder / f"{digest_bytes(os.fsencode(name))[len(PREFIX) :][:32]}.columns"


def remembered(blobs_root: Path) -> Remembered:
    """Return what a store remembers of folders."""
    return Remembered(blobs_root / "cache" / "folders")


def differing(one: bytes, other: bytes, width: int) -> Iterator[int]:
    """Iterate over the places in which two columns of equal length differ.

    >>> list(differing(b"aabbcc", b"aaxbcy", 2))
    [1, 2]
    """
    block = width * _BLOCK
    for start in range(0, len(one), block):
        if one[start : start + block] != other[start : start + block]:
            for at in range(start, min(start + block, len(one)), width):
                if one[at : at + width] != other[at : at + width]:
                    yield at // width


def gathered(column: bytes, places: Sequence[int], width: int) -> bytes:
    """Return the entries of a column at some places; nulls for a place below 0."""
    nothing = bytes(width)
    return b"".join([column[at * width : (at + 1) * width] if at >= 0 else nothing for at in places])
