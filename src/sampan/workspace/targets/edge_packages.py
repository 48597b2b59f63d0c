"""A package opened for targets that carry it as C: the model as a program, and the probe set with what the package answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.errors import IntegrityError, Unsupported
from sampan.workspace.models.predictors import EXPECTED, GRAPH, PROBE, WHOLE, PackageManifest, open_predictor
from sampan.workspace.targets.edge_targets import program_of, schema_of

if TYPE_CHECKING:
    from sampan.edge.program import Program
    from sampan.edge.source import Schema
    from sampan.workspace.models.predictors import PackagePredictor

PARITY = 1e-5  # how far answers may be from the package's, in the scale of answers: float32 sums taken in another order


@dataclass(frozen=True, slots=True, eq=False)
class CarriedPackage:
    """What a target needs of a package."""

    manifest: PackageManifest
    predictor: PackagePredictor
    schema: Schema
    graph: bytes
    transform: Program | None  # from what a request says to the features
    why_without: str  # why there is no transform
    requests: list[dict[str, Any]]
    rows: NDArray[np.float32]  # the requests' features
    expected: NDArray[np.float64]  # (n, outputs)

    def programs(self) -> Iterator[Program]:
        """Yield the model in float32; then, for a graph that computes in float64 on its way and needs to, in that."""
        yield program_of(self.graph)
        yield program_of(self.graph, has_doubles=True)

    def difference(self, answers: NDArray[np.float64]) -> float:
        """Return the largest difference of answers from the package's, in the scale of answers; not finite counts as infinitely far."""
        with np.errstate(invalid="ignore"):
            apart = np.abs(answers - self.expected) / self.manifest.scale
        apart[np.isnan(answers) & np.isnan(self.expected)] = 0.0
        return float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0))

    def check(self, answers: NDArray[np.float64], where: str) -> float:
        """Return how far answers are from the package's. Raises Unsupported where that is too far."""
        found = self.difference(answers)
        if found > PARITY:
            raise Unsupported(
                f"{where} the answers differ from the package's by up to {found:.3g}, more than {PARITY:g}",
                hint="serve it whole: sampan model pack MODEL --target oci",
            )
        return found


def open_carried(package: Path, name: str = "") -> CarriedPackage:
    """Open a package; `name` is that of the C functions, by default the model's.

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
    transform, why_without = _transform(package, manifest)
    schema = schema_of(manifest, name)
    if transform is None:
        schema = msgspec.structs.replace(schema, numbers=(), texts=())
    graph = (package / GRAPH).read_bytes()
    return CarriedPackage(manifest, predictor, schema, graph, transform, why_without, requests, rows, expected)


def _transform(package: Path, manifest: PackageManifest) -> tuple[Program | None, str]:
    """Read the feature transform; None and the reason where it cannot be generated."""
    from sampan.edge.reading import read_transform

    if not (package / WHOLE).is_file():
        return None, manifest.whole.reason if manifest.whole is not None else "the package has no whole graph"
    try:
        return read_transform((package / WHOLE).read_bytes()), ""
    except Unsupported as cause:
        return None, cause.message


def request_columns(carried: CarriedPackage) -> list[dict[str, Any]]:
    """Return the probe's requests as the transform's inputs by name: fields as they were sent, and what the store answers for them."""
    from sampan.table.graph_writer import MISSING

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
