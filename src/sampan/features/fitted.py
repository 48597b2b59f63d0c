"""A view whose encoders are fitted: raw features to the model's matrix, in batch and online, and to JSON and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.core.decoding import read_json
from sampan.errors import ParameterError
from sampan.features.encoding import Encoder
from sampan.features.nodes import Column, request_children, walk
from sampan.features.texts import Letters, TextColumns, TextEncoder, Words
from sampan.features.view import Family, View, check_view

if TYPE_CHECKING:
    import polars as pl

FORMAT = 1


class _File(msgspec.Struct, frozen=True, omit_defaults=True):
    format: int
    view: View
    encoders: dict[str, Encoder]
    texts: dict[str, TextEncoder] = {}


class FittedView:
    """A feature view with fitted encoders. Immutable; `columns` are those of each feature: itself, but of free text one for each term."""

    def __init__(self, view: View, encoders: Mapping[str, Encoder], texts: Mapping[str, TextEncoder] | None = None) -> None:
        self.view = view
        self.encoders = dict(encoders)
        self.texts = dict(texts or {})  # encoders of free text, which give many columns
        self.text_columns = {name: TextColumns(each) for name, each in self.texts.items()}
        self.columns = {f.name: self.texts[f.name].names(f.name) if f.name in self.texts else (f.name,) for f in view.features}

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the matrix's order: those of features, and of each term of a feature that is free text."""
        return tuple(name for names in self.columns.values() for name in names)

    @property
    def families(self) -> dict[str, Family]:
        """Each column's family: its feature's."""
        return {name: f.family for f in self.view.features for name in self.columns[f.name]}

    def free_text(self) -> set[str]:
        """Return the fields of a request whose words are features."""
        values = [f.value for f in self.view.features if f.name in self.texts]
        return {node.name for value in values for node in walk(value, request_children) if isinstance(node, Column) and node.kind == "text"}

    def kept(self, columns: Collection[str]) -> FittedView:
        """Return this view with those features alone that have one of these columns, in their order."""
        kept = tuple(f for f in self.view.features if set(self.columns[f.name]) & set(columns))
        names = {f.name for f in kept}
        return FittedView(
            msgspec.structs.replace(self.view, features=kept),
            {name: each for name, each in self.encoders.items() if name in names},
            {name: each for name, each in self.texts.items() if name in names},
        )

    def matrix(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """Encode a batch for the model, shape (n, k); NaN where missing."""
        lost = [f.name for f in self.view.features if f.name not in frame.columns]
        if lost:
            raise ParameterError(f"the frame lacks features {', '.join(lost)}", hint="give what the view's batch returned")
        found = np.empty((frame.height, len(self.names)), np.float32, order="F")
        with np.errstate(all="ignore"):
            end = 0
            for name, columns in self.columns.items():
                begin, end = end, end + len(columns)
                encoder, text = self.encoders.get(name), self.text_columns.get(name)
                if text is not None:
                    found[:, begin:end] = text.apply(frame[name].to_list())
                else:
                    found[:, begin] = encoder.apply_column(frame[name]) if encoder else frame[name].fill_null(float("nan")).to_numpy()
        return finite32(np.ascontiguousarray(found))

    def to_json(self) -> bytes:
        """Write as JSON; equal fitted views give equal bytes."""
        return msgspec.json.format(
            msgspec.json.encode(_File(FORMAT, self.view, self.encoders, self.texts), order="deterministic"), indent=1
        )

    @classmethod
    def from_json(cls, data: bytes) -> FittedView:
        """Read what `to_json` wrote; nothing in it is run.

        Raises
        ------
        ParameterError : it is not such a file, or its view is faulty.
        """
        try:
            file = read_json(data, _File)
        except (msgspec.DecodeError, RecursionError) as cause:
            raise ParameterError(f"not a fitted feature view: {cause}", hint="give the features.json of a package") from cause
        if file.format != FORMAT:
            raise ParameterError(f"features file of format {file.format}, this program reads {FORMAT}", hint="install a newer Sampan")
        check_view(file.view)
        texts = {f.name for f in file.view.features if isinstance(f.encoding, Words | Letters)}
        unfit = ({f.name for f in file.view.features if f.encoding is not None} - texts) ^ set(file.encoders) | texts ^ set(file.texts)
        if unfit:
            raise ParameterError(f"encoders do not fit the view: {', '.join(sorted(unfit))}")
        return cls(file.view, file.encoders, file.texts)


def finite32(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make missing what is too large for float32."""
    with np.errstate(all="ignore"):
        matrix += matrix * np.float32(0)
    return matrix
