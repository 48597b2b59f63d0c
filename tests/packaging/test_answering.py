"""Only what serves a package can change its answers."""

from __future__ import annotations

import subprocess
import sys

from sampan.packaging.answering import answering_libraries


def test_a_graph_is_answered_by_its_runtime_whatever_library_trained_it() -> None:
    assert ("numpy", "onnxruntime") == answering_libraries("lightgbm", served_by="onnx", has_tables=False)


def test_polars_counts_where_features_look_tables_up_and_a_native_model_is_served_by_its_own_library() -> None:
    assert ("numpy", "onnxruntime", "polars") == answering_libraries("sklearn", served_by="onnx", has_tables=True)
    assert ("numpy", "sklearn", "scikit-learn") == answering_libraries("sklearn", served_by="sklearn", has_tables=False)
    assert ("numpy", "prophet") == answering_libraries("prophet", served_by="prophet", has_tables=False)


def test_a_server_that_asks_for_them_loads_no_packaging_library() -> None:
    code = "import sys, sampan.packaging.answering; assert not {'packaging', 'email.parser'} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
