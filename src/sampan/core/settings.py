"""Settings of a target, as a person writes them: `replicas=3`. A Struct says which there are, of what kind, and what each is by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from sampan.core.decoding import read_builtins
from sampan.core.refs import nearest
from sampan.errors import ParameterError

T = TypeVar("T", bound=msgspec.Struct)


def read_settings(given: Mapping[str, str], kind: type[T]) -> T:
    """Read settings into a Struct.

    Raises
    ------
    ParameterError : naming every setting that is unknown, has a value of another kind, or is needed and was not given.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    faults = [f"{name} is needed" for name, field in fields.items() if field.required and name not in given]
    read: dict[str, Any] = {}
    for name, value in given.items():
        if name not in fields:
            close = nearest(name, fields)
            faults.append(f"there is no setting {name!r}" + (f", perhaps {close[0]}" if close else ""))
            continue
        try:
            read[name] = read_builtins(value, fields[name].type, strict=False)
        except msgspec.ValidationError as cause:
            faults.append(f"{name}={value}: {cause}")
    if faults:
        raise ParameterError("; ".join(faults), parameter="setting", hint="there are " + (", ".join(fields) or "none for this target"))
    return read_builtins(read, kind)
