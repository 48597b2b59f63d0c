"""No library that we import tells its makers about it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from onnx import TensorProto, helper

_SCORE = """
import sys
from pathlib import Path
from sampan.flavors.onnx_graph import OnnxScorer
OnnxScorer(Path(sys.argv[1]).read_bytes())
"""


def test_onnxruntime_keeps_no_identity_of_a_machine_and_sends_nothing(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["features", "axis"], ["score"], keepdims=0)],
        "sum",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "CI")}

    subprocess.run([sys.executable, "-c", _SCORE, tmp_path / "model.onnx"], env={**environment, "HOME": str(home)}, check=True)

    assert [] == [path for path in home.rglob("*") if path.is_file()]
