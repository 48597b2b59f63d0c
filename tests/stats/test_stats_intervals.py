"""Wilson's interval against a hand-computed case and its limits."""

import pytest

from sampan.errors import ParameterError
from sampan.stats.intervals import wilson


def test_a_textbook_case() -> None:
    # 5 of 100 at 95 %: (0.05 + 0.0192) / 1.0384 ± 1.96 / 1.0384 * 0.0291
    low, high = wilson(5, 100)

    assert low == pytest.approx(0.0215, abs=5e-5)
    assert high == pytest.approx(0.1118, abs=5e-5)


@pytest.mark.slow  # importing scipy.stats
def test_scipy_agrees() -> None:
    from scipy.stats import binomtest

    for k, n in ((0, 10), (3, 7), (10, 10), (40, 4000)):
        expected = binomtest(k, n).proportion_ci(0.99, method="wilson")
        assert wilson(k, n, confidence=0.99) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nothing_seen_is_nothing_known() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("k", "n", "confidence"), [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0)])
def test_what_is_no_share_is_refused(k: int, n: int, confidence: float) -> None:
    with pytest.raises(ParameterError):
        wilson(k, n, confidence=confidence)
