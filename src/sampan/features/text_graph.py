"""The columns of free text as nodes of an ONNX graph: the same cuts as `terms.py` makes, character by character.

ONNX Runtime lowers text by a locale of the machine and splits it by expressions of another library: as Python does for most texts, not for
all. Here a text becomes its characters (`Tokenizer`), each one number: 0 parts words, 1 is a letter that no term has, others are the
letters of terms, capitals as small ones. A term is then a run of numbers, which `TfIdfVectorizer` counts: "free" is 0 f r e e 0.
Only the composed form of letters is left to who gives the text (`terms.composed`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

import numpy as np

from sampan.features.characters import SEPARATORS, SYMBOLS
from sampan.features.terms import EDGE, is_symbol
from sampan.features.texts import TextEncoder, Words
from sampan.table.graph_writer import DOUBLE, FLOAT, INT64, MISSING, ML, STRING, Writer

_RUNTIME: Final = "com.microsoft"  # where ONNX Runtime keeps what ONNX does not have
_NOTHING: Final = "\x00"  # fills up shorter texts; a separator
_PARTS, _OTHER, _FIRST = 0, 1, 2


def text_columns(writer: Writer, text: str, encoder: TextEncoder) -> str:
    """Write a text's columns, float32 of shape (n, width), NaN where the text is `MISSING`."""
    characters = _characters(writer, text)
    symbols = [term for term in encoder.terms if is_symbol(term)]
    letters = {letter: number for number, letter in enumerate(sorted(_letters(encoder)), start=_FIRST)}
    numbers = _numbered(writer, characters, letters)
    framed = writer.node("Pad", numbers, writer.constant([0, 1, 0, 1], INT64), writer.constant(_PARTS, INT64))
    runs = _without_repeated_gaps(writer, framed) if isinstance(encoder.encoding, Words) and encoder.encoding.longest > 1 else framed
    terms = {term: _run(encoder, term, letters) for term in encoder.terms if not is_symbol(term)}
    counts = _counted(writer, runs, {encoder.terms.index(term): run for term, run in terms.items()}, len(encoder.terms))
    if symbols:
        own = {symbol: number for number, symbol in enumerate(symbols, start=_FIRST)}
        marks = writer.node("LabelEncoder", characters, domain=ML, **_labels({**own, **_capitals(own)}), default_int64=_PARTS)
        pool = {encoder.terms.index(symbol): [number] for symbol, number in own.items()}
        counts = writer.node("Add", counts, _counted(writer, marks, pool, len(encoder.terms)))
    unknown = _unknown_words(writer, framed, counts, encoder) if isinstance(encoder.encoding, Words) else _unknown_letters(writer, numbers)
    longer = writer.node("Concat", unknown, _weighed(writer, counts, encoder), axis=1)
    found = writer.node("Slice", longer, writer.constant([0], INT64), writer.constant([-1], INT64))
    missing = writer.node("Equal", text, writer.constant([[MISSING]], STRING))
    return writer.node("Cast", writer.node("Where", missing, writer.constant([[np.nan]]), found), to=FLOAT)


def _characters(writer: Writer, text: str) -> str:
    """Take texts, shape (n, 1), apart: one character each, shape (n + 1, longest)."""
    writer.opsets[_RUNTIME] = 1
    # One text more, since of none at all the operation forgets that there are rows; it is taken off in the end.
    flat = writer.node("Concat", writer.node("Reshape", text, writer.constant([-1], INT64)), writer.constant([""], STRING), axis=0)
    return writer.node("Tokenizer", flat, domain=_RUNTIME, mark=0, mincharnum=1, pad_value=_NOTHING, separators=[""])


def _letters(encoder: TextEncoder) -> set[str]:
    gap = " " if isinstance(encoder.encoding, Words) else EDGE
    return {letter for term in encoder.terms if not is_symbol(term) for letter in term if letter != gap}


def _numbered(writer: Writer, characters: str, letters: Mapping[str, int]) -> str:
    parts = dict.fromkeys(_all(SEPARATORS), _PARTS) | dict.fromkeys(_all(SYMBOLS), _PARTS)
    labels = {**parts, **letters, **_capitals(letters)}
    return writer.node("LabelEncoder", characters, domain=ML, **_labels(labels), default_int64=_OTHER)


def _labels(labels: Mapping[str, int]) -> dict[str, Any]:
    return {"keys_strings": list(labels), "values_int64s": list(labels.values())}


def _capitals(letters: Mapping[str, int]) -> dict[str, int]:
    return {capital: letters[small] for capital, small in _small_letters().items() if small in letters}


@cache
def _small_letters() -> dict[str, str]:
    """Return the letters that `terms.folded` makes others, and what it makes of each."""
    found = {letter: small for letter in map(chr, range(sys.maxunicode + 1)) if (small := letter.lower()) != letter}
    return {**found, "İ": "i", "ς": "σ"}


def _all(ranges: Iterable[tuple[int, int]]) -> list[str]:
    return [chr(each) for first, last in ranges for each in range(first, last + 1)]


def _run(encoder: TextEncoder, term: str, letters: Mapping[str, int]) -> list[int]:
    """Return the numbers of a term, the gaps around and between its words included."""
    if isinstance(encoder.encoding, Words):
        return [_PARTS, *(_PARTS if letter == " " else letters[letter] for letter in term), _PARTS]
    return [_PARTS if letter == EDGE else letters[letter] for letter in term]


def _counted(writer: Writer, numbers: str, runs: Mapping[int, list[int]], width: int) -> str:
    """Count runs of numbers: the run of each column; double, shape (n, width)."""
    if not runs:
        marks = writer.node("ReduceSum", writer.node("Cast", numbers, to=DOUBLE), writer.constant([1], INT64), keepdims=1)
        return writer.node("Mul", marks, writer.constant(np.zeros((1, width))))
    ordered = sorted(runs.items(), key=lambda item: (len(item[1]), item[0]))
    shortest, longest = len(ordered[0][1]), len(ordered[-1][1])
    pool = [number for _, run in ordered for number in run]
    starts = [sum(len(run) for _, run in ordered if len(run) < length) for length in range(1, longest + 1)]
    # A column beyond the last run's stays 0: the operation is as wide as its last column.
    columns = [column for column, _ in ordered]
    found = writer.node(
        "TfIdfVectorizer",
        numbers,
        mode="TF",
        min_gram_length=shortest,
        max_gram_length=longest,
        max_skip_count=0,
        ngram_counts=starts,
        ngram_indexes=columns,
        pool_int64s=pool,
    )
    short = width - 1 - max(columns)
    if short:
        found = writer.node("Pad", found, writer.constant([0, 0, 0, short], INT64))
    return writer.node("Cast", found, to=DOUBLE)


def _without_repeated_gaps(writer: Writer, framed: str) -> str:
    """Close ranks, so that one gap stands between words however much there is: each number moves to how many are kept before it."""
    left = writer.node("Pad", framed, writer.constant([0, 1, 0, -1], INT64), writer.constant(_OTHER, INT64))
    both = writer.node("Max", framed, left)  # 0 where this one and the one before are gaps; ids are not negative
    kept = writer.node("Cast", writer.node("Greater", both, writer.constant(_PARTS, INT64)), to=INT64)
    place = writer.node("Mul", kept, writer.node("CumSum", kept, writer.constant(1, INT64)))  # 0: left out
    empty = writer.node("Mul", framed, writer.constant(0, INT64))
    room = writer.node("Pad", empty, writer.constant([0, 0, 0, 1], INT64), writer.constant(_PARTS, INT64))
    # What is left out is a gap, and is written to the front, where there is a gap anyway.
    return writer.node("ScatterElements", room, place, framed, axis=1)


def _unknown_words(writer: Writer, framed: str, counts: str, encoder: TextEncoder) -> str:
    """Return the share of words that are no term; a word begins where a letter follows a gap."""
    left = writer.node("Pad", framed, writer.constant([0, 1, 0, -1], INT64), writer.constant(_PARTS, INT64))
    gap = writer.constant(_PARTS, INT64)
    begins = writer.node("And", writer.node("Greater", framed, gap), writer.node("Equal", left, gap))
    n = _total(writer, begins)
    alone = [[float(" " not in term and not is_symbol(term))] for term in encoder.terms]
    known = writer.node("MatMul", counts, writer.constant(alone))
    return _share(writer, writer.node("Sub", n, known), n)


def _unknown_letters(writer: Writer, numbers: str) -> str:
    """Return the share of letters that are in no term."""
    other = _total(writer, writer.node("Equal", numbers, writer.constant(_OTHER, INT64)))
    return _share(writer, other, _total(writer, writer.node("Greater", numbers, writer.constant(_PARTS, INT64))))


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
