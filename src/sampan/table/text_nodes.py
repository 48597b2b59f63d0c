"""Free text in an ONNX graph, character by character: each becomes a number, and terms are runs of numbers that are counted.

ONNX Runtime lowers text by a locale of the machine and splits it by expressions of another library: as Python does for most texts, not for
all. What is built of these nodes depends on neither.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np

from sampan.table.graph_writer import BOOL, DOUBLE, INT64, ML, STRING, Writer

GAP, OTHER, FIRST = 0, 1, 2  # between words and after a text; a character that no term has; the first that one has
NOTHING: Final = "\uffff"  # fills up shorter texts; no character, so in no term
_RUNTIME: Final = "com.microsoft"  # where ONNX Runtime keeps what ONNX does not have


def characters(writer: Writer, text: str) -> str:
    """Take texts, shape (n, 1), apart: one character each, shape (n + 1, longest). The last row is none: see `without_last`."""
    writer.opsets[_RUNTIME] = 1
    # One text more, since of none at all the operation forgets that there are rows.
    flat = writer.node("Concat", writer.node("Reshape", text, writer.constant([-1], INT64)), writer.constant([""], STRING), axis=0)
    return writer.node("Tokenizer", flat, domain=_RUNTIME, mark=0, mincharnum=1, pad_value=NOTHING, separators=[""])


def without_last(writer: Writer, rows: str) -> str:
    """Take off the row that `characters` added."""
    return writer.node("Slice", rows, writer.constant([0], INT64), writer.constant([-1], INT64))


def numbered(writer: Writer, letters: str, numbers: Mapping[str, int], *, other: int = OTHER) -> str:
    """Give each character its number, those that none has `other`; what fills up is a gap."""
    known = {**numbers, NOTHING: GAP}
    return writer.node(
        "LabelEncoder", letters, domain=ML, keys_strings=list(known), values_int64s=list(known.values()), default_int64=other
    )


@cache
def small_letters() -> dict[str, str]:
    """Return every letter that `str.lower` makes another single one, and which."""
    lowered = ((letter, letter.lower()) for letter in map(chr, range(sys.maxunicode + 1)))
    return {letter: small for letter, small in lowered if small != letter and len(small) == 1}


def framed(writer: Writer, numbers: str) -> str:
    """Put a gap before and behind each text."""
    return writer.node("Pad", numbers, writer.constant([0, 1, 0, 1], INT64), writer.constant(GAP, INT64))


def before(writer: Writer, numbers: str, first: int = GAP) -> str:
    """Return for each place the number of the one before it."""
    return writer.node("Pad", numbers, writer.constant([0, 1, 0, -1], INT64), writer.constant(first, INT64))


def behind(writer: Writer, numbers: str, last: int = GAP) -> str:
    """Return for each place the number of the one behind it."""
    return writer.node("Pad", numbers, writer.constant([0, -1, 0, 1], INT64), writer.constant(last, INT64))


def is_number(writer: Writer, numbers: str, wanted: int) -> str:
    """Mark the places of a number, as bool."""
    return writer.node("Equal", numbers, writer.constant(wanted, INT64))


def kept(writer: Writer, numbers: str, keep: str) -> str:
    """Close ranks over what is not marked by `keep`, bool. A gap stands first, and the room that is left is gaps."""
    marks = writer.node("Cast", keep, to=INT64)
    places = writer.node("Mul", marks, writer.node("CumSum", marks, writer.constant(1, INT64)))  # 0: left out
    room = writer.node("Pad", writer.node("Mul", numbers, writer.constant(0, INT64)), writer.constant([0, 0, 0, 1], INT64))
    # What is left out is written to the front, as a gap.
    return writer.node("ScatterElements", room, places, writer.node("Mul", numbers, marks), axis=1)


def single_gaps(writer: Writer, numbers: str) -> str:
    """Leave one gap where there are several."""
    both = writer.node("And", is_number(writer, numbers, GAP), is_number(writer, before(writer, numbers, OTHER), GAP))
    return kept(writer, numbers, writer.node("Not", both))


def count_runs(writer: Writer, numbers: str, runs: Mapping[int, list[int]], width: int) -> str:
    """Count runs of numbers, that of each column; double, shape (n, width). A column without a run is 0."""
    if not runs:
        total = writer.node("ReduceSum", writer.node("Cast", numbers, to=DOUBLE), writer.constant([1], INT64), keepdims=1)
        return writer.node("Mul", total, writer.constant(np.zeros((1, width))))
    ordered = sorted(runs.items(), key=lambda item: (len(item[1]), item[0]))
    columns = [column for column, _ in ordered]
    found = writer.node(
        "TfIdfVectorizer", numbers, mode="TF", max_skip_count=0, ngram_indexes=columns, **_pool([run for _, run in ordered])
    )
    short = width - 1 - max(columns)  # the operation is as wide as its last column
    if short:
        found = writer.node("Pad", found, writer.constant([0, 0, 0, short], INT64))
    return writer.node("Cast", found, to=DOUBLE)


def _pool(runs: list[list[int]]) -> dict[str, Any]:
    """Lay runs out, the short ones first, as the operation wants them."""
    lengths = range(1, len(runs[-1]) + 1)
    return {
        "min_gram_length": len(runs[0]),
        "max_gram_length": len(runs[-1]),
        "ngram_counts": [sum(len(run) for run in runs if len(run) < length) for length in lengths],
        "pool_int64s": [number for run in runs for number in run],
    }


def one_more(writer: Writer, numbers: str, marked: str, added: int) -> str:
    """Add a number behind each marked place; rows become twice as long, the rest of them gaps."""
    marks = writer.node("Cast", marked, to=INT64)
    axis = writer.constant(1, INT64)
    ones = writer.node("Cast", writer.node("Equal", numbers, numbers), to=INT64)
    places = writer.node("Add", writer.node("CumSum", ones, axis, exclusive=1), writer.node("CumSum", marks, axis, exclusive=1))
    twice = writer.node("Concat", ones, ones, axis=1)
    length = writer.node("ReduceSum", writer.node("Add", ones, marks), writer.constant([1], INT64), keepdims=1)
    inside = writer.node("Less", writer.node("CumSum", twice, axis, exclusive=1), length)
    room = writer.node("Mul", writer.node("Cast", inside, to=INT64), writer.constant(added, INT64))
    return writer.node("ScatterElements", room, places, numbers, axis=1)


def final_sigmas(writer: Writer, letters: str) -> str:
    """Mark capital sigmas that end a word, as `str.lower` sees it: behind a letter of two cases and before none, marks aside."""
    cased, aside = 1, 2
    classes = numbered(writer, letters, _cases(), other=0)
    keep = writer.node("Not", is_number(writer, classes, aside))
    ranks = kept(writer, classes, keep)
    marks = writer.node("Cast", keep, to=INT64)
    own = writer.node("CumSum", marks, writer.constant(1, INT64))
    ranks = writer.node("Pad", ranks, writer.constant([0, 0, 0, 1], INT64))
    one = writer.constant(1, INT64)
    left = writer.node("GatherElements", ranks, writer.node("Max", writer.node("Sub", own, one), writer.constant(0, INT64)), axis=1)
    right = writer.node("GatherElements", ranks, writer.node("Add", own, one), axis=1)
    ends = writer.node("And", is_number(writer, left, cased), writer.node("Not", is_number(writer, right, cased)))
    sigma = writer.node("Equal", letters, writer.constant([["Σ"]], STRING))
    return writer.node("Cast", writer.node("And", sigma, ends), to=BOOL)


@cache
def _cases() -> dict[str, int]:
    """Return letters of two cases as 1 and what stands between letters without parting them as 2, by how a sigma beside them is lowered."""
    found = {}
    for letter in map(chr, range(sys.maxunicode + 1)):
        if (letter + "Σ").lower()[-1] == "ς":
            found[letter] = 1
        elif ("a" + letter + "Σ").lower()[-1] == "ς":
            found[letter] = 2
    return found
