"""Free text as numbers: a column for each word, run of words or piece of a word that training texts had in common.

    view(…, features={"message": feature(c.message.fill(""), encode=Words(most=500))})

makes of one text the columns `message: free`, `message: prize`, … and, first, `message: unknown`: the share of its words that none of these
columns stands for. It tells a model how much of a text it understands, and its drift tells that people write otherwise than they did.
Columns are dense; there are at most 4,096 for a feature.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError
from sampan.features.terms import LONGEST_WORD, is_symbol, pieces, runs, words_of

Weigh = Literal["counts", "presence", "tfidf"]
MOST: Final = 4_096
UNKNOWN: Final = "unknown"
_CELLS: Final = 2**21  # computed at a time: 16 MB
_MOST_TEXTS: Final = 8  # laid out without numpy's counting


class Words(msgspec.Struct, frozen=True, tag="words"):
    """Tell a text by its words: one column for each of the commonest.

    Case, composed and decomposed letters make no difference; symbols and emoji are words. `longest` = 2 adds pairs of neighbors. A term is
    common by the number of training texts that have it, and has to be in `at_least` of them. `weigh`: how often a term occurs ("counts"),
    whether it does ("presence"), or its count times how rare it is, rows of length 1 ("tfidf"). A missing text has missing values.

    References
    ----------
    K. Spärck Jones (1972), "A statistical interpretation of term specificity and its application in retrieval", J. Documentation 28(1).
    """

    most: int = 300
    longest: int = 1
    at_least: int = 2
    weigh: Weigh = "tfidf"


class Letters(msgspec.Struct, frozen=True, tag="letters"):
    """Tell a text by pieces of its words, `shortest` to `longest` characters, a word's edges included; else as `Words`.

    Pieces know words they never saw: other endings, slips, languages that are written without spaces.
    """

    most: int = 500
    shortest: int = 2
    longest: int = 4
    at_least: int = 2
    weigh: Weigh = "tfidf"


TextEncoding = Words | Letters


def faults(encoding: TextEncoding) -> Iterator[str]:
    """Find what an encoding of text cannot be."""
    longest = 3 if isinstance(encoding, Words) else 8
    if not 1 <= encoding.most <= MOST:
        yield f"most is {encoding.most}, expected 1 to {MOST:,}: the columns of a text are dense; scikit-learn's vectorizers take more"
    shortest = 1 if isinstance(encoding, Words) else encoding.shortest
    if not 1 <= shortest <= encoding.longest <= longest:
        yield f"longest is {encoding.longest}, expected {max(shortest, 1)} to {longest}" if shortest >= 1 else f"shortest is {shortest}"
    if encoding.at_least < 1:
        yield f"at_least is {encoding.at_least}, expected 1 or more"


class TextEncoder(msgspec.Struct, frozen=True):
    """A fitted encoding of text: its terms, and what each counts for."""

    encoding: TextEncoding
    terms: tuple[str, ...]
    weights: tuple[float, ...] = ()  # with "tfidf", one for each term

    @property
    def width(self) -> int:
        """The number of columns: the share of unknown words, and one for each term."""
        return len(self.terms) + 1

    def names(self, feature: str) -> tuple[str, ...]:
        """Return the columns' names."""
        return tuple(f"{feature}: {each}" for each in (UNKNOWN, *self.terms))


def fit_text(encoding: TextEncoding, texts: Sequence[str | None]) -> TextEncoder:
    """Choose terms by training texts; the same texts in another order give the same.

    Raises
    ------
    ParameterError : no term is in as many texts as asked.
    """
    held: Counter[str] = Counter()
    given = [text for text in texts if text is not None]
    for text in given:
        held.update({term for term in _terms(encoding, words_of(text)) if len(term) <= LONGEST_WORD})
    common = sorted((term for term, n in held.items() if n >= encoding.at_least), key=lambda term: (-held[term], term))[: encoding.most]
    if not common:
        raise ParameterError(
            f"no word is in {encoding.at_least} of {len(given):,} training texts", hint="give more texts, or Words(at_least=1)"
        )
    terms = tuple(sorted(common))
    if encoding.weigh != "tfidf":
        return TextEncoder(encoding, terms)
    # As scikit-learn has it: as if one more text held every term.
    return TextEncoder(encoding, terms, tuple(float(np.log((1 + len(given)) / (1 + held[term])) + 1) for term in terms))


class TextColumns:
    """Computes a fitted encoding's columns, for one text or a million."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self._places = {term: place for place, term in enumerate(encoder.terms, start=1)}
        self._weights = np.array(encoder.weights)
        self._letters = frozenset("".join(encoder.terms))

    def apply(self, texts: Sequence[str | None]) -> NDArray[np.float32]:
        """Return shape (n, width); NaN where a text is missing."""
        found = np.empty((len(texts), self.encoder.width), np.float32)
        n_rows = max(_CELLS // self.encoder.width, 1)
        for begin in range(0, len(texts), n_rows):
            found[begin : begin + n_rows] = self._some(texts[begin : begin + n_rows])
        return found

    def is_strange(self, text: str) -> bool:
        """Say whether a text has words, and none that any column stands for."""
        words = words_of(text)
        return bool(words) and not any(term in self._places for term in _terms(self.encoder.encoding, words))

    def _some(self, texts: Sequence[str | None]) -> NDArray[np.float64]:
        width, places = self.encoder.width, self._places
        flat: list[int] = []
        unknown = np.empty(len(texts))
        for row, text in enumerate(texts):
            if text is None:
                unknown[row] = np.nan
                continue
            words = words_of(text)
            unknown[row] = self._unknown(words)
            begin = row * width
            flat += [begin + places[term] for term in _terms(self.encoder.encoding, words) if term in places]
        counts = np.bincount(np.array(flat, np.intp), minlength=len(texts) * width).reshape(len(texts), width).astype(np.float64)
        found = self._weighed(counts)
        found[:, 0] = unknown
        found[np.isnan(unknown)] = np.nan
        return found

    def _weighed(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        weigh = self.encoder.encoding.weigh
        if weigh == "counts":
            return counts
        if weigh == "presence":
            return np.minimum(counts, 1.0)
        counts[:, 1:] *= self._weights
        length = np.sqrt((counts * counts).sum(axis=1, keepdims=True))
        return counts / np.where(length == 0, 1.0, length)

    def _unknown(self, words: Sequence[str]) -> float:
        """Return the share of words, or of letters, that are in no term."""
        if isinstance(self.encoder.encoding, Words):
            missed = sum(not is_symbol(word) for word in words if word not in self._places)
            n = sum(not is_symbol(word) for word in words)
        else:
            letters = "".join(word for word in words if not is_symbol(word))
            missed, n = sum(letter not in self._letters for letter in letters), len(letters)
        return missed / n if n else 0.0


def _terms(encoding: TextEncoding, words: Sequence[str]) -> Iterator[str]:
    if isinstance(encoding, Words):
        return runs(words, encoding.longest)
    return pieces(words, encoding.shortest, encoding.longest)
