"""Misspelled values: rare ones that are nearly a frequent one.

A *spelling* differs in case, blanks, accents or punctuation only. A *typo* is one letter more, fewer or exchanged with its neighbor, or up
to one letter in five replaced. A digit is never taken for another, nor a letter in a word with digits: neighboring codes and numbers differ
so. A rare value made of letter pairs that are common in its column is taken for a name of its own ("johnston" beside "johnson").
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from sampan.data.cells_columns import Column, Suspect, folded
from sampan.data.cells_words import is_slip

_RATIO = 5  # how many times as frequent the right value must be
_SPELLED = 2  # the same for a spelling, which is one value either way
_MIN_FREQUENT = 4
_MIN_LENGTH = 4
_REPLACED = 0.2  # of the letters
_LONGEST = 256
_MOST_VALUES = 20_000
_MOST_MISSPELLED = 0.5  # of the distinct values of a column may be rare and near another
_COMMON = 3  # times a pair (in long lists a triple) of letters occurs, weighed by distinct values
_MANY = 200  # frequent values: then nearly every pair is common
_VERY_RARE = 100  # times as frequent: then even a plausible word is suspicious
_LOOK_ALIKE = (*zip("OoQD", "0000", strict=True), *zip("lI|", "111", strict=True), *zip("ZSBG", "2586", strict=True))
_BLOCK = 2_000_000  # letters compared at once


def find_misspelled(columns: Sequence[Column]) -> Iterator[Suspect]:
    """Find values that are nearly a more frequent value of their column."""
    for column in columns:
        if not column.is_text or not 2 <= len(column.values) <= _MOST_VALUES:
            continue
        spelled = dict(_spellings(column))
        yield from _suspects(column, spelled, "spelling", "the same as a more frequent value but for case, blanks or accents", 0.9)
        typos = {wrong: right for wrong, right in _typos(column).items() if wrong not in spelled}
        yield from _suspects(column, typos, "typo", "nearly a much more frequent value", 0.8)


def _suspects(column: Column, found: dict[int, int], kind: str, reason: str, confidence: float) -> Iterator[Suspect]:
    for wrong, right in sorted(found.items()):
        rows = column.rows_of([wrong])
        yield Suspect(column=column.name, kind=kind, rows=rows, repair=column.words[right], reason=reason, confidence=confidence)


def _spellings(column: Column) -> Iterator[tuple[int, int]]:
    alike: dict[str, list[int]] = defaultdict(list)
    for code, word in enumerate(column.words):
        alike[folded(word)].append(code)
    for codes in alike.values():
        if len(codes) < 2:
            continue
        right = max(codes, key=lambda code: (int(column.counts[code]), -code))
        yield from ((code, right) for code in codes if column.counts[code] * _SPELLED <= column.counts[right])


def _typos(column: Column) -> dict[int, int]:
    """Return by wrong value the right one."""
    lettered = [code for code, word in enumerate(column.words) if _MIN_LENGTH <= len(word) <= _LONGEST and any(c.isalpha() for c in word)]
    counts = column.counts
    frequent = [code for code in lettered if counts[code] >= _MIN_FREQUENT]
    if not frequent:
        return {}
    rare = [code for code in lettered if counts[code] * _RATIO <= counts[frequent].max()]
    if not rare:
        return {}
    found = _replaced(column, rare, frequent)
    for wrong, right in _shifted(column, rare, frequent):
        found.setdefault(wrong, right)
    common, size = _pieces(column, [code for code in frequent if code not in found])
    return {wrong: right for wrong, right in found.items() if not _is_plausible(column, wrong, right, common, size)}


def _replaced(column: Column, rare: Sequence[int], frequent: Sequence[int]) -> dict[int, int]:
    """Find values of the same length that differ in few letters, at places where not both have a digit."""
    by_length: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for code in rare:
        by_length[len(column.words[code])][0].append(code)
    for code in frequent:
        by_length[len(column.words[code])][1].append(code)
    found: dict[int, int] = {}
    for length, (wrong, right) in by_length.items():
        if wrong and right:
            step = max(1, _BLOCK // (length * len(right)))
            for start in range(0, len(wrong), step):
                found.update(_replaced_in(column, wrong[start : start + step], right, length))
    return found


def _replaced_in(column: Column, wrong: Sequence[int], right: Sequence[int], length: int) -> Iterator[tuple[int, int]]:
    w, r = _letters(column, wrong, length), _letters(column, right, length)
    differs = w[:, None, :] != r[None, :, :]
    coded = _in_code(column, wrong, length)[:, None, :] & _is_letter(w)[:, None, :] & _is_letter(r)[None, :, :]
    # A letter for a digit could stand for any of ten, unless it looks like the digit.
    guessed = _is_digit(r)[None, :, :] & ~_looks_like(w, r)
    digits = ((coded | guessed) & differs).any(axis=2)
    distance = differs.sum(axis=2)
    likelier = column.counts[list(right)][None, :] >= _RATIO * column.counts[list(wrong)][:, None]
    distance[digits | ~likelier | (distance > max(1, int(_REPLACED * length)))] = length + 1
    # Among equally near values the more frequent one is meant.
    order = distance.astype(np.float64) - column.counts[list(right)][None, :] / (column.counts.sum() + 1)
    nearest = order.argmin(axis=1)
    for i, code in enumerate(wrong):
        if 0 < distance[i, nearest[i]] <= length and _keeps_words(column.words[code], column.words[right[int(nearest[i])]]):
            yield code, right[int(nearest[i])]


def _keeps_words(wrong: str, right: str) -> bool:
    """Say whether at least half of every word is as it was: a word replaced by another is another name."""
    for word in re.finditer(r"\w+", right):
        replaced = sum(a != b for a, b in zip(wrong[word.start() : word.end()], word[0], strict=True))
        if replaced > max(1, len(word[0]) // 2):
            return False
    return True


def _letters(column: Column, codes: Sequence[int], length: int) -> np.ndarray:
    return np.array([column.words[code] for code in codes], dtype=f"<U{length}").view(np.uint32).reshape(len(codes), length)


def _looks_like(letters: np.ndarray, digits: np.ndarray) -> np.ndarray:
    """Say where a letter is drawn like the digit it may stand for: O and 0, l and 1."""
    found = np.zeros((len(letters), len(digits), letters.shape[1]), dtype=bool)
    for letter, digit in _LOOK_ALIKE:
        found |= (letters == ord(letter))[:, None, :] & (digits == ord(digit))[None, :, :]
    return found


def _in_code(column: Column, codes: Sequence[int], length: int) -> np.ndarray:
    """Say which letters belong to a word with a digit in it."""
    found = np.zeros((len(codes), length), dtype=bool)
    for i, code in enumerate(codes):
        for word in re.finditer(r"\S+", column.words[code]):
            found[i, word.start() : word.end()] = any(ch.isdigit() for ch in word[0])
    return found


def _is_letter(letters: np.ndarray) -> np.ndarray:
    return np.asarray(((letters | 32) >= ord("a")) & ((letters | 32) <= ord("z")) | (letters > 127))


def _is_digit(letters: np.ndarray) -> np.ndarray:
    return np.asarray((letters >= ord("0")) & (letters <= ord("9")))


def _shifted(column: Column, rare: Sequence[int], frequent: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Find values with one letter more, one fewer, or two neighbors exchanged; codes with digits are left out."""
    rare = [code for code in rare if not any(ch.isdigit() for ch in column.words[code])]
    without: dict[str, list[int]] = defaultdict(list)
    for code in frequent:
        for shorter in _one_letter_less(column.words[code]):
            without[shorter].append(code)
    whole = {column.words[code]: code for code in frequent}
    for code in rare:
        word = column.words[code]
        near = [*without.get(word, ()), *(whole[s] for s in _one_letter_less(word) if s in whole), *_exchanged(word, whole)]
        near = [right for right in near if column.counts[right] >= _RATIO * column.counts[code]]
        if near:
            yield code, max(near, key=lambda right: (int(column.counts[right]), -right))


def _one_letter_less(word: str) -> set[str]:
    return {word[:i] + word[i + 1 :] for i, letter in enumerate(word) if not letter.isdigit()} if len(word) > _MIN_LENGTH else set()


def _exchanged(word: str, whole: dict[str, int]) -> Iterator[int]:
    for i in range(len(word) - 1):
        swapped = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        if swapped != word and swapped in whole:
            yield whole[swapped]


def _pieces(column: Column, codes: Sequence[int]) -> tuple[Counter[str], int]:
    """Count the pairs of neighboring letters over distinct values, edges included; triples where there are many values."""
    size = 2 if len(codes) < _MANY else 3
    found: Counter[str] = Counter()
    for code in codes:
        found.update(_pieces_of(column.words[code], size))
    return found, size


def _pieces_of(word: str, size: int) -> set[str]:
    bounded = f" {word.casefold()} "
    return {bounded[i : i + size] for i in range(len(bounded) - size + 1)}


def _is_plausible(column: Column, wrong: int, right: int, common: Counter[str], size: int) -> bool:
    """Say whether the rare value looks like one of its own: all it has beyond the frequent one is common in the column."""
    if column.counts[right] >= _VERY_RARE * column.counts[wrong] or _shares_words(column.words[wrong], column.words[right]):
        return False
    new = _pieces_of(column.words[wrong], size) - _pieces_of(column.words[right], size)
    return all(common[piece] >= _COMMON for piece in new)


def _shares_words(wrong: str, right: str) -> bool:
    """Say whether two values of several words are a slip apart in one of them only: "Grand apids" is no other place than "Grand Rapids"."""
    one, other = wrong.casefold().split(), right.casefold().split()
    differ = [(a, b) for a, b in zip(one, other, strict=False) if a != b]
    return len(one) == len(other) > 1 and len(differ) == 1 and is_slip(*differ[0])
