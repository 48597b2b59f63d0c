"""A service's logs as frames: predictions with their labels, labels alone, volumes. What the verbs and monitors look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import pyarrow as pa

from sampan.core.times import Millis
from sampan.errors import ParameterError
from sampan.serving.records import OUTCOMES, outcomes_stream
from sampan.serving.volumes import VOLUMES, volumes_stream
from sampan.table.arrow_blocks import END_OF_STREAM, Schema

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

PREDICTIONS: Final = "predictions."
FOREVER: Final[Millis] = 2**62


def prediction_streams(ws: Workspace, service: str) -> list[str]:
    """Return the names of a service's prediction logs, one a package."""
    head = f"{PREDICTIONS}{service}."
    # A service's name may begin with another's and a dot: what follows the head is the package alone.
    return [name for name in ws.store.segments.streams() if name.startswith(head) and "." not in name[len(head) :]]


def predictions(ws: Workspace, service: str, *, since: Millis = 0, until: Millis = FOREVER, newest: int | None = None) -> pl.DataFrame:
    """Return logged predictions that were answered in [since, until), in time order, with their labels.

    Parameters
    ----------
    newest : so many rows are enough; only the newest segments are read

    Returns
    -------
    The log's columns, `label` (null where it is not known) and `labelled_at`. Columns that only some packages have are null in the others.
    """
    segments = ws.store.segments
    tables = [
        segments.read_newest(stream, newest) if newest is not None else segments.read_range(stream, "at", since, until)
        for stream in prediction_streams(ws, service)
    ]
    frames = [frame for table in tables if table.num_rows and isinstance(frame := pl.from_arrow(table), pl.DataFrame)]
    if not frames:
        return pl.DataFrame(schema={"id": pl.String, "key": pl.String, "at": pl.Int64, "label": pl.Float64, "labelled_at": pl.Int64})
    rows = pl.concat(frames, how="diagonal_relaxed").sort("at", "id", maintain_order=True)
    return labelled(rows if newest is None else rows.tail(newest), outcomes(ws, service))


def outcomes(ws: Workspace, service: str) -> pl.DataFrame:
    """Return every label a service was sent, in the order in which they count: the newest last."""
    table, _ = ws.store.segments.read(outcomes_stream(service))
    frame = _frame(table, OUTCOMES)
    if "label_name" not in frame.columns:  # labels of earlier releases were no classes
        frame = frame.with_columns(label_name=pl.lit(""))
    return frame.sort("at", "received", maintain_order=True)


def volumes(ws: Workspace, service: str, *, since: Millis = 0, until: Millis = FOREVER) -> pl.DataFrame:
    """Return what callers asked for, span by span."""
    table = ws.store.segments.read_range(volumes_stream(service), "at", since, until)
    return _frame(table, VOLUMES)


def _frame(table: pa.Table, schema: Schema) -> pl.DataFrame:
    """Return what was read; without rows, a frame of the schema's columns."""
    empty = pa.ipc.open_stream(schema.message() + END_OF_STREAM)
    frame = pl.from_arrow(table if table.num_rows else empty.read_all())
    assert isinstance(frame, pl.DataFrame)
    return frame


def labelled(frame: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Join true labels by prediction id, else by key; the newest label counts, however late it came and however often."""
    by_id = _newest(found, "id")
    by_key = _newest(found, "key")
    joined = frame.join(by_id, on="id", how="left", maintain_order="left").join(by_key, on="key", how="left", maintain_order="left")
    return joined.with_columns(
        label=pl.coalesce("_label_by_id", "_label_by_key"),
        label_name=pl.coalesce("_label_name_by_id", "_label_name_by_key"),
        labelled_at=pl.coalesce("_at_by_id", "_at_by_key"),
    ).drop(f"_{what}_by_{way}" for what in ("label", "label_name", "at") for way in ("id", "key"))


def query(ws: Workspace, service: str, sql: str, *, since: Millis, until: Millis) -> pl.DataFrame:
    """Answer an SQL query over `predictions`, `labels` and `volumes`; it reads nothing else.

    Raises
    ------
    ParameterError : it is no query, reads files, or cannot be run.
    """
    from sampan.data.queries import fault_in_query

    if fault := fault_in_query(sql):
        raise ParameterError(
            f"the query cannot be run: {fault}", parameter="sql", hint="SELECT version, AVG(score) FROM predictions GROUP BY 1"
        )
    tables = {
        "predictions": predictions(ws, service, since=since, until=until),
        "labels": outcomes(ws, service),
        "volumes": volumes(ws, service, since=since, until=until),
    }
    try:
        with pl.SQLContext(tables) as context:
            return context.execute(sql).collect()
    except pl.exceptions.PolarsError as cause:
        first = (str(cause).strip().splitlines() or ["unknown"])[0]
        hint = f"tables: predictions ({', '.join(tables['predictions'].columns[:12])} …), labels, volumes"
        raise ParameterError(f"the query cannot be run: {first}", parameter="sql", hint=hint) from cause


def _newest(found: pl.DataFrame, name: str) -> pl.DataFrame:
    rows = found.filter(pl.col(name) != "").unique(name, keep="last")
    return rows.select(name, *(pl.col(what).alias(f"_{what}_by_{name}") for what in ("label", "label_name", "at")))
