"""The rows a model learns from or is judged on: a view's features over dataset versions, computed once and kept as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.digests import Digest
from sampan.core.graph import Node
from sampan.core.times import Millis, to_millis
from sampan.errors import ParameterError
from sampan.features.view import KNOWN_AT, LABEL, MOMENT, View

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

FOREVER: Millis = 2**62


@dataclass(frozen=True, slots=True)
class LabeledRows:
    """Rows of a view with labels, in time order."""

    view: View
    frame: pl.DataFrame

    def __len__(self) -> int:
        return self.frame.height

    @property
    def labels(self) -> NDArray[np.float64]:
        """0 or 1, shape (n,)."""
        return self.frame[LABEL].to_numpy()

    @property
    def moments(self) -> NDArray[np.int64]:
        """The moments of prediction, shape (n,)."""
        return self.frame[MOMENT].to_numpy()

    @property
    def known_at(self) -> NDArray[np.int64]:
        """When each label became known, shape (n,)."""
        return self.frame[KNOWN_AT].to_numpy()

    @property
    def months(self) -> NDArray[np.object_]:
        """The calendar month of each row, such as 2013-04."""
        return self.frame[MOMENT].cast(pl.Datetime("ms", "UTC")).dt.strftime("%Y-%m").to_numpy().astype(object)

    def group(self, column: str) -> NDArray[np.object_]:
        """Return the groups of a slice column; a missing value is a group of its own."""
        return self.frame[column].cast(pl.String).fill_null("(missing)").to_numpy().astype(object)

    def take(self, rows: NDArray[np.intp]) -> LabeledRows:
        """Return some of the rows."""
        return LabeledRows(self.view, self.frame[rows])

    def newest(self, n_rows: int) -> LabeledRows:
        """Return the last rows."""
        return LabeledRows(self.view, self.frame.tail(n_rows))


def find_datasets(ws: Workspace, view: View, chosen: Mapping[str, str] | None = None) -> dict[str, Node]:
    """Return the dataset version for each table a view needs: the chosen reference, or the newest of that name.

    Raises
    ------
    NotFound : there is no such dataset.
    ParameterError : a reference was chosen for a table the view does not need.
    """
    needed = dict.fromkeys((view.on, *view.tables))
    if unknown := [name for name in chosen or {} if name not in needed]:
        raise ParameterError(f"view {view.name!r} reads no table {unknown[0]!r}", hint="it reads " + ", ".join(needed))
    return {name: ws.catalog.resolve((chosen or {}).get(name, name), kind="dataset") for name in needed}


def open_tables(ws: Workspace, datasets: Mapping[str, Node]) -> dict[str, pl.LazyFrame]:
    """Return the datasets' tables by the name the view knows them by."""
    return {name: ws.store.tables.scan(node.digest) for name, node in datasets.items()}


def feature_table(ws: Workspace, view: View, datasets: Mapping[str, Node]) -> tuple[Digest, bool]:
    """Return the digest of the stored table of a view's features, and whether it had been computed before."""
    import sampan

    def make() -> str:
        with ws.progress.stage(f"Compute {len(view.features)} features of {view.on}"):
            return ws.store.tables.create(view.batch(open_tables(ws, datasets))).digest

    key = {
        "view": view.digest,
        "tables": {n: node.digest for n, node in datasets.items()},
        "program": sampan.__version__,
        "polars": pl.__version__,
    }
    digest, cached = ws.engine.once("features", key, make)
    return str(digest), cached


def labeled_rows(ws: Workspace, view: View, table: Digest, *, since: Millis, until: Millis, known_by: Millis | None = None) -> LabeledRows:
    """Read the rows with a label and a moment in [since, until) whose label was known at `known_by` (None = whenever).

    Raises
    ------
    ParameterError : a label is neither 0 nor 1.
    """
    rows = ws.store.tables.scan(table).filter(pl.col(LABEL).is_not_null() & (pl.col(MOMENT) >= since) & (pl.col(MOMENT) < until))
    if known_by is not None:
        rows = rows.filter(pl.col(KNOWN_AT) <= known_by)
    frame = rows.sort(MOMENT, maintain_order=True).collect()
    wrong = frame.filter(~pl.col(LABEL).is_in([0.0, 1.0]))[LABEL]
    if len(wrong):
        raise ParameterError(
            f"{len(wrong):,} of {frame.height:,} labels of view {view.name!r} are neither 0 nor 1, first: {wrong[0]:g}",
            hint="state the label as a comparison, such as arr_delay >= 15",
        )
    return LabeledRows(view, frame)


def read_moment(text: str, *, otherwise: Millis) -> Millis:
    """Read `2013-05-01` or `2013-05-01T06:00Z` as UTC; '' gives `otherwise`.

    Raises
    ------
    ParameterError : it is no date.
    """
    if not text:
        return otherwise
    try:
        if len(text) <= 10:
            day = date.fromisoformat(text)
            return to_millis(datetime(day.year, day.month, day.day, tzinfo=UTC))
        moment = datetime.fromisoformat(text)
    except ValueError as cause:
        raise ParameterError(f"{text!r} is no date", hint="write 2013-05-01 or 2013-05-01T06:00Z") from cause
    return to_millis(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
