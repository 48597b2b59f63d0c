"""`sp.dataset`: name a file as one of the project's datasets, in the same Python file that trains on it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sampan.core.refs import check_name, nearest
from sampan.errors import DataFormatError, ParameterError
from sampan.features.expressions import Columns, FieldSpec

if TYPE_CHECKING:
    import polars as pl

    from sampan.features.nodes import Kind
    from sampan.governance.terms import Terms
    from sampan.workspace.workspace import Workspace


class DataFile(Columns):
    """A file's columns, to write features with, and what the dataset is to be called. Training adds it as a version if it is new."""

    def __init__(
        self,
        file: Path,
        *,
        dataset: str,
        key: Sequence[str],
        time: str,
        owner: str,
        columns: dict[str, FieldSpec],
        terms: Terms | None = None,
    ) -> None:
        super().__init__(**columns)
        self._file, self._dataset, self._key, self._time, self._owner = file, dataset, tuple(key), time, owner
        self._terms = terms

    def __str__(self) -> str:
        return self._dataset

    def add_to(self, workspace: Workspace) -> None:
        """Add the file to a workspace as a version of its dataset, if it is new; its terms hold from before that."""
        if self._terms is not None:
            workspace.policy.say(self._dataset, self._terms, columns=self)
        workspace.data.add(self._file, name=self._dataset, key=list(self._key), time=self._time, owner=self._owner)


def dataset(
    source: str | Path,
    *,
    key: Sequence[str] | str,
    name: str = "",
    time: str = "",
    later: Sequence[str] = (),
    owner: str = "",
    terms: Terms | None = None,
) -> DataFile:
    """Name a file as a dataset and read its columns.

    Parameters
    ----------
    source : CSV, TSV, Parquet or JSON lines; a relative path starts at the file that calls, else at the working directory
    key : the columns that name a row
    name : the dataset's name; by default the file's
    time : the column that says when a row happened
    later : columns known only after the moment of prediction; a feature may use them through the past alone
    owner : who answers for the data
    terms : what it may be used for, by `sp.terms(…)`

    Raises
    ------
    DataFormatError, NotFound : as `sampan data add`.
    ParameterError : `key`, `time` or `later` names a column that is not there.
    """
    from sampan.table.sources import read_source

    beside = Path(str(sys._getframe(1).f_globals.get("__file__", ""))).parent / source
    file = beside if beside.is_file() else Path(source)
    frame = read_source(file).frame
    if not frame.height:
        raise DataFormatError(f"{file.name} has no rows, so its columns have no types", source=str(file), hint="give a file with rows")
    keys = (key,) if isinstance(key, str) else tuple(key)
    wanted = {"key": keys, "time": (time,) if time else (), "later": tuple(later)}
    faults = [
        _unknown(role, column, frame.columns) for role, columns in wanted.items() for column in columns if column not in frame.columns
    ]
    if faults:
        raise ParameterError(f"{file.name}: " + "; ".join(faults))
    # What names a row or places it in time cannot be missing; nor can a column without a single gap be told to have none.
    columns = {c: FieldSpec(_kind(frame.schema[c]), nullable=c not in (*keys, time), later=c in later) for c in frame.columns}
    called = check_name(name or file.name.partition(".")[0])
    return DataFile(file, dataset=called, key=keys, time=time, owner=owner, columns=columns, terms=terms)


def _kind(dtype: pl.DataType) -> Kind:
    import polars as pl

    if dtype == pl.Boolean:
        return "flag"
    if dtype.is_numeric():
        return "number"
    return "moment" if dtype.is_temporal() else "text"


def _unknown(role: str, column: str, known: Sequence[str]) -> str:
    close = nearest(column, known, n=1)
    return f"{role} names {column!r}, which is no column" + (f", did you mean {close[0]!r}?" if close else "")
