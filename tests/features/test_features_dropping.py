"""What a word does to an answer, beside answers and coefficients computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from sampan.features import Columns, Letters, Words, feature, moment, number, text, view, view_tables
from sampan.features.dropping import choose_drops, effects, known_words
from sampan.features.fitted import FittedView
from sampan.features.texts import Weigh

NOTES = Columns(id=number(), at=moment(), note=text())
TEXTS = ["pay me now", "pay now please", "please PAY", "thank you", None, "thank you now", "thank you, thank you"]
FILLED = [each or "" for each in TEXTS]


def fitted(weigh: Weigh, *, letters: bool = False) -> tuple[FittedView, pl.DataFrame]:
    """Return a view of words, and pieces of the same text if asked, with its batch."""
    filled = NOTES.note.fill("")
    read: dict[str, Any] = {"words": feature(filled, encode=Words(most=50, weigh=weigh)), "x": NOTES.id}
    if letters:
        read["pieces"] = feature(filled, encode=Letters(most=50))
    notes = view("notes", on="notes", columns=NOTES, key=["id"], moment=NOTES.at, features=read)
    rows = [{"id": float(i), "at": 1_000.0 * i, "note": each} for i, each in enumerate(TEXTS)]
    raw = view_tables.batch(notes, {"notes": pl.DataFrame(rows, schema={"id": pl.Float64, "at": pl.Float64, "note": pl.String})})
    return view_tables.fit(notes, raw), raw


def test_of_a_linear_model_over_counts_a_word_is_worth_its_coefficient_for_each_time_it_stands() -> None:
    notes, raw = fitted("counts")
    weights = np.random.default_rng(0).normal(size=len(notes.names))
    weights[notes.names.index("words: unknown")] = 0.0
    drops = choose_drops([FILLED], among=known_words(notes))

    found = effects(notes, raw, drops, lambda matrix: np.asarray(matrix @ weights))

    times = [FILLED[row].lower().count(word) for row, word in zip(drops.rows, drops.words, strict=True)]
    expected = [n * weights[notes.names.index(f"words: {word}")] for n, word in zip(times, drops.words, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert set(drops.words) == {"pay", "now", "thank", "you"}, "in three rows or more"


@pytest.mark.parametrize("letters", [False, True])
def test_of_any_model_it_is_the_answer_less_the_answer_without_the_word_in_all_features(letters: bool) -> None:
    notes, raw = fitted("tfidf", letters=letters)
    weights = np.random.default_rng(1).normal(size=len(notes.names))
    drops = choose_drops([FILLED])

    def answer(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(np.tanh(matrix @ weights) ** 3)

    found = effects(notes, raw, drops, answer)

    for row, word, effect in zip(drops.rows, drops.words, found, strict=True):
        cut = " ".join(each for each in FILLED[row].lower().replace(",", " ").split() if each != word)
        one = raw[[int(row)]]
        without = one.with_columns(pl.lit(cut).alias(name) for name in ("words", "pieces") if name in one.columns)
        assert effect == pytest.approx(float(answer(notes.matrix(one))[0] - answer(notes.matrix(without))[0]), abs=1e-6)


def test_of_classes_it_is_the_chance_of_the_one_the_row_was_given() -> None:
    notes, raw = fitted("presence")
    drops = choose_drops([FILLED])
    place = notes.names.index("words: pay")

    def answer(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.column_stack([0.2 + 0.6 * matrix[:, place], 0.8 - 0.6 * matrix[:, place]])

    found = effects(notes, raw, drops, answer)

    assert {round(float(one), 6) for one, word in zip(found, drops.words, strict=True) if word == "pay"} == {0.6}
    assert {float(one) for one, word in zip(found, drops.words, strict=True) if word != "pay"} == {0.0}


def test_rare_words_and_missing_texts_are_left_alone() -> None:
    assert len(choose_drops([[None, "one", "two"]])) == 0
    assert len(choose_drops([])) == 0
