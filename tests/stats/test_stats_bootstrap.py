from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import t as student

from sampan.stats.bootstrap import DAY_MS, Estimate, Resampling, draw_weights, estimate, student_quantile, time_blocks


@pytest.mark.parametrize("degrees", [4, 9, 29, 200])
def test_student_quantile_equals_scipys(degrees: int) -> None:
    assert student.ppf(0.975, degrees) == pytest.approx(student_quantile(0.975, degrees), abs=1e-3)


def test_rows_of_one_day_share_a_block_and_days_without_rows_have_none() -> None:
    moments = np.array([0, 5, DAY_MS, 9 * DAY_MS, 9 * DAY_MS + 1])

    assert [0, 0, 1, 2, 2] == time_blocks(moments).tolist()


def test_more_days_than_wanted_are_joined_in_time_order() -> None:
    blocks = time_blocks(np.arange(1000) * DAY_MS, at_most=10)

    assert [100] * 10 == np.bincount(blocks).tolist()
    assert (np.diff(blocks) >= 0).all()


def test_every_draw_takes_as_many_blocks_as_there_are() -> None:
    weights = draw_weights(7, 50, np.random.default_rng(0))

    assert (weights.sum(axis=1) == 7).all()


def test_interval_covers_the_truth_19_of_20_times_though_days_are_correlated_and_few() -> None:
    rng = np.random.default_rng(3)
    moments = np.repeat(np.arange(15), 20) * DAY_MS
    covered = 0
    for _ in range(400):
        values = rng.normal(size=15)[moments // DAY_MS] + rng.normal(size=len(moments))
        found = Resampling.by_time(moments, rng, draws=400).mean(values)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high

    # 400 repetitions know 0.95 to about ±0.02; a bootstrap of single rows would cover about 0.4 here.
    assert 0.92 <= covered / 400 <= 0.98


def test_fewer_than_five_blocks_give_no_interval() -> None:
    assert Estimate(1.0) == estimate(1.0, np.arange(100.0), 4)
    assert Estimate(None) == estimate(float("nan"), np.arange(100.0), 40)


def test_the_same_generator_state_gives_the_same_interval() -> None:
    moments = np.arange(3000) * (DAY_MS // 100)
    values = np.sin(np.arange(3000))

    first, second = (Resampling.by_time(moments, np.random.default_rng(7)).mean(values) for _ in range(2))

    assert first == second


def test_two_thousand_draws_of_mean_and_auc_on_27000_rows_take_well_under_two_seconds() -> None:
    rng = np.random.default_rng(0)
    moments = np.sort(rng.integers(0, 30 * DAY_MS, 27_000))
    labels, scores = (rng.random(27_000) < 0.2).astype(float), rng.random(27_000)
    begun = time.process_time()

    resampling = Resampling.by_time(moments, rng)
    resampling.mean(scores)
    resampling.auc(labels, scores)

    assert time.process_time() - begun < 2


def test_estimates_read_as_value_and_interval() -> None:
    assert "0.75 (0.7 to 0.8)" == str(Estimate(0.75, 0.7, 0.8))
    assert "0.75" == str(Estimate(0.75))
    assert "unknown" == str(Estimate(None))
