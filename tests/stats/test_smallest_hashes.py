"""Bottom-k samples, beside sorting everything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.stats.smallest_hashes import CountedHashes, SmallestHashes, count_smallest, smallest_distinct


@given(st.lists(st.integers(0, 60), max_size=200), st.integers(1, 12))
def test_the_smallest_are_those_of_sorting_everything(values: list[int], k: int) -> None:
    hashes = np.array(values, dtype=np.uint64)

    found, counts = count_smallest(hashes, np.ones(len(hashes), np.int64), k)

    expected = sorted(set(values))[:k]
    assert expected == smallest_distinct(hashes, k).tolist() == found.tolist()
    assert [values.count(value) for value in expected] == counts.tolist()


@pytest.mark.parametrize("n_distinct", [100, 5_000, 10**12])
def test_samples_do_not_depend_on_how_hashes_come(n_distinct: int) -> None:
    hashes = np.random.default_rng(4).integers(1, n_distinct, 40_000).astype(np.uint64) * np.uint64(2_654_435_761)
    distinct, counts = np.unique(hashes, return_counts=True)
    smallest, counted = SmallestHashes(1_000), CountedHashes(1_000)
    for start in range(0, len(hashes), 9_999):
        smallest.add(hashes[start : start + 9_999])
        counted.add(hashes[start : start + 9_999])

    assert distinct[:1_000].tolist() == smallest.found().tolist()
    assert [distinct[:1_000].tolist(), counts[:1_000].tolist()] == [one.tolist() for one in counted.found()]
