"""Who is in the data: the share of each group and of groups crossed, with intervals, beside the shares a reference says there should be.

The interval is Wilson's. A group counts as too few when even the upper end of its interval is below four fifths of what is expected, and as
too many when the lower end is above five fourths: the customary four-fifths rule, read with the uncertainty of the count.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs

from sampan.data.exploring.columns import FEWEST
from sampan.data.exploring.target import Label, summarize
from sampan.data.exploring.views import GroupCell, GroupView
from sampan.errors import ParameterError
from sampan.stats.intervals import wilson

N_ROWS, _SHARE, _PLACE = "\0n", "\0share", "\0place"  # no column is called so
SMALL = 100  # rows below which a rate among a group is too uncertain to judge a model on
_MOST_CELLS = 40
_MOST_COLUMNS = 6
_TOO_FEW, _TOO_MANY = 0.8, 1.25
_MISSING = "(missing)"
_WEIGHTS = ("share", "count", "population", "n", "weight")

Codes = np.ndarray[Any, np.dtype[np.int64]]
Shares = dict[tuple[str, ...], float]


def read_reference(table: pl.DataFrame, columns: Sequence[str]) -> tuple[list[str], pl.DataFrame]:
    """Return which of the columns the reference has, and its rows as texts with the share of each.

    A reference has one row for each group with its share, count or population; without such a column every row counts once.

    Raises
    ------
    ParameterError : it has none of the columns, or a weight that is negative or missing.
    """
    there = [name for name in columns if name in table.columns]
    if not there:
        raise ParameterError(
            f"the reference has none of the columns {', '.join(columns)}; it has {', '.join(table.columns[:20])}",
            hint="name its columns as the dataset's; a column share, count or population holds the weights",
        )
    weight = next((name for name in _WEIGHTS if name in table.columns and name not in there), "")
    weights = table[weight].cast(pl.Float64, strict=False) if weight else pl.Series("share", np.ones(table.height))
    if weights.null_count() or not weights.is_finite().all() or bool((weights < 0).any()) or not weights.sum() > 0:
        raise ParameterError(f"the reference's {weight or 'rows'} must be numbers of at least 0, not all 0", hint="one row for each group")
    return there, table.select(_as_text(name) for name in there).with_columns((weights / weights.sum()).alias(_SHARE))


def view_groups(
    counts: pl.DataFrame,
    columns: Sequence[str],
    *,
    reference: pl.DataFrame | None = None,
    source: str = "",
    sample: pl.DataFrame | None = None,
    label: Label | None = None,
) -> tuple[GroupView, ...]:
    """Describe the groups of each column, and of every two columns crossed.

    Parameters
    ----------
    counts : rows of each combination of the columns, as `N_ROWS`
    columns : the group columns
    reference : groups with the share each should have, as `read_reference` returns
    source : what the reference is, in words
    sample, label : rows with the target, for the rate of each group
    """
    chosen = list(columns[:_MOST_COLUMNS])
    told = counts.select(*(_as_text(name) for name in chosen), N_ROWS)
    return tuple(_view(told, list(names), reference, source, sample, label) for size in (1, 2) for names in combinations(chosen, size))


def _view(
    counts: pl.DataFrame, names: list[str], reference: pl.DataFrame | None, source: str, sample: pl.DataFrame | None, label: Label | None
) -> GroupView:
    found = {tuple(str(v) for v in row[:-1]): int(row[-1]) for row in counts.group_by(names).agg(pl.col(N_ROWS).sum()).iter_rows()}
    expected = _expected(reference, names) if reference is not None else {}
    total = sum(found.values())
    places = _places(sample, names) if sample is not None and label is not None and label.kind != "classes" else {}
    cells = []
    for values in sorted({*found, *expected}, key=lambda one: (-found.get(one, 0), one)):
        n = found.get(values, 0)
        low, high = wilson(n, total)
        rows = places.get(values)
        told = label.values[rows] if rows is not None and label is not None else np.empty(0)
        told = told[np.isfinite(told)]
        cells.append(
            GroupCell(
                values=values,
                n=n,
                share=n / total if total else 0.0,
                low=low,
                high=high,
                expected=expected.get(values),
                verdict=_verdict(n, low, high, expected.get(values)),
                is_small=n < SMALL,
                rate=summarize(" · ".join(values), told, label.kind) if label is not None and len(told) >= FEWEST else None,
            )
        )
    shown = [cell for cell in cells if cell.n >= FEWEST or cell.expected is not None]
    kept = sorted(shown, key=lambda cell: cell.verdict not in ("too few", "absent"))[:_MOST_CELLS] if len(shown) > _MOST_CELLS else shown
    return GroupView(columns=tuple(names), cells=tuple(kept), reference=source if expected else "", n_hidden=len(cells) - len(kept))


def _expected(reference: pl.DataFrame, names: list[str]) -> Shares:
    """Return the shares the reference expects; none where it lacks one of the columns."""
    there = [name for name in names if name in reference.columns]
    if len(there) < len(names):
        return {}
    rows = reference.group_by(names).agg(pl.col(_SHARE).sum())
    return {tuple(str(v) for v in row[:-1]): float(row[-1]) for row in rows.iter_rows()}


def _places(sample: pl.DataFrame, names: list[str]) -> dict[tuple[str, ...], Codes]:
    grouped = sample.select(_as_text(name) for name in names).with_row_index(_PLACE).group_by(names).agg(pl.col(_PLACE))
    return {tuple(str(v) for v in row[:-1]): np.asarray(row[-1], dtype=np.int64) for row in grouped.iter_rows()}


def _verdict(n: int, low: float, high: float, expected: float | None) -> str:
    if expected is None:
        return ""
    if n == 0:
        return "absent" if high < _TOO_FEW * expected else "as expected"
    if high < _TOO_FEW * expected:
        return "too few"
    return "too many" if low > _TOO_MANY * expected else "as expected"


def _as_text(name: str) -> pl.Expr:
    return cs.by_name(name).cast(pl.String).fill_null(_MISSING)
