"""Misspelled words inside longer values: a word no other value has, nearly one that many have ("Brewing Comapny").

`cells_spelling` compares whole values and needs the right one to be there often; names and titles hardly come back, but their words do.
Word ends (plurals, cases), and s for z, are left alone, and so is a word whose letters follow each other as in the column's other words.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from sampan.data.cells_columns import Column, Suspect

_WORD = re.compile(r"[^\W\d_]{4,}")
_FREQUENT = 20  # distinct values that have the right word
_MOST_VALUES = 20_000
_SHORTEST = 5
_EVERYWHERE = 200  # values with the right word: then even a plausible neighbor is suspicious
_SCATTERED = 3  # wrong values around a right one
_LONG, _LONGEST = 10, 80
_MOST_COMPARED = 5_000
_SAME_SOUND = frozenset(("sz", "zs", "ck", "kc", "iy", "yi"))


def find_misspelled_words(columns: Sequence[Column]) -> Iterator[Suspect]:
    """Find words that only one value has and that are a slip away from a frequent word of the column."""
    for column in columns:
        if column.is_text and 2 * _FREQUENT <= len(column.values) <= _MOST_VALUES:
            for code, (wrong, right) in sorted(_slips(column).items()):
                word = column.words[code]
                reason = f"{wrong!r} is nearly {right!r}, which many values have"
                yield Suspect(
                    column=column.name,
                    kind="typo",
                    rows=column.rows_of([code]),
                    repair=re.sub(rf"\b{re.escape(wrong)}\b", right, word),
                    reason=reason,
                    confidence=0.7,
                )


def find_scattered(columns: Sequence[Column]) -> Iterator[Suspect]:
    """Find values that are each a slip away from the same one and not from each other: a name written wrongly in many ways.

    Then the right one need not be frequent. Neighbors of each other ("gate A", "gate B") are values of their own.
    """
    for column in columns:
        if column.is_text and _SCATTERED < len(column.values) <= _MOST_COMPARED:
            for right, wrong in _stars(column).items():
                reason = f"one of {len(wrong)} values that are each a slip away from it"
                for code in wrong:
                    repair, rows = column.words[right], column.rows_of([code])
                    yield Suspect(column=column.name, kind="typo", rows=rows, repair=repair, reason=reason, confidence=0.75)


def _stars(column: Column) -> dict[int, list[int]]:
    """Return by code of the right value the codes of the wrong ones."""
    long = {
        word.casefold(): code
        for code, word in enumerate(column.words)
        if _LONG <= len(word) <= _LONGEST and not any(letter.isdigit() for letter in word)
    }
    shortened = _one_letter_less(set(long))
    near = {word: _beside(word, shortened, long) for word in long}
    found = {}
    for word, beside in near.items():
        code = long[word]
        leaves = [other for other in beside if near[other] == {word} and column.counts[long[other]] <= column.counts[code]]
        if len(leaves) >= _SCATTERED:
            found[code] = sorted(long[leaf] for leaf in leaves)
    return found


def _beside(word: str, shortened: dict[str, list[str]], long: dict[str, int]) -> set[str]:
    beside = {other for shorter in {word, *_shorter(word)} for other in shortened.get(shorter, ())}
    beside |= {shorter for shorter in _shorter(word) if shorter in long}
    return {other for other in beside - {word} if is_slip(other, word)}


def _slips(column: Column) -> dict[int, tuple[str, str]]:
    """Return by code of the value the wrong word and the right one."""
    written: dict[str, Counter[str]] = defaultdict(Counter)  # folded word: its spellings
    where: dict[str, list[int]] = defaultdict(list)
    for code, value in enumerate(column.words):
        for word in set(_WORD.findall(value)):
            written[word.casefold()][word] += 1
            where[word.casefold()].append(code)
    frequent = {word for word, codes in where.items() if len(codes) >= _FREQUENT and len(word) >= _SHORTEST}
    if not frequent:
        return {}
    pairs = Counter(pair for word in where for pair in _pairs(word))
    near = _one_letter_less(frequent)
    found = {}
    for word, codes in where.items():
        if len(codes) == 1 and word not in frequent and column.counts[codes[0]] <= 2:
            right = _right(word, near, frequent, where)
            if right and (len(where[right]) >= _EVERYWHERE or not _is_plausible(word, right, pairs)):
                found[codes[0]] = (written[word].most_common(1)[0][0], _in_case(word, written, right))
    return found


def _in_case(word: str, written: dict[str, Counter[str]], right: str) -> str:
    """Write the right word as this one is written."""
    spelled = written[word].most_common(1)[0][0]
    if spelled.isupper():
        return right.upper()
    return right.capitalize() if spelled[0].isupper() else right


def _one_letter_less(words: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for word in sorted(words):
        for shorter in _shorter(word):
            found[shorter].append(word)
    return found


def _shorter(word: str) -> set[str]:
    return {word[:i] + word[i + 1 :] for i in range(len(word))}


def _right(word: str, near: dict[str, list[str]], frequent: set[str], where: dict[str, list[int]]) -> str | None:
    """Return the most frequent word that is one slip away, ends apart."""
    candidates = set(near.get(word, ()))
    for shorter in _shorter(word):
        if shorter in frequent:
            candidates.add(shorter)
        candidates.update(right for right in near.get(shorter, ()) if len(right) == len(word))
    candidates = {right for right in candidates if is_slip(word, right)}
    return max(candidates, key=lambda right: (len(where[right]), right), default=None)


def is_slip(word: str, right: str) -> bool:
    """Say whether two words differ by one letter or by two neighbors exchanged, before their last letter.

    >>> is_slip("comapny", "company"), is_slip("companys", "company"), is_slip("snout", "stout"), is_slip("abita", "summit")
    (True, False, False, False)
    """
    if min(len(word), len(right)) < _SHORTEST - 1 or word[-1] != right[-1] or word[:-1] == right or right[:-1] == word:
        return False
    if len(word) != len(right):
        longer, shorter = (word, right) if len(word) > len(right) else (right, word)
        return len(longer) == len(shorter) + 1 and shorter in _shorter(longer)
    differ = [i for i, (a, b) in enumerate(zip(word, right, strict=True)) if a != b]
    if len(differ) == 1:
        return len(word) > _SHORTEST and word[differ[0]] + right[differ[0]] not in _SAME_SOUND
    return len(differ) == 2 and differ[1] == differ[0] + 1 and word[differ[0]] == right[differ[1]] and word[differ[1]] == right[differ[0]]


def _pairs(word: str) -> set[str]:
    bounded = f" {word} "
    return {bounded[i : i + 3] for i in range(len(bounded) - 2)}


def _is_plausible(word: str, right: str, pairs: Counter[str]) -> bool:
    """Say whether all the letters that make the difference follow each other so in some other word of the column."""
    return all(pairs[pair] > 1 for pair in _pairs(word) - _pairs(right))
