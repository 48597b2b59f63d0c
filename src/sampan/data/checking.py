"""Hold a table against its contract. All rules of rows compile to one Polars select; keys, references and queries, no scans, go apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import polars as pl

from sampan.core.refs import nearest
from sampan.core.times import Millis
from sampan.data.contract import (
    AnyRule,
    Contract,
    Freshness,
    Query,
    Reference,
    RowCount,
    Statistic,
    Unique,
    all_rules,
    columns_of,
    count_rules,
    logical_type,
)
from sampan.data.findings import N_EXAMPLES, CheckResult, Finding, example_rows, found, note, plain_rows, share_of_rows
from sampan.data.measuring import Measure, judge_rows, measure, naming_the_rule, require_computable
from sampan.data.null_groups import Absence, Absences
from sampan.data.patterns import with_patterns_by_text
from sampan.data.queries import check_query
from sampan.data.rule_words import describe, unjudged
from sampan.data.uniqueness import COUNT, repeated
from sampan.ports import Check
from sampan.table.named import all_named, named

Table = pl.DataFrame | pl.LazyFrame
_ROW = "\0row"
_MOST_ROWS = 100_000  # numbers of rows that break a blocking rule


def check_table(
    contract: Contract,
    frame: Table,
    *,
    tables: Mapping[str, Table] | None = None,
    checks: Mapping[str, Check] | None = None,
    now: Millis | None = None,
) -> CheckResult:
    """Check a table.

    `tables` are those that references and queries lead to, `checks` what custom rules name, `now` the moment freshness is judged at.
    A rule that cannot be judged (no such table, no `now`) is a note, never a silent pass. Columns without a rule are not read.

    Raises
    ------
    ParameterError : a rule names a check that is not installed, or cannot be computed.
    """
    own = dict.fromkeys(own_names(contract), frame)  # a rule that names its own table means the one that is checked
    return _check(contract, frame, {**(tables or {}), **own}, checks or {}, now)[0]


def _check(
    contract: Contract, frame: Table, tables: Mapping[str, Table], checks: Mapping[str, Check], now: Millis | None
) -> tuple[CheckResult, list[AnyRule]]:
    """Check a table; return the result, and the rules of its blocking findings."""
    lazy = frame.lazy()
    schema = lazy.collect_schema()
    structural, usable = _check_structure(contract, schema)
    rules = [rule for rule in all_rules(contract) if all(c in usable for c in columns_of(rule))]
    scanned = [rule for rule in rules if not isinstance(rule, Unique | Reference | Query)]
    measures = [measure(rule, schema, checks=checks, now=now) for rule in scanned]
    require_computable(measures, schema)
    measures = with_patterns_by_text(measures, lazy, schema)
    told, absences, n_rows = _scan(measures, lazy, schema)
    told += [(rule, finding) for rule in rules for finding in _check_apart(rule, lazy, tables, n_rows)]
    findings = [*structural, *(finding for _, finding in told if finding.level != "note")]
    result = CheckResult(
        table=contract.name,
        n_rows=n_rows,
        n_rules=count_rules(contract),
        findings=tuple(sorted(findings, key=lambda f: (f.level != "block", -f.count))),
        notes=(*(finding for _, finding in told if finding.level == "note"), *absences, *_unjudged(contract)),
    )
    return result, [rule for rule, finding in told if finding.level == "block"]


def own_names(contract: Contract) -> set[str]:
    """Return what a contract's rules may call the table they belong to."""
    return {name for name in (contract.name, contract.table) if name}


def _unjudged(contract: Contract) -> list[Finding]:
    return [note("stated", (), f"not judged: {told}") for told in unjudged(contract)]


def check_batch(
    contract: Contract,
    frame: Table,
    *,
    tables: Mapping[str, Table] | None = None,
    checks: Mapping[str, Check] | None = None,
    now: Millis | None = None,
) -> CheckResult:
    """Check a part of a table on its way in, and number the rows that break a blocking rule.

    Rules about the whole table (rows, freshness, sums, counts of distinct values, queries) say nothing about a part and are left out.
    """
    kept = tuple(rule for rule in contract.rules if not _speaks_of_the_whole(rule))
    known = {**(tables or {}), **{name: _joined(frame, (tables or {}).get(name)) for name in own_names(contract)}}
    result, blocking = _check(msgspec.structs.replace(contract, rules=kept), frame, known, checks or {}, now)
    return msgspec.structs.replace(result, rows=_rows_of(blocking, frame.lazy(), checks or {}, known))


def _joined(batch: Table, there: Table | None) -> Table:
    """Return the table as it will be with a batch, so that a row may refer to one that comes with it."""
    if there is None:
        return batch
    here, known = batch.lazy().collect_schema(), there.lazy().collect_schema()
    fits = all(known[name] == dtype for name, dtype in here.items() if name in known)
    return pl.concat([there.lazy(), batch.lazy()], how="diagonal") if fits else there


def _speaks_of_the_whole(rule: AnyRule) -> bool:
    if isinstance(rule, RowCount):
        return rule.minimum > 1 or rule.maximum is not None
    if isinstance(rule, Statistic):
        return rule.statistic in ("sum", "n_distinct", "distinct_share")
    return isinstance(rule, Query | Freshness)


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
        if column.type and actual != column.type and not (column.type == "number" and actual == "integer"):
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


Told = list[tuple[AnyRule, Finding]]


def _scan(measures: Sequence[Measure], lazy: pl.LazyFrame, schema: pl.Schema) -> tuple[Told, list[Finding], int]:
    """Compute every rule's cells in one pass, then fetch example rows of the broken ones and of columns that are missing together."""
    # Only columns that a rule speaks of are read: a pass costs what the contract asks.
    asked = {column for one in measures for column in columns_of(one.rule)}
    spoken = [name for name in schema if name in asked]
    absences = Absences(lazy.select(all_named(spoken)))
    cells = [cell.alias(f"{i}.{j}") for i, one in enumerate(measures) for j, cell in enumerate(one.cells)]
    cells += [cell.alias(f"absent.{i}") for i, cell in enumerate(absences.cells)]
    nulls = [named(name).null_count().alias(f"\0null {name}") for name in spoken]
    with naming_the_rule(measures, lazy):
        computed = lazy.select(pl.len().alias("\0n"), *nulls, *cells).collect(engine="streaming").row(0, named=True)
    n_rows = int(computed["\0n"])
    told: Told = []
    for i, one in enumerate(measures):
        finding = one.judge([computed[f"{i}.{j}"] for j in range(len(one.cells))], n_rows)
        if finding is not None and finding.count and one.marks is not None:
            finding = msgspec.structs.replace(finding, examples=example_rows(lazy, one.marks, finding.columns, schema))
        told.extend([(one.rule, finding)] if finding is not None else [])
    n_null = {name: int(computed[f"\0null {name}"]) for name in spoken}
    found_absences = absences.found([computed[f"absent.{i}"] for i in range(len(absences.cells))], n_null, n_rows)
    return told, [_note_absence(one, lazy, schema, n_null[one.columns[0]], n_rows) for one in found_absences], n_rows


def _note_absence(absence: Absence, lazy: pl.LazyFrame, schema: pl.Schema, count: int, n_rows: int) -> Finding:
    """Note rows in which a group of columns is missing together, and what else is missing in just those rows."""
    names, also = absence.columns, absence.also
    more = f"; {', '.join(also)} {'is' if len(also) == 1 else 'are'} missing there too" if also else ""
    told = note("null_together", (*names, *also), f"{share_of_rows(count, n_rows)} lack {', '.join(names)} together{more}")
    examples = example_rows(lazy, named(names[0]).is_null(), (*names, *also)[:4], schema)
    return msgspec.structs.replace(told, count=count, share=count / n_rows, examples=examples)


def _check_apart(rule: AnyRule, lazy: pl.LazyFrame, tables: Mapping[str, Table], n_rows: int) -> list[Finding]:
    if isinstance(rule, Unique):
        return _check_unique(rule, lazy, n_rows)
    if isinstance(rule, Reference):
        return _check_reference(rule, lazy, tables.get(rule.table), n_rows)
    return check_query(rule, lazy, tables, n_rows) if isinstance(rule, Query) else []


def _check_unique(rule: Unique, lazy: pl.LazyFrame, n_rows: int) -> list[Finding]:
    shared = repeated(lazy, rule.columns)
    count = int(shared[COUNT].sum())
    if judge_rows(rule, count, n_rows) is None:
        return []
    values = "1 value is" if shared.height == 1 else f"{shared.height:,} values are"
    message = f"{share_of_rows(count, n_rows)} share {' + '.join(rule.columns)} with another ({values} not unique)"
    return [msgspec.structs.replace(found(rule, message, count, n_rows), examples=_counted_values(shared, rule.columns))]


def _counted_values(values: pl.DataFrame, columns: Sequence[str]) -> tuple[dict[str, object], ...]:
    return plain_rows(values.head(N_EXAMPLES).rename({COUNT: "rows" if "rows" not in columns else "n rows"}))


def _check_reference(rule: Reference, lazy: pl.LazyFrame, other: Table | None, n_rows: int) -> list[Finding]:
    """Count rows without a counterpart, and apart from them rows that refer to nothing."""
    columns, to = list(rule.columns), list(rule.to_columns)
    if other is None:
        return [note("reference", rule.columns, f"not judged: {describe(rule)}; there is no dataset {rule.table!r} here")]
    theirs, ours = other.lazy().collect_schema(), lazy.collect_schema()
    pairs = list(zip(columns, to, strict=True))
    wrong = [f"{c} is {ours[c]}, {rule.table}.{t} is {theirs.get(t, 'missing')}" for c, t in pairs if ours[c] != theirs.get(t)]
    if wrong:
        message = f"{' + '.join(columns)} cannot be looked up in {rule.table}: {'; '.join(wrong)}"
        return [Finding(check="reference", columns=rule.columns, level=rule.level, message=message)]
    present = lazy.select(all_named(columns)).drop_nulls()
    known = other.lazy().select(all_named(to)).unique()
    sizes = present.group_by(all_named(columns)).agg(pl.len().alias(COUNT))
    left, right = all_named(columns), all_named(to)
    lonely = sizes.join(known, left_on=left, right_on=right, how="anti").sort(COUNT, *left, descending=[True, *[False] * len(left)])
    missing, n_present = pl.collect_all([lonely, present.select(pl.len())], engine="streaming")
    count = int(missing[COUNT].sum())
    if judge_rows(rule, count, n_rows) is None:
        return []
    n_missing = n_rows - int(n_present[0, 0])
    apart = f"; {n_missing:,} more lack a value and refer to nothing" if n_missing else ""
    values = f"{missing.height:,} value{'' if missing.height == 1 else 's'} of {' + '.join(columns)}"
    message = f"{share_of_rows(count, n_rows)} have no counterpart in {rule.table}: {values}{apart}"
    told = found(rule, message, count, n_rows)
    return [msgspec.structs.replace(told, examples=_counted_values(missing, columns), n_missing=n_missing)]


def _rows_of(broken: Sequence[AnyRule], lazy: pl.LazyFrame, checks: Mapping[str, Check], tables: Mapping[str, Table]) -> tuple[int, ...]:
    """Number the rows that break these rules, at most _MOST_ROWS of them."""
    numbered, schema = lazy.with_row_index(_ROW), lazy.collect_schema()
    found_rows = []
    for rule in broken:
        if isinstance(rule, Unique):
            present = pl.all_horizontal(named(c).is_not_null() for c in rule.columns)
            found_rows.append(numbered.filter(present & pl.struct(all_named(rule.columns)).is_duplicated()))
        elif isinstance(rule, Reference):
            found_rows.extend(_without_counterpart(rule, numbered, tables.get(rule.table)))
        elif not isinstance(rule, Query) and (marks := measure(rule, schema, checks=checks, now=None).marks) is not None:
            found_rows.append(numbered.filter(marks))
    if not found_rows:
        return ()
    rows = pl.concat([one.select(_ROW) for one in found_rows]).unique().sort(_ROW).head(_MOST_ROWS)
    return tuple(rows.collect().to_series().to_list())


def _without_counterpart(rule: Reference, numbered: pl.LazyFrame, other: Table | None) -> list[pl.LazyFrame]:
    ours, theirs = numbered.collect_schema(), other.lazy().collect_schema() if other is not None else {}
    if other is None or any(ours[c] != theirs.get(t) for c, t in zip(rule.columns, rule.to_columns, strict=True)):
        return []
    known = other.lazy().select(all_named(rule.to_columns)).unique()
    present = numbered.filter(pl.all_horizontal(named(c).is_not_null() for c in rule.columns))
    return [present.join(known, left_on=all_named(rule.columns), right_on=all_named(rule.to_columns), how="anti")]
