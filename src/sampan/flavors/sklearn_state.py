"""Fitted scikit-learn estimators as JSON and plain arrays: what a pickle would hold, but reading it runs no code.

An estimator is its class, by name, and its attributes: numbers, text, arrays, containers, other scikit-learn objects. Reading imports
classes of scikit-learn alone, calls none but those named here, and checks that trees can be walked. What cannot be said so (functions,
classes of other packages, sparse matrices) is refused when it is written, by its place in the estimator. Random generators are left out: no
prediction draws numbers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from sampan.errors import IntegrityError, Unsupported
from sampan.flavors.trees import well_formed

STATE, ARRAYS = "model.json", "arrays.npz"
_PACKAGE: Final = "sklearn."
_SPLINE: Final = "scipy.interpolate._bsplines.BSpline"
# Functions that fitted estimators keep; they look at rows and change nothing.
_FUNCTIONS: Final = ("sklearn.utils.validation:check_array",)
# Compiled classes without attributes of their own: made by calling them, with arguments that are plain values or arrays.
_LOSSES: Final = (
    *("CyHalfBinomialLoss", "CyHalfMultinomialLoss", "CyExponentialLoss", "CyHalfSquaredError", "CyAbsoluteError", "CyPinballLoss"),
    *("CyHuberLoss", "CyHalfPoissonLoss", "CyHalfGammaLoss", "CyHalfTweedieLoss", "CyHalfTweedieLossIdentity"),
)
_CONSTRUCTED: Final = {"sklearn.tree._tree": ("Tree",), "sklearn._loss._loss": _LOSSES}
_WITHOUT_ARGUMENTS: Final = ("CyHalfMultinomialLoss",)  # whose way to be pickled names no constructor
_DROPPED: Final = (np.random.RandomState, np.random.Generator)
_PLAIN: Final = (bool, str, type(None))


def write_state(estimator: object, folder: Path) -> None:
    """Write a fitted estimator.

    Raises
    ------
    Unsupported : a part of it cannot be kept without pickle; the message says which.
    """
    sklearn = import_module("sklearn")
    writer = _Writer()
    tree = writer.encode(estimator, type(estimator).__name__)
    np.savez(folder / ARRAYS, allow_pickle=False, **writer.arrays)
    (folder / STATE).write_bytes(msgspec.json.encode({"scikit-learn": sklearn.__version__, "estimator": tree}))


def read_state(folder: Path) -> Any:
    """Read what `write_state` wrote.

    Raises
    ------
    IntegrityError : the files are damaged, or name what does not belong in them.
    """
    try:
        told = msgspec.json.decode((folder / STATE).read_bytes())
        with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
            return _Reader(dict(arrays)).decode(told["estimator"])
    except (OSError, msgspec.DecodeError, KeyError, IndexError, TypeError, ValueError, AttributeError, ImportError) as cause:
        raise IntegrityError(f"{folder / STATE} holds no estimator: {cause}", hint="pack the model again") from cause


class _Writer:
    """Turns an object into nested lists whose first word says what they are."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self._known: dict[int, tuple[Any, list[Any]]] = {}  # arrays met before; each kept alive, so that its id stays its own
        self._inside: set[int] = set()

    def encode(self, value: Any, where: str) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is int:
            return value if abs(value) < 1 << 53 else ["int", str(value)]
        if kind is float:
            return value if math.isfinite(value) else ["float", repr(value)]
        if isinstance(value, _DROPPED):
            return None
        if isinstance(value, np.generic):
            return ["scalar", self._array(np.asarray(value), where)]
        if kind is np.ndarray:
            return self._array(value, where)
        if isinstance(value, np.dtype):
            return ["dtype", value.str]
        name = getattr(value, "__name__", "")
        if (isinstance(value, np.ufunc) or (isinstance(value, type) and issubclass(value, np.generic))) and getattr(
            np, name, None
        ) is value:
            return ["numpy", name]
        with self._entered(value, where):
            return self._nested(value, where)

    def _nested(self, value: Any, where: str) -> list[Any]:
        kind = type(value)
        if kind is functools.partial and (name := _name_of(value.func)) in _FUNCTIONS and not value.args:
            return ["partial", name, self.encode(value.keywords, where)]
        if f"{kind.__module__}.{kind.__qualname__}" == _SPLINE:
            return ["spline", [self.encode(each, where) for each in (value.t, value.c, value.k, value.extrapolate, value.axis)]]
        if kind in (list, tuple):
            return [kind.__name__, [self.encode(each, f"{where}[{n}]") for n, each in enumerate(value)]]
        if kind is slice:
            return ["slice", [self.encode(each, where) for each in (value.start, value.stop, value.step)]]
        if kind is dict or (isinstance(value, dict) and kind.__module__.startswith(_PACKAGE)):
            pairs = [[self.encode(key, where), self.encode(each, f"{where}[{key!r}]")] for key, each in value.items()]
            return ["dict", pairs, "" if kind is dict else _name_of(kind)]
        if not kind.__module__.startswith(_PACKAGE):
            raise Unsupported(f"{where} is a {kind.__module__}.{kind.__qualname__}", hint="use parts of scikit-learn alone")
        return self._object(value, where)

    def _object(self, value: Any, where: str) -> list[Any]:
        made, arguments, *rest = value.__reduce_ex__(2)
        state = rest[0] if rest else None
        if type(value).__name__ in _WITHOUT_ARGUMENTS and type(value).__name__ in _CONSTRUCTED.get(type(value).__module__, ()):
            return ["made", _name_of(type(value)), ["list", []], None]
        if isinstance(made, type) and made.__name__ in _CONSTRUCTED.get(made.__module__, ()):
            return ["made", _name_of(made), self.encode(list(arguments), where), self.encode(state, where)]
        if getattr(made, "__name__", "") != "__newobj__" or len(arguments) != 1 or not isinstance(state, dict | type(None)):
            raise Unsupported(f"{where} is a {_name_of(type(value))}, which has no plain attributes", hint="use another estimator")
        left_out = {"_sklearn_version", *(("_tree",) if isinstance(getattr(value, "_fit_method", None), str) else ())}
        own = {name: each for name, each in (state or {}).items() if name not in left_out}
        return ["object", _name_of(type(value)), {name: self.encode(each, f"{where}.{name}") for name, each in own.items()}]

    def _array(self, value: np.ndarray[Any, Any], where: str) -> list[Any]:
        if id(value) in self._known:
            return self._known[id(value)][1]
        if value.dtype.hasobject:
            with self._entered(value, where):
                told = ["objects", list(value.shape), [self.encode(each, f"{where}[{n}]") for n, each in enumerate(value.ravel())]]
        else:
            name = f"a{len(self.arrays)}"
            self.arrays[name] = value
            told = ["array", name]
        self._known[id(value)] = (value, told)
        return told

    @contextmanager
    def _entered(self, value: Any, where: str) -> Iterator[None]:
        if id(value) in self._inside:
            raise Unsupported(f"{where} refers to what it is part of", hint="use another estimator")
        self._inside.add(id(value))
        try:
            yield
        finally:
            self._inside.remove(id(value))


class _Reader:
    """Turns what `_Writer` made into objects again."""

    def __init__(self, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        self._arrays = arrays

    def decode(self, told: Any) -> Any:
        if not isinstance(told, list):
            return told
        word, *rest = told
        return getattr(self, f"_read_{_WORDS[word]}")(*rest)

    def _read_number(self, text: str) -> float:
        return float(text)

    def _read_int(self, text: str) -> int:
        return int(text)

    def _read_scalar(self, told: list[Any]) -> Any:
        return self.decode(told)[()]

    def _read_array(self, name: str) -> np.ndarray[Any, Any]:
        return self._arrays[name]

    def _read_objects(self, shape: list[int], told: list[Any]) -> np.ndarray[Any, Any]:
        flat = np.empty(len(told), dtype=object)
        for n, each in enumerate(told):
            flat[n] = self.decode(each)
        return flat.reshape(shape)

    def _read_dtype(self, text: str) -> np.dtype[Any]:
        return np.dtype(text)

    def _read_numpy(self, name: str) -> Any:
        found = getattr(np, name)
        if isinstance(found, np.ufunc) or (isinstance(found, type) and issubclass(found, np.generic)):
            return found
        raise ValueError(f"numpy.{name} is neither a type of number nor a universal function")

    def _read_list(self, told: list[Any]) -> list[Any]:
        return [self.decode(each) for each in told]

    def _read_tuple(self, told: list[Any]) -> tuple[Any, ...]:
        return tuple(self._read_list(told))

    def _read_partial(self, name: str, told: Any) -> Any:
        if name not in _FUNCTIONS:
            raise ValueError(f"{name} is not a function that is called")
        module, _, attribute = name.partition(":")
        return functools.partial(getattr(import_module(module), attribute), **self.decode(told))

    def _read_spline(self, told: list[Any]) -> Any:
        return import_module("scipy.interpolate").BSpline(*self._read_list(told))

    def _read_slice(self, told: list[Any]) -> slice:
        return slice(*self._read_list(told))

    def _read_dict(self, pairs: list[Any], name: str) -> dict[Any, Any]:
        found = {self.decode(key): self.decode(each) for key, each in pairs}
        if not name:
            return found
        kind = _class(name, dict)
        named: dict[Any, Any] = kind.__new__(kind)
        named.update(found)
        return named

    def _read_made(self, name: str, arguments: list[Any], state: Any) -> Any:
        kind = _class(name, object)
        if kind.__name__ not in _CONSTRUCTED.get(kind.__module__, ()):
            raise ValueError(f"{name} is not made by calling it")
        given, attributes = self.decode(arguments), self.decode(state)
        if kind.__name__ == "Tree":
            _check_tree(given, attributes)
        found = kind(*given)
        if attributes is not None:
            found.__setstate__(attributes)
        return found

    def _read_object(self, name: str, told: dict[str, Any]) -> Any:
        kind = _class(name, object)
        found = kind.__new__(kind)
        attributes = {each: self.decode(value) for each, value in told.items()}
        if kind.__name__ == "TreePredictor":
            _check_predictor(attributes)
        vars(found).update(attributes)
        _build_anew(found, attributes)
        return found


_WORDS: Final = {"float": "number"} | {
    word: word
    for word in (
        *("int", "scalar", "array", "objects", "dtype", "numpy", "list", "tuple", "slice", "dict", "partial", "spline", "made", "object"),
    )
}


def _name_of(kind: Any) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _class(name: str, base: type) -> Any:
    """Import a class of scikit-learn."""
    module, _, attribute = name.partition(":")
    if not module.startswith(_PACKAGE) or not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(f"{name} is no class of scikit-learn")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, type) or not issubclass(found, base) or not found.__module__.startswith(_PACKAGE):
        raise ValueError(f"{name} is no class of scikit-learn")
    return found


def _build_anew(estimator: Any, attributes: dict[str, Any]) -> None:
    """Make what an estimator derives from its attributes and cannot be kept itself: interpolations, search trees of neighbors."""
    if type(estimator).__name__ == "IsotonicRegression" and "X_thresholds_" in attributes:
        estimator._build_f(estimator.X_thresholds_, estimator.y_thresholds_)
    if isinstance(method := attributes.get("_fit_method"), str):
        kinds = {"kd_tree": "KDTree", "ball_tree": "BallTree"}
        make = getattr(import_module("sklearn.neighbors"), kinds[method]) if method in kinds else None
        metric, more = attributes["effective_metric_"], attributes["effective_metric_params_"]
        estimator._tree = make(attributes["_fit_X"], attributes["leaf_size"], metric=metric, **more) if make else None


def _check_tree(given: list[Any], state: dict[str, Any]) -> None:
    """Raise ValueError unless a decision tree can be walked."""
    nodes, values = state["nodes"], state["values"]
    left, right = nodes["left_child"].astype(np.int64), nodes["right_child"].astype(np.int64)
    fits = len(nodes) == int(state["node_count"]) == len(values)
    if not fits or not well_formed(left, right, nodes["feature"], is_leaf=left < 0, n_features=int(given[0])):
        raise ValueError("a decision tree leads out of itself")


def _check_predictor(state: dict[str, Any]) -> None:
    """Raise ValueError unless a tree of histogram boosting can be walked."""
    nodes, n_bits = state["nodes"], len(state["raw_left_cat_bitsets"])
    is_leaf, is_categorical = nodes["is_leaf"].astype(bool), nodes["is_categorical"].astype(bool)
    fits = not is_categorical.any() or int(nodes["bitset_idx"][is_categorical].max()) < n_bits
    if not fits or not well_formed(nodes["left"], nodes["right"], nodes["feature_idx"], is_leaf=is_leaf, n_features=1 << 31):
        raise ValueError("a tree of histogram boosting leads out of itself")
