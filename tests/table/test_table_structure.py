"""Records, fields and quotes are checked before anything is parsed."""

import numpy as np
import pytest

from sampan.errors import DataFormatError
from sampan.table.structure import records_at, refuse_ragged, scan_structure


def fault(text: str) -> tuple[int | None, str]:
    with pytest.raises(DataFormatError) as caught:
        scan_structure(text.encode(), ",", source="t.csv")
    return caught.value.line, caught.value.message


def test_a_quote_that_is_never_closed_names_the_line_it_opens_on() -> None:
    assert fault('a,b\n1,2\n3,"x\n5,6\n') == (3, "the quote opened on line 3 is never closed")


@pytest.mark.parametrize(("text", "line"), [('a,b\n5" pipe",2\n', 2), ('a,b\n1,2\n"x"y,2\n', 3)])
def test_a_quote_in_the_middle_of_a_field_names_its_line(text: str, line: int) -> None:
    found, message = fault(text)

    assert found == line
    assert "a quote in the middle of a field" in message


def test_a_record_of_another_length_names_its_line_and_how_many_there_are() -> None:
    text = b'a,b\n1,"x\ny"\n1,2,3\n4\n'
    structure = scan_structure(text, ",", source="t.csv")
    error = refuse_ragged(text, structure, np.flatnonzero(structure.n_fields != 2), 2, source="t.csv", delimiter=",")

    assert structure.n_fields.tolist() == [2, 2, 3, 1]
    assert error.line == 4
    assert "3 fields where the header has 2 (and 1 more lines)" in error.message


def test_doubled_quotes_and_delimiters_inside_quotes_are_no_fault() -> None:
    structure = scan_structure(b'a,b\n"say ""hi"", you","1\n2"\n"",""\n', ",", source="t.csv")

    assert len(structure.starts) == 3
    assert structure.n_blank == 0


def test_blank_lines_are_taken_out() -> None:
    text = b"a,b\r\n\r\n1,2\r\n\r\n"
    structure = scan_structure(text, ",", source="t.csv")

    assert structure.n_blank == 2
    assert records_at(text, structure, np.arange(2)) == b"a,b\n1,2\n"


def test_marks_beyond_one_block_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b'a,b\n"x,1",2\n"y\n3",4\n'
    whole = scan_structure(text, ",", source="t.csv")
    monkeypatch.setattr("sampan.table.structure._BLOCK", 3)
    in_blocks = scan_structure(text, ",", source="t.csv")

    assert in_blocks.starts.tolist() == whole.starts.tolist()
    assert in_blocks.quoted_newlines.tolist() == whole.quoted_newlines.tolist()
