"""Parts written without a Parquet library: few columns of texts and whole numbers, none missing. What versioning a folder needs.

A folder in which one file changed is a commit of one row; Polars would take longer to import than that takes in all. The files are ordinary
Parquet: one row group, a page a column. Texts of which few are distinct, in runs, stand in a dictionary; the others and numbers are plain.

References
----------
Apache Parquet format 2.11, `parquet.thrift`, `Encodings.md`; Apache Thrift, "Thrift compact protocol encoding".
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Columns = Mapping[str, Sequence[str] | Sequence[int]]

_MAGIC = b"PAR1"
_INT64, _BYTE_ARRAY = 2, 6
_PLAIN, _RLE, _RLE_DICTIONARY = 0, 3, 8
_GZIP = 2
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_UTF8 = 0  # the older word for "these bytes are text"
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
_CREATED_BY = b"sampan"
_LARGEST_DICTIONARY = 1 << 15
_SHARE_OF_RUNS = 8  # values a run holds on average, at least, for a dictionary to pay


def encode_plain(columns: Columns) -> bytes:
    """Write columns of one length, at least one row, as a Parquet file. The same rows always give the same bytes."""
    n_rows = len(next(iter(columns.values())))
    data = bytearray(_MAGIC)
    chunks = [_write_column(data, name, values) for name, values in columns.items()]
    group = _struct(
        (1, _LIST, _list(_STRUCT, [chunk.encoded for chunk in chunks])),
        (2, _I64, _zigzag(sum(chunk.n_bytes for chunk in chunks))),
        (3, _I64, _zigzag(n_rows)),
    )
    return bytes(data) + _footer(columns, n_rows, [group])


def encode_no_rows(columns: Columns) -> bytes:
    """Write a Parquet file with the same columns and no rows."""
    return _MAGIC + _footer(columns, 0, [])


def _footer(columns: Columns, n_rows: int, groups: Sequence[bytes]) -> bytes:
    elements = [_struct((4, _BINARY, _text(b"schema")), (5, _I32, _zigzag(len(columns))))]
    elements += [_element(name, values) for name, values in columns.items()]
    footer = _struct(
        (1, _I32, _zigzag(2)),
        (2, _LIST, _list(_STRUCT, elements)),
        (3, _I64, _zigzag(n_rows)),
        (4, _LIST, _list(_STRUCT, groups)),
        (6, _BINARY, _text(_CREATED_BY)),
        (7, _LIST, _list(_STRUCT, [_struct((1, _STRUCT, _struct()))] * len(columns))),  # smallest and greatest are by the type's order
    )
    return footer + len(footer).to_bytes(4, "little") + _MAGIC


class _Chunk(NamedTuple):
    encoded: bytes
    n_bytes: int  # before compression


def _element(name: str, values: Sequence[str] | Sequence[int]) -> bytes:
    """Describe a column; nothing in it is missing, yet it may be, so that parts of one table look alike."""
    is_text = isinstance(values[0], str)
    logical = [(6, _I32, _zigzag(_UTF8)), (10, _STRUCT, _struct((1, _STRUCT, _struct())))] if is_text else []
    kind = _BYTE_ARRAY if is_text else _INT64
    return _struct((1, _I32, _zigzag(kind)), (3, _I32, _zigzag(1)), (4, _BINARY, _text(name.encode())), *logical)


def _write_column(data: bytearray, name: str, values: Sequence[str] | Sequence[int]) -> _Chunk:
    texts = [value.encode() for value in values if isinstance(value, str)]
    starts, first = len(data), len(data)
    n_bytes = 0
    encoding = _PLAIN
    runs = _runs(texts) if texts else []
    if runs and len(runs) * _SHARE_OF_RUNS <= len(texts) and len(distinct := sorted({text for text, _ in runs})) <= _LARGEST_DICTIONARY:
        n_bytes += _write_page(data, _plain_texts(distinct), len(distinct), _PLAIN, _DICTIONARY_PAGE)
        first, encoding = len(data), _RLE_DICTIONARY
        body = _run_lengths(runs, distinct)
    else:
        body = _plain_texts(texts) if texts else _plain_numbers(values)
    n_bytes += _write_page(data, _levels(len(values)) + body, len(values), encoding, _DATA_PAGE)
    meta = _struct(
        (1, _I32, _zigzag(_BYTE_ARRAY if texts else _INT64)),
        (2, _LIST, _list(_I32, [_zigzag(one) for one in sorted({_PLAIN, _RLE, encoding})])),
        (3, _LIST, _list(_BINARY, [_text(name.encode())])),
        (4, _I32, _zigzag(_GZIP)),
        (5, _I64, _zigzag(len(values))),
        (6, _I64, _zigzag(n_bytes)),
        (7, _I64, _zigzag(len(data) - starts)),
        (9, _I64, _zigzag(first)),
        *([(11, _I64, _zigzag(starts))] if first != starts else []),
        (12, _STRUCT, _statistics(texts, values)),
    )
    return _Chunk(_struct((2, _I64, _zigzag(0)), (3, _STRUCT, meta)), n_bytes)


def _statistics(texts: Sequence[bytes], values: Sequence[str] | Sequence[int]) -> bytes:
    if texts:
        low, high = min(texts), max(texts)
    else:
        numbers = [int(value) for value in values]
        low, high = (number.to_bytes(8, "little", signed=True) for number in (min(numbers), max(numbers)))
    return _struct((3, _I64, _zigzag(0)), (5, _BINARY, _text(high)), (6, _BINARY, _text(low)))


def _write_page(data: bytearray, body: bytes, n_values: int, encoding: int, kind: int) -> int:
    """Append a page with its header; return how many bytes it has before compression."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP_WINDOW)
    packed = packer.compress(body) + packer.flush()
    levels = [(3, _I32, _zigzag(_RLE)), (4, _I32, _zigzag(_RLE))] if kind == _DATA_PAGE else []
    told = _struct((1, _I32, _zigzag(n_values)), (2, _I32, _zigzag(encoding)), *levels)
    header = _struct(
        (1, _I32, _zigzag(kind)),
        (2, _I32, _zigzag(len(body))),
        (3, _I32, _zigzag(len(packed))),
        (5 if kind == _DATA_PAGE else 7, _STRUCT, told),
    )
    data += header + packed
    return len(header) + len(body)


def _levels(n: int) -> bytes:
    """Say that none of n values is missing."""
    run = _varint(n << 1) + b"\1"
    return len(run).to_bytes(4, "little") + run


def _plain_texts(texts: Sequence[bytes]) -> bytes:
    return b"".join([len(text).to_bytes(4, "little") + text for text in texts])


def _plain_numbers(values: Sequence[str] | Sequence[int]) -> bytes:
    numbers = array("q", [int(value) for value in values])
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _runs(texts: Sequence[bytes]) -> list[tuple[bytes, int]]:
    """Return values that follow each other, with how often."""
    found: list[tuple[bytes, int]] = []
    before, n = texts[0], 0
    for text in texts:
        if text != before:
            found.append((before, n))
            before, n = text, 0
        n += 1
    return [*found, (before, n)]


def _run_lengths(runs: Sequence[tuple[bytes, int]], distinct: Sequence[bytes]) -> bytes:
    """Write runs as places in a dictionary, after the bits that a place takes."""
    bits = max(1, (len(distinct) - 1).bit_length())
    place_of = {text: at.to_bytes((bits + 7) // 8, "little") for at, text in enumerate(distinct)}
    return bytes([bits]) + b"".join([_varint(n << 1) + place_of[text] for text, n in runs])


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _zigzag(number: int) -> bytes:
    return _varint(number << 1)  # none here is negative


def _text(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _list(kind: int, items: Sequence[bytes]) -> bytes:
    head = bytes([len(items) << 4 | kind]) if len(items) < 0xF else bytes([0xF0 | kind]) + _varint(len(items))
    return head + b"".join(items)


def _struct(*fields: tuple[int, int, bytes]) -> bytes:
    """Write fields (number, kind, value), ascending."""
    found, before = bytearray(), 0
    for number, kind, value in fields:
        found.append((number - before) << 4 | kind)
        found += value
        before = number
    return bytes(found) + b"\0"
