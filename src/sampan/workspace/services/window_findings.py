"""What a window of traffic shows: reads logs, package and labels, and lets the monitoring rib judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.decoding import read_builtins
from sampan.core.graph import NodeId
from sampan.core.times import Millis
from sampan.errors import NotFound, ParameterError
from sampan.evaluation.metrics import Answered, figures, point
from sampan.evaluation.objective import Objective
from sampan.evaluation.task import Kind, Task
from sampan.monitoring.class_drift import judge_classes
from sampan.monitoring.drift import DriftReport, FeatureDrift, judge_drift
from sampan.monitoring.estimate import Costs, LabelledSample, PerformanceEstimate, estimate_performance
from sampan.monitoring.quality import Quality, measure_point, measure_quality
from sampan.monitoring.verdict import Verdict, judge_window
from sampan.serving.records import MOST_CLASSES
from sampan.stats.bootstrap import Estimate, Resampling
from sampan.workspace.models.judging import in_classes
from sampan.workspace.services.prediction_history import ANSWERED, PackageRows, coded_labels, read_window

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

REFERENCE = "reference.parquet"
_WATCHED: Final[dict[Kind, tuple[str, ...]]] = {
    "binary": (),
    "multiclass": ("log_loss", "accuracy", "macro_auc", "cost"),
    "regression": ("rmse", "mae", "bias", "pinball", "cost"),
}
_DRAWS: Final = 1000
SCORE, LABEL, MOMENT = "__score", "__label", "__moment"  # its columns beside the features


@dataclass(frozen=True, slots=True)
class Findings:
    """All that is known of a window. `version` is the model that gave most of its answers."""

    version: str
    deployments: tuple[NodeId, ...]
    n_rows: int
    verdict: Verdict
    drift: DriftReport | None
    no_drift: str  # why there is no drift report
    live: Quality | None
    estimate: PerformanceEstimate | None
    reference: Quality | None
    shadow: str
    shadow_quality: Quality | None

    def facts(self) -> dict[str, Any]:
        """Return what the window's node keeps: the table's columns, and the whole reports below `drift`, `live`, `estimate`."""
        live, shadow, estimate, drift = self.live, self.shadow_quality, self.estimate, self.drift
        plain: dict[str, Any] = {
            "model": self.version,
            "verdict": self.verdict.verdict,
            "reasons": self.verdict.reasons,
            "n_rows": self.n_rows,
            "n_labelled": live.n if live else 0,
            "moved": [feature.feature for feature in drift.moved] if drift else [],
            "n_features": len(drift.features) if drift else 0,
            "far_share": drift.far_share if drift else 0.0,
            "not_estimated": estimate.refused if estimate else "the package has no reference rows",
            "shadow": self.shadow,
            "drift": drift,
            "no_drift": self.no_drift,
            "reference": self.reference,
        }
        for prefix, found in (("", live), ("estimated_", estimate), ("shadow_", shadow)):
            if found is not None:
                plain |= {f"{prefix}{name}": getattr(found, name) for name in ("auc", "log_loss", "cost")}
        plain |= {"others": live.others if live else {}, "shadow_others": shadow.others if shadow else {}}
        converted: dict[str, Any] = msgspec.to_builtins(plain)
        return converted

    def points(self, at: Millis) -> list[tuple[Millis, str, float, int]]:
        """Return the window's place in each monitored series."""
        known: dict[str, tuple[Estimate | float | None, int]] = {"rows": (float(self.n_rows), self.n_rows)}
        for prefix, found, n in (
            ("", self.live, self.live.n if self.live else 0),
            ("estimated_", self.estimate, self.n_rows),
            ("shadow_", self.shadow_quality, self.shadow_quality.n if self.shadow_quality else 0),
        ):
            if found is not None:
                known |= {prefix + name: (getattr(found, name), n) for name in ("auc", "log_loss", "cost")}
                known |= {prefix + name: (figure, n) for name, figure in (found.others if isinstance(found, Quality) else {}).items()}
        if self.drift is not None:
            known |= {"features_moved": (float(len(self.drift.moved)), self.n_rows), "far_share": (self.drift.far_share, self.n_rows)}
            known |= {f"drift.{feature.feature}": (feature.effect, feature.n_current) for feature in self.drift.features}
        values = {key: (f.value if isinstance(f, Estimate) else f, n) for key, (f, n) in known.items()}
        return [(at, key, value, n) for key, (value, n) in values.items() if value is not None]


@dataclass(frozen=True, slots=True)
class Reference:
    """The held-out rows a package was judged on. The sample's scores are one number a row: of classes the chance of the likeliest."""

    names: list[str]
    sample: LabelledSample
    answers: NDArray[np.float64]  # as the task has them


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a package's model is asked, and by what it is judged."""

    task: Task
    objective: Objective | None
    costs: Costs


def find(ws: Workspace, service: str, since: Millis, until: Millis) -> Findings:
    """Look at a service's traffic with a moment in [since, until).

    Raises
    ------
    NotFound : nothing was answered in it.
    """
    packages = read_window(ws, service, since, until)
    answered = [_in_roles(rows, ANSWERED) for rows in packages]
    answered = [rows for rows in answered if rows.frame.height]
    if not answered:
        raise NotFound(f"{service} answered nothing with a moment in this window", hint=f"sampan service show {service}")
    main, rng = answered[0], np.random.default_rng(since % 2**32)
    asked = _asked(ws, main.package)
    reference = _reference(ws, main)
    drift, no_drift = _drift(main, reference)
    live = _quality(answered, asked, rng)
    reference_quality = _reference_quality(reference, asked)
    estimate = _estimate(main, reference, asked, rng)
    shadow = max((_in_roles(rows, ("shadow",)) for rows in packages), key=lambda rows: rows.frame.height)
    return Findings(
        version=main.version,
        deployments=_deployments(ws, service, {rows.package for rows in packages}),
        n_rows=sum(rows.frame.height for rows in answered),
        verdict=judge_window(drift, reference=reference_quality, live=live, estimated=estimate),
        drift=drift,
        no_drift=no_drift,
        live=live,
        estimate=estimate,
        reference=reference_quality,
        shadow=shadow.version if shadow.frame.height else "",
        shadow_quality=_quality([shadow], _asked(ws, shadow.package), rng),
    )


def _in_roles(rows: PackageRows, roles: tuple[str, ...]) -> PackageRows:
    return PackageRows(rows.package, rows.version, rows.frame.filter(pl.col("role").is_in(roles)), rows.task)


def _wider(answered: list[PackageRows], task: Task) -> Task:
    """Return the task of all packages together: of classes, those that any of them knows."""
    return Task(task.kind, tuple(dict.fromkeys(name for rows in answered for name in rows.task.classes)))


def _reference(ws: Workspace, rows: PackageRows) -> Reference | None:
    file = ws.model.package_path(rows.package) / REFERENCE
    if not file.exists():
        return None
    frame = pl.read_parquet(file)
    names = [name for name in rows.feature_names if name in frame.columns]
    frame = frame.filter(pl.col(LABEL).is_not_null() & pl.col(LABEL).is_not_nan())
    moments = frame[MOMENT].to_numpy() if MOMENT in frame.columns else None
    answers = frame[SCORE].to_numpy().astype(np.float64, copy=False)
    sample = LabelledSample(
        features=frame.select(names).to_numpy().astype(np.float32, copy=False),
        scores=answers if answers.ndim == 1 else answers.max(axis=1),
        labels=frame[LABEL].to_numpy().astype(np.float64, copy=False),
        moments=moments,
    )
    return Reference(names, sample, answers)


def _drift(rows: PackageRows, reference: Reference | None) -> tuple[DriftReport | None, str]:
    if reference is None:
        return None, f"the package has no {REFERENCE}"
    sample, moments = reference.sample, rows.frame["moment"].to_numpy()
    both = None if sample.moments is None else (sample.moments, moments)
    try:
        report = judge_drift(
            reference.names,
            sample.features,
            _matrix(rows, reference.names),
            scores=(sample.scores, _scores(rows)),
            answers=_answers_moved(rows, reference, both),
            moments=both,
        )
    except ParameterError as refusal:
        return None, refusal.message
    return report, ""


def _answers_moved(
    rows: PackageRows, reference: Reference, moments: tuple[NDArray[np.int64], NDArray[np.int64]] | None
) -> tuple[FeatureDrift, ...]:
    """Judge the answers of a model of several classes; nothing of another, or where the log does not keep as many chances."""
    if rows.task.kind != "multiclass" or rows.task.n_outputs > MOST_CLASSES:
        return ()
    return judge_classes(rows.task.classes, reference.answers, rows.scores, moments=moments)


def _estimate(rows: PackageRows, reference: Reference | None, asked: _Asked, rng: np.random.Generator) -> PerformanceEstimate | None:
    if reference is None:
        return None
    if asked.task.kind != "binary":
        of = "classes" if asked.task.kind == "multiclass" else "numbers"
        return PerformanceEstimate(refused=f"quality is estimated without labels for two outcomes only, and this model answers with {of}")
    return estimate_performance(reference.sample, _matrix(rows, reference.names), _scores(rows), costs=asked.costs, rng=rng)


def _quality(answered: list[PackageRows], asked: _Asked, rng: np.random.Generator) -> Quality | None:
    known = [PackageRows(r.package, r.version, r.frame.filter(pl.col("label").is_not_null()), r.task) for r in answered if r.frame.height]
    known = [rows for rows in known if rows.frame.height and rows.task.kind == asked.task.kind]
    if not known:
        return None
    task = _wider(known, asked.task)
    frames = [coded_labels(rows.frame, task) for rows in known]
    labels, moments = (np.concatenate([frame[name].to_numpy() for frame in frames]) for name in ("label", "moment"))
    scores = np.concatenate([in_classes(rows.scores, rows.task, task) for rows in known])
    if asked.task.kind == "binary":
        return measure_quality(labels, scores, moments, costs=asked.costs, rng=rng)
    told = Answered.under(asked.objective or Objective(), labels, scores, task)
    found = figures(told, Resampling.by_time(moments, rng, draws=_DRAWS))
    return _named(len(labels), {name: found[name] for name in _WATCHED[asked.task.kind] if name in found})


def _reference_quality(reference: Reference | None, asked: _Asked) -> Quality | None:
    if reference is None or not len(reference.sample.labels):
        return None
    if asked.task.kind == "binary":
        return measure_point(reference.sample.labels, reference.sample.scores, costs=asked.costs)
    told = Answered.under(asked.objective or Objective(), reference.sample.labels, reference.answers, asked.task)
    known = told.names(_WATCHED)
    return _named(len(reference.sample.labels), {name: Estimate(value=point(name, told)) for name in known})


def _named(n: int, found: dict[str, Estimate]) -> Quality:
    """Return the quality of a model of classes or numbers: log loss and cost where the columns of all models are, the rest by name."""
    others = {name: figure for name, figure in found.items() if name not in ("log_loss", "cost")}
    unknown = Estimate(value=None)
    return Quality(n, unknown, found.get("log_loss", unknown), found.get("cost", unknown), None, others)


def _matrix(rows: PackageRows, names: list[str]) -> NDArray[np.float32]:
    order = {name: i for i, name in enumerate(rows.feature_names)}
    return rows.features[:, [order[name] for name in names]]


def _scores(rows: PackageRows) -> NDArray[np.float64]:
    """Return one number a row: of classes the chance of the likeliest."""
    return rows.frame["score"].to_numpy()


def _asked(ws: Workspace, package: NodeId) -> _Asked:
    """Read what a package's model is asked and what its decisions cost; without a word on that each error costs 1."""
    from sampan.workspace.models.predictors import read_manifest

    manifest = read_manifest(ws.model.package_path(package))
    threshold = 0.5 if manifest.threshold is None else manifest.threshold
    model = next((e.src for e in ws.catalog.edges_to(package) if e.role == "packaged_as"), "")
    facts = ws.catalog.node(model).facts.get("objective") if model else None
    stated = read_builtins(facts, Objective) if facts else None
    worth = stated.kpi if stated else None
    if worth is None or manifest.task.kind != "binary":
        return _Asked(manifest.task, stated, Costs(threshold=threshold))
    costs = Costs(threshold=threshold, false_alarm=-worth.fp, missed=-worth.fn, hit=-worth.tp, silence=-worth.tn)
    return _Asked(manifest.task, stated, costs)


def _deployments(ws: Workspace, service: str, packages: set[NodeId]) -> tuple[NodeId, ...]:
    nodes = ws.catalog.nodes(kind="deployment", name=service, limit=10_000)
    return tuple(node.id for node in reversed(nodes) if node.facts["package"] in packages)
