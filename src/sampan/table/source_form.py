"""What a person declares of a source, before anything of it is read; and the refusal of what is no file. Loads no table library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from sampan.errors import DataFormatError, NotFound

NULL_SPELLINGS = ("", "NA", "N/A", "#N/A", "NULL", "null", "NaN", "nan")


class SourceForm(msgspec.Struct, frozen=True):
    """What a person declared of a source. Empty means "find out"; what is declared is never overruled.

    `expected` are the types of the dataset that the source is a batch for, in the words of `types`.
    """

    format: str = ""
    encoding: str = ""
    delimiter: str = ""
    null_values: tuple[str, ...] = NULL_SPELLINGS
    types: Mapping[str, str] = msgspec.field(default_factory=dict)
    expected: Mapping[str, str] = msgspec.field(default_factory=dict)
    decimal: str = ""
    thousands: str = ""
    sheet: str = ""
    header: str = ""  # the line that names the columns, from 1, or "none"

    def declared(self) -> list[Any]:
        """Return what makes the same bytes another table."""
        said = [self.format, self.encoding, self.delimiter, list(self.null_values), dict(self.types), dict(self.expected)]
        return [*said, self.decimal, self.thousands, self.sheet, *([self.header] if self.header else [])]


def check_file(path: Path) -> None:
    """Refuse what is no file, naming what is near.

    Raises
    ------
    NotFound : nothing is there.
    DataFormatError : a folder.
    """
    if path.is_dir():
        files = sorted(p.name for p in path.iterdir() if p.is_file())[:5]
        inside = f"; it holds {', '.join(files)}" if files else ""
        raise DataFormatError(f"{path} is a folder, not a file{inside}", source=str(path), hint="name one file in it")
    if not path.exists():
        import difflib

        folder = path.parent
        names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        close = tuple(str(folder / name) for name in difflib.get_close_matches(path.name, names))
        missing = f"no file {path}" if folder.is_dir() else f"no file {path}: the folder {folder} does not exist"
        raise NotFound(missing, did_you_mean=close, hint="" if close else "check the path; relative paths start at the current folder")
