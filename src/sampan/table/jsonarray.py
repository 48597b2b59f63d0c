"""A JSON array of objects, some items at a time: no more than a block of it is in memory."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from sampan.core.decoding import decoder_of
from sampan.errors import DataFormatError

_BETWEEN = re.compile(rb"\}\s*,\s*(?=\{)")  # two objects; within an object, too, where it holds an array of objects
_TRIES = 64
_ITEMS = decoder_of(list[dict[str, Any]])
_MARK = b"\xef\xbb\xbf"


def is_array(head: bytes) -> bool:
    """Say whether a text begins as an array."""
    return head.removeprefix(_MARK).lstrip().startswith(b"[")


def array_items(blocks: Iterator[bytes], *, source: str) -> Iterator[list[dict[str, Any]]]:
    """Iterate over the items of an array in UTF-8.

    Raises
    ------
    DataFormatError : it is no array of objects; names the item after which it is not.
    """
    text, n_items, is_open = b"", 0, False
    for block in blocks:
        text += block
        if not is_open and text.strip():
            text, is_open = text.lstrip().removeprefix(b"["), True
        rows, text = _whole_items(text)
        n_items += len(rows)
        if rows:
            yield rows
    end = text.rstrip()
    if not end.endswith(b"]"):
        raise DataFormatError(
            f"the array of {source} is not closed: it breaks off after {n_items:,} objects", source=source, hint="fetch or write it again"
        )
    try:
        rows = _ITEMS.decode(b"[" + end)
    except (msgspec.DecodeError, RecursionError) as cause:
        said = f"{source} is no JSON array of objects: after {n_items:,} of them, {cause}"
        raise DataFormatError(said, source=source, hint="write it again, or one object a line") from cause
    if rows:
        yield rows


def _whole_items(text: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """Return the items that a text holds wholly, and the rest: a cut in the middle of one is no JSON, and the one before is tried."""
    for cut in reversed(deque(_BETWEEN.finditer(text), maxlen=_TRIES)):
        try:
            return _ITEMS.decode(b"[" + text[: cut.start() + 1] + b"]"), text[cut.end() :]
        except (msgspec.DecodeError, RecursionError):
            continue
    return [], text
