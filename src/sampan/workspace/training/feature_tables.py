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
from sampan.evaluation.objective import Objective
from sampan.evaluation.task import Task, read_task
from sampan.features import view_tables
from sampan.features.view import KNOWN_AT, LABEL, MOMENT, View

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

FOREVER: Millis = 2**62


@dataclass(frozen=True, slots=True)
class LabeledRows:
    """Rows of a view with labels, in time order. The frame's label is a number: 0 or 1, the code of a class, or what is to be told."""

    view: View
    frame: pl.DataFrame
    task: Task

    def __len__(self) -> int:
        return self.frame.height

    @property
    def labels(self) -> NDArray[np.float64]:
        """The labels as the task has them, shape (n,)."""
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
        return LabeledRows(self.view, self.frame[rows], self.task)

    def newest(self, n_rows: int) -> LabeledRows:
        """Return the last rows."""
        return LabeledRows(self.view, self.frame.tail(n_rows), self.task)


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
            return ws.store.tables.create(view_tables.batch(view, open_tables(ws, datasets))).digest

    key = {
        "view": view.digest,
        "tables": {n: node.digest for n, node in datasets.items()},
        "program": sampan.__version__,
        "polars": pl.__version__,
    }
    digest, cached = ws.engine.once("features", key, make)
    return str(digest), cached


def task_of(
    ws: Workspace, view: View, table: Digest, objective: Objective, *, since: Millis, until: Millis, known_by: Millis | None = None
) -> Task:
    """Tell what is asked from the objective and the labels of the rows that `labeled_rows` would return.

    Raises
    ------
    ParameterError : the labels do not fit the objective.
    """
    rows = _with_label(ws, table, since=since, until=until, known_by=known_by)
    return read_task(objective.task, rows.select(pl.col(LABEL).unique()).collect()[LABEL].to_list(), where=f"view {view.name!r}")


def labeled_rows(
    ws: Workspace, view: View, table: Digest, *, task: Task, since: Millis, until: Millis, known_by: Millis | None = None
) -> LabeledRows:
    """Read the rows with a label and a moment in [since, until) whose label was known at `known_by` (None = whenever).

    Raises
    ------
    ParameterError : a label is none of this task.
    """
    rows = _with_label(ws, table, since=since, until=until, known_by=known_by)
    frame = rows.sort(MOMENT, maintain_order=True).collect()
    if task.kind != "multiclass":
        read_task(task.kind, frame[LABEL].unique().to_list(), where=f"view {view.name!r}")
    return LabeledRows(view, coded(frame, task), task)


def coded(frame: pl.DataFrame, task: Task) -> pl.DataFrame:
    """Return a batch with its labels as the task has them; null stays null."""
    if task.kind != "multiclass":
        return frame.with_columns(pl.col(LABEL).cast(pl.Float64))
    labels = frame[LABEL].drop_nulls().unique().to_list()
    codes = frame[LABEL].replace_strict(labels, [task.code(label) for label in labels], default=None, return_dtype=pl.Float64)
    return frame.with_columns(codes.alias(LABEL))


def _with_label(ws: Workspace, table: Digest, *, since: Millis, until: Millis, known_by: Millis | None) -> pl.LazyFrame:
    rows = ws.store.tables.scan(table).filter(pl.col(LABEL).is_not_null() & (pl.col(MOMENT) >= since) & (pl.col(MOMENT) < until))
    return rows if known_by is None else rows.filter(pl.col(KNOWN_AT) <= known_by)


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
