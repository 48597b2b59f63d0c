"""Reading JSON, and values made of builtins, as declared types: from any thread.

msgspec finds out what a type is made of when it is first used, and shows that to other threads before it is whole: two that read the same
type for the first time at once end the process with a segmentation fault (0.22). Here a type is made ready by one thread at a time.
"""

from __future__ import annotations

from threading import RLock
from typing import Any, TypeVar

import msgspec

Kind = TypeVar("Kind")
_making_ready = RLock()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}  # by type, of those that this program declares


def read_json(data: bytes | str, kind: type[Kind]) -> Kind:
    """Read JSON as a type. Raises msgspec.DecodeError, and msgspec.ValidationError where it is JSON of another shape."""
    found: Kind = (_decoders.get(kind) or _ready(kind)).decode(data)
    return found


def read_builtins(value: Any, kind: type[Kind], *, strict: bool = True) -> Kind:
    """Read dicts, lists and plain values as a type; not `strict`, also numbers in texts. Raises msgspec.ValidationError."""
    if kind not in _decoders:
        _ready(kind)
    return msgspec.convert(value, kind, strict=strict)


def decoder_of(kind: type[Kind]) -> msgspec.json.Decoder[Kind]:
    """Return a decoder of a type, which may be one made at run time: nothing of it is kept."""
    with _making_ready:
        return msgspec.json.Decoder(kind)


def _ready(kind: Any) -> msgspec.json.Decoder[Any]:
    return _decoders.setdefault(kind, decoder_of(kind))
