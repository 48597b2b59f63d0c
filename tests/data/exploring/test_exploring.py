"""An exploration finds what was planted, says nothing of honest data, and shows no value of a single row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from sampan.data.exploring.columns import FEWEST
from sampan.data.exploring.explore import Question, explore, take_sample
from sampan.data.exploring.groups import read_reference
from sampan.data.exploring.relations import associate
from sampan.data.exploring.rows import unseen_categories, view_overlap
from sampan.data.exploring.views import Exploration
from sampan.errors import ParameterError
from sampan.stats.profile_building import profile_table

N = 6_000


def orders(n: int = N, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    amount = rng.gamma(2.0, 30.0, n)
    city = rng.choice(["Hanoi", "Hue", "Da Nang", "Can Tho"], n, p=[0.5, 0.3, 0.15, 0.05])
    risk = 1 / (1 + np.exp(-(amount / 60 - 2 + (city == "Hue"))))
    return pl.DataFrame(
        {
            "id": np.arange(n) + 10_000,
            "at": pl.Series([start + timedelta(hours=float(h)) for h in rng.uniform(0, 24 * 180, n)]),
            "amount": np.round(amount, 2),
            "city": city,
            "sex": rng.choice(["f", "m"], n, p=[0.2, 0.8]),
            "note": [f"customer {k} wrote {rng.integers(1 << 40)}" for k in range(n)],
            "late": rng.random(n) < risk,
        }
    )


def explored(frame: pl.DataFrame, **asked: Any) -> Exploration:
    return explore(frame.lazy(), profile_table(frame), Question(ref="orders@v1", **asked))


def said(found: Exploration, topic: str) -> list[str]:
    return [one.text for one in found.warnings if one.topic == topic]


def test_honest_data_gets_no_grave_warning() -> None:
    found = explored(orders(), target=pl.col("late"), target_name="late", time="at", key=("id",), groups=("sex",))

    assert [one.text for one in found.warnings if one.level == "bad"] == []
    assert found.target is not None
    assert found.target.relations[0].column == "amount"
    assert {column.name: column.role for column in found.columns} == {
        "id": "identifier",
        "at": "",
        "amount": "",
        "city": "category",
        "sex": "category",
        "note": "free text",
        "late": "",
    }


def test_no_value_of_a_single_row_is_shown() -> None:
    frame = orders().with_columns(amount=pl.when(pl.col("id") == 10_007).then(987_654.5).otherwise("amount"))
    found = explored(frame, target=pl.col("late"), target_name="late", time="at", hidden={"sex": "personal data: other"})
    views = {view.name: view for view in found.columns}

    assert views["note"].categories == ()
    assert views["note"].hidden == "not a category"
    assert views["sex"].categories == ()
    assert views["sex"].hidden == "personal data: other"
    assert views["amount"].bins[0][-1] < 1_000
    assert sum(views["amount"].bins[1]) + views["amount"].n_outside == N
    assert all(n >= FEWEST for view in found.columns for _, n in (*view.categories, *view.shapes))
    assert "987654" not in repr(found).replace("_", "")
    assert "customer 7" not in repr(found)


def test_a_column_declared_safe_is_shown_and_a_rare_value_of_it_is_not() -> None:
    frame = pl.DataFrame({"code": [f"c{k % 300}" for k in range(6_000)] + ["rare"]})
    shown = explore(frame.lazy(), profile_table(frame), Question(ref="t@v1", safe={"code"})).columns[0]
    hidden = explored(frame).columns[0]

    assert len(shown.categories) == 12
    assert shown.n_other == 6_001 - sum(n for _, n in shown.categories)
    assert "rare" not in dict(shown.categories)
    assert hidden.categories == ()


def test_leaks_are_hinted_at_by_association_time_and_name() -> None:
    frame = orders().with_columns(
        refund=pl.when("late").then(pl.col("amount") * 2 + 1).otherwise(0.0),
        closed_at=pl.col("at") + pl.duration(days=30),
        late_reason=pl.lit("x"),
    )
    found = explored(frame, target=pl.col("late"), target_name="late", time="at")
    assert found.target is not None
    by = {hint.column: hint.by for hint in found.target.hints if hint.column != "late"}

    assert by == {"refund": "association", "closed_at": "time", "late_reason": "name"}
    assert found.warnings[0].weight == 100
    assert not any("refund" in idea.code for idea in found.features)


@pytest.mark.parametrize(("target", "kind", "best"), [("amount", "number", "double"), ("city", "classes", "town")])
def test_targets_may_be_numbers_and_classes(target: str, kind: str, best: str) -> None:
    frame = orders().with_columns(double=pl.col("amount") * 2, town=pl.col("city").str.to_uppercase())
    found = explored(frame, target=pl.col(target), target_name=target)

    assert found.target is not None
    assert found.target.kind == kind
    assert found.target.relations[0].column == best
    assert best in {hint.column for hint in found.target.hints}


@pytest.mark.parametrize("target", ["nothing", "note", "one"])
def test_a_target_that_cannot_be_one_says_why(target: str) -> None:
    with pytest.raises(ParameterError) as caught:
        explored(orders(200).with_columns(one=1), target=pl.col(target), target_name=target)

    assert caught.value.hint


def test_missing_values_that_come_together_are_paired_and_those_by_chance_are_not() -> None:
    rng = np.random.default_rng(4)
    together, alone = rng.random(N) < 0.1, rng.random(N) < 0.3
    frame = pl.DataFrame({"a": np.arange(N) % 70, "b": np.arange(N) % 50, "c": np.arange(N) % 60}).with_columns(
        a=pl.when(~pl.Series(together)).then("a"), b=pl.when(~pl.Series(together)).then("b"), c=pl.when(~pl.Series(alone)).then("c")
    )
    found = explored(frame)

    assert [(pair.a, pair.b, pair.n_both, pair.share) for pair in found.missing] == [("a", "b", int(together.sum()), 1.0)]
    assert found.n_complete == int((~together & ~alone).sum())


def test_drift_is_told_from_chance_and_the_calendar_from_drift() -> None:
    frame = orders().with_columns(
        month=pl.col("at").dt.month(),
        price=pl.when(pl.col("at") > datetime(2024, 5, 1, tzinfo=UTC)).then(pl.col("amount") * 2).otherwise("amount"),
        shop=pl.when(pl.col("at").dt.month() == 3).then(pl.lit("new")).otherwise("city"),
    )
    found = explored(frame, time="at")
    assert found.drift is not None
    by = {one.column: one for one in found.drift.columns}

    assert len(found.drift.periods) == 6 or len(found.drift.periods) == 26
    assert by["month"].is_time
    assert by["id"].distances[by["id"].worst] is not None
    assert {column for one in found.warnings if one.topic == "drift" for column in one.columns} == {"price", "shop"}
    assert (by["amount"].distances[by["amount"].worst] or 0) <= 2 * by["amount"].noise


def test_groups_are_held_against_a_reference_with_intervals_and_crossed() -> None:
    reference = pl.DataFrame({"sex": ["f", "m", "x"], "count": [51, 48, 1]})
    _, shares = read_reference(reference, ["sex", "city"])
    found = explored(orders(), target=pl.col("late"), target_name="late", groups=("sex", "city"), reference=shares, reference_name="census")
    sexes = {cell.values[0]: cell for cell in found.groups[0].cells}

    assert {value: cell.verdict for value, cell in sexes.items()} == {"m": "too many", "f": "too few", "x": "absent"}
    assert sexes["f"].low < 0.2 < sexes["f"].high
    assert sexes["f"].expected == pytest.approx(0.51)
    assert sexes["f"].rate is not None
    assert [view.columns for view in found.groups] == [("sex",), ("city",), ("sex", "city")]
    assert sum(cell.n for cell in found.groups[2].cells) == N
    assert found.groups[2].reference == ""
    assert any(cell.is_small for cell in found.groups[2].cells)
    assert sum("expected by census" in text for text in said(found, "groups")) == 2


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"age": [1]}, "has none of the columns"),
        ({"sex": ["f"], "share": [-1.0]}, "at least 0"),
        ({"sex": ["f"], "share": [None]}, "at least 0"),
    ],
)
def test_a_reference_that_says_nothing_is_refused(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        read_reference(pl.DataFrame(table, schema_overrides={"share": pl.Float64} if "share" in table else {}), ["sex"])


def test_repeated_and_nearly_repeated_rows_are_counted() -> None:
    frame = orders(1_000)
    repeated = frame[:50]
    renamed = frame[100:130].with_columns(city=pl.lit("Hoi An"))
    spelled = frame[200:210].with_columns(note=pl.col("note").str.to_uppercase() + " ")
    found = explored(pl.concat([frame, repeated, renamed, spelled]))

    assert found.repeats is not None
    assert found.repeats.repeated_share == pytest.approx(50 / 1_090)
    assert found.repeats.n_near == 2 * (30 + 10)
    assert {(one.column, one.n) for one in found.repeats.near} == {("city", 60), ("note", 20)}
    assert any("repeat another one" in text for text in said(found, "repeats"))


def test_rows_of_a_test_set_that_are_in_the_training_set_are_found() -> None:
    train = orders()
    test = pl.concat([train[:40], orders(160, seed=9).with_columns(id=pl.col("id") + 100_000)])
    overlap = view_overlap(train.lazy(), test.lazy(), name="test@v1", keys=["id"], n_rows=(N, 200))

    assert (overlap.n_found, overlap.n_other, overlap.n_keys_found) == (40, 200, 40)
    assert overlap.columns == tuple(train.columns)
    other = test.with_columns(city=pl.when(pl.col("id") > 100_000).then(pl.lit("Vinh")).otherwise("city"))
    assert unseen_categories(profile_table(train), profile_table(other)) == (("city", 0.8),)
    assert view_overlap(train.lazy(), pl.LazyFrame({"z": [1]}), name="z", n_rows=(N, 1)).columns == ()


def test_columns_of_every_kind_are_compared_and_unrelated_ones_are_near_nothing() -> None:
    rng = np.random.default_rng(3)
    a, k = rng.normal(size=4_000), rng.integers(0, 5, 4_000)
    frame = pl.DataFrame(
        {
            "a": a,
            "cube": -(a**3),
            "noise": rng.normal(size=4_000),
            "group": pl.Series(k).cast(pl.String),
            "twin": (pl.Series(k) * 7 % 5).cast(pl.String),
            "by_group": k * 10 + rng.normal(size=4_000),
            "coin": pl.Series(rng.integers(0, 2, 4_000)).cast(pl.String),
        }
    )
    names, matrix, pairs = associate(frame, frame.columns)
    strength = {(names[i], names[j]): matrix[i][j] for i in range(len(names)) for j in range(len(names))}

    assert strength["a", "cube"] == 1.0
    assert next(pair for pair in pairs if {pair.a, pair.b} == {"a", "cube"}).sign == -1
    assert strength["group", "twin"] == pytest.approx(1.0, abs=1e-3)
    assert (strength["by_group", "group"] or 0) > 0.97
    assert all((strength[other, one] or 0) < 0.06 for one in ("noise", "coin") for other in names if other != one)


def test_texts_that_are_times_or_numbers_are_noticed() -> None:
    frame = pl.DataFrame(
        {"when": [f"2024-01-{k % 28 + 1:02} 10:{k % 60:02}" for k in range(2_000)], "size": [str(k * 1.5) for k in range(2_000)]}
    )
    found = explored(frame)

    assert sorted(said(found, "columns")) == [
        "size is text, yet nearly all of it reads as numbers",
        "when is text, yet nearly all of it reads as times",
    ]


@pytest.mark.parametrize(
    "frame", [pl.DataFrame(), pl.DataFrame({"a": []}), pl.DataFrame({"a": [None, None]}), pl.DataFrame({"a": [[1], [2]]})]
)
def test_there_may_be_nothing_to_explore(frame: pl.DataFrame) -> None:
    assert explored(frame).n_rows == frame.height


def test_a_sample_is_the_same_every_time_and_about_as_large_as_wanted() -> None:
    rows = pl.LazyFrame({"a": np.arange(50_000)})
    sample = take_sample(rows, 50_000, most=5_000)

    assert sample.equals(take_sample(rows, 50_000, most=5_000))
    assert sample.height == pytest.approx(5_000, rel=0.05)
    assert sample["a"].mean() == pytest.approx(25_000, rel=0.02)


def test_quantiles_and_means_are_those_of_the_rows() -> None:
    rng = np.random.default_rng(8)
    frame = pl.DataFrame({"round": rng.normal(57.5, 2.2, 20_000).round(), "tenths": rng.normal(61.7, 1.4, 20_000).round(1)})
    for view in explored(frame).columns:
        column = frame[view.name]
        expected = [column.quantile(share, "lower") for share in (0.05, 0.25, 0.5, 0.75, 0.95)]

        assert view.quantiles == pytest.approx(expected, rel=0.0 if view.name == "round" else 1e-3)
        assert view.mean == pytest.approx(column.mean(), rel=1e-4)
        assert view.deviation == pytest.approx(column.std(), rel=1e-3)


def test_values_on_the_fence_are_no_outliers() -> None:
    frame = pl.DataFrame({"table": [56.0, 57.0, 58.0, 59.0] * 500 + [68.0] * 30 + [69.0, 69.5, 40.0] + [float(k) for k in range(50, 66)]})
    (found,) = explored(frame).outliers

    assert (found.low, found.high) == (51.0, 65.0)  # 65 is there, and is none
    assert (found.n_below, found.n_above) == (2, 32)


def test_a_large_tables_quantiles_are_those_of_its_rows_too() -> None:
    frame = pl.DataFrame({"round": np.random.default_rng(8).normal(57.5, 2.2, 130_000).round()})
    found = explored(frame)

    assert found.n_sampled < 130_000
    assert list(found.columns[0].quantiles) == [frame["round"].quantile(share, "lower") for share in (0.05, 0.25, 0.5, 0.75, 0.95)]


def test_columns_that_are_missing_or_say_the_same_together_are_named_once() -> None:
    amount = np.random.default_rng(2).gamma(2.0, 30.0, N)
    gone = pl.Series(np.arange(N) % 3 > 0)
    frame = pl.DataFrame({"a": amount, "b": amount * 2, "c": amount * 3 + 1, "x": np.arange(N) % 70, "y": np.arange(N) % 50})
    found = explored(frame.with_columns(x=pl.when(~gone).then("x"), y=pl.when(~gone).then("y")))

    assert said(found, "missing") == ["x, y are missing in 66.7% of the rows, in the same ones"]
    assert said(found, "associations") == ["a, b, c say the same (Spearman 1.00 or more)"]
