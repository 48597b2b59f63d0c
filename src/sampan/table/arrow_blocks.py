"""Arrow's IPC stream written with numpy alone: what a server writes of its predictions, without a library of 150 MB to write it.

    Schema([Field("id", "utf8"), Field("score", "float64")]).message() + Block(schema, 2, [["a", None], np.zeros(2)]).message() + …

Flat columns of the types a log needs, uncompressed, aligned as Arrow's own writer aligns them. Not here: reading, which is pyarrow's.

Source: the Arrow columnar format 1.5, "Serialization and Interprocess Communication", Schema.fbs, Message.fbs; FlatBuffers Internals.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter, methodcaller
from typing import Any, Final, Generic, NamedTuple, TypeVar, overload

import numpy as np

from sampan.errors import ParameterError

END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_ALIGNED: Final = 8
_V5: Final = 4  # of Arrow's metadata
_SCHEMA, _RECORD_BATCH = 1, 3  # what a message's header can be
_INT, _FLOAT, _BINARY, _UTF8, _BOOL = 2, 3, 4, 5, 6  # Arrow's kinds of types
_SINGLE, _DOUBLE = 1, 2
_SHORT: Final = 64  # bytes of a text that may stand in the space of another
_MOST_BYTES: Final = 2**31 - 1  # of text in one column: its offsets have 32 bits


class _Type(NamedTuple):
    """How Arrow names a type, and numpy."""

    kind: int
    about: tuple[tuple[str, int], ...] = ()
    numbers: str = ""  # numpy's name; "" where values have no fixed width


TYPES: Final[Mapping[str, _Type]] = {
    "utf8": _Type(_UTF8),
    "binary": _Type(_BINARY),
    "bool": _Type(_BOOL, (), "?"),
    "int32": _Type(_INT, (("i", 32), ("?", 1)), "<i4"),
    "int64": _Type(_INT, (("i", 64), ("?", 1)), "<i8"),
    "float32": _Type(_FLOAT, (("h", _SINGLE),), "<f4"),
    "float64": _Type(_FLOAT, (("h", _DOUBLE),), "<f8"),
}


_NUMBERS: Final = frozenset(name for name, kind in TYPES.items() if kind.numbers)
_BESIDE: Final = ("float32", "float64")  # types of columns that may come several at once; of integers a log notes how far they reach
_WANTED: Final = {name: np.dtype(TYPES[name].numbers) for name in _NUMBERS}


@dataclass(frozen=True, slots=True)
class Field:
    """A column's name and type, one of TYPES."""

    name: str
    type: str
    nullable: bool = True

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise ParameterError(f"column {self.name!r} of type {self.type!r}", hint=f"a log has columns of {', '.join(TYPES)}")


@dataclass(frozen=True)
class Schema:
    """The columns of a stream, and words about them."""

    fields: Sequence[Field]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [one.name for one in self.fields]

    def message(self) -> bytes:
        """Return the message that a stream begins with."""
        flat = _Flat()

        def described(one: Field) -> _Child:
            kind = TYPES[one.type]
            return lambda: flat.table(
                lambda: flat.text(one.name),
                ("?", one.nullable),
                ("B", kind.kind),
                lambda: flat.table(*kind.about),
                None,
                lambda: flat.offsets([]),
            )

        def words(key: str, value: str) -> _Child:
            return lambda: flat.table(lambda: flat.text(key), lambda: flat.text(value))

        def schema() -> int:
            about = [words(key, value) for key, value in self.metadata.items()]
            return flat.table(
                None,
                lambda: flat.offsets([described(one) for one in self.fields]),
                (lambda: flat.offsets(about)) if about else None,
            )

        return flat.message(_SCHEMA, schema, n_body_bytes=0)

    def __str__(self) -> str:
        return ", ".join(f"{one.name} {one.type}" for one in self.fields)


@dataclass(frozen=True, slots=True)
class Nullable:
    """Values of which some are missing, where `valid` is false."""

    values: np.ndarray[Any, Any]
    valid: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Repeated:
    """Texts, each standing `counts` times in a row: what all rows of a request share."""

    texts: Sequence[str]
    counts: Sequence[int]

    def __len__(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Packed:
    """Texts under one another as one run of bytes, and how many bytes each of them has."""

    data: bytes
    lengths: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.lengths)


Text = TypeVar("Text")
Other = TypeVar("Other")


def packed_numbers(texts: Sequence[Any], table: Mapping[Any, int]) -> bytes:
    """Return the numbers of texts in a table as int32, one behind the other. Raises KeyError where a text is missing."""
    if len(texts) == 1:
        return struct.pack("i", table[texts[0]])
    # Half of what `map` costs, and an eighth of an array from a list.
    return struct.pack(f"{len(texts)}i", *itemgetter(*texts)(table)) if texts else b""


class Coded(Sequence[Text], Generic[Text]):
    """Texts by their numbers in a table of a few: compact, and read like the texts they stand for."""

    __slots__ = ("codes", "texts")

    def __init__(self, codes: np.ndarray[Any, Any], texts: Sequence[Text]) -> None:
        self.codes = codes  # integers
        self.texts = texts

    @classmethod
    def of(cls, values: Sequence[Text]) -> Coded[Text]:
        """Number texts in the order of their first appearance."""
        table = {text: number for number, text in enumerate(dict.fromkeys(values))}
        return cls(np.frombuffer(packed_numbers(values, table), np.int32), tuple(table))

    def read(self, change: Callable[[Text], Other]) -> Coded[Other]:
        """Change each text of the table, once for all who have it."""
        return Coded(self.codes, tuple(map(change, self.texts)))

    @classmethod
    def joined(cls, parts: Sequence[Coded[Text]]) -> Coded[Text]:
        """Lay parts under one another; a table that several share is kept once."""
        if all(part.texts is parts[0].texts for part in parts):
            return cls(np.concatenate([part.codes for part in parts]), parts[0].texts)
        firsts: dict[int, int] = {}  # of each table, by its identity
        texts: list[Text] = []
        for part in parts:
            if id(part.texts) not in firsts:
                firsts[id(part.texts)] = len(texts)
                texts += part.texts
        return cls(np.concatenate([part.codes + firsts[id(part.texts)] if firsts[id(part.texts)] else part.codes for part in parts]), texts)

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, index: int) -> Text: ...
    @overload
    def __getitem__(self, index: slice) -> Coded[Text]: ...
    def __getitem__(self, index: int | slice) -> Text | Coded[Text]:
        return Coded(self.codes[index], self.texts) if isinstance(index, slice) else self.texts[self.codes[index]]

    def __iter__(self) -> Iterator[Text]:
        return map(self.texts.__getitem__, self.codes.tolist())


class Ascii(Sequence[str]):
    """Texts as the bytes they came in, each a character; they are decoded when somebody reads them."""

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.parts = parts

    def coded(self) -> Coded[str]:
        """Hold them by their numbers; each that differs is decoded once."""
        return Coded.of(self.parts).read(_decoded)

    def __len__(self) -> int:
        return len(self.parts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Ascii: ...
    def __getitem__(self, index: int | slice) -> str | Ascii:
        found = self.parts[index]
        return found.decode("ascii") if isinstance(found, bytes) else Ascii(found)

    def __iter__(self) -> Iterator[str]:
        return map(_decoded, self.parts)


_decoded = methodcaller("decode", "ascii")


@dataclass(frozen=True, slots=True)
class Beside:
    """Columns of floats that stand side by side in a schema, a row of `values` each, in the type they have there; none is missing.

    Of a few rows, a column costs what it costs by itself, and so do many of them together.
    """

    values: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return int(self.values.shape[1])


Column = (
    np.ndarray[Any, Any] | Nullable | Repeated | Packed | Coded[str | None] | Sequence[Any]
)  # a sequence has None where a value is missing
_Child = Callable[[], int]  # writes a part that another refers to, and returns where it stands
_Buffers = tuple[int, list[Any]]  # how many values are missing, and the bytes of the validity, the offsets if there are any, and the values


def at_once() -> None:
    """Go on without a pause."""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows as columns, one for each field of the schema, or several at once. `pause` is called between, for who must not hold up others."""

    schema: Schema
    n_rows: int
    columns: Sequence[Column | Beside]
    pause: Callable[[], None] = field(default=at_once, compare=False)

    def message(self) -> bytes:
        """Return the rows as one message of the stream.

        Raises
        ------
        ParameterError : a column has another number of rows, or values that its type cannot hold.
        """
        laid = _Laid(self.n_rows)
        for abouts, column in self._told():
            if len(column) != self.n_rows:
                raise ParameterError(f"column {abouts[0].name!r} has {len(column)} values for {self.n_rows} rows")
            if isinstance(column, Beside):
                laid.beside(abouts, column.values)
            else:
                laid.alone(abouts[0], column)
            self.pause()
        flat = _Flat()
        head = flat.message(
            _RECORD_BATCH,
            lambda: flat.table(("q", self.n_rows), lambda: flat.pairs(laid.nodes), lambda: flat.pairs(laid.places)),
            n_body_bytes=laid.end,
        )
        return b"".join([head, *laid.body])

    def _told(self) -> Iterator[tuple[Sequence[Field], Column | Beside]]:
        """Iterate over the columns, with the fields that each is of."""
        widths = [len(column.values) if isinstance(column, Beside) else 1 for column in self.columns]
        if sum(widths) != len(self.schema.fields):
            raise ParameterError(f"{sum(widths)} columns for a log of {self.schema}")
        at = 0
        for column, width in zip(self.columns, widths, strict=True):
            yield self.schema.fields[at : at + width], column
            at += width

    def integers(self) -> Iterable[tuple[str, np.ndarray[Any, Any]]]:
        """Iterate over the 64-bit integer columns: name and the values that are there."""
        for (about, *_), column in self._told():
            if about.type == "int64" and not isinstance(column, Beside):  # which holds no integers
                values, valid = _as_array(about, column)
                yield about.name, values if valid is None else values[valid]


class _Laid:
    """What a message's body is put together from, and where each column lies in it."""

    def __init__(self, n_rows: int) -> None:
        self.nodes: list[int] = []
        self.places: list[int] = []
        self.body: list[Any] = []
        self.end = 0
        self._n_rows = n_rows

    def alone(self, about: Field, column: Column) -> None:
        n_missing, buffers = _laid_out(about, column)
        if n_missing and not about.nullable:
            raise ParameterError(f"column {about.name!r} misses {n_missing} values and may miss none")
        self.nodes += [self._n_rows, n_missing]
        for buffer in buffers:
            n_bytes = len(buffer) if type(buffer) is bytes else buffer.nbytes
            self.places += [self.end, n_bytes]
            self.body.append(buffer)
            if padding := -n_bytes % _ALIGNED:
                self.body.append(bytes(padding))
            self.end += n_bytes + padding

    def beside(self, abouts: Sequence[Field], values: np.ndarray[Any, Any]) -> None:
        if strange := [about.name for about in abouts if about.type not in _BESIDE or _WANTED[about.type] != values.dtype]:
            raise ParameterError(f"columns {', '.join(map(repr, strange))} cannot hold {values.dtype} beside others")
        n_bytes = self._n_rows * values.itemsize
        step = n_bytes + -n_bytes % _ALIGNED
        padded = np.zeros((len(abouts), step // values.itemsize), values.dtype)
        padded[:, : self._n_rows] = values
        for number in range(len(abouts)):
            start = self.end + number * step
            self.places += [start, 0, start, n_bytes]
        self.nodes += [self._n_rows, 0] * len(abouts)
        self.body.append(padded)
        self.end += padded.nbytes


def _laid_out(about: Field, column: Column) -> _Buffers:
    if about.type in _NUMBERS:
        values, valid = _as_array(about, column)
        return _validity(valid, [np.packbits(values, bitorder="little") if about.type == "bool" else values])
    if isinstance(column, Repeated):
        each = [_encoded(about, text) for text in column.texts]
        data = b"".join([text * n for text, n in zip(each, column.counts, strict=True)])
        return _validity(None, [_offsets(about, np.repeat([len(text) for text in each], column.counts), len(data)), data])
    if isinstance(column, Packed):
        return _validity(None, [_offsets(about, column.lengths, len(column.data)), column.data])
    if isinstance(column, Coded):
        return _coded(about, column)
    return _texts(about, column)


@dataclass(frozen=True, slots=True)
class _Table:
    """The texts that a column refers to by their numbers, encoded."""

    texts: Sequence[bytes]
    lengths: np.ndarray[Any, Any]
    there: np.ndarray[Any, Any] | None  # which are no missing value; None where all are
    spaced: np.ndarray[Any, Any] | None  # all of them in the space of the longest; None where that is not to be had

    @classmethod
    def of(cls, about: Field, given: Sequence[str | None]) -> _Table:
        texts = [_encoded(about, "" if text is None else text) for text in given]
        lengths = np.array([len(text) for text in texts], np.int64)
        there = None if None not in given else np.array([text is not None for text in given], np.bool_)
        longest = int(lengths.max(initial=0))
        return cls(
            texts, lengths, there, np.array(texts, f"S{longest}") if 0 < longest <= _SHORT and b"\0" not in b"".join(texts) else None
        )


_known_table = lru_cache(maxsize=64)(_Table.of)  # blocks of one model speak of the same categories


def _coded(about: Field, column: Coded[str | None]) -> _Buffers:
    table = _known_table(about, column.texts) if isinstance(column.texts, tuple) else _Table.of(about, column.texts)
    valid = None if table.there is None else table.there[column.codes]
    each = table.lengths[column.codes]
    offsets = _offsets(about, each, int(each.sum()))
    if valid is not None and valid.all():
        valid = None
    if table.spaced is not None:
        # In the space of the longest, then without the space: a third of what it costs to move each byte to its place.
        data = table.spaced[column.codes].tobytes()
        return _validity(valid, [offsets, data if len(data) == offsets[-1] else data.translate(None, b"\0")])
    firsts = np.cumsum(table.lengths) - table.lengths
    # Of each byte, where it stands among those of the table: its place, moved by as much as its text is.
    places = np.arange(offsets[-1]) + np.repeat(firsts[column.codes] - offsets[:-1], each)
    return _validity(valid, [offsets, np.frombuffer(b"".join(table.texts), np.uint8)[places]])


def _texts(about: Field, column: Column) -> _Buffers:
    values: Sequence[Any] = column.tolist() if isinstance(column, np.ndarray) else column  # type: ignore[assignment]
    valid = None
    if None in values:
        valid = np.fromiter((value is not None for value in values), np.bool_, len(values))
        values = [("" if about.type == "utf8" else b"") if value is None else value for value in values]
    if about.type == "utf8" and values and (told := _joined(values)) is not None:
        return _validity(valid, told)
    values = [_encoded(about, value) for value in values]
    data = b"".join(values)
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    return _validity(valid, [_offsets(about, lengths, len(data)), data])


def _joined(values: Sequence[Any]) -> list[Any] | None:
    """Return the offsets and bytes of texts, encoded all at once with a NUL between them; None where one holds a NUL, or is no text."""
    try:
        marked = "\0".join(values).encode()
    except (TypeError, UnicodeEncodeError):
        return None
    n = len(values)
    marks = np.flatnonzero(np.frombuffer(marked, np.uint8) == 0)
    if len(marks) != n - 1 or len(marked) > _MOST_BYTES:
        return None
    offsets = np.zeros(n + 1, "<i4")
    offsets[1:n] = marks - np.arange(n - 1)
    offsets[n] = len(marked) - (n - 1)
    return [offsets, marked.replace(b"\0", b"")]


def _encoded(about: Field, value: Any) -> bytes:
    try:
        return value.encode() if about.type == "utf8" else bytes(memoryview(value))
    except (AttributeError, TypeError, UnicodeEncodeError) as cause:
        raise ParameterError(f"column {about.name!r} is of {about.type} and cannot hold {value!r}") from cause


def _offsets(about: Field, lengths: np.ndarray[Any, Any], n_bytes: int) -> np.ndarray[Any, Any]:
    if n_bytes > _MOST_BYTES:
        raise ParameterError(f"column {about.name!r} has {n_bytes:,} bytes, more than 2 GiB", hint="write fewer rows at once")
    offsets = np.zeros(len(lengths) + 1, "<i4")
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _as_array(about: Field, column: Column) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]:
    """Return a column's values in its type, and which of them are there; None where all are."""
    wanted = _WANTED[about.type]
    if type(column) is np.ndarray and column.dtype is wanted and column.flags.c_contiguous:  # most are, and a log has many columns
        return column, None
    valid = None
    if isinstance(column, Nullable):
        valid = None if column.valid.all() else column.valid
        column = column.values
    elif not isinstance(column, np.ndarray) and None in column:  # type: ignore[operator]
        valid = np.fromiter((value is not None for value in column), np.bool_, len(column))  # type: ignore[union-attr]
        column = [False if value is None else value for value in column]  # type: ignore[union-attr]
    try:
        values = np.asarray(column) if len(column) else np.empty(0, wanted)
        if wanted.kind == "i" and values.dtype.kind in "iu" and not np.can_cast(values.dtype, wanted):
            _check_range(values, np.iinfo(wanted))
        with np.errstate(over="ignore"):  # beyond what a float32 holds is infinite there
            return np.ascontiguousarray(values.astype(wanted, casting="same_kind", copy=False)), valid
    except (TypeError, ValueError, OverflowError) as cause:
        raise ParameterError(f"column {about.name!r} is of {about.type} and cannot hold its values: {cause}") from cause


def _check_range(values: np.ndarray[Any, Any], limits: np.iinfo[Any]) -> None:
    """Raise OverflowError where a cast would wrap values around."""
    for value in (int(values.min()), int(values.max())):
        if not limits.min <= value <= limits.max:
            raise OverflowError(f"{value} is out of range")


def _validity(valid: np.ndarray[Any, Any] | None, buffers: list[Any]) -> _Buffers:
    if valid is None:
        return 0, [b"", *buffers]
    return len(valid) - int(np.count_nonzero(valid)), [np.packbits(valid, bitorder="little"), *buffers]


class _Flat:
    """A FlatBuffer, written forwards: each table before what it refers to."""

    def __init__(self) -> None:
        self._data = bytearray(4)  # where the first table stands

    def message(self, kind: int, header: _Child, *, n_body_bytes: int) -> bytes:
        """Return an encapsulated message, without its body."""
        self._refer(0, lambda: self.table(("h", _V5), ("B", kind), header, ("q", n_body_bytes)))
        self._align()
        return struct.pack("<iI", -1, len(self._data)) + bytes(self._data)

    def table(self, *fields: tuple[str, int] | _Child | None) -> int:
        """Write a table; a field is a number with its format, or what writes the part that it refers to."""
        size, places = 4, []
        for one in fields:
            width = struct.calcsize(one[0]) if isinstance(one, tuple) else 4
            size += -size % width if one is not None else 0
            places.append(size if one is not None else 0)
            size += width if one is not None else 0
        about = struct.pack(f"<{2 + len(places)}H", 4 + 2 * len(places), size, *places)
        self._align(len(about))
        self._data += about
        start = len(self._data)
        self._data += struct.pack("<i", len(about)) + bytes(size - 4)
        for one, place in zip(fields, places, strict=True):
            if isinstance(one, tuple):
                struct.pack_into(f"<{one[0]}", self._data, start + place, one[1])
            elif one is not None:
                self._refer(start + place, one)
        return start

    def text(self, text: str) -> int:
        """Write a text."""
        data = text.encode()
        self._align(4)
        start = len(self._data)
        self._data += struct.pack("<I", len(data)) + data + b"\x00"
        return start

    def offsets(self, children: Sequence[_Child]) -> int:
        """Write a vector of what it refers to."""
        self._align(4)
        start = len(self._data)
        self._data += struct.pack("<I", len(children)) + bytes(4 * len(children))
        for number, child in enumerate(children):
            self._refer(start + 4 + 4 * number, child)
        return start

    def pairs(self, numbers: Sequence[int]) -> int:
        """Write a vector of structs of two 64-bit integers."""
        self._align(4)
        start = len(self._data)
        self._data += struct.pack(f"<I{len(numbers)}q", len(numbers) // 2, *numbers)
        return start

    def _refer(self, place: int, child: _Child) -> None:
        struct.pack_into("<I", self._data, place, child() - place)

    def _align(self, ahead: int = 0) -> None:
        """Pad so that what stands `ahead` bytes from here is aligned."""
        self._data += bytes(-(len(self._data) + ahead) % _ALIGNED)
