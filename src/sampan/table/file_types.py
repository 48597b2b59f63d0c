"""What kind of file some bytes are, by their first ones: images, audio, video, documents, archives, tables, text."""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 4096
_MAGIC: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (8, b"WAVE", "audio/wav"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (8, b"AIFF", "audio/aiff"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PAR1", "application/vnd.apache.parquet"),
    (0, b"ARROW1", "application/vnd.apache.arrow.file"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"\x93NUMPY", "application/x-npy"),
)


# Most files begin with none of these: one look at all of them is enough to know.
_AT_START: Final = tuple(magic for at, magic, _ in _MAGIC if not at)
_WITHIN: Final = tuple(
    (offset, tuple(magic for at, magic, _ in _MAGIC if at == offset)) for offset in sorted({at for at, _, _ in _MAGIC if at})
)

_LIKE_TEXT: Final = (b"BM", b"ID3")  # a table may begin so, with a column BMI; these files have zero bytes in their heads


def sniff_type(head: bytes) -> str:
    r"""Return a file's media type, from its first bytes; text of any kind is text/plain, XML, HTML or JSON where it begins so.

    >>> sniff_type(b"\x89PNG\r\n\x1a\n..."), sniff_type("Hà Nội".encode()), sniff_type(b"\0\1\2")
    ('image/png', 'text/plain', 'application/octet-stream')
    """
    if head.startswith(_AT_START) or any(head.startswith(magics, at) for at, magics in _WITHIN):
        kind = next(kind for at, magic, kind in _MAGIC if head.startswith(magic, at))
        if not (head.startswith(_LIKE_TEXT) and b"\0" not in head[:HEAD_BYTES]):
            return kind
    if not head:
        return "application/x-empty"
    return _text_type(head[:HEAD_BYTES])


def _text_type(head: bytes) -> str:
    if b"\0" in head:
        return "application/octet-stream"
    try:
        text = head.decode()
    except UnicodeDecodeError as cause:
        if cause.start < len(head) - 4:  # the head may end inside a character
            return "application/octet-stream"
        text = head[: cause.start].decode()
    start = text.lstrip("\ufeff \t\r\n")[:64].lower()
    if start.startswith(("<!doctype html", "<html")):
        return "text/html"
    if start.startswith("<svg") or (start.startswith("<?xml") and "<svg" in text):
        return "image/svg+xml"
    return "text/xml" if start.startswith("<?xml") else "application/json" if start.startswith(("{", "[")) else "text/plain"
