"""Each planted fault is named and its rows are marked; honest batches pass."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

from planted_batches import N_BATCH, draw, judged, world

from sampan.evaluation.admission.judge import judge
from sampan.evaluation.admission.table import read_table

pytestmark = pytest.mark.slow  # each judgment fits a dozen small models


def test_an_honest_batch_raises_no_suspicion() -> None:
    base, base_labels, batch, labels, _ = world()

    found, _ = judged(base, base_labels, batch, labels)

    assert found.verdict in ("helps", "neutral")
    assert not found.suspicious.any()
    assert found.labels is not None
    assert abs(found.labels.share.value or 0) < 0.05


def test_flipped_labels_are_estimated_and_most_of_them_marked() -> None:
    base, base_labels, batch, labels, rng = world()
    wrong = rng.random(N_BATCH) < 0.2

    found, _ = judged(base, base_labels, batch, np.where(wrong, 1 - labels, labels))

    assert found.verdict in ("suspicious", "harmful")
    assert found.labels is not None
    assert 0.2 == pytest.approx(found.labels.share.value, abs=0.05)
    assert found.suspicious[wrong].mean() > 0.6
    assert wrong[found.suspicious].mean() > 0.4


def test_a_slice_whose_labels_are_turned_is_named() -> None:
    base, base_labels, batch, labels, _ = world()
    turned = (batch["shop"] == "shop 3").to_numpy()

    found, _ = judged(base, base_labels, batch, np.where(turned, 1 - labels, labels))

    assert ("shop", "shop 3") in {(one.column, one.value) for one in found.slices}
    assert found.verdict in ("suspicious", "harmful")


def test_a_planted_value_is_found_even_where_its_label_is_what_the_model_expects() -> None:
    base, base_labels, batch, labels, rng = world()
    fitting = np.flatnonzero((labels == 1) & (batch["x0"].to_numpy() > 0))
    planted = rng.choice(fitting, 50, replace=False)
    values = batch["x2"].to_numpy().copy()
    values[planted] = 7.77

    found, _ = judged(base, base_labels, batch.with_columns(x2=pl.Series(values)), labels)

    assert [("x2", "7.77", 50, "1")] == [(one.column, one.value, one.n_rows, one.label) for one in found.triggers]
    assert set(planted) <= set(np.flatnonzero(found.suspicious))


def test_an_honest_new_category_is_no_fault() -> None:
    base, base_labels, batch, labels, _ = world()
    kept = (base["shop"] != "shop 4").to_numpy()

    found, table = judged(base.filter(pl.Series(kept)), base_labels[kept], batch, labels)

    assert found.verdict in ("helps", "neutral")
    assert found.novelty is not None
    assert found.novelty.unseen_share == pytest.approx(table.unseen().mean())
    assert found.novelty.unseen_share > 0.15


def test_rows_that_repeat_are_counted_and_marked() -> None:
    base, base_labels, batch, labels, _ = world()

    found, _ = judged(base, base_labels, pl.concat([batch[:600], base[:400]]), np.concatenate([labels[:600], base_labels[:400]]))

    assert found.repeats is not None
    assert 0.4 == found.repeats.share
    assert [False, True] == [bool(found.suspicious[:600].any()), bool(found.suspicious[600:].all())]


def test_columns_taken_from_other_rows_are_not_of_this_world() -> None:
    base, base_labels, batch, labels, rng = world()
    mixed = batch.with_columns(column.gather(rng.permutation(len(column))) for column in batch)

    found, _ = judged(base, base_labels, mixed, labels)

    assert found.verdict in ("suspicious", "harmful")
    assert any("hardly follow" in reason for reason in found.reasons)


def test_what_admitting_does_is_measured_each_way_on_the_same_rows() -> None:
    base, base_labels, batch, labels, rng = world()
    wrong = rng.random(N_BATCH) < 0.4

    found, _ = judged(base, base_labels, batch, np.where(wrong, 1 - labels, labels))

    assert found.effect is not None
    without, admitted, less = found.effect.outcomes
    assert ("not admitting", "admitting") == (without.what, admitted.what)
    assert admitted.n_rows == without.n_rows + N_BATCH == less.n_rows + found.suspicious.sum()
    assert less.loss < admitted.loss
    assert without.loss < admitted.loss


def test_too_few_rows_or_one_class_are_not_enough_to_say() -> None:
    base, base_labels, batch, labels, rng = world()

    few = judge(read_table(base, batch[:50], base_labels, labels[:50]), rng)
    one_class = judge(read_table(base, batch, np.ones_like(base_labels), labels), rng)

    assert ("unknown", "unknown") == (few.verdict, one_class.verdict)
    assert "too few" in few.reasons[0]
    assert "all trusted rows have the label 1" in one_class.reasons[0]


def test_the_same_batch_gets_the_same_judgment() -> None:
    base, base_labels, batch, labels, _ = world()

    first, second = (judged(base, base_labels, batch, labels)[0] for _ in range(2))

    assert first.figures == second.figures
    assert first.effect == second.effect


def test_limits_learned_from_earlier_batches_let_a_usual_oddity_pass() -> None:
    base, base_labels, batch, labels, rng = world()
    wrong = rng.random(N_BATCH) < 0.1
    table = read_table(base, batch, base_labels, np.where(wrong, 1 - labels, labels))
    usual = [{"share": share, "own": share, "strange": 0.0} for share in (0.07, 0.12, 0.1, 0.08, 0.11, 0.09, 0.12, 0.1)]

    alone, among_its_like = (judge(table, np.random.default_rng(0), earlier=earlier) for earlier in ((), usual))

    assert alone.verdict in ("suspicious", "harmful")
    assert among_its_like.verdict in ("helps", "neutral")


def test_a_batch_of_one_class_is_judged_too() -> None:
    base, base_labels, _, _, rng = world()
    batch, _ = draw(500, rng)

    found, _ = judged(base, base_labels, batch, np.ones(500))

    assert found.verdict in ("suspicious", "harmful")


def test_rows_let_in_by_mistake_do_not_make_the_next_ones_look_usual() -> None:
    base, base_labels, batch, labels, rng = world()
    spoiled = base_labels.copy()
    spoiled[-400:] = np.where(rng.random(400) < 0.4, 1 - spoiled[-400:], spoiled[-400:])
    wrong = rng.random(N_BATCH) < 0.2

    found = judge(read_table(base, batch, spoiled, np.where(wrong, 1 - labels, labels)), rng, moments=np.arange(len(base)))

    assert found.verdict in ("suspicious", "harmful")


def test_a_column_whose_spans_bring_values_of_their_own_has_none_planted() -> None:
    base, base_labels, batch, labels, _ = world()
    order = np.argsort(base_labels[-2000:], kind="stable") + 2000  # so that a month's average has one label for many rows
    months = np.concatenate([np.arange(2000) // 200, 10 + np.arange(2000) // 200])
    base, base_labels = base[np.r_[0:2000, order]], base_labels[np.r_[0:2000, order]]
    averages = np.random.default_rng(1).permutation(40) + 0.5
    kept = np.flatnonzero(labels == 1)[:400]

    found = judge(
        read_table(
            base.with_columns(average=pl.Series(averages[months])),
            batch[kept].with_columns(average=pl.lit(averages[30])),
            base_labels,
            labels[kept],
        ),
        np.random.default_rng(0),
        moments=months,
    )

    assert () == found.triggers
