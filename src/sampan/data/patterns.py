"""Patterns of texts that repeat: each distinct text is held against its pattern once, since that takes longer than finding them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from sampan.data.contract import Pattern
from sampan.data.measuring import Measure
from sampan.table.named import all_named, named

_LOOKED_AT = 65_536  # rows; fewer are held against a pattern one by one
_REPEATED = 8  # times that texts come on average among these rows, from where on the distinct ones are found first


def with_patterns_by_text(measures: Sequence[Measure], lazy: pl.LazyFrame, schema: pl.Schema) -> list[Measure]:
    """Return measures of which those of patterns mark the texts found to be wrong, where texts repeat. They mark the same rows."""
    columns = {one.rule.column for one in measures if isinstance(one.rule, Pattern) and schema[one.rule.column] == pl.String}
    repeating = _repeating(lazy, sorted(columns)) if columns else set()
    return [_by_text(one, one.rule, lazy) if isinstance(one.rule, Pattern) and one.rule.column in repeating else one for one in measures]


def _repeating(lazy: pl.LazyFrame, columns: Sequence[str]) -> set[str]:
    some = lazy.select(all_named(columns)).head(_LOOKED_AT).collect(engine="streaming")
    if some.height < _LOOKED_AT:
        return set()
    return {name for name in columns if _REPEATED * some[name].n_unique() <= some.height}


def _by_text(one: Measure, rule: Pattern, lazy: pl.LazyFrame) -> Measure:
    column = named(rule.column)
    texts = lazy.select(column.unique().alias("text")).collect(engine="streaming")["text"]
    wrong = texts.filter(~texts.str.contains(rule.pattern))
    marks = column.is_in(pl.lit(wrong).implode()) if len(wrong) else pl.lit(value=False)
    return replace(one, cells=(marks.sum(),), marks=marks)
