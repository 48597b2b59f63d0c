"""A variant made a version: trained on all rows as its parent was, or cut from its parent's graph; with its report and its lineage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.compression.edits import edited
from sampan.core.digests import digest_value
from sampan.core.events import Input, RunEnded, RunStarted, new_id
from sampan.core.graph import Node, NodeId
from sampan.engine.environment import capture
from sampan.errors import Unsupported
from sampan.evaluation.baseline import fit_baseline
from sampan.evaluation.paired import Paired, Scored, compare
from sampan.evaluation.report import evaluate
from sampan.features.reading import columns_learned, columns_read
from sampan.features.view import LABEL, MOMENT
from sampan.flavors.onnx_file import Onnx
from sampan.flavors.onnx_graph import INPUT, OnnxScorer
from sampan.flavors.parity import Parity
from sampan.store.scratch import scratch_folder
from sampan.workspace.models.events import ModelEvaluated, ModelTrained, StoredFile
from sampan.workspace.models.judging import objective_of
from sampan.workspace.models.predictors import ENVIRONMENT, EXPECTED, FEATURES, GRAPH, NATIVE, REFERENCE, SCOPE
from sampan.workspace.models.variant_bench import Attempt, Bench, kept_view
from sampan.workspace.runs.code_snapshot import CODE
from sampan.workspace.training.feature_tables import feature_table
from sampan.workspace.training.learning import BASELINE_ROWS, by_dataset, store_folder

if TYPE_CHECKING:
    from sampan.features.fitted import FittedView

RETRAINED, EDITED = "retrained", "edited"

Floats = NDArray[np.float64]


class VariantMade(ModelTrained, frozen=True, kw_only=True):
    """A smaller or faster form of a model became a version of it."""

    type: ClassVar[str] = "variant_made"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The attempt to make a version of: its twin's answers on the test, tested against the parent's."""

    attempt: Attempt
    answers: Floats
    paired: Paired
    told: dict[str, Any]  # gain and cost, as they were measured
    allowed_loss: float | None


def make_version(bench: Bench, chosen: Chosen) -> Node:
    """Make and record a version; the very same one is there already.

    Raises
    ------
    Unsupported : trained on all rows, the graph answers otherwise than the model.
    """
    ws, parent = bench.ws, bench.recipe.model
    with scratch_folder(ws.store.root / "scratch", "variant") as folder:
        made = _build(bench, chosen.attempt, folder)
        files = (*store_folder(ws, _lay_out(bench, chosen, made, folder)), *_code(bench))
    report, baseline = _judge(bench, chosen)
    facts = {**parent.facts, **_facts(bench, chosen, made), "metrics": report["metrics"], "baseline": baseline}
    digest = _digest(facts, files)
    known = ws.catalog.find_version("model", parent.name, digest)
    if known is not None:
        return known
    run, model = new_id(), new_id()
    ws.ledger.append(
        _run_started(bench, chosen, run),
        VariantMade(
            node=model,
            kind="model",
            name=parent.name,
            digest=digest,
            size=sum(file.size for file in files),
            facts=facts,
            # The run alone is what it is derived from, as with any model; the parent is what went in.
            inputs=(Input(run, "derived_from"), Input(parent.id, "input"), *_trained_on(bench)),
            files=files,
        ),
        _report(bench, report, model),
        RunEnded(node=run, state="finished", ended=ws.clock()),
    )
    return ws.catalog.node(model)


@dataclass(frozen=True, slots=True)
class _Made:
    """A variant fitted on all rows."""

    fitted: FittedView
    flavor: str
    graph: bytes
    parity: Parity
    distance: dict[str, float]  # of an edited graph's answers from those of the graph it was made of


def _build(bench: Bench, attempt: Attempt, folder: Path) -> _Made:
    fitted = kept_view(bench.recipe.fitted, attempt.features)
    native = folder / NATIVE
    if attempt.is_trained:
        matrix, graph, parity = bench.whole(attempt, native)
        if graph is None:
            raise Unsupported(f"{attempt.name}: {parity.reason}", hint="take another variant: sampan model optimise --take NAME")
        if not attempt.edit:
            return _Made(fitted, bench.flavor_of(attempt), graph, parity, {})
    else:
        matrix, graph = fitted.matrix(bench.rows.frame), _parents_graph(bench)
    rows = bench.calibration(matrix)
    made = edited(graph, attempt.edit, attempt.share, {INPUT: rows})
    before, after = OnnxScorer(graph)(rows), OnnxScorer(made)(rows)
    far = np.abs(after - before)
    distance = {"mean": float(far.mean()), "max": float(far.max(initial=0.0)), "n_rows": float(len(rows))}
    return _Made(fitted, Onnx.name, made, Parity(passed=True, reason="", n_rows=len(rows)), distance)


def _parents_graph(bench: Bench) -> bytes:
    digest = next(each.digest for each in bench.ws.catalog.artifacts(bench.recipe.model.id) if each.path == GRAPH)
    return bench.ws.store.blobs.read(digest)


def _lay_out(bench: Bench, chosen: Chosen, made: _Made, scratch: Path) -> Path:
    """Write the version's files, its code apart, into a folder of their own."""
    folder = scratch / "files"
    (folder / NATIVE).mkdir(parents=True)
    if made.flavor == Onnx.name:
        (folder / NATIVE / GRAPH).write_bytes(made.graph)
    else:
        for file in (scratch / NATIVE).iterdir():
            file.rename(folder / NATIVE / file.name)
    (folder / GRAPH).write_bytes(made.graph)
    (folder / FEATURES).write_bytes(made.fitted.to_json())
    for artifact in bench.ws.catalog.artifacts(bench.recipe.model.id):
        if artifact.path == SCOPE:  # of the same rows
            (folder / SCOPE).write_bytes(bench.ws.store.blobs.read(artifact.digest))
    (folder / ENVIRONMENT).write_bytes(msgspec.json.format(msgspec.json.encode(capture(bench.ws.root))))
    _reference(bench, chosen).write_parquet(folder / REFERENCE)
    return folder


def _reference(bench: Bench, chosen: Chosen) -> pl.DataFrame:
    """Return the rows of the test as the twin saw them, with its answers: what live traffic is compared with."""
    learned = bench.learned
    names = bench.recipe.fitted.names
    kept = chosen.attempt.features or names
    columns = {name: learned.asked[:, names.index(name)] for name in names if name in kept}
    answers = chosen.answers if chosen.answers.ndim == 1 else list(chosen.answers)
    return pl.DataFrame(columns).with_columns(
        pl.Series(MOMENT, learned.judged.moments), pl.Series(LABEL, learned.judged.labels), pl.Series(EXPECTED, answers)
    )


def _code(bench: Bench) -> tuple[StoredFile, ...]:
    kept = [each for each in bench.ws.catalog.artifacts(bench.recipe.model.id) if each.path.startswith(f"{CODE}/")]
    return tuple(StoredFile(each.path, each.digest, each.size) for each in kept)


def _judge(bench: Bench, chosen: Chosen) -> tuple[dict[str, Any], dict[str, Any]]:
    """Report on the twin, and hold it against the baseline its parent was held against."""
    learned, model = bench.learned, bench.recipe.model
    judged, objective, threshold = learned.judged, objective_of(model), model.facts["threshold"]
    rng = np.random.default_rng(bench.seed)
    naive = model.facts.get("naive")
    report = evaluate(
        judged.labels,
        chosen.answers,
        judged.moments,
        objective,
        rng,
        task=bench.task,
        threshold=threshold,
        groups={column: judged.group(column) for column in bench.recipe.view.slices},
        naive=np.asarray(naive) if naive else None,
    )
    labels = bench.rows.labels[bench.test.train][-BASELINE_ROWS:]
    line = fit_baseline(learned.matrix[-BASELINE_ROWS:], labels, task=bench.task)
    ours, theirs = Scored(chosen.answers, threshold), Scored(line.predict(learned.asked), threshold)
    beside = compare(judged.labels, ours, theirs, judged.moments, rng, objective=objective, task=bench.task)
    return msgspec.to_builtins(report), msgspec.to_builtins(beside)


def _facts(bench: Bench, chosen: Chosen, made: _Made) -> dict[str, Any]:
    """Return what differs from the parent's facts."""
    ws, recipe, attempt = bench.ws, bench.recipe, chosen.attempt
    view = made.fitted.view
    table = recipe.model.facts["table"] if not attempt.features else feature_table(ws, view, recipe.datasets)[0]
    return {
        "view": view.digest,
        "table": table,
        "features": list(made.fitted.names),
        "families": made.fitted.families,
        "flavor": made.flavor,
        "parity": msgspec.to_builtins(made.parity),
        "params": attempt.settings(recipe.params),
        "reads": by_dataset(recipe.datasets, columns_read(view)),
        "learns": by_dataset(recipe.datasets, columns_learned(view)),
        "generated": None,
        "variant": {
            "parent": recipe.model.id,
            "parent_ref": recipe.model.ref,
            "name": attempt.name,
            "how": msgspec.to_builtins(attempt),
            "is_replayable": attempt.is_replayable,
            "allowed_loss": chosen.allowed_loss,
            "paired": msgspec.to_builtins(chosen.paired),
            "distance": made.distance,
            **msgspec.to_builtins(chosen.told),
        },
    }


_CONTENT: Final = ("view", "table", "threshold", "params", "until", "objective", "purpose")


def _digest(facts: dict[str, Any], files: tuple[StoredFile, ...]) -> str:
    """Digest what the version answers and is judged by, and what it may lose against its parent."""
    content = sorted((file.path, file.digest) for file in files if file.path != ENVIRONMENT and not file.path.startswith(f"{CODE}/"))
    variant = facts["variant"]
    return digest_value([content, *(facts.get(name) for name in _CONTENT), variant["parent"], variant["how"], variant["allowed_loss"]])


def _run_started(bench: Bench, chosen: Chosen, run: NodeId) -> RunStarted:
    recipe = bench.recipe
    return RunStarted(
        node=run,
        experiment=recipe.model.name,
        title=f"optimise: {chosen.attempt.name}",
        started=bench.ws.clock(),
        params={name: str(value) for name, value in chosen.attempt.settings(recipe.params).items()},
        inputs=(Input(recipe.model.id, "input"), *(Input(node.id, "input") for node in _datasets(bench))),
        facts={"code": recipe.code, "variant": chosen.attempt.name},
    )


def _datasets(bench: Bench) -> list[Node]:
    return list({node.id: node for node in bench.recipe.datasets.values()}.values())


def _trained_on(bench: Bench) -> tuple[Input, ...]:
    return tuple(Input(node.id, "trained_on") for node in _datasets(bench))


def _report(bench: Bench, report: dict[str, Any], model: NodeId) -> ModelEvaluated:
    recipe = bench.recipe
    facts = {**report, "how": "backtest", "model": model}
    inputs = (Input(model, "input"), Input(recipe.datasets[recipe.view.on].id, "evaluated_on"))
    return ModelEvaluated(node=new_id(), kind="report", name=recipe.model.name, digest=digest_value(facts), facts=facts, inputs=inputs)
