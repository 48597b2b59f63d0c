"""k-anonymity: how small the smallest group is that quasi-identifiers single out, and making it larger by generalizing them.

References
----------
K. LeFevre, D. DeWitt, R. Ramakrishnan (2006), "Mondrian Multidimensional K-Anonymity", ICDE.
A. Machanavajjhala et al. (2007), "l-Diversity: Privacy Beyond k-Anonymity", ACM TKDD 1 (1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.governance.anonymity_found import Anonymity

__all__ = ["ALL", "MISSING", "Anonymity", "count_hidden", "generalize", "measure", "suppress"]

ALL: Final = "*"
MISSING: Final = "∅"
_MOST_NAMED: Final = 3  # values a label lists before it says less


def measure(frame: pl.DataFrame, quasi: Sequence[str], *, sensitive: Sequence[str] = ()) -> Anonymity:
    """Count k and, for each sensitive column, l. A missing value is a value.

    >>> measure(pl.DataFrame({"age": [30, 30, 41], "ill": ["flu", "cold", "flu"]}), ["age"], sensitive=["ill"]).k
    1
    """
    if not frame.height:
        return Anonymity(0, 0, 0, 0, 0, dict.fromkeys(sensitive, 0))
    found = frame.group_by(list(quasi)).agg(pl.len().alias("__n"), *(pl.col(c).n_unique().alias(f"__l {c}") for c in sensitive))
    sizes = found["__n"]
    diversity = {column: int(found[f"__l {column}"].to_numpy().min()) for column in sensitive}
    return Anonymity(
        int(sizes.to_numpy().min()), found.height, int((sizes == 1).sum()), frame.height, count_hidden(frame, quasi), diversity
    )


def generalize(frame: pl.DataFrame, quasi: Sequence[str], *, k: int) -> pl.DataFrame:
    """Return the frame with quasi-identifiers coarse enough that every row shares them with at least k - 1 others.

    Groups are halved at the median of the column that spreads most, as long as both halves keep k rows (strict Mondrian). The columns
    become text: `30..39`, `2024-01-01..2024-03-31`, `Hanoi | Hue`, `701*`. Fewer than k rows become `*` throughout.
    """
    columns = [frame[name] for name in quasi]
    if not columns or not frame.height:
        return frame.with_columns(pl.col(list(quasi)).cast(pl.String))
    if frame.height < k:
        return frame.with_columns(pl.lit(ALL).alias(name) for name in quasi)
    codes = [_codes(column) for column in columns]
    group_of = np.zeros(frame.height, np.int64)
    labels: list[list[str]] = [[] for _ in columns]
    for number, rows in enumerate(_groups(np.stack([each for each, _ in codes]), k)):
        group_of[rows] = number
        for at, (code, values) in enumerate(codes):
            labels[at].append(_label([values[c] for c in np.unique(code[rows])]))
    return frame.with_columns(pl.Series(name, texts).gather(group_of) for name, texts in zip(quasi, labels, strict=True))


def suppress(frame: pl.DataFrame, quasi: Sequence[str], *, k: int) -> pl.DataFrame:
    """Return the frame with `*` for text quasi-identifiers that fewer than k rows share; the frame itself where each group has k rows.

    Edits leave such rows behind: a group is smaller once rows are deleted, or replaced by rows of another. The rows hidden so must be k
    themselves; where they are fewer, the smallest other group is hidden with them.

    >>> suppress(pl.DataFrame({"age": ["20..29", "20..29", "30..39"]}), ["age"], k=2)["age"].to_list()
    ['*', '*', '*']
    """
    sizes = frame.select(pl.len().over(list(quasi)).alias("n"))["n"] if frame.height else pl.Series("n", [], pl.UInt32)
    hidden = sizes < k
    if not hidden.any():
        return frame
    hidden = hidden | _are_hidden(frame, quasi)
    left = sizes.filter(~hidden)
    if int(hidden.sum()) < k and len(left):
        place = int(((sizes == left.min()) & ~hidden).arg_max() or 0)
        row = frame.row(place, named=True)
        hidden = hidden | frame.select(pl.all_horizontal(pl.col(name).eq_missing(pl.lit(row[name])) for name in quasi)).to_series()
    return frame.with_columns(pl.when(hidden).then(pl.lit(ALL)).otherwise(pl.col(name)).alias(name) for name in quasi)


def count_hidden(frame: pl.DataFrame, quasi: Sequence[str]) -> int:
    """Count the rows whose quasi-identifiers are hidden altogether."""
    return int(_are_hidden(frame, quasi).sum())


def _are_hidden(frame: pl.DataFrame, quasi: Sequence[str]) -> pl.Series:
    if not all(frame.schema[name] == pl.String for name in quasi):
        return pl.repeat(value=False, n=frame.height, dtype=pl.Boolean, eager=True)
    return frame.select(pl.all_horizontal(pl.col(name).eq_missing(pl.lit(ALL)) for name in quasi).alias("hidden")).to_series()


def _codes(column: pl.Series) -> tuple[NDArray[np.int64], list[Any]]:
    """Number a column's values in their order, a missing value first; return the numbers and the values behind them."""
    values = column.unique().sort(nulls_last=False)
    known = pl.DataFrame({"value": values, "code": np.arange(len(values))})
    joined = pl.DataFrame({"value": column}).join(known, on="value", how="left", nulls_equal=True, maintain_order="left")
    return joined["code"].to_numpy().astype(np.int64), values.to_list()


def _groups(codes: NDArray[np.int64], k: int) -> Iterator[NDArray[np.intp]]:
    spans = np.maximum(codes.max(axis=1) - codes.min(axis=1), 1)
    waiting = [np.arange(codes.shape[1])]
    while waiting:
        rows = waiting.pop()
        halves = _halve(codes[:, rows], spans, k)
        if halves is None:
            yield rows
        else:
            waiting += [rows[halves], rows[~halves]]


def _halve(codes: NDArray[np.int64], spans: NDArray[np.int64], k: int) -> NDArray[np.bool_] | None:
    """Mark the lower half along the column of widest relative spread that can be cut; None where none can."""
    if codes.shape[1] < 2 * k:
        return None
    spread = (codes.max(axis=1) - codes.min(axis=1)) / spans
    for at in np.argsort(-spread, kind="stable"):
        if spread[at] == 0:
            return None
        middle = np.partition(codes[at], codes.shape[1] // 2)[codes.shape[1] // 2]
        for lower in (codes[at] < middle, codes[at] <= middle):
            n_lower = int(lower.sum())
            if k <= n_lower <= codes.shape[1] - k:
                marked: NDArray[np.bool_] = lower
                return marked
    return None


def _label(values: Sequence[Any]) -> str:
    there = [value for value in values if value is not None]
    text = _span(there) if there else ""
    missing = [MISSING] if len(there) < len(values) else []
    return " | ".join([*([text] if text else []), *missing])


def _span(values: Sequence[Any]) -> str:
    first, last = values[0], values[-1]
    if len(values) == 1:
        return _text(first)
    if not isinstance(first, str):
        return f"{_text(first)}..{_text(last)}"
    if len(values) <= _MOST_NAMED:
        return " | ".join(values)
    prefix = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    return f"{prefix}{ALL}" if prefix else ALL


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
