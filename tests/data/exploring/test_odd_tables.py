"""Tables of odd shape are explored, too: few rows, odd names, infinite values, bytes, many classes; and nothing wrong is said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from sampan.data.contract_yaml import read_contract
from sampan.data.exploring.explore import Question, explore
from sampan.data.exploring.groups import read_reference
from sampan.data.exploring.rows import view_overlap
from sampan.data.exploring.target import OTHERS
from sampan.data.exploring.views import Exploration
from sampan.errors import ParameterError
from sampan.features import Columns, flag, moment, number, text
from sampan.stats.profile_building import profile_table
from sampan.web.explored import render_exploration

N = 2_000
_RNG = np.random.default_rng(5)
NOISE = _RNG.normal(size=N)
START = datetime(2024, 1, 1, tzinfo=UTC)


def explored(frame: pl.DataFrame, **asked: Any) -> Exploration:
    return explore(frame.lazy(), profile_table(frame), Question(ref="odd@v1", **asked))


def said(found: Exploration) -> str:
    return "\n".join(one.text for one in found.warnings)


@pytest.mark.parametrize("n_rows", [1, 9, 10, 15, 19, 20, 29, 30, 41])
def test_a_column_of_few_rows_is_described(n_rows: int) -> None:
    days = [START + timedelta(days=k) for k in range(n_rows)]
    found = explored(pl.DataFrame({"x": NOISE[:n_rows], "at": days, "day": [one.date() for one in days]}), time="at")

    assert [view.n_distinct for view in found.columns] == [n_rows] * 3
    assert all(list(view.bins[0]) == sorted(view.bins[0]) for view in found.columns)


def test_a_value_that_one_row_has_is_no_end_of_a_histogram() -> None:
    found = explored(pl.DataFrame({"pay": [0.0] * (N - 1) + [987_654.0], "sick": [False] * (N - 1) + [True]}))
    pay, sick = found.columns

    assert (pay.bins, pay.n_outside) == (((0.0,), (N - 1,)), 1)
    assert (sick.categories, sick.n_other) == ((("false", N - 1),), 1)
    assert "987" not in render_exploration(found, "en")


def test_columns_may_be_called_as_we_call_our_own() -> None:
    names = ["n", "count", "share", "row_", "label", "begin", "text", "class"]
    frame = pl.DataFrame({name: _RNG.choice(["a", "b"], N) for name in names}).with_columns(x=NOISE)
    reference = read_reference(pl.DataFrame({"share": ["a", "b"], "count": [1, 3]}), ["share"])[1]
    found = explored(frame, target=pl.col("class"), target_name="class", groups=("n", "share"), reference=reference, reference_name="r.csv")

    shares = {cell.values: cell.expected for view in found.groups if view.columns == ("share",) for cell in view.cells}

    assert set(names) < {view.name for view in found.columns}
    assert shares == {("a",): 0.25, ("b",): 0.75}


def test_a_large_table_may_have_any_names() -> None:
    frame = pl.DataFrame({"row_": np.arange(120_000) % 7, "n": np.arange(120_000) % 3})

    assert explored(frame, groups=("n",)).n_sampled < 120_000


def test_infinite_and_very_large_numbers_are_compared_and_counted() -> None:
    x = np.where(np.arange(N) < 40, np.inf, NOISE)
    x[40:60] = np.nan
    frame = pl.DataFrame({"x": x, "huge": NOISE * 1e307, "y": NOISE, "at": [START + timedelta(hours=k) for k in range(N)]})
    for target in ("huge", "x"):
        found = explored(frame, target=pl.col(target), target_name=target, time="at")
        assert found.target is not None
        by = {one.column: one.strength for one in found.target.relations}
        assert by["y"] == pytest.approx(1.0, abs=1e-6)

    assert "x has 60 values that are NaN or infinite" in said(found)


def test_bytes_and_nested_values_are_left_alone_and_not_called_constant() -> None:
    frame = pl.DataFrame(
        {"raw": [b"\xff\x00" + bytes([k % 5]) for k in range(N)], "many": [[k] for k in range(N)], "x": NOISE},
    ).with_columns(long=pl.duration(seconds=pl.int_range(N)))
    found = explored(frame, target=pl.col("x") > 0, target_name="x > 0")

    assert {view.name: view.role for view in found.columns} == {"raw": "", "many": "", "x": "", "long": ""}
    assert "one value only" not in said(found)
    assert not any("drop" in step.code for step in found.cleaning)


def test_of_many_classes_the_rare_ones_are_taken_together() -> None:
    rare = [f"rare {k % 40}" for k in range(400)]
    kinds = pl.Series("kind", [*rare, *(f"kind {k % 20:02}" for k in range(N - 400))])
    found = explored(pl.DataFrame({"kind": kinds, "x": NOISE}), target=pl.col("kind"), target_name="kind")
    assert found.target is not None

    assert (found.target.n_classes, len(found.target.balance)) == (60, 20)
    assert dict(found.target.balance)[OTHERS] == 400 + (N - 400) // 20
    assert "unbalanced" not in said(found)
    with pytest.raises(ParameterError, match="most of them in fewer than 10 rows"):
        explored(pl.DataFrame({"name": [f"n{k}" for k in range(N)]}), target=pl.col("name"), target_name="name")


@pytest.mark.parametrize("target", ["amount", "kind"])
def test_a_column_dated_later_is_hinted_at_whatever_the_target(target: str) -> None:
    at = pl.Series([START + timedelta(hours=k) for k in range(N)])
    frame = pl.DataFrame({"at": at, "paid_at": at + timedelta(days=3), "amount": NOISE, "fee": 1.5}).with_columns(
        kind=pl.int_range(N).mod(3).cast(pl.String)
    )
    found = explored(frame, target=pl.col(target), target_name=target, time="at", known={"fee": "after"})
    assert found.target is not None

    assert {"paid_at": "time", "fee": "time"}.items() <= {hint.column: hint.by for hint in found.target.hints}.items()


def test_a_word_that_most_columns_share_hints_at_nothing() -> None:
    frame = pl.DataFrame({f"col{k}": np.roll(NOISE, k) for k in range(20)}).with_columns(col3_final=pl.lit("x"))
    found = explored(frame, target=pl.col("col3") > 0, target_name="col3 > 0")
    assert found.target is not None

    assert [hint.column for hint in found.target.hints if hint.by == "name"] == ["col3_final"]


def test_rows_of_few_values_repeat_by_chance_and_copied_ones_do_not() -> None:
    coarse = pl.DataFrame({name: _RNG.integers(0, 9, N) for name in "abc"})
    fine = pl.DataFrame({name: np.roll(NOISE, k) for k, name in enumerate("abc")})
    by_chance, copied = explored(coarse), explored(pl.concat([fine, fine[:100]]))

    assert [(one.level, one.topic) for one in by_chance.warnings if "repeat another" in one.text] == [("info", "repeats")]
    assert not any("unique" in step.code for step in by_chance.cleaning)
    assert [(one.level, one.topic) for one in copied.warnings if "repeat another" in one.text] == [("bad", "repeats")]
    assert any("unique" in step.code for step in copied.cleaning)


def test_a_test_set_like_the_table_by_chance_shares_no_rows_with_it() -> None:
    frame = pl.DataFrame({"x": NOISE, "b": np.arange(N) % 9, "c": np.arange(N) % 4})
    coarse = pl.DataFrame({"b": np.arange(100.0) % 9, "c": np.arange(100) % 4})
    copied = frame[:100].with_columns(pl.col("b").cast(pl.Float64))
    levels = []
    for other in (coarse, copied):
        overlap = view_overlap(frame.lazy(), other.lazy(), name="test@v1", n_rows=(N, 100))
        found = explore(frame.lazy(), profile_table(frame), Question(ref="odd@v1"), overlap=overlap)
        levels.append((overlap.columns, overlap.n_found, [one.level for one in found.warnings if one.topic == "overlap"]))

    assert levels == [(("b", "c"), 100, ["info"]), (("x", "b", "c"), 100, ["bad"])]


def test_rows_that_differ_in_the_only_column_that_varies_are_not_near() -> None:
    found = explored(pl.DataFrame({"a": [f"text {k}" for k in range(N)], "b": [""] * N, "c": [f"c{k % 3}" for k in range(N)]}))

    assert "single column" not in said(found)


@pytest.mark.parametrize(
    ("step", "periods"),
    [
        (timedelta(days=365), ["1990", "2044"]),
        (timedelta(minutes=1), ["2024-01-01 00:00", "2024-01-01 00:35"]),
        (timedelta(days=1), ["2024-01-01", "2024-01-30"]),
    ],
)
def test_time_is_cut_into_whatever_steps_it_spans(step: timedelta, periods: list[str]) -> None:
    years = step.days > 300
    start, n = (datetime(1990, 1, 5, tzinfo=UTC), 55) if years else (START, 30 if step.days else 36)
    frame = pl.DataFrame({"at": [start + step * (k % n) for k in range(N)], "x": NOISE})
    found = explored(frame, time="at")
    assert found.drift is not None

    if years:
        assert found.drift.periods == ("1990s", "2000s", "2010s", "2020s", "2030s", "2040s")
    else:
        assert [found.drift.periods[0], found.drift.periods[-1]] == periods


def test_a_day_that_comes_once_a_month_is_named_by_its_month() -> None:
    found = explored(pl.DataFrame({"at": [date(2024, 1 + k % 12, 1) for k in range(N)], "x": NOISE}), time="at")
    assert found.drift is not None

    assert found.drift.periods[0] == "2024-01"


def test_what_is_suggested_works_as_it_is_written() -> None:
    paid = 50 + 10 * NOISE
    frame = pl.DataFrame(
        {
            "số tiền": np.exp(NOISE),
            "values": pl.Series(paid).set(pl.Series(np.arange(N) % 8 == 0), None),
            "tip": paid * 0.2 + _RNG.normal(size=N),
            "class": [float(k % 40) if k % 9 else None for k in range(N)],
            "city": [["Hanoi", 'Hue "Imperial"'][k % 2] for k in range(N)],
            "no": np.arange(N) + 70_000,
            "from": [START + timedelta(hours=k) for k in range(N)],
            "until": [START + timedelta(hours=k + k % 5) for k in range(N)],
        }
    )
    found = explored(pl.concat([frame, frame[:40]]))
    declared = {"city": text(), "from": moment(), "until": moment()}
    columns = Columns(**{name: declared.get(name, number()) for name in frame.columns}, late=flag())

    for idea in found.features:
        assert eval(idea.code, {"c": columns}) is not None
    for step in found.cleaning:
        if step.code.startswith("df."):
            assert eval(step.code, {"df": frame, "pl": pl}).height > 0
    written = " ".join(idea.code for idea in found.features)
    assert all(f"c.{way}" in written for way in ("tip", "column('values')", "column('from')", "column('số tiền')"))
    assert len(found.rules) > 4
    for rule in found.rules:
        column = rule.text.split(" is one of")[0].split(" is unique")[0].split(" lies")[0]
        name = column if column in frame.columns else "tip"
        document = f"""{{apiVersion: v3.1.0, kind: DataContract, id: t, name: t, version: 1.0.0, status: draft,
            schema: [{{name: t, properties: [{{name: {name!r}, logicalType: number, {rule.code}}}]}}]}}"""
        contract = read_contract(document, file="t.yaml")
        assert contract.rules or contract.columns[0].required


def test_neighboring_years_and_large_ids_are_told_apart() -> None:
    frame = pl.DataFrame({"year": [1990 + k % 20 for k in range(N)], "account": [5_000_000 + k % 500 for k in range(N)]})
    year, account = explored(frame).columns

    assert year.bins[1] == (N // 20,) * 20
    assert year.quantiles[2] == 1999.0
    assert account.quantiles[2] == pytest.approx(5_000_249, abs=2)
    assert account.most_share == 4 / N
    assert min(account.bins[1]) > 0


def test_names_in_vietnamese_are_compared_by_their_words() -> None:
    names = ("lý do quá hạn", "quá trình", "kết quả thu hồi", "hạn mức")
    columns = {name: np.roll(NOISE, k + 1) for k, name in enumerate(names)}
    found = explored(pl.DataFrame({"quá hạn": NOISE > 0, **columns}), target=pl.col("quá hạn"), target_name="quá hạn")
    assert found.target is not None

    hinted = {hint.column: hint.by for hint in found.target.hints}
    assert hinted == {"lý do quá hạn": "name", "kết quả thu hồi": "name"}


def test_numbers_and_times_are_written_as_people_do() -> None:
    days = [START + timedelta(hours=k) for k in range(N)]
    frame = pl.DataFrame({"at": days, "income": 25_000 + 5_000 * NOISE, "late": NOISE > 0})
    page = render_exploration(explored(frame, target=pl.col("late"), target_name="late"), "en")

    assert "e+" not in page.split("</style>")[1]
    assert "50 %: 2024-02-" in page


def test_a_column_that_hardly_varies_is_named_and_zeros_are_counted() -> None:
    frame = pl.DataFrame({"flag": ["no"] * (N - 15) + ["yes"] * 15, "fee": [0.0] * (N - 12) + [5.0] * 12, "half": [0, 7] * (N // 2)})
    found = explored(frame)

    assert said(found).splitlines()[-2:] == [
        "flag has the same value in 99.2% of the rows that have one",
        "fee has the same value in 99.4% of the rows that have one",
    ]
    assert [view.zero_share for view in found.columns] == [0.0, 1 - 12 / N, 0.5]


def test_ids_that_start_high_are_drawn_to_their_ends() -> None:
    (view,) = explored(pl.DataFrame({"account": np.arange(20_000) + 5_000_000})).columns

    assert view.bins[0][0] == pytest.approx(5_000_020, abs=2)
    assert view.n_outside == pytest.approx(40, abs=4)


def test_long_names_and_texts_make_no_large_page() -> None:
    values = [chr(97 + k) * 3_000 for k in range(10)]
    columns = {"q" * 400 + f" {k}": _RNG.choice(values, 400) for k in range(60)}
    found = explored(pl.DataFrame({**columns, "y": NOISE[:400] > 0}), target=pl.col("y"), target_name="y", groups=[*columns][:4])
    page = render_exploration(found, "en")

    assert len(page) < 500_000
    assert "a" * 79 + "…" in page
    assert "a" * 80 not in page
