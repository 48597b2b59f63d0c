from __future__ import annotations

import numpy as np
import pytest

from sampan.errors import ParameterError
from sampan.evaluation.losses import probabilities
from sampan.evaluation.metrics import Answered
from sampan.evaluation.objective import objective, value
from sampan.evaluation.report import evaluate
from sampan.evaluation.slices import slices, widest_gap
from sampan.stats.bootstrap import DAY_MS, Resampling
from sampan.stats.ranking import auc

N, DAYS = 12_000, 40


def rows(seed: int, *, weak_group: str = "", strength: float = 1.5) -> tuple[np.ndarray, ...]:
    """Labels, scores, moments and groups; in the weak group the scores know nothing."""
    rng = np.random.default_rng(seed)
    groups = rng.choice(list("ABCDEFGH"), N)
    z = strength * rng.normal(size=N)
    labels = (rng.random(N) < probabilities(z - 1)).astype(float)
    known = np.where(groups == weak_group, strength * rng.normal(size=N), z)
    return labels, probabilities(known - 1), np.sort(rng.integers(0, DAYS * DAY_MS, N)), groups.astype(object)


def gap(seed: int, *, limit: float, weak_group: str = "", metric: str = "auc"):
    labels, scores, moments, groups = rows(seed, weak_group=weak_group)
    resampling = Resampling.by_time(moments, np.random.default_rng(seed))
    return widest_gap("group", groups, Answered(labels, scores), resampling, metric=metric, limit=limit)


def test_each_group_has_its_own_figures() -> None:
    labels, scores, moments, groups = rows(0)
    found = {s.group: s for s in slices(groups, Answered(labels, scores), Resampling.by_time(moments, np.random.default_rng(0)))}

    assert auc(labels[groups == "C"], scores[groups == "C"]) == pytest.approx(found["C"].metrics["auc"].value)
    assert N == sum(s.n_rows for s in found.values())


def test_a_group_of_few_rows_keeps_its_counts_and_is_not_judged() -> None:
    labels, scores, moments, groups = rows(0)
    groups[:50] = "tiny"

    tiny = slices(groups, Answered(labels, scores), Resampling.by_time(moments, np.random.default_rng(0)))[-1]

    assert ("tiny", 50, False, {}) == (tiny.group, tiny.n_rows, tiny.enough, tiny.metrics)


def test_a_gap_between_groups_that_are_alike_is_never_broken() -> None:
    # At a limit of 0 a naive test of 28 pairs, 20 times, would alarm almost each time; this one may in 1 of 20.
    assert sum(gap(seed, limit=0.0).verdict == "broken" for seed in range(20)) <= 3


def test_a_truly_weak_group_breaks_the_limit_and_is_named() -> None:
    found = gap(1, limit=0.1, weak_group="D")

    assert ("broken", "D") == (found.verdict, found.worse)
    assert found.gap.low > 0.1


def test_where_lower_is_better_the_worse_group_is_the_one_with_more() -> None:
    assert "D" == gap(1, limit=0.01, weak_group="D", metric="log_loss").worse


def test_a_gap_that_may_or_may_not_be_too_wide_is_unclear() -> None:
    found = gap(1, limit=gap(1, limit=0.0, weak_group="D").gap.value, weak_group="D")

    assert "unclear" == found.verdict


def test_with_one_group_there_is_no_gap_to_judge() -> None:
    labels, scores, moments, _ = rows(0)
    resampling = Resampling.by_time(moments, np.random.default_rng(0))
    found = widest_gap("group", np.full(N, "A", dtype=object), Answered(labels, scores), resampling, metric="auc", limit=0.1)

    assert ("unclear", None) == (found.verdict, found.gap.value)


def test_a_report_holds_every_figure_the_objective_asks_for() -> None:
    labels, scores, moments, groups = rows(0)
    goal = objective(equal_across=["group"], max_gap=0.2, kpi=value(fp=-5, fn=-15))

    found = evaluate(labels, scores, moments, goal, np.random.default_rng(0), threshold=0.25, groups={"group": groups})

    assert {"auc", "log_loss", "brier", "positive_rate", "mean_score", "cost", "cost_if_silent", "cost_if_always"} == set(found.metrics)
    assert all(figure.low <= figure.value <= figure.high for figure in found.metrics.values())
    assert (N, DAYS, "fine") == (found.n_rows, found.n_days, found.gaps[0].verdict)


@pytest.mark.parametrize(
    ("labels", "scores", "fault"),
    [
        (np.empty(0), np.empty(0), "no labeled rows"),
        (np.ones(9), np.full(9, 0.5), "all 9 rows have the label 1"),
        (np.tile([0.0, 1.0], 5), np.full(10, np.nan), "10 of 10 scores are no probabilities"),
        (np.tile([0.0, 1.0], 5), np.full(10, 1.5), "first: 1.5"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(labels: np.ndarray, scores: np.ndarray, fault: str) -> None:
    with pytest.raises(ParameterError, match=fault):
        evaluate(labels, scores, np.arange(len(labels)) * DAY_MS, objective(), np.random.default_rng(0))


def test_a_report_without_the_column_to_be_fair_over_is_refused() -> None:
    labels, scores, moments, _ = rows(0)
    with pytest.raises(ParameterError, match="groups of carrier"):
        evaluate(labels, scores, moments, objective(equal_across=["carrier"], max_gap=0.1), np.random.default_rng(0))
