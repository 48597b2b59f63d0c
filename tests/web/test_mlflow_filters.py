"""MLflow's search language."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.web.mlflow.filters import Language, Value, sort_key
from sampan.web.mlflow.refusals import Refusal

RUNS = Language(
    frozenset({"start_time"}), frozenset({"run_id", "status"}), frozenset({"metric", "parameter", "tag", "attribute"}), {"Run ID": "run_id"}
)
VALUES: dict[tuple[str, str], Value] = {
    ("metric", "loss"): 0.25,
    ("metric", "a b/c"): -1.0,
    ("metric", "nan"): math.nan,
    ("parameter", "kind"): "Tree",
    ("parameter", "quote"): "it's",
    ("tag", "mlflow.source.type"): "LOCAL",
    ("attribute", "status"): "FINISHED",
    ("attribute", "run_id"): "abc",
    ("attribute", "start_time"): 5.0,
}


def holds(text: str) -> bool:
    return all(each.holds(VALUES.get(each.field)) for each in RUNS.parse(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("metrics.loss < 0.3", True),
        ("metric.loss >= 2.5e-1 AND metrics.`a b/c` = -1", True),
        ("metrics.loss > .3", False),
        ("metrics.absent < 1", False),
        ("metrics.nan < 1", False),
        ("params.kind = 'Tree'", True),
        ("params.kind LIKE 'tr%'", False),
        ("params.kind ILIKE 'tr%' and parameter.kind != 'x'", True),
        ("params.kind LIKE 'T_ee'", True),
        ("params.quote = 'it''s'", True),
        ("params.absent IS NULL AND params.kind IS NOT NULL", True),
        ("params.absent != 'x'", False),
        ("tags.mlflow.source.type = 'LOCAL'", True),
        ('tags."mlflow.source.type" = "LOCAL"', True),
        ("attributes.status = 'FINISHED' AND status != 'FAILED'", True),
        ("run_id IN ('abc', 'def')", True),
        ("run_id NOT IN ('abc')", False),
        ("`Run ID` = 'abc'", True),
        ("attributes.start_time > 4", True),
    ],
)
def test_a_filter_holds_as_mlflow_says(text: str, expected: bool) -> None:
    assert expected == holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "metrics.loss",
        "metrics.loss <",
        "metrics.loss < 'a'",
        "params.kind = 3",
        "params.kind > 'a'",
        "metrics.loss LIKE 'a'",
        "metrics.loss IS NULL",
        "metrics.a = 1 OR metrics.b = 2",
        "metrics.a = 1 AND",
        "nothing = 'x'",
        "run_id IN 'abc'",
        "run_id IN ('abc'",
        "run_id IN (abc)",
        "a ;; b",
    ],
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        RUNS.parse(text)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(Refusal):
        assert all(each.operator for each in RUNS.parse(text))


def test_an_order_puts_nan_after_numbers_and_what_is_missing_last() -> None:
    values: list[Value] = [None, 2.0, math.nan, 1.0]

    assert [1.0, 2.0] == sorted(values, key=lambda v: sort_key(v, descending=False))[:2]
    assert [2.0, 1.0] == sorted(values, key=lambda v: sort_key(v, descending=True))[:2]
    assert [None, None] == [sorted(values, key=lambda v, d=d: sort_key(v, descending=d))[-1] for d in (True, False)]
    assert ["b", "a", None] == sorted(["a", None, "b"], key=lambda v: sort_key(v, descending=True))
    assert [(("metric", "acc"), True), (("attribute", "start_time"), False)] == RUNS.parse_order(["metrics.acc DESC", "start_time"])
