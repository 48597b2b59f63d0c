"""What a dataset promises: its columns, key and rules. `contract_yaml` writes and reads it as an Open Data Contract Standard file.

A rule is one of the structs below; each has a level (block: the data must not be used; warn: someone should look), the evidence it was
inferred from, and why it is there. Values that a rule speaks of are never null: missing values have rules of their own.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import polars as pl

Level = Literal["block", "warn"]
LEVELS: tuple[Level, ...] = ("block", "warn")
LOGICAL_TYPES = ("string", "integer", "number", "boolean", "date", "timestamp", "time", "array", "object")
Scalar = str | int | float | bool


class Rule(msgspec.Struct, frozen=True, kw_only=True, tag_field="check"):
    """Base of all rules."""

    level: Level = "warn"
    evidence: str = ""  # what was counted when the rule was inferred
    why: str = ""


class NullShare(Rule, frozen=True, kw_only=True, tag="null_share"):
    """At most this share of a column's values is missing."""

    column: str
    max_share: float


class AllowedValues(Rule, frozen=True, kw_only=True, tag="values"):
    """A column has no other values than these."""

    column: str
    values: tuple[Scalar, ...]


class Range(Rule, frozen=True, kw_only=True, tag="range"):
    """A number lies between two bounds, both allowed; None = open. NaN breaks the rule."""

    column: str
    minimum: float | int | None = None
    maximum: float | int | None = None


class Pattern(Rule, frozen=True, kw_only=True, tag="pattern"):
    """A text matches a regular expression."""

    column: str
    pattern: str


class RowCount(Rule, frozen=True, kw_only=True, tag="row_count"):
    """The table has at least so many rows."""

    minimum: int


class Unique(Rule, frozen=True, kw_only=True, tag="unique"):
    """No two rows agree in all these columns. Rows with a missing value among them are not compared."""

    columns: tuple[str, ...]


class NullTogether(Rule, frozen=True, kw_only=True, tag="null_together"):
    """In every row these columns are all there or all missing."""

    columns: tuple[str, ...]


class Reference(Rule, frozen=True, kw_only=True, tag="reference"):
    """Every row finds its counterpart in another table. A row with a missing value refers to nothing and is counted apart."""

    columns: tuple[str, ...]
    table: str
    to_columns: tuple[str, ...]


class Freshness(Rule, frozen=True, kw_only=True, tag="freshness"):
    """The newest moment of a column is at most so many hours old when the data is checked."""

    column: str
    max_hours: float


class Custom(Rule, frozen=True, kw_only=True, tag="custom"):
    """A rule of a check plug-in (`ports.Check`), with its parameters as the file has them."""

    column: str
    name: str
    parameters: dict[str, Any] = {}
    has_level: bool = True  # False: the file says none, and the plug-in's own counts


AnyRule = NullShare | AllowedValues | Range | Pattern | RowCount | Unique | NullTogether | Reference | Freshness | Custom


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column the table must have."""

    name: str
    type: str  # one of LOGICAL_TYPES
    physical_type: str = ""
    required: bool = False  # no missing value at all; blocks
    description: str = ""
    unit: str = ""
    role: str = ""  # key | time | target | feature | group
    known: str = ""  # when its value is known: the name of a moment column, or "after" the outcome
    other: dict[str, Any] = {}  # keys of the standard that Sampan keeps and does not use


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """A table's contract."""

    name: str
    version: str = "1.0.0"
    status: str = "draft"
    owner: str = ""
    description: str = ""
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    rules: tuple[AnyRule, ...] = ()
    other: dict[str, Any] = {}

    def column(self, name: str) -> Column | None:
        """Return a column by name."""
        return next((c for c in self.columns if c.name == name), None)

    def known(self) -> dict[str, str]:
        """Return, for each column that says so, when its value is known."""
        return {c.name: c.known for c in self.columns if c.known}


def columns_of(rule: AnyRule) -> tuple[str, ...]:
    """Return the columns a rule reads; () for a rule of the whole table."""
    if isinstance(rule, Unique | NullTogether | Reference):
        return rule.columns
    return () if isinstance(rule, RowCount) else (rule.column,)


def describe(rule: AnyRule) -> str:
    """Say a rule in words a person who owns the data would use."""
    match rule:
        case NullShare(column=column, max_share=0.0):
            return f"{column} is never missing"
        case NullShare(column=column, max_share=share):
            return f"{column} is missing in at most {share:.2%} of the rows"
        case AllowedValues(column=column, values=values):
            shown = ", ".join(map(str, values[:8])) + (f" … ({len(values)} values)" if len(values) > 8 else "")
            return f"{column} is one of {shown}"
        case Range(column=column, minimum=None, maximum=high):
            return f"{column} is at most {high:,}"
        case Range(column=column, minimum=low, maximum=None):
            return f"{column} is at least {low:,}"
        case Range(column=column, minimum=low, maximum=high):
            return f"{column} is between {low:,} and {high:,}"
        case Pattern(column=column, pattern=pattern):
            return f"{column} looks like {pattern}"
        case RowCount(minimum=n):
            return f"the table has at least {n:,} rows" if n != 1 else "the table has rows"
        case Unique(columns=columns):
            return f"{' + '.join(columns)} is unique"
        case NullTogether(columns=columns):
            return f"{', '.join(columns)} are missing together or not at all"
        case Reference(columns=columns, table=table, to_columns=to):
            return f"{' + '.join(columns)} is found in {table} ({' + '.join(to)})"
        case Freshness(column=column, max_hours=hours):
            return f"the newest {column} is at most {hours:g} hours old"
        case Custom(column=column, name=name):
            return f"{column} passes {name}"


def logical_type(dtype: pl.DataType) -> str:
    """Name a Polars type as the standard does.

    >>> logical_type(pl.Int64())
    'integer'
    """
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "number"
    if isinstance(dtype, pl.Datetime):
        return "timestamp"
    names: tuple[tuple[type[pl.DataType], str], ...] = (
        (pl.Boolean, "boolean"),
        (pl.Date, "date"),
        (pl.Time, "time"),
        (pl.List, "array"),
        (pl.Array, "array"),
        (pl.Struct, "object"),
    )
    return next((name for kind, name in names if isinstance(dtype, kind)), "string")
