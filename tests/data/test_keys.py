"""Keys are the smallest sets of columns that tell rows apart."""

import polars as pl

from sampan.data.keys import find_keys, is_unique
from sampan.data.references import find_references


def test_one_column_is_preferred_and_named_ids_come_first() -> None:
    frame = pl.DataFrame({"size": [3, 1, 2], "order_id": [7, 8, 9], "color": ["r", "g", "r"]})

    assert find_keys(frame) == [("order_id",), ("size",)]


def test_a_composite_key_is_found_where_no_column_is_unique() -> None:
    frame = pl.DataFrame({"day": [1, 1, 2, 2], "shop": ["a", "b", "a", "b"], "sold": [5, 5, 5, 5]})

    assert find_keys(frame) == [("shop", "day")] or find_keys(frame) == [("day", "shop")]


def test_columns_with_missing_values_or_floats_are_no_keys() -> None:
    assert find_keys(pl.DataFrame({"a": [1, None, 3], "b": [0.1, 0.2, 0.3]})) == []
    assert find_keys(pl.DataFrame({"a": [1]})) == []


def test_a_duplicate_far_from_its_twin_is_found() -> None:
    n = 30_000
    frame = pl.DataFrame({"id": [*range(n), 0], "x": [i % 7 for i in range(n + 1)]})

    assert not is_unique(frame, ["id"])
    assert ("id",) not in find_keys(frame)


def test_the_keys_of_the_flights(some_flights: pl.DataFrame, small_tables: dict[str, pl.DataFrame]) -> None:
    assert find_keys(some_flights)[0] == ("carrier", "flight", "time_hour")
    assert find_keys(small_tables["planes"]) == [("tailnum",)]
    assert find_keys(small_tables["weather"]) == [("origin", "time_hour")]
    assert find_keys(small_tables["airports"]) == [("faa",)]


def test_references_go_by_name_or_by_values(some_flights: pl.DataFrame, small_tables: dict[str, pl.DataFrame]) -> None:
    keys = {name: find_keys(table) for name, table in small_tables.items()}
    found = {(r.columns, r.table, r.to_columns) for r in find_references(some_flights, small_tables, keys)}

    assert found == {
        (("carrier",), "airlines", ("carrier",)),
        (("tailnum",), "planes", ("tailnum",)),
        (("origin",), "airports", ("faa",)),
        (("dest",), "airports", ("faa",)),
        (("origin", "time_hour"), "weather", ("origin", "time_hour")),
    }


def test_small_numbers_of_another_name_refer_to_nothing() -> None:
    shops = pl.DataFrame({"shop": range(100), "city": ["x"] * 100})
    sales = pl.DataFrame({"pieces": [1, 2, 3] * 20, "store": [5, 6, 7] * 20})

    assert find_references(sales, {"shops": shops}, {"shops": [("shop",)]}) == ()
