"""Judges of graphs from outside: classes, numbers, no labels at all; outputs of one column and of many."""

from __future__ import annotations

import numpy as np
import pytest

from sampan.compression.probing import Likeness, NumberProbe, Probe, are_numbers, gain, judge_of

RNG = np.random.default_rng(0)
OUTPUTS = RNG.normal(size=(600, 5))
NUMBERS = 40 + 3 * OUTPUTS[:, 0] - 2 * OUTPUTS[:, 1] + RNG.normal(0, 0.5, 600)


def test_numbers_are_judged_by_how_much_of_them_a_line_tells() -> None:
    judge = judge_of(OUTPUTS, NUMBERS, np.random.default_rng(1))
    whole = judge.rows(OUTPUTS)
    noisy = judge.rows(OUTPUTS + RNG.normal(0, 0.3, OUTPUTS.shape))
    wanted = 1 - 0.25 / NUMBERS.var()

    assert isinstance(judge, NumberProbe)
    assert wanted == pytest.approx(whole.mean(), abs=0.01)
    high = gain(noisy, whole, np.random.default_rng(2)).high
    assert high is not None
    assert high < 0


def test_classes_are_told_apart_by_words_whole_numbers_and_flags() -> None:
    for labels in (np.where(NUMBERS > 40, "high", "low"), (NUMBERS > 40).astype(np.float64), NUMBERS > 40, np.digitize(NUMBERS, [38, 42])):
        judge = judge_of(OUTPUTS, labels, np.random.default_rng(1))
        assert isinstance(judge, Probe)
        assert judge.rows(OUTPUTS).mean() > 0.85
    assert are_numbers(np.arange(5000))
    assert not are_numbers(np.array(["a", "b"]))


def test_a_single_number_is_alike_by_its_distance_not_by_its_sign() -> None:
    chances = RNG.random((500, 1))
    judge = judge_of(chances, None, RNG)

    assert isinstance(judge, Likeness)
    assert 1.0 == judge.rows(chances).mean()
    assert 1 - 0.05 / chances.std() == pytest.approx(judge.rows(chances + 0.05).mean())
    assert 0.0 == judge.rows(chances + 5).max()
