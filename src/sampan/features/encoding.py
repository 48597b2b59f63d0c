"""Encoders: what turns a raw feature into numbers by what the training rows showed. Fitted on training rows only, then frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
UNSEEN = 0.0


class Codes(msgspec.Struct, frozen=True, tag="codes"):
    """Number categories 1, 2, … from the commonest on; a category not seen in training is 0, a missing one NaN."""


class Means(msgspec.Struct, frozen=True, tag="means"):
    """Replace a category by the mean label of its training rows, drawn to the overall mean by `smoothing` rows' weight.

    Only rows with a label count. An unseen category has the overall mean; a missing one is NaN.

    References
    ----------
    D. Micci-Barreca (2001), "A preprocessing scheme for high-cardinality categorical attributes", SIGKDD Explorations 3(1).
    """

    smoothing: float = 20.0


Encoding = Codes | Means


class Encoder(msgspec.Struct, frozen=True):
    """A fitted encoding: a number for every category seen in training and one for all others."""

    values: dict[str, float]
    unseen: float

    def apply(self, texts: Sequence[str | None]) -> Floats:
        """Encode categories; None gives NaN."""
        values, unseen = self.values, self.unseen
        return np.array([values.get(t, unseen) if t is not None else np.nan for t in texts], np.float64)

    def apply_column(self, column: pl.Series) -> Floats:
        """Encode a whole column, each distinct category once."""
        import polars as pl

        distinct = column.unique().drop_nulls()
        table = {t: self.values.get(t, self.unseen) for t in distinct}
        if not table:
            return np.full(len(column), np.nan)
        return column.replace_strict(table, default=None, return_dtype=pl.Float64).fill_null(float("nan")).to_numpy()


def fit(encoding: Encoding, column: pl.Series, labels: pl.Series) -> Encoder:
    """Fit on training rows; `labels` may hold nulls."""
    import polars as pl

    if isinstance(encoding, Codes):
        counts = (
            pl.DataFrame({"category": column}).drop_nulls().group_by("category").len().sort(["len", "category"], descending=[True, False])
        )
        return Encoder({c: float(i + 1) for i, c in enumerate(counts["category"])}, UNSEEN)
    known = pl.DataFrame({"category": column, "label": labels.cast(pl.Float64).fill_nan(None)}).drop_nulls("label")
    if known.height == 0:
        raise ParameterError("an encoding by the label cannot be fitted: no row has a label", hint="fit on rows whose labels are known")
    # Sorted before summing: the same rows in another order must give the same bits.
    overall = known.select(pl.col("label").sort().mean()).item()
    found = (
        known.drop_nulls("category")
        .group_by("category")
        .agg(pl.col("label").sort().sum().alias("sum"), pl.len().alias("n"))
        .sort("category")
    )
    weight = encoding.smoothing
    means = (found["sum"].to_numpy() + weight * overall) / (found["n"].to_numpy() + weight)
    return Encoder(dict(zip(found["category"].to_list(), means.tolist(), strict=True)), overall)
