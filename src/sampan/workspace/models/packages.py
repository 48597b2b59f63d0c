"""Packages: a model with all it needs to answer, as a folder of plain files whose content names it.

`package.json` what it is and how it is asked · `features.json` the fitted feature view · `scope.json` how far its features reached in
training · `model.onnx` the graph, where it passed the parity gate · `native/` the model in its own format · `online/*.parquet` what
features look up · `probe.parquet` requests with the scores they must get · `reference.parquet` the rows it was tested on ·
`environment.json` where it was trained · `compact.onnx` the graph of a model of trees as servers open it · `whole.onnx` one graph from
the request to the score · `request.schema.json`, `examples.json` how
to ask · `requirements.txt`, `bom.cdx.json` what it was made with and of · `serving.txt` what to install where it is served · `card.md`,
`data.md` all this for people · `signature.json` who vouches for these files.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.decoding import read_builtins, read_json
from sampan.core.events import Input, new_id
from sampan.core.graph import Node
from sampan.errors import IntegrityError, ParameterError
from sampan.evaluation.costs import worth_table
from sampan.evaluation.task import Kind
from sampan.features import view_tables
from sampan.features.fitted import FittedView
from sampan.features.online import OnlineView
from sampan.features.view import MOMENT
from sampan.flavors.parity import distances
from sampan.workspace.models.events import PackageBuilt, StoredFile
from sampan.workspace.models.judging import objective_of, task_of_model
from sampan.workspace.models.package_documents import owner_of, write_documents
from sampan.workspace.models.package_files import package_digest
from sampan.workspace.models.package_graphs import add_compact_graph, add_whole_graph
from sampan.workspace.models.predictors import (
    ENVIRONMENT,
    EXPECTED,
    FEATURES,
    MANIFEST,
    ONLINE,
    PROBE,
    PackageManifest,
    PackagePredictor,
    load_scorer,
    open_predictor,
)
from sampan.workspace.runs.code_snapshot import CODE
from sampan.workspace.training.feature_tables import open_tables

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

LAYOUT: Final = 4  # another number when what a package holds changes
PROBE_ROWS: Final = 256
PROBE_TOLERANCE: Final = 1e-4
LATENCY_CALLS: Final = 300
_ROW: Final = "__row"
_OUTPUTS: Final[dict[Kind, str]] = {"binary": "score", "multiclass": "probabilities", "regression": "value"}


class Probed(msgspec.Struct, frozen=True):
    """What the probe set found: how far single requests are from the scores the batch path gave."""

    n_rows: int
    n_far: int
    max_difference: float
    p95_ms: float
    environment: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Say whether every request got the score it must get."""
        return self.n_rows > 0 and self.n_far == 0


def build_package(ws: Workspace, model: Node) -> PackageBuilt:
    """Return the event that records a model's package; the files are stored, and made only once for each model."""

    def make() -> list[Any]:
        with ws.progress.stage(f"Pack {model.ref}"), tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            if model.facts.get("adopted"):
                from sampan.workspace.models.adopted_packages import write_adopted

                write_adopted(ws, model, folder)
            else:
                _write(ws, model, folder)
            from sampan.workspace.training.learning import store_folder

            return [msgspec.to_builtins(f) for f in store_folder(ws, folder)]

    stored, _ = ws.engine.once("package", {"model": model.id, "layout": LAYOUT}, make)
    files = tuple(read_builtins(f, StoredFile) for f in stored)
    manifest = read_json(ws.store.blobs.read(next(f.digest for f in files if f.path == MANIFEST)), PackageManifest)
    facts = {
        "model": model.ref,
        "served_by": manifest.served_by,
        "threshold": model.facts["threshold"],
        "features": model.facts["features"],
        "until": model.facts["until"],
        "whole": msgspec.to_builtins(manifest.whole),
        "files": {f.path: f.size for f in files},
    }
    return PackageBuilt(
        node=new_id(),
        kind="package",
        name=model.name,
        digest=package_digest(files),
        size=sum(f.size for f in files),
        facts=facts,
        inputs=(Input(model.id, "packaged_as"),),
        files=files,
    )


def probe(folder: Path) -> Probed:
    """Ask a package its own probe set, row by row as a client would, and measure how long single answers take."""
    predictor = open_predictor(folder)
    try:
        frame = pl.read_parquet(folder / PROBE)
    except OSError as cause:
        raise IntegrityError(f"package {predictor.name} has no {PROBE}", hint="pack the model again") from cause
    expected = frame[EXPECTED].to_numpy()
    rows = frame.drop(EXPECTED).to_dicts()
    distance = distances(expected, predictor.predict(rows), scale=predictor.manifest.scale)
    return Probed(
        n_rows=len(rows),
        n_far=int((distance > PROBE_TOLERANCE).sum()),
        max_difference=float(distance.max(initial=0.0)),
        p95_ms=_p95_ms(predictor, rows),
        environment=tuple(predictor.differences()),
    )


def _p95_ms(predictor: PackagePredictor, rows: list[dict[str, Any]]) -> float:
    predictor.predict(rows[:1])
    seconds = []
    for call in range(LATENCY_CALLS):
        begun = time.perf_counter()
        predictor.predict([rows[call % len(rows)]])
        seconds.append(time.perf_counter() - begun)
    return float(np.quantile(seconds, 0.95) * 1000)


def _write(ws: Workspace, model: Node, folder: Path) -> None:
    """Write all files of a model's package."""
    for artifact in ws.catalog.artifacts(model.id):
        if artifact.path.startswith(f"{CODE}/"):
            continue  # what a server is given is data, never code
        path = folder / artifact.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ws.store.blobs.read(artifact.digest))
    fitted = FittedView.from_json((folder / FEATURES).read_bytes())
    manifest = _manifest(model, fitted, ws.store.blobs.read(_environment(ws, model)))
    datasets = {name: ws.catalog.node(node) for name, node in model.facts["datasets"].items()}
    tables = open_tables(ws, datasets)
    (folder / ONLINE).mkdir()
    for name, frame in view_tables.online_tables(fitted.view, tables, manifest.until).items():
        frame.write_parquet(folder / ONLINE / f"{name}.parquet")
    asked = _probe_set(ws, model, fitted, tables[fitted.view.on], load_scorer(folder, manifest))
    asked.write_parquet(folder / PROBE)
    held = {file.stem: pl.read_parquet(file) for file in sorted((folder / ONLINE).glob("*.parquet"))}
    online = OnlineView.of(fitted, held, known_until=manifest.until)
    found = add_whole_graph(folder, manifest, online, asked.drop(EXPECTED).to_dicts())
    add_compact_graph(folder, manifest, online, asked.drop(EXPECTED).to_dicts())
    manifest = msgspec.structs.replace(manifest, inputs=found.inputs, whole=found.parity, owner=owner_of(ws, model))
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    write_documents(ws, model, manifest, folder, asked.drop(EXPECTED).to_dicts(), asked[EXPECTED].to_list())


def _environment(ws: Workspace, model: Node) -> str:
    return next(a.digest for a in ws.catalog.artifacts(model.id) if a.path == ENVIRONMENT)


def _manifest(model: Node, fitted: FittedView, environment: bytes) -> PackageManifest:
    parity, view = model.facts["parity"], fitted.view
    return PackageManifest(
        name=model.name,
        version=f"v{model.version}",
        model=model.ref,
        view=view.digest,
        request_schema=msgspec.to_builtins(view.request_schema()),
        keys=view.key,
        slices=view.slices,
        feature_names=fitted.names,
        families=dict(fitted.families),
        label=view.label.missing if view.label else "",
        threshold=model.facts["threshold"],
        until=model.facts["until"],
        flavor=model.facts["flavor"],
        task=task_of_model(model),
        output=_OUTPUTS[task_of_model(model).kind],
        worth=_worth(model),
        scale=parity.get("scale", 1.0),
        served_by="onnx" if parity["passed"] else model.facts["flavor"],
        why_slow=parity["reason"],
        takes_missing=model.facts.get("takes_missing", True),
        environment=msgspec.json.decode(environment)["digest"],
        purpose=str(model.facts.get("purpose", "")),
    )


def _worth(model: Node) -> tuple[tuple[float, ...], ...]:
    """Return what each decision between classes is worth, () where nobody said."""
    task, stated = task_of_model(model), objective_of(model).kpi
    if task.kind != "multiclass" or stated is None:
        return ()
    return tuple(tuple(row) for row in worth_table(task, stated).tolist())


def _probe_set(ws: Workspace, model: Node, fitted: FittedView, base: pl.LazyFrame, score: Any) -> pl.DataFrame:
    """Take the last requests before the model's cut, with the scores the batch path gives them.

    They are rows as they came, whatever is missing in them; those with a missing field go first, since they are few.
    """
    until = model.facts["until"]
    features = (
        ws.store.tables.scan(model.facts["table"]).with_row_index(_ROW).filter(pl.col(MOMENT) < until).sort(MOMENT, maintain_order=True)
    )
    newest = features.tail(20 * PROBE_ROWS).collect()
    fields = list(fitted.view.request_schema())
    raw = base.with_row_index(_ROW).filter(pl.col(_ROW).is_in(newest[_ROW].implode())).select(_ROW, *fields).collect()
    lacking = raw.filter(pl.any_horizontal(pl.col(fields).is_null()))[_ROW].head(PROBE_ROWS // 4)
    whole = raw.filter(~pl.col(_ROW).is_in(lacking.implode()))[_ROW]
    rng = np.random.default_rng(0)
    others = rng.choice(whole.to_numpy(), min(PROBE_ROWS - len(lacking), len(whole)), replace=False)
    chosen = pl.concat([lacking, pl.Series(others, dtype=lacking.dtype)]).sort()
    asked = raw.filter(pl.col(_ROW).is_in(chosen.implode())).sort(_ROW)
    rows = newest.filter(pl.col(_ROW).is_in(chosen.implode())).sort(_ROW)
    scores: NDArray[np.float64] = score(fitted.matrix(rows))
    return asked.drop(_ROW).with_columns(pl.Series(EXPECTED, scores))


def copy_folder(source: Path, target: Path) -> None:
    """Copy a package to a folder that does not exist yet.

    Raises
    ------
    ParameterError : the target exists.
    """
    if target.exists():
        raise ParameterError(f"{target} exists", hint="name a folder that does not exist yet")
    shutil.copytree(source, target, copy_function=shutil.copyfile)
