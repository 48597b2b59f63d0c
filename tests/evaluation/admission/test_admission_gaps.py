"""Columns that stop coming are named, and neither what hangs together with them nor columns that come anew are blamed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from planted_batches import N_BASE, judged, many, world

from sampan.evaluation.admission.gaps import find_gaps, missing_shares
from sampan.evaluation.admission.repeats import that_arrive_again
from sampan.evaluation.admission.surprise import slice_limit
from sampan.evaluation.admission.table import Table, read_table

SPANS = [np.arange(k * 100, (k + 1) * 100) for k in range(5)]


def lacking(before: float, now: float, *, seed: int = 0) -> Table:
    """Return 600 trusted and 200 arriving rows of which so many lack x."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=800)
    x[rng.random(800) < np.repeat([before, now], [600, 200])] = np.nan
    frame = pl.DataFrame({"x": x, "y": rng.normal(size=800), "c": rng.choice(["a", "b"], 800)})
    return read_table(frame[:600], frame[600:], np.zeros(600), np.zeros(200))


def test_a_column_that_far_more_rows_lack_is_a_gap_and_one_they_lacked_before_is_none() -> None:
    gaps, rows = find_gaps(lacking(0.0, 0.3), SPANS, {})
    usual, _ = find_gaps(lacking(0.3, 0.35), SPANS, {})

    assert ["x"] == [gap.column for gap in gaps]
    assert gaps[0].n_rows == rows[0].sum() == pytest.approx(60, abs=20)
    assert () == usual


def test_what_earlier_batches_lacked_is_no_gap() -> None:
    table = lacking(0.0, 0.3)

    gaps, _ = find_gaps(table, SPANS, {"x": [0.3, 0.25, 0.35]})

    assert () == gaps
    assert {"x": float(np.isnan(table.matrix[600:, 0]).mean())} == missing_shares(table)


def test_a_table_without_a_column_keeps_the_others_in_their_places() -> None:
    table = lacking(0.0, 0.3).without({"x"})

    assert ("y", "c") == table.names
    assert (("a", "b"), 2) == (tuple(sorted(table.categories[1])), table.n_known[1])
    assert (800, 2) == table.matrix.shape


@pytest.mark.slow
def test_a_column_that_is_gone_is_the_only_one_blamed() -> None:
    rng = np.random.default_rng(0)
    base, classes, _ = many(3000, rng)
    batch, now, _ = many(600, rng)

    found, _ = judged(base, classes, batch.with_columns(price=pl.lit(None, pl.Float64)), now, classes=("a", "b", "c", "d"))

    assert ("price is missing in 600 rows (100.0%); usually 0.0%, at most 5.0%",) == found.reasons
    assert {("price", "the value is missing")} == set(found.evidence.doubts(0))


@pytest.mark.slow
def test_a_column_that_comes_to_be_filled_is_no_fault() -> None:
    base, base_labels, batch, labels, rng = world()
    rare = np.where(np.arange(N_BASE) < N_BASE - 200, np.nan, rng.normal(size=N_BASE))

    found, _ = judged(base.with_columns(z=pl.Series(rare)), base_labels, batch.with_columns(z=pl.Series(rng.normal(size=1000))), labels)

    assert found.verdict in ("helps", "neutral")


@pytest.mark.slow
def test_strange_rows_are_named() -> None:
    base, base_labels, batch, labels, rng = world()
    odd = rng.random(1000) < 0.2
    spoiled = batch.with_columns(x0=pl.when(pl.Series(odd)).then(pl.col("x0") * 0.01 + 9).otherwise("x0"))

    found, _ = judged(base, base_labels, spoiled, labels)

    named = np.array([any(doubt.cause == "strange" for doubt in found.evidence.doubts(row)) for row in range(1000)])
    assert named[odd].mean() > 0.9
    assert odd[named].mean() > 0.9


@pytest.mark.slow
def test_a_model_that_learned_copies_of_trusted_rows_is_not_judged_on_these() -> None:
    base, base_labels, batch, labels, _ = world()
    again, again_labels = pl.concat([batch[:300], base[-700:]]), np.concatenate([labels[:300], base_labels[-700:]])
    table = read_table(base, again, base_labels, again_labels)

    found, _ = judged(base, base_labels, again, again_labels)

    assert 700 == that_arrive_again(table).sum()
    assert found.effect is not None
    assert abs(found.effect.outcomes[1].change.value or 0) < 0.02


def test_a_slice_may_be_as_wrong_as_in_two_earlier_spans() -> None:
    assert 0.3 == slice_limit([0.0, 0.0, 0.9])
    assert pytest.approx(0.625) == slice_limit([0.5, 0.0, 0.9])
    assert 0.3 == slice_limit([])


def test_a_batch_that_lacks_every_column_is_suspicious_for_that_alone() -> None:
    rng = np.random.default_rng(0)
    base = pl.DataFrame({"v": rng.normal(size=(400, 3)), "x": rng.normal(size=400)})
    batch = base.head(200).with_columns(pl.lit(None, base.schema[name]).alias(name) for name in base.columns)

    found, _ = judged(base, (rng.random(400) < 0.5).astype(np.float64), batch, np.zeros(200))

    assert "suspicious" == found.verdict
    assert ["v", "x"] == sorted(gap.column for gap in found.gaps)  # one gap for all numbers of a vector
    assert found.suspicious.all()
    assert 2 == len(found.reasons)
