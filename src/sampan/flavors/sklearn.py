"""scikit-learn estimators and pipelines of two classes, kept as an ONNX graph and their parameters: a pickle would run code when read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.errors import Unsupported
from sampan.flavors.onnx_graph import OnnxScorer, with_one_score
from sampan.plugins import require

GRAPH, PARAMS = "model.onnx", "params.json"


class ScikitLearn:
    """Whatever has `predict_proba` and comes from scikit-learn."""

    name = "sklearn"

    def matches(self, model: object) -> bool:
        """Say whether the model is a scikit-learn estimator, or was loaded from one that this flavor saved."""
        return isinstance(model, OnnxScorer) or (hasattr(model, "predict_proba") and hasattr(model, "get_params"))

    def save(self, model: object, folder: Path) -> None:
        """Write the graph and the estimator's parameters. Raises Unsupported where it cannot be converted."""
        estimator: Any = model
        (folder / GRAPH).write_bytes(self.to_onnx(model, int(estimator.n_features_in_)))
        params = {name: repr(value) for name, value in sorted(estimator.get_params().items())}
        (folder / PARAMS).write_bytes(msgspec.json.format(msgspec.json.encode({"class": type(model).__qualname__, "params": params})))

    def load(self, folder: Path) -> object:
        """Read the graph."""
        return OnnxScorer((folder / GRAPH).read_bytes())

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of the positive class."""
        if isinstance(model, OnnxScorer):
            return model(features)
        estimator: Any = model
        return np.asarray(estimator.predict_proba(features)[:, 1], dtype=np.float64)

    def to_onnx(self, model: object, n_features: int) -> bytes:
        """Convert with skl2onnx, which is silently wrong for some estimators: the parity gate decides whether the graph is used."""
        skl2onnx = require("skl2onnx", extra="train")
        data_types = require("skl2onnx.common.data_types", extra="train")
        estimator: Any = model
        if len(getattr(estimator, "classes_", ())) != 2:
            raise Unsupported(f"{type(model).__name__} does not tell two classes apart", hint="fit a classifier on labels 0 and 1")
        types = [("given", data_types.FloatTensorType([None, n_features]))]
        try:
            converted = skl2onnx.to_onnx(estimator, initial_types=types, options={id(estimator): {"zipmap": False}}, target_opset=15)
        except Exception as cause:  # converters raise anything
            reason = str(cause).split("\n", 1)[0][:200]  # some print the whole model
            raise Unsupported(f"{type(model).__name__} cannot be converted to ONNX: {reason}", hint="use another estimator") from cause
        return with_one_score(converted.SerializeToString(), column=1)
