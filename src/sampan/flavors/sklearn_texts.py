"""The nodes of scikit-learn's vectorizers of text: words in, counts or weights out.

ONNX lowers text by a locale of the machine. The public converter asks for en_US.UTF-8, which small images lack; C.UTF-8 is built into the C
library since glibc 2.35.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from sampan.errors import Unsupported
from sampan.flavors.sklearn_graph import Frame, knows
from sampan.table.graph_writer import DOUBLE, Block

_LOCALE: Final = "C.UTF-8"
_WORDS: Final = r"(?u)\b\w\w+\b"  # scikit-learn's words
_PATTERN: Final = r"[\p{L}\p{N}_][\p{L}\p{N}_]+"  # the same, in RE2's words
_NONE: Final = "\ue001"  # stands where a text has fewer words than the longest
_RUNTIME: Final = "com.microsoft"


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
    """Count the vocabulary's words and runs of words."""
    _check(step)
    (text,) = frame.each()
    if not text.is_text:
        raise Unsupported("a vectorizer of text that is given numbers")
    writer = text.writer
    flat = writer.node("Reshape", text.name, writer.constant(np.array([-1]), 7))
    if step.lowercase:
        flat = writer.node("StringNormalizer", flat, case_change_action="LOWER", is_case_sensitive=1, locale=_LOCALE)
    writer.opsets[_RUNTIME] = 1
    words = writer.node("Tokenizer", flat, domain=_RUNTIME, mark=0, mincharnum=1, pad_value=_NONE, tokenexp=_PATTERN)
    terms = [term for term, _ in sorted(step.vocabulary_.items(), key=lambda item: item[1])]
    counts = writer.node("TfIdfVectorizer", words, mode="TF", max_skip_count=0, **_pool(terms, step.ngram_range, step.stop_words))
    found = text.of(writer.node("Cast", counts, to=DOUBLE), len(terms))
    return found.test("Greater", 0.0) if step.binary else found


def _check(step: Any) -> None:
    told = {
        "analyzer": step.analyzer == "word",
        "token_pattern": step.token_pattern == _WORDS,
        "tokenizer": step.tokenizer is None,
        "preprocessor": step.preprocessor is None,
        "strip_accents": step.strip_accents is None,
        # Words that are left out before runs are made would join their neighbors.
        "stop_words": step.stop_words is None or step.ngram_range[1] == 1,
    }
    unknown = [f"{name}={getattr(step, name)!r}" for name, known in told.items() if not known]
    if unknown:
        hint = "it is served natively, slower"
        raise Unsupported(f"{type(step).__name__}({', '.join(unknown)}) has no counterpart in ONNX"[:200], hint=hint)


def _pool(terms: list[str], ngram_range: tuple[int, int], stop_words: Any) -> dict[str, Any]:
    """Lay the vocabulary out as the operation wants it: by the length of the runs, each with its column."""
    del stop_words  # they are not in the vocabulary
    by_length: dict[int, list[tuple[list[str], int]]] = {}
    for column, term in enumerate(terms):
        words = term.split(" ")
        by_length.setdefault(len(words), []).append((words, column))
    pool: list[str] = []
    starts, columns = [], []
    for length in range(1, ngram_range[1] + 1):
        starts.append(len(pool))
        for words, column in by_length.get(length, ()):
            pool += words
            columns.append(column)
    return {
        "min_gram_length": ngram_range[0],
        "max_gram_length": ngram_range[1],
        "ngram_counts": starts,
        "ngram_indexes": columns,
        "pool_strings": pool,
    }


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
