"""Packages that are answered from the rows themselves: by their whole graph, or, where a pickle has none, by its process.

A server calls `features` and then `score`, since it logs what lies between. Text has no number that would stand for it, so what `features`
gives such a package carries the rows along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sampan.errors import IntegrityError, ParameterError
from sampan.flavors.onnx_graph import OUTPUT, open_session
from sampan.workspace.models.pickled import PickleProcess

_WHOLE: Final = "whole.onnx"

Rows = Sequence[Mapping[str, Any]]


class Direct(Protocol):
    """A predictor, as far as it is needed here."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a request."""
        ...

    def tensors(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """Return what goes into the whole graph."""
        ...


class AskedRows(np.ndarray[Any, Any]):
    """A matrix of features that knows the rows it was made of. What is cut from it, or made of it, knows none."""

    rows: Rows | None = None

    @classmethod
    def of(cls, matrix: NDArray[np.float32], rows: Rows) -> AskedRows:
        """Return the matrix with its rows."""
        found = matrix.view(cls)
        found.rows = rows
        return found


def open_direct(folder: Path, predictor: Direct) -> GraphAnswers | PickleAnswers:
    """Open what answers: the whole graph where there is one, else the trusted pickle in a process of its own.

    Raises
    ------
    IntegrityError : there is neither.
    """
    if (folder / _WHOLE).exists():
        return GraphAnswers((folder / _WHOLE).read_bytes(), predictor)
    files = sorted((folder / "native").glob("model.*"))
    if not files:
        raise IntegrityError(f"{folder} has neither {_WHOLE} nor a model of its own", hint="pack the model again")
    return PickleAnswers(files[0], predictor)


class GraphAnswers:
    """The whole graph, asked by rows."""

    def __init__(self, graph: bytes, predictor: Direct) -> None:
        self._session = open_session(graph)
        self._predictor = predictor

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return one score per row."""
        rows = _rows_of(features)
        if not rows:
            return np.empty(0)
        (scores,) = self._session.run([OUTPUT], self._predictor.tensors(rows))
        return np.asarray(scores, dtype=np.float64)


class PickleAnswers:
    """A trusted pickle in a process of its own: slower, and it takes nobody down with it."""

    def __init__(self, file: Path, predictor: Direct) -> None:
        self._process = PickleProcess(file)
        self._predictor = predictor

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return one score per row. Raises Unavailable where the process died or hung; the next call starts it again."""
        rows = _rows_of(features)
        return self._process.scores({name: [row[name] for row in rows] for name in self._predictor.fields}) if rows else np.empty(0)


def _rows_of(features: NDArray[np.float32]) -> Rows:
    rows = getattr(features, "rows", None)
    if rows is None:
        raise ParameterError("this model is asked by rows, not by a matrix of features", hint="give predict() the rows")
    found: Rows = rows
    return found
