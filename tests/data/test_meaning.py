"""Finding things by what their words mean."""

from __future__ import annotations

import pytest

from sampan.data.meaning import Document, find, words_of

SHELF = [
    Document("flights", {"name": ["flights"], "column": ["dep_delay", "tailnum"], "description": ["departures from New York"]}),
    Document("airports", {"name": ["airports"], "column": ["faa", "latitude"], "description": ["where they are"]}),
    Document("orders", {"name": ["orders"], "column": ["customerId", "total_price"], "description": ["Đơn hàng của khách"]}),
]
WEIGHTS = {"name": 5.0, "column": 3.0}


def names(query: str) -> list[str]:
    return [match.name for match in find(query, SHELF, weights=WEIGHTS)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("flights", ["flights"]),
        ("delay", ["flights"]),
        ("late", ["flights"]),  # means the same
        ("airplane", ["flights"]),
        ("client", ["orders"]),
        ("sân bay", ["airports"]),
        ("khách hàng", ["orders"]),
        ("don hang", ["orders"]),
        ("airprots", ["airports"]),  # misspelled
        ("custom", ["orders"]),  # begun
        ("what data do we have about flights", ["flights"]),
        ("dữ liệu về sân bay", ["airports"]),
        ("air", ["airports"]),
        ("customers from 1990", ["orders"]),
        ("weather of mars", []),
        ("what do we have", []),
        ("", []),
        ("  !", []),
    ],
)
def test_datasets_are_found_by_name_column_meaning_and_near_spelling(query: str, expected: list[str]) -> None:
    assert names(query) == expected


def test_a_word_in_the_name_counts_more_than_one_in_the_description() -> None:
    shelf = [Document("b", {"description": ["weather at airports"]}), Document("weather", {"name": ["weather"]})]

    assert [match.name for match in find("weather", shelf, weights=WEIGHTS)] == ["weather", "b"]


def test_a_match_says_what_of_it_fits() -> None:
    (match,) = find("delay of tail numbers", SHELF, weights=WEIGHTS)

    assert ("column", "dep_delay") in match.why


def test_names_are_taken_apart() -> None:
    assert [words_of("flightDepartures"), words_of("HTTPStatus2"), words_of("Sân bay")] == [
        ["flight", "departure"],
        ["http", "status", "2"],
        ["san", "bay"],
    ]
