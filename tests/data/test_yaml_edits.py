"""A file that people edit keeps their comments, their order, and all that nobody asked about."""

import copy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sampan.data.yaml_edits import merged, revise, rewritten

TEXT = """\
# ours, since 2024
name: x   # the name
schema:
  - name: t
    properties:
      # the first
      - name: a
        logicalType: integer  # whole
        quality:
          - metric: nullValues   # agreed with sales
            mustBe: 0
            severity: error
          - {metric: invalidValues, arguments: {validValues: [1, 2]}, mustBe: 0}
      # the second: é🙂
      - name: b
        description: |
          two
          lines
# the end
tags: [x, y]   # both
"""


def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(TEXT)
    return found


def lines(text: str) -> list[str]:
    return text.splitlines()


def test_only_the_lines_that_differ_are_written_anew() -> None:
    asked = document()
    first, second = asked["schema"][0]["properties"]
    first["quality"][0]["mustBe"] = 3
    first["quality"].append({"type": "custom", "implementation": {"check": "range"}})
    second["quality"] = [{"metric": "nullValues", "mustBe": 7}]
    asked["schema"][0]["properties"].append({"name": "c: d"})
    asked["tags"] = ["x"]
    asked["owner"] = "ana"
    text = rewritten(TEXT, asked)

    assert yaml.safe_load(text) == asked
    assert [line for line in lines(TEXT) if line not in lines(text)] == ["            mustBe: 0", "tags: [x, y]   # both"]
    assert "tags: [x]   # both" in lines(text)


def test_what_is_cut_takes_its_own_lines_and_no_others() -> None:
    asked = document()
    asked["schema"][0]["properties"].pop(0)
    del asked["tags"]
    text = rewritten(TEXT, asked)

    assert yaml.safe_load(text) == asked
    assert "# the second: é🙂" in text
    assert "# agreed with sales" not in text


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("a: 1", {"a": 1, "b": [1, {"c": 2}]}),
        ("a:\n- 1\n- 2\n", {"a": [2]}),
        ("a:\n- 1\n- 2\n", {"a": []}),
        ("a: {b: 1}\n", {"a": {"b": 1, "c": "x: y"}}),
        ("a: 'x'  # old\nb: |\n  text\n", {"a": ["y"], "b": "text\nmore\n"}),
        ("-\n  a: 1\n", [{"a": 2}]),
        ("a: &x 1\nb: *x\n", {"a": 1, "b": 2}),
        ("", {"a": 1}),
    ],
)
def test_a_text_comes_to_hold_what_was_asked_whatever_its_style(text: str, asked: Any) -> None:
    assert yaml.safe_load(rewritten(text, asked)) == asked


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab:#'\n é-", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "a", "b c", "type"]), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@given(VALUES, VALUES)
def test_any_text_comes_to_hold_any_value(before: Any, after: Any) -> None:
    assert yaml.safe_load(rewritten(yaml.safe_dump(before, sort_keys=False), after)) == after


def test_what_only_the_file_says_stays_where_the_two_others_differ() -> None:
    file = {"unique": True, "quality": [{"type": "text", "description": "for people"}, {"metric": "rowCount", "mustBe": 1, "name": "n"}]}
    before = {"quality": [{"metric": "rowCount", "mustBe": 1}]}
    after = {"quality": [{"metric": "rowCount", "mustBe": 2}, {"metric": "nullValues", "mustBe": 0}]}

    assert merged(file, before, after) == {
        "unique": True,
        "quality": [
            {"type": "text", "description": "for people"},
            {"metric": "rowCount", "mustBe": 2, "name": "n"},
            {"metric": "nullValues", "mustBe": 0},
        ],
    }


def test_what_the_file_says_in_another_place_is_not_said_twice() -> None:
    implied = {"metric": "duplicateValues", "arguments": {"properties": ["a"]}}
    before, after = {"quality": [implied]}, {"quality": [implied, {"metric": "rowCount", "mustBe": 2}]}

    assert merged({"unique": True}, before, after) == {"unique": True, "quality": [{"metric": "rowCount", "mustBe": 2}]}


def test_another_rule_at_a_place_takes_over_nothing_of_the_one_before() -> None:
    file = {"quality": [{"metric": "nullValues", "mustBe": 0, "name": "always there"}]}
    before = {"quality": [{"metric": "nullValues", "mustBe": 0}]}
    after = {"quality": [{"metric": "duplicateValues", "mustBe": 0}]}

    assert merged(file, before, after) == after


def test_nothing_asked_is_nothing_changed() -> None:
    before = document()

    assert revise(TEXT, before, copy.deepcopy(before)) == TEXT
