"""What a package says of itself, as far as those who carry it elsewhere need to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from sampan.core.decoding import read_json
from sampan.errors import IntegrityError

MANIFEST: Final = "package.json"
PROBE: Final = "probe.parquet"
_OURS: Final = "__"  # how columns begin that are no fields of a request: the expected answers


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
        return read_json((package / MANIFEST).read_bytes(), PackageFacts)
    except (OSError, msgspec.DecodeError) as cause:
        raise IntegrityError(f"{package} is no package: {cause}", hint="sampan model pack MODEL --out FOLDER makes one") from cause


def probe_rows(package: Path) -> list[dict[str, Any]]:
    """Read the requests of a package's probe set. Raises IntegrityError where it has none."""
    import polars as pl

    try:
        frame = pl.read_parquet(package / PROBE)
    except OSError as cause:
        raise IntegrityError(f"{package} has no {PROBE}", hint="pack the model again") from cause
    return frame.select(name for name in frame.columns if not name.startswith(_OURS)).to_dicts()
