"""The columns over time: how far each period's values lie from those of all other periods, beside what chance alone would give."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from sampan.data.association import is_comparable, scaled, to_floats
from sampan.data.exploring.columns import FEWEST
from sampan.data.exploring.views import ColumnDrift, DriftView
from sampan.stats.divergence import kolmogorov_smirnov, total_variation, total_variation_noise

MOST_PERIODS, FEWEST_PERIODS = 36, 3
MOST_COLUMNS = 40
_DAY, _MONTH, _YEAR = "%Y-%m-%d", "%Y-%m", "%Y"
_STEPS = {"10y": _YEAR, "1y": _YEAR, "1q": _MONTH, "1mo": _MONTH, "1w": _DAY, "1d": _DAY, "1h": f"{_DAY} %H:00", "1m": f"{_DAY} %H:%M"}
_FEWEST_ROWS = 50
_MOST_VALUES = 200
_CRITICAL = 1.36  # of the Kolmogorov-Smirnov distance at 5 %, times √((n+m)/nm)
_OWN_VALUES = 0.9  # where a period's values differ so much from all others in most periods, the column follows the calendar

Codes = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Distance = Callable[[Flags, Flags], tuple[float, float] | None]  # of the rows of a period from all others, and what chance would give


def view_drift(sample: pl.DataFrame, time: str) -> DriftView | None:
    """Describe the columns by period of `time`; None where the rows do not reach over three periods.

    Numbers are compared by the Kolmogorov-Smirnov distance, others by the total variation; what is missing is shown beside.
    """
    moments = sample[time]
    chosen = _choose(moments)
    if chosen is None:
        return None
    names, codes = chosen
    others = [name for name, dtype in sample.schema.items() if name != time and is_comparable(dtype)][:MOST_COLUMNS]
    columns = [one for name in others if (one := _drift(sample[name], codes, len(names))) is not None]
    columns.sort(key=lambda one: (one.is_time, -(one.distances[one.worst] or 0.0) + one.noise))
    sizes = np.bincount(codes[codes >= 0], minlength=len(names))
    return DriftView(time=time, periods=tuple(names), n_rows=tuple(int(n) for n in sizes), columns=tuple(columns))


def _choose(moments: pl.Series) -> tuple[list[str], Codes] | None:
    """Cut time into the calendar steps that give most periods up to 36, the longest such; return their names and each row's."""
    chosen: tuple[str, pl.Series, pl.Series] | None = None
    for step in _STEPS:
        if step in ("1h", "1m") and moments.dtype == pl.Date:
            continue
        begins = moments.dt.truncate(step)
        found = begins.drop_nulls().unique().sort()
        if (len(chosen[2]) + 1 if chosen else FEWEST_PERIODS) <= len(found) <= MOST_PERIODS:
            chosen = step, begins, found
    if chosen is None:
        return None
    step, begins, found = chosen
    place = pl.DataFrame({"begin": found, "code": np.arange(len(found))})
    joined = pl.DataFrame({"begin": begins}).join(place, on="begin", how="left", maintain_order="left")
    codes = joined["code"].fill_null(-1).to_numpy()
    return [_named(one, step) for one in found.to_list()], np.asarray(codes, dtype=np.int64)


def _named(begin: date, step: str) -> str:
    return f"{begin:%Y}s" if step == "10y" else begin.strftime(_STEPS[step])


def _drift(column: pl.Series, periods: Codes, n_periods: int) -> ColumnDrift | None:
    null = column.is_null().to_numpy() | (column.is_nan().fill_null(value=False).to_numpy() if column.dtype.is_float() else False)
    shares: list[float | None] = []
    distances: list[float | None] = []
    noises: list[float] = []
    measured = _ordered(column, null) if column.dtype.is_numeric() or column.dtype.is_temporal() else _categories(column)
    if measured is None:
        return None
    for period in range(n_periods):
        inside = periods == period
        n = int(inside.sum())
        shares.append(float(null[inside].mean()) if n >= FEWEST else None)
        distance = measured(inside & ~null, ~inside & ~null & (periods >= 0))
        distances.append(None if distance is None else round(distance[0], 4))
        if distance is not None:
            noises.append(distance[1])
    known = [one for one in distances if one is not None]
    if not known:
        return None
    worst = max(range(n_periods), key=lambda k: distances[k] if distances[k] is not None else -1.0)  # type: ignore[arg-type, return-value]
    return ColumnDrift(
        column=column.name,
        distances=tuple(distances),
        noise=round(float(np.max(noises)), 4),
        worst=worst,
        is_time=bool(np.median(known) >= _OWN_VALUES) or _follows(column, periods, null),
        null_shares=tuple(shares) if null.any() else (),
    )


def _follows(column: pl.Series, periods: Codes, null: Flags) -> bool:
    """Say whether the period all but gives a number away, as it does the month's."""
    if not (column.dtype.is_numeric() or column.dtype.is_temporal()):
        return False
    every = to_floats(column)
    there = ~null & (periods >= 0) & np.isfinite(every)
    numbers, codes = scaled(every[there]), periods[there]
    total = float(((numbers - numbers.mean()) ** 2).sum()) if len(numbers) else 0.0
    if total <= 0:
        return False
    means = np.bincount(codes, weights=numbers) / np.maximum(np.bincount(codes), 1)
    return float(((numbers - means[codes]) ** 2).sum()) / total <= 1 - _OWN_VALUES


def _ordered(column: pl.Series, null: Flags) -> Distance:
    numbers = np.where(null, 0.0, to_floats(column))

    def distance(inside: Flags, outside: Flags) -> tuple[float, float] | None:
        n, m = int(inside.sum()), int(outside.sum())
        if min(n, m) < _FEWEST_ROWS:
            return None
        return kolmogorov_smirnov(numbers[outside], numbers[inside]), _CRITICAL * ((n + m) / (n * m)) ** 0.5

    return distance


def _categories(column: pl.Series) -> Distance | None:
    texts = column.cast(pl.String)
    values = texts.drop_nulls().unique()
    if not 2 <= len(values) <= _MOST_VALUES:
        return None
    place = {text: code for code, text in enumerate(sorted(values.to_list()))}
    codes = texts.replace_strict(place, default=0, return_dtype=pl.Int64).fill_null(0).to_numpy()

    def distance(inside: Flags, outside: Flags) -> tuple[float, float] | None:
        before, now = (np.bincount(codes[rows], minlength=len(place)) for rows in (outside, inside))
        if min(before.sum(), now.sum()) < _FEWEST_ROWS:
            return None
        mean, spread = total_variation_noise(before, now)
        return total_variation(before, now), mean + 2 * spread

    return distance
