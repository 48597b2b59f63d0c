"""Charts are text: what they show, and that nothing in them is markup of others."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from sampan.web import charts
from sampan.web.charts import Bar, Mark, Series


def drawn(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(str(svg).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" '))


def texts(svg: str) -> list[str]:
    return [one.text or "" for one in drawn(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_lines_show_bands_marks_and_gaps() -> None:
    series = [Series("live", [0.7, None, 0.8], [0.6, None, 0.7], [0.8, None, 0.9]), Series("estimated", [0.7, 0.7, 0.7], dashed=True)]

    svg = charts.lines("AUC", ["May", "June", "July"], series, marks=[Mark(1, "v2")])

    assert svg.count("<polygon") == 1
    assert svg.count("<circle") == 5
    assert 'class="mark"' in svg
    assert {"May", "June", "July", "v2"} <= set(texts(svg))
    assert drawn(svg).get("aria-label") == "AUC"


def test_a_missing_value_breaks_the_line() -> None:
    svg = charts.lines("AUC", list("abcde"), [Series("auc", [0.1, 0.2, None, 0.3, 0.4])])

    assert svg.count("<polyline") == 2
    assert "<polyline" not in charts.lines("AUC", list("abc"), [Series("auc", [0.1, None, 0.2])])
    assert "<polyline" not in charts.lines("AUC", list("abc"), [Series("auc", [0.1, 0.2, 0.3], joined=False)])


def test_labels_of_an_axis_never_overlap() -> None:
    labels = [f"2013-{month:02d}" for month in range(1, 13)] * 5

    svg = charts.lines("AUC", labels, [Series("auc", [0.1 * (i % 7) for i in range(60)])])

    places = sorted(float(x) for x in re.findall(r'<text x="([\d.]+)" y="202"', svg))
    assert len(places) >= 3
    assert all(after - before > len(labels[0]) * charts.LETTER for before, after in pairwise(places))


def test_everything_written_in_a_chart_is_escaped() -> None:
    bad = '<script>alert("1")</script>'
    for svg in (
        charts.lines(bad, [bad], [Series(bad, [1.0])], marks=[Mark(0, bad)]),
        charts.intervals(bad, [Bar(bad, 1.0, note=bad)]),
        charts.shares(bad, [(bad, 0.5)]),
        charts.histogram(bad, [0.0, 1.0], [3]),
        charts.columns(bad, [bad], [2.0], [1.0]),
        charts.calibration(bad, [0.5], [Bar(bad, 0.4, 0.3, 0.5)]),
        charts.sparkline(bad, [1.0, 2.0]),
    ):
        assert "<script" not in svg
        drawn(svg)


@pytest.mark.parametrize("values", [[], [None, None], [float("nan")]])
def test_nothing_to_draw_is_an_empty_chart(values: list[float | None]) -> None:
    svg = charts.lines("AUC", ["a"] * len(values), [Series("auc", values)])

    assert "<polyline" not in svg
    assert len(drawn(svg)) == 1  # its title


def test_one_value_and_constant_values_have_an_axis() -> None:
    assert "<circle" in charts.lines("AUC", ["a"], [Series("auc", [0.5])])
    assert "<polyline" in charts.lines("AUC", ["a", "b"], [Series("auc", [0.5, 0.5])])
    assert "<circle" in charts.intervals("AUC", [Bar("a", 0.5)])


def test_intervals_show_groups_with_their_whiskers_and_name_those_too_small() -> None:
    svg = charts.intervals("AUC", [Bar("AA", 0.7, 0.6, 0.8), Bar("WN", None), Bar("UA", 0.5, alarm=True)], reference=0.65)

    assert svg.count("<circle") == 2
    assert "too few rows" in texts(svg)
    assert "dot alarm" in svg


def test_columns_show_the_part_within_the_whole() -> None:
    svg = charts.columns("Rows", ["May", "June"], [100.0, 50.0], [80.0, 0.0])

    heights = [float(h) for h in re.findall(r'height="([\d.]+)" class="bar', svg)]
    assert heights[1] == pytest.approx(0.8 * heights[0], abs=0.2)
    assert heights[3] == 0


def test_a_long_curve_keeps_its_peaks() -> None:
    values = [0.0] * 10_000
    values[4321], values[9876] = 9.0, -9.0

    kept = charts.thin(values)

    assert len(kept) <= charts.MOST_POINTS
    assert {4321, 9876} <= set(kept)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "–"), (float("nan"), "–"), (0.0, "0"), (1234567, "1,234,567"), (1234.5, "1,234"), (0.123456, "0.123"), (12.3456, "12.346")],
)
def test_numbers_are_short(value: float | None, expected: str) -> None:
    assert expected == charts.number(value)
