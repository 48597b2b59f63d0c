"""True labels from files: read, joined in thought with the log to say what they meet, and appended to the service's log of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from sampan.core.refs import nearest
from sampan.errors import ParameterError
from sampan.serving.outcomes import Expected, Outcome, outcomes_from
from sampan.serving.records import OUTCOMES, outcome_block, outcomes_stream
from sampan.workspace.models.predictors import read_manifest
from sampan.workspace.services import prediction_frames as frames
from sampan.workspace.services.log_rules import log_rules

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace


def read_labels(ws: Workspace, package: str, path: Path, *, label: str, at: str, identity: str) -> list[Outcome]:
    """Read labels from a file.

    Raises
    ------
    ParameterError : a column is not there; a label or moment is none. All faults of a row are named, up to ten rows.
    """
    from sampan.table.sources import read_source

    frame = read_source(path, progress=ws.progress).frame
    manifest = read_manifest(ws.model.package_path(package))
    keys = manifest.keys
    named = (identity,) if identity in frame.columns else keys
    _require_columns(frame, (label, *((at,) if at else ()), *named), path)
    columns = [pl.col(label).alias("label"), *(pl.col(name).alias("id" if named == (identity,) else name) for name in named)]
    if at:
        columns.append(_millis(frame, at).alias("at"))
    return outcomes_from(
        frame.select(columns).to_dicts(), keys=keys, now=ws.clock(), expected=Expected(manifest.task.kind, manifest.task.classes)
    )


def take_labels(ws: Workspace, service: str, package: str, given: Sequence[Outcome]) -> dict[str, int]:
    """Append labels to a service's log and say what they met: counts by the names of `LabelsTaken`."""
    name_key = log_rules(ws)(service, package).name_key
    if name_key is not None:
        given = [msgspec.structs.replace(one, key=name_key(one.key)) if one.key else one for one in given]
    block = outcome_block(given, received=ws.clock())
    fresh = [(one.id, one.key, one.label) for one in given]
    met = _met(ws, service, pl.DataFrame(fresh, {"id": pl.String, "key": pl.String, "label": pl.Float64}, orient="row"))
    with ws.store.segments.writer(outcomes_stream(service), OUTCOMES) as writer:
        writer.write(block)
    return met


def _met(ws: Workspace, service: str, given: pl.DataFrame) -> dict[str, int]:
    name = pl.when(pl.col("id") != "").then("i" + pl.col("id")).otherwise("k" + pl.col("key")).alias("name")
    fresh = given.select(name, "label").unique("name", keep="last", maintain_order=True)
    before = frames.outcomes(ws, service).select(name, pl.col("label").alias("before")).unique("name", keep="last", maintain_order=True)
    known = [pl.Series("name", [], pl.String)]
    for stream in frames.prediction_streams(ws, service):
        asked = pl.from_arrow(ws.store.segments.read(stream)[0])
        if isinstance(asked, pl.DataFrame) and asked.height:
            known += ["i" + asked["id"], "k" + asked["key"]]
    joined = fresh.join(before, on="name", how="left").with_columns(matched=pl.col("name").is_in(pl.concat(known).implode()))
    told = joined["before"].is_not_null()
    same = joined["before"] == joined["label"]
    n_matched = int(joined["matched"].sum())
    return {
        "n_matched": n_matched,
        "n_unknown": joined.height - n_matched,
        "n_repeated": int((told & same).sum()),
        "n_changed": int((told & ~same).sum()),
        "n_doubled": given.height - fresh.height,
    }


def _require_columns(frame: pl.DataFrame, wanted: Sequence[str], path: Path) -> None:
    if lost := [name for name in wanted if name not in frame.columns]:
        close = nearest(lost[0], frame.columns, n=1)
        raise ParameterError(
            f"{path.name} has no column {', '.join(map(repr, lost))}",
            hint=f"did you mean {close[0]!r}?"
            if close
            else f"it has {', '.join(frame.columns[:12])}; name others with --label, --at and --id",
        )


def _millis(frame: pl.DataFrame, name: str) -> pl.Expr:
    from sampan.features.tables import canonical

    moments: Any = canonical({"labels": frame}, "labels", {name: "moment"}).to_series()
    return pl.lit(moments.cast(pl.Int64))
