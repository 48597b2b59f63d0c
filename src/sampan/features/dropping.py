"""What single words of free text do to a model's answers: each row asked again without one of its words.

Nothing is estimated: an effect is the answer to the text as it is less the answer to the text without the word, wherever it stands, in
every feature that reads the text. Pairs and pieces that the word is part of go with it. It holds for any model, linear or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.features.fitted import FittedView
from sampan.features.terms import words_of
from sampan.features.texts import Words

Score = Callable[[NDArray[np.float32]], NDArray[np.float64]]

MOST_ROWS: Final = 1_000  # that are asked again, evenly spaced
MOST_PAIRS: Final = 20_000  # of a row and a word
LEAST_ROWS: Final = 3  # that a word is in: of rarer ones a mean says nothing
_PART: Final = 2_000  # texts laid out at a time


@dataclass(frozen=True, slots=True)
class Drops:
    """Which rows are asked again, and which word each goes without: shape (n,) both."""

    rows: NDArray[np.intp]
    words: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.rows)


def text_features(fitted: FittedView) -> tuple[str, ...]:
    """Return the features that are free text."""
    return tuple(fitted.texts)


def known_words(fitted: FittedView) -> set[str]:
    """Return the words that are terms of a view, alone or in a run."""
    terms = [term for each in fitted.texts.values() if isinstance(each.encoding, Words) for term in each.terms]
    return {word for term in terms for word in term.split()}


def choose_drops(texts: Sequence[Sequence[str | None]], *, among: Container[str] | None = None) -> Drops:
    """Choose rows and words: each column of texts holds one for every row. The words that most rows have come first.

    Parameters
    ----------
    among : the words to choose from; None for all, where a model reads pieces of them

    >>> drops = choose_drops([["pay me", "pay now", "pay", "now"]])
    >>> list(zip(drops.rows.tolist(), drops.words.tolist()))
    [(0, 'pay'), (1, 'pay'), (2, 'pay')]
    """
    n_rows = len(texts[0]) if texts else 0
    taken = np.unique(np.linspace(0, n_rows - 1, min(n_rows, MOST_ROWS)).astype(np.intp)) if n_rows else np.empty(0, np.intp)
    held = {int(row): set().union(*(words_of(text) for column in texts if (text := column[row]) is not None)) for row in taken}
    n_having = Counter(word for words in held.values() for word in words if among is None or word in among)
    chosen: set[str] = set()
    n_pairs = 0
    for word, n in sorted(n_having.items(), key=lambda item: (-item[1], item[0])):
        if n < LEAST_ROWS or n_pairs + n > MOST_PAIRS:
            break
        chosen.add(word)
        n_pairs += n
    pairs = [(row, word) for row, words in held.items() for word in sorted(words & chosen)]
    return Drops(np.array([row for row, _ in pairs], np.intp), np.array([word for _, word in pairs], object))


def effects(fitted: FittedView, frame: pl.DataFrame, drops: Drops, score: Score) -> NDArray[np.float64]:
    """Return what each word does to its row's answer, shape (n,): of classes, to the chance of the one the row was given.

    Parameters
    ----------
    frame : a batch of the view, whose rows `drops` counts
    score : what the model answers to a matrix, shape (n,), or (n, k) of k classes
    """
    names = text_features(fitted)
    if not names:
        return np.zeros(len(drops))
    rows, place = np.unique(drops.rows, return_inverse=True)
    kept = frame[rows.tolist()]
    words = {name: [None if text is None else words_of(text) for text in kept[name].to_list()] for name in names}
    whole = kept.with_columns(pl.Series(name, [_joined(each) for each in words[name]], pl.String) for name in names)
    answers = score(fitted.matrix(whole))
    found = np.empty(len(drops))
    for begin in range(0, len(drops), _PART):
        part = slice(begin, begin + _PART)
        at, gone = place[part], drops.words[part]
        without = kept[at.tolist()].with_columns(
            pl.Series(name, [_joined(words[name][i], gone=word) for i, word in zip(at, gone, strict=True)], pl.String) for name in names
        )
        found[part] = _changes(answers[at], score(fitted.matrix(without)))
    return found


def _joined(words: Sequence[str] | None, *, gone: str = "") -> str | None:
    return None if words is None else " ".join(word for word in words if word != gone)


def _changes(whole: NDArray[np.float64], without: NDArray[np.float64]) -> NDArray[np.float64]:
    if whole.ndim == 1:
        return np.asarray(whole - without)
    given = whole.argmax(axis=1)
    return np.asarray((whole - without)[np.arange(len(given)), given])
