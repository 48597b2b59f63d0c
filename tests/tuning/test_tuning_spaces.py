from __future__ import annotations

import pytest

from sampan.errors import ParameterError
from sampan.tuning.spaces import choice, first_values, floats, ints, logs


def test_the_middle_of_each_space_is_tried_first() -> None:
    space = {
        "depth": ints(3, 10),
        "rate": logs(0.01, 1.0),
        "share": floats(0.0, 1.0),
        "kind": choice("gbdt", "rf"),
        "leaf": ints(1, 100, log=True),
    }

    assert {"depth": 6, "rate": pytest.approx(0.1), "share": 0.5, "kind": "gbdt", "leaf": 10} == first_values(space)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: ints(10, 3), "no range"),
        (lambda: floats(0.0, float("inf")), "no range"),
        (lambda: logs(0.0, 1.0), "no logarithm"),
        (lambda: choice("a"), "nothing to choose"),
        (lambda: choice("a", "a"), "nothing to choose"),
    ],
)
def test_a_space_that_leaves_nothing_to_search_is_refused(make, fault: str) -> None:
    with pytest.raises(ParameterError, match=fault):
        make()


def test_a_space_knows_its_values() -> None:
    assert ints(1, 3).holds(3)
    assert not ints(1, 3).holds(4)
    assert not ints(1, 3).holds(True)
    assert floats(0.0, 1.0).holds(1)
    assert choice("a", "b").holds("b")
