"""What sends a version back, and what is only chance."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from sampan.core.reasons import Reason
from sampan.errors import ParameterError
from sampan.serving.guards import Guards, Seen, Verdict, check_rules, judge, see

N = 2_000


def answers(rng: np.random.Generator, *, n: int = N, low: float = 0.0, times: float = 1.0) -> pl.DataFrame:
    scores = low + (1 - low) * rng.beta(2, 5, n)
    return pl.DataFrame({"score": scores, "latency_us": (times * rng.lognormal(7, 0.4, n)).astype(np.int64)})


def verdict(guards: Guards, candidate: pl.DataFrame, *, n_errors: int = 0, live_errors: int = 0) -> Verdict:
    live = see("m@v1", answers(np.random.default_rng(0)), n_errors=live_errors)
    return judge(guards, see("m@v2", candidate, n_errors=n_errors), live, answers=candidate)


@pytest.mark.parametrize("seed", range(20))
def test_a_version_like_live_is_never_sent_back_for_chance(seed: int) -> None:
    assert verdict(Guards(min_rows=100), answers(np.random.default_rng(seed + 1), n=300)).breaches == ()


def test_each_guard_names_its_figures_and_its_limit() -> None:
    rng = np.random.default_rng(5)

    assert verdict(Guards(), answers(rng, low=0.4)).breaches[0].text.startswith("drift: answers moved by ")
    assert verdict(Guards(), answers(rng, times=3.0)).breaches[0].text.startswith("latency: p95 ")
    assert verdict(Guards(), answers(rng, n=90), n_errors=10).breaches[0].text == "errors: 10 of 100 requests (10.0%, at least 5.0%) > 1.0%"
    assert (
        verdict(Guards(rules=("AVG(score) < 0.1",)), answers(rng)).breaches[0].text == f"rule: AVG(score) < 0.1 does not hold on {N:,} rows"
    )


def test_errors_that_live_has_too_are_not_the_versions() -> None:
    assert verdict(Guards(), answers(np.random.default_rng(6), n=900), n_errors=100, live_errors=220).breaches == ()


def test_errors_are_held_against_all_requests_where_the_log_keeps_a_share() -> None:
    frame = answers(np.random.default_rng(6), n=200)
    live = see("m@v1", frame, n_errors=0, kept=0.1)

    whole, tenth = (see("m@v2", frame, n_errors=10, kept=kept) for kept in (1.0, 0.1))

    assert judge(Guards(), whole, live, answers=frame).breaches[0].text.startswith("errors: 10 of 210 requests")
    assert judge(Guards(), tenth, live, answers=frame).breaches == (), "10 of 2,010"


def test_two_errors_and_a_few_slow_answers_prove_nothing() -> None:
    few = answers(np.random.default_rng(7), n=10, times=50.0)

    found = verdict(Guards(), few, n_errors=2)

    assert found.breaches == ()
    assert [*map(str, found.waiting)] == [
        "10 rows answered, 200 wanted",
        "too few requests to compare latencies: rows of its own 10, of live 2,000",
    ]


def test_where_nobody_counts_errors_a_step_waits() -> None:
    live = see("m@v1", answers(np.random.default_rng(0)))
    candidate = see("m@v2", answers(np.random.default_rng(1)))

    assert judge(Guards(), candidate, live, answers=pl.DataFrame()).waiting == (
        Reason("no server says how many errors there were", "uncounted"),
    )


def test_decisions_worth_less_than_lives_send_a_version_back() -> None:
    rng = np.random.default_rng(8)
    frame = answers(rng)
    live = see("m@v1", frame, n_errors=0, values=rng.normal(-1.0, 0.5, N))
    worse = see("m@v2", frame, n_errors=0, values=rng.normal(-1.3, 0.5, N))
    alike = see("m@v2", frame, n_errors=0, values=rng.normal(-1.0, 0.5, N))

    assert judge(Guards(kpi_loss=0.1), worse, live, answers=frame).breaches[0].text.startswith("kpi: a decision is worth -1.2")
    assert judge(Guards(kpi_loss=0.1), alike, live, answers=frame).breaches == ()


def test_one_slow_request_of_many_rows_is_one_slow_request() -> None:
    rng = np.random.default_rng(9)
    requests = answers(rng, n=100).with_columns(at=pl.int_range(100) * 50)
    rows = requests.select(pl.all().repeat_by(20).explode())
    slow = rows.with_columns(latency_us=pl.when(pl.col("at").is_between(1000, 1300)).then(900_000).otherwise("latency_us"))
    always = rows.with_columns(latency_us=pl.col("latency_us") * 5)
    live = see("m@v1", rows, n_errors=0)

    assert live.n_requests == 100
    assert judge(Guards(), see("m@v2", slow, n_errors=0), live, answers=slow).breaches == ()
    assert judge(Guards(), see("m@v2", always, n_errors=0), live, answers=always).breaches[0].text.startswith("latency: median ")


def test_a_stall_of_the_machine_is_not_the_versions() -> None:
    frame = answers(np.random.default_rng(10)).with_row_index("at")
    stalled = frame.with_columns(latency_us=pl.when(pl.col("at").is_between(300, 600)).then(80_000).otherwise("latency_us"))
    live = see("m@v1", frame, n_errors=0)

    assert judge(Guards(), see("m@v2", stalled, n_errors=0), live, answers=stalled).breaches == ()


def test_what_live_did_before_is_held_against_a_version_less_strictly() -> None:
    live = see("m@v1", answers(np.random.default_rng(11)), n_errors=0)
    busier, slow = (answers(np.random.default_rng(12), times=times) for times in (3.0, 6.0))

    assert judge(Guards(), see("m@v2", busier, n_errors=0), live, answers=busier, beside=False).breaches == ()
    assert judge(Guards(), see("m@v2", slow, n_errors=0), live, answers=slow, beside=False).breaches[0].text.startswith("latency: median ")
    assert judge(Guards(), see("m@v2", busier, n_errors=0), Seen(version="m@v1"), answers=busier, beside=False) == Verdict()


@pytest.mark.parametrize("seed", range(10))
def test_few_keys_that_ask_often_are_few_answers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, keys = rng.beta(2, 5, 40), np.repeat(np.arange(40), 100)

    def of(chosen: np.ndarray) -> pl.DataFrame:
        is_chosen = np.isin(keys, chosen)
        return answers(rng, n=int(is_chosen.sum())).with_columns(score=scores[keys[is_chosen]], key=keys[is_chosen].astype(str))

    few, most = of(np.arange(5)), of(np.arange(5, 40))
    live = see("m@v1", most, n_errors=0)

    assert see("m@v2", few).n_apart == 5
    assert judge(Guards(), see("m@v2", few, n_errors=0), live, answers=few).breaches == ()


def test_answers_of_a_key_that_differ_as_those_of_others_count_each() -> None:
    frame = answers(np.random.default_rng(13)).with_columns(key=pl.Series(np.tile(np.arange(20), N // 20).astype(str)))

    assert see("m@v1", frame).n_apart > 0.5 * N


def test_a_shadow_that_answers_the_opposite_is_found_by_its_answers_to_the_same_rows() -> None:
    frame = answers(np.random.default_rng(14)).with_columns(
        pl.int_range(N).alias("id"), score=pl.Series(np.random.default_rng(15).random(N))
    )
    opposite = frame.with_columns(score=1 - pl.col("score"))
    live = see("m@v1", frame, n_errors=0)

    alone, beside = (see("m@v2", opposite, n_errors=0, beside=rows) for rows in (None, frame))

    assert judge(Guards(), alone, live, answers=opposite).breaches == (), "as many high ones as low ones"
    (found,) = judge(Guards(), beside, live, answers=opposite, shadowing=True).breaches
    assert str(found) == "agreement: answers correlate -1.00 with live's to the same rows, 0.5 wanted"
    assert (found.kind, found.figures["wanted"]) == ("agreement", 0.5)


def test_answers_that_are_all_the_same_have_moved() -> None:
    frame = answers(np.random.default_rng(16))
    same = frame.with_columns(score=pl.lit(0.285))

    alike = see("m@v1", same, n_errors=0)
    other = same.with_columns(score=pl.lit(0.9))

    assert verdict(Guards(), same).breaches[0].text.startswith("drift: answers moved by 0.8")
    assert judge(Guards(), see("m@v2", other, n_errors=0), alike, answers=other).breaches[0].text.startswith("drift: answers moved by 2.16")


def test_nothing_answered_is_nothing_seen() -> None:
    assert see("m@v1", pl.DataFrame({"score": [], "latency_us": []}), n_errors=0) == Seen(version="m@v1", n_errors=0)


def test_rules_are_read_before_they_are_needed() -> None:
    check_rules(["AVG(score) < 0.5", "COUNT(*) > 1"])
    with pytest.raises(ParameterError, match="'MAX'"):
        check_rules(["'MAX'(", "AVG(score) < 1"])
