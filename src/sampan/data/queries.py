"""Rules that are SQL queries: one number, computed over the table and the others it names. Nothing but those tables can be read."""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from sampan.data.contract import Query
from sampan.data.findings import Finding, found, note
from sampan.data.rule_words import describe
from sampan.errors import ParameterError

THIS_TABLE = "data"  # what a query may call the table it belongs to, beside its name
_QUOTED = re.compile(r"'(?:[^']|'')*'")
_COMMENT = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_READS_FILES = re.compile(r"\b(read|scan)_\w+\s*\(", re.IGNORECASE)
_IS_QUERY = re.compile(r"\s*(select|with)\b", re.IGNORECASE)
_TABLE = re.compile(r"\$?\{(object|table|schema|model)\}")
_COLUMN = re.compile(r"\$?\{(property|column|field)\}")


def fault_in_query(sql: str) -> str:
    """Say what is wrong with a query before any table is there; '' if nothing."""
    bare = _COMMENT.sub(" ", _QUOTED.sub("''", sql)).replace('"', "").replace("`", "")
    if not _IS_QUERY.match(bare):
        return "the query must start with SELECT or WITH"
    if _READS_FILES.search(bare):
        return "a query reads the datasets here, no files"
    return ""


def check_query(rule: Query, lazy: pl.LazyFrame, tables: Mapping[str, pl.DataFrame | pl.LazyFrame], n_rows: int) -> list[Finding]:
    """Run a query and judge its number.

    Raises
    ------
    ParameterError : it cannot be run, or answers anything but one number.
    """
    value = _answer(rule, {**{name: table.lazy() for name, table in tables.items()}, THIS_TABLE: lazy})
    if value is None:
        return [note("query", (), f"not judged: {describe(rule)}; the query answers nothing")]
    low = rule.minimum is None or (value > rule.minimum if "minimum" in rule.beyond else value >= rule.minimum)
    high = rule.maximum is None or (value < rule.maximum if "maximum" in rule.beyond else value <= rule.maximum)
    return [] if low and high else [found(rule, f"{value:,.6g} where “{describe(rule)}” is expected", 0, n_rows)]


def _answer(rule: Query, tables: Mapping[str, pl.LazyFrame]) -> float | None:
    fault = fault_in_query(rule.sql)
    if fault:
        raise ParameterError(f"the rule “{describe(rule)}” cannot be run: {fault}", hint="mend the contract")
    column = '"' + rule.column.replace('"', '""') + '"'
    sql = _TABLE.sub(THIS_TABLE, _COLUMN.sub(lambda _: column, rule.sql) if rule.column else rule.sql)
    try:
        with pl.SQLContext(tables) as context:
            answer = context.execute(sql).collect(engine="streaming")
    except pl.exceptions.PolarsError as cause:
        first = (str(cause).strip().splitlines() or ["unknown"])[0]
        raise ParameterError(f"the rule “{describe(rule)}” cannot be run: {first}", hint=f"tables: {', '.join(sorted(tables))}") from cause
    if answer.shape != (1, 1) or not (answer.dtypes[0].is_numeric() or answer.dtypes[0] in (pl.Boolean, pl.Null)):
        said = f"the rule “{describe(rule)}” answers {answer.height} rows of {answer.width} columns, not one number"
        raise ParameterError(said, hint="write a query like SELECT count(*) FROM data WHERE …")
    value = answer.item()
    return None if value is None else float(value)
