"""A process of its own that reads a trusted pickle and answers for it; whatever it does, it takes nobody down with it.

Run by `pickled.py` as `python -m sampan.workspace.models.pickle_worker FILE`. Asked over its standard input, it answers on its standard
output: messages of msgpack behind four bytes of length. What the model prints goes to standard error.
"""

from __future__ import annotations

import os
import pickle
import resource
import sys
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from sampan.errors import SampanError
from sampan.flavors.sklearn import is_regressor
from sampan.flavors.sklearn_graph import graph_of_table
from sampan.plugins import require

MOST_MEMORY = 4 << 30


def main() -> None:
    """Load the file that is named, say what it is, then answer until the other side closes."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a model that prints must not write into its answers
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    try:
        estimator = _load(Path(sys.argv[1]))
        _tell(answers, _about(estimator))
    except Exception as cause:  # noqa: BLE001  # the other side is told, whatever it was
        _tell(answers, {"error": f"{type(cause).__name__}: {cause}"})
        return
    while (asked := _hear(sys.stdin.buffer)) is not None:
        try:
            _tell(answers, _done(estimator, asked))
        except Exception as cause:  # noqa: BLE001
            reason = cause.message if isinstance(cause, SampanError) else f"{type(cause).__name__}: {cause}"
            _tell(answers, {"error": reason[:500]})


def _load(file: Path) -> Any:
    if file.suffix == ".joblib":
        return require("joblib", extra="train").load(file)
    with file.open("rb") as stream:
        return pickle.load(stream)  # noqa: S301  # in a process of its own, after a named person trusted it


def _about(estimator: Any) -> dict[str, Any]:
    return {
        "kind": f"{type(estimator).__module__}.{type(estimator).__qualname__}",
        "regressor": is_regressor(estimator),
        "classes": [str(each) for each in getattr(estimator, "classes_", ())],
        "columns": [str(each) for each in getattr(estimator, "feature_names_in_", ())],
    }


def _done(estimator: Any, asked: dict[str, Any]) -> dict[str, Any]:
    if asked["do"] == "graph":
        tensors = {name: (int(kind), int(width)) for name, (kind, width) in asked["tensors"].items()}
        places = {name: (tensor, int(place)) for name, (tensor, place) in asked["places"].items()}
        return {"graph": graph_of_table(estimator, places, tensors)}
    return {"scores": scores(estimator, asked["columns"]).tolist()}


def scores(estimator: Any, columns: dict[str, list[Any]]) -> np.ndarray[Any, Any]:
    """Answer rows given as columns: the probability of the second of two classes, of each class, or the number."""
    frame = require("pandas", extra="train").DataFrame({name: _column(values) for name, values in columns.items()})
    fitted_on = [str(each) for each in getattr(estimator, "feature_names_in_", ())]
    if fitted_on and set(fitted_on) <= set(frame.columns):
        frame = frame[fitted_on]
    if is_regressor(estimator):
        return np.asarray(estimator.predict(frame), np.float64).reshape(len(frame))
    found = np.asarray(estimator.predict_proba(frame), np.float64)
    return found[:, 1] if found.shape[1] == 2 else found


def _column(values: list[Any]) -> Any:
    """Lay a column out as pandas reads it from a file: NaN where something is missing."""
    if any(isinstance(value, str) for value in values):
        return np.array([np.nan if value is None else value for value in values], dtype=object)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _tell(stream: IO[bytes], message: Any) -> None:
    data = msgspec.msgpack.encode(message)
    stream.write(len(data).to_bytes(4, "little") + data)
    stream.flush()


def _hear(stream: IO[bytes]) -> Any:
    head = stream.read(4)
    return msgspec.msgpack.decode(stream.read(int.from_bytes(head, "little"))) if len(head) == 4 else None


if __name__ == "__main__":
    main()
