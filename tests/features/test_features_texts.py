"""Free text in a view: the same columns in batch, in a request and in the graph, for any text of any script."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from sampan.errors import ParameterError
from sampan.features import Columns, Letters, Words, feature, moment, number, text, view, view_tables
from sampan.features.fitted import FittedView
from sampan.features.graph import feature_graph
from sampan.features.online import OnlineView
from sampan.features.terms import folded, words_of
from sampan.features.texts import TextColumns, TextEncoding, fit_text

NOTES = Columns(id=number(), at=moment(), note=text())
TEXTS = [
    "FREE prize!! call now 😂😂",
    "call me later, ok?",
    "Tiếng Việt rất hay ❤️",
    "free entry 😂 ngay hôm nay",
    "",
    "İstanbul ΣΊΣΥΦΟΣ σίσυφος",
    None,
    "हिन्दी text 2️⃣ हिन्दी",
    "Free   prize, call\nme later",
    "tiếng việt Ⅷ",
    "¿Qué? 你好 你好 — straße STRASSE",
    "x" * 60 + " free",
]
ENCODINGS: list[TextEncoding] = [
    Words(),
    Words(longest=2, weigh="counts", at_least=1),
    Words(longest=3, weigh="presence"),
    Words(most=1, weigh="counts"),
    Letters(at_least=1),
    Letters(shortest=1, longest=3, weigh="counts"),
]
# Letters that meet: of several scripts, marks, signs, what begins and ends words, and anything else.
ANY = st.lists(
    st.one_of(
        st.sampled_from(["free ", "Prize", "e\u0302\u0323", "ệ", "😂", "İ", "Σ", "ς", "ǅ", "\u200d", "_", "'", "\x00", "  ", "हि"]),
        st.text(max_size=3),
    ),
    max_size=12,
).map("".join)


def rows_of(texts: list[str | None]) -> list[dict[str, Any]]:
    return [{"id": float(number), "at": 1_000.0 * number, "note": each} for number, each in enumerate(texts)]


def fitted_on(texts: list[str | None], encoding: TextEncoding) -> tuple[FittedView, pl.DataFrame]:
    notes = view(
        "notes",
        on="notes",
        columns=NOTES,
        key=["id"],
        moment=NOTES.at,
        features={"note": feature(NOTES.note, encode=encoding), "n": NOTES.id},
    )
    raw = view_tables.batch(notes, {"notes": pl.DataFrame(rows_of(texts), schema={"id": pl.Float64, "at": pl.Float64, "note": pl.String})})
    return view_tables.fit(notes, raw), raw


def by_graph(online: OnlineView, rows: list[dict[str, Any]], graph: onnxruntime.InferenceSession) -> NDArray[np.float32]:
    tensors = online.tensors(rows)
    found: NDArray[np.float32] = graph.run(None, {each.name: tensors[each.name] for each in graph.get_inputs()})[0]
    return found


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
def test_batch_requests_and_the_graph_give_the_same_columns(encoding: TextEncoding) -> None:
    fitted, raw = fitted_on(TEXTS, encoding)
    online, session = OnlineView.of(FittedView.from_json(fitted.to_json()), {}), onnxruntime.InferenceSession(feature_graph(fitted))
    rows = rows_of(TEXTS)

    batch = fitted.matrix(raw)

    assert batch.shape == (len(TEXTS), len(fitted.names))
    np.testing.assert_array_equal(online.matrix(rows), batch)
    np.testing.assert_array_equal(np.vstack([online.matrix([row]) for row in rows]), batch)
    np.testing.assert_array_equal(by_graph(online, rows, session), batch)
    np.testing.assert_array_equal(np.vstack([by_graph(online, [row], session) for row in rows]), batch)
    assert by_graph(online, [], session).shape == (0, len(fitted.names))


@pytest.fixture(scope="module")
def graphs() -> list[tuple[OnlineView, onnxruntime.InferenceSession]]:
    found = [fitted_on(TEXTS, each)[0] for each in ENCODINGS]
    return [(OnlineView.of(each, {}), onnxruntime.InferenceSession(feature_graph(each))) for each in found]


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@example(texts=["\ue001", "ﬁ ŉ", "\u0345ᾳ", "K\u212a", "\U0010ffff"])
@given(texts=st.lists(ANY, min_size=1, max_size=4))
def test_the_graph_cuts_any_text_as_a_request_does(texts: list[str], graphs: list[tuple[OnlineView, onnxruntime.InferenceSession]]) -> None:
    rows = rows_of([*texts])
    for online, session in graphs:
        np.testing.assert_array_equal(by_graph(online, rows, session), online.matrix(rows))


def test_a_letter_becomes_small_by_itself_wherever_it_stands() -> None:
    odd = [letter for letter in map(chr, range(sys.maxunicode + 1)) if len(letter.replace("İ", "i").lower().replace("ς", "σ")) != 1]

    assert odd == []
    assert folded("ΟΔΟΣ ΣΑΣ") == "οδοσ σασ"
    assert folded("e\u0302\u0323") == "ệ"


def test_symbols_are_words_and_marks_belong_to_theirs() -> None:
    assert words_of("Great😂😂, don't! हिन्दी ❤️") == ["great", "😂", "😂", "don", "t", "हिन्दी", "❤"]


def test_words_are_weighed_as_scikit_learn_weighs_them() -> None:
    texts = ["a cat and a dog", "the dog", "cat cat bird", "no such thing at all"]
    learned = TfidfVectorizer(token_pattern=r"\w+", ngram_range=(1, 2)).fit(texts)
    ours = fit_text(Words(most=100, longest=2, at_least=1), texts)

    found = TextColumns(ours).apply(texts)

    assert ours.terms == tuple(learned.get_feature_names_out())
    np.testing.assert_allclose(found[:, 1:], learned.transform(texts).toarray(), rtol=1e-6)


def test_the_share_of_unknown_words_is_told_first() -> None:
    columns = TextColumns(fit_text(Words(), ["free prize", "free prize", "call me"]))

    assert columns.encoder.names("note") == ("note: unknown", "note: free", "note: prize")
    np.testing.assert_array_equal(columns.apply(["FREE beer", "😂", "beer", ""])[:, 0], [0.5, 0, 1, 0])
    assert [True, False, False] == [columns.is_strange(each) for each in ("beer", "free beer", "…")]


def test_terms_do_not_depend_on_the_order_of_texts() -> None:
    texts = [each for each in TEXTS if each]

    assert fit_text(Letters(most=20), texts) == fit_text(Letters(most=20), texts[::-1])


def test_a_view_keeps_all_columns_of_a_text_or_none() -> None:
    fitted, raw = fitted_on(TEXTS, Words())

    kept = fitted.kept(["note: free"])

    assert kept.names == fitted.names[:-1]
    np.testing.assert_array_equal(kept.matrix(raw), fitted.matrix(raw)[:, :-1])
    assert set(fitted.families.values()) == {"encoding", "derivative"}


def test_a_request_whose_words_are_all_new_is_told_so() -> None:
    fitted, _ = fitted_on(TEXTS, Words())

    assert OnlineView.of(fitted, {}).flags(rows_of(["zzz qqq", "free zzz"])) == [("note: no word of it is one that the model knows",), ()]


@pytest.mark.parametrize(
    ("encoding", "fault"),
    [
        (Words(most=100_000), "most is 100000, expected 1 to 4,096"),
        (Words(longest=9), "longest is 9, expected 1 to 3"),
        (Letters(shortest=0), "shortest is 0"),
        (Letters(shortest=5), "longest is 4, expected 5 to 8"),
        (Words(at_least=0), "at_least is 0"),
    ],
)
def test_what_a_text_cannot_be_encoded_by_is_refused_where_the_view_is_defined(encoding: TextEncoding, fault: str) -> None:
    with pytest.raises(ParameterError, match=fault):
        fitted_on(TEXTS, encoding)


def test_texts_without_a_common_word_are_refused() -> None:
    with pytest.raises(ParameterError, match="no word is in 2 of 2 training texts"):
        fit_text(Words(), ["one", "two", None])
