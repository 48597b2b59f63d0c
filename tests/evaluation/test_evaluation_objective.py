from __future__ import annotations

import pytest

from sampan.errors import ParameterError
from sampan.evaluation.objective import objective, value


def test_an_objective_keeps_what_was_said() -> None:
    stated = objective(metric="auc", at_least=0.65, equal_across=["carrier"], max_gap=0.1, kpi=value(fp=-5, fn=-40))

    assert ("carrier",) == stated.equal_across
    assert -40 == stated.kpi.fn


def test_one_column_may_be_given_as_text() -> None:
    assert ("sex",) == objective(equal_across="sex", max_gap=0.1).equal_across


@pytest.mark.parametrize(
    ("stated", "fault"),
    [
        ({"metric": "acuracy"}, "none of auc, log_loss"),
        ({"metric": "log_loss", "at_least": 0.5}, "say at_most"),
        ({"metric": "auc", "at_most": 0.5}, "say at_least"),
        ({"metric": "cost"}, "needs kpi"),
        ({"at_least": 65}, "outside 0.5 to 1"),
        ({"equal_across": ["sex"]}, "belong together"),
        ({"max_gap": 0.1}, "belong together"),
        ({"equal_across": ["sex"], "max_gap": -1}, "negative"),
        ({"p95_ms": 0}, "not a time"),
        ({"max_label_noise": 0.7}, "outside 0 to 0.5"),
        ({"min_rows": 0}, "below 1"),
    ],
)
def test_a_condition_without_effect_or_sense_is_refused(stated: dict[str, object], fault: str) -> None:
    with pytest.raises(ParameterError, match=fault):
        objective(**stated)


def test_all_faults_of_an_objective_come_at_once() -> None:
    with pytest.raises(ParameterError, match=r"say at_least.*not a time"):
        objective(metric="auc", at_most=0.5, p95_ms=-1)


def test_a_cost_table_in_which_errors_pay_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"hit .* miss .*; silence .* false alarm"):
        value(fp=5, fn=40)
