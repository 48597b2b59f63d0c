"""What a server needs to know of a package beside its predictor: the part of `package.json` it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from sampan.core.times import Millis
from sampan.errors import IntegrityError

FILE_NAME = "package.json"


class Manifest(msgspec.Struct, frozen=True):
    """A package's own words about itself. Members a server does not need are left alone."""

    name: str
    model: str = ""  # reference of the model inside, e.g. "flights-late@v3"
    threshold: float | None = None  # a score at or above it is a positive decision
    request_schema: dict[str, Any] = {}
    keys: tuple[str, ...] = ()  # request fields that name a row
    slices: tuple[str, ...] = ()  # request fields that quality is compared by
    until: Millis = 0  # the online tables hold what was known up to this moment

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """The request fields and their type words."""
        return tuple(
            (name, str(spec.get("type", "")) if isinstance(spec, dict) else str(spec)) for name, spec in self.request_schema.items()
        )


def read_manifest(folder: Path) -> Manifest:
    """Read a package's manifest. Raises IntegrityError if it is missing or broken."""
    file = folder / FILE_NAME
    try:
        return msgspec.json.decode(file.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as cause:
        raise IntegrityError(f"{file} is no package manifest: {cause}", hint="package the model again") from cause
