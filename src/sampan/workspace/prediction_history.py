"""What a service answered and what came true: the prediction log by moment, one row a prediction, labels joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.graph import NodeId
from sampan.core.times import Millis
from sampan.errors import NotFound
from sampan.serving.records import FEATURE, FIELD, predictions_stream
from sampan.workspace.prediction_frames import labelled, outcomes
from sampan.workspace.predictors import read_manifest

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

DAY_MS = 86_400_000
ANSWERED = ("live", "canary")


@dataclass(frozen=True, slots=True)
class PackageRows:
    """What one package scored within a window; `frame` has one row a prediction and `label`, null where not known yet."""

    package: NodeId
    version: str
    frame: pl.DataFrame

    @property
    def feature_names(self) -> list[str]:
        """The model's features, in their order."""
        return [name.removeprefix(FEATURE) for name in self.frame.columns if name.startswith(FEATURE)]

    @property
    def features(self) -> NDArray[np.float32]:
        """The feature matrix, shape (n, k)."""
        return self.frame.select(pl.col([FEATURE + name for name in self.feature_names])).to_numpy().astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True)
class PairedRows:
    """Labelled rows that both the live model and a shadow scored, in time.

    `frame` has id, key, moment, day (number of the UTC day), label, champion, candidate, and a text column `field.NAME` per slice.
    """

    champion: str  # model reference
    candidate: str
    frame: pl.DataFrame
    slices: tuple[str, ...]


def read_window(ws: Workspace, service: str, since: Millis, until: Millis) -> list[PackageRows]:
    """Return what each package of a service scored with a moment in [since, until), the package with most answered rows first.

    A key predicted several times in one role counts once, with its last prediction.
    """
    labels = outcomes(ws, service)
    found = []
    for package, version in _packages(ws, service).items():
        table = ws.store.segments.read_range(predictions_stream(service, package), "moment", since, until)
        if not table.num_rows:
            continue
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        found.append(PackageRows(package, version, labelled(_last_of_each(frame), labels)))
    return sorted(found, key=lambda rows: -rows.frame.filter(pl.col("role").is_in(ANSWERED)).height)


def pair(ws: Workspace, rows: list[PackageRows], candidate: str) -> PairedRows:
    """Join a shadow's scores with the answers that were given, by prediction.

    The champion is the model that gave most of the window's answers; rows that others answered are left out.

    Raises
    ------
    NotFound : nothing of the window was scored by that shadow, or nothing of it has a label.
    """
    answered = pl.concat([r.frame.filter(pl.col("role").is_in(ANSWERED)) for r in rows], how="diagonal") if rows else pl.DataFrame()
    shadows = [r for r in rows if (r.frame["role"] == "shadow").any() and candidate in ("", r.version)]
    if not shadows:
        raise NotFound(
            f"no shadow {candidate} scored anything in this window".replace("  ", " "), hint="sampan service shadow MODEL SERVICE"
        )
    shadow = max(shadows, key=lambda r: r.frame.filter(pl.col("role") == "shadow").select(pl.col("at").max()).item())
    scores = shadow.frame.filter(pl.col("role") == "shadow").select("id", candidate="score")
    declared = read_manifest(ws.model.package_path(shadow.package)).slices
    slices = tuple(name for name in declared if FIELD + name in answered.columns)
    champion = str(answered["version"].mode().sort()[0])
    both = (
        answered.filter(pl.col("version") == champion)
        .join(scores, on="id", how="inner")
        .filter(pl.col("label").is_not_null())
        .sort("moment", "id")
        .select(
            "id",
            "key",
            "moment",
            (pl.col("moment") // DAY_MS).alias("day"),
            "label",
            pl.col("score").alias("champion"),
            "candidate",
            *(group_text(answered, name) for name in slices),
        )
    )
    if not both.height:
        raise NotFound(f"no row of this window that {shadow.version} scored has a label yet", hint="labels arrive by POST /outcomes")
    return PairedRows(champion=champion, candidate=shadow.version, frame=both, slices=slices)


def group_text(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Return a request field as the name of a group: a whole number as one writes it, 3 and not 3.0."""
    column = pl.col(FIELD + name)
    if not frame.schema[FIELD + name].is_float():
        return column.cast(pl.String)
    whole = column.is_finite() & (column == column.floor()) & (column.abs() < 2**53)
    return pl.when(whole).then(column.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(column.cast(pl.String)).alias(FIELD + name)


def joined_labels(ws: Workspace, service: str, answers: pl.DataFrame) -> pl.DataFrame:
    """Return answers with `label`: what came true, as far as it is known by now."""
    return labelled(answers, outcomes(ws, service))


def _packages(ws: Workspace, service: str) -> dict[NodeId, str]:
    deployments = ws.catalog.nodes(kind="deployment", name=service, limit=10_000)
    return {str(node.facts["package"]): str(node.facts["version"]) for node in deployments}


def _last_of_each(frame: pl.DataFrame) -> pl.DataFrame:
    """Keep each key's last prediction per role; rows without a key are each their own."""
    named = pl.when(pl.col("key") == "").then(pl.col("id")).otherwise(pl.col("key"))
    answered = pl.col("role").is_in(ANSWERED)
    return (
        frame.with_columns(_name=named, _answered=answered)
        .unique(["_name", "_answered"], keep="last", maintain_order=True)
        .drop("_name", "_answered")
    )
