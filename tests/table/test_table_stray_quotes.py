"""Lines whose quotes are wrong wait; every other row of the file comes in as it is."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.errors import DataFormatError
from sampan.table import blocks
from sampan.table.sources import read_source

ROWS = [f"{i},plain,text\n" for i in range(400)]


def test_a_line_with_a_stray_quote_waits_and_the_others_go_on(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [*ROWS[:50], '50,5" pipe,x\n', '51,"two\nlines","say ""hi"""\n', '52,"open,x\n', *ROWS[53:]]
    path.write_text("id,a,b\n" + "".join(rows))

    found = read_source(path)

    assert found.frame["id"].to_list() == [i for i in range(400) if i not in (50, 52)]
    assert found.frame.row(50) == (51, "two\nlines", 'say "hi"')
    assert [(cell.line, cell.value, cell.column) for cell in found.bad_cells] == [(52, '50,5" pipe,x', ""), (55, '52,"open,x', "")]
    assert not any("blank" in note for note in found.notes)


def test_many_such_lines_or_a_broken_header_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,a,b\n" + "".join(ROWS[:100]) + '1,5" pipe,x\n' * 20)
    with pytest.raises(DataFormatError, match="line 102 has a quote in the middle of a field: '1,5\" pipe,x'"):
        read_source(path)
    path.write_text('id,a "b,c\n' + "".join(ROWS))
    with pytest.raises(DataFormatError, match="line 1"):
        read_source(path)


CELL = st.one_of(st.sampled_from(["w", "a, b", 'say "hi"', "two\nlines", "x\n\n,y"]), st.text('ab",\n', min_size=1, max_size=6))
STRAY = st.sampled_from(['{},5" pipe,x\n', '{},"open,x\n', '{},a"b"c,"d\n', '{},"x"y,z\n'])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    cells=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=12),
    strays=st.dictionaries(st.integers(1, 299), STRAY, max_size=3),
    size=st.sampled_from([700, 8 << 20]),
)
def test_wherever_blocks_end_only_those_lines_are_left_out(
    tmp_path: Path, cells: list[tuple[str, str]], strays: dict[int, str], size: int
) -> None:
    text = io.StringIO("id,a,b\n")
    text.seek(0, io.SEEK_END)
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_STRINGS if hasattr(csv, "QUOTE_STRINGS") else csv.QUOTE_ALL)
    for i in range(300):
        if i in strays:
            text.write(strays[i].format(i))
        else:
            writer.writerow([i, *cells[i % len(cells)]])
    (tmp_path / "t.csv").write_text(text.getvalue())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks.read_blocks, "__kwdefaults__", {"size": size, "on_bytes": None})
        found = read_source(tmp_path / "t.csv").frame

    assert found.rows() == [(i, *cells[i % len(cells)]) for i in range(300) if i not in strays]
