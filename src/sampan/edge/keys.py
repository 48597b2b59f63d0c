"""Order-preserving keys: a float32 as an int32 that compares as the float does, so that trees are walked with integer compares alone.

The bits of a positive float grow with it; those of a negative one are mirrored. Both zeros become 0, denormals keep their order, infinities
are the outermost keys of numbers. A missing value gets a key below or above all of them, by where it is to go.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

LOWEST: Final = -(1 << 31)  # a missing value that goes left
HIGHEST: Final = (1 << 31) - 1  # one that goes right


def key_of(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the keys of numbers; NaN has none.

    >>> key_of(np.array([-np.inf, -1, -0.0, 0, 1e-45, 1], np.float32)).tolist()
    [-2139095040, -1065353216, 0, 0, 1, 1065353216]
    """
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, LOWEST - bits, bits)
