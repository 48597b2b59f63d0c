"""What a package says of itself, as far as those who carry it elsewhere need to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from sampan.errors import IntegrityError

MANIFEST: Final = "package.json"
PROBE: Final = "probe.parquet"
EXPECTED: Final = "__score"


class PackageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The part of `package.json` that is read here."""

    name: str
    version: str
    model: str
    flavor: str
    served_by: str
    request_schema: dict[str, dict[str, Any]]
    threshold: float | None = None


def read_facts(package: Path) -> PackageFacts:
    """Read a package's manifest. Raises IntegrityError where it has none."""
    try:
        return msgspec.json.decode((package / MANIFEST).read_bytes(), type=PackageFacts)
    except (OSError, msgspec.DecodeError) as cause:
        raise IntegrityError(f"{package} is no package: {cause}", hint="sampan model pack MODEL --out FOLDER makes one") from cause
