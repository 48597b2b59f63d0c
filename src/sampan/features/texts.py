"""Free text as numbers: a column for each word, run of words or piece of a word that training texts had in common.

    view(…, features={"message": feature(c.message.fill(""), encode=Words(most=500))})

makes of one text the columns `message: free`, `message: prize`, … and, first, `message: unknown`: the share of its words that none of these
columns stands for. It tells a model how much of a text it understands, and its drift tells that people write otherwise than they did.
Columns are dense; there are at most 4,096 for a feature.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.errors import ParameterError
from sampan.features.terms import LONGEST_WORD, is_symbol, pieces, runs, words_of

Weigh = Literal["counts", "presence", "tfidf"]
MOST: Final = 4_096
UNKNOWN: Final = "unknown"
_CELLS: Final = 2**21  # computed at a time: 16 MB
_MOST_WORDS: Final = 2**16  # that are remembered


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
    alone = lru_cache(_MOST_WORDS)(lambda word: frozenset(_alone(encoding, word)))  # words come again and again
    for text in given:
        words = words_of(text)
        held.update(set().union(*map(alone, words)) if isinstance(encoding, Letters) else set(runs(words, encoding.longest)))
    held = Counter({term: n for term, n in held.items() if len(term) <= LONGEST_WORD})
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
        self._words = _KnownWords(encoder.encoding, self._places)
        self._openings = {term.partition(" ")[0] for term in encoder.terms if " " in term}

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
        width = self.encoder.width
        places: list[int] = []
        lengths, unknown = [], []
        for text in texts:
            n_before = len(places)
            unknown.append(np.nan if text is None else self._read(text, places))
            lengths.append(len(places) - n_before)
        flat = np.array(places, np.intp)
        flat += np.repeat(np.arange(0, len(texts) * width, width), lengths)
        counts = np.bincount(flat, minlength=len(texts) * width).reshape(len(texts), width)
        found = self._weighed(counts.astype(np.float64))
        found[:, 0] = unknown
        found[np.isnan(found[:, 0])] = np.nan
        return found

    def _read(self, text: str, places: list[int]) -> float:
        """Add the places of a text's terms; return the share of its words, or of their letters, that are in no term."""
        words = words_of(text)
        known = [self._words[word] for word in words]
        for each in known:
            places += each.places
        if self._openings:
            in_runs = [word for word, each in zip(words, known, strict=True) if each.size]
            self._add_runs(in_runs, places)
        size = sum([each.size for each in known])
        return sum([each.missed for each in known]) / size if size else 0.0

    def _add_runs(self, words: list[str], places: list[int]) -> None:
        """Add the places of runs of two words and more: looked for where a word begins one."""
        for at, word in enumerate(words):
            if word in self._openings:
                for end in range(at + 2, min(at + self.encoder.encoding.longest, len(words)) + 1):
                    place = self._places.get(" ".join(words[at:end]))
                    if place is not None:
                        places.append(place)

    def _weighed(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        weigh = self.encoder.encoding.weigh
        if weigh == "counts":
            return counts
        if weigh == "presence":
            return np.minimum(counts, 1.0)
        counts[:, 1:] *= self._weights
        length = np.sqrt((counts * counts).sum(axis=1, keepdims=True))
        return counts / np.where(length == 0, 1.0, length)


class _Known(NamedTuple):
    """What a word comes to."""

    places: tuple[int, ...]  # of the columns that it counts in by itself
    missed: int  # words, or letters of it, that are in no term
    size: int  # words, or letters; 0 of a symbol


class _KnownWords(dict[str, _Known]):
    """Words that were looked at, as many as are common in any language."""

    def __init__(self, encoding: TextEncoding, places: dict[str, int]) -> None:
        super().__init__()
        self._encoding = encoding
        self._places = places
        self._letters = frozenset("".join(places))

    def __missing__(self, word: str) -> _Known:
        if len(self) >= _MOST_WORDS:
            self.clear()
        found = self[word] = self._look_at(word)
        return found

    def _look_at(self, word: str) -> _Known:
        symbol = is_symbol(word)
        places = tuple(self._places[term] for term in _alone(self._encoding, word) if term in self._places)
        if symbol or isinstance(self._encoding, Words):
            return _Known(places, int(not symbol and not places), int(not symbol))
        return _Known(places, sum(letter not in self._letters for letter in word), len(word))


def _alone(encoding: TextEncoding, word: str) -> Iterable[str]:
    """Return the terms of a word by itself."""
    return (word,) if isinstance(encoding, Words) else pieces((word,), encoding.shortest, encoding.longest)


def _terms(encoding: TextEncoding, words: Sequence[str]) -> Iterator[str]:
    if isinstance(encoding, Words):
        return runs(words, encoding.longest)
    return pieces(words, encoding.shortest, encoding.longest)
