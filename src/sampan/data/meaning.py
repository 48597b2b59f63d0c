"""Find things by what their words mean: names are taken apart, words are reduced to a stem, and words that mean the same count as one.

Ranking is BM25 over fields of different weight (S. Robertson, H. Zaragoza 2009, "The Probabilistic Relevance Framework"). A word that is in
no document is taken for a misspelling of one that is; words that only ask (what, our, của) need not occur. English and Vietnamese, the
latter with and without diacritics.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import pairwise

_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])|\d+")
_K1, _B = 1.2, 0.5
_SYNONYM = 0.7  # what a word of the same meaning counts
_MISSPELLED = 0.5
_CUTOFF = 0.8
_NUMBERING = frozenset({"id", "key", "no", "nr", "number", "num", "code", "index", "row", "ma", "so"})  # every table has them
_BEGUN, _BEGUN_BESIDE = 3, 4  # letters that begin a word; where the word itself is known
_ROOT, _ROOT_SHARE = 6, 0.7

# Each line: words of one meaning. Vietnamese stands without diacritics, as it is compared.
_MEANINGS = """
airport airfield aerodrome san-bay
airline carrier hang-bay
flight chuyen-bay
plane aircraft airplane tail tailnum may-bay
customer client buyer user member account khach-hang
person people employee staff worker nhan-vien nguoi
order purchase sale transaction don-hang giao-dich
product item goods article sku san-pham mat-hang
price cost amount fee charge fare gia chi-phi
payment paid pay invoice bill thanh-toan hoa-don
revenue income turnover doanh-thu thu-nhap
wage salary pay earning tien-luong luong
date day time when timestamp moment hour ngay gio thoi-gian
delay late lateness tre
address street dia-chi duong
city town place location thanh-pho noi
country nation quoc-gia nuoc
region province state area tinh vung
phone telephone mobile dien-thoai
email mail thu-dien-tu
name title ten
id identifier key code number ma so
weather climate thoi-tiet
temperature temp nhiet-do
rain precipitation precip mua
wind gio-thoi
distance length khoang-cach
weight mass can-nang
height cao chieu-cao
age tuoi
gender sex gioi-tinh
sick disease illness diagnosis patient benh benh-nhan
hospital clinic benh-vien
image picture photo anh
sound audio recording am-thanh
text document review comment van-ban binh-luan
machine device sensor thiet-bi cam-bien may
school student pupil truong hoc-sinh sinh-vien
house housing home apartment building nha can-ho
car vehicle truck xe
origin source departure from dep di
destination dest arrival arr to den
latitude lat vi-do
longitude lon lng kinh-do
loan credit debt vay tin-dung
fraud scam gian-lan
score rating rate grade diem danh-gia
movie film phim
doctor physician bac-si
survival survived alive song-sot
reason cause ly-do nguyen-nhan
"""


# Words that ask and do not name; they help where they occur, and are not missed where they do not.
_ASKING_WORDS = """
a an the of in on at for from to by with and or is are was do does did we i you our my have has had what which who where when how any all
there this that these about need want find show me data dataset table
co cua va ve cho cac nhung nao nhu la gi toi can du lieu bo bang tai trong voi tu den o
"""
_ASKING = frozenset(_ASKING_WORDS.split())


@dataclass(frozen=True, slots=True)
class Document:
    """Something to find: texts by field, each field with its weight."""

    name: str
    fields: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Match:
    """A document that fits, and what of it did: (field, text) pairs, the best first."""

    name: str
    score: float
    why: tuple[tuple[str, str], ...]


def words_of(text: str) -> list[str]:
    """Take a text or a name apart into words without case, accents and endings.

    >>> words_of("flightDepartures"), words_of("dep_delay2"), words_of("Sân bay")
    (['flight', 'departure'], ['dep', 'delay', '2'], ['san', 'bay'])
    """
    return [_stem(_plain(word)) for word in _WORD.findall(text)]


def name_the_same(column: str, key: str, table: str) -> bool:
    """Say whether a column's name is that of another table's key, or of the table; numbers alike by chance are joined by nothing else.

    >>> name_the_same("cust_id", "customer_id", "crm"), name_the_same("customer", "id", "customers"), name_the_same("id", "id", "customers")
    (True, True, False)
    """
    own, theirs = ({word for word in words_of(name) if not word.isdigit()} - _NUMBERING for name in (column, f"{key} {table}"))
    return any(a == b or (min(len(a), len(b)) >= _BEGUN and (a.startswith(b) or b.startswith(a))) for a in own for b in theirs)


def find(query: str, documents: Sequence[Document], *, weights: Mapping[str, float]) -> list[Match]:
    """Rank the documents that fit a query, the best first; a document has to fit every second word at least that names something.

    Parameters
    ----------
    weights : by field, how much a word in it counts; a field that is not named counts 1
    """
    asked = _meanings_asked(query)
    names = [_ASKING.isdisjoint(_said(term).split("-")) for term in asked]
    names = names if any(names) else [True] * len(asked)
    if not asked or not documents:
        return []
    counted = [_count(document, weights) for document in documents]
    known = {word for counts in counted for word in counts}
    lengths = [sum(counts.values()) for counts in counted]
    mean = sum(lengths) / len(lengths) or 1.0
    found = []
    terms = [_spelled_right(term, known) for term in asked]
    frequencies = [sum(any(word in counts for word in term) for counts in counted) for term in terms]
    for document, counts, length in zip(documents, counted, lengths, strict=True):
        fits = [max(counts[word] * share for word, share in term.items()) for term in terms]
        rarity = [math.log(1 + (len(documents) - n + 0.5) / (n + 0.5)) for n in frequencies]
        parts = [rare * _saturated(fit, length / mean) for rare, fit in zip(rarity, fits, strict=True)]
        if 2 * sum(part > 0 for part, is_name in zip(parts, names, strict=True) if is_name) >= max(sum(names), 1):
            found.append(Match(document.name, sum(parts), _why(document, terms, weights)))
    return sorted(found, key=lambda match: (-match.score, match.name))


def _saturated(count: float, length: float) -> float:
    return count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * length)) if count else 0.0


def _count(document: Document, weights: Mapping[str, float]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for field, texts in document.fields.items():
        for text in texts:
            for word in _terms_of(text):
                counts[word] += weights.get(field, 1.0)  # type: ignore[assignment]  # weights are fractions
    return counts


def _terms_of(text: str) -> list[str]:
    """Return the words, and pairs of neighbors, since a Vietnamese word is written as several."""
    words = words_of(text)
    return [*words, *(f"{a}-{b}" for a, b in pairwise(words))]


def _meanings_asked(query: str) -> list[dict[str, float]]:
    """Return for each word asked for what may stand for it, and what that counts."""
    words = words_of(query)
    groups = _groups()
    asked, i = [], 0
    while i < len(words):
        pair = "-".join(words[i : i + 2])
        term = pair if pair in groups else words[i]
        i += 2 if pair in groups else 1
        asked.append({**dict.fromkeys(groups.get(term, ()), _SYNONYM), term: 1.0})
    return asked


def _said(term: Mapping[str, float]) -> str:
    """Return the word that was asked for."""
    return next(word for word, share in term.items() if share == 1.0)


def _spelled_right(term: dict[str, float], known: Iterable[str]) -> dict[str, float]:
    """Add the known words that begin with the one asked for; where none is known that may stand for it, the nearest in spelling."""
    known = set(known)
    word = _said(term)
    is_known = bool(known & set(term))
    least = _BEGUN_BESIDE if is_known else _BEGUN
    near = [other for other in known if len(word) >= least and other.startswith(word) and "-" not in other]
    if not is_known and not near:
        near = get_close_matches(word, sorted(known), n=2, cutoff=_CUTOFF) or [other for other in known if _of_one_root(word, other)]
    return {**dict.fromkeys(near, _MISSPELLED), **term}


def _of_one_root(word: str, other: str) -> bool:
    """Say whether two words begin alike for most of their length, as survival and survivor do, and payment and payable do not."""
    shared = next((n for n, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    return shared >= _ROOT and shared >= _ROOT_SHARE * max(len(word), len(other))


def _why(document: Document, terms: Sequence[Mapping[str, float]], weights: Mapping[str, float]) -> tuple[tuple[str, str], ...]:
    wanted = {word: share for term in terms for word, share in term.items()}
    fits = [
        (weights.get(field, 1.0) * max((wanted.get(word, 0.0) for word in _terms_of(text)), default=0.0), field, text)
        for field, texts in document.fields.items()
        for text in texts
    ]
    return tuple((field, text) for score, field, text in sorted(fits, key=lambda fit: -fit[0])[:3] if score > 0)


@cache
def _groups() -> dict[str, tuple[str, ...]]:
    """Return by word the words of the same meaning."""
    found: dict[str, tuple[str, ...]] = {}
    for line in _MEANINGS.strip().splitlines():
        words = tuple(word if "-" in word else _stem(word) for word in line.split())
        for word in words:
            found[word] = tuple(dict.fromkeys((*found.get(word, ()), *words)))
    return found


def _plain(word: str) -> str:
    decomposed = unicodedata.normalize("NFKD", word.casefold().replace("đ", "d"))
    return "".join(ch for ch in decomposed if not unicodedata.combining(ch))


def _stem(word: str) -> str:
    """Take the plural's ending off."""
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
