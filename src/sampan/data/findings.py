"""What a check found: a rule that is broken, by how many rows, with examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import polars as pl

from sampan.data.contract import AnyRule, columns_of, rule_name
from sampan.table.named import all_named

N_EXAMPLES = 5
_FIRST_ROWS = 65_536


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
    rows: tuple[int, ...] = ()  # the numbers of the rows that break a blocking rule, where they were asked for

    @property
    def verdict(self) -> str:
        """Say passed, warned or blocked."""
        levels = {f.level for f in self.findings}
        return "blocked" if "block" in levels else "warned" if levels else "passed"

    @property
    def blocked(self) -> bool:
        """Say whether a blocking rule is broken."""
        return self.verdict == "blocked"


def found(rule: AnyRule, message: str, count: int, n_rows: int) -> Finding:
    """Return the finding that a rule is broken by so many rows."""
    share = count / n_rows if n_rows else 0.0
    return Finding(check=rule_name(rule), columns=columns_of(rule), level=rule.level, message=message, count=count, share=share)


def note(check: str, columns: tuple[str, ...], message: str) -> Finding:
    """Return something worth knowing that breaks no rule."""
    return Finding(check=check, columns=columns, level="note", message=message)


def share_of_rows(count: int, n_rows: int) -> str:
    """Write how many rows that is.

    >>> share_of_rows(2, 50)
    '2 of 50 rows (4.00%)'
    """
    return f"{count:,} of {n_rows:,} rows ({count / n_rows:.2%})" if n_rows else "0 rows"


def example_rows(lazy: pl.LazyFrame, marks: pl.Expr, columns: tuple[str, ...], schema: pl.Schema) -> tuple[dict[str, Any], ...]:
    """Fetch the first rows that break a rule: their number, the rule's columns, then the first columns of the table for orientation."""
    shown = list(dict.fromkeys((*columns, *list(schema)[: 8 - min(len(columns), 4)])))
    number = [] if "row" in shown else [pl.col("\0row").alias("row")]
    first = _marked(lazy.head(_FIRST_ROWS), marks, [*number, *all_named(shown)])
    # What breaks a rule often is found among the first rows, which is far cheaper than to look through all.
    return plain_rows(first if first.height == N_EXAMPLES else _marked(lazy, marks, [*number, *all_named(shown)]))


def _marked(lazy: pl.LazyFrame, marks: pl.Expr, shown: Sequence[pl.Expr]) -> pl.DataFrame:
    return lazy.with_row_index("\0row").filter(marks).head(N_EXAMPLES).select(shown).collect()


def plain_rows(frame: pl.DataFrame) -> tuple[dict[str, Any], ...]:
    """Make rows JSON-able."""
    return tuple({name: _plain(value) for name, value in row.items()} for row in frame.to_dicts())


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    isoformat: Callable[[], str] | None = getattr(value, "isoformat", None)
    return isoformat().replace("+00:00", "Z") if isoformat else str(value)
