"""Classes that far more, or far fewer, arriving rows have than models of trusted rows expect of such rows.

Labels that have not arrived yet and stand as "no", a rare class that a broken rule gives to many, a source that sends one class alone:
where a class is rare, these hardly move the share of wrong labels. Rows are weighed by what they are, so that a batch of other rows has no
other balance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.table import Floats, Rows, Table
from sampan.evaluation.admission.usual import Chart, chart

_FLOOR: Final = log(2)  # twice or half as many as expected
_REACH: Final = 3.5  # up to ten classes are looked at
_LEAST: Final = 12  # rows too many, or too few


class OddClass(msgspec.Struct, frozen=True):
    """A class that other many arriving rows have than expected; `usual` charts the distance in logarithms."""

    label: str
    n_rows: int
    expected: float
    usual: Chart


def find_odd_classes(
    table: Table, codes: Rows, chances: Floats, spans: Sequence[tuple[Rows, Floats]]
) -> tuple[tuple[OddClass, ...], tuple[NDArray[np.bool_], ...]]:
    """Return the classes out of balance, and which of the rows make them so as far as one can tell, shape (n,).

    Parameters
    ----------
    codes, chances : of arriving rows, shape (n,), (n, n_classes)
    spans : parts of the trusted rows with their chances, shape (m, n_classes)
    """
    found: list[tuple[OddClass, NDArray[np.bool_]]] = []
    for code in range(len(table.classes)):
        n, expected = int((codes == code).sum()), float(chances[:, code].sum())
        if abs(n - expected) < _LEAST:
            continue
        usual = [_distance(table.labels[rows].astype(np.intp), said, code) for rows, said in spans]
        limits = chart(
            usual, floor=_FLOOR, error=_error(chances[:, code]), errors=[_error(said[:, code]) for _, said in spans], reach=_REACH
        )
        if limits.exceeded_by(_distance(codes, chances, code)):
            rows = np.zeros(len(codes), dtype=np.bool_)
            rows[list(_oddest(codes, chances[:, code], code, round(n - expected)))] = True
            found.append((OddClass(table.classes[code], n, expected, limits), rows))
    # Of two classes, one is rare and the other is what is left.
    found.sort(key=lambda pair: pair[0].expected)
    return tuple(one for one, _ in found), tuple(rows for _, rows in found)


def _distance(codes: Rows, chances: Floats, code: int) -> float:
    """Return how many times more or fewer rows have the class than expected, as a logarithm; one row more on both sides tames few."""
    return abs(log((float((codes == code).sum()) + 1) / (float(chances[:, code].sum()) + 1)))


def _error(chances: Floats) -> float:
    return float(np.sqrt((chances * (1 - chances)).sum()) / (chances.sum() + 1))


def _oddest(codes: Rows, chances: Floats, code: int, excess: int) -> Iterator[int]:
    """Yield as many rows as are too many: of the class where it is least to be expected, or of others where it is most."""
    order = np.argsort(chances if excess > 0 else -chances, kind="stable")
    there = order[(codes[order] == code) == (excess > 0)]
    yield from there[: abs(excess)].tolist()
