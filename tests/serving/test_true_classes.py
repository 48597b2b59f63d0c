"""True labels of models of several classes: those the model knows, those it does not, and what is no class."""

from __future__ import annotations

import json

import pytest

from sampan.errors import ParameterError
from sampan.serving.outcomes import UNKNOWN_CLASS, Expected, decode_outcomes, strange_classes

CLASSES = Expected("multiclass", ("cat", "dog", "7"))


def decoded(*labels: object) -> list[tuple[float, str]]:
    body = json.dumps([{"id": f"p{n}", "label": label} for n, label in enumerate(labels)]).encode()
    return [(each.label, each.name) for each in decode_outcomes(body, keys=(), now=1, max_rows=100, expected=CLASSES)]


def test_known_classes_are_kept_by_their_place_and_name() -> None:
    assert [(0.0, "cat"), (1.0, "dog"), (2.0, "7"), (2.0, "7"), (2.0, "7")] == decoded("cat", "dog", "7", 7, 7.0)


def test_a_class_that_the_model_does_not_know_is_taken_and_told() -> None:
    outcomes = decode_outcomes(
        json.dumps([{"id": str(n), "label": label} for n, label in enumerate(("fox", "cat", 12, "fox"))]).encode(),
        keys=(),
        now=1,
        max_rows=100,
        expected=CLASSES,
    )

    assert [UNKNOWN_CLASS, 0.0, UNKNOWN_CLASS, UNKNOWN_CLASS] == [each.label for each in outcomes]
    assert ["12", "fox"] == strange_classes(outcomes)


@pytest.mark.parametrize("label", ["", None, True, 1.5, ["cat"], {"a": 1}, "x" * 251, "a\x00b"])
def test_what_names_no_class_is_refused_with_what_was_expected(label: object) -> None:
    with pytest.raises(ParameterError, match="expected a class, such as cat, dog, 7"):
        decoded(label)


def test_labels_of_two_outcomes_and_of_numbers_stay_as_strict() -> None:
    for expected in (Expected(), Expected("regression")):
        with pytest.raises(ParameterError, match="outcome 0: label is"):
            decode_outcomes(b'[{"id": "a", "label": "fox"}]', keys=(), now=1, max_rows=9, expected=expected)
        assert not strange_classes(decode_outcomes(b'[{"id": "a", "label": 1}]', keys=(), now=1, max_rows=9, expected=expected))
