"""What a label is, is read from its values: two classes, several, or a number."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from sampan.errors import ParameterError
from sampan.table.targets import read_target


@pytest.mark.parametrize(
    ("values", "kind", "classes", "codes"),
    [
        ([True, False, None], "two classes", ("0", "1"), [1.0, 0.0, None]),
        ([0, 1, 1], "two classes", ("0", "1"), [0.0, 1.0, 1.0]),
        ([0.0, 1.0, float("nan")], "two classes", ("0", "1"), [0.0, 1.0, None]),
        (["no", "yes", None], "two classes", ("no", "yes"), [0.0, 1.0, None]),
        (["van", "bike", "truck"], "classes", ("bike", "truck", "van"), [2.0, 0.0, 1.0]),
        ([3, 1, 2], "classes", ("1", "2", "3"), [2.0, 0.0, 1.0]),
        ([1.5, 2.5, float("inf")], "number", (), [1.5, 2.5, None]),
        ([*range(30)], "number", (), [float(i) for i in range(30)]),
    ],
)
def test_a_label_is_what_its_values_are(values: list[object], kind: str, classes: tuple[str, ...], codes: list[float | None]) -> None:
    found = read_target(pl.DataFrame({"label": values}), pl.col("label"))

    assert (kind, classes, codes) == (found.kind, found.classes, found.values.to_list())


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"labels": [1, 2]}, "the target names the column 'label', which is not there"),
        ({"label": [1, 1, None]}, "one class only"),
        ({"label": [f"name {i}" for i in range(60)]}, "60 classes, more than 50"),
        ({"label": [date(2026, 1, 1), date(2026, 1, 2)]}, "neither yes or no, nor a class, nor a number"),
    ],
)
def test_what_is_no_label_is_said(frame: dict[str, list[object]], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        read_target(pl.DataFrame(frame), pl.col("label"))


def test_an_expression_that_cannot_be_computed_is_said() -> None:
    with pytest.raises(ParameterError, match="the target cannot be computed"):
        read_target(pl.DataFrame({"label": ["a", "b"]}), pl.col("label") + pl.lit(date(2026, 1, 1)))
