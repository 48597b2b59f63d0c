"""The nodes of scikit-learn's vectorizers of text: words or characters in, counts or weights out.

A text is read character by character (`table/text_nodes.py`), so that capitals, words and what parts them are Python's, which scikit-learn
uses, and not those of a locale: the capital sigma that ends a word, and the Turkish capital İ, which becomes two characters, included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from sampan.errors import Unsupported
from sampan.flavors.sklearn_graph import Frame, knows
from sampan.table.graph_writer import DOUBLE, INT64, Block, Writer
from sampan.table.text_nodes import (
    FIRST,
    GAP,
    NOTHING,
    OTHER,
    before,
    behind,
    characters,
    count_runs,
    final_sigmas,
    framed,
    is_number,
    kept,
    numbered,
    one_more,
    single_gaps,
    small_letters,
    without_last,
)

_LONGER: Final = r"(?u)\b\w\w+\b"  # scikit-learn's words: two letters or more
_ANY: Final = (r"(?u)\b\w+\b", r"\b\w+\b", r"\w+", r"(?u)\w+")
_WORD: Final = r"[\p{L}\p{N}_]"  # what Python calls \w, in RE2's words
_DOTTED, _DOT = "İ", "\u0307"  # the only letter that becomes two when it is made small
_SPACES: Final = tuple(letter for letter in map(chr, range(0x3001)) if letter.isspace())


@knows("transform", "CountVectorizer")
def _counts(step: Any, frame: Frame) -> Frame:
    return frame.made(_counted(step, frame))


@knows("transform", "TfidfVectorizer")
def _tfidf(step: Any, frame: Frame) -> Frame:
    return frame.made(_weighted(step._tfidf, _counted(step, frame)))


@knows("transform", "TfidfTransformer")
def _tfidf_of_counts(step: Any, frame: Frame) -> Frame:
    return frame.made(_weighted(step, frame.numbers))


def _counted(step: Any, frame: Frame) -> Block:
    """Count the vocabulary's terms."""
    _check(step)
    (text,) = frame.each()
    if not text.is_text:
        raise Unsupported("a vectorizer of text that is given numbers")
    writer = text.writer
    terms = [term for term, _ in sorted(step.vocabulary_.items(), key=lambda item: item[1])]
    inside = {column: term for column, term in enumerate(terms) if _can_occur(step, term)}
    letters = {letter: number for number, letter in enumerate(sorted(set("".join(inside.values())) - _gaps(step)), start=FIRST)}
    split = characters(writer, text.name)
    numbers = _READ[step.analyzer](writer, step, split, _lowered(writer, step, split, letters), letters)
    edge = [GAP] if step.analyzer == "word" else []
    runs = {
        column: [*edge, *(letters.get(letter, GAP) for letter in term), *edge] for column, term in inside.items() if term not in _gaps(step)
    }
    counts = count_runs(writer, numbers, runs, len(terms))
    if " " in inside.values() and step.analyzer == "char_wb":
        counts = writer.node("Add", counts, _edges(writer, numbers, terms))
    found = text.of(without_last(writer, counts), len(terms))
    return found.test("Greater", 0.0) if step.binary else found


def _check(step: Any) -> None:
    is_word = step.analyzer == "word"
    told = {
        "analyzer": isinstance(step.analyzer, str),
        "token_pattern": not is_word or step.token_pattern in (_LONGER, *_ANY),
        "tokenizer": step.tokenizer is None or not is_word,
        "preprocessor": step.preprocessor is None,
        "strip_accents": step.strip_accents is None,
        # Words that are left out before runs are made would join their neighbors.
        "stop_words": step.stop_words is None or step.ngram_range[1] == 1 or not is_word,
    }
    unknown = [f"{name}={getattr(step, name)!r}" for name, known in told.items() if not known]
    if unknown:
        hint = "it is served natively, slower"
        raise Unsupported(f"{type(step).__name__}({', '.join(unknown)}) has no counterpart in ONNX"[:200], hint=hint)


def _can_occur(step: Any, term: str) -> bool:
    """Say whether a text can have a term: a vocabulary that was given may hold others."""
    if (step.lowercase and term != term.lower()) or NOTHING in term:
        return False
    if step.analyzer == "word":
        words = term.split(" ")
        return step.ngram_range[0] <= len(words) <= step.ngram_range[1] and all(
            w and all(c.isalnum() or c == "_" for c in w) for w in words
        )
    return bool(term) and (step.analyzer == "char" or not any(letter.isspace() for letter in term[1:-1]))


def _gaps(step: Any) -> set[str]:
    return set() if step.analyzer == "char" else {" "}


def _lowered(writer: Writer, step: Any, split: str, letters: Mapping[str, int]) -> str:
    """Number characters; capitals as small ones, where the vectorizer makes them small."""
    if not step.lowercase:
        return numbered(writer, split, letters)
    small = {letter: letters.get(lower, OTHER) for letter, lower in small_letters().items() if letter in letters or lower in letters}
    numbers = numbered(writer, split, {**letters, **small, _DOTTED: letters.get("i", OTHER)})
    if {"σ", "ς"} & letters.keys():
        last = writer.constant(letters.get("ς", OTHER), INT64)
        numbers = writer.node("Where", final_sigmas(writer, split), last, numbers)
    return numbers


def _dotted(writer: Writer, split: str) -> str:
    """Mark the capital İ."""
    return is_number(writer, numbered(writer, split, {_DOTTED: 1}, other=0), 1)


def _words(writer: Writer, step: Any, split: str, numbers: str, _: Mapping[str, int]) -> str:
    """Leave the letters of words, and one gap between words."""
    is_letter = writer.node("RegexFullMatch", split, pattern=_WORD)
    numbers = writer.node("Where", is_letter, numbers, writer.constant(GAP, INT64))
    if step.lowercase:
        numbers = one_more(writer, numbers, _dotted(writer, split), GAP)  # the dot that it leaves is in no word
    numbers = framed(writer, numbers)
    if step.token_pattern == _LONGER:
        left, right = (is_number(writer, each(writer, numbers), GAP) for each in (before, behind))
        alone = writer.node("And", left, right)
        numbers = writer.node("Where", alone, writer.constant(GAP, INT64), numbers)
    return single_gaps(writer, numbers) if step.ngram_range[1] > 1 else numbers


def _pieces(writer: Writer, step: Any, split: str, numbers: str, letters: Mapping[str, int]) -> str:
    """Leave what is between spaces, a gap on both sides."""
    spaces = is_number(writer, numbered(writer, split, dict.fromkeys(_SPACES, 1), other=0), 1)
    numbers = writer.node("Where", spaces, writer.constant(GAP, INT64), numbers)
    if step.lowercase:
        numbers = one_more(writer, numbers, _dotted(writer, split), letters.get(_DOT, OTHER))
    return framed(writer, numbers)


def _edges(writer: Writer, numbers: str, terms: list[str]) -> str:
    """Count the space that stands on both sides of every word, in its own column."""
    begins = writer.node("And", writer.node("Not", is_number(writer, numbers, GAP)), is_number(writer, before(writer, numbers), GAP))
    words = writer.node("ReduceSum", writer.node("Cast", begins, to=DOUBLE), writer.constant([1], INT64), keepdims=1)
    return writer.node("Mul", words, writer.constant([[2.0 * (term == " ") for term in terms]]))


def _all(writer: Writer, step: Any, split: str, numbers: str, letters: Mapping[str, int]) -> str:
    """Leave every character; of several spaces one."""
    spaces = numbered(writer, split, dict.fromkeys(_SPACES, 1), other=0)
    here, left, right = (is_number(writer, each, 1) for each in (spaces, before(writer, spaces), behind(writer, spaces)))
    begins = writer.node("And", here, right)
    numbers = writer.node("Where", begins, writer.constant(letters.get(" ", OTHER), INT64), numbers)
    keep = writer.node("Not", writer.node("And", here, left))
    if step.lowercase:
        # What is left out has a number of its own until what is added has its place.
        numbers = writer.node("Where", keep, numbers, writer.constant(-1, INT64))
        numbers = one_more(writer, numbers, _dotted(writer, split), letters.get(_DOT, OTHER))
        keep = writer.node("Not", is_number(writer, numbers, -1))
    return kept(writer, numbers, keep)


_READ: Final = {"word": _words, "char_wb": _pieces, "char": _all}


def _weighted(step: Any, counts: Block) -> Block:
    if step.sublinear_tf:
        is_there = counts.test("Greater", 0.0)
        counts = (counts.where(counts.test("Equal", 0.0), 1.0).apply("Log") + 1.0) * is_there
    if step.use_idf:
        counts = counts * np.asarray(step.idf_)
    if step.norm is None:
        return counts
    norm = (counts * counts).reduce("ReduceSum").apply("Sqrt") if step.norm == "l2" else counts.apply("Abs").reduce("ReduceSum")
    return counts / norm.where(norm.test("Equal", 0.0), 1.0)
