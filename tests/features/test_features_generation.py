from __future__ import annotations

import msgspec
import polars as pl

from sampan.features import DAY, Columns, Label, features, flag, moment, number, past, text, view_tables
from sampan.features.generation import MOST, PREFIX, candidates, with_features
from sampan.features.nodes import Column, Past, children, walk
from sampan.features.view import Feature, View

loans = Columns(
    loan=number(nullable=False),
    asked=moment(nullable=False),
    due=moment(),
    branch=text(),
    job=text(),
    amount=number(),
    income=number(),
    is_new=flag(),
    left=flag(later=True),
    known=moment(later=True),
)
label = Label(loans.left, known_at=loans.known)


@features(on="loans", columns=loans, key=["loan"], slices=["branch"], moment=loans.asked, label=label)
def loans_view(row: Columns) -> dict[str, object]:
    return {"amount": row.amount, "share": row.amount / row.income}


def names(view: View = loans_view) -> set[str]:
    return {each.name for each in candidates(view)}


def reads_later(item: Feature) -> bool:
    outside = walk(item.value, lambda node: () if isinstance(node, Past) else children(node))
    return bool({node.name for node in outside if isinstance(node, Column)} & {"left", "known"})


def test_moments_pairs_categories_and_history_are_made_of_declared_columns() -> None:
    expected = {"income", "is_new", "job_by_label", "asked_hour", "due_ahead", "branch_label_7d", "amount_times_income"}

    assert {PREFIX + name for name in expected} <= names()


def test_what_is_there_already_and_what_names_a_row_is_not_made_again() -> None:
    assert not {f"{PREFIX}amount", f"{PREFIX}amount_per_income"} & names()
    assert not any("loan" in name.removeprefix(PREFIX) for name in names())


def test_what_is_known_only_later_enters_by_the_past_alone() -> None:
    assert not [item.name for item in candidates(loans_view) if reads_later(item)]


def test_a_view_with_all_of_them_is_checked_and_computed() -> None:
    longer = with_features(loans_view, candidates(loans_view))
    hour = 3_600_000
    frame = pl.DataFrame(
        {
            "loan": [1, 2, 3],
            "asked": [0, 30 * hour, 60 * hour],
            "due": [5 * hour, None, 70 * hour],
            "branch": ["a", "a", None],
            "job": ["x", None, "y"],
            "amount": [2.0, 0.0, None],
            "income": [4.0, 0.0, 1.0],
            "is_new": [True, False, None],
            "left": [True, False, False],
            "known": [10 * hour, 40 * hour, 80 * hour],
        }
    )

    made = view_tables.batch(longer, {"loans": frame.lazy()})

    assert [5 * 3600.0, None, 10 * 3600.0] == made["made_due_ahead"].to_list()
    assert [None, 1.0, None] == made["made_branch_label_7d"].to_list()
    assert [8.0, 0.0, None] == made["made_amount_times_income"].to_list()
    assert longer == msgspec.json.decode(msgspec.json.encode(longer), type=View)


def test_there_are_never_too_many() -> None:
    wide = Columns(
        id=number(), at=moment(), y=flag(later=True), **{f"n{i}": number() for i in range(200)}, **{f"t{i}": text() for i in range(60)}
    )

    @features(on="wide", columns=wide, key=["id"], moment=wide.at, label=Label(wide.y, known_at=wide.at + DAY))
    def view(row: Columns) -> dict[str, object]:
        return {"n0": row.n0}

    assert MOST == len(candidates(view)) == len(names(view))


def test_a_label_that_looks_at_other_rows_itself_gives_no_history() -> None:
    often = past(loans.left, by=[loans.branch], known_at=loans.known, window="7d", stat="rate") > 0.5

    @features(on="loans", columns=loans, key=["loan"], moment=loans.asked, label=Label(often, known_at=loans.known))
    def view(row: Columns) -> dict[str, object]:
        return {"amount": row.amount}

    assert names(view)
    assert not any("_label_" in name for name in names(view))
