from __future__ import annotations

import numpy as np
import pytest

from sampan.evaluation.losses import log_losses, probabilities
from sampan.evaluation.objective import objective, value
from sampan.evaluation.paired import Paired, Scored, compare
from sampan.stats.bootstrap import DAY_MS

N, DAYS = 6_000, 40


def pair(seed: int = 0, *, noise: float = 0.0, day_noise: float = 0.0) -> Paired:
    """Compare calibrated scores with the same ones disturbed by noise, per row and per day."""
    rng = np.random.default_rng(seed)
    moments = np.sort(rng.integers(0, DAYS * DAY_MS, N))
    z = rng.normal(size=N) - 1
    labels = (rng.random(N) < probabilities(z)).astype(float)
    disturbed = z + noise * rng.normal(size=N) + day_noise * rng.normal(size=DAYS)[moments // DAY_MS]
    worse = Scored(probabilities(disturbed), 0.25)
    return compare(labels, Scored(probabilities(z), 0.25), worse, moments, rng, objective=objective(kpi=value(fp=-5, fn=-15)), draws=500)


def test_a_better_model_is_shown_better_in_every_metric() -> None:
    found = pair(noise=1.0)

    assert ["better"] * 3 == [d.verdict for d in found.differences]
    assert found.of("log_loss").difference.high < 0 < found.of("auc").difference.low


def test_the_same_scores_are_not_shown_to_differ() -> None:
    found = pair()

    assert [("not shown", None)] * 3 == [(d.verdict, d.rows_needed) for d in found.differences]


def test_the_difference_is_that_of_the_mean_losses() -> None:
    labels = np.tile([0.0, 1.0], 50)
    moments = np.arange(100) * DAY_MS
    found = compare(labels, Scored(np.full(100, 0.5)), Scored(np.full(100, 0.6)), moments, np.random.default_rng(0))

    expected = log_losses(labels, np.full(100, 0.5)).mean() - log_losses(labels, np.full(100, 0.6)).mean()
    assert expected == pytest.approx(found.of("log_loss").difference.value)
    assert found.of("cost") is None


@pytest.mark.slow
def test_a_false_promotion_happens_at_most_in_about_1_of_40_trials() -> None:
    # The two score vectors are disturbed alike, so neither is better; a one-sided error of 2.5 % is what the interval promises.
    wrong = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        moments = np.sort(rng.integers(0, DAYS * DAY_MS, 2000))
        z = rng.normal(size=2000) - 1
        labels = (rng.random(2000) < probabilities(z)).astype(float)
        day = moments // DAY_MS
        ours, theirs = (probabilities(z + 0.3 * rng.normal(size=DAYS)[day] + 0.2 * rng.normal(size=2000)) for _ in range(2))
        found = compare(labels, Scored(ours), Scored(theirs), moments, rng, draws=400)
        wrong += found.of("log_loss").verdict == "better"

    assert wrong <= 11  # 5 expected; more than 11 has a chance below 1 %


def test_rows_needed_shrink_as_the_difference_grows() -> None:
    small, larger = (pair(seed=5, noise=noise).of("auc") for noise in (0.05, 0.12))

    assert small.verdict == "not shown"
    assert small.rows_needed is None or larger.rows_needed is None or larger.rows_needed < small.rows_needed


def test_rows_of_one_class_give_no_auc_difference() -> None:
    found = compare(np.zeros(100), Scored(np.full(100, 0.4)), Scored(np.full(100, 0.5)), np.arange(100) * DAY_MS, np.random.default_rng(0))

    assert ("not shown", None) == (found.of("auc").verdict, found.of("auc").difference.value)
    assert "better" == found.of("log_loss").verdict
