from __future__ import annotations

import math

import pytest

from sampan.stats.co_occurrence import pointwise_information


def test_things_that_go_together_apart_or_as_chance_has_it() -> None:
    assert 1.0 == pointwise_information(10, 10, 10, 10)
    assert 1.0 == pytest.approx(pointwise_information(10, 10, 10, 100))
    assert -1.0 == pointwise_information(0, 10, 20, 100)
    assert 0.0 == pytest.approx(pointwise_information(10, 20, 50, 100))


def test_a_prior_steadies_small_counts_by_hand() -> None:
    by_hand = math.log(2.5 * 8 / (2.5 + 0.5) / (2.5 + 0.5)) / -math.log(2.5 / 8)

    assert by_hand == pytest.approx(pointwise_information(2, 2, 2, 6, prior=0.5))


@pytest.mark.parametrize("counts", [(0, 0, 0, 0), (0, 0, 3, 9), (0, 3, 0, 9), (5, 3, 9, 9), (1, 8, 8, 9)])
def test_what_cannot_be_told_is_nan(counts: tuple[int, int, int, int]) -> None:
    assert math.isnan(pointwise_information(*counts))
