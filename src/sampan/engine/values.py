"""How a step's result is kept and read back: one small codec for each kind of value, chosen by the value's type.

Nothing here is pickled. A kind that is not listed is refused with what to return instead. Loading is lazy: what nobody reads costs nothing.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from sampan.core.digests import Digest, is_digest
from sampan.engine.canonical import decode, encode, is_plain
from sampan.engine.shelf import Shelf
from sampan.errors import ParameterError, Unsupported

if TYPE_CHECKING:
    import polars as pl


class TableRef(msgspec.Struct, frozen=True):
    """A stored table, given to a run as an input."""

    digest: Digest


class Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a value lies: the kind of codec that reads it, and the digest of its content."""

    kind: str
    digest: Digest
    facts: dict[str, Any] = {}


class Want(NamedTuple):
    """How a reader wants a value: the name of the type it annotates, '' for the usual one, and where files are to be put."""

    type: str = ""
    into: Path | None = None
    linked: bool = False  # links into the store do, for a reader that leaves them as they are


class Codec(Protocol):
    """Writes values of one kind to the store and reads them back."""

    def fits(self, value: Any) -> bool:
        """Say whether this codec is for the value. Imports nothing."""
        ...

    def save(self, value: Any, shelf: Shelf) -> Stored:
        """Store the value; storing an equal one again gives the same digest."""
        ...

    def load(self, stored: Stored, shelf: Shelf, want: Want, /) -> Any:
        """Read a value."""
        ...


class TableCodec:
    """Polars frames, as table versions. A LazyFrame is streamed to the store; a reader gets the kind of frame that it annotates."""

    def fits(self, value: Any) -> bool:
        """Accept DataFrame, LazyFrame and references to stored tables."""
        return isinstance(value, TableRef) or (_library(value) == "polars" and type(value).__name__ in ("DataFrame", "LazyFrame"))

    def save(self, value: TableRef | pl.DataFrame | pl.LazyFrame, shelf: Shelf) -> Stored:
        """Store a frame as a table version; a reference is kept as it is."""
        digest = value.digest if isinstance(value, TableRef) else shelf.tables.create(value).digest
        return Stored("table", digest)

    def load(self, stored: Stored, shelf: Shelf, want: Want, /) -> Any:
        """Read the table, or scan it where a LazyFrame is wanted, or only name it where a TableRef is."""
        if want.type == "TableRef":
            return TableRef(stored.digest)
        return shelf.tables.scan(stored.digest) if want.type == "LazyFrame" else shelf.tables.read(stored.digest)


class PlainCodec:
    """Numbers, text, structs, lists, mappings: canonical JSON."""

    def fits(self, value: Any) -> bool:
        """Accept what canonical JSON can hold, but for None, bytes and paths on their own."""
        return is_plain(value)

    def save(self, value: Any, shelf: Shelf) -> Stored:
        """Store the value's canonical JSON."""
        return Stored("plain", shelf.blobs.put(msgspec.json.encode(encode(value), order="deterministic")))

    def load(self, stored: Stored, shelf: Shelf, _want: Want, /) -> Any:
        """Read the value; tuples, dates, NaN and structs come back as what they were."""
        return decode(msgspec.json.decode(shelf.blobs.read(stored.digest)))


class BytesCodec:
    """Bytes, as they are."""

    def fits(self, value: Any) -> bool:
        """Accept bytes and bytearrays."""
        return isinstance(value, (bytes, bytearray))

    def save(self, value: bytes | bytearray, shelf: Shelf) -> Stored:
        """Store the bytes."""
        return Stored("bytes", shelf.blobs.put(bytes(value)))

    def load(self, stored: Stored, shelf: Shelf, _want: Want, /) -> Any:
        """Read the bytes."""
        return shelf.blobs.read(stored.digest)


class FileCodec:
    """A file or a folder that a step wrote and named by its path."""

    def fits(self, value: Any) -> bool:
        """Accept paths."""
        return isinstance(value, Path)

    def save(self, value: Path, shelf: Shelf) -> Stored:
        """Store the file, or every file below the folder; empty folders are not kept, a link is what it leads to.

        Raises
        ------
        ParameterError : nothing is there.
        """
        if value.is_file():
            digest, size = shelf.blobs.put_file(value)
            return Stored("file", digest, {"name": value.name, "size": size})
        if not value.is_dir():
            raise ParameterError(f"the path {value} leads to nothing", hint="write the file before you return its path")
        files = sorted(path for path in value.rglob("*") if path.is_file())
        entries = {path.relative_to(value).as_posix(): shelf.blobs.put_file(path)[0] for path in files}
        digest = shelf.blobs.put(msgspec.json.encode(entries, order="deterministic"))
        # The files' digests stand in the outcome too, so that a sweep of the store finds them needed.
        return Stored("folder", digest, {"name": value.name, "files": entries})

    def load(self, stored: Stored, shelf: Shelf, want: Want, /) -> Any:
        """Copy the file or folder to `want.into` under its name; without one, a file's path inside the store, for reading only.

        Raises
        ------
        ParameterError : a folder is asked for without a place to write it.
        """
        if stored.kind == "file" and want.into is None:
            return shelf.blobs.path(stored.digest)
        if want.into is None:
            raise ParameterError(f"{stored.facts['name']} is a folder and needs a place", hint="value.load(into=Path(…))")
        target = want.into / stored.facts["name"]
        if stored.kind == "file":
            _place(shelf.blobs.path(stored.digest), target, linked=want.linked)
            return target
        target.mkdir(parents=True, exist_ok=True)
        for name, digest in stored.facts["files"].items():
            _place(shelf.blobs.path(digest), target / name, linked=want.linked)
        return target


class ArrayCodec:
    """NumPy arrays of numbers, text or moments, in NumPy's own file format."""

    def fits(self, value: Any) -> bool:
        """Accept arrays."""
        return _library(value) == "numpy" and type(value).__name__ == "ndarray"

    def save(self, value: Any, shelf: Shelf) -> Stored:
        """Store the array.

        Raises
        ------
        Unsupported : the array holds Python objects.
        """
        import numpy as np

        if value.dtype.hasobject:
            raise Unsupported("an array of Python objects cannot be stored", hint="give it a dtype, or return a table")
        target = io.BytesIO()
        np.save(target, value, allow_pickle=False)
        return Stored("array", shelf.blobs.put(target.getvalue()))

    def load(self, stored: Stored, shelf: Shelf, _want: Want, /) -> Any:
        """Read the array."""
        import numpy as np

        return np.load(io.BytesIO(shelf.blobs.read(stored.digest)), allow_pickle=False)


_USUAL = Want()
_TABLE, _BYTES, _FILE, _ARRAY, _PLAIN = TableCodec(), BytesCodec(), FileCodec(), ArrayCodec(), PlainCodec()
_CODECS: tuple[Codec, ...] = (_TABLE, _BYTES, _FILE, _ARRAY, _PLAIN)
_BY_KIND: dict[str, Codec] = {"table": _TABLE, "bytes": _BYTES, "file": _FILE, "folder": _FILE, "array": _ARRAY, "plain": _PLAIN}


def save(value: Any, shelf: Shelf) -> Stored:
    """Store a value by the codec that fits it.

    Raises
    ------
    Unsupported : no codec fits.
    """
    for codec in _CODECS:
        if value is not None and codec.fits(value):
            return codec.save(value, shelf)
    raise Unsupported(
        f"a {type(value).__module__}.{type(value).__qualname__} cannot be stored",
        hint="return a Polars frame, a NumPy array, bytes, plain values (numbers, text, lists, structs), or the path of a file or folder",
    )


def load(stored: Stored, shelf: Shelf, want: Want = _USUAL) -> Any:
    """Read a stored value."""
    return _BY_KIND[stored.kind].load(stored, shelf, want)


def save_input(value: Any, shelf: Shelf) -> Stored:
    """Store what a run was given; the text of a digest names a table that is stored already."""
    if isinstance(value, Stored):
        return value
    if isinstance(value, str) and is_digest(value):
        return Stored("table", value)
    return save(value, shelf)


class StoredValue:
    """A value that is read when it is asked for."""

    def __init__(self, stored: Stored, shelf: Shelf) -> None:
        self.stored = stored
        self._shelf = shelf

    def __repr__(self) -> str:
        return f"<{self.stored.kind} {self.stored.digest[:15]}>"

    def load(self, *, want: str = "", into: Path | None = None) -> Any:
        """Read the value. `want="LazyFrame"` scans a table; a folder needs `into`."""
        return load(self.stored, self._shelf, Want(want, into))


def _place(source: Path, target: Path, *, linked: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if linked:
        target.symlink_to(source)
        return
    from shutil import copyfile

    copyfile(source, target)


def _library(value: Any) -> str:
    return type(value).__module__.partition(".")[0]
