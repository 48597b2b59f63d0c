"""What a service answered and what came true: the prediction log by moment, one row a prediction, labels joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.graph import NodeId
from sampan.core.times import Millis
from sampan.errors import NotFound, ParameterError
from sampan.evaluation.task import BINARY, Task
from sampan.serving.records import FEATURE, FIELD, MOST_CLASSES, SCORE, predictions_stream
from sampan.workspace.models.predictors import read_manifest
from sampan.workspace.services.prediction_frames import labelled, outcomes

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

DAY_MS = 86_400_000
ANSWERED = ("live", "canary")


@dataclass(frozen=True, slots=True)
class PackageRows:
    """What one package scored within a window; `frame` has one row a prediction and `label`, null where not known yet.

    Of classes the label is the code that this package gives it, -1 for one that its training never saw.
    """

    package: NodeId
    version: str
    frame: pl.DataFrame
    task: Task = BINARY

    @property
    def feature_names(self) -> list[str]:
        """The model's features, in their order."""
        return [name.removeprefix(FEATURE) for name in self.frame.columns if name.startswith(FEATURE)]

    @property
    def scores(self) -> NDArray[np.float64]:
        """The answers as the task has them: shape (n,), or (n, k) of k classes.

        Raises
        ------
        ParameterError : there are more classes than the log keeps chances of.
        """
        return answers(self.frame, self.task)

    @property
    def features(self) -> NDArray[np.float32]:
        """The feature matrix, shape (n, k)."""
        return self.frame.select(pl.col([FEATURE + name for name in self.feature_names])).to_numpy().astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True)
class PairedRows:
    """Labelled rows that both the live model and a shadow scored, in time.

    `frame` has id, key, moment, day (number of the UTC day), label, label_name, champion, candidate, and a text column `field.NAME` per
    slice; of classes champion and candidate are arrays of chances, each of its own model's classes.
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
        task = read_manifest(ws.model.package_path(package)).task
        found.append(PackageRows(package, version, coded_labels(labelled(_last_of_each(frame), labels), task), task))
    return sorted(found, key=lambda rows: -rows.frame.filter(pl.col("role").is_in(ANSWERED)).height)


def answers(frame: pl.DataFrame, task: Task) -> NDArray[np.float64]:
    """Return logged answers as a task has them. Raises ParameterError where there are more classes than the log keeps chances of."""
    if task.kind != "multiclass":
        return frame["score"].to_numpy()
    if len(task.classes) > MOST_CLASSES:
        raise ParameterError(
            f"the log keeps the chances of {MOST_CLASSES} classes, and the model has {len(task.classes):,}",
            hint="judge it on stored rows: sampan model evaluate",
        )
    return frame.select(pl.col([SCORE + name for name in task.classes])).to_numpy()


def coded_labels(frame: pl.DataFrame, task: Task) -> pl.DataFrame:
    """Return rows with the labels' classes coded as a task numbers them; labels that are no classes stay as they are."""
    if task.kind != "multiclass":
        return frame
    names = frame["label_name"].drop_nulls().unique().to_list()
    codes = frame["label_name"].replace_strict(names, [task.code(name) for name in names], default=None, return_dtype=pl.Float64)
    return frame.with_columns(codes.alias("label"))


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
    shadowed = shadow.frame.filter(pl.col("role") == "shadow")
    scores = shadowed.select("id").with_columns(pl.Series("candidate", answers(shadowed, shadow.task)))
    declared = read_manifest(ws.model.package_path(shadow.package)).slices
    slices = tuple(name for name in declared if FIELD + name in answered.columns)
    champion = str(answered["version"].mode().sort()[0])
    of_champion = answered.filter(pl.col("version") == champion)
    task = next(r.task for r in rows if r.version == champion)
    both = (
        of_champion.with_columns(pl.Series("champion", answers(of_champion, task)))
        .join(scores, on="id", how="inner")
        .filter(pl.col("label").is_not_null())
        .sort("moment", "id")
        .select(
            "id",
            "key",
            "moment",
            (pl.col("moment") // DAY_MS).alias("day"),
            "label",
            "label_name",
            "champion",
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
