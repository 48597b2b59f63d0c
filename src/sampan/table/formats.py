"""Which of the formats of tables a file is in, by its first bytes; and the refusal of what is none, with what it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from sampan.errors import DataFormatError
from sampan.table.binary import IPC_FILE
from sampan.table.file_types import sniff_type

FORMATS: Final = ("csv", "parquet", "jsonl", "ipc", "excel")
_PARQUET, _IPC_STREAM = b"PAR1", b"\xff\xff\xff\xff"
_JSON: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\{\s*"|\[\s*\{)')  # no table of text begins so: a quote would stand inside a field
_PICKLE: Final = re.compile(rb"\x80[\x02-\x05]")
# What is taken for a table by mistake: what it is, and what to do.
_NO_TABLES: Final = {
    "text/html": ("a web page", "is it a sign-in page, or an error in place of the file? Open it in a browser"),
    "text/xml": ("XML", "write its rows as CSV or JSON lines"),
    "image/svg+xml": ("an image", "name the folder it is in"),
    "application/pdf": ("a PDF", "export its tables as CSV"),
    "application/vnd.sqlite3": ("an SQLite database", 'ask it: sqlite:///PATH with --query "select …"'),
    "application/x-npy": ("an array of NumPy", "name its columns and write it as Parquet"),
    "application/x-7z-compressed": ("a 7-Zip archive", "unpack it and name one file"),
    "application/vnd.rar": ("a RAR archive", "unpack it and name one file"),
    **dict.fromkeys(
        ("application/zip", "application/gzip", "application/zstd", "application/x-xz"), ("an archive in an archive", "unpack it")
    ),
}
_OF_MEDIA: Final = {"image": "an image", "audio": "a recording", "video": "a film"}


def format_of(head: bytes, name: str, *, source: str) -> str:
    """Return the format of a file.

    Parameters
    ----------
    head : its first bytes, unpacked
    name : its name, or that of the archive's member

    Raises
    ------
    DataFormatError : it is no table.
    """
    if head.startswith(_PARQUET):
        return "parquet"
    if head.startswith((IPC_FILE, _IPC_STREAM)):
        return "ipc"
    suffixes = {suffix.lower() for suffix in Path(name).suffixes}
    if ".parquet" in suffixes:
        what = "is empty" if not head else "is not Parquet: it does not begin with PAR1"
        raise DataFormatError(f"{source} {what}", source=source, hint="write it again; if it is of another format, rename it")
    _refuse_no_table(head, source=source)
    return "jsonl" if {".jsonl", ".ndjson", ".json"} & suffixes or _JSON.match(head) else "csv"


def _refuse_no_table(head: bytes, *, source: str) -> None:
    kind = sniff_type(head)
    what, hint = _NO_TABLES.get(kind, (_OF_MEDIA.get(kind.partition("/")[0], ""), "name the folder it is in: a table of its files"))
    if _PICKLE.match(head):
        what, hint = "a pickle, which may run code when it is read", "write its table as Parquet"
    if what:
        raise DataFormatError(f"{source} is {what}, not a table", source=source, hint=hint)
