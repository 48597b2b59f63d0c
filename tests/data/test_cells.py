"""Wrong cells: what is found in a table alone, what is suggested, and what is left in peace."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import cycle, islice

import numpy as np
import polars as pl
import pytest
from sklearn import datasets

from sampan.data.cells import find_cell_errors
from sampan.data.cells_repair import apply_repairs
from sampan.data.cells_shapes import shape_of

CITIES = ["Hanoi", "Huế", "Đà Nẵng", "Hải Phòng", "Cần Thơ"]


def found_in(**columns: object) -> dict[tuple[int, str], tuple[str, str | None]]:
    """Return kind and repair by row and column."""
    cells = find_cell_errors(pl.DataFrame(columns)).cells
    return {(row, column): (kind, repair) for row, column, _, kind, repair, *_ in cells.iter_rows()}


def many(values: list[str], n: int = 200) -> list[str]:
    return list(islice(cycle(values), n))


def test_a_typo_is_found_and_mended_by_the_frequent_value_it_is_near() -> None:
    names = many(["birmingham", "montgomery", "huntsville"])
    names[7], names[20], names[31] = "birmingxam", "montgomry", "hunstville"

    assert found_in(city=names) == {
        (7, "city"): ("typo", "birmingham"),
        (20, "city"): ("typo", "montgomery"),
        (31, "city"): ("typo", "huntsville"),
    }


def test_a_spelling_in_other_case_blanks_or_accents_is_no_value_of_its_own() -> None:
    names = many(CITIES)
    names[3], names[11], names[17] = "hanoi ", "HUE", "da nang"

    assert found_in(city=names) == {
        (3, "city"): ("spelling", "Hanoi"),
        (11, "city"): ("spelling", "Huế"),
        (17, "city"): ("spelling", "Đà Nẵng"),
    }


def test_codes_that_differ_by_a_digit_or_letter_are_not_typos_of_each_other() -> None:
    codes = many(["N5FRAA", "N101UA"], 400)
    codes[5], codes[9] = "N5DRAA", "N102UA"

    assert found_in(tail=codes) == {}


def test_a_cell_that_contradicts_its_group_is_named_with_what_the_group_says() -> None:
    rng = np.random.default_rng(3)
    shops = [f"s{n}" for n in rng.integers(0, 20, 600)]
    cities = [CITIES[int(shop[1:]) % 5] for shop in shops]
    regions = [{"Hanoi": "north", "Hải Phòng": "north", "Cần Thơ": "south"}.get(city, "middle") for city in cities]
    right = cities[100]
    cities[100] = next(city for city in CITIES if city != right)

    assert found_in(shop=shops, city=cities, region=regions)[100, "city"] == ("dependency", right)


def test_a_wrong_determinant_does_not_make_the_rest_of_its_row_wrong() -> None:
    shops = [f"s{i % 20}" for i in range(600)]
    cities = [CITIES[int(shop[1:]) % 5] for shop in shops]
    phones = [f"04-{1000 + int(shop[1:])}" for shop in shops]
    managers = [f"manager {chr(97 + int(shop[1:]))}" for shop in shops]
    shops[40] = "s7"

    assert found_in(shop=shops, city=cities, phone=phones, manager=managers) == {(40, "shop"): ("dependency", "s0")}


def test_a_missing_cell_whose_group_knows_the_value_is_filled() -> None:
    shops = [f"s{i % 20}" for i in range(600)]
    cities: list[str | None] = [CITIES[int(shop[1:]) % 5] for shop in shops]
    cities[41] = None

    assert found_in(shop=shops, city=cities) == {(41, "city"): ("missing", CITIES[1])}


def test_all_rows_of_a_branch_that_say_otherwise_are_a_rule_and_no_fault() -> None:
    measures = [f"m{i % 10}" for i in range(600)]
    states = ["ak" if i < 10 else "al" for i in range(600)]
    averages = [f"{state}_{measure}" for state, measure in zip(states, measures, strict=True)]

    clinics = [f"clinic {i // 10}" for i in range(600)]

    assert found_in(clinic=clinics, state=states, measure=measures, average=averages) == {}


def test_sources_that_copy_each_other_have_one_vote() -> None:
    things = [f"VN{n}" for n in range(60)]
    copies, honest = ["alpha", "beta", "gamma", "delta"], ["north", "south", "east", "west", "central"]
    rows = []
    for n, thing in enumerate(things):
        truth = f"{n % 12 + 1}:{n % 60:02}"
        wrong = f"{n % 12 + 1}:{(n + 7) % 60:02}"
        rows += [(thing, name, wrong if n % 2 else truth) for name in copies]
        rows += [(thing, name, f"{n % 12 + 1}:{(n + 20 + i) % 60:02}" if n % 5 == i else truth) for i, name in enumerate(honest)]
    table = pl.DataFrame(rows, schema=["flight", "source", "departs"], orient="row")
    true_of = {thing: f"{n % 12 + 1}:{n % 60:02}" for n, thing in enumerate(things)}
    cells = find_cell_errors(table).cells

    assert {row for row, *_ in cells.iter_rows()} == {i for i, (thing, _, said) in enumerate(rows) if said != true_of[thing]}
    assert all(repair == true_of[rows[row][0]] for row, _, _, _, repair, *_ in cells.iter_rows())


def test_units_in_a_column_of_numbers_go_from_the_cells_that_have_one() -> None:
    shares = [f"0.0{i % 9 + 1}" for i in range(100)]
    shares[4], shares[8] = "0.05%", "0.055999999999999994%"

    assert found_in(abv=shares) == {(4, "abv"): ("unit", "0.05"), (8, "abv"): ("unit", "0.056")}


def test_per_cent_is_turned_into_a_share_where_the_rest_are_shares() -> None:
    shares = [f"0.{i % 9 + 1}" for i in range(100)]
    shares[4] = "40%"

    assert found_in(rate=shares) == {(4, "rate"): ("unit", "0.4")}


def test_a_unit_spelled_in_several_ways_goes_from_every_cell() -> None:
    sizes = many(["12.0 oz", "12.0 oz.", "16.0 ounce", "12 oz. can"])

    assert set(found_in(size=sizes).values()) == {("unit", "12"), ("unit", "16")}
    assert len(found_in(size=sizes)) == 200


def test_a_unit_that_all_cells_share_is_no_fault() -> None:
    assert found_in(score=[f"{n % 100} %" for n in range(200)]) == {}


def test_numbers_in_another_unit_come_back_by_a_known_factor() -> None:
    heights = np.random.default_rng(0).normal(172, 8, 300).round(1)
    heights[10] = 1.68

    assert found_in(height=heights) == {(10, "height"): ("unit", "168")}


def test_placeholders_are_made_missing() -> None:
    ages = [20 + n % 50 for n in range(300)]
    born = [date(1950, 1, 1) + timedelta(days=n * 40) for n in range(300)]
    words = [str(n % 70) for n in range(300)]
    for row in (3, 30, 130):
        ages[row], born[row], words[row] = 999, date(1900, 1, 1), "N/A"
    cells = find_cell_errors(pl.DataFrame({"age": ages, "born": born, "score": words})).cells

    assert cells["kind"].unique().to_list() == ["placeholder"]
    assert cells["clears"].all()
    assert [(row, column) for row, column, *_ in cells.iter_rows()] == [(r, c) for r in (3, 30, 130) for c in ("age", "born", "score")]


def test_a_frequent_great_number_among_great_numbers_is_no_placeholder() -> None:
    assert found_in(price=[999 if n % 10 == 0 else 100 + 37 * (n % 40) for n in range(300)]) == {}


def test_a_value_of_another_shape_than_its_column_is_odd() -> None:
    zips = [f"{35000 + n % 90}" for n in range(300)]
    zips[5] = "3501x"
    times = [f"{n % 12 + 1}:{n % 60:02} a.m." for n in range(300)]
    times[6] = "Dec 2 5:10"

    assert found_in(zip=zips, at=times) == {(5, "zip"): ("shape", None), (6, "at"): ("shape", None)}


def test_shapes_draw_repetitions_together() -> None:
    assert [shape_of("2013-05-01"), shape_of("7:10 a.m."), shape_of("35233", exact=True)] == ["9-9-9", "9:9 a.a.", "99999"]


def test_text_decoded_wrongly_is_decoded_again_where_its_bytes_are_left() -> None:
    names = [f"name {chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(60)]
    names[1], names[2] = "Hải Phòng".encode().decode("latin-1"), "Schr\ufffddinger"

    assert found_in(name=names) == {(1, "name"): ("encoding", "Hải Phòng"), (2, "name"): ("encoding", None)}


def test_a_value_in_its_neighbors_column_is_moved_there() -> None:
    states: list[str | None] = [*many(["OR", "CA", "WA"])]
    cities = [f"{name}{'a' * (n % 7)}" for n, name in enumerate(many(["Portland", "Eureka", "Tacoma"]))]
    for row in (3, 6, 9):
        cities[row], states[row] = f"{cities[row]} OR", None
    found = found_in(city=cities, state=states)

    assert {place: repair for place, (_, repair) in found.items()} == {
        place: repair for row in (3, 6, 9) for place, repair in (((row, "state"), "OR"), ((row, "city"), f"Portland{'a' * (row % 7)}"))
    }


@pytest.mark.parametrize("name", ["iris", "wine", "diabetes", "breast_cancer"])
def test_clean_measurements_hold_no_wrong_cell(name: str) -> None:
    frame = pl.from_pandas(getattr(datasets, f"load_{name}")(as_frame=True).frame)

    assert find_cell_errors(frame).cells.is_empty()


def test_flights_hold_next_to_no_wrong_cell(some_flights: pl.DataFrame) -> None:
    assert find_cell_errors(some_flights).cells.height < some_flights.height * some_flights.width * 1e-4


def test_what_holds_nothing_holds_nothing_wrong() -> None:
    for frame in (pl.DataFrame(), pl.DataFrame({"a": []}), pl.DataFrame({"a": [None, None]}), pl.DataFrame({"a": [[1], [2]]})):
        assert find_cell_errors(frame).cells.is_empty()


def test_the_same_table_is_judged_the_same_whatever_the_order_of_its_rows() -> None:
    rng = np.random.default_rng(5)
    names = many(["birmingham", "montgomery", "huntsville"])
    names[7], names[20] = "birmingxam", "montgomry"
    table = pl.DataFrame({"city": names, "score": [f"{n % 30}" if n % 50 else "n/a" for n in range(200)]})
    order = rng.permutation(200)
    straight, mixed = find_cell_errors(table).cells, find_cell_errors(table[order]).cells
    back = mixed.with_columns(pl.Series("row", order[mixed["row"].to_numpy()], dtype=pl.UInt32)).sort("row", "column")

    assert back.equals(straight.sort("row", "column"))


@pytest.mark.parametrize(
    "values",
    [
        [date(2020, 1, 1) + timedelta(days=n) for n in range(40)],
        [datetime(2020, 1, 1, n % 24, n, tzinfo=UTC) for n in range(40)],
        [time(n % 20, n) for n in range(40)],
        [timedelta(seconds=n) for n in range(40)],
        [n % 2 == 0 for n in range(40)],
        [Decimal(n) / 4 for n in range(40)],
        list(range(40)),
        [n / 7 for n in range(40)],
    ],
    ids=lambda values: type(values[0]).__name__,
)
def test_values_of_every_type_are_mended_to_what_their_group_says(values: list[object]) -> None:
    right = values * 10
    wrong: list[object] = [*right]
    wrong[45], wrong[90] = right[46], None
    table = pl.DataFrame({"thing": [f"k{n % 40}" for n in range(400)], "said": wrong, "also": [f"x{n % 40}" for n in range(400)]})
    mended = apply_repairs(table.select("said"), find_cell_errors(table).cells)

    assert mended["said"].to_list() == right
    assert mended.schema == table.select("said").schema


def test_repairs_change_their_cells_only_and_free_numbers_of_their_units() -> None:
    table = pl.DataFrame({"size": many(["12.0 oz", "12.0 oz.", "16.0 ounce"]), "n": list(range(200))})
    cells = find_cell_errors(table).cells
    mended = apply_repairs(table.select("size"), cells)

    assert mended["size"].to_list() == [int(text[:2]) for text in table["size"]]
    assert table["size"][0] == "12.0 oz"
    assert mended.schema == {"size": pl.Int64}


def test_a_single_gap_is_named_and_one_that_another_column_explains_is_not() -> None:
    names: list[str | None] = [*many(CITIES)]
    wind: list[float | None] = [float(n % 7) for n in range(200)]
    direction = [None if speed == 0 else n * 10 % 360 for n, speed in enumerate(wind)]
    names[8], wind[9] = None, None

    assert found_in(city=names, speed=wind, direction=direction) == {(8, "city"): ("missing", None), (9, "speed"): ("missing", None)}


def test_a_number_that_no_tail_of_its_column_reaches_is_far_and_a_long_delay_is_not() -> None:
    rng = np.random.default_rng(0)
    heights = rng.normal(170, 9, 2_000).round(0)
    delays = (rng.pareto(1.5, 2_000) * 20).round(0)
    heights[7] = 900

    assert found_in(height=heights, delay=delays) == {(7, "height"): ("outlier", None)}


def test_numbers_in_a_column_of_texts_are_judged_as_numbers() -> None:
    rng = np.random.default_rng(1)
    texts = [f"{number:.1f}" for number in rng.normal(50, 5, 400)]
    texts[3], texts[4], texts[5] = "4x.1", "5000.0", "48.123456"

    assert {row: kind for (row, _), (kind, _) in found_in(score=texts).items()} == {3: "shape", 4: "outlier", 5: "shape"}


def test_a_fraction_among_counts_is_odd() -> None:
    counts: list[float] = [float(n % 12) for n in range(300)]
    counts[40] = 7.305918

    assert found_in(n=counts) == {(40, "n"): ("shape", None)}


def test_a_bare_number_among_few_words_and_a_value_of_another_column_are_strangers() -> None:
    work, school = many(["private", "state", "self-employed"], 600), many(["Masters", "Some-college"], 600)
    work[6], work[11] = "0", "Some college"

    assert found_in(work=work, school=school) == {(6, "work"): ("shape", None), (11, "work"): ("misplaced", None)}


def test_small_letters_in_a_column_of_capitals_are_another_spelling() -> None:
    states = many(["OHIO", "UTAH", "MAINE", "TEXAS", "IOWA", "NEVADA"])
    states[2] = "Idaho"

    assert found_in(state=states) == {(2, "state"): ("spelling", "IDAHO")}


def test_blanks_around_a_value_are_taken_off() -> None:
    found = found_in(state=[f" {name}" for name in many(CITIES)])

    assert len(found) == 200
    assert found[0, "state"] == ("blanks", "Hanoi")


def test_a_slip_in_one_word_of_a_name_is_found_by_the_names_that_share_the_word() -> None:
    names = [f"{chr(65 + n % 26)}{chr(97 + n // 26)}{chr(97 + n * 7 % 26)}na Brewing Company" for n in range(90)]
    names[4] = "Hilltop Brewing Comapny"

    assert found_in(brewery=names) == {(4, "brewery"): ("typo", "Hilltop Brewing Company")}


def test_signs_that_change_the_meaning_are_no_spelling() -> None:
    assert found_in(income=["<=50K"] * 90 + [">50K"] * 30) == {}


def test_a_date_made_by_a_spreadsheet_is_odd_among_codes() -> None:
    codes = [f"{1000 + n}-{n % 10}{n % 7}{n % 3}{n % 4}" for n in range(200)]
    codes[9] = "Mar-22"

    assert found_in(issn=codes) == {(9, "issn"): ("shape", None)}


def test_words_that_say_missing_on_purpose_are_left_alone_and_tell_nothing() -> None:
    places = ["empty" if n % 3 == 0 else CITIES[n * n % 5].upper() for n in range(400)]

    assert found_in(city=places) == {}


def test_a_column_without_any_value_is_passed_over() -> None:
    shops = [f"s{n % 20}" for n in range(200)]
    cities = [CITIES[n % 20 % 5] for n in range(200)]
    right, cities[45] = cities[45], "Paris"

    assert found_in(shop=shops, city=cities, note=[None] * 199 + [""]) == {(45, "city"): ("dependency", right)}


def test_a_name_written_wrongly_in_many_ways_is_found_though_it_is_not_frequent() -> None:
    wrong = ["Against the Grain Breery", "Against hte Grain Brewery", "Agaisnt the Grain Brewery"]
    names = ["Against the Grain Brewery"] * 2 + wrong + [f"Brewery of {chr(65 + n % 26)}{chr(97 + n // 26)}ville Hills" for n in range(60)]

    assert found_in(brewery=names) == {(row, "brewery"): ("typo", "Against the Grain Brewery") for row in (2, 3, 4)}
