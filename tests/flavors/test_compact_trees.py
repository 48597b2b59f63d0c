"""Trees as arrays answer what they answered before, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier

from sampan import plugins
from sampan.flavors.compact_trees import compact_trees
from sampan.flavors.onnx_graph import OnnxScorer, tree_graph

N, WIDTH = 600, 6


def rows(n: int = N, *, missing: bool = True) -> NDArray[np.float32]:
    rng = np.random.default_rng(7)
    found = rng.normal(size=(n, WIDTH)).astype(np.float32)
    if missing:
        found[rng.random(found.shape) < 0.1] = np.nan
    return found


def labels(n_classes: int) -> NDArray[np.int64]:
    drawn = rows(missing=False)
    return np.digitize(drawn[:, 0] + drawn[:, 1] * drawn[:, 2], np.linspace(-1, 1, n_classes - 1))


def same(graph: bytes, compact: bytes, asked: NDArray[np.float32]) -> bool:
    before, after = OnnxScorer(graph), OnnxScorer(compact)
    return all(before(each).tobytes() == after(each).tobytes() for each in (asked, *(asked[i : i + 1] for i in range(50))))


MODELS: dict[str, tuple[str, Callable[[], Any], bool]] = {
    "two classes": ("lightgbm", lambda: lightgbm.LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1).fit(rows(), labels(2)), True),
    "three classes": ("lightgbm", lambda: lightgbm.LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1).fit(rows(), labels(3)), True),
    "xgboost": ("xgboost", lambda: xgboost.XGBClassifier(n_estimators=20, n_jobs=1).fit(rows(), labels(2)), True),
    "histograms": ("sklearn", lambda: HistGradientBoostingClassifier(max_iter=15).fit(rows(), labels(2)), True),
    "a number": ("sklearn", lambda: GradientBoostingRegressor(n_estimators=15).fit(rows(missing=False), labels(9)), False),
}


@pytest.mark.parametrize("name", MODELS)
def test_boosted_trees_are_smaller_and_answer_the_same_to_the_bit(name: str) -> None:
    flavor, fit, missing = MODELS[name]
    graph = plugins.find("sampan.flavors", flavor)().to_onnx(fit(), WIDTH)

    compact = compact_trees(graph)

    assert compact is not None
    assert len(compact) < 0.6 * len(graph)
    assert same(graph, compact, rows(missing=missing))


def test_a_tree_of_one_leaf_answers_as_before() -> None:
    columns: dict[str, list[Any]] = {
        "nodes_treeids": [0, 1, 1, 1],
        "nodes_nodeids": [0, 0, 1, 2],
        "nodes_featureids": [0, 1, 0, 0],
        "nodes_modes": ["LEAF", "BRANCH_LT", "LEAF", "LEAF"],
        "nodes_values": [0.0, 0.25, 0.0, 0.0],
        "nodes_truenodeids": [0, 1, 0, 0],
        "nodes_falsenodeids": [0, 2, 0, 0],
        "nodes_missing_value_tracks_true": [0, 1, 0, 0],
        "target_treeids": [0, 1, 1],
        "target_nodeids": [0, 2, 1],
        "target_ids": [0, 0, 0],
        "target_weights": [0.5, -1.0, 2.0],
    }
    graph = tree_graph(columns, WIDTH, base=[0.125])

    compact = compact_trees(graph)

    assert compact is not None
    assert same(graph, compact, rows())
    assert {2.625, -0.375} == set(OnnxScorer(compact)(rows()).tolist())


def test_what_has_no_such_trees_stays_as_it_is() -> None:
    forest = RandomForestClassifier(n_estimators=3, n_jobs=1).fit(rows(missing=False), labels(3))
    of_several = plugins.find("sampan.flavors", "sklearn")().to_onnx(forest, WIDTH)  # leaves with the chance of each class
    given = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, WIDTH])]
    told = [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, WIDTH])]
    plain = helper.make_graph([helper.make_node("Sigmoid", ["features"], ["score"])], "plain", given, told)

    assert compact_trees(helper.make_model(plain).SerializeToString()) is None
    assert compact_trees(of_several) is None
