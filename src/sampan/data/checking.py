"""Hold a table against its contract. All rules of rows compile to one Polars select; keys and references, which are no scans, go apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from sampan.core.refs import nearest
from sampan.core.times import Millis, iso
from sampan.data.contract import (
    AllowedValues,
    AnyRule,
    Contract,
    Custom,
    Freshness,
    NullShare,
    NullTogether,
    Pattern,
    Range,
    Reference,
    RowCount,
    Unique,
    columns_of,
    describe,
    logical_type,
)
from sampan.data.inference import null_groups
from sampan.errors import ParameterError
from sampan.ports import Check

N_EXAMPLES = 5
_HOUR_MS = 3_600_000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that the table breaks, or (level note) something about it worth knowing."""

    check: str
    columns: tuple[str, ...]
    level: str  # block | warn | note
    message: str
    count: int = 0  # rows
    share: float = 0.0
    n_missing: int = 0  # rows a reference does not speak of, since a value is missing
    examples: tuple[dict[str, Any], ...] = ()


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a table keeps its contract. `findings` are broken rules, the gravest first."""

    table: str
    n_rows: int
    n_rules: int
    findings: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> str:
        """Say passed, warned or blocked."""
        levels = {f.level for f in self.findings}
        return "blocked" if "block" in levels else "warned" if levels else "passed"


def check_table(
    contract: Contract,
    frame: pl.DataFrame | pl.LazyFrame,
    *,
    tables: Mapping[str, pl.DataFrame | pl.LazyFrame] | None = None,
    checks: Mapping[str, Check] | None = None,
    now: Millis | None = None,
) -> CheckResult:
    """Check a table.

    `tables` are those that references lead to, `checks` the plug-ins that custom rules name, `now` the moment freshness is judged at.
    A rule that cannot be judged (no such table, no `now`) is a note, never a silent pass.

    Raises
    ------
    ParameterError : a custom rule names a check that is not installed.
    """
    lazy = frame.lazy()
    schema = lazy.collect_schema()
    structural, usable = _check_structure(contract, schema)
    rules = [rule for rule in _all_rules(contract) if all(c in usable for c in columns_of(rule))]
    scanned = [rule for rule in rules if not isinstance(rule, Unique | Reference)]
    findings, notes, n_rows = _scan(scanned, lazy, schema, checks or {}, now)
    for rule in rules:
        if isinstance(rule, Unique):
            findings.extend(_check_unique(rule, lazy, n_rows))
        elif isinstance(rule, Reference):
            broken, unjudged = _check_reference(rule, lazy, (tables or {}).get(rule.table), n_rows)
            findings.extend(broken)
            notes.extend(unjudged)
    if n_rows:
        notes.extend(_note_absences(lazy, schema, n_rows))
    findings = sorted([*structural, *findings], key=lambda f: (f.level != "block", -f.count))
    n_rules = len(contract.columns) + len(_all_rules(contract))
    return CheckResult(table=contract.name, n_rows=n_rows, n_rules=n_rules, findings=tuple(findings), notes=tuple(notes))


def _all_rules(contract: Contract) -> list[AnyRule]:
    required = [NullShare(column=c.name, max_share=0.0, level="block", why="required") for c in contract.columns if c.required]
    rules: list[AnyRule] = [*required, *contract.rules]
    if contract.key and not any(isinstance(r, Unique) and set(r.columns) == set(contract.key) for r in rules):
        rules.append(Unique(columns=contract.key, level="block"))
    return rules


def _check_structure(contract: Contract, schema: pl.Schema) -> tuple[list[Finding], set[str]]:
    """Compare columns and types; return the findings and the columns whose values can be judged."""
    findings, usable = [], set(schema)
    for column in contract.columns:
        dtype = schema.get(column.name)
        if dtype is None:
            close = nearest(column.name, [n for n in schema if contract.column(n) is None], n=1)
            hint = f"; is {close[0]!r} it under another name?" if close else ""
            findings.append(_structural("column", column.name, f"column {column.name!r} is missing{hint}"))
            continue
        actual = logical_type(dtype)
        if actual != column.type and not (column.type == "number" and actual == "integer"):
            message = f"column {column.name!r} is {actual} ({dtype}) where the contract says {column.type}"
            findings.append(_structural("type", column.name, message))
            usable.discard(column.name)
    for name in schema:
        if contract.column(name) is None:
            message = f"column {name!r} is not in the contract"
            findings.append(Finding(check="column", columns=(name,), level="warn", message=message))
    return findings, usable


def _structural(check: str, column: str, message: str) -> Finding:
    return Finding(check=check, columns=(column,), level="block", message=message)


def _scan(
    rules: Sequence[AnyRule], lazy: pl.LazyFrame, schema: pl.Schema, checks: Mapping[str, Check], now: Millis | None
) -> tuple[list[Finding], list[Finding], int]:
    """Count every rule's violations in one pass, then fetch example rows of the broken ones."""
    compiled = [_compile(rule, schema, checks) for rule in rules]
    cells = [pl.len().alias("n")]
    cells.extend((expression.sum() if is_rows else expression).alias(f"r{i}") for i, (expression, is_rows) in enumerate(compiled))
    measured = lazy.select(cells).collect(engine="streaming").row(0, named=True)
    n_rows = int(measured["n"])
    findings, notes = [], []
    for i, rule in enumerate(rules):
        value = measured[f"r{i}"]
        if isinstance(rule, Freshness) and (now is None or value is None):
            notes.append(Finding(check="freshness", columns=(rule.column,), level="note", message=f"not judged: {describe(rule)}"))
            continue
        judged = _judge(rule, value, n_rows, now, checks)
        if judged is None:
            continue
        expression, is_rows = compiled[i]
        examples = _examples(lazy, expression, columns_of(rule), schema) if is_rows else ()
        findings.append(msgspec.structs.replace(judged, examples=examples))
    return findings, notes, n_rows


def _compile(rule: AnyRule, schema: pl.Schema, checks: Mapping[str, Check]) -> tuple[pl.Expr, bool]:
    """Return an expression and whether it marks rows (else it is one value for the table)."""
    match rule:
        case NullShare(column=column):
            return pl.col(column).is_null(), True
        case AllowedValues(column=column, values=values):
            allowed = pl.lit(pl.Series(list(values), dtype=schema[column], strict=False)).implode()
            return (~pl.col(column).is_in(allowed)).fill_null(value=False), True
        case Range(column=column, minimum=low, maximum=high):
            return _outside(column, low, high, is_float=schema[column].is_float()), True
        case Pattern(column=column, pattern=pattern):
            return (~pl.col(column).str.contains(pattern)).fill_null(value=False), True
        case NullTogether(columns=columns):
            missing = [pl.col(c).is_null() for c in columns]
            return pl.any_horizontal(missing) & ~pl.all_horizontal(missing), True
        case Freshness(column=column):
            return pl.col(column).cast(pl.Datetime("ms")).max().dt.epoch("ms"), False
        case Custom(column=column, name=name, parameters=parameters):
            return _plug_in(name, checks).violations(column, parameters).fill_null(value=False), True
        case _:
            return pl.len(), False


def _outside(column: str, low: float | None, high: float | None, *, is_float: bool) -> pl.Expr:
    values = pl.col(column)
    outside = values.is_nan() if is_float else pl.lit(value=False)
    if low is not None:
        outside = outside | (values < low)
    if high is not None:
        outside = outside | (values > high)
    return outside.fill_null(value=False)


def _plug_in(name: str, checks: Mapping[str, Check]) -> Check:
    if name not in checks:
        close = nearest(name, checks, n=1)
        hint = f"did you mean {close[0]}?" if close else "install the package that brings it"
        raise ParameterError(f"the contract names the check {name!r}, which is not installed", hint=hint)
    return checks[name]


def _judge(rule: AnyRule, value: Any, n_rows: int, now: Millis | None, checks: Mapping[str, Check]) -> Finding | None:
    """Return a finding if what was measured breaks the rule."""
    count = int(value or 0)
    if isinstance(rule, RowCount):
        said = f"{n_rows:,} rows where at least {rule.minimum:,} are expected"
        return None if n_rows >= rule.minimum else _finding(rule, said, 0, n_rows)
    if isinstance(rule, Freshness):
        hours = ((now or 0) - count) / _HOUR_MS
        said = f"the newest {rule.column} is {iso(count)}, {hours:,.0f} hours ago; {rule.max_hours:g} are allowed"
        return None if hours <= rule.max_hours else _finding(rule, said, 0, n_rows)
    if isinstance(rule, NullShare):
        broken = count > rule.max_share * n_rows
        limit = "none may" if rule.max_share == 0 else f"at most {rule.max_share:.2%} may"
        said = f"{_rows(count, n_rows)} lack {rule.column}; {limit}"
        return _finding(rule, said, count, n_rows) if broken else None
    if not count:
        return None
    if isinstance(rule, Custom):
        plug_in = checks[rule.name]
        found = _finding(rule, f"{_rows(count, n_rows)} break “{plug_in.describe(rule.column, rule.parameters)}”", count, n_rows)
        return found if rule.has_level else msgspec.structs.replace(found, level=plug_in.level)
    return _finding(rule, f"{_rows(count, n_rows)} break “{describe(rule)}”", count, n_rows)


def _finding(rule: AnyRule, message: str, count: int, n_rows: int) -> Finding:
    tag = rule.name if isinstance(rule, Custom) else str(rule.__struct_config__.tag)
    share = count / n_rows if n_rows else 0.0
    return Finding(check=tag, columns=columns_of(rule), level=rule.level, message=message, count=count, share=share)


def _rows(count: int, n_rows: int) -> str:
    return f"{count:,} of {n_rows:,} rows ({count / n_rows:.2%})" if n_rows else "0 rows"


def _examples(lazy: pl.LazyFrame, marked: pl.Expr, columns: tuple[str, ...], schema: pl.Schema) -> tuple[dict[str, Any], ...]:
    """Fetch the first rows that break a rule: their number, the rule's columns, then the first columns of the table for orientation."""
    shown = list(dict.fromkeys((*columns, *list(schema)[: 8 - min(len(columns), 4)])))
    rows = (
        lazy.with_row_index("row").filter(marked).select("row" if "row" not in shown else pl.col("row"), *(c for c in shown if c != "row"))
    )
    return _plain_rows(rows.head(N_EXAMPLES).collect())


def _plain_rows(frame: pl.DataFrame) -> tuple[dict[str, Any], ...]:
    return tuple({name: _plain(value) for name, value in row.items()} for row in frame.to_dicts())


def _plain(value: Any) -> Any:
    """Make a value JSON-able."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    isoformat: Callable[[], str] | None = getattr(value, "isoformat", None)
    return isoformat().replace("+00:00", "Z") if isoformat else str(value)


def _check_unique(rule: Unique, lazy: pl.LazyFrame, n_rows: int) -> list[Finding]:
    columns = list(rule.columns)
    present = lazy.select(columns).drop_nulls()
    sizes = present.group_by(columns).agg(pl.len().alias("\0n")).filter(pl.col("\0n") > 1)
    repeated = sizes.sort("\0n", *columns, descending=[True, *[False] * len(columns)]).collect()
    if repeated.is_empty():
        return []
    count = int(repeated["\0n"].sum())
    message = f"{_rows(count, n_rows)} share {' + '.join(columns)} with another ({repeated.height:,} values are not unique)"
    examples = _plain_rows(repeated.head(N_EXAMPLES).rename({"\0n": "rows"} if "rows" not in columns else {"\0n": "n rows"}))
    return [msgspec.structs.replace(_finding(rule, message, count, n_rows), examples=examples)]


def _check_reference(
    rule: Reference, lazy: pl.LazyFrame, other: pl.DataFrame | pl.LazyFrame | None, n_rows: int
) -> tuple[list[Finding], list[Finding]]:
    """Count rows without a counterpart, and apart from them rows that refer to nothing."""
    columns, to = list(rule.columns), list(rule.to_columns)
    if other is None:
        message = f"not judged: {describe(rule)}; there is no dataset {rule.table!r} here"
        return [], [Finding(check="reference", columns=rule.columns, level="note", message=message)]
    theirs = other.lazy().collect_schema()
    ours = lazy.collect_schema()
    wrong = [
        f"{c} is {ours[c]}, {rule.table}.{t} is {theirs.get(t, 'missing')}"
        for c, t in zip(columns, to, strict=True)
        if ours[c] != theirs.get(t)
    ]
    if wrong:
        message = f"{' + '.join(columns)} cannot be looked up in {rule.table}: {'; '.join(wrong)}"
        return [Finding(check="reference", columns=rule.columns, level=rule.level, message=message)], []
    present = lazy.select(columns).drop_nulls()
    known = other.lazy().select(to).unique()
    sizes = present.group_by(columns).agg(pl.len().alias("\0n"))
    missing, n_present = pl.collect_all(
        [
            sizes.join(known, left_on=columns, right_on=to, how="anti").sort("\0n", *columns, descending=[True, *[False] * len(columns)]),
            present.select(pl.len()),
        ]
    )
    n_missing = n_rows - int(n_present[0, 0])
    apart = f"; {n_missing:,} more lack a value and refer to nothing" if n_missing else ""
    if missing.is_empty():
        return [], []
    count = int(missing["\0n"].sum())
    message = f"{_rows(count, n_rows)} have no counterpart in {rule.table}: {missing.height:,} values of {' + '.join(columns)}{apart}"
    examples = _plain_rows(missing.head(N_EXAMPLES).rename({"\0n": "rows"} if "rows" not in columns else {"\0n": "n rows"}))
    found = _finding(rule, message, count, n_rows)
    return [msgspec.structs.replace(found, examples=examples, n_missing=n_missing)], []


def _note_absences(lazy: pl.LazyFrame, schema: pl.Schema, n_rows: int) -> list[Finding]:
    """Note rows in which a group of columns is missing together, and what else is missing in just those rows."""
    notes = []
    for group in null_groups(lazy):
        absent = pl.col(group[0]).is_null()
        others = [name for name in schema if name not in group]
        there = [(pl.col(name).is_null() & absent).sum().alias(name) for name in others]
        everywhere = [pl.col(name).null_count().alias(f"{name}\0all") for name in others]
        counted = lazy.select(absent.sum().alias("\0n"), *there, *everywhere).collect().row(0, named=True)
        count = int(counted["\0n"])
        also = [name for name in others if counted[name] == count and counted[f"{name}\0all"] < n_rows]
        more = f"; {', '.join(also)} {'is' if len(also) == 1 else 'are'} missing there too" if also else ""
        found = Finding(
            check="null_together",
            columns=(*group, *also),
            level="note",
            message=f"{_rows(count, n_rows)} lack {', '.join(group)} together{more}",
            count=count,
            share=count / n_rows,
            examples=_examples(lazy, absent, (*group, *also)[:4], schema),
        )
        notes.append(found)
    return notes
