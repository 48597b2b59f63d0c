"""What a dataset promises: its columns, key and rules. `contract_yaml` writes and reads it as an Open Data Contract Standard file.

A rule is one of the structs below; each has a level (block: the data must not be used; warn: someone should look), the evidence it was
inferred from, and why it is there. Values that a rule speaks of are never null: missing values have rules of their own. `rule_words`
says a rule in words, `measuring` compiles it.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    import polars as pl  # brought where a type or a condition is met: contracts are read by commands that open no table

Level = Literal["block", "warn"]
LEVELS: tuple[Level, ...] = ("block", "warn")
LOGICAL_TYPES = ("string", "integer", "number", "boolean", "date", "timestamp", "time", "array", "object")
ROLES = ("key", "time", "target", "feature", "group")
Scalar = str | int | float | bool
Bound = int | float | str | None  # a text is a moment, like 2013-01-01T00:00:00Z; None = open
StatisticName = Literal["mean", "median", "std", "sum", "minimum", "maximum", "n_distinct", "distinct_share"]
STATISTICS: tuple[StatisticName, ...] = ("mean", "median", "std", "sum", "minimum", "maximum", "n_distinct", "distinct_share")


class Rule(msgspec.Struct, frozen=True, kw_only=True, tag_field="check"):
    """Base of all rules."""

    level: Level = "warn"
    evidence: str = ""  # what was counted when the rule was inferred
    why: str = ""
    false_alarms: float | None = None  # expected in a year, if nothing is wrong; None: nobody estimated it


class RowRule(Rule, frozen=True, kw_only=True):
    """Base of the rules that single rows break. `tolerance` is the share of the rows that may, `tolerated` their number."""

    tolerance: float = 0.0
    tolerated: int = 0


class NullShare(Rule, frozen=True, kw_only=True, tag="null_share"):
    """At most this share of a column's values is missing, or at most `tolerated` of them. The values `also` count as missing."""

    column: str
    max_share: float
    tolerated: int = 0
    also: tuple[Scalar, ...] = ()


class AllowedValues(RowRule, frozen=True, kw_only=True, tag="values"):
    """A column has no other values than these; with `forbidden`, none of these."""

    column: str
    values: tuple[Scalar, ...]
    forbidden: bool = False


class Range(RowRule, frozen=True, kw_only=True, tag="range"):
    """A number or moment lies between two bounds; a bound itself is allowed unless `beyond` says otherwise. NaN breaks the rule."""

    column: str
    minimum: Bound = None
    maximum: Bound = None
    beyond: tuple[Literal["minimum", "maximum"], ...] = ()  # the bounds that are not allowed themselves


class Length(RowRule, frozen=True, kw_only=True, tag="length"):
    """A text has so many characters."""

    column: str
    minimum: int | None = None
    maximum: int | None = None


class Pattern(RowRule, frozen=True, kw_only=True, tag="pattern"):
    """A text matches a regular expression (Rust's dialect: no look-around)."""

    column: str
    pattern: str


class RowCount(Rule, frozen=True, kw_only=True, tag="row_count"):
    """The table has at least, or at most, so many rows."""

    minimum: int = 0
    maximum: int | None = None


class Unique(RowRule, frozen=True, kw_only=True, tag="unique"):
    """No two rows agree in all these columns. Rows with a missing value among them are not compared."""

    columns: tuple[str, ...]


class NullTogether(RowRule, frozen=True, kw_only=True, tag="null_together"):
    """In every row these columns are all there or all missing."""

    columns: tuple[str, ...]


class Condition(RowRule, frozen=True, kw_only=True, tag="condition"):
    """An SQL condition holds in every row, like `arrived >= departed`. Where it is neither true nor false, nothing is said."""

    sql: str


class Query(Rule, frozen=True, kw_only=True, tag="query"):
    """An SQL query over this table and others answers one number between two bounds."""

    column: str = ""  # what {property} stands for in the query; "": a query of the table
    sql: str
    minimum: float | int | None = None
    maximum: float | int | None = None
    beyond: tuple[Literal["minimum", "maximum"], ...] = ()


class Statistic(Rule, frozen=True, kw_only=True, tag="statistic"):
    """A statistic of a column's values lies between two bounds."""

    column: str
    statistic: StatisticName
    minimum: float | int | None = None
    maximum: float | int | None = None


class Distribution(Rule, frozen=True, kw_only=True, tag="distribution"):
    """A column is distributed as in its reference, up to a distance.

    For numbers, `edges` ascend and `shares` are the shares of the reference up to each edge, the edge included; the distance is the largest
    difference of these shares (Kolmogorov-Smirnov at the edges). For texts, `shares` go with `values`, all others being one more; the
    distance is half the sum of the differences (total variation). A difference that chance gives alone never counts.
    """

    column: str
    shares: tuple[float, ...]
    max_distance: float
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()


class Reference(RowRule, frozen=True, kw_only=True, tag="reference"):
    """Every row finds its counterpart in another table. A row with a missing value refers to nothing and is counted apart."""

    columns: tuple[str, ...]
    table: str
    to_columns: tuple[str, ...]


class Freshness(Rule, frozen=True, kw_only=True, tag="freshness"):
    """The newest moment of a column is at most so many hours old when the data is checked."""

    column: str
    max_hours: float


class Custom(RowRule, frozen=True, kw_only=True, tag="custom"):
    """A rule in Python: a check plug-in (`ports.Check`) by name, or a function of the project as `checks.py:function`."""

    column: str = ""  # "": a rule of the whole row
    name: str
    parameters: dict[str, Any] = {}
    has_level: bool = True  # False: the file says none, and the plug-in's own counts


class Stated(Rule, frozen=True, kw_only=True, tag="stated"):
    """A rule that is kept and not judged here: a sentence for people, or a rule of another tool."""

    column: str = ""
    engine: str = ""  # the other tool; "": for people
    entry: dict[str, Any]  # the entry of the file, as it is


AnyRule = (
    NullShare
    | AllowedValues
    | Range
    | Length
    | Pattern
    | RowCount
    | Unique
    | NullTogether
    | Condition
    | Query
    | Statistic
    | Distribution
    | Reference
    | Freshness
    | Custom
    | Stated
)
ColumnRule = NullShare | AllowedValues | Range | Length | Pattern | Query | Statistic | Distribution | Custom | Stated


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column the table must have."""

    name: str
    type: str  # one of LOGICAL_TYPES; "": any
    physical_type: str = ""
    required: bool = False  # no missing value at all; blocks
    description: str = ""
    unit: str = ""
    role: str = ""  # one of ROLES
    pii: str = ""  # the class of personal data it holds, like email or name
    known: str = ""  # when its value is known: the name of a moment column, or "after" the outcome
    properties: dict[str, Any] = {}  # custom properties of others, kept as they are
    other: dict[str, Any] = {}  # keys of the standard that Sampan keeps; of them it holds data against logicalTypeOptions


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """A table's contract."""

    name: str
    table: str = ""  # the table's own name in the file, where it has another one
    version: str = "1.0.0"
    status: str = "draft"
    owner: str = ""
    description: str = ""
    licence: str = ""
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    rules: tuple[AnyRule, ...] = ()
    properties: dict[str, Any] = {}
    other: dict[str, Any] = {}
    drafted: tuple[str, ...] = ()  # fingerprints of the rules as they were last drafted: another one was changed by hand (`proposal`)

    def column(self, name: str) -> Column | None:
        """Return a column by name."""
        return next((c for c in self.columns if c.name == name), None)

    def known(self) -> dict[str, str]:
        """Return, for each column that says so, when its value is known."""
        return {c.name: c.known for c in self.columns if c.known}


def all_rules(contract: Contract) -> list[AnyRule]:
    """Return the contract's rules with those its columns and key imply: required, the standard's type options, a key's uniqueness."""
    rules: list[AnyRule] = [NullShare(column=c.name, max_share=0.0, level="block", why="required") for c in contract.columns if c.required]
    for column in contract.columns:
        rules.extend(_option_rules(column))
    rules.extend(rule for rule in contract.rules if not isinstance(rule, Stated))
    if contract.key and not any(isinstance(r, Unique) and set(r.columns) == set(contract.key) for r in rules):
        rules.append(Unique(columns=contract.key, level="block"))
    return rules


def count_rules(contract: Contract) -> int:
    """Count what a check holds a table against: one rule for each column and its type, and all others."""
    return len(contract.columns) + len(all_rules(contract))


def _option_rules(column: Column) -> list[AnyRule]:
    """Turn the standard's logicalTypeOptions into rules; they are part of a type, so they block."""
    options = column.other.get("logicalTypeOptions")
    if not isinstance(options, dict):
        return []
    options = {name: value.isoformat() if isinstance(value, date) else value for name, value in options.items()}
    rules: list[AnyRule] = []
    low, low_itself = _option_bound(options, "minimum", "exclusiveMinimum")
    high, high_itself = _option_bound(options, "maximum", "exclusiveMaximum")
    if low is not None or high is not None:
        beyond = (*(() if low_itself else ("minimum",)), *(() if high_itself else ("maximum",)))
        rules.append(Range(column=column.name, minimum=low, maximum=high, beyond=beyond, level="block", why="logicalTypeOptions"))
    if "minLength" in options or "maxLength" in options:
        shortest, longest = options.get("minLength"), options.get("maxLength")
        rules.append(Length(column=column.name, minimum=shortest, maximum=longest, level="block", why="logicalTypeOptions"))
    if options.get("pattern"):
        rules.append(Pattern(column=column.name, pattern=str(options["pattern"]), level="block", why="logicalTypeOptions"))
    return rules


_HELD_OPTIONS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern"})


def options_not_held(column: Column) -> list[str]:
    """Return what the standard says of a column's type that is kept, and not held the data against."""
    options = column.other.get("logicalTypeOptions")
    named = [name for name in options if name not in _HELD_OPTIONS] if isinstance(options, dict) else []
    return [*named, *(name for name in ("items", "properties") if name in column.other)]


def _option_bound(options: dict[str, Any], name: str, exclusive: str) -> tuple[Bound, bool]:
    """Return a bound and whether it is allowed itself; `exclusive` is a bound of its own, or true beside the other."""
    said = options.get(exclusive)
    if said is None or isinstance(said, bool):
        return options.get(name), not said
    return said, False


def columns_of(rule: AnyRule) -> tuple[str, ...]:
    """Return the columns a rule reads; () for a rule of the whole table, or of a row where the rule does not say."""
    if isinstance(rule, Unique | NullTogether | Reference):
        return rule.columns
    if isinstance(rule, Condition):
        return condition_columns(rule.sql)
    if isinstance(rule, RowCount) or not rule.column:
        return ()
    return (rule.column,)


@cache
def condition_columns(sql: str) -> tuple[str, ...]:
    """Return the columns an SQL condition names, in their order; () where it cannot be parsed."""
    import polars as pl

    try:
        return tuple(dict.fromkeys(pl.sql_expr(sql).meta.root_names()))
    except pl.exceptions.PolarsError:
        return ()


def rule_name(rule: AnyRule) -> str:
    """Name the kind of a rule as findings do: its tag, or the plug-in's name.

    >>> rule_name(RowCount(minimum=1))
    'row_count'
    """
    return rule.name if isinstance(rule, Custom) else str(rule.__struct_config__.tag)


def logical_type(dtype: pl.DataType) -> str:
    """Name a Polars type as the standard does.

    >>> import polars as pl
    >>> logical_type(pl.Int64())
    'integer'
    """
    import polars as pl

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
