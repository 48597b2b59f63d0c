"""XGBoost boosters and its scikit-learn estimators, for outcomes, classes and numbers, kept as XGBoost's own binary JSON."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.errors import IntegrityError, ParameterError, Unsupported
from sampan.flavors.onnx_graph import Link, tree_graph
from sampan.flavors.trees import Ensemble
from sampan.plugins import require

FILE = "model.ubj"
_LOGISTIC: Final = ("binary:logistic", "reg:logistic")
_LOGARITHMIC: Final = ("count:poisson", "reg:gamma", "reg:tweedie")
_CLASSES: Final = "multi:softprob"
_PLAIN: Final = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror", "reg:quantileerror")


class XGBoost:
    """`Booster`, `XGBClassifier`, `XGBRegressor` and their forests; of an early-stopped one the best rounds."""

    name = "xgboost"

    def matches(self, model: object) -> bool:
        """Say whether the model comes from XGBoost."""
        return type(model).__module__.partition(".")[0] == "xgboost"

    def save(self, model: object, folder: Path) -> None:
        """Write the trees as universal binary JSON."""
        (folder / FILE).write_bytes(bytes(_booster(model).save_raw("ubj")))

    def load(self, folder: Path) -> object:
        """Read the trees back."""
        xgboost = require("xgboost", extra="xgboost")
        booster = xgboost.Booster()
        try:
            booster.load_model(bytearray((folder / FILE).read_bytes()))
        except xgboost.core.XGBoostError as cause:
            raise IntegrityError(f"{FILE} is no XGBoost model", hint="pack the model again") from cause
        return booster

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of the positive class, of each class, or the number, with one thread."""
        xgboost = require("xgboost", extra="xgboost")
        scores = _booster(model).predict(xgboost.DMatrix(np.ascontiguousarray(features), nthread=1), validate_features=False)
        return np.asarray(scores, dtype=np.float64)

    def to_onnx(self, model: object, n_features: int) -> bytes:
        """Build a graph of one tree ensemble node. Raises Unsupported for linear boosters and categorical splits."""
        booster = _booster(model)
        if booster.num_features() != n_features:
            raise ParameterError(f"the model was fitted on {booster.num_features()} features, not {n_features}")
        learner = msgspec.json.decode(bytes(booster.save_raw("json")))["learner"]
        objective = str(learner["objective"]["name"])
        if objective not in (*_LOGISTIC, *_PLAIN, *_LOGARITHMIC, _CLASSES):
            raise Unsupported(f"XGBoost's objective {objective} is not exported", hint="it is served natively, slower")
        ensemble = Ensemble()
        for tree, weight, output in _trees(learner["gradient_booster"]):
            ensemble.add(**_nodes(tree, weight), mode="BRANCH_LT", output=output)
        link, base = _start(objective, learner["learner_model_param"])
        return tree_graph(ensemble.columns, n_features, link=link, base=base)


def _booster(model: object) -> Any:
    """Return the trees that answer; an estimator answers with those up to its best round."""
    estimator: Any = model
    if not hasattr(estimator, "get_booster"):
        return estimator
    if not math.isnan(float(estimator.missing)):
        raise Unsupported(f"XGBoost with missing={estimator.missing:g}", hint="mark missing cells with NaN, as feature views do")
    booster = estimator.get_booster()
    best = getattr(estimator, "best_iteration", None) if estimator.early_stopping_rounds else None
    return booster if best is None else booster[: best + 1]


def _start(objective: str, param: dict[str, Any]) -> tuple[Link, list[float]]:
    """Return what turns the sum of leaves into the answer, and what the sums begin with: kept as answers, not as sums."""
    given = [float(each) for each in str(param["base_score"]).strip("[]").split(",")]
    if objective == _CLASSES:
        n_classes = int(param["num_class"])
        return "softmax", given * (n_classes if len(given) == 1 else 1)
    if len(given) != 1 or int(param.get("num_target", 1)) != 1:
        raise Unsupported("an XGBoost model of several outputs", hint="fit one model for each")
    if objective in _LOGISTIC:
        return "sigmoid", [math.log(given[0] / (1 - given[0]))]
    if objective in _LOGARITHMIC:
        return "exp", [math.log(given[0])]
    return "none", given


def _trees(booster: dict[str, Any]) -> list[tuple[dict[str, Any], float, int]]:
    """Return the trees, each with its weight, which only DART gives, and the class it speaks of."""
    if booster["name"] == "dart":
        model = booster["gbtree"]["model"]
        return list(zip(model["trees"], map(float, booster["weight_drop"]), model["tree_info"], strict=True))
    if booster["name"] != "gbtree":
        raise Unsupported(f"XGBoost's booster {booster['name']} is not exported", hint="it is served natively, slower")
    model = booster["model"]
    return [(tree, 1.0, output) for tree, output in zip(model["trees"], model["tree_info"], strict=True)]


def _nodes(tree: dict[str, Any], weight: float) -> dict[str, Any]:
    if any(tree.get("split_type", ())):
        raise Unsupported("categorical splits are not exported", hint="encode categories in the feature view")
    bounds = np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)  # at a leaf, its value
    return {
        "left": np.array(tree["left_children"]),
        "right": np.array(tree["right_children"]),
        "feature": np.array(tree["split_indices"]),
        "threshold": bounds,
        "missing_left": np.array(tree["default_left"]),
        "value": bounds * weight,
    }
