"""A small real package whose features look nothing up: numbers, a category and a calendar part, and a linear model as a graph."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from onnx import TensorProto, helper

from sampan.core.events import Input, new_id
from sampan.core.graph import Node
from sampan.features import Columns, Expr, features, moment, number, text, view_tables
from sampan.packaging.closure import LOCK, lock_lines
from sampan.packaging.packages import read_facts
from sampan.workspace.models.events import ModelTrained, PackageBuilt, StoredFile
from sampan.workspace.models.package_files import package_digest
from sampan.workspace.models.predictors import FEATURES, GRAPH, MANIFEST, ONLINE, PROBE, PackageManifest
from sampan.workspace.services import process
from sampan.workspace.workspace import Workspace

parcels = Columns(parcel=number(nullable=False), at=moment(nullable=False), shop=text(), kilos=number())
ROWS = [
    {"parcel": 1.0, "at": 1_356_998_400_000, "shop": "north", "kilos": 2.0},
    {"parcel": 2.0, "at": "2013-01-02T10:00:00Z", "shop": "Đông", "kilos": None},
    {"parcel": 3.0, "at": 1_357_084_800_000, "shop": "", "kilos": 0.5},
]


@features(on="parcels", columns=parcels, key=["parcel"], moment=parcels.at)
def parcels_view(row: Columns) -> dict[str, Expr]:
    """What a parcel weighs, when it is sent, by which shop."""
    return {"weight": row.kilos.fill(1.0), "hour": row.at.hour(zone="UTC"), "shop_code": row.shop}


def write_plain_package(folder: Path) -> None:
    """Write a package that answers with weight + hour / 100."""
    fitted = view_tables.fit(
        parcels_view, view_tables.batch(parcels_view, {"parcels": pl.DataFrame(ROWS, strict=False).with_columns(at=pl.lit(0.0))})
    )
    manifest = PackageManifest(
        name="parcels",
        version="v1",
        model="parcels@v1",
        view=parcels_view.name,
        request_schema=msgspec.to_builtins(parcels_view.request_schema()),
        keys=parcels_view.key,
        slices=(),
        feature_names=tuple(fitted.names),
        families={},
        label="",
        threshold=None,
        until=0,
        flavor="onnx",
        served_by="onnx",
        environment="",
    )
    (folder / ONLINE).mkdir(parents=True)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    (folder / FEATURES).write_bytes(fitted.to_json())
    (folder / GRAPH).write_bytes(_graph([1.0, 0.01, 0.0]))
    pl.DataFrame([{**row, "at": 0.0} for row in ROWS]).write_parquet(folder / PROBE)
    (folder / LOCK).write_text("".join(lock_lines(folder, read_facts(folder))))


def add_plain_package(ws: Workspace, folder: Path) -> Node:
    """Store such a package, and the model it is of; return the package."""
    write_plain_package(folder)
    model = ModelTrained(node=new_id(), kind="model", name="parcels", digest="", facts={"datasets": {}}, inputs=())
    ws.ledger.append(model)
    stored = ((file, *ws.store.blobs.put_file(file)) for file in sorted(folder.rglob("*")) if file.is_file())
    files = tuple(StoredFile(file.relative_to(folder).as_posix(), digest, size) for file, digest, size in stored)
    package = PackageBuilt(
        node=new_id(),
        kind="package",
        name="parcels",
        digest=package_digest(files),
        facts={"model": "parcels@v1", "served_by": "onnx"},
        inputs=(Input(model.node, "packaged_as"),),
        files=files,
    )
    ws.ledger.append(package)
    return ws.catalog.node(package.node)


def asked(live: process.Liveness, row: dict[str, object]) -> float:
    """Return what a server of the package answers to a row."""
    status, body = process.ask(live, "POST", "/predict", body=json.dumps(row).encode())
    assert 200 == status
    return float(json.loads(body)["score"])


def _graph(weights: list[float]) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "w"], ["product"]), helper.make_node("Reshape", ["product", "flat"], ["score"])],
        "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(weights)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])],
        [
            helper.make_tensor("w", TensorProto.FLOAT, [len(weights), 1], np.array(weights, np.float32)),
            helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())
