"""Plain values as JSON that loses nothing: NaN is not null, a tuple is not a list, and equal values give equal bytes.

What JSON has no word for is written as `{"$": what, "v": how}`; a mapping JSON could not hold as it is becomes a list of pairs.
"""

from __future__ import annotations

import base64
import datetime as dt
import enum
import math
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec

from sampan.core.digests import Digest, digest_value
from sampan.errors import ParameterError

_TAG: Final = "$"
_INT64: Final = 1 << 63
# Looked for as dataclasses.is_dataclass does; that module, decimal and uuid are not imported, for a run from cache needs none.
_DATACLASS: Final = "__dataclass_fields__"

_READ: dict[str, Callable[[Any], Any]] = {
    "bytes": base64.b64decode,
    "complex": lambda v: complex(*map(float, v)),
    "date": dt.date.fromisoformat,
    "datetime": dt.datetime.fromisoformat,
    "decimal": lambda v: import_module("decimal").Decimal(v),
    "dict": lambda v: {decode(key): decode(item) for key, item in v},
    "enum": lambda v: _class(v[0])[v[1]],
    "float": float,
    "frozenset": lambda v: frozenset(map(decode, v)),
    "int": int,
    "path": Path,
    "set": lambda v: set(map(decode, v)),
    "struct": lambda v: _class(v[0])(**{name: decode(item) for name, item in v[1].items()}),
    "time": dt.time.fromisoformat,
    "timedelta": lambda v: dt.timedelta(days=v[0], seconds=v[1], microseconds=v[2]),
    "tuple": lambda v: tuple(map(decode, v)),
    "uuid": lambda v: import_module("uuid").UUID(v),
}


def encode(value: Any) -> Any:
    """Write a plain value as JSON-able data.

    Plain are None, booleans, numbers, text, bytes, dates and times, paths, UUIDs, enum members, msgspec Structs, dataclasses, named tuples,
    NumPy scalars, and lists, tuples, sets and mappings of these. Mappings come back in the order of their keys, NumPy scalars as Python's.

    Raises
    ------
    ParameterError : the value, or something inside it, is not plain; the message says where.
    """
    return _encode(value, "")


def decode(data: Any) -> Any:
    """Give back the value that `encode` wrote."""
    if isinstance(data, list):
        return [decode(item) for item in data]
    if not isinstance(data, dict):
        return data
    if _TAG in data:
        return _READ[data[_TAG]](data["v"])
    return {key: decode(item) for key, item in data.items()}


def is_plain(value: Any) -> bool:
    """Say whether `encode` can write the value."""
    try:
        encode(value)
    except ParameterError:
        return False
    return True


def digest_plain(value: Any) -> Digest:
    """Digest a plain value; equal values of equal types have equal digests in every process."""
    return digest_value(encode(value))


def _encode(value: Any, where: str) -> Any:
    if value is None or type(value) in (bool, str):
        return value
    if isinstance(value, enum.Enum):
        return _tagged("enum", [_class_name(type(value)), value.name])
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value) if -_INT64 <= value < _INT64 else _tagged("int", str(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _tagged("float", repr(float(value)))
    if isinstance(value, Mapping):
        return _mapping(value, where)
    if isinstance(value, list):
        return [_encode(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _fields(value, value._fields, where)
    if isinstance(value, tuple):
        return _tagged("tuple", [_encode(item, f"{where}[{i}]") for i, item in enumerate(value)])
    if isinstance(value, (set, frozenset)):
        members = (_encode(item, f"{where}{{…}}") for item in value)
        return _tagged(type(value).__name__, sorted(members, key=lambda m: msgspec.json.encode(m, order="deterministic")))
    return _rarer(value, where)


def _rarer(value: Any, where: str) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return _tagged("bytes", base64.b64encode(value).decode())
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        kind = next(kind for kind in (dt.datetime, dt.date, dt.time) if isinstance(value, kind))
        return _tagged(kind.__name__, value.isoformat())
    if isinstance(value, dt.timedelta):
        return _tagged("timedelta", [value.days, value.seconds, value.microseconds])
    if isinstance(value, complex):
        return _tagged("complex", [repr(value.real), repr(value.imag)])
    if isinstance(value, PurePath):
        return _tagged("path", str(value))
    if type(value).__module__ in ("decimal", "uuid") and type(value).__name__ in ("Decimal", "UUID"):
        return _tagged(type(value).__name__.lower(), str(value))
    if isinstance(value, msgspec.Struct):
        return _fields(value, value.__struct_fields__, where)
    if hasattr(type(value), _DATACLASS):
        from dataclasses import fields

        return _fields(value, [field.name for field in fields(value)], where)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return _encode(value.item(), where)
    place = f" at {where}" if where else ""
    raise ParameterError(
        f"a {type(value).__qualname__}{place} is not a plain value", hint="use numbers, text, dates, or lists and mappings of them"
    )


def _mapping(value: Mapping[Any, Any], where: str) -> Any:
    if all(type(key) is str for key in value) and _TAG not in value:
        return {key: _encode(item, f"{where}.{key}" if where else key) for key, item in value.items()}
    pairs = [[_encode(key, where), _encode(item, f"{where}[{key!r}]")] for key, item in value.items()]
    return _tagged("dict", sorted(pairs, key=lambda pair: msgspec.json.encode(pair, order="deterministic")))


def _fields(value: Any, names: list[str] | tuple[str, ...], where: str) -> Any:
    body = {name: _encode(getattr(value, name), f"{where}.{name}" if where else name) for name in names}
    return _tagged("struct", [_class_name(type(value)), body])


def _tagged(kind: str, value: Any) -> dict[str, Any]:
    return {_TAG: kind, "v": value}


def _class_name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _class(name: str) -> Any:
    """Find a class that was written by name. Only data classes are ever called, so stored text cannot run other code."""
    module, _, qualname = name.partition(":")
    found: Any = import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    if isinstance(found, type) and _holds_data(found):
        return found
    raise ParameterError(f"{name} is no enum, Struct, dataclass or named tuple", hint="the stored value was written by other code")


def _holds_data(kind: type) -> bool:
    return (
        issubclass(kind, (enum.Enum, msgspec.Struct)) or hasattr(kind, _DATACLASS) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )
