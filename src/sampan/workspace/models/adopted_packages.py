"""Packages of models from elsewhere: the pickle is read in a process of its own, and left behind where a graph answers as it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.graph import Node
from sampan.engine.environment import capture
from sampan.errors import ParameterError, SampanError, Unsupported
from sampan.evaluation.task import BINARY, Task
from sampan.features import Columns, flag, number, text, view, view_tables
from sampan.features.expressions import FieldSpec, col, constant
from sampan.features.fitted import FittedView
from sampan.features.graph import NUMBERS, TEXTS, GraphInputs, InputColumn, inputs_of, leaves
from sampan.features.online import OnlineView
from sampan.features.scope import learn_scope
from sampan.flavors.onnx_graph import OUTPUT, open_session
from sampan.flavors.parity import Parity, measure, spread
from sampan.table.graph_writer import DOUBLE, STRING
from sampan.workspace.models.adopting import FILE, ROWS, trust_of
from sampan.workspace.models.package_documents import owner_of, write_documents
from sampan.workspace.models.package_graphs import UNSEEN, spoiled
from sampan.workspace.models.pickled import About, PickleProcess
from sampan.workspace.models.predictors import ENVIRONMENT, EXPECTED, FEATURES, MANIFEST, ONLINE, PROBE, SCOPE, WHOLE, PackageManifest

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

_PROBE_ROWS: Final = 256
_GATE_ROWS: Final = 5_000
_ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)


def adopted_view(name: str, frame: pl.DataFrame) -> FittedView:
    """Describe rows as a feature view: each column a feature as it is. It checks requests and tells what training never showed."""
    fields: dict[str, FieldSpec] = {}
    for column, kind in frame.schema.items():
        if kind.is_numeric() and not kind.is_decimal():
            fields[column] = number()
        elif kind == pl.Boolean:
            fields[column] = flag()
        elif kind in (pl.String, pl.Categorical, pl.Enum):
            fields[column] = text()
        else:
            raise ParameterError(
                f"column {column!r} is {kind}, which no request can carry", hint="turn it into numbers or text, or drop it"
            )
    features = {column: col(column, spec.type) for column, spec in fields.items()}
    built = view(name, on="rows", columns=Columns(**fields), key=[], moment=constant(_ALWAYS), features=features)
    return view_tables.fit(built, view_tables.batch(built, {"rows": frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))}))


def write_adopted(ws: Workspace, model: Node, folder: Path) -> None:
    """Write all files of an adopted model's package.

    Raises
    ------
    AccessDenied : nobody has trusted its pickle.
    Unsupported : the pickle cannot be read, or cannot answer its own rows.
    """
    trust = trust_of(ws, model)
    for artifact in ws.catalog.artifacts(model.id):
        path = folder / artifact.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ws.store.blobs.read(artifact.digest))
    (folder / ONLINE).mkdir()
    file = next(iter(sorted((folder / FILE).parent.iterdir())))
    fitted = FittedView.from_json((folder / FEATURES).read_bytes())
    rows = pl.read_parquet(folder / ROWS).head(_GATE_ROWS).select(list(fitted.view.columns)).to_dicts()
    (folder / ROWS).unlink()
    process = PickleProcess(file)
    try:
        about = process.about
        fitted = _with_needed(process, fitted, rows[0])
        (folder / FEATURES).write_bytes(fitted.to_json())
        closed = tuple(
            name for name, each in fitted.view.columns.items() if each.type == "text" and not _answers(process, {**rows[0], name: UNSEEN})
        )
        online = OnlineView.of(fitted, {})
        inputs = inputs_of(leaves(fitted))
        asked, answers = _answered(process, online, rows)
        (folder / SCOPE).write_bytes(msgspec.json.format(msgspec.json.encode(learn_scope(online.matrix(rows), fitted))))
        parity = _whole(folder, process, inputs, online, asked, answers)
    finally:
        process.close()
    if parity.passed:
        file.unlink()  # what a server is given is data where it can be
        file.parent.rmdir()
    environment = capture(ws.root)
    (folder / ENVIRONMENT).write_bytes(msgspec.json.format(msgspec.json.encode(environment)))
    manifest = msgspec.structs.replace(
        _manifest(ws, model, fitted, about, parity), environment=environment.digest, trusted=trust, closed=closed
    )
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    few = min(_PROBE_ROWS, len(rows))
    probe = pl.DataFrame(rows[:few], schema=_schema(online), strict=False).with_columns(pl.Series(EXPECTED, answers[:few]))
    probe.write_parquet(folder / PROBE)
    write_documents(ws, model, manifest, folder, rows[:few], answers[:few].tolist())


def _manifest(ws: Workspace, model: Node, fitted: FittedView, about: About, parity: Parity) -> PackageManifest:
    return PackageManifest(
        name=model.name,
        version=f"v{model.version}",
        model=model.ref,
        view=fitted.view.digest,
        request_schema=msgspec.to_builtins(fitted.view.request_schema()),
        keys=(),
        slices=(),
        feature_names=fitted.names,
        families=dict(fitted.families),
        label="",
        threshold=None,
        until=model.facts["until"],
        flavor="pickle",
        task=_task(about),
        scale=parity.scale,
        served_by="onnx" if parity.passed else "pickle",
        why_slow=parity.reason,
        environment="",
        inputs=inputs_of(leaves(fitted)),
        whole=parity,
        purpose=str(model.facts.get("purpose", "")),
        owner=owner_of(ws, model),
        direct=True,
    )


def _answered(
    process: PickleProcess, online: OnlineView, rows: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], NDArray[np.float64]]:
    """Return the rows to compare on, with the pickle's answers: real ones, and spoiled ones where it takes such at all."""
    answers = process.scores(_columns(rows, online))
    for unseen in (True, False):
        hard = spoiled(rows, online, np.random.default_rng(0), unseen=unseen)
        try:
            return [*rows, *hard], np.concatenate([answers, process.scores(_columns(hard, online))])
        except Unsupported:  # it raises at texts that it never saw
            continue
    return list(rows), answers


def _with_needed(process: PickleProcess, fitted: FittedView, row: Mapping[str, Any]) -> FittedView:
    """Return the view with every field marked that the model cannot answer without: a server then refuses such a request by name."""
    needed = [name for name in fitted.view.columns if not _answers(process, {**row, name: None})]
    columns = {
        name: msgspec.structs.replace(spec, nullable=spec.nullable and name not in needed) for name, spec in fitted.view.columns.items()
    }
    return FittedView(msgspec.structs.replace(fitted.view, columns=columns), fitted.encoders, fitted.texts)


def _answers(process: PickleProcess, row: Mapping[str, Any]) -> bool:
    try:
        return bool(np.isfinite(process.scores({name: [value] for name, value in row.items()})).all())
    except Unsupported:
        return False


def _whole(
    folder: Path,
    process: PickleProcess,
    inputs: GraphInputs,
    online: OnlineView,
    asked: Sequence[Mapping[str, Any]],
    answers: NDArray[np.float64],
) -> Parity:
    scale = spread(answers) if process.about.regressor else 1.0
    tensors = {NUMBERS: (DOUBLE, len(inputs.num)), TEXTS: (STRING, len(inputs.cat))}
    tensors = {name: told for name, told in tensors.items() if told[1]}
    places = {each.name: (tensor, place) for tensor, side in _sides(inputs) for place, each in enumerate(side)}
    try:
        graph = process.graph({name: places[name] for name in _ordered(process.about, places)}, tensors)
        found = np.asarray(open_session(graph).run([OUTPUT], online.tensors(asked))[0], np.float64)
    except SampanError as cause:
        return Parity(passed=False, reason=cause.message, scale=scale)
    except Exception as cause:  # noqa: BLE001  # the runtime's own error classes are not public
        return Parity(passed=False, reason=f"the graph does not run: {str(cause)[:200]}", scale=scale)
    parity = measure(answers, found, online.matrix(asked), scale=scale)
    if parity.passed:
        (folder / WHOLE).write_bytes(graph)
    return parity


def _ordered(about: About, places: Mapping[str, Any]) -> Sequence[str]:
    """Return the columns as the model was fitted on them, where it says so and all are there."""
    return about.columns if about.columns and set(about.columns) <= set(places) else list(places)


def _sides(inputs: GraphInputs) -> tuple[tuple[str, tuple[InputColumn, ...]], ...]:
    return ((NUMBERS, inputs.num), (TEXTS, inputs.cat))


def _columns(rows: Sequence[Mapping[str, Any]], online: OnlineView) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in online.schema}


def _schema(online: OnlineView) -> dict[str, Any]:
    kinds: dict[str, Any] = {"number": pl.Float64, "text": pl.String, "flag": pl.Boolean}
    return {name: kinds[spec.type] for name, spec in online.schema.items()}


def _task(about: About) -> Task:
    if about.regressor:
        return Task("regression")
    return BINARY if len(about.classes) <= 2 else Task("multiclass", about.classes)
