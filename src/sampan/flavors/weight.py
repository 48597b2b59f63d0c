"""What a fitted model costs in use: how long an answer takes, how many bytes it is."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.errors import SampanError
from sampan.flavors.onnx_graph import OnnxScorer
from sampan.ports import Flavor

_CALLS: Final = 60


class Weight(msgspec.Struct, frozen=True):
    """What a fitted model costs in use, in the form in which it would be served."""

    latency_ms: float  # of one row, the median
    size_bytes: int


def weigh(flavor: Flavor, model: Any, matrix: NDArray[np.float32]) -> Weight:
    """Measure how long one answer takes and how large the model is: as a graph, or natively where it cannot be one."""
    try:
        graph = flavor.to_onnx(model, matrix.shape[1])
        size = len(graph)
        answer: Callable[[NDArray[np.float32]], NDArray[np.float64]] = OnnxScorer(graph)
    except SampanError:
        with tempfile.TemporaryDirectory() as folder:
            flavor.save(model, Path(folder))
            size = sum(file.stat().st_size for file in Path(folder).iterdir())
        answer = partial(flavor.predict, model)

    seconds = []
    for call in range(_CALLS):
        row = matrix[call % len(matrix)][None, :]
        began = time.perf_counter()
        answer(row)
        seconds.append(time.perf_counter() - began)
    return Weight(float(np.median(seconds)) * 1000, size)
