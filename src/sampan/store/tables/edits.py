"""Edits of a table's parts: which rows die, which columns are laid over, what is worth compacting. Parts in, parts out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np
import polars as pl

from sampan.core.digests import Digest
from sampan.errors import ParameterError
from sampan.store.tables import deletions
from sampan.store.tables.deletions import Positions
from sampan.store.tables.manifest import Overlay, Part
from sampan.store.tables.parts import Reader, dead_rows, encode, exactly, free_name

Put = Callable[[bytes], Digest]


def numbers_of(rows: pl.Expr | Sequence[int], table: pl.LazyFrame, n_rows: int) -> Positions:
    """Turn what a caller says of rows into row numbers, ascending and distinct."""
    return _numbers_where(rows, table) if isinstance(rows, pl.Expr) else check_numbers(rows, n_rows)


def check_numbers(rows: Sequence[int], n_rows: int) -> Positions:
    """Return row numbers ascending and distinct. Raises ParameterError for one that is not in the table."""
    numbers = np.unique(np.asarray(rows, dtype=np.int64)) if len(rows) else deletions.none()
    outside = numbers[(numbers < 0) | (numbers >= n_rows)]
    if len(outside):
        raise ParameterError(f"row {outside[0]} is not in a table of {n_rows} rows", hint="rows are numbered from 0")
    return numbers


def _numbers_where(condition: pl.Expr, table: pl.LazyFrame) -> Positions:
    names = table.collect_schema().names()
    row = free_name(names, "row")
    try:
        found = table.with_row_index(row).filter(condition).select(pl.col(row).cast(pl.Int64)).collect(engine="streaming")
    except pl.exceptions.PolarsError as cause:
        said = str(cause).splitlines()[0]
        raise ParameterError(f"cannot tell which rows to delete: {said}", hint=_about_columns(table.collect_schema())) from cause
    return np.sort(found[row].to_numpy())


def _about_columns(schema: pl.Schema) -> str:
    """Say what a condition may be made of."""
    columns = "columns: " + ", ".join(f"{name} ({dtype})" for name, dtype in list(schema.items())[:20])
    times = next((name for name, dtype in schema.items() if isinstance(dtype, pl.Date | pl.Datetime)), None)
    return columns if times is None else f"{columns}; a day is written as in {times} < date('2025-12-31')"


def without_rows(parts: Sequence[Part], numbers: Positions, blobs: Reader, put: Put) -> list[Part]:
    """Let rows die, by their number in the table, ascending. Parts without a living row are dropped."""
    left: list[Part] = []
    start = 0
    for part in parts:
        first, last = np.searchsorted(numbers, (start, start + part.n_live))
        dying = numbers[first:last] - start
        start += part.n_live
        if len(dying) == 0:
            left.append(part)
        elif len(dying) < part.n_live:
            left.append(_bury(part, dying, blobs, put))
    return left


def _bury(part: Part, dying: Positions, blobs: Reader, put: Put) -> Part:
    dead = dead_rows(part, blobs)
    # Living rows are none of the dead ones; so nothing is there twice, and where none was dead they are the positions themselves.
    dead = np.sort(np.concatenate([dead, living_rows(part, dead)[dying]])) if len(dead) else dying
    data = deletions.encode(dead)
    return msgspec.structs.replace(part, dead=put(data), n_dead=len(dead), dead_bytes=len(data))


def living_rows(part: Part, dead: Positions) -> Positions:
    """Return the positions of a part's living rows in its file."""
    alive = np.ones(part.n_rows, dtype=bool)
    alive[dead] = False
    return np.flatnonzero(alive)


def with_columns(parts: Sequence[Part], columns: pl.DataFrame, blobs: Reader, put: Put) -> list[Part]:
    """Lay columns over parts; `columns` has a row for each living one. Overlays hidden altogether are dropped."""
    if not columns.width:
        return list(parts)
    laid: list[Part] = []
    start = 0
    for part in parts:
        rows = columns.slice(start, part.n_live)
        start += part.n_live
        data = encode(_spread(rows, part, dead_rows(part, blobs)))
        new = Overlay(put(data), tuple(columns.columns), len(data))
        kept = _visible(part.overlays, set(columns.columns))
        laid.append(msgspec.structs.replace(part, overlays=(*kept, new)))
    return laid


def _spread(rows: pl.DataFrame, part: Part, dead: Positions) -> pl.DataFrame:
    """Give each row of the file its value; a dead one takes a living neighbor's, since a column without nulls is smaller."""
    if len(dead) == 0:
        return rows
    is_live = np.ones(part.n_rows, dtype=bool)
    is_live[dead] = False
    nearest = np.maximum(np.cumsum(is_live) - 1, 0)
    return rows.select(pl.all().gather(pl.Series(nearest)))


def _visible(overlays: Sequence[Overlay], hidden: set[str]) -> list[Overlay]:
    kept: list[Overlay] = []
    for overlay in reversed(overlays):
        if not hidden.issuperset(overlay.columns):
            kept.append(overlay)
        hidden = hidden | set(overlay.columns)
    return kept[::-1]


def groups_to_compact(parts: Sequence[Part], n_rows: int) -> Iterator[tuple[list[Part], bool]]:
    """Group neighbors; the flag says whether rewriting the group as parts of `n_rows` is worth it. A much larger file was adopted."""
    group: list[Part] = []
    for part in parts:
        if part.is_clean and n_rows <= 2 * part.n_rows <= 3 * n_rows:
            if group:
                yield group, _is_worth_it(group, n_rows)
            yield [part], False
            group = []
        else:
            group.append(part)
    if group:
        yield group, _is_worth_it(group, n_rows)


def _is_worth_it(group: Sequence[Part], n_rows: int) -> bool:
    return len(group) > 1 or not group[0].is_clean or group[0].n_rows > n_rows


def check_key(key: Sequence[str], schema: pl.Schema) -> None:
    """Refuse a key that is not made of the table's columns. Raises ParameterError."""
    if not key or isinstance(key, str):
        raise ParameterError(f"key={key!r} names no columns", hint="give a list of column names")
    unknown = [name for name in key if name not in schema]
    if unknown:
        raise ParameterError(
            f"the key names no column of the table: {', '.join(unknown)}", hint="columns: " + ", ".join(schema.names()[:20])
        )
    nested = [f"{name} ({schema[name]})" for name in key if schema[name].is_nested()]
    if nested:
        raise ParameterError(f"nested columns cannot be a key: {', '.join(nested)}")


def check_unique(rows: pl.DataFrame, key: Sequence[str], whose: str) -> None:
    """Refuse rows that share a key. Raises ParameterError naming the key and a value."""
    keys = rows.select(exactly(key))
    # Counting is far cheaper than finding which ones are not; for a single column it is cheaper still.
    if (keys.to_series().n_unique() if keys.width == 1 else keys.n_unique()) == keys.height:
        return
    twice = keys.filter(keys.is_duplicated())
    if twice.height:
        raise not_unique(key, twice.row(0), whose)


def not_unique(key: Sequence[str], value: Sequence[object], whose: str) -> ParameterError:
    """Build the error for a key that several rows share."""
    example = ", ".join(f"{name}={part!r}" if isinstance(part, str) else f"{name}={part}" for name, part in zip(key, value, strict=True))
    return ParameterError(f"the key {', '.join(key)} is not unique in {whose}: several rows have {example}", hint="add columns to the key")


def is_one_of(keys: pl.DataFrame) -> pl.Expr | None:
    """Return the condition of having one of the keys, where a reader can use it to decode no other rows; None where only a join will do."""
    if keys.width != 1 or keys.to_series().null_count() or keys.to_series().dtype.is_float():
        return None
    return exactly(keys.columns).is_in(keys.to_series().implode())


def rows_with_keys(table: pl.LazyFrame, keys: pl.DataFrame, key: Sequence[str]) -> Positions:
    """Return the numbers of the rows that have one of the keys. Raises ParameterError if two rows have the same."""
    row = free_name(key, "row")
    numbered = table.select(exactly(key)).with_row_index(row)
    condition = is_one_of(keys)
    if condition is not None:
        met = numbered.filter(condition)
    else:
        met = numbered.join(keys.lazy(), on=[exactly([name]) for name in key], how="semi", nulls_equal=True)
    found = met.collect(engine="streaming").sort(row)
    check_unique(found, key, "the table")
    return found[row].cast(pl.Int64).to_numpy()


def fit_keys(columns: pl.DataFrame, key: Sequence[str], schema: pl.Schema) -> pl.DataFrame:
    """Bring the key of new columns into the table's types. Raises ParameterError naming what does not fit, or is there twice."""
    missing = [name for name in key if name not in columns.columns]
    if missing:
        raise ParameterError(
            f"the new columns come without the key: {', '.join(missing)}", hint="columns: " + ", ".join(columns.columns[:20])
        )
    if len(columns.columns) == len(key):
        raise ParameterError(f"there is no column beside the key {', '.join(key)}", hint="give the columns to add, too")
    for name in key:
        if columns.schema[name] != schema[name] and not (columns.schema[name].is_integer() and schema[name].is_integer()):
            raise ParameterError(f"the key {name} is {columns.schema[name]} and in the table {schema[name]}", hint=f"cast {name} first")
    try:
        columns = columns.with_columns(exactly([name]).cast(schema[name]) for name in key)
    except pl.exceptions.PolarsError as cause:
        raise ParameterError(f"the key {', '.join(key)} does not fit the table's types: {cause}", hint="cast it first") from cause
    check_unique(columns, key, "the new columns")
    return columns


def columns_by_key(table: pl.LazyFrame, columns: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Lay new columns out in the table's row order. A row without a partner keeps the column's old value, if there was one of its type."""
    schema = table.collect_schema()
    new = [name for name in columns.columns if name not in key]
    kept = [name for name in new if schema.get(name) == columns.schema[name]]
    rows = table.select(exactly([*key, *kept])).collect(engine="streaming")
    if rows.select(exactly(key)).equals(columns.select(exactly(key))):
        return columns.select(exactly(new))  # already in row order: nothing to match
    there = free_name([*key, *new], "there")
    partner = {name: f"{there} {i}" for i, name in enumerate(new)}
    given = columns.select(
        *(exactly([name]) for name in key), *(exactly([n]).alias(p) for n, p in partner.items()), pl.lit(value=True).alias(there)
    )
    joined = rows.join(given, on=[exactly([name]) for name in key], how="left", nulls_equal=True, maintain_order="left")
    value = {name: pl.col(partner[name]) for name in new}
    for name in kept:
        value[name] = pl.when(pl.col(there)).then(pl.col(partner[name])).otherwise(exactly([name]))
    return joined.select(value[name].alias(name) for name in new)
