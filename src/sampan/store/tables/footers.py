"""The footer of a Parquet file, read and rewritten without a Parquet library: what adopting a file needs, in milliseconds.

A file ends with its footer (a Thrift struct in the compact protocol), the footer's length (u32, little-endian) and `PAR1`. Taking a file
into a store needs the number of its rows and a file with the same columns and no rows; both are in the footer. Polars would take a fifth
of a second to import for it. Values are never read here, and what a column's type means to Polars is Polars's to say.

References
----------
Apache Parquet format 2.11, `parquet.thrift` (FileMetaData); Apache Thrift, "Thrift compact protocol encoding".
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sampan.errors import DataFormatError

MAGIC = b"PAR1"
_TRAILER_BYTES = 8
_VERSION, _SCHEMA, _N_ROWS, _ROW_GROUPS, _KEY_VALUES, _CREATED_BY = 1, 2, 3, 4, 5, 6
_ORDERS = 7
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_EMPTY_LIST_OF_STRUCTS = bytes([_STRUCT])


class Footer(NamedTuple):
    """What a Parquet file says of itself."""

    n_rows: int
    fields: dict[int, bytes]  # field number -> its encoded value, header left out; the row groups are not among them

    def without_rows(self) -> bytes:
        """Return a Parquet file with the same columns and metadata, and no rows. Equal columns give equal bytes."""
        kept = {number: value for number, value in self.fields.items() if number in _KINDS}
        kept |= {_N_ROWS: b"\0", _ROW_GROUPS: _EMPTY_LIST_OF_STRUCTS}
        encoded = bytearray()
        before = 0
        for number in sorted(kept):
            encoded.append((number - before) << 4 | _KINDS[number])
            encoded += kept[number]
            before = number
        encoded.append(0)
        return MAGIC + bytes(encoded) + len(encoded).to_bytes(4, "little") + MAGIC


_KINDS = {_VERSION: _I32, _SCHEMA: _LIST, _N_ROWS: _I64, _ROW_GROUPS: _LIST, _KEY_VALUES: _LIST, _CREATED_BY: _BINARY, _ORDERS: _LIST}


def read_footer(path: Path, *, source: str) -> Footer:
    """Read a file's footer. Raises DataFormatError naming `source` if the file is no Parquet file, or an encrypted one."""
    try:
        return _parse(_footer_bytes(path, source))
    except (IndexError, KeyError, RecursionError, OSError) as cause:
        reason = "the footer is damaged" if not isinstance(cause, OSError) else cause.strerror or str(cause)
        raise DataFormatError(f"{source} is not a readable Parquet file: {reason}", source=source) from cause


def _footer_bytes(path: Path, source: str) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        is_parquet = size >= len(MAGIC) + _TRAILER_BYTES and file.read(len(MAGIC)) == MAGIC
        trailer = b""
        if is_parquet:
            file.seek(size - _TRAILER_BYTES)
            trailer = file.read(_TRAILER_BYTES)
        n_bytes = int.from_bytes(trailer[:4], "little")
        if trailer[4:] != MAGIC or n_bytes > size - len(MAGIC) - _TRAILER_BYTES:
            raise DataFormatError(f"{source} is not a readable Parquet file: it does not begin and end as one", source=source)
        file.seek(size - _TRAILER_BYTES - n_bytes)
        return file.read(n_bytes)


def _parse(data: bytes) -> Footer:
    fields: dict[int, bytes] = {}
    position = number = 0
    while data[position]:
        head = data[position]
        position += 1
        if head >> 4:
            number += head >> 4
        else:
            raw, position = _varint(data, position)
            number = (raw >> 1) ^ -(raw & 1)
        end = _skip(data, position, head & 0xF)
        if number != _ROW_GROUPS:
            fields[number] = data[position:end]
        position = end
    n_rows, _ = _varint(fields[_N_ROWS], 0)
    if _SCHEMA not in fields:
        raise KeyError(_SCHEMA)
    return Footer(n_rows >> 1, fields)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _skip(data: bytes, position: int, kind: int) -> int:
    """Return where a value ends. Raises IndexError or KeyError where the bytes are no Thrift."""
    if kind == _STRUCT:
        return _skip_struct(data, position)
    if kind in (_I16, _I32, _I64):
        while data[position] >= 0x80:
            position += 1
        return position + 1
    if kind == _BINARY:
        n_bytes, position = _varint(data, position)
        if position + n_bytes > len(data):
            raise IndexError(position)
        return position + n_bytes
    if kind in (_LIST, _SET):
        return _skip_list(data, position)
    if kind == _MAP:
        return _skip_map(data, position)
    return position + {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8}[kind]


def _skip_struct(data: bytes, position: int) -> int:
    """Return where a struct ends. Numbers and booleans, which are most of a footer, are passed without a call."""
    while head := data[position]:
        position += 1
        if head < 0x10:  # the field's number stands apart
            while data[position] >= 0x80:
                position += 1
            position += 1
        kind = head & 0xF
        if _I16 <= kind <= _I64:
            while data[position] >= 0x80:
                position += 1
            position += 1
        elif kind > _FALSE:
            position = _skip(data, position, kind)
    return position + 1


def _skip_list(data: bytes, position: int) -> int:
    head = data[position]
    position += 1
    n_items = head >> 4
    if n_items == 0xF:
        n_items, position = _varint(data, position)
    kind = head & 0xF
    for _ in range(n_items):
        # In a list a boolean takes a byte; among fields its header says it all.
        position = position + 1 if kind in (_TRUE, _FALSE) else _skip(data, position, kind)
    return position


def _skip_map(data: bytes, position: int) -> int:
    n_items, position = _varint(data, position)
    if n_items == 0:
        return position
    kinds = data[position]
    position += 1
    for _ in range(n_items):
        position = _skip(data, _skip(data, position, kinds >> 4), kinds & 0xF)
    return position
