"""`sp.data(…)`: a dataset to read in a program. What it is given becomes a version, and what is read an input of the run that goes on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sampan.core.graph import Node
from sampan.core.refs import parse_ref
from sampan.errors import UsageError
from sampan.workspace.data.derivation import derive_from_reading, note_reading
from sampan.workspace.governing.governance import require_allowed
from sampan.workspace.runs.live_runs import WATCHED_PROJECT
from sampan.workspace.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

    from sampan.governance.terms import Terms

KIND = "dataset"


class Dataset:
    """One version of a dataset."""

    def __init__(self, ws: Workspace, node: Node) -> None:
        self._ws = ws
        self.node = node

    @property
    def ref(self) -> str:
        """The version's reference, such as loans@v3."""
        return self.node.ref

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.node.name

    @property
    def columns(self) -> dict[str, str]:
        """Each column's type, as Polars names it."""
        return dict(self.node.facts["columns"])

    def __len__(self) -> int:
        return int(self.node.facts["n_rows"])

    def scan(self) -> pl.LazyFrame:
        """Return the rows as a lazy Polars frame; only what a query needs is read."""
        return self._ws.store.tables.scan(self.node.digest)

    def frame(self) -> pl.DataFrame:
        """Return all rows as a Polars frame."""
        return self._ws.store.tables.read(self.node.digest)

    def to_pandas(self) -> Any:
        """Return all rows as a pandas frame; pandas has to be installed."""
        return self.frame().to_pandas()

    def __repr__(self) -> str:
        return f"<dataset {self.ref}, {len(self):,} rows>"


def data(
    source: Any,
    *,
    name: str = "",
    key: Sequence[str] | str = (),
    time: str = "",
    owner: str = "",
    description: str = "",
    project: str | Path = "",
    purpose: str = "",
    terms: Terms | None = None,
) -> Dataset:
    """Return a dataset: one that is there by its reference, or a file or table, which becomes a version if its content is new.

    Parameters
    ----------
    source : a reference such as "loans" or "loans@v3"; the path of a file; a Polars, pandas or Arrow table, or a mapping of columns
    name : the dataset's name; by default the file's. A table from memory needs one
    key : the columns that name a row
    time : the column that says when a row happened
    owner : who answers for the data
    description : what it is, in a sentence
    project : the project's folder; by default the one the working directory belongs to
    purpose : what it is read for, held against its terms; by default the project's
    terms : what it may be used for, by `sp.terms(…)`

    Raises
    ------
    NotFound : neither a file nor a dataset has this name.
    UsageError : a table from memory without a name.
    DataFormatError : as `sampan data add`.
    PolicyRefused : its terms forbid the use.
    """
    ws = Workspace.open(project or os.environ.get(WATCHED_PROJECT, "") or ".")
    keys = [key] if isinstance(key, str) else list(key)
    if terms is not None:
        called = name or (Path(source).name.partition(".")[0] if isinstance(source, str | Path) else "")
        ws.policy.say(parse_ref(called).name, terms)
    if isinstance(source, str | Path) and (Path(source).exists() or not _is_reference(source)):
        ref = ws.data.add(Path(source), name=name, key=keys or None, time=time, owner=owner, description=description).ref
    elif isinstance(source, str | Path):
        ref = str(source)
    elif name:
        ref = ws.data.add_table(source, name=name, key=keys or None, time=time, owner=owner, description=description).ref
    else:
        raise UsageError("a table from memory has no name", hint='sp.data(frame, name="loans")')
    found = Dataset(ws, ws.catalog.resolve(ref, kind=KIND))
    if not isinstance(source, str | Path):
        derive_from_reading(ws, found.node)
    require_allowed(ws, [found.node], purpose=purpose)
    note_reading(ws, found.node)
    return found


def _is_reference(source: str | Path) -> bool:
    """Say whether a text can name a version; a name with a file's suffix is more likely a file that is not there."""
    if isinstance(source, Path) or Path(source).suffix in (".csv", ".tsv", ".parquet", ".jsonl", ".json", ".xlsx", ".arrow", ".gz", ".zst"):
        return False
    try:
        parse_ref(source)
    except UsageError:
        return False
    return True
