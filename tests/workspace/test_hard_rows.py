"""Rows that nobody sent: of all kinds, drawn column by column."""

from __future__ import annotations

import numpy as np

from sampan.workspace.targets.hard_rows import N_ROWS, spoiled_numbers, spoiled_texts


def test_numbers_are_missing_far_out_zero_and_negated_and_no_row_is_anyones() -> None:
    rng = np.random.default_rng(0)
    given = np.column_stack([np.arange(1.0, 101.0), np.arange(1001.0, 1101.0), np.arange(1e12, 1e12 + 100)])

    found = spoiled_numbers(given, rng, has_missing=True, fixed=(2,))

    assert (N_ROWS, 3) == found.shape
    assert np.isnan(found[:, :2]).any(axis=0).all()
    assert (np.abs(found[:, :2]) >= 3e4).any()
    assert (found[:, :2] < 0).any()
    assert (found == 0).any()
    assert set(found[:, 2]) <= set(given[:, 2])  # a moment far out is in no calendar
    pairs = {(row[0], row[1]) for row in given.tolist()}
    assert not pairs & {(row[0], row[1]) for row in found.tolist()}


def test_a_model_that_takes_no_missing_values_is_given_none() -> None:
    assert not np.isnan(spoiled_numbers(np.full((9, 4), np.nan), np.random.default_rng(0), has_missing=False)).any()


def test_texts_are_missing_and_unseen_but_where_the_model_raises_at_others() -> None:
    given = np.array([["a", "x"], ["b", "y"]], object)

    found = spoiled_texts(given, np.random.default_rng(0), missing="-", closed=(1,))

    assert {"a", "b", "-", "never seen"} <= set(found[:, 0])
    assert {"x", "y"} == set(found[:, 1])
