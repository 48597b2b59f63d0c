"""What lies beyond training: limits learned from a feature's values, and rows told by one and by many alike."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_iris

from sampan.features import Columns, Label, moment, number, text, view
from sampan.features.encoding import Codes, Means, fit
from sampan.features.expressions import col
from sampan.features.fitted import FittedView
from sampan.features.online import OnlineView
from sampan.features.scope import Range, Scope, ScopeWatch, learn_range, learn_scope
from sampan.features.view import feature
from sampan.table.rows import ColumnRows, columns_of

ORDERS = Columns(at=moment(), shop=text(), size=number(), late=number(later=True), done=moment(later=True))
VIEW = view(
    "orders",
    on="orders",
    columns=ORDERS,
    key=["at"],
    moment=ORDERS.at,
    label=Label(ORDERS.late, known_at=ORDERS.done),
    features={
        "shop": feature(col("shop", "text"), encode=Means()),
        "code": feature(col("shop", "text"), encode=Codes()),
        "size": ORDERS.size,
    },
)
SHOPS = pl.Series(["a", "b", "a", "b"])
FITTED = FittedView(VIEW, {f.name: fit(f.encoding, SHOPS, pl.Series([1.0, 0.0, 0.0, 1.0])) for f in VIEW.features if f.encoding})
ONLINE = OnlineView.of(FITTED, {})
WATCH = ScopeWatch(ONLINE, Scope({"size": Range(least=1, greatest=9, low=0, high=12)}))
BEYOND = "size: 50 is beyond training, where it was 1 to 9"


def float32s(values: Any) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


def test_a_month_is_never_passed_and_the_largest_of_thinning_numbers_a_little() -> None:
    months = learn_range(float32s(list(range(1, 13)) * 100))
    amounts = learn_range(float32s(np.random.default_rng(3).exponential(size=2000)))

    assert months is not None
    assert amounts is not None
    assert (months.low, months.high) == (1, 12)
    assert (amounts.greatest, 0) < (amounts.high, amounts.least)
    assert amounts.high < 2 * amounts.greatest


def test_one_forgotten_99999_does_not_stretch_the_range() -> None:
    values = np.random.default_rng(4).normal(50, 10, 1000)

    found = learn_range(float32s([*values, 99999, np.nan]))

    assert found is not None
    assert found.greatest == 99999
    assert found.high < 1000


def test_of_too_few_values_nothing_is_said() -> None:
    assert learn_range(float32s([1.0] * 29 + [np.nan] * 50)) is None


def test_ranges_are_learned_of_numbers_alone() -> None:
    matrix = float32s([[0.5, 1, size] for size in range(100)])

    assert list(learn_scope(matrix, FITTED).ranges) == ["size"]


@pytest.mark.parametrize("load", [load_iris, load_digits])
def test_of_rows_like_those_of_training_next_to_none_are_beyond_it(load: Any) -> None:
    rows = np.random.default_rng(0).permutation(load(return_X_y=True)[0]).astype(np.float32)
    cut = 2 * len(rows) // 3
    ranges = [learn_range(column) for column in rows[:cut].T]

    def beyond(asked: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        columns = zip(asked.T, ranges, strict=True)
        return np.array([np.zeros(len(c), bool) if r is None else (c < r.low) | (c > r.high) for c, r in columns])

    assert beyond(rows[cut:]).any(axis=0).mean() < 0.01
    assert beyond(rows[cut:] * 1000)[:, :50][rows[cut:][:50].T > 0].mean() > 0.9


ROWS = st.fixed_dictionaries(
    {"at": st.just(5), "shop": st.sampled_from(["a", "b", "new", None]), "size": st.sampled_from([1, 5.5, 50, None])}
)


@given(st.lists(ROWS, min_size=1, max_size=12))
def test_rows_beyond_training_are_told_by_one_by_many_and_from_columns_alike(rows: list[dict[str, Any]]) -> None:
    typed = msgspec.json.decode(msgspec.json.encode(rows), type=list[ONLINE.row_type])  # type: ignore[name-defined]
    held = columns_of(typed)
    matrix = ONLINE.matrix(held)
    held.compact()

    many = WATCH.notes(held, matrix)

    assert many == WATCH.notes(rows, matrix)
    for index, row in enumerate(typed):
        assert WATCH.notes((row,), ONLINE.matrix((row,))).get(0, ()) == many.get(index, ())
        told = (BEYOND,) if rows[index]["size"] == 50 else ()
        if rows[index]["shop"] == "new":
            told += ("shop: category 'new' was not seen in training", "code: category 'new' was not seen in training")
        assert many.get(index, ()) == told


def test_a_package_that_does_not_know_its_ranges_tells_of_categories_alone() -> None:
    rows = ColumnRows({"at": [5], "shop": ["new"], "size": [50]}, 1)
    watch = ScopeWatch(ONLINE, Scope())

    (notes,) = watch.notes(rows, ONLINE.matrix(rows)).values()

    assert [note.partition(":")[0] for note in notes] == ["shop", "code"]
