"""The columns of free text as nodes of an ONNX graph: the same cuts as `terms.py` makes, character by character.

A letter that no term has is 1, others are the letters of terms, capitals as small ones; what parts words is 0. A term is a run of numbers:
"free" is 0 f r e e 0. Only the composed form of letters is left to who gives the text (`terms.composed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from sampan.features.characters import SEPARATORS, SYMBOLS
from sampan.features.terms import EDGE, is_symbol
from sampan.features.texts import TextEncoder, Words
from sampan.table.graph_writer import DOUBLE, FLOAT, INT64, MISSING, STRING, Writer
from sampan.table.text_nodes import (
    FIRST,
    GAP,
    OTHER,
    before,
    characters,
    count_runs,
    framed,
    is_number,
    numbered,
    single_gaps,
    small_letters,
    without_last,
)


def text_columns(writer: Writer, text: str, encoder: TextEncoder) -> str:
    """Write a text's columns, float32 of shape (n, width), NaN where the text is `MISSING`."""
    split, width = characters(writer, text), len(encoder.terms)
    letters = {letter: number for number, letter in enumerate(sorted(_letters(encoder)), start=FIRST)}
    parts = dict.fromkeys(_all(SEPARATORS), GAP) | dict.fromkeys(_all(SYMBOLS), GAP)
    numbers = numbered(writer, split, {**parts, **letters, **_capitals(letters)})
    whole = framed(writer, numbers)
    runs = {column: _run(encoder, term, letters) for column, term in enumerate(encoder.terms) if not is_symbol(term)}
    is_words = isinstance(encoder.encoding, Words)
    counts = count_runs(writer, single_gaps(writer, whole) if is_words and encoder.encoding.longest > 1 else whole, runs, width)
    symbols = {column: term for column, term in enumerate(encoder.terms) if is_symbol(term)}
    if symbols:
        own = {symbol: number for number, symbol in enumerate(symbols.values(), start=FIRST)}
        marks = numbered(writer, split, {**own, **_capitals(own)}, other=GAP)
        counts = writer.node("Add", counts, count_runs(writer, marks, {column: [own[each]] for column, each in symbols.items()}, width))
    unknown = _unknown_words(writer, whole, counts, encoder) if is_words else _unknown_letters(writer, numbers)
    found = without_last(writer, writer.node("Concat", unknown, _weighed(writer, counts, encoder), axis=1))
    missing = writer.node("Equal", text, writer.constant([[MISSING]], STRING))
    return writer.node("Cast", writer.node("Where", missing, writer.constant([[np.nan]]), found), to=FLOAT)


def _letters(encoder: TextEncoder) -> set[str]:
    gap = " " if isinstance(encoder.encoding, Words) else EDGE
    return {letter for term in encoder.terms if not is_symbol(term) for letter in term if letter != gap}


def _capitals(letters: Mapping[str, int]) -> dict[str, int]:
    """Number the letters that `terms.folded` makes others as those."""
    folded = {**small_letters(), "İ": "i", "ς": "σ"}
    return {capital: letters[small] for capital, small in folded.items() if small in letters}


def _all(ranges: Iterable[tuple[int, int]]) -> list[str]:
    return [chr(each) for first, last in ranges for each in range(first, last + 1)]


def _run(encoder: TextEncoder, term: str, letters: Mapping[str, int]) -> list[int]:
    """Return the numbers of a term, the gaps around and between its words included."""
    if isinstance(encoder.encoding, Words):
        return [GAP, *(GAP if letter == " " else letters[letter] for letter in term), GAP]
    return [GAP if letter == EDGE else letters[letter] for letter in term]


def _unknown_words(writer: Writer, whole: str, counts: str, encoder: TextEncoder) -> str:
    """Return the share of words that are no term; a word begins where a letter follows a gap."""
    here, left = is_number(writer, whole, GAP), is_number(writer, before(writer, whole), GAP)
    n = _total(writer, writer.node("And", writer.node("Not", here), left))
    alone = [[float(" " not in term and not is_symbol(term))] for term in encoder.terms]
    known = writer.node("MatMul", counts, writer.constant(alone))
    return _share(writer, writer.node("Sub", n, known), n)


def _unknown_letters(writer: Writer, numbers: str) -> str:
    """Return the share of letters that are in no term."""
    other = _total(writer, is_number(writer, numbers, OTHER))
    return _share(writer, other, _total(writer, writer.node("Not", is_number(writer, numbers, GAP))))


def _total(writer: Writer, marks: str) -> str:
    return writer.node("ReduceSum", writer.node("Cast", marks, to=DOUBLE), writer.constant([1], INT64), keepdims=1)


def _share(writer: Writer, part: str, whole: str) -> str:
    return writer.node("Div", part, writer.node("Max", whole, writer.constant([[1.0]])))


def _weighed(writer: Writer, counts: str, encoder: TextEncoder) -> str:
    weigh = encoder.encoding.weigh
    if weigh == "counts":
        return counts
    if weigh == "presence":
        return writer.node("Min", counts, writer.constant([[1.0]]))
    weighed = writer.node("Mul", counts, writer.constant([list(encoder.weights)]))
    length = writer.node("Sqrt", writer.node("ReduceSumSquare", weighed, writer.constant([1], INT64), keepdims=1))
    empty = writer.node("Equal", length, writer.constant([[0.0]]))
    return writer.node("Div", weighed, writer.node("Where", empty, writer.constant([[1.0]]), length))
