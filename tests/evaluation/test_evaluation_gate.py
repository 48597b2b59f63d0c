from __future__ import annotations

import msgspec
import numpy as np

from sampan.evaluation.gate import REASONS, Decision, Evidence, decide
from sampan.evaluation.losses import probabilities
from sampan.evaluation.noise import BatchNoise, LabelHealth
from sampan.evaluation.objective import Objective, objective, value
from sampan.evaluation.paired import Scored, compare
from sampan.evaluation.report import evaluate
from sampan.stats.bootstrap import DAY_MS, Estimate

N = 4000
GOAL = objective(at_least=0.65, equal_across=["group"], max_gap=0.2, p95_ms=20, kpi=value(fp=-5, fn=-15))


def evidence(goal: Objective = GOAL, *, threshold: float = 0.25, seed: int = 0, weak: bool = False) -> Evidence:
    rng = np.random.default_rng(seed)
    z = 1.5 * rng.normal(size=N) - 1
    labels = (rng.random(N) < probabilities(z)).astype(float)
    groups = rng.choice(["A", "B"], N).astype(object)
    known = np.where(weak & (groups == "B"), rng.normal(size=N), z)
    moments = np.sort(rng.integers(0, 40 * DAY_MS, N))
    report = evaluate(labels, probabilities(known), moments, goal, rng, threshold=threshold, groups={"group": groups}, draws=300)
    return Evidence(report=report, p95_ms=3.0, probe_rows=200)


def against(candidate_noise: float, champion_noise: float) -> Evidence:
    rng = np.random.default_rng(1)
    z = rng.normal(size=N) - 1
    labels = (rng.random(N) < probabilities(z)).astype(float)
    moments = np.sort(rng.integers(0, 40 * DAY_MS, N))
    ours, theirs = (Scored(probabilities(z + n * rng.normal(size=N)), 0.25) for n in (candidate_noise, champion_noise))
    found = compare(labels, ours, theirs, moments, rng, objective=GOAL, draws=300)
    return msgspec.structs.replace(evidence(), champion="late@v1", paired=found)


def codes(decision: Decision) -> list[str]:
    return [reason.partition(":")[0] for reason in decision.reasons]


def test_a_first_model_that_meets_every_condition_passes() -> None:
    decision = decide(GOAL, evidence())

    assert decision.passed
    assert () == decision.reasons
    assert all(check.code in REASONS for check in decision.checks)


def test_a_metric_below_its_limit_is_named() -> None:
    goal = objective(at_least=0.95)

    assert ["metric_missed"] == codes(decide(goal, evidence(goal)))


def test_a_group_that_is_served_worse_is_named() -> None:
    decision = decide(GOAL, evidence(weak=True))

    assert "gap_too_wide" in codes(decision)
    assert "between A and B" in decision.reasons[-1]


def test_slow_answers_and_unmeasured_ones_are_refused() -> None:
    assert ["too_slow"] == codes(decide(GOAL, msgspec.structs.replace(evidence(), p95_ms=21.0)))
    assert ["latency_unknown"] == codes(decide(GOAL, msgspec.structs.replace(evidence(), p95_ms=None)))


def test_a_package_that_answers_otherwise_than_in_batch_is_refused() -> None:
    assert ["online_differs"] == codes(decide(GOAL, msgspec.structs.replace(evidence(), probe_far=3)))
    assert ["online_differs"] == codes(decide(GOAL, msgspec.structs.replace(evidence(), probe_rows=0)))


def test_a_threshold_that_costs_more_than_deciding_blindly_is_refused() -> None:
    assert ["no_value"] == codes(decide(GOAL, evidence(threshold=0.001)))


def test_too_few_rows_are_no_ground_for_a_decision() -> None:
    goal = objective(min_rows=N + 1)

    assert ["too_few_rows"] == codes(decide(goal, evidence(goal)))


def test_wrong_labels_in_the_newest_batch_are_refused_by_name() -> None:
    newest = BatchNoise("2013-11", 27_000, Estimate(0.2, 0.17, 0.23))
    health = LabelHealth(newest, (), usual=0.01, limit=0.05, ok=False)

    decision = decide(GOAL, msgspec.structs.replace(evidence(), labels=health))

    assert ["label_noise"] == codes(decision)
    assert "20.0% (17.0% to 23.0%) of the labels of 2013-11 look wrong" in decision.reasons[0]


def test_a_candidate_that_is_shown_better_passes() -> None:
    assert decide(GOAL, against(0.0, 1.0)).passed


def test_a_draw_keeps_what_is_live() -> None:
    assert ["log_loss_not_better"] == codes(decide(GOAL, against(0.3, 0.3)))


def test_a_worse_candidate_is_refused_in_every_metric() -> None:
    assert ["log_loss_not_better", "auc_worse", "cost_worse"] == codes(decide(GOAL, against(1.5, 0.0)))


def test_a_champion_that_could_not_be_met_is_a_reason() -> None:
    assert ["not_compared"] == codes(decide(GOAL, msgspec.structs.replace(evidence(), champion="late@v1")))


def test_a_decision_survives_json() -> None:
    decision = decide(GOAL, against(1.5, 0.0))

    assert decision == msgspec.json.decode(msgspec.json.encode(decision), type=Decision)
