"""Delimited text becomes the table a careful person would have typed, or one error."""

import csv
import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import DataFormatError, ParameterError
from sampan.table.csv import CsvForm, read_csv, sniff_delimiter


def read(text: str | bytes, **form: object) -> pl.DataFrame:
    data = text.encode() if isinstance(text, str) else text
    return read_csv(data, source="t.csv", form=CsvForm(**form)).frame  # type: ignore[arg-type]


def notes(text: str) -> str:
    return " | ".join(read_csv(text.encode(), source="t.csv").notes)


def test_crlf_and_a_missing_last_line_end_change_nothing() -> None:
    expected = pl.DataFrame({"a": [1, 3], "b": ["x", "y"]})

    assert read("a,b\r\n1,x\r\n3,y\r\n").equals(expected)
    assert read("a,b\n1,x\n3,y").equals(expected)
    assert read("a,b\r1,x\r3,y\r").equals(expected)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    text = f"a{delimiter}b\n1{delimiter}x y\n2{delimiter}z\n"

    assert sniff_delimiter(text.encode()) == delimiter
    assert read(text).columns == ["a", "b"]


def test_a_comma_inside_decimal_numbers_does_not_beat_the_semicolon() -> None:
    assert read("a;b\n1,5;2\n2,5;3\n").to_dicts() == [{"a": 1.5, "b": 2}, {"a": 2.5, "b": 3}]


def test_one_column_needs_no_delimiter() -> None:
    assert read("name\nAnna\nBo\n")["name"].to_list() == ["Anna", "Bo"]


def test_a_header_alone_gives_a_table_of_no_rows() -> None:
    frame = read("a,b,c\n")

    assert (frame.height, frame.columns) == (0, ["a", "b", "c"])
    assert "no rows" in notes("a,b,c\n")


@pytest.mark.parametrize("text", ["", "\n", "  \n \n"])
def test_nothing_at_all_is_an_error(text: str) -> None:
    with pytest.raises(DataFormatError, match=r"t\.csv is empty"):
        read(text)


def test_a_name_twice_in_the_header_is_an_error_that_names_both_places() -> None:
    with pytest.raises(DataFormatError, match="'a' in columns 1, 3") as caught:
        read("a,b,a\n1,2,3\n")

    assert caught.value.line == 1


def test_a_column_without_a_name_is_given_one_and_it_is_said() -> None:
    assert read(",b\n1,2\n").columns == ["column_1", "b"]
    assert "column 1 has no name" in notes(",b\n1,2\n")


def test_a_wrong_declared_delimiter_is_an_error_that_names_the_right_one() -> None:
    with pytest.raises(DataFormatError, match="with ';' it would be 2") as caught:
        read("a;b\n1;2\n", delimiter=",")

    assert "--delimiter ';'" in caught.value.hint


def test_a_delimiter_nobody_expects_is_an_error_not_one_wide_column() -> None:
    with pytest.raises(DataFormatError, match=r"with '\^' it would be 2"):
        read("a^b\n1^2\n")


@pytest.mark.parametrize("delimiter", [",,", '"', "é"])
def test_what_cannot_be_a_delimiter_is_refused(delimiter: str) -> None:
    with pytest.raises(ParameterError, match="cannot be a delimiter"):
        read("a,b\n1,2\n", delimiter=delimiter)


def test_blank_lines_are_left_out_and_counted() -> None:
    text = 'a,b\n1,"x\n\ny"\n\n2,z\n\n'

    assert read(text).to_dicts() == [{"a": 1, "b": "x\n\ny"}, {"a": 2, "b": "z"}]
    assert "2 blank lines" in notes(text)


def test_words_for_missing_are_missing_and_in_text_columns_it_is_said() -> None:
    text = "n,t\n1,NA\nNA,DE\n,FR\n"

    assert read(text).to_dicts() == [{"n": 1, "t": None}, {"n": None, "t": "DE"}, {"n": None, "t": "FR"}]
    assert "1 x 'NA' read as missing" in notes(text)
    assert read(text, null_values=("",))["t"].to_list() == ["NA", "DE", "FR"]


def test_mixed_types_stay_text_and_the_lines_are_named() -> None:
    text = "a,b\n1,1\n2,2\nx,3\n4,4\n"

    assert read(text)["a"].to_list() == ["1", "2", "x", "4"]
    assert "column 'a' stays text: 3 of 4 values are numbers, 1 are not; line 4: 'x'" in notes(text)


def test_the_line_of_an_odd_value_counts_lines_inside_quotes() -> None:
    assert "line 5: 'x'" in notes('a,b\n1,"p\nq"\n2,r\nx,s\n4,t\n')


def test_a_column_of_no_values_is_kept() -> None:
    frame = read("a,b\n1,\n2,\n")

    assert frame["b"].null_count() == 2


@pytest.mark.slow
def test_five_thousand_columns_are_read() -> None:
    names = [f"c{i}" for i in range(5_000)]
    frame = read(",".join(names) + "\n" + ",".join(map(str, range(5_000))) + "\n")

    assert frame.columns == names
    assert frame.row(0) == tuple(range(5_000))


def test_a_declared_type_is_held_or_the_first_line_that_breaks_it_is_named() -> None:
    assert read("zip\n0123\n", types={"zip": "text"})["zip"].to_list() == ["0123"]
    with pytest.raises(DataFormatError, match="'n' is declared integer, but 2 of 3 values are not; the first is 'x' on line 3"):
        read("n\n1\nx\ny\n", types={"n": "integer"})
    with pytest.raises(ParameterError, match="a type is declared for 'm'"):
        read("n\n1\n", types={"m": "integer"})


WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=8))
def test_what_a_writer_quotes_is_read_back(rows: list[tuple[str, str, str]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("a", "b", "c"), *rows])

    form = CsvForm(delimiter=",", null_values=(), types={"a": "text", "b": "text", "c": "text"})
    frame = read_csv(buffer.getvalue().encode(), source="t.csv", form=form).frame

    assert frame.rows() == rows


def test_points_in_every_number_of_a_file_with_semicolons_are_not_guessed() -> None:
    text = b"price;n\n1.500;1\n12.000;2\n250.000;3\n"
    found = read_csv(text, source="t.csv")

    assert found.frame["price"].to_list() == ["1.500", "12.000", "250.000"]
    assert "column 'price' stays text: 1.234 may be 1234 or 1.234; say --decimal , or --decimal ." in found.notes
    assert read(text, decimal=",")["price"].to_list() == [1500, 12000, 250000]
    assert read(text, decimal=".")["price"].to_list() == [1.5, 12, 250]
    with pytest.raises(DataFormatError, match="two readings"):
        read(text, expected={"price": "number"})


def test_a_number_that_shows_its_decimal_sign_settles_the_others() -> None:
    assert read("price;w\n1.500;0.5\n12.000;1.25\n")["price"].to_list() == [1.5, 12.0]
    assert read("price;w\n1.500;0,5\n12.000;1,25\n")["price"].to_list() == [1500, 12000]
    assert read("price,w\n1.500,x\n12.000,y\n")["price"].to_list() == [1.5, 12.0]
    assert "if its points stand between thousands, say --decimal ," in notes("price,w\n1.500,x\n12.000,y\n")


def test_lines_of_spaces_and_the_end_of_a_dos_file_are_blank() -> None:
    assert read("a,b\n1,2\n   \n3,4\n\x1a").rows() == [(1, 2), (3, 4)]
    assert "2 blank lines left out" in notes("a,b\n1,2\n   \n3,4\n\x1a")
