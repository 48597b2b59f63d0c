"""The page of a model's smaller forms, of a real graph that was made smaller."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from starlette.testclient import TestClient

from sampan.web import app, charts
from sampan.web.charts import Spot
from sampan.web.words.dictionary import vietnamese
from sampan.workspace.models.optimizing_answers import Optimized
from sampan.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Optimized]]:
    folder = tmp_path_factory.mktemp("forms")
    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name) for shape, name in (((8, 32), "a"), ((32, 4), "b"))]
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "b"], ["y"]),
    ]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, n])] for name, n in (("x", 8), ("y", 4))]
    graph = helper.make_graph(nodes, "g", *ends, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    np.savez(folder / "rows.npz", x=rng.normal(size=(60, 8)).astype(np.float32))
    with Workspace.open(folder) as ws:
        yield ws, ws.model.optimise(str(folder / "net.onnx"), examples=folder / "rows.npz", budget="size=1kB")


@pytest.mark.slow
def test_every_variant_stands_on_the_page_in_both_languages_and_the_front_is_drawn(tried: tuple[Workspace, Optimized]) -> None:
    ws, found = tried
    node = ws.catalog.resolve(found.optimization, kind="optimization")
    with TestClient(app.create_app(ws), base_url="http://127.0.0.1:4140") as client:
        page = client.get(f"/optimizations/{node.id}?lang=en")
        told = client.get(f"/optimizations/{node.id}?lang=vi").text

    assert 200 == page.status_code
    assert all(f">{each.name}" in page.text for each in found.variants)
    assert 3 == page.text.count("<svg")
    assert page.text.count("<circle") == 3 * (1 + len(found.variants))
    assert found.picked in page.text
    assert ("Ngân sách" in told, "Như hiện có" in told) == (True, True)
    assert all(f">{vietnamese(each.name)}" in told for each in found.variants)
    assert [said for said in (" slower ", " shown worse", " threads", " dynamic", " bytes") if said in told] == []


def test_a_scatter_shows_points_intervals_and_names_and_escapes_them() -> None:
    drawn = charts.scatter("Front", [Spot(1, 0.0, name="<it>"), Spot(100, -0.2, -0.3, -0.1, color="c2"), Spot(0, 1.0)], words=("kB", "auc"))

    assert (2, 1, 1) == (drawn.count("<circle"), drawn.count("whisker"), drawn.count("&lt;it&gt;"))
    assert "<it>" not in drawn
    assert charts.scatter("Nothing", [], words=("", "")).count("<circle") == 0
