"""Tables out of other databases: the answer to a query on SQLite or PostgreSQL. Only reading, and in a transaction that can do no more."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from sampan.errors import DataFormatError, NotFound, ParameterError, StoreUnavailable
from sampan.plugins import require

if TYPE_CHECKING:
    import polars as pl

    from sampan.ports import Stage
    from sampan.table.spool import Spool

_FETCHED = 50_000


def read_query(address: str, query: str, spool: Spool, stage: Stage | None = None) -> tuple[str, ...]:
    """Ask a database; return which columns hold values of several types, and are text for that. The other keep the database's types.

    Parameters
    ----------
    address : sqlite:///path or postgresql://user@host/name
    spool : takes the rows, fetched some at a time

    Raises
    ------
    NotFound : there is no such SQLite file.
    StoreUnavailable : the database cannot be reached.
    ParameterError : it does not understand the query, or the query would write.
    DataFormatError : the query answers no columns, or a name twice.
    """
    import polars as pl

    rows = _from_sqlite(address, query) if address.startswith("sqlite:") else _from_postgres(address, query)
    names = next(rows)
    _check_names(names)
    spool.add(pl.DataFrame(schema=dict.fromkeys(names, pl.Null)))
    mixed: set[str] = set()
    for batch in rows:
        columns = list(zip(names, zip(*batch, strict=True), strict=True))
        spool.add(pl.DataFrame([_series(name, values) for name, values in columns]))
        mixed.update(name for name, values in columns if _is_mixed(values))
        if stage is not None:
            stage.advance(len(batch))
    mixed.update(name for name in names if len(spool.kinds(name)) > 1 and spool.schema[name] == pl.String)
    return tuple(sorted(mixed))


def _from_sqlite(address: str, query: str) -> Iterator[Any]:
    named = Path(address.removeprefix("sqlite:///") if address.startswith("sqlite:///") else address.removeprefix("sqlite:"))
    path = named if named.exists() else Path("/") / named
    if not path.is_file():
        said = f"neither {named} nor {path}" if path != named else str(path)
        raise NotFound(f"no SQLite file {said}", hint="write sqlite:///path/to/file.db")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as connection:
            connection.execute("pragma query_only = on")
            cursor = connection.execute(query)
            yield [column[0] for column in cursor.description or ()]
            while batch := cursor.fetchmany(_FETCHED):
                yield batch
    except sqlite3.DatabaseError as cause:
        raise ParameterError(f"{path} does not answer: {cause}", parameter="query", hint="check the query; it may only read") from cause


def _from_postgres(address: str, query: str) -> Iterator[Any]:
    psycopg = require("psycopg", extra="postgres")
    try:
        with psycopg.connect(address, options="-c default_transaction_read_only=on") as connection, connection.cursor("sampan") as cursor:
            cursor.itersize = _FETCHED
            cursor.execute(query)
            yield [column.name for column in cursor.description or ()]
            while batch := cursor.fetchmany(_FETCHED):
                yield batch
    except psycopg.OperationalError as cause:
        first = str(cause).strip().splitlines()[0]
        raise StoreUnavailable(f"the database cannot be reached: {first}", hint="check the address") from cause
    except psycopg.Error as cause:
        first = str(cause).strip().splitlines()[0]
        raise ParameterError(
            f"the database does not answer: {first}", parameter="query", hint="check the query; it may only read"
        ) from cause


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if not names or twice:
        said = f"has the column {twice[0]!r} twice" if twice else "has no columns"
        raise DataFormatError(f"the query's answer {said}", source="query", hint="give each column a name of its own: select a as b")


def _series(name: str, values: Sequence[Any]) -> pl.Series:
    """Make a column of Python values, of text where they are of several types."""
    import polars as pl

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {Decimal, int, float} and Decimal in kinds:
        return pl.Series(name, [None if value is None else float(value) for value in values], dtype=pl.Float64)
    if kinds == {int, float} or (len(kinds) == 1 and kinds.isdisjoint({list, dict, tuple})):
        dtype = pl.Float64 if len(kinds) == 2 else None
        try:
            made = pl.Series(name, values, dtype=dtype, strict=len(kinds) == 1)
            if not isinstance(made.dtype, pl.Object):
                return _in_utc(made)
        except (TypeError, OverflowError, pl.exceptions.PolarsError):
            pass  # no type of Polars holds them: text does
    return pl.Series(name, [None if value is None else _text(value) for value in values], dtype=pl.String if kinds else pl.Null)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode() if isinstance(value, list | dict) else str(value)


def _in_utc(values: pl.Series) -> pl.Series:
    import polars as pl

    if not isinstance(values.dtype, pl.Datetime):
        return values
    micro = values.cast(pl.Datetime("us", values.dtype.time_zone))
    return micro.dt.convert_time_zone("UTC") if values.dtype.time_zone else micro.dt.replace_time_zone("UTC")


def _is_mixed(values: Sequence[Any]) -> bool:
    kinds = {type(value) for value in values if value is not None}
    return len(kinds) > 1 and not kinds <= {int, float, Decimal}
