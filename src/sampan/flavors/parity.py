"""Whether an exported graph answers as the model it came from, on real rows. No graph is used that was not measured so.

Probabilities are compared as they are, numbers in units of their own spread: 0.001 of a probability and 0.001 of the standard deviation of
the answers are as far.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.errors import SampanError, Unsupported
from sampan.flavors.onnx_graph import OnnxScorer
from sampan.ports import Flavor

FAR: Final = 1e-3
MAX_SHARE_FAR: Final = 0.0
MAX_MEAN: Final = 1e-5


class Parity(msgspec.Struct, frozen=True):
    """How far a graph's scores are from the native model's. `passed` is false with a `reason`; then the native model is served.

    Differences of numbers are in units of `scale`.
    """

    passed: bool
    reason: str
    n_rows: int = 0
    n_with_missing: int = 0
    max_difference: float = 0.0
    mean_difference: float = 0.0
    share_far: float = 0.0  # rows off by more than 0.001
    scale: float = 1.0


def spread(answers: NDArray[np.float64]) -> float:
    """Return the unit that differences of numbers are told in: their standard deviation, of equal ones their size."""
    known = answers[np.isfinite(answers)]
    return (float(known.std()) or float(np.abs(known).max()) or 1.0) if len(known) else 1.0


def distances(native: NDArray[np.float64], exported: NDArray[np.float64], *, scale: float = 1.0) -> NDArray[np.float64]:
    """Return how far each row's answers are apart, of classes the farthest; one that is no number is as far off as can be, shape (n,)."""
    if native.shape != exported.shape:
        return np.ones(len(native))
    far = np.where(np.isfinite(exported), np.abs(native - exported) / scale, 1.0)
    return far.max(axis=1) if far.ndim == 2 and far.shape[1] else far.reshape(len(far))


def measure(native: NDArray[np.float64], exported: NDArray[np.float64], features: NDArray[np.float32], *, scale: float = 1.0) -> Parity:
    """Compare the scores of the same rows; `scale` is 1 for probabilities, the `spread` of numbers."""
    distance = distances(native, exported, scale=scale)
    share_far = float((distance > FAR).mean()) if len(distance) else 0.0
    mean = float(distance.mean()) if len(distance) else 0.0
    reason = ""
    if not len(distance):
        reason = "no rows to compare on"
    elif share_far > MAX_SHARE_FAR:
        reason = f"{share_far:.2%} of {len(distance):,} rows differ by more than {FAR:g}, the worst by {distance.max():.3g}"
    elif mean > MAX_MEAN:
        reason = f"scores differ by {mean:.3g} on average, more than {MAX_MEAN:g}"
    return Parity(
        passed=not reason,
        reason=reason,
        n_rows=len(distance),
        n_with_missing=int(np.isnan(features).any(axis=1).sum()),
        max_difference=float(distance.max(initial=0.0)),
        mean_difference=mean,
        share_far=share_far,
        scale=scale,
    )


def export(flavor: Flavor, model: object, features: NDArray[np.float32], *, are_numbers: bool = False) -> tuple[bytes | None, Parity]:
    """Convert a model and compare it on real rows; the graph is None where it may not be used.

    Parameters
    ----------
    features : shape (n, k), held-out rows with missing values and unseen categories among them, as they will come in use
    are_numbers : the model answers with numbers of any size, not with probabilities
    """
    try:
        graph = flavor.to_onnx(model, features.shape[1])
        exported = OnnxScorer(graph)(features)
    except Unsupported as cause:
        return None, Parity(passed=False, reason=cause.message)
    except SampanError as cause:
        return None, Parity(passed=False, reason=f"the exported graph does not load: {cause.message}")
    native = flavor.predict(model, features)
    found = measure(native, exported, features, scale=spread(native) if are_numbers else 1.0)
    return (graph if found.passed else None), found
