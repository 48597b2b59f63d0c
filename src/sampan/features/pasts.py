"""How statistics of the past stay the same to the bit in batch and online: sums are of whole units, which no order of adding changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError
from sampan.features.nodes import Past

UNIT = float(2**20)  # past values are whole multiples of 1 / UNIT
LARGEST = float(2**40)  # beyond this a window's sum could leave 64 bits


def past_units(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round values, none of them missing, to whole multiples of 2**-20.

    Raises
    ------
    ParameterError : a value beyond 2**40.
    """
    if len(values) and np.abs(values).max() > LARGEST:
        raise ParameterError(f"past cannot aggregate {np.abs(values).max():g}", hint="scale the value: at most 2**40 is summed exactly")
    return np.rint(values * UNIT).astype(np.int64)


def past_statistic(node: Past, sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn a window's exact sums and counts (NaN: the row has no key or moment) into the statistic."""
    if node.stat == "count":
        return counts
    found = sums / UNIT
    if node.stat != "sum":
        found /= np.maximum(counts, 1.0)
    return np.where(counts >= node.at_least, found, np.nan)
