"""Tables that are already in memory: Polars, pandas, Arrow, or columns in a dict."""

from __future__ import annotations

from typing import Any

import polars as pl

from sampan.errors import DataFormatError


def from_memory(data: Any, *, source: str = "table") -> pl.DataFrame:
    """Return `data` as a Polars frame; a pandas index is kept as columns only if it has names.

    Raises
    ------
    DataFormatError : not a table, no column at all, a column name twice, or a column that holds several types.
    """
    frame = _frame(data, source=source)
    if not frame.width:
        raise DataFormatError(f"{source} has no columns", source=source, hint="give a table with at least one column")
    return frame


def thinned(frame: pl.LazyFrame, step: int) -> pl.DataFrame:
    """Return every so many-th row, from the first; read as a stream, which Polars' own `gather_every` is not."""
    if step <= 1:
        return frame.collect(engine="streaming")
    row = "\0row"
    return frame.with_row_index(row).filter(pl.col(row) % step == 0).drop(row).collect(engine="streaming")


def _frame(data: Any, *, source: str) -> pl.DataFrame:
    if isinstance(data, pl.LazyFrame):
        data = data.collect()
    if isinstance(data, pl.DataFrame):
        return data
    kind = type(data).__module__.partition(".")[0]
    try:
        if kind == "pandas":
            return _from_pandas(data, source=source)
        if kind == "pyarrow" or hasattr(data, "__arrow_c_stream__"):
            _refuse_twice(_arrow_names(data), source=source)
            return pl.DataFrame(data)
        if isinstance(data, dict):
            return pl.DataFrame(data, strict=True)
    except (pl.exceptions.PolarsError, TypeError, ValueError) as cause:
        first = (str(cause).splitlines() or [type(cause).__name__])[0]
        raise DataFormatError(f"{source} cannot become a table: {first}", source=source, hint="give each column one type") from cause
    raise DataFormatError(
        f"{source} is no table but of type {type(data).__name__}",
        source=source,
        hint="give a Polars, pandas or Arrow table, or a dict of columns",
    )


def _arrow_names(data: Any) -> list[str]:
    schema = getattr(data, "schema", None)
    return [str(name) for name in getattr(schema, "names", [])]


def _from_pandas(data: Any, *, source: str) -> pl.DataFrame:
    if not hasattr(data, "columns"):
        data = data.to_frame()
    _refuse_twice([str(c) for c in data.columns], source=source)
    for name in data.columns:
        if data[name].dtype == object:
            kinds = sorted({type(v).__name__ for v in data[name].dropna()})
            if len(kinds) > 1:
                raise DataFormatError(
                    f"column {name!r} of {source} holds {' and '.join(kinds)}",
                    source=source,
                    hint=f"convert it, e.g. df[{name!r}].astype(str)",
                )
    if any(name is not None for name in data.index.names):
        data = data.reset_index()
    return pl.from_pandas(data, nan_to_null=True)


def _refuse_twice(names: list[str], *, source: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataFormatError(f"{source} has a column twice: {twice[0]!r}", source=source, hint="give every column its own name")
