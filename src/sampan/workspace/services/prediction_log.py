"""The service room's verbs for the prediction log: look at it, query it, write it out; take labels in; who asked for how much.

What these read are the segments under `segments/` in the store's folder, Arrow streams that any Arrow library reads; rows that were erased
are blank there, and left out here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sampan.core.times import Millis, iso
from sampan.errors import ParameterError
from sampan.workspace.operation import operation
from sampan.workspace.parameters import Count
from sampan.workspace.services.prediction_log_answers import Callers, CallerVolume, LabelsTaken, LoggedRows, LogSaved
from sampan.workspace.services.room import ServiceRoom

if TYPE_CHECKING:
    import polars as pl

    from sampan.serving.outcomes import Outcome

_MOMENTS: Final = ("at", "moment", "labelled_at")


class PredictionLogs(ServiceRoom):
    """The verbs for what a service answered, who asked, and what came true."""

    @operation(reads=True, verb="log")
    def show_log(
        self, name: str, *, since: str = "", until: str = "", version: str = "", caller: str = "", sql: str = "", limit: Count = 20
    ) -> LoggedRows:
        """Show what a service answered, the newest first, with labels; or ask its log a question in SQL.

        Parameters
        ----------
        since, until : a day or a moment, such as 2026-05-01 or 2026-05-01T06:00Z
        version : only what this version answered
        caller : only what this caller asked
        sql : a query over the tables predictions, labels and volumes, such as "SELECT version, AVG(score) FROM predictions GROUP BY 1"
        limit : of the rows shown
        """
        from sampan.workspace.services import prediction_frames as frames

        self._known(name)
        low, high = _span(since, until)
        if sql:
            found = frames.query(self.ws, name, sql, since=low, until=high).head(limit)
        else:
            narrowed = bool(since or until or version or caller)
            found = frames.predictions(self.ws, name, since=low, until=high, newest=None if narrowed else limit)
            found = _chosen(found, version, caller).reverse().head(limit)
        segments = self.ws.store.segments
        files = [path for stream in frames.prediction_streams(self.ws, name) for _, path in segments.files(stream)]
        return LoggedRows(
            service=name,
            rows=tuple(_shown(row) if not sql else row for row in found.to_dicts()),
            columns=tuple(found.columns),
            n_segments=len(files),
            size_bytes=sum(path.stat().st_size for path in files if path.exists()),
            folder=str(self.ws.store.root / "segments"),
            queried=bool(sql),
            next=(f"sampan service callers {name}", f"sampan service save-log {name} predictions.parquet"),
        )

    @operation(local=True)
    def save_log(self, name: str, path: Path, *, since: str = "", until: str = "", version: str = "", caller: str = "") -> LogSaved:
        """Write predictions with their labels to a Parquet or CSV file, for pandas, Polars, DuckDB or a spreadsheet.

        Parameters
        ----------
        path : a file that ends in .parquet or .csv
        since, until : a day or a moment, such as 2026-05-01 or 2026-05-01T06:00Z
        version : only what this version answered
        caller : only what this caller asked
        """
        from sampan.workspace.services import prediction_frames as frames

        self._known(name)
        low, high = _span(since, until)
        if path.suffix not in (".parquet", ".csv"):
            raise ParameterError(f"{path.name} ends in {path.suffix or 'nothing'!r}", parameter="path", hint="name a .parquet or .csv file")
        found = _chosen(frames.predictions(self.ws, name, since=low, until=high), version, caller)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            found.write_csv(path)
        else:
            found.write_parquet(path)
        return LogSaved(
            service=name,
            path=str(path),
            n_rows=found.height,
            n_labelled=found.height - found["label"].null_count(),
            next=(f"sampan data add {path}",),
        )

    @operation(local=True)
    def labels(self, name: str, path: Path, *, label: str = "label", at: str = "", id: str = "id") -> LabelsTaken:  # noqa: A002
        """Take true labels from a file and join them to predictions by id, or by the fields that name a row.

        A label may come late and more than once: the newest counts. Labels for predictions that nobody asked for are kept, too.

        Parameters
        ----------
        path : CSV, Parquet, JSON lines or Excel, with a column of labels and either the predictions' ids or the model's key fields
        label : the column of labels
        at : the column of moments at which the labels became known; by default now
        id : the column of the predictions' ids, where the file has one
        """
        from sampan.workspace.services.label_files import read_labels, take_labels

        aliases = self._known(name)
        package = self.ws.catalog.node(str(self._need(aliases, "live", name).facts["package"]))
        read: list[Outcome] = read_labels(self.ws, package.id, path, label=label, at=at, identity=id)
        taken = take_labels(self.ws, name, package.id, read)
        return LabelsTaken(service=name, n_rows=len(read), **taken, next=(f"sampan monitor run {name}", f"sampan service log {name}"))

    @operation(reads=True)
    def callers(self, name: str, *, since: str = "", until: str = "") -> Callers:
        """Show who asked a service for how much, by version: every request, also those that sampling keeps out of the log.

        A running server writes its counts out four times a minute.

        Parameters
        ----------
        since, until : a day or a moment, such as 2026-05-01 or 2026-05-01T06:00Z
        """
        from sampan.workspace.services import prediction_frames as frames

        self._known(name)
        low, high = _span(since, until)
        return Callers(
            service=name,
            volumes=_by_caller(frames.volumes(self.ws, name, since=low, until=high)),
            next=(f"sampan service log {name}", f"sampan service show {name}"),
        )

    def predictions(self, name: str, *, since: str = "", until: str = "") -> pl.DataFrame:
        """Return what a service answered as a frame, in time order, with labels. For notebooks and scripts."""
        from sampan.workspace.services import prediction_frames as frames

        self._known(name)
        low, high = _span(since, until)
        return frames.predictions(self.ws, name, since=low, until=high)


def _span(since: str, until: str) -> tuple[Millis, Millis]:
    from sampan.workspace.training.feature_tables import FOREVER, read_moment

    low, high = read_moment(since, otherwise=0), read_moment(until, otherwise=FOREVER)
    if low >= high:
        raise ParameterError(f"since {since} is not before until {until}", parameter="since", hint="give the earlier moment first")
    return low, high


def _chosen(found: pl.DataFrame, version: str, caller: str) -> pl.DataFrame:
    import polars as pl

    if version:
        found = found.filter((pl.col("version") == version) | pl.col("version").str.ends_with(f"@{version}"))
    return found.filter(pl.col("caller") == caller) if caller else found


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: iso(value) if name in _MOMENTS and value is not None else value for name, value in row.items()}


def _by_caller(found: pl.DataFrame) -> tuple[CallerVolume, ...]:
    import polars as pl

    grouped = found.group_by("caller", "version", "role").agg(
        pl.col("requests", "rows", "refused", "latency_us_sum").sum(),
        pl.col("latency_us_max").max(),
        pl.col("at").min().alias("first"),
        pl.col("until").max().alias("last"),
    )
    return tuple(
        CallerVolume(
            caller=row["caller"],
            version=row["version"],
            role=row["role"],
            requests=row["requests"],
            rows=row["rows"],
            refused=row["refused"],
            mean_ms=row["latency_us_sum"] / row["requests"] / 1000 if row["version"] else None,
            max_ms=row["latency_us_max"] / 1000 if row["version"] else None,
            first=iso(row["first"]),
            last=iso(row["last"]),
        )
        for row in grouped.sort(["requests", "caller", "version"], descending=[True, False, False]).to_dicts()
    )
