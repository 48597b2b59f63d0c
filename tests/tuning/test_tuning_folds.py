from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.errors import ParameterError
from sampan.tuning.folds import DAY_MS, rolling_origin


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5 * DAY_MS), st.integers(1, 3))
def test_no_fold_learns_from_a_row_or_a_label_of_the_future(seed: int, delay: int, n_folds: int) -> None:
    rng = np.random.default_rng(seed)
    moments = rng.integers(0, 100 * DAY_MS, 2000)
    known_at = moments + rng.integers(0, delay + 1, 2000)

    split = rolling_origin(moments, known_at, n_folds=n_folds)

    assert n_folds == len(split.search)
    for fold in (*split.search, split.test):
        assert moments[fold.train].max() < fold.begins <= moments[fold.validate].min()
        assert known_at[fold.train].max() <= fold.begins
        assert 0 == fold.begins % DAY_MS


def test_the_test_span_is_later_than_all_the_search_saw() -> None:
    moments = np.arange(4000) * (DAY_MS // 40)
    split = rolling_origin(moments, moments)

    seen = max(moments[rows].max() for fold in split.search for rows in (fold.train, fold.validate))
    assert seen < split.test.begins
    assert 0.25 == pytest.approx(len(split.test.validate) / 4000, abs=0.01)
    assert len(moments) == len(split.test.train) + len(split.test.validate)


def test_a_row_whose_label_came_after_the_validation_began_is_left_out() -> None:
    moments = np.arange(4000) * (DAY_MS // 40)
    prompt, late = rolling_origin(moments, moments), rolling_origin(moments, moments + 2 * DAY_MS)

    assert 80 == pytest.approx(len(prompt.test.train) - len(late.test.train), abs=1)


@pytest.mark.parametrize("moments", [np.empty(0, np.int64), np.zeros(100, np.int64), np.arange(100)])
def test_rows_of_one_day_cannot_be_split_by_time(moments: np.ndarray) -> None:
    with pytest.raises(ParameterError, match="cannot be split"):
        rolling_origin(moments, moments)
