"""How alike two columns' values are, exactly where all hashes are kept and estimated where not."""

from __future__ import annotations

import numpy as np
import pytest

from sampan.data.similarity import Likeness, Sketch, compare

K = 1024


def sketch(values: range) -> Sketch:
    hashes = np.sort(np.random.default_rng(7).permutation(np.arange(1, 2_000_001, dtype=np.uint64) << np.uint64(43))[list(values)])
    return Sketch(hashes[:K], len(hashes) > K, len(values))


def test_few_values_are_compared_exactly() -> None:
    assert compare(sketch(range(4)), sketch(range(2, 8))) == Likeness(0.25, 0.5, 1 / 3, 8)


def test_a_column_without_values_is_like_nothing() -> None:
    nothing = Sketch(np.empty(0, dtype=np.uint64), False, 0)

    assert compare(nothing, sketch(range(4))) == compare(sketch(range(4)), nothing) == Likeness(0.0, 0.0, 0.0, 0)


@pytest.mark.parametrize(("n_first", "n_second", "n_both"), [(50_000, 80_000, 20_000), (500, 200_000, 400), (200_000, 200_000, 200_000)])
def test_many_values_are_compared_by_their_smallest_hashes(n_first: int, n_second: int, n_both: int) -> None:
    found = compare(sketch(range(n_first)), sketch(range(n_first - n_both, n_first - n_both + n_second)))

    # Three standard errors of a share from a bottom-1,024 sketch, and few values where a small column meets a great one.
    near = 3 * 0.5 / np.sqrt(min(found.n_compared, K)) + (0.35 if n_first < K else 0)
    assert found.contained == pytest.approx(n_both / n_first, abs=near)
    assert found.jaccard == pytest.approx(n_both / (n_first + n_second - n_both), abs=near)
