"""The language features are written in: plain Python operators over columns, captured as a tree of `nodes`, checked as it is written.

    flights = Columns(origin=text(), distance=number("miles"), time_hour=moment("scheduled hour, UTC"))
    short = flights.distance < 500
    weekday = flights.time_hour.weekday("America/New_York")
    hub = where(flights.origin.isin(["JFK", "EWR"]), 1, 0)

What each operation means, missing values included, is written in `operations.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import NoReturn, TypeAlias, get_args

import msgspec

from sampan.core.refs import nearest
from sampan.errors import ParameterError
from sampan.features.describe import describe
from sampan.features.moments import check_zone, datetime_millis, day_number, duration
from sampan.features.nodes import Apply, AsOf, Column, Kind, Literal, Lookup, Match, Moment, Node, Past, Planned, Stat, walk
from sampan.features.operations import OPERATIONS, same_kind

Constant = bool | int | float | str | datetime | date
Operand: TypeAlias = "Expr | Constant"
_KINDS: tuple[Kind, ...] = get_args(Kind)
_WORDS = {"number": "a number", "text": "text", "moment": "a moment", "flag": "a flag"}


class FieldSpec(msgspec.Struct, frozen=True):
    """What a raw field holds. `later` marks what is known only after the moment of prediction: an outcome, never a feature."""

    type: Kind
    nullable: bool = True
    description: str = ""
    later: bool = False


def number(description: str = "", *, nullable: bool = True, later: bool = False) -> FieldSpec:
    """Declare a column of numbers."""
    return FieldSpec("number", nullable, description, later)


def text(description: str = "", *, nullable: bool = True, later: bool = False) -> FieldSpec:
    """Declare a column of text."""
    return FieldSpec("text", nullable, description, later)


def moment(description: str = "", *, nullable: bool = True, later: bool = False) -> FieldSpec:
    """Declare a column of moments: ISO 8601 text, whole milliseconds since 1970 UTC, or datetimes; UTC where no offset is given."""
    return FieldSpec("moment", nullable, description, later)


def flag(description: str = "", *, nullable: bool = True, later: bool = False) -> FieldSpec:
    """Declare a column that is true or false."""
    return FieldSpec("flag", nullable, description, later)


class Expr:
    """A value computed from a row. Made by operators and functions of this module; immutable."""

    __slots__ = ("kind", "node")
    __hash__ = None  # type: ignore[assignment]  # `==` builds an expression, so it cannot serve a set

    def __init__(self, node: Node, kind: Kind) -> None:
        self.node = node
        self.kind: Kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind} {describe(self.node)}>"

    def __bool__(self) -> NoReturn:
        raise ParameterError(
            f"{self!r} has no truth value before it is computed", hint="use & | ~ instead of and, or, not; where(…) instead of if"
        )

    def __add__(self, other: Operand) -> Expr:
        return apply("add", self, other)

    def __radd__(self, other: Operand) -> Expr:
        return apply("add", other, self)

    def __sub__(self, other: Operand) -> Expr:
        return apply("sub", self, other)

    def __rsub__(self, other: Operand) -> Expr:
        return apply("sub", other, self)

    def __mul__(self, other: Operand) -> Expr:
        return apply("mul", self, other)

    def __rmul__(self, other: Operand) -> Expr:
        return apply("mul", other, self)

    def __truediv__(self, other: Operand) -> Expr:
        return apply("div", self, other)

    def __rtruediv__(self, other: Operand) -> Expr:
        return apply("div", other, self)

    def __floordiv__(self, other: Operand) -> Expr:
        return apply("floor", apply("div", self, other))

    def __mod__(self, other: Operand) -> Expr:
        return apply("mod", self, other)

    def __neg__(self) -> Expr:
        return apply("neg", self)

    def __abs__(self) -> Expr:
        return apply("abs", self)

    def __lt__(self, other: Operand) -> Expr:
        return apply("lt", self, other)

    def __le__(self, other: Operand) -> Expr:
        return apply("le", self, other)

    def __gt__(self, other: Operand) -> Expr:
        return apply("gt", self, other)

    def __ge__(self, other: Operand) -> Expr:
        return apply("ge", self, other)

    def __eq__(self, other: Operand) -> Expr:  # type: ignore[override]  # builds an expression, as in every column language
        return apply("eq", self, other)

    def __ne__(self, other: Operand) -> Expr:  # type: ignore[override]  # as above
        return apply("ne", self, other)

    def __and__(self, other: Operand) -> Expr:
        return apply("and", self, other)

    def __or__(self, other: Operand) -> Expr:
        return apply("or", self, other)

    def __invert__(self) -> Expr:
        return apply("not", self)

    def is_missing(self) -> Expr:
        """Say whether there is no value."""
        return apply("is_missing", self)

    def fill(self, other: Operand) -> Expr:
        """Put `other` where there is no value."""
        return apply("fill", self, other)

    def clip(self, lowest: Operand, highest: Operand) -> Expr:
        """Limit to a range."""
        return apply("min", apply("max", self, lowest), highest)

    def floor(self) -> Expr:
        """Round down."""
        return apply("floor", self)

    def sqrt(self) -> Expr:
        """Take the square root; missing below 0."""
        return apply("sqrt", self)

    def log1p(self) -> Expr:
        """Take log(1 + x); missing at -1 and below."""
        return apply("log1p", self)

    def sin(self) -> Expr:
        """Take the sine of radians."""
        return apply("sin", self)

    def cos(self) -> Expr:
        """Take the cosine of radians."""
        return apply("cos", self)

    def cut(self, edges: Sequence[float]) -> Expr:
        """Number the bin a number falls in: 0 below the first edge, k from the k-th edge on (the edge itself included)."""
        given = [float(e) for e in edges]
        if not given or any(not a < b for a, b in pairwise(given)) or not all(map(_is_finite, given)):
            raise ParameterError(f"bin edges {list(edges)!r} do not rise", hint="give finite numbers, each greater than the one before")
        return apply("cut", self, constants=tuple(given))

    def isin(self, values: Iterable[Constant]) -> Expr:
        """Say whether the value is one of these; none of them is no error, missing stays missing."""
        wanted = [constant(v) for v in values]
        for item in wanted:
            if same_kind(item.kind, self.kind) is None:
                raise ParameterError(f"isin of {self!r}: {_plain(item)!r} is {_WORDS[item.kind]}, not {_WORDS[self.kind]}")
        return apply("isin", self, constants=tuple(sorted({_plain(w) for w in wanted}, key=str)))

    def distance_to(self, values: Iterable[float | date]) -> Expr:
        """Measure how far the nearest of these numbers is; dates stand for their `local_day`."""
        known = sorted({day_number(v) if isinstance(v, date) else float(v) for v in values})
        if not known or not all(map(_is_finite, known)):
            raise ParameterError("distance_to needs at least one finite number or date")
        return apply("distance_to", self, constants=tuple(known))

    def hour(self, zone: str) -> Expr:
        """Return the hour of the local day, 0-23."""
        return apply("hour", self, constants=(check_zone(zone),))

    def minute_of_day(self, zone: str) -> Expr:
        """Return the minute of the local day by the clock on the wall, 0-1439."""
        return apply("minute_of_day", self, constants=(check_zone(zone),))

    def weekday(self, zone: str) -> Expr:
        """Return the local weekday, Monday 0 to Sunday 6."""
        return apply("weekday", self, constants=(check_zone(zone),))

    def month(self, zone: str) -> Expr:
        """Return the local month, 1-12."""
        return apply("month", self, constants=(check_zone(zone),))

    def day_of_year(self, zone: str) -> Expr:
        """Return the local day of the year, 1-366."""
        return apply("day_of_year", self, constants=(check_zone(zone),))

    def local_day(self, zone: str) -> Expr:
        """Number local days from 0 = 1970-01-01; compare with dates by `distance_to`."""
        return apply("local_day", self, constants=(check_zone(zone),))

    def seconds(self) -> Expr:
        """Return seconds since 1970 UTC."""
        return apply("seconds", self)


class Columns(Mapping[str, FieldSpec]):
    """The declared columns of a table; each is an attribute that starts an expression."""

    def __init__(self, **columns: FieldSpec) -> None:
        self._specs = columns
        for name, spec in columns.items():
            if not isinstance(spec, FieldSpec):
                raise ParameterError(f"column {name!r} is declared as {spec!r}", hint="use number(), text(), moment() or flag()")

    def __getattr__(self, name: str) -> Expr:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.column(name)

    def column(self, name: str) -> Expr:
        """Start an expression with the column of this name (also one that cannot be an attribute)."""
        if name not in self._specs:
            close = nearest(name, self._specs)
            raise ParameterError(
                f"no column {name!r} is declared",
                hint=f"did you mean {' or '.join(close)}?" if close else f"declared are: {', '.join(self._specs)}",
            )
        return col(name, self._specs[name].type)

    def __getitem__(self, name: str) -> FieldSpec:
        return self._specs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)


def col(name: str, kind: Kind = "number") -> Expr:
    """Start an expression with a column."""
    if kind not in _KINDS:
        raise ParameterError(f"column {name!r} cannot be of kind {kind!r}", hint=f"kinds are {', '.join(_KINDS)}")
    return Expr(Column(name, kind), kind)


def prediction_moment() -> Expr:
    """Stand for the view's moment of prediction."""
    return Expr(Moment(), "moment")


def constant(value: Constant | Expr) -> Expr:
    """Make an expression of a constant; an expression stays itself. A date is its `local_day`, a datetime a moment."""
    match value:
        case Expr():
            return value
        case bool():
            return _literal(float(value), "flag")
        case int() | float() if _is_finite(float(value)):
            return _literal(float(value), "number")
        case str():
            return _literal(value, "text")
        case datetime():
            return _literal(datetime_millis(value), "moment")
        case date():
            return _literal(day_number(value), "number")
    raise ParameterError(f"{value!r} cannot be part of an expression", hint="use finite numbers, text, dates, datetimes or True and False")


def _literal(value: float | str, kind: Kind) -> Expr:
    return Expr(Literal(value, kind), kind)


def _plain(item: Expr) -> float | str:
    assert isinstance(item.node, Literal)
    return item.node.value


def _is_finite(value: float) -> bool:
    return abs(value) < float("inf")


def apply(op: str, *operands: Operand, constants: tuple[float | str, ...] = ()) -> Expr:
    """Apply an operation to operands, checking their kinds."""
    given = [constant(o) for o in operands]
    operation = OPERATIONS[op]
    kind = operation.kinds([g.kind for g in given])
    if kind is None:
        found = " and ".join(repr(g) for g in given)
        raise ParameterError(f"{op} cannot be applied to {found}", hint=f"it takes {operation.takes}")
    return Expr(Apply(op, tuple(g.node for g in given), constants), kind)


def where(condition: Expr, a: Operand, b: Operand) -> Expr:
    """Choose `a` where the condition holds, `b` where it does not, missing where that is missing."""
    return apply("where", condition, a, b)


def minimum(first: Operand, *others: Operand) -> Expr:
    """Take the smallest; missing if any is missing."""
    return _folded("min", first, others)


def maximum(first: Operand, *others: Operand) -> Expr:
    """Take the greatest; missing if any is missing."""
    return _folded("max", first, others)


def _folded(op: str, first: Operand, others: Sequence[Operand]) -> Expr:
    found = constant(first)
    for other in others:
        found = apply(op, found, other)
    return found


def concat(*parts: Operand, separator: str = "-") -> Expr:
    """Cross categories: join texts; missing if any is missing."""
    return apply("concat", *parts, constants=(separator,))


def lookup(table: str, keys: Mapping[str, Operand], column: str, *, kind: Kind = "number") -> Expr:
    """Fetch a column of a reference table whose rows are taken as known at any moment, such as planes by tail number.

    `keys` maps the table's columns to expressions over the row. No such row, or a missing key, gives missing; of several rows the last
    counts.
    """
    return Expr(Lookup(table, _matches(keys), column, kind), kind)


def as_of(
    table: str,
    keys: Mapping[str, Operand],
    column: str,
    *,
    time: str,
    at: Expr | None = None,
    tolerance: str | float = "1d",
    kind: Kind = "number",
) -> Expr:
    """Fetch a column of the newest row of another table whose `time` is at most `at` and at most `tolerance` older.

    A row is taken as known at its `time`; give an earlier `at` where rows are known later. The newest row counts even if its column is
    missing.
    """
    given = _moment("at", at)
    return Expr(AsOf(table, _matches(keys), time, given.node, duration(tolerance), column, kind), kind)


def past(
    value: Expr,
    *,
    by: Sequence[Expr],
    known_at: Expr,
    window: str | float | None = None,
    stat: Stat = "mean",
    at: Expr | None = None,
    at_least: int = 1,
) -> Expr:
    """Aggregate `value` over earlier rows of the view's own table with the same `by`, those known by `at` and at most `window` before it.

    A row counts from its `known_at` on, if it has a value. Values are kept as multiples of 2**-20, so that sums are exact in any order.
    Fewer than `at_least` rows give missing; a count is missing only where `at` or a key is.
    """
    if value.kind not in ("number", "flag") or (stat == "rate" and value.kind != "flag"):
        raise ParameterError(
            f"past {stat} cannot be taken of {value!r}", hint="a rate needs a flag; mean, sum and count a number or a flag"
        )
    if stat not in get_args(Stat):
        raise ParameterError(f"no statistic {stat!r}", hint=f"one of {', '.join(get_args(Stat))}")
    if not by:
        raise ParameterError("past needs at least one expression in `by`")
    inner = [n for e in (value, known_at, *by) for n in walk(e.node)]
    if any(isinstance(n, AsOf | Past | Moment) for n in inner):
        raise ParameterError(
            "value, known_at and by of past cannot use as_of, past or the moment of prediction", hint="use columns and lookups"
        )
    at_expr, known = _moment("at", at), _moment("known_at", known_at)
    span = None if window is None else duration(window)
    node = Past(tuple(b.node for b in by), value.node, known.node, at_expr.node, span, stat, at_least)
    return Expr(node, "number")


def planned(table: str, keys: Mapping[str, Operand]) -> Expr:
    """Count the rows of a plan known in advance (a schedule) with these keys; a missing key gives missing."""
    return Expr(Planned(table, _matches(keys)), "number")


def _moment(name: str, given: Expr | None) -> Expr:
    found = prediction_moment() if given is None else given
    if found.kind != "moment":
        raise ParameterError(f"{name} is {found!r}, not a moment")
    return found


def _matches(keys: Mapping[str, Operand]) -> tuple[Match, ...]:
    if not keys:
        raise ParameterError("at least one key is needed", hint='write {"column of the table": expression over the row}')
    return tuple(Match(name, constant(value).node) for name, value in keys.items())
