"""Broken functional dependencies: cells that contradict what the other rows of the same thing say.

A column determines another where rows that agree in the one agree in the other far more often than chance. Rows that do not are judged by
all the columns that determine theirs together, each row by the others only (leave-one-out), so that a wrong determinant is outvoted. Where
a table holds several sources' claims about the same things, `cells_claims` judges instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from sampan.data.cells_claims import find_claims, find_false_claims
from sampan.data.cells_columns import MISSING, Codes, Column, Rows, Suspect

_SCREENED_ROWS = 20_000
_MOST_DETERMINANTS = 40
_MOST_VOTERS = 5  # determinants asked about a column
_STRONG = 0.85  # of the agreement that chance leaves to gain
_MODE_SHARE = 0.9
_LEAD = 0.6  # of all votes: how far another value must lead
_CONFIRMED = 0.75
_RECURS = 4  # rows of one thing that agree on another value are no slip
_NEARLY_CONSTANT = 0.9
_SYSTEMATIC = 0.8  # of a value's rows
_MIN_GROUP = 3

Floats = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found: suspects, and by column which rows' values others confirm."""

    suspects: list[Suspect] = field(default_factory=list)
    confirmed: dict[str, Flags] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Vote:
    """What one determinant says of a column, for each row without that row: its mode, the mode's share and the present value's share."""

    determinant: str
    weight: float
    mode: Codes  # MISSING where the other rows say nothing
    mode_share: Floats
    own_share: Floats
    n_own: Codes  # how many of the other rows have the present value
    is_weak: bool  # the column is nearly constant, so that little speaks for a dependency


def find_broken_dependencies(columns: Sequence[Column]) -> Judged:
    """Judge every column by those that determine it."""
    judged = Judged()
    if not columns or len(columns[0].codes) < 2 * _MIN_GROUP:
        return judged
    if claims := find_claims(columns):
        for suspect, truth in find_false_claims(columns, *claims):
            judged.suspects.append(suspect)
            judged.confirmed[suspect.column] = truth == next(c.codes for c in columns if c.name == suspect.column)
        return judged
    determinants = _determinants(columns)
    for column in columns:
        if len(column.values) < 2:
            continue
        if votes := _votes_on(column, determinants):
            _judge(column, votes, columns, judged)
    return judged


# -- dependencies


def _determinants(columns: Sequence[Column]) -> list[Column]:
    """Return the columns that may determine others: names and codes that come back, those with the most values first."""
    found = [c for c in columns if not c.dtype.is_float() and 1 < len(c.values) <= c.n_present / 2 and c.n_present >= len(c.codes) / 2]
    return sorted(found, key=lambda c: -len(c.values))[:_MOST_DETERMINANTS]


def _votes_on(column: Column, determinants: Sequence[Column]) -> list[_Vote]:
    rows = _some_rows(len(column.codes))
    promising = []
    for by in determinants:
        if by.name == column.name or len(by.values) < min(len(column.values), 3) / 2:
            continue
        gain = _agreement_gain(by.codes[rows], column.codes[rows])
        if gain >= _STRONG - 0.1 or column.counts.max() >= _NEARLY_CONSTANT * column.n_present:
            promising.append((gain, by))
    promising.sort(key=lambda found: -found[0])
    votes = (_vote(by, column) for _, by in promising[: 2 * _MOST_VOTERS])
    return [vote for vote in votes if vote is not None][:_MOST_VOTERS]


def _some_rows(n_rows: int) -> Rows:
    if n_rows <= _SCREENED_ROWS:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(0).choice(n_rows, _SCREENED_ROWS, replace=False))


def _agreement_gain(by: Codes, of: Codes) -> float:
    """Return how much more often than chance two rows that agree in `by` agree in `of`, as a share of what is to be gained."""
    here = (by >= 0) & (of >= 0)
    by, of = by[here], of[here]
    n = len(by)
    if n < 2 * _MIN_GROUP:
        return 0.0
    same_by = _pairs(by)
    if not same_by:
        return 0.0
    both = _pairs(_joined(by, of))
    chance = _pairs(of) / (n * (n - 1))
    return (both / same_by - chance) / (1 - chance) if chance < 1 else 0.0


def _pairs(codes: Codes) -> float:
    counts = np.unique(codes, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum())


def _joined(by: Codes, of: Codes) -> Codes:
    return np.asarray(by * (int(of.max(initial=0)) + 1) + of, dtype=np.int64)


def _vote(by: Column, column: Column) -> _Vote | None:
    """Ask one determinant about a column; None if it does not determine it after all."""
    there = by.codes >= 0
    table = _Counts(by.codes, column.codes, len(by.values))
    many = table.totals >= _MIN_GROUP
    n = table.totals[many].sum()
    mode_share = table.first[many].sum() / n if n else 0.0
    base = column.counts.max() / max(column.n_present, 1)
    gain = (mode_share - base) / (1 - base) if base < 1 else 0.0
    is_weak = gain < _STRONG - 0.15
    if mode_share < _MODE_SHARE or (is_weak and base < _NEARLY_CONSTANT) or many.sum() < 2:
        return None
    mode, share, own, n_own = table.leave_one_out(by.codes, column.codes)
    mode[~there] = MISSING
    return _Vote(by.name, math.log(mode_share / max(1 - mode_share, 0.002)), mode, share, own, n_own, is_weak)


class _Counts:
    """How often each value of one column comes with each of another: totals, the most frequent, the next."""

    def __init__(self, by: Codes, of: Codes, n_by: int) -> None:
        here = (by >= 0) & (of >= 0)
        self._width = int(of.max(initial=0)) + 1
        keys, counts = np.unique(by[here] * self._width + of[here], return_counts=True)
        self.keys, self.counts = keys, counts.astype(np.int64)
        owners, values = keys // self._width, keys % self._width
        order = np.lexsort((values, -counts, owners))
        owners, values, counts = owners[order], values[order], self.counts[order]
        self.totals = np.bincount(owners, weights=counts, minlength=n_by).astype(np.int64)
        starts = np.searchsorted(owners, np.arange(n_by))
        self.first, self.first_value = _ranked(owners, values, counts, starts, 0, n_by)
        self.second, self.second_value = _ranked(owners, values, counts, starts, 1, n_by)

    def leave_one_out(self, by: Codes, of: Codes) -> tuple[Codes, Floats, Floats, Codes]:
        """Return each row's mode without it, the mode's share and its own value's share among the group's other rows."""
        owner = np.where(by >= 0, by, 0)
        has = (of >= 0) & (by >= 0)
        place = np.searchsorted(self.keys, owner * self._width + np.where(has, of, 0)).clip(0, max(len(self.keys) - 1, 0))
        own = np.where(has, self.counts[place] - 1, 0) if len(self.counts) else np.zeros(len(by), dtype=np.int64)
        others = self.totals[owner] - has
        is_first = has & (of == self.first_value[owner])
        first = self.first[owner] - is_first
        second_leads = is_first & (self.second[owner] > first)
        mode = np.where(second_leads, self.second_value[owner], self.first_value[owner])
        top = np.where(second_leads, self.second[owner], first)
        known = (others > 0) & (top > 0)
        # Few rows say less: one counts half, two two thirds.
        return np.where(known, mode, MISSING).astype(np.int64), top / (others + 1) * known, own / (others + 1) * known, own * known


def _ranked(owners: Codes, values: Codes, counts: Codes, starts: Rows, rank: int, n_by: int) -> tuple[Codes, Codes]:
    at = starts + rank
    inside = at < len(owners)
    safe = np.where(inside, at, 0)
    found = inside & (owners[safe] == np.arange(n_by)) if len(owners) else np.zeros(n_by, dtype=bool)
    if not len(owners):
        return np.zeros(n_by, dtype=np.int64), np.full(n_by, MISSING)
    return np.where(found, counts[safe], 0), np.where(found, values[safe], MISSING)


def _judge(column: Column, votes: Sequence[_Vote], columns: Sequence[Column], judged: Judged) -> None:
    """Weigh all determinants' votes on every row."""
    n = len(column.codes)
    total, own, best, repair = np.zeros(n), np.zeros(n), np.zeros(n), np.full(n, MISSING)
    for vote in votes:
        known = vote.mode >= 0
        total += vote.weight * known
        own += vote.weight * vote.own_share
        score = sum((other.weight * other.mode_share * (other.mode == vote.mode) for other in votes), start=np.zeros(n)) * known
        repair = np.where(score > best, vote.mode, repair)
        best = np.maximum(best, score)
    safe = np.maximum(total, 1e-9)
    lead = (best - own) / safe
    differs = (repair >= 0) & (repair != column.codes)
    wrong = differs & (lead >= _LEAD) & (column.codes >= 0)
    absent = differs & (column.codes == MISSING) & (best / safe >= _MODE_SHARE)
    by = " + ".join(vote.determinant for vote in votes[:3])
    names = pl.Series("repair", column.words, dtype=pl.String)
    if not any(vote.is_weak for vote in votes):
        wrong &= np.max([vote.n_own for vote in votes], axis=0) < _RECURS
    systematic = _is_systematic(wrong, column, columns)
    wrong &= ~systematic
    if all(vote.is_weak for vote in votes):
        wrong &= _is_near(column, repair)
    for kind, rows, reason in (
        ("dependency", np.flatnonzero(wrong), f"the other rows with the same {by} say otherwise"),
        ("missing", np.flatnonzero(absent), f"missing, though the other rows with the same {by} have it"),
    ):
        if len(rows):
            sure = float(np.clip(np.median(best[rows] / safe[rows]), 0, 1))
            judged.suspects.append(
                Suspect(column=column.name, kind=kind, rows=rows, repairs=names.gather(repair[rows]), reason=reason, confidence=sure)
            )
    judged.confirmed[column.name] = systematic | ((own / safe >= _CONFIRMED) & ~wrong)


def _is_near(column: Column, repair: Codes) -> Flags:
    """Say in which rows the repair is spelled nearly like the value."""
    near = {
        (one, other): _are_near(column.words[one], column.words[other])
        for one, other in set(zip(column.codes.tolist(), repair.tolist(), strict=True))
        if one >= 0 and other >= 0
    }
    return np.array([near.get(pair, False) for pair in zip(column.codes.tolist(), repair.tolist(), strict=True)], dtype=bool)


def _are_near(a: str, b: str) -> bool:
    """Say whether two values are one slip apart: half of the letters replaced, one too many or missing, or two exchanged; digits never."""
    if len(a) == len(b):
        return (2 * sum(x != y for x, y in zip(a, b, strict=True)) <= len(a) or sorted(a) == sorted(b)) and not _swaps_digits(a, b)
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    lost = (longer[:i] + longer[i + 1 :] for i, letter in enumerate(longer) if not letter.isdigit())
    return len(longer) == len(shorter) + 1 and shorter in lost


def _swaps_digits(a: str, b: str) -> bool:
    return any(x != y and x.isdigit() and y.isdigit() for x, y in zip(a, b, strict=True))


def _is_systematic(wrong: Flags, column: Column, columns: Sequence[Column]) -> Flags:
    """Say which contradictions come from all rows of some other value: then that value decides too, and nothing is broken."""
    explained = np.zeros(len(wrong), dtype=bool)
    if not wrong.any():
        return explained
    for other in columns:
        if other is column or other.dtype.is_float() or not 0 < len(other.values) <= other.n_present / 2:
            continue
        here = np.where(other.codes >= 0, other.codes, 0)
        n_wrong = np.bincount(here, weights=wrong & (other.codes >= 0), minlength=len(other.values))
        explained |= ((n_wrong >= _MIN_GROUP) & (n_wrong >= _SYSTEMATIC * other.counts))[here] & wrong & (other.codes >= 0)
    return explained
