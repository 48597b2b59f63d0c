"""A package opened for targets that carry it as C: the model as a program, and the probe set with what the package answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.digests import digest_bytes
from sampan.errors import IntegrityError, Unsupported
from sampan.flavors.onnx_graph import open_session
from sampan.table.graph_writer import MISSING
from sampan.workspace.models.predictors import (
    EXPECTED,
    GRAPH,
    PROBE,
    REFERENCE,
    WHOLE,
    PackageManifest,
    load_scorer,
    open_predictor,
)
from sampan.workspace.targets.hard_rows import HardRows, spoiled_numbers, spoiled_texts

if TYPE_CHECKING:
    from sampan.edge.program import Program
    from sampan.edge.source import Schema
    from sampan.edge.trying import Probe
    from sampan.workspace.models.predictors import PackagePredictor

PARITY: Final = 1e-5  # how far answers may be from the package's, in the scale of answers: float32 sums taken in another order
_USUAL_ROWS: Final = 2000


@dataclass(frozen=True, eq=False)
class CarriedPackage:
    """What a target needs of a package."""

    folder: Path
    manifest: PackageManifest
    predictor: PackagePredictor
    schema: Schema
    graph: bytes
    transform: Program | None  # from what a request says to the features
    why_without: str  # why there is no transform
    requests: list[dict[str, Any]]
    rows: NDArray[np.float32]  # the requests' features
    expected: NDArray[np.float64]  # (n, outputs)

    @cached_property
    def probe(self) -> Probe:
        """What the package answers to its probe rows."""
        from sampan.edge.trying import Probe

        threshold = self.manifest.threshold if self.manifest.task.kind == "binary" else None
        return Probe(self.expected, self.hard.expected, self.manifest.scale, threshold)

    @cached_property
    def asked_rows(self) -> NDArray[np.float32]:
        """All rows that code is asked: the probe's, then the hard ones."""
        return np.concatenate([self.rows, self.hard.rows])

    @cached_property
    def asked_tensors(self) -> dict[str, NDArray[Any]]:
        """The same as requests."""
        given = self.predictor.tensors(self.requests)
        return {name: np.concatenate([values, self.hard.tensors[name]]) for name, values in given.items()}

    @cached_property
    def hard(self) -> HardRows:
        """Rows that nobody sent, and what the package answers."""
        rng, manifest = np.random.default_rng(0), self.manifest
        tensors: dict[str, NDArray[Any]] = {}
        if self.transform is None:
            rows = spoiled_numbers(self.rows, rng, has_missing=manifest.takes_missing)
        else:
            tensors = self._hard_tensors(rng)
            rows = np.asarray(open_session((self.folder / WHOLE).read_bytes()).run(["features"], tensors)[0], np.float32)
            if not manifest.takes_missing:
                whole = ~np.isnan(rows).any(axis=1)
                rows, tensors = rows[whole], {name: values[whole] for name, values in tensors.items()}
        expected = np.asarray(load_scorer(self.folder, manifest)(rows), np.float64).reshape(len(rows), -1)
        return HardRows(rows, tensors, expected)

    def _hard_tensors(self, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        inputs, given = self.manifest.inputs, self.predictor.tensors(self.requests)
        assert inputs is not None
        found: dict[str, NDArray[Any]] = {}
        if "num" in given:
            # A moment far out is in no calendar, and a flag is 0 or 1.
            fixed = tuple(place for place, column in enumerate(inputs.num) if column.kind in ("moment", "flag"))
            found["num"] = spoiled_numbers(given["num"], rng, has_missing=True, fixed=fixed)
        if "cat" in given:
            closed = tuple(place for place, column in enumerate(inputs.cat) if column.name in self.manifest.closed)
            found["cat"] = spoiled_texts(given["cat"], rng, missing=MISSING, closed=closed)
        return found

    @cached_property
    def usual(self) -> NDArray[np.float32]:
        """Rows that the model was tested on, for what needs to see usual values; the probe's where the package has none."""
        if not (self.folder / REFERENCE).exists():
            return self.rows
        frame = pl.read_parquet(self.folder / REFERENCE, columns=list(self.predictor.feature_names))
        step = max(1, frame.height // _USUAL_ROWS)
        return np.ascontiguousarray(frame.gather_every(step).to_numpy(), dtype=np.float32)


def open_carried(package: Path, name: str = "", *, transform: bool = True) -> CarriedPackage:
    """Open a package.

    Parameters
    ----------
    name : of the C functions, by default the model's
    transform : whether features are to be made of requests

    Raises
    ------
    Unsupported : the package has no graph, or one that no code is generated for.
    IntegrityError : it has no probe set.
    """
    predictor = open_predictor(package)
    manifest = predictor.manifest
    if manifest.served_by != "onnx":
        raise Unsupported(
            f"{manifest.model} has no graph that answers as it does: {manifest.why_slow}", hint="sampan model pack MODEL --target oci"
        )
    if manifest.direct:
        raise Unsupported(f"{manifest.model} answers from the rows themselves", hint="sampan model pack MODEL --target oci")
    if not (package / PROBE).is_file():
        raise IntegrityError(f"package {manifest.name} has no {PROBE}", hint="pack the model again")
    requests = pl.read_parquet(package / PROBE).drop(EXPECTED).to_dicts()
    rows = predictor.features(requests)
    if not manifest.takes_missing:
        whole = np.asarray(~np.isnan(rows).any(axis=1))
        requests, rows = [r for r, kept in zip(requests, whole.tolist(), strict=True) if kept], rows[whole]
    if not len(rows):
        raise IntegrityError(f"package {manifest.name} has no rows to probe it with", hint="pack the model again")
    expected = np.asarray(predictor.score(rows), np.float64).reshape(len(rows), -1)
    front, why_without = _transform(package, manifest) if transform else (None, "")
    schema = schema_of(manifest, name)
    if front is None:
        schema = msgspec.structs.replace(schema, numbers=(), texts=())
    graph = (package / GRAPH).read_bytes()
    schema = msgspec.structs.replace(schema, digest=digest_bytes(graph))
    return CarriedPackage(package, manifest, predictor, schema, graph, front, why_without, requests, rows, expected)


def _transform(package: Path, manifest: PackageManifest) -> tuple[Program | None, str]:
    """Read the feature transform; None and the reason where it cannot be generated."""
    from sampan.edge.reading import read_transform

    if not (package / WHOLE).is_file():
        return None, manifest.whole.reason if manifest.whole is not None else "the package has no whole graph"
    try:
        return read_transform((package / WHOLE).read_bytes()), ""
    except Unsupported as cause:
        return None, cause.message


def program_of(graph: bytes, *, has_doubles: bool = False) -> Program:
    """Read a package's graph as a program of as few steps as it needs."""
    from sampan.edge.reading import read_program
    from sampan.edge.simplifying import simplify

    return simplify(read_program(graph, has_doubles=has_doubles))


def schema_of(manifest: PackageManifest, name: str = "") -> Schema:
    """Say in the header what a package's manifest says."""
    from sampan.edge.source import Field, Schema

    fields = tuple(
        Field(each, manifest.families.get(each, ""), "NaN where missing" if manifest.takes_missing else "never missing")
        for each in manifest.feature_names
    )
    outputs = tuple(f"chance of {each}" for each in manifest.task.classes) if manifest.task.kind == "multiclass" else (manifest.output,)
    about, inputs = (f"Model {manifest.model}.",), manifest.inputs
    columns = (inputs.num, inputs.cat) if inputs is not None else ((), ())
    numbers, texts = (
        tuple(Field(each.name, each.kind, "looked up by the caller" if each.source == "store" else "") for each in some) for some in columns
    )
    return Schema(name or manifest.name, manifest.version, fields, outputs, manifest.threshold, about, numbers, texts)


def request_columns(carried: CarriedPackage) -> list[dict[str, Any]]:
    """Return the probe's requests as the transform's inputs by name: fields as they were sent, and what the store answers for them."""
    inputs = carried.manifest.inputs
    assert inputs is not None
    tensors = carried.predictor.tensors(carried.requests)
    fetched: dict[str, list[Any]] = {}
    for tensor, columns in (("num", inputs.num), ("cat", inputs.cat)):
        for place, column in enumerate(columns):
            if column.source == "store":
                values = tensors[tensor][:, place].tolist()
                fetched[column.name] = [_plain(v, column.kind, MISSING) for v in values]
    return [{**row, **{name: values[i] for name, values in fetched.items()}} for i, row in enumerate(carried.requests)]


def _plain(value: Any, kind: str, missing: str) -> Any:
    """Write a tensor's value as a request would have it."""
    if value == missing or value != value:  # NaN alone differs from itself
        return None
    return bool(value) if kind == "flag" else value
