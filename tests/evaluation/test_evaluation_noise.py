"""What the label check really does, on public data it was not tuned on as well as on drifting data made here."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sampan.evaluation.losses import probabilities
from sampan.evaluation.noise import label_health, wrong_label_share


def flipped(labels: np.ndarray, share: float, rng: np.random.Generator, among: np.ndarray) -> np.ndarray:
    wrong = among & (rng.random(len(labels)) < share)
    return np.where(wrong, 1 - labels, labels)


def public(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name == "digits":
        data = load_digits()
        return data.data, (data.target >= 5).astype(float)
    features, labels = load_breast_cancer(return_X_y=True)
    return features, labels.astype(float)


def health(name: str, share: float, seed: int):
    features, labels = public(name)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    features, labels = features[order], labels[order]
    batches = np.array([f"batch {i * 3 // len(labels)}" for i in range(len(labels))], dtype=object)
    labels = flipped(labels, share, rng, batches == "batch 2")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    out_of_fold = cross_val_predict(model, features, labels, cv=KFold(5, shuffle=True, random_state=seed), method="predict_proba")[:, 1]
    return label_health(labels, out_of_fold, batches, limit=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "breast_cancer"])
def test_clean_batches_do_not_alarm_and_a_fifth_flipped_does(name: str) -> None:
    clean = [health(name, 0.0, seed) for seed in range(4)]
    bad = [health(name, 0.2, seed) for seed in range(4)]

    assert all(found.ok for found in clean)
    assert not any(found.ok for found in bad)
    assert 0.2 == pytest.approx(np.mean([found.newest.share.value for found in bad]), abs=0.05)


def drifting(share: float, *, shift: float, strength: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A batch whose base rate and whose relation to the score have both moved since the model learned."""
    rng = np.random.default_rng(seed)
    z = 1.5 * rng.normal(size=20_000) - 1.5
    labels = (rng.random(len(z)) < probabilities(shift + strength * z)).astype(float)
    return flipped(labels, share, rng, np.ones(len(z), dtype=bool)), probabilities(z)


@pytest.mark.parametrize(("shift", "strength"), [(0.0, 1.0), (1.0, 1.0), (-1.0, 1.0), (0.0, 0.7), (0.7, 1.3)])
def test_drift_alone_is_not_taken_for_wrong_labels(shift: float, strength: float) -> None:
    found = wrong_label_share(*drifting(0.0, shift=shift, strength=strength, seed=1))

    assert found.low < 0.02


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_share_of_wrong_labels_is_estimated_through_drift(share: float, shift: float) -> None:
    found = wrong_label_share(*drifting(share, shift=shift, strength=1.0, seed=2))

    assert found.low <= share <= found.high
    assert share == pytest.approx(found.value, abs=0.025)


def test_inverted_labels_count_as_wrong() -> None:
    assert wrong_label_share(*drifting(1.0, shift=0.0, strength=1.0, seed=3)).low > 0.8


def test_a_newest_batch_of_few_rows_is_not_judged() -> None:
    labels, scores = drifting(0.0, shift=0.0, strength=1.0, seed=0)
    batches = np.where(np.arange(len(labels)) < len(labels) - 50, "2013-01", "2013-02").astype(object)

    assert label_health(labels, scores, batches, limit=0.05) is None


def test_the_usual_share_of_earlier_batches_is_taken_off() -> None:
    first, second = drifting(0.15, shift=0.0, strength=1.0, seed=4), drifting(0.15, shift=0.0, strength=1.0, seed=5)
    labels, scores = np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])
    batches = np.repeat(np.array(["2013-01", "2013-02"], dtype=object), len(first[0]))

    found = label_health(labels, scores, batches, limit=0.05)

    assert found.ok
    assert 0.15 == pytest.approx(found.usual, abs=0.03)
