"""Columns by their names as they are: Polars takes `*` for all columns and `^…$` for a pattern."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import polars.selectors as cs


def named(name: str) -> pl.Expr:
    """Return the column of this name, whatever the name looks like.

    >>> pl.DataFrame({"*": [1], "b": [2]}).select(named("*")).columns
    ['*']
    """
    return cs.by_name(name).as_expr() if looks_like_pattern(name) else pl.col(name)


def looks_like_pattern(name: str) -> bool:
    """Say whether Polars would take a name for more than one column."""
    return name == "*" or (name.startswith("^") and name.endswith("$"))


def all_named(names: Iterable[str]) -> list[pl.Expr]:
    """Return the columns of these names."""
    return [named(name) for name in names]
