"""Compile rules to Polars expressions, so that one pass over the table measures all of them.

Each rule becomes a `Measure`: the cells to compute in that pass, and what judges their values. Rules that are no scans of one table
(uniqueness, references, queries) are not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

import polars as pl

from sampan.core.refs import nearest
from sampan.core.times import Millis, iso
from sampan.data.contract import (
    AllowedValues,
    AnyRule,
    Bound,
    Condition,
    Custom,
    Distribution,
    Freshness,
    Length,
    NullShare,
    NullTogether,
    Pattern,
    Range,
    RowCount,
    RowRule,
    Scalar,
    Statistic,
)
from sampan.data.findings import Finding, found, note, share_of_rows
from sampan.data.rule_words import describe
from sampan.errors import ParameterError
from sampan.ports import Check
from sampan.table.named import named

_HOUR_MS = 3_600_000
_MOST_WHOLE = 2**63  # beyond, a bound of 64-bit numbers is compared as a decimal
_COMPARED = 4  # texts that are compared one by one
# Of 1,000 samples from the reference itself, one lies further from it than this / √n (Kolmogorov; McDiarmid gives 1.86 for texts).
_CHANCE = 1.95

Judge = Callable[[Sequence[Any], int], Finding | None]


@dataclass(frozen=True, slots=True)
class Measure:
    """What to compute for a rule, and what judges it. `marks` is true in the rows that break it; null says nothing."""

    rule: AnyRule
    cells: tuple[pl.Expr, ...]
    judge: Judge
    marks: pl.Expr | None = None


def measure(rule: AnyRule, schema: pl.Schema, *, checks: Mapping[str, Check], now: Millis | None) -> Measure:
    """Compile a rule.

    Raises
    ------
    ParameterError : it names a check that is not installed, or a moment that is none.
    """
    match rule:
        case NullShare(column=column, also=also):
            missing = named(column).is_null()
            marks = missing | named(column).is_in(_literals(also, schema[column])) if also else missing
            count = marks.sum() if also else named(column).null_count()
            return Measure(rule, (count,), lambda values, n: _judge_missing(rule, int(values[0]), n), marks)
        case RowCount():
            return Measure(rule, (), lambda _, n: _judge_row_count(rule, n))
        case Freshness(column=column):
            return Measure(rule, _moments(column, now), lambda values, n: _judge_age(rule, values, n, now))
        case Statistic(column=column, statistic=statistic):
            return Measure(rule, (_statistic(named(column), statistic),), lambda values, n: _judge_statistic(rule, values[0], n))
        case Distribution(column=column):
            return Measure(rule, _cumulative(rule, schema[column]), lambda values, n: _judge_distribution(rule, values, n))
        case Custom():
            return _custom(rule, checks)
    marks = _marks(rule, schema)
    return Measure(rule, (marks.sum(),), lambda values, n: judge_rows(rule, int(values[0] or 0), n), marks)


def judge_rows(rule: AnyRule, count: int, n_rows: int, *, told: str = "") -> Finding | None:
    """Return a finding if more rows break a rule than it tolerates."""
    tolerated = max(rule.tolerance * n_rows, rule.tolerated) if isinstance(rule, RowRule) else 0
    if count <= tolerated:
        return None
    return found(rule, f"{share_of_rows(count, n_rows)} break “{told or describe(rule)}”", count, n_rows)


def _marks(rule: AnyRule, schema: pl.Schema) -> pl.Expr:
    match rule:
        case AllowedValues(column=column, values=values, forbidden=forbidden):
            listed = _listed(column, values, schema[column])
            return listed if forbidden else ~listed
        case Range(column=column, minimum=low, maximum=high, beyond=beyond):
            return _outside(named(column), schema[column], low, high, beyond)
        case Length(column=column, minimum=low, maximum=high):
            return _outside(named(column).str.len_chars(), pl.UInt32(), low, high, ())
        case Pattern(column=column, pattern=pattern):
            return ~named(column).str.contains(pattern)
        case NullTogether(columns=columns):
            missing = [named(c).is_null() for c in columns]
            return pl.any_horizontal(missing) & ~pl.all_horizontal(missing)
        case Condition(sql=sql):
            return ~pl.sql_expr(sql)
    raise AssertionError(rule)


def _listed(column: str, values: Sequence[Scalar], dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.String and 0 < len(values) <= _COMPARED:
        return pl.any_horizontal(named(column) == str(value) for value in values)  # a third of what looking up takes
    return named(column).is_in(_literals(values, dtype))


def _literals(values: Sequence[Scalar], dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.Boolean or not isinstance(dtype, (pl.Date, pl.Datetime)):
        return pl.lit(pl.Series(list(values), dtype=dtype, strict=False)).implode()
    return pl.lit(pl.Series([_moment(str(value)) for value in values]).cast(dtype, strict=False)).implode()


def _outside(values: pl.Expr, dtype: pl.DataType, low: Bound, high: Bound, beyond: Sequence[str]) -> pl.Expr:
    if low is not None and high is not None:
        closed = {0: "both", 1: "left" if "maximum" in beyond else "right", 2: "none"}[len(set(beyond))]
        return ~values.is_between(_bound(low, dtype), _bound(high, dtype), closed=closed)  # type: ignore[arg-type]
    outside: list[pl.Expr] = []
    if low is not None:
        outside.append(values <= _bound(low, dtype) if "minimum" in beyond else values < _bound(low, dtype))
    if high is not None:
        outside.append(values >= _bound(high, dtype) if "maximum" in beyond else values > _bound(high, dtype))
    if dtype.is_float() and outside and high is None:
        outside.append(values.is_nan())  # above every upper bound, as Polars orders it
    return pl.any_horizontal(outside) if outside else pl.lit(value=False)


def _bound(bound: Bound, dtype: pl.DataType) -> pl.Expr:
    if isinstance(bound, str) and dtype == pl.Time:
        return pl.lit(_time_of_day(bound))
    if isinstance(bound, str):
        return pl.lit(_moment(bound)).cast(dtype) if dtype.is_temporal() else pl.lit(bound)
    beyond = isinstance(bound, int) and abs(bound) >= _MOST_WHOLE and dtype != pl.Int128
    return pl.lit(float(bound) if beyond else bound)  # type: ignore[arg-type]


def _moment(text: str) -> datetime:
    """Read a moment; without an offset it is UTC, as a moment in a table without a time zone is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as cause:
        raise ParameterError(f"{text!r} is no moment", hint="write 2013-01-31 or 2013-01-31T06:00:00") from cause
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _time_of_day(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError as cause:
        raise ParameterError(f"{text!r} is no time of day", hint="write '06:00' or '06:00:00', in quotes") from cause


def require_computable(measures: Sequence[Measure], schema: pl.Schema) -> None:
    """Try all rules on one empty row, so that one that cannot be computed is named before the table is read.

    Raises
    ------
    ParameterError : names the rule and what is wrong with it.
    """
    empty = pl.DataFrame({name: [None] for name in schema}, schema=schema)
    marks = [one.marks.alias(f"{i}") for i, one in enumerate(measures) if one.marks is not None]
    with naming_the_rule(measures, empty.lazy()):
        kinds = empty.select(marks).schema
        _compute(measures, empty.lazy())
    for i, kind in kinds.items():
        if kind != pl.Boolean:
            said = f"the rule “{describe(measures[int(i)].rule)}” gives {kind}, not yes or no"
            raise ParameterError(said, hint="write a condition, like a >= b")


@contextmanager
def naming_the_rule(measures: Sequence[Measure], lazy: pl.LazyFrame) -> Iterator[None]:
    """Say which rule it was where a pass over many fails: a function of the project may raise, or answer too few rows.

    Raises
    ------
    ParameterError : names the rule and what is wrong with it.
    """
    try:
        yield
    except Exception as cause:
        for one in measures:
            try:
                _compute([one], lazy)
            except Exception as found:
                told = f"the rule “{describe(one.rule)}” cannot be computed: {_first_line(found)}"
                raise ParameterError(told, hint="mend the contract") from found
        if isinstance(cause, pl.exceptions.PolarsError):
            raise ParameterError(f"the rules cannot be computed: {_first_line(cause)}", hint="mend the contract") from cause
        raise


def _compute(measures: Sequence[Measure], lazy: pl.LazyFrame) -> None:
    cells = [cell.alias(f"{i}.{j}") for i, one in enumerate(measures) for j, cell in enumerate(one.cells)]
    lazy.select(pl.len().alias("\0n"), *cells).collect(engine="streaming")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _custom(rule: Custom, checks: Mapping[str, Check]) -> Measure:
    check = checks.get(rule.name)
    if check is None:
        close = nearest(rule.name, checks, n=1)
        hint = f"did you mean {close[0]}?" if close else "install the package that brings it"
        raise ParameterError(f"the contract names the check {rule.name!r}, which is not installed", hint=hint)
    marks = check.violations(rule.column, rule.parameters)
    level = rule.level if rule.has_level else check.level

    def judge(values: Sequence[Any], n_rows: int) -> Finding | None:
        count, n_marks = int(values[0] or 0), int(values[1])
        if n_marks not in (1, n_rows):
            said = f"the rule “{describe(rule)}” answers {n_marks:,} times for {n_rows:,} rows"
            raise ParameterError(said, hint="answer yes or no for every row, or once for the whole table")
        count = count * n_rows if n_marks == 1 else count  # one answer holds for all rows
        told = judge_rows(rule, count, n_rows, told=check.describe(rule.column, rule.parameters))
        return told and Finding(
            check=told.check, columns=told.columns, level=level, message=told.message, count=told.count, share=told.share
        )

    return Measure(rule, (marks.sum(), marks.len()), judge, marks)


def _judge_missing(rule: NullShare, count: int, n_rows: int) -> Finding | None:
    if count <= max(rule.max_share * n_rows, rule.tolerated):
        return None
    share = "none may" if rule.max_share == 0 else f"at most {rule.max_share:.2%} may"
    limit = f"at most {rule.tolerated:,} may" if rule.tolerated else share
    return found(rule, f"{share_of_rows(count, n_rows)} lack {rule.column}; {limit}", count, n_rows)


def _judge_row_count(rule: RowCount, n_rows: int) -> Finding | None:
    if n_rows < rule.minimum:
        return found(rule, f"{n_rows:,} rows where at least {rule.minimum:,} are expected", 0, n_rows)
    if rule.maximum is not None and n_rows > rule.maximum:
        return found(rule, f"{n_rows:,} rows where at most {rule.maximum:,} are expected", 0, n_rows)
    return None


def _moments(column: str, now: Millis | None) -> tuple[pl.Expr, ...]:
    """Take the newest moment, the newest that is not after now, and how many are: a wrong date of 2062 must not hide that data is old."""
    moments = named(column).cast(pl.Datetime("ms")).dt.epoch("ms")
    if now is None:
        return (moments.max(),)
    return moments.max(), moments.filter(moments <= now).max(), (moments > now).sum()


def _judge_age(rule: Freshness, moments: Sequence[int | None], n_rows: int, now: Millis | None) -> Finding | None:
    if now is None or moments[0] is None:
        return note("freshness", (rule.column,), f"not judged: {describe(rule)}")
    last, newest, n_after = moments[0], moments[1], moments[2] or 0
    after = f"{n_after:,} {'row lies' if n_after == 1 else 'rows lie'} after now, up to {iso(last)}"
    if newest is None:
        return note("freshness", (rule.column,), f"not judged: {describe(rule)}; {after}")
    hours = (now - newest) / _HOUR_MS
    told = f"the newest {rule.column} is {iso(newest)}, {hours:,.0f} hours ago; {rule.max_hours:g} are allowed"
    if hours > rule.max_hours:
        return found(rule, told + (f"; {after}" if n_after else ""), 0, n_rows)
    return note("freshness", (rule.column,), f"{after}: {rule.column} is judged by those before") if n_after else None


def _statistic(values: pl.Expr, statistic: str) -> pl.Expr:
    if statistic == "distinct_share":
        present = values.drop_nulls()
        return present.n_unique() / values.count()
    if statistic == "n_distinct":
        return values.drop_nulls().n_unique()
    names = {"minimum": "min", "maximum": "max"}
    computed: pl.Expr = getattr(values, names.get(statistic, statistic))()
    return computed


def _judge_statistic(rule: Statistic, value: Any, n_rows: int) -> Finding | None:
    if value is None:
        return note("statistic", (rule.column,), f"not judged: {describe(rule)}; there is no value")
    measured = float(value)
    low = rule.minimum if rule.minimum is not None else measured
    high = rule.maximum if rule.maximum is not None else measured
    if low <= measured <= high:  # never of NaN
        return None
    return found(rule, f"{measured:,.6g} where “{describe(rule)}” is expected", 0, n_rows)


def _cumulative(rule: Distribution, dtype: pl.DataType) -> tuple[pl.Expr, ...]:
    """Count the values there are, and those up to each edge or equal to each value."""
    values = named(rule.column)
    if rule.values:
        return (values.count(), *((values.cast(pl.String) == value).sum() for value in rule.values))
    finite = values.is_finite() if dtype.is_float() else values.is_not_null()
    return (finite.sum(), *((values <= edge).sum() for edge in rule.edges))


def _judge_distribution(rule: Distribution, counts: Sequence[Any], n_rows: int) -> Finding | None:
    n = int(counts[0] or 0)
    if not n:
        return note("distribution", (rule.column,), f"not judged: {describe(rule)}; there is no value")
    shares = [int(count or 0) / n for count in counts[1:]]
    distance, where = distance_to(rule, shares)
    if distance <= max(rule.max_distance, _CHANCE / n**0.5):
        return None
    told = f"{rule.column} lies {distance:.3f} from its reference; at most {rule.max_distance:g} is allowed. {where}"
    return found(rule, told, 0, n_rows)


def distance_to(rule: Distribution, shares: Sequence[float]) -> tuple[float, str]:
    """Return the distance of measured shares from a reference's, and where it is greatest."""
    gaps = [share - expected for share, expected in zip(shares, rule.shares, strict=True)]
    at = max(range(len(gaps)), key=lambda i: abs(gaps[i]))
    change = f"{rule.shares[at]:.1%} were expected, {shares[at]:.1%} are there"
    if not rule.values:
        return abs(gaps[at]), f"up to {rule.edges[at]:g}: {change}"
    others = sum(shares) - sum(rule.shares)
    return (sum(map(abs, gaps)) + abs(others)) / 2, f"{rule.values[at]}: {change}"
