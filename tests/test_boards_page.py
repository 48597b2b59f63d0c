"""The page of what models take on boards says what the code does. Some of its lines are made again; `tools/survey_boards.py` makes all."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

from survey_boards import BOARDS, PAGE, cases, survey


def test_the_page_speaks_of_every_board_and_of_no_wrong_code_that_was_accepted() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]

    told = re.search(r"^(\d+) in all: (\d+) as C, (\d+) refused; wrong and accepted: (\d+)\.$", text, re.MULTILINE)

    assert told is not None
    assert (len(rows) - 1, 0) == (int(told[1]), int(told[4]))
    assert int(told[1]) == int(told[2]) + int(told[3])
    assert all(board in rows[0] for board in BOARDS)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "why_not"), [("diabetes: boosting", ""), ("AdaBoostClassifier", "an index that depends on the features")])
def test_a_line_made_again_says_the_same(name: str, why_not: str) -> None:
    (found,) = survey(cases()[name]())

    line = next(line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {name} |"))
    assert (bool(why_not), why_not in found.why_not) == (bool(found.why_not), True)
    assert found.why_not in line
    assert not found.is_wrong
    if not why_not:
        assert set(BOARDS) == set(found.boards)
        assert found.off <= 1e-5
        assert found.hard <= 1e-5
