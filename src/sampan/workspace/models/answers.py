"""What the model and run rooms answer."""

from __future__ import annotations

from typing import Any

import msgspec

from sampan.core.answers import Answer
from sampan.errors import GateRejected, IntegrityError
from sampan.evaluation.gate import Check, Decision
from sampan.evaluation.paired import Difference, Paired
from sampan.evaluation.report import ClassFigures
from sampan.stats.estimates import Estimate
from sampan.workspace.columns import align, size_text
from sampan.workspace.models.listing import METRICS, ModelLine, number_text

_MOST_CLASSES = 30
_IN_GROUPS = ("auc", "log_loss", "accuracy", "rmse", "mae", "bias", "pinball", "cost")


class ModelTrainedAnswer(Answer, frozen=True, kw_only=True):
    """A training that ended, now or before."""

    model: ModelLine
    run: str
    cached: bool
    params: dict[str, Any]
    metrics: dict[str, Estimate]
    baseline: Paired
    label_health: str
    parity: str
    made_features: str = ""  # what came of features made from the declared columns, where that was asked for
    node: str = ""

    def text(self) -> str:
        """Say what came out, beside the baseline."""
        how = "nothing changed since it was trained" if self.cached else "trained"
        lines = [f"{self.model.ref}: {how}, on {self.model.n_rows:,} rows until {self.model.until}"]
        lines += [f"  {name:<10}{self.metrics[name]}" for name in METRICS if name in self.metrics]
        lines += [f"  {_difference(d, 'baseline')}" for d in self.baseline.differences]
        lines += [f"  made features: {self.made_features}"] if self.made_features else []
        lines += [f"  labels: {self.label_health}", f"  export: {self.parity}"]
        return "\n".join(lines)


class Reported(Answer, frozen=True, kw_only=True):
    """A model's report."""

    report: str
    model: str
    n_rows: int
    n_days: int
    since: str
    until: str
    metrics: dict[str, Estimate]
    slices: dict[str, list[dict[str, Any]]]
    gaps: tuple[str, ...]
    classes: tuple[ClassFigures, ...] = ()
    residuals: dict[str, Estimate] = {}  # quantiles of truth minus answer, in percent

    def text(self) -> str:
        """Show the metrics with their intervals, then the groups."""
        lines = [f"{self.model} on {self.n_rows:,} rows of {self.n_days} days, {self.since} to {self.until}"]
        width = max(15, *(len(name) + 2 for name in self.metrics))
        lines += [f"  {name:<{width}}{figure}" for name, figure in self.metrics.items()]
        for column, groups in self.slices.items():
            shown = [g for g in groups if g["enough"]][:8]
            names = [name for name in _IN_GROUPS if any(name in g["metrics"] for g in shown)]
            rows = [(str(g["group"]), f"{g['n_rows']:,}", *(_figure(g["metrics"].get(k)) for k in names)) for g in shown]
            lines.append(align((column, "rows", *names), rows, right=("rows",)))
        if self.classes:
            told = [(c.name, f"{c.n_rows:,}", str(c.recall), str(c.precision), str(c.auc)) for c in self.classes[:_MOST_CLASSES]]
            lines.append(align(("class", "rows", "recall", "precision", "auc"), told, right=("rows",)))
        if len(self.classes) > _MOST_CLASSES:
            lines.append(f"  and {len(self.classes) - _MOST_CLASSES} classes more")
        if self.residuals:
            at = ", ".join(f"{share} % {number_text(self.residuals[share].value or 0.0, 3)}" for share in sorted(self.residuals, key=float))
            lines.append(f"  truth minus answer: {at}")
        return "\n".join([*lines, *(f"  {gap}" for gap in self.gaps)])


class Compared(Answer, frozen=True, kw_only=True):
    """A paired test of two models."""

    candidate: str
    champion: str
    n_rows: int
    n_days: int
    differences: tuple[Difference, ...]

    def text(self) -> str:
        """Show each difference with its interval and verdict."""
        lines = [f"{self.candidate} against {self.champion} on the same {self.n_rows:,} rows of {self.n_days} days"]
        return "\n".join([*lines, *(f"  {_difference(d, self.champion)}" for d in self.differences)])


class Gated(Answer, frozen=True, kw_only=True):
    """A gate's decision."""

    model: str
    champion: str
    passed: bool
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    decision: str

    def exit_code(self) -> int:
        """Return 3 where the gate refused."""
        return 0 if self.passed else GateRejected.exit_code

    def text(self) -> str:
        """Show every check, then the verdict."""
        rows = [("ok" if c.passed else "NO", c.code, c.asked, c.found + (f" ({c.note})" if c.note else "")) for c in self.checks]
        verdict = "may go live" if self.passed else "is refused"
        against = f" against {self.champion}" if self.champion else ""
        return f"{self.model} {verdict}{against}\n" + align(("", "check", "asked", "found"), rows, widest=90)


class Promoted(Answer, frozen=True, kw_only=True):
    """An alias that was moved, or stood there already."""

    model: str
    alias: str
    before: str
    moved: bool
    forced: bool = False

    def text(self) -> str:
        """Say where the alias points."""
        if not self.moved:
            return f"{self.model} is {self.alias} already"
        was = f", before it {self.before}" if self.before else ""
        return f"{self.model} is {self.alias} now{was}" + (", against its gate" if self.forced else "")


class TargetBuild(msgspec.Struct, frozen=True, kw_only=True):
    """What a target made of a package."""

    ref: str
    target: str
    files: dict[str, int]
    facts: dict[str, Any]
    warnings: tuple[str, ...] = ()

    def lines(self, folder: str) -> list[str]:
        """Say where the files are, what was measured, and what to look out for."""
        head = f"{self.ref} for {self.target} is in {folder}: {len(self.files)} files, {size_text(sum(self.files.values()))}"
        measured = [f"  {name}: {_fact(value)}" for name, value in self.facts.items()]
        return [head, *measured, *(f"  warning: {each}" for each in self.warnings)]


class Packed(Answer, frozen=True, kw_only=True):
    """A package of a model."""

    package: str
    model: str
    digest: str
    size_bytes: int
    served_by: str
    files: dict[str, int]
    made: bool
    folder: str = ""
    build: TargetBuild | None = None

    def text(self) -> str:
        """Say what was packed, and what a target made of it."""
        how = f"is in {self.folder}" if self.folder and self.build is None else "packed" if self.made else "was packed before"
        size = f"{len(self.files)} files, {size_text(self.size_bytes)}"
        lines = [f"{self.model} {how}: {size}, served by {self.served_by}, {self.digest[:15]}"]
        return "\n".join(lines if self.build is None else [*lines, *self.build.lines(self.folder)])


class Verified(Answer, frozen=True, kw_only=True):
    """What was found in a package: its signature, its files, its answers."""

    package: str
    passed: bool
    signed_by: str = ""  # the key's id
    faults: tuple[str, ...] = ()
    n_files: int = 0
    n_rows: int = 0
    n_far: int = 0
    max_difference: float = 0.0
    p95_ms: float = 0.0
    environment: tuple[str, ...] = ()

    def exit_code(self) -> int:
        """Return 8 where the package is not what was signed, or does not answer as it must."""
        return 0 if self.passed else IntegrityError.exit_code

    def text(self) -> str:
        """Say who signed it, whether its files are those, and how it answered."""
        signature = f"signed by {self.signed_by[:16]}, {self.n_files} files as signed" if self.signed_by else "not signed by a known key"
        lines = [f"{self.package} {'is what it must be' if self.passed else 'is not what it must be'}: {signature}"]
        lines += [f"  {fault}" for fault in self.faults]
        if self.n_rows:
            verdict = "all as they must be" if not self.n_far else f"{self.n_far} answered differently"
            figures = f"largest difference {self.max_difference:.2g}, p95 {self.p95_ms:.2f} ms"
            lines.append(f"  {self.n_rows} probe requests: {verdict}, {figures}")
        return "\n".join([*lines, *(f"  environment: {line}" for line in self.environment)])


class KeyShown(Answer, frozen=True, kw_only=True):
    """The public half of a signing key."""

    key_id: str
    pem: str
    file: str = ""

    def text(self) -> str:
        """Show the key, or say where it is."""
        return f"{self.key_id[:16]} is in {self.file}" if self.file else self.pem.rstrip()


class Shipped(Answer, frozen=True, kw_only=True):
    """A model that passed its gate and went live."""

    decision: Gated
    promoted: Promoted
    package: Packed
    service: str
    url: str = ""

    def text(self) -> str:
        """Say each stage's outcome."""
        lines = [self.decision.text(), self.promoted.text(), self.package.text()]
        return "\n".join([*lines, f"{self.promoted.model} is live in {self.service}" + (f" at {self.url}" if self.url else "")])


class ModelShown(Answer, frozen=True, kw_only=True):
    """A model with what was found of it."""

    model: ModelLine
    node: str
    digest: str
    run: str
    params: dict[str, Any]
    features: tuple[str, ...]
    report: dict[str, Any] | None = None
    decision: Decision | None = None
    decision_ref: str = ""

    def text(self) -> str:
        """Show the model, its newest report and decision."""
        lines = [f"{self.model.ref} ({', '.join(self.model.aliases) or 'no alias'}), {self.digest[:15]}, trained until {self.model.until}"]
        lines += [f"  {name:<10}{number_text(value)}" for name, value in self.model.metrics.items() if name in METRICS]
        lines.append("  parameters: " + ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in self.params.items()))
        lines.append(f"  {len(self.features)} features: " + ", ".join(self.features))
        if self.decision is not None:
            lines.append(f"  gate ({self.decision_ref}): " + ("passed" if self.decision.passed else "; ".join(self.decision.reasons)))
        return "\n".join(lines)


def _difference(difference: Difference, other: str) -> str:
    more = f", {difference.rows_needed:,} more rows would show it" if difference.rows_needed else ""
    figures = f"{number_text(difference.candidate)} against {number_text(difference.champion)}"
    verdict = "not shown to differ from" if difference.verdict == "not shown" else f"{difference.verdict} than"
    return f"{difference.metric}: {verdict} {other}, {figures}, difference {difference.difference}{more}"


def _fact(value: object) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)


def _figure(found: dict[str, Any] | None) -> str:
    if not found or found["value"] is None:
        return ""
    interval = f" ({number_text(found['low'], 3)} to {number_text(found['high'], 3)})" if found["low"] is not None else ""
    return f"{number_text(found['value'], 3)}{interval}"
