"""What sends a version back, and what is only chance."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from sampan.errors import ParameterError
from sampan.serving.guards import Guards, Seen, Verdict, check_rules, judge, see

N = 2_000


def answers(rng: np.random.Generator, *, n: int = N, low: float = 0.0, times: float = 1.0) -> pl.DataFrame:
    scores = low + (1 - low) * rng.beta(2, 5, n)
    return pl.DataFrame({"score": scores, "latency_us": (times * rng.lognormal(7, 0.4, n)).astype(np.int64)})


def verdict(guards: Guards, candidate: pl.DataFrame, *, n_errors: int = 0, live_errors: int = 0) -> Verdict:
    live = see("m@v1", answers(np.random.default_rng(0)), n_errors=live_errors)
    return judge(guards, see("m@v2", candidate, n_errors=n_errors, edges=live.edges), live, answers=candidate)


@pytest.mark.parametrize("seed", range(20))
def test_a_version_like_live_is_never_sent_back_for_chance(seed: int) -> None:
    assert verdict(Guards(min_rows=100), answers(np.random.default_rng(seed + 1), n=300)).breaches == ()


def test_each_guard_names_its_figures_and_its_limit() -> None:
    rng = np.random.default_rng(5)

    assert verdict(Guards(), answers(rng, low=0.4)).breaches[0].startswith("drift: answers moved by ")
    assert verdict(Guards(), answers(rng, times=3.0)).breaches[0].startswith("latency: p95 ")
    assert verdict(Guards(), answers(rng, n=90), n_errors=10).breaches == ("errors: 10 of 100 rows (10.0%, at least 5.0%) > 1.0%",)
    assert verdict(Guards(rules=("AVG(score) < 0.1",)), answers(rng)).breaches == (f"rule: AVG(score) < 0.1 does not hold on {N:,} rows",)


def test_errors_that_live_has_too_are_not_the_versions() -> None:
    assert verdict(Guards(), answers(np.random.default_rng(6), n=900), n_errors=100, live_errors=220).breaches == ()


def test_two_errors_and_a_few_slow_answers_prove_nothing() -> None:
    few = answers(np.random.default_rng(7), n=10, times=50.0)

    found = verdict(Guards(), few, n_errors=2)

    assert found == Verdict((), ("10 rows answered, 200 wanted", "too few rows to compare latencies: 10 of its own, 2,000 of live"))


def test_where_nobody_counts_errors_a_step_waits() -> None:
    live = see("m@v1", answers(np.random.default_rng(0)))
    candidate = see("m@v2", answers(np.random.default_rng(1)), edges=live.edges)

    assert judge(Guards(), candidate, live, answers=pl.DataFrame()).waiting == ("no server says how many errors there were",)


def test_decisions_worth_less_than_lives_send_a_version_back() -> None:
    rng = np.random.default_rng(8)
    frame = answers(rng)
    live = see("m@v1", frame, n_errors=0, values=rng.normal(-1.0, 0.5, N))
    worse = see("m@v2", frame, n_errors=0, edges=live.edges, values=rng.normal(-1.3, 0.5, N))
    alike = see("m@v2", frame, n_errors=0, edges=live.edges, values=rng.normal(-1.0, 0.5, N))

    assert judge(Guards(kpi_loss=0.1), worse, live, answers=frame).breaches[0].startswith("kpi: a decision is worth -1.2")
    assert judge(Guards(kpi_loss=0.1), alike, live, answers=frame).breaches == ()


def test_few_answers_that_repeat_do_not_drift_by_a_hairs_breadth() -> None:
    score = np.tile([0.1, 0.2, 0.3, 0.4, 0.5], 100)
    live = see("m@v1", pl.DataFrame({"score": score, "latency_us": [100] * 500}), n_errors=0)
    moved = pl.DataFrame({"score": score + 1e-4, "latency_us": [100] * 500})

    assert judge(Guards(), see("m@v2", moved, n_errors=0, edges=live.edges), live, answers=moved).breaches == ()


def test_nothing_answered_is_nothing_seen() -> None:
    assert see("m@v1", pl.DataFrame({"score": [], "latency_us": []}), n_errors=0) == Seen(version="m@v1", n_errors=0)


def test_rules_are_read_before_they_are_needed() -> None:
    check_rules(["AVG(score) < 0.5", "COUNT(*) > 1"])
    with pytest.raises(ParameterError, match="'MAX'"):
        check_rules(["'MAX'(", "AVG(score) < 1"])
