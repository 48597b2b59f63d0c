"""Models that are nothing but their ONNX graph: variants made from another model's graph, and graphs that came from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampan.errors import Unsupported
from sampan.flavors.onnx_graph import OnnxScorer

FILE = "model.onnx"


class Onnx:
    """A graph of the common shape. It is data, so nothing is lost by keeping it alone; what made it is said in its lineage."""

    name = "onnx"

    def matches(self, model: object) -> bool:
        """Say no: a training returns models of libraries, never a graph."""
        del model
        return False

    def save(self, model: object, folder: Path) -> None:
        """Refuse: the file is there already, written by what made the graph."""
        del model, folder
        raise Unsupported("a graph is kept as the file it is", hint=f"copy {FILE}")

    def load(self, folder: Path) -> object:
        """Open the graph."""
        return OnnxScorer((folder / FILE).read_bytes())

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Run the graph."""
        scorer: Any = model
        return np.asarray(scorer(features), dtype=np.float64)

    def to_onnx(self, model: object, n_features: int) -> bytes:
        """Refuse: the file is the graph."""
        del model, n_features
        raise Unsupported("a graph is its own export", hint=f"copy {FILE}")
