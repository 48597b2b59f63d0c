"""Drift verdicts on planted and quiet cases over scikit-learn's bundled data sets, where the thresholds were set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import datasets

from sampan.errors import ParameterError
from sampan.monitoring.drift import DriftRules, judge_column, judge_drift

Matrix = NDArray[np.float32]

LOADERS = (datasets.load_breast_cancer, datasets.load_wine, datasets.load_digits, datasets.load_diabetes, datasets.load_iris)
SETS: dict[str, Matrix] = {loader.__name__.removeprefix("load_"): loader().data.astype(np.float32) for loader in LOADERS}


def resampled(data: Matrix, n: int, rng: np.random.Generator) -> Matrix:
    return data[rng.integers(0, len(data), n)]


def names(data: Matrix) -> list[str]:
    return [f"f{i}" for i in range(data.shape[1])]


@pytest.mark.parametrize(("n_reference", "n_current"), [(300, 300), (2000, 500), (20_000, 3000)])
def test_two_samples_of_one_source_are_quiet(n_reference: int, n_current: int) -> None:
    rng = np.random.default_rng(0)
    n_columns = n_moved = n_pairs = n_alarms = 0
    for data in SETS.values():
        for _ in range(3):
            report = judge_drift(names(data), resampled(data, n_reference, rng), resampled(data, n_current, rng))
            n_columns += data.shape[1]
            n_moved += len(report.moved)
            n_pairs += len(report.correlations)
            n_alarms += report.alarm

    assert n_moved <= n_columns * 0.002, "one false alarm in 500 columns at most"
    assert (n_pairs, n_alarms) == (0, 0)


def planted(change: str, data: Matrix, column: int, rng: np.random.Generator) -> Matrix:
    changed, values = data.copy(), data[:, column]
    spread = values.std()
    hit: Callable[[float], NDArray[np.bool_]] = lambda share: rng.random(len(data)) < share  # noqa: E731  # one line says it
    if change == "shifted by a quarter":
        changed[:, column] = values + 0.25 * spread
    elif change == "spread by half":
        changed[:, column] = (values - values.mean()) * 1.5 + values.mean()
    elif change == "miles to kilometers":
        changed[:, column] = values * 1.609 + 0.001
    elif change == "stuck":
        changed[:, column] = values.max()
    elif change == "5 % missing":
        changed[hit(0.05), column] = np.nan
    elif change == "2 % unseen":
        changed[hit(0.02), column] = values.max() + 7
    return changed


CHANGES = ("shifted by a quarter", "spread by half", "miles to kilometers", "stuck", "5 % missing", "2 % unseen")


@pytest.mark.parametrize("change", CHANGES)
def test_a_planted_change_is_found_in_its_column_and_nowhere_else(change: str) -> None:
    rng = np.random.default_rng(1)
    n_cases = n_found = n_wrong = 0
    for data in SETS.values():
        varied = np.flatnonzero(data.std(axis=0) > 0)
        for column in rng.choice(varied, 3, replace=False):
            report = judge_drift(names(data), resampled(data, 4000, rng), planted(change, resampled(data, 4000, rng), column, rng))
            moved = {feature.feature for feature in report.moved}
            n_cases += 1
            n_found += f"f{column}" in moved
            n_wrong += len(moved - {f"f{column}"})

    assert n_found == n_cases
    assert n_wrong <= 1


def test_a_broken_relation_is_found_though_each_column_looks_the_same() -> None:
    rng = np.random.default_rng(2)
    data = SETS["breast_cancer"]
    current = resampled(data, 2000, rng)
    current[:, 0] = rng.permutation(current[:, 0])

    report = judge_drift(names(data), resampled(data, 2000, rng), current)

    assert report.moved == ()
    assert {pair.first for pair in report.correlations} == {"f0"}


def test_size_alone_moves_nothing() -> None:
    rng = np.random.default_rng(3)
    before, now = rng.normal(0, 1, 200_000), rng.normal(0.02, 1, 200_000)

    found = judge_column("x", before, now, rules=DriftRules())

    # A p-value would be below 1e-8 here.
    assert not found.moved
    assert 0.005 < found.effect < 0.012


def test_every_figure_is_published_and_a_large_psi_alone_decides_nothing() -> None:
    rng = np.random.default_rng(4)
    before, now = rng.normal(size=60), rng.normal(size=60)

    found = judge_column("x", before, now, rules=DriftRules())

    assert found.psi > 0.1, "at 60 rows chance alone gives this"
    assert not found.moved
    report = judge_drift(["x"], before[:, None], now[:, None])
    assert set(report.definitions) == {"ks", "tv", "psi", "js", "correlation"}


def test_categories_are_compared_value_by_value_with_rare_ones_pooled() -> None:
    rng = np.random.default_rng(5)
    before = rng.choice(np.arange(40.0), 3000, p=np.geomspace(1, 1e-4, 40) / np.geomspace(1, 1e-4, 40).sum())
    same, shifted = rng.permutation(before)[:1500], np.where(before == 0, 1.0, before)[:1500]

    assert not judge_column("c", before, same, rules=DriftRules()).moved
    found = judge_column("c", before, shifted, rules=DriftRules())
    assert (found.statistic, found.moved) == ("tv", True)


def test_a_column_that_became_entirely_missing_is_an_alarm() -> None:
    rng = np.random.default_rng(6)
    before, now = rng.normal(size=(1000, 3)), rng.normal(size=(1000, 3))
    now[:, 1] = np.nan

    report = judge_drift(["a", "b", "c"], before, now)

    assert [f.feature for f in report.moved] == ["b"]
    assert report.reasons == ("b: missing 0% -> 100%",)


def test_importance_decides_whether_far_moves_are_an_alarm() -> None:
    rng = np.random.default_rng(7)
    before, now = rng.normal(size=(2000, 4)), rng.normal(size=(2000, 4))
    now[:, 0] += 1

    little = judge_drift(["a", "b", "c", "d"], before, now, importance={"a": 1, "b": 50, "c": 50, "d": 50})
    much = judge_drift(["a", "b", "c", "d"], before, now, importance={"a": 90, "b": 5, "c": 5, "d": 0})

    assert ([f.feature for f in little.moved], little.alarm) == (["a"], False)
    assert much.alarm
    assert "a (ks 0." in much.reasons[0]


def test_the_models_scores_are_judged_beside_its_features() -> None:
    rng = np.random.default_rng(8)
    data = rng.normal(size=(1000, 2))

    report = judge_drift(["a", "b"], data, data, scores=(rng.beta(2, 5, 1000), rng.beta(5, 2, 1000)))

    assert report.score is not None
    assert report.reasons == (f"the model's scores moved far: ks {report.score.effect:.2f}",)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ParameterError, match="the current has 10 rows; drift needs 50"):
        judge_drift(["a"], np.zeros((100, 1)), np.zeros((10, 1)))


def test_a_column_with_one_value_a_day_is_judged_by_days_not_by_rows() -> None:
    rng = np.random.default_rng(9)
    n_by_rows = n_by_days = 0
    for _ in range(40):
        # Thirty days each of one source: every day has a level of its own, as weather has, and 100 rows about it.
        days = np.repeat(np.arange(60), 100)
        values = (np.repeat(rng.normal(size=60), 100) + rng.normal(0, 0.3, 6000))[:, None]
        moments = days * 86_400_000
        before, now = values[:3000], values[3000:]
        n_by_rows += bool(judge_drift(["temp"], before, now).moved)
        n_by_days += bool(judge_drift(["temp"], before, now, moments=(moments[:3000], moments[3000:])).moved)

    assert n_by_rows > 30, "rows of one day say little more than one row"
    assert n_by_days <= 2


def test_a_change_is_still_found_when_days_are_the_measure() -> None:
    rng = np.random.default_rng(10)
    levels = np.concatenate([rng.normal(size=30), rng.normal(2.0, size=30)])
    values = (np.repeat(levels, 100) + rng.normal(0, 0.3, 6000))[:, None]
    moments = np.repeat(np.arange(60), 100) * 86_400_000

    report = judge_drift(["temp"], values[:3000], values[3000:], moments=(moments[:3000], moments[3000:]))

    assert [f.feature for f in report.moved] == ["temp"]


def test_a_feature_the_scores_do_not_depend_on_raises_no_alarm_however_far_it_moves() -> None:
    rng = np.random.default_rng(11)
    before, now = rng.normal(size=(3000, 2)), rng.normal(size=(3000, 2))
    scores = (1 / (1 + np.exp(-before[:, 0])), 1 / (1 + np.exp(-now[:, 0])))
    now[:, 1] += 3

    report = judge_drift(["used", "idle"], before, now, scores=scores)

    assert [f.feature for f in report.moved] == ["idle"]
    assert report.features[1].importance < 0.01
    assert not report.alarm
