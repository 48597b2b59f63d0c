"""The page of what becomes a graph says what the code does. Here some of its lines are made again; `tools/survey.py` makes all of them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

from survey import PAGE, survey
from surveyed import CASES

# Those the public converter gets wrong or not at all, the refused ones, and one of each way in; each takes a fraction of a second.
AGAIN = (
    "LinearDiscriminantAnalysis",
    "CalibratedClassifierCV(isotonic)",
    "OneHotEncoder(infrequent_if_exist)",
    "HistGradientBoosting(categorical_features)",
    "FunctionTransformer(own function)",
    "SimpleImputer(add_indicator)",
    "KNNImputer",
    "RandomForestClassifier, trained on NaN",
    "LightGBM(zero_as_missing)",
    "ColumnTransformer, TfidfVectorizer",
    "ColumnTransformer, LightGBM",
)


def lines() -> dict[str, tuple[str, str, str]]:
    """Return, for each name on the page, what it takes, how it is served and why not as a graph."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {row[0]: (row[1], row[2], row[-1].strip("| ") if row[2] != "as a graph" else "") for row in rows[1:]}


def test_the_page_speaks_of_every_case_and_of_no_wrong_graph_that_was_accepted() -> None:
    told = re.search(r"^(\d+) in all: (\d+) as a graph.*wrong and accepted: (\d+)\.$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert set(CASES) == set(lines())
    assert told is not None
    assert (len(CASES), 0) == (int(told[1]), int(told[3]))
    assert len(CASES) >= 45


@pytest.mark.slow
@pytest.mark.parametrize("name", AGAIN)
def test_a_line_of_the_page_is_what_comes_out(name: str) -> None:
    found = survey(name)

    assert not found.is_wrong
    assert lines()[name] == (found.takes, found.served, found.reason)
