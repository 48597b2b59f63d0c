"""Fitted encoders: training rows only, unseen and missing categories apart."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from sampan.errors import ParameterError
from sampan.features import Codes, Columns, Label, Means, feature, moment, number, text, view, view_tables
from sampan.features.encoding import Encoder, fit

columns = Columns(id=number(), at=moment(), city=text(), late=number(later=True), seen=moment(later=True))
built = view(
    "v",
    on="t",
    columns=columns,
    key=["id"],
    moment=columns.at,
    label=Label(columns.late, known_at=columns.seen),
    features={"code": columns.city, "mean": feature(columns.city, encode=Means(smoothing=2))},
)


def _frame() -> pl.DataFrame:
    table = pl.DataFrame(
        {
            "id": range(6),
            "at": range(6),
            "city": ["A", "B", "B", None, "C", "C"],
            "late": [1.0, 0.0, 1.0, 1.0, None, 1.0],
            "seen": [10, 20, 30, 40, None, 50],
        }
    )
    return view_tables.batch(built, {"t": table})


def test_codes_count_from_the_commonest_and_keep_unseen_and_missing_apart() -> None:
    encoder = fit(Codes(), pl.Series(["b", "a", "b", None, "c"]), pl.Series([None] * 5, dtype=pl.Float64))

    np.testing.assert_array_equal([1, 2, 3, 0, np.nan], encoder.apply(["b", "a", "c", "new", None]))


def test_means_are_drawn_to_the_overall_mean() -> None:
    encoder = fit(Means(smoothing=2), pl.Series(["a", "a", "b", None]), pl.Series([1.0, 1.0, 0.0, 0.0]))

    np.testing.assert_allclose([(2 + 2 * 0.5) / 4, (0 + 2 * 0.5) / 3, 0.5, np.nan], encoder.apply(["a", "b", "new", None]))


def test_a_column_is_encoded_as_its_texts_are() -> None:
    encoder = Encoder({"a": 1.0, "b": 2.5}, 0.5)
    texts = ["a", None, "b", "z", "a"]

    np.testing.assert_array_equal(encoder.apply(texts), encoder.apply_column(pl.Series(texts)))
    np.testing.assert_array_equal([np.nan, np.nan], encoder.apply_column(pl.Series([None, None], dtype=pl.String)))


def test_only_the_marked_rows_are_fitted_on() -> None:
    fitted = view_tables.fit(built, _frame(), rows=np.array([True, False, False, False, False, False]))

    assert fitted.encoders["code"].values == {"A": 1.0}
    np.testing.assert_array_equal([1, 0, 0, np.nan, 0, 0], fitted.matrix(_frame())[:, 0])


def test_an_encoding_of_the_label_uses_only_labels_known_by_the_cut() -> None:
    early, late = view_tables.fit(built, _frame(), known_by=20), view_tables.fit(built, _frame(), known_by=50)

    assert {"A", "B"} == set(early.encoders["mean"].values)
    assert early.encoders["mean"].unseen == 0.5
    assert {"A", "B", "C"} == set(late.encoders["mean"].values)


def test_an_encoding_of_the_label_without_labels_is_refused() -> None:
    with pytest.raises(ParameterError, match="no row has a label"):
        view_tables.fit(built, _frame(), known_by=5)


def test_a_frame_of_another_view_is_refused() -> None:
    with pytest.raises(ParameterError, match="lacks features mean"):
        view_tables.fit(built, _frame()).matrix(_frame().drop("mean"))


def test_values_beyond_float32_are_missing() -> None:
    big = view("v", on="t", columns=columns, key=["id"], moment=columns.at, features={"big": columns.id * 1e300})
    frame = view_tables.batch(big, {"t": pl.DataFrame({"id": [0, 1], "at": [0, 1]})})

    np.testing.assert_array_equal([[0.0], [np.nan]], view_tables.fit(big, frame).matrix(frame))
