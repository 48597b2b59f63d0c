"""Labels of several classes and numbers are judged as those of two classes are; columns that were spoiled are named, and only they."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

from planted_batches import Floats, judged, many

from sampan.evaluation.admission.outlook import agreement_of, strength
from sampan.evaluation.admission.surprise import wrong_share
from sampan.evaluation.noise import wrong_class_share, wrong_label_share

pytestmark = pytest.mark.slow  # each judgment fits a dozen small models

FOUR = ("ash", "birch", "cedar", "dogwood")
N = 4000


@pytest.fixture(scope="module")
def drawn() -> tuple[pl.DataFrame, Floats, Floats]:
    return many(5000, np.random.default_rng(0))


def exchanged(labels: Floats, share: float, rng: np.random.Generator) -> tuple[Floats, np.ndarray]:
    wrong = rng.random(len(labels)) < share
    return np.where(wrong, (labels + rng.integers(1, 4, len(labels))) % 4, labels), wrong


@pytest.mark.parametrize("what", ["classes", "number"])
def test_an_honest_batch_passes(drawn: tuple[pl.DataFrame, Floats, Floats], what: str) -> None:
    frame, classes, number = drawn
    labels = classes if what == "classes" else number

    found, _ = judged(frame[:N], labels[:N], frame[N:], labels[N:], classes=FOUR if what == "classes" else ())

    assert found.verdict in ("helps", "neutral")
    assert found.effect is not None
    assert ("log loss", "AUC") == (found.effect.loss, found.effect.score) or what == "number"


def test_exchanged_classes_are_estimated_and_marked_with_the_class_that_fits(drawn: tuple[pl.DataFrame, Floats, Floats]) -> None:
    frame, classes, _ = drawn
    labels, wrong = exchanged(classes[N:], 0.2, np.random.default_rng(1))

    found, _ = judged(frame[:N], classes[:N], frame[N:], labels, classes=FOUR)

    assert found.verdict in ("suspicious", "harmful")
    assert found.labels is not None
    assert 0.2 == pytest.approx(found.labels.share.value, abs=0.06)
    assert wrong[found.suspicious].mean() > 2 * wrong.mean()
    assert set(found.given) | set(found.likely) <= set(FOUR)
    assert ["label"] == [doubt.cause for doubt in found.evidence.doubts(int(np.flatnonzero(found.suspicious)[0]))]


def test_numbers_of_other_rows_are_found_however_skewed(drawn: tuple[pl.DataFrame, Floats, Floats]) -> None:
    frame, _, number = drawn
    rng = np.random.default_rng(1)
    wrong = rng.random(1000) < 0.25
    labels = np.where(wrong, rng.permutation(number[N:]), number[N:])

    found, _ = judged(frame[:N], number[:N], frame[N:], labels, classes=())

    assert found.verdict in ("suspicious", "harmful")
    assert any("labels look wrong" in reason for reason in found.reasons)
    assert wrong[found.suspicious].mean() > 2 * wrong.mean()
    assert found.effect is not None
    assert ("squared error", "rank agreement") == (found.effect.loss, found.effect.score)


def test_a_class_that_never_came_before_is_said_and_not_called_wrong(drawn: tuple[pl.DataFrame, Floats, Floats]) -> None:
    frame, classes, _ = drawn
    labels = np.where(np.arange(1000) < 30, 4.0, classes[N:])

    found, _ = judged(frame[:N], classes[:N], frame[N:], labels, classes=(*FOUR, "elm"))

    assert "30 rows have the label elm, which no row before has" in found.reasons
    assert found.suspicious[:30].all()
    assert not any("labels look wrong" in reason for reason in found.reasons)


def test_of_two_columns_that_contradict_each_other_the_spoiled_one_is_named(drawn: tuple[pl.DataFrame, Floats, Floats]) -> None:
    frame, classes, _ = drawn
    wrong = np.random.default_rng(1).random(1000) < 0.3
    batch = frame[N:].with_columns(weight=pl.when(pl.Series(wrong)).then(pl.col("weight") * 1000).otherwise("weight"))

    found, _ = judged(frame[:N], classes[:N], batch, classes[N:], classes=FOUR)

    assert ["weight"] == [one.column for one in found.misfits]
    assert found.misfits[0].share.value == pytest.approx(0.3, abs=0.1)
    assert wrong[found.suspicious].mean() > 0.7
    assert any("values of weight do not fit the rest of their rows" in reason for reason in found.reasons)


def test_a_stuck_number_and_one_far_out_of_range_are_named_whatever_their_labels(drawn: tuple[pl.DataFrame, Floats, Floats]) -> None:
    frame, classes, _ = drawn
    row = pl.int_range(1000)
    batch = frame[N:].with_columns(
        x3=pl.when(row % 10 == 0).then(0.25).otherwise("x3"), x2=pl.when(row % 40 == 3).then(99.0).otherwise("x2")
    )

    found, _ = judged(frame[:N], classes[:N], batch, classes[N:], classes=FOUR)

    piles = {one.column: one for one in found.piles}
    assert {("x3", "0.25", 100, False), ("x2", "99", 25, True)} == {(one.column, one.value, one.n_rows, one.outside) for one in found.piles}
    assert 0.0 == piles["x3"].usual_share
    assert found.suspicious[::10].all()


def test_the_estimates_for_two_classes_are_those_of_any_number_of_classes() -> None:
    rng = np.random.default_rng(0)
    chances = rng.beta(0.5, 0.5, 4000)
    labels = np.where(rng.random(4000) < 0.1, rng.random(4000) >= chances, rng.random(4000) < chances).astype(np.float64)
    both = np.column_stack([1 - chances, chances])
    by_hand = ((1 - 2 * chances) * (labels - chances)).sum() / ((1 - 2 * chances) ** 2).sum()

    assert by_hand == pytest.approx(wrong_share(labels.astype(np.intp), both).value, abs=1e-12)
    assert wrong_label_share(labels, chances) == wrong_class_share(labels.astype(np.intp), both)


def test_the_share_of_exchanged_classes_is_estimated_without_bias() -> None:
    rng = np.random.default_rng(0)
    said = rng.dirichlet([0.3] * 5, size=20_000)
    codes = (said.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    wrong = rng.random(20_000) < 0.1
    codes = np.where(wrong, (codes + rng.integers(1, 5, 20_000)) % 5, codes)

    share, by_likelihood = wrong_share(codes, said), wrong_class_share(codes, said)

    for found in (share, by_likelihood):
        assert 0.1 == pytest.approx(found.value, abs=0.01)
        assert found.low is not None
        assert found.high is not None
        assert found.low < 0.1 < found.high


def test_strength_is_one_half_where_predictions_say_nothing() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 6000)

    assert 0.5 == pytest.approx(strength(codes, rng.dirichlet([1] * 3, size=6000)), abs=0.02)
    assert 1.0 == strength(codes, np.eye(3)[codes])
    assert (1.0, 0.0) == (agreement_of(np.arange(9.0), np.arange(9.0) ** 3), agreement_of(np.arange(9.0), -np.arange(9.0)))


def test_a_batch_of_a_class_that_never_came_before_is_judged_too(drawn: tuple[pl.DataFrame, Floats, Floats]) -> None:
    frame, classes, _ = drawn

    found, _ = judged(frame[:N], classes[:N], frame[N:], np.full(1000, 4.0), classes=(*FOUR, "elm"))

    assert found.verdict in ("suspicious", "harmful")
    assert found.suspicious.all()
