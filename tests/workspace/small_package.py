"""A small real package, made by hand: a feature view over orders, a logistic ONNX graph, reference rows. What `sampan model pack` makes
of a trained model, without the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray
from onnx import TensorProto, helper

from sampan.core.events import Input, new_id
from sampan.core.graph import Node
from sampan.engine.environment import capture
from sampan.evaluation.objective import objective, value
from sampan.features import Columns, Expr, Label, features, moment, number, past, text, view_tables
from sampan.features.view import FeatureOptions
from sampan.workspace.models.events import ModelTrained, PackageBuilt, StoredFile
from sampan.workspace.models.package_files import package_digest
from sampan.workspace.models.predictors import ENVIRONMENT, FEATURES, GRAPH, MANIFEST, ONLINE, REFERENCE, PackageManifest
from sampan.workspace.workspace import Workspace

DAY_MS = 86_400_000
START = 1_356_998_400_000  # 2013-01-01
WEIGHTS = (1.2, -0.8, 0.0)
BIAS = -0.4

orders = Columns(
    order=number(nullable=False),
    at=moment(nullable=False),
    shop=text(nullable=False),
    x1=number(),
    x2=number(),
    late=number(later=True),
    done=moment(later=True),
)
late = Label(orders.late > 0, known_at=orders.done)


@features(on="orders", columns=orders, key=["order"], slices=["shop"], moment=orders.at, label=late)
def orders_view(row: Columns) -> dict[str, Expr | FeatureOptions]:
    """Two measurements, and how often this shop was late in the last day."""
    return {
        "x1": row.x1,
        "x2": row.x2,
        "shop_late": past(late.value, by=[row.shop], known_at=late.known_at, window="1d", stat="rate").fill(0),
    }


def draw_orders(n: int, *, first: int, day: int, rng: np.random.Generator, shift: float = 0.0) -> pl.DataFrame:
    """Draw a day-by-day stream of orders: 200 a day, late by the chance that the true model gives."""
    x1, x2 = rng.normal(shift, 1, n), rng.normal(0, 1, n)
    number_of = np.arange(first, first + n)
    at = START + day * DAY_MS + (np.arange(n) * DAY_MS) // 200
    chances = true_chances(x1, x2)
    return pl.DataFrame(
        {
            "order": number_of,
            "at": at,
            "shop": np.where(number_of % 3 == 0, "north", "south"),
            "x1": x1,
            "x2": x2,
            "late": (rng.random(n) < chances).astype(np.float64),
            "done": at + DAY_MS // 2,
        }
    )


def true_chances(x1: NDArray[np.float64], x2: NDArray[np.float64], weights: Sequence[float] = WEIGHTS) -> NDArray[np.float64]:
    """Return what the model with these weights says."""
    return np.asarray(1 / (1 + np.exp(-(weights[0] * x1 + weights[1] * x2 + BIAS))))


def add_package(
    ws: Workspace,
    folder: Path,
    *,
    weights: Sequence[float] = WEIGHTS,
    name: str = "orders-late",
    graph: bytes = b"",
    libraries: dict[str, str] | None = None,
    dataset: Node | None = None,
) -> Node:
    """Store a model and its package; return the package. With a `dataset`, the model is one that was trained on it.

    `graph` takes the place of the logistic one that the weights make, `libraries` of those that it was made with.
    """
    rng = np.random.default_rng(99)
    reference = draw_orders(4000, first=-10_000, day=-30, rng=rng)
    frame = view_tables.batch(orders_view, {"orders": reference})
    fitted = view_tables.fit(orders_view, frame)
    here = capture(folder)
    environment = msgspec.structs.replace(here, libraries={**here.libraries, **(libraries or {})})
    model = ModelTrained(
        node=new_id(),
        kind="model",
        name=name,
        digest="",
        facts={
            "objective": msgspec.to_builtins(objective(metric="auc", kpi=value(fp=-1, fn=-4))),
            "threshold": 0.2,
            "datasets": {} if dataset is None else {"orders": dataset.id},
        },
        inputs=() if dataset is None else (Input(dataset.id, "trained_on"),),
    )
    version = ws.ledger.append(model).versions[model.node]
    ref = f"{name}@v{version}"
    manifest = PackageManifest(
        name=name,
        version=f"v{version}",
        model=ref,
        view=orders_view.name,
        request_schema=msgspec.to_builtins(orders_view.request_schema()),
        keys=orders_view.key,
        slices=orders_view.slices,
        feature_names=tuple(fitted.names),
        families={},
        label="late",
        threshold=0.2,
        until=START,
        flavor="onnx",
        served_by="onnx",
        environment=environment.digest,
    )
    matrix = fitted.matrix(frame)
    scores = true_chances(matrix[:, 0].astype(np.float64), matrix[:, 1].astype(np.float64), weights)
    reference_rows = pl.DataFrame(dict(zip(fitted.names, matrix.T, strict=True))).with_columns(
        frame["__moment"], frame["__label"], pl.Series("__score", scores)
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    (folder / FEATURES).write_bytes(fitted.to_json())
    (folder / GRAPH).write_bytes(graph or logistic_graph(weights))
    (folder / ENVIRONMENT).write_bytes(msgspec.json.encode(environment))
    reference_rows.write_parquet(folder / REFERENCE)
    (folder / ONLINE).mkdir()
    for table, rows in view_tables.online_tables(orders_view, {"orders": reference}, START).items():
        rows.write_parquet(folder / ONLINE / f"{table}.parquet")
    files = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest, size = ws.store.blobs.put_file(file)
        files.append(StoredFile(file.relative_to(folder).as_posix(), digest, size))
    package = PackageBuilt(
        node=new_id(),
        kind="package",
        name=name,
        digest=package_digest(tuple(files)),
        facts={"model": ref},
        inputs=(Input(model.node, "packaged_as"),),
        files=tuple(files),
    )
    ws.ledger.append(package)
    return ws.catalog.node(package.node)


def logistic_graph(weights: Sequence[float]) -> bytes:
    """Build score = sigmoid(features @ weights + BIAS) as ONNX."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "w"], ["product"]),
            helper.make_node("Add", ["product", "b"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["chance"]),
            helper.make_node("Reshape", ["chance", "flat"], ["score"]),
        ],
        "logistic",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(weights)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])],
        [
            helper.make_tensor("w", TensorProto.FLOAT, [len(weights), 1], list(weights)),
            helper.make_tensor("b", TensorProto.FLOAT, [1], [BIAS]),
            helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def requests_of(frame: pl.DataFrame) -> list[dict[str, object]]:
    """Return the request rows of orders: what is known in advance."""
    return frame.select(list(orders_view.request_schema())).to_dicts()
