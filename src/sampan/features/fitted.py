"""A view whose encoders are fitted: raw features to the model's matrix, in batch and online, and to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.times import Millis
from sampan.errors import ParameterError
from sampan.features.encoding import Encoder
from sampan.features.view import Family, View, check_view

if TYPE_CHECKING:
    from sampan.features.online import OnlineView

FORMAT = 1


class _File(msgspec.Struct, frozen=True):
    format: int
    view: View
    encoders: dict[str, Encoder]


class FittedView:
    """A feature view with fitted encoders. Immutable."""

    def __init__(self, view: View, encoders: Mapping[str, Encoder]) -> None:
        self.view = view
        self.encoders = dict(encoders)

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in the matrix's order."""
        return tuple(f.name for f in self.view.features)

    @property
    def families(self) -> dict[str, Family]:
        """Each feature's family."""
        return {f.name: f.family for f in self.view.features}

    def matrix(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """Encode a batch for the model, shape (n, k); NaN where missing."""
        lost = [n for n in self.names if n not in frame.columns]
        if lost:
            raise ParameterError(f"the frame lacks features {', '.join(lost)}", hint="give what the view's batch returned")
        found = np.empty((frame.height, len(self.names)), np.float32, order="F")
        with np.errstate(all="ignore"):
            for i, name in enumerate(self.names):
                encoder = self.encoders.get(name)
                found[:, i] = encoder.apply_column(frame[name]) if encoder else frame[name].fill_null(float("nan")).to_numpy()
        return finite32(np.ascontiguousarray(found))

    def online(self, tables: Mapping[str, pl.DataFrame], *, known_until: Millis | None = None) -> OnlineView:
        """Open for single requests, with what `View.online_tables` returned.

        Past events that were known by `known_until`, the moment the tables were cut at, count once, also where they are fed again.
        """
        from sampan.features.online import OnlineView

        return OnlineView(self, tables, known_until=known_until)

    def to_json(self) -> bytes:
        """Write as JSON; equal fitted views give equal bytes."""
        return msgspec.json.format(msgspec.json.encode(_File(FORMAT, self.view, self.encoders), order="deterministic"), indent=1)

    @classmethod
    def from_json(cls, data: bytes) -> FittedView:
        """Read what `to_json` wrote; nothing in it is run.

        Raises
        ------
        ParameterError : it is not such a file, or its view is faulty.
        """
        try:
            file = msgspec.json.decode(data, type=_File)
        except (msgspec.DecodeError, RecursionError) as cause:
            raise ParameterError(f"not a fitted feature view: {cause}", hint="give the features.json of a package") from cause
        if file.format != FORMAT:
            raise ParameterError(f"features file of format {file.format}, this program reads {FORMAT}", hint="install a newer Sampan")
        check_view(file.view)
        unfit = {f.name for f in file.view.features if f.encoding is not None} ^ set(file.encoders)
        if unfit:
            raise ParameterError(f"encoders do not fit the view: {', '.join(sorted(unfit))}")
        return cls(file.view, file.encoders)


def finite32(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make missing what is too large for float32."""
    with np.errstate(all="ignore"):
        matrix += matrix * np.float32(0)
    return matrix
