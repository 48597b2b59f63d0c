"""From a file's bytes to UTF-8 text, or one error that says where it is not text."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from sampan.errors import DataFormatError, ParameterError

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class Text:
    """UTF-8 bytes without a byte order mark, and the encoding they were in."""

    utf8: bytes
    encoding: str


def decode(data: bytes, *, source: str, encoding: str = "") -> Text:
    """Return the text of `data` as UTF-8. Without a declared encoding it must be UTF-8; nothing is guessed.

    Raises
    ------
    DataFormatError : the bytes are not in that encoding; names the first wrong byte's offset and line.
    ParameterError : `encoding` is no encoding Python knows.
    """
    marked = next((name for bom, name in _BOMS if data.startswith(bom)), "")
    if encoding:
        return _decode_declared(data, encoding, source=source)
    if marked and marked != "utf-8-sig":
        raise DataFormatError(f"{source} is {marked.upper()}, not UTF-8", source=source, hint=f"say --encoding {marked}")
    body = data[len(codecs.BOM_UTF8) :] if marked else data
    _check_utf8(body, source=source, skipped=len(data) - len(body))
    return Text(utf8=body, encoding="utf-8-sig" if marked else "utf-8")


def _decode_declared(data: bytes, encoding: str, *, source: str) -> Text:
    try:
        name = codecs.lookup(encoding).name
        text = data.decode(name)
    except LookupError as cause:
        raise ParameterError(f"no encoding is called {encoding!r}", hint="for instance utf-8, latin-1, cp1252, shift_jis") from cause
    except UnicodeDecodeError as cause:
        line = data.count(b"\n", 0, cause.start) + 1
        raise DataFormatError(
            f"byte {cause.start:,} (line {line}) of {source} is not {encoding}: 0x{data[cause.start]:02x}",
            source=source,
            line=line,
            hint="say another --encoding",
        ) from cause
    return Text(utf8=text.removeprefix("\ufeff").encode(), encoding=name)


def _check_utf8(body: bytes, *, source: str, skipped: int) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    consumed = 0
    for at in range(0, len(body) or 1, _BLOCK):
        block = body[at : at + _BLOCK]
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(block, final=at + _BLOCK >= len(body))
        except UnicodeDecodeError as cause:
            raise _not_utf8(body, consumed - pending + cause.start, source=source, skipped=skipped) from cause
        consumed += len(block)
    zero = body.find(b"\0")
    if zero >= 0:
        line = body.count(b"\n", 0, zero) + 1
        raise DataFormatError(
            f"byte {zero + skipped:,} (line {line}) of {source} is zero: this is not text",
            source=source,
            line=line,
            hint="is it UTF-16 (say --encoding utf-16) or a binary file?",
        )


def _not_utf8(body: bytes, offset: int, *, source: str, skipped: int) -> DataFormatError:
    line = body.count(b"\n", 0, offset) + 1
    return DataFormatError(
        f"byte {offset + skipped:,} (line {line}) of {source} is not UTF-8: 0x{body[offset]:02x}",
        source=source,
        line=line,
        hint="say its encoding, for instance --encoding cp1252",
    )
