"""Whether an exported graph answers as the model it came from, on real rows. No graph is used that was not measured so."""

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
    """How far a graph's scores are from the native model's. `passed` is false with a `reason`; then the native model is served."""

    passed: bool
    reason: str
    n_rows: int = 0
    n_with_missing: int = 0
    max_difference: float = 0.0
    mean_difference: float = 0.0
    share_far: float = 0.0  # rows off by more than 0.001


def measure(native: NDArray[np.float64], exported: NDArray[np.float64], features: NDArray[np.float32]) -> Parity:
    """Compare two score vectors of the same rows; a score that is no number is as far off as can be."""
    distance = np.where(np.isfinite(exported), np.abs(native - exported), 1.0)
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
    )


def export(flavor: Flavor, model: object, features: NDArray[np.float32]) -> tuple[bytes | None, Parity]:
    """Convert a model and compare it on real rows; the graph is None where it may not be used.

    Parameters
    ----------
    features : shape (n, k), held-out rows with missing values and unseen categories among them, as they will come in use
    """
    try:
        graph = flavor.to_onnx(model, features.shape[1])
        exported = OnnxScorer(graph)(features)
    except Unsupported as cause:
        return None, Parity(passed=False, reason=cause.message)
    except SampanError as cause:
        return None, Parity(passed=False, reason=f"the exported graph does not load: {cause.message}")
    found = measure(flavor.predict(model, features), exported, features)
    return (graph if found.passed else None), found
