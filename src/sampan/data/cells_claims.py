"""Conflicting claims: a table in which several sources speak of the same things, and some of them are wrong.

A column of names (the sources) each speak of a thing at most once. Sources that agree even where the others are divided copy from one
another and have one vote together (X. L. Dong, L. Berti-Équille, D. Srivastava 2009, "Integrating Conflicting Data: The Role of Source
Dependence"); the votes are weighed by how often a source is right, found together with the truth (X. Yin, J. Han, P. S. Yu 2008, "Truth
Discovery with Multiple Conflicting Information Providers on the Web").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from sampan.data.cells_columns import MISSING, Codes, Column, Suspect

_UNIQUE = 0.98  # of the rows: a source speaks of a thing once
_MOST_SOURCES = 200
_CLAIMS_PER_THING = 5
_FILLED = 0.3  # of all pairs of a thing and a source
_GAIN = 0.4  # of the agreement that chance leaves: below that, things do not determine the column
_DIVIDED = 0.8  # share of the most frequent claim up to which the sources are divided
_COPIES = 0.9  # of the divided claims of either are the same
_MIN_SHARED = 10
_ROUNDS = 10
_TRUST = 2.0  # power of a source's share of right claims

Floats = np.ndarray[Any, np.dtype[np.float64]]
Claims = np.ndarray[Any, np.dtype[np.int64]]  # things x sources: the code of what is claimed


def find_claims(columns: Sequence[Column]) -> tuple[Column, Column] | None:
    """Return (things, sources) if the table's rows are several sources' claims about the same things."""
    n = len(columns[0].codes)
    whole = [c for c in columns if c.is_text and c.n_present == n and len(c.values) > 1]
    for source in whole:
        if not 2 < len(source.values) <= _MOST_SOURCES or not _are_names(source):
            continue
        for thing in whole:
            n_things, n_sources = len(thing.values), len(source.values)
            if thing is source or n_things <= n_sources or n_things * _CLAIMS_PER_THING > n or n < _FILLED * n_sources * n_things:
                continue
            if len(np.unique(thing.codes * n_sources + source.codes)) >= _UNIQUE * n:
                return thing, source
    return None


def _are_names(column: Column) -> bool:
    """Say whether a column's values are names: no digits in most of them."""
    return float(np.mean([not any(ch.isdigit() for ch in word) for word in column.words])) >= 0.9


def find_false_claims(columns: Sequence[Column], thing: Column, source: Column) -> Iterator[tuple[Suspect, Codes]]:
    """Find the truth of each thing, and which claims contradict it; with each suspect comes the column's truth by row."""
    claimed = [(c, table) for c in columns if c is not thing and c is not source and (table := _claims(c, thing, source)) is not None]
    if not claimed:
        return
    votes = 1 / _copies(np.concatenate([table for _, table in claimed]))
    truths = np.split(_truth(np.concatenate([table for _, table in claimed]), votes), len(claimed))
    for (column, _), of_things in zip(claimed, truths, strict=True):
        truth = of_things[thing.codes]
        here = column.codes >= 0
        names = pl.Series("repair", column.words, dtype=pl.String)
        for kind, found, reason in (
            ("dependency", here & (truth >= 0) & (truth != column.codes), f"the independent sources about this {thing.name} say otherwise"),
            ("missing", ~here & (truth >= 0), f"missing, though other sources say it of the same {thing.name}"),
        ):
            rows = np.flatnonzero(found)
            repairs = names.gather(truth[rows])
            yield Suspect(column=column.name, kind=kind, rows=rows, repairs=repairs, reason=reason, confidence=0.8), truth


def _claims(column: Column, thing: Column, source: Column) -> Claims | None:
    """Return who claims what of each thing; None where things do not determine the column."""
    table = np.full((len(thing.values), len(source.values)), MISSING, dtype=np.int64)
    table[thing.codes, source.codes] = column.codes
    shares = [_most_frequent(row[row >= 0]) for row in table]
    n = sum(total for _, total in shares)
    if not n or len(column.values) < 2:
        return None
    base = int(column.counts.max()) / column.n_present
    gain = (sum(first for first, _ in shares) / n - base) / (1 - base)
    return table if gain >= _GAIN else None


def _most_frequent(claims: Claims) -> tuple[int, int]:
    return (int(np.unique(claims, return_counts=True)[1].max()), len(claims)) if len(claims) else (0, 0)


def _copies(table: Claims) -> Floats:
    """Return for each source how many sources, itself included, say the same, and of the same things, where others are divided."""
    divided = np.array([0 < first < _DIVIDED * total for first, total in (_most_frequent(row[row >= 0]) for row in table)], dtype=bool)
    claims = table[divided]
    n_sources = table.shape[1]
    alike = np.eye(n_sources, dtype=bool)
    for one in range(n_sources):
        both = (claims[:, [one]] >= 0) & (claims >= 0)
        shared = both.sum(axis=0)
        same = (both & (claims == claims[:, [one]])).sum(axis=0)
        either = ((claims[:, [one]] >= 0) | (claims >= 0)).sum(axis=0)
        alike[one] |= (shared >= _MIN_SHARED) & (same >= _COPIES * either)
    return np.asarray((alike | alike.T).sum(axis=1), dtype=np.float64)


def _truth(table: Claims, votes: Floats) -> Codes:
    """Return what is true of each thing (MISSING if nobody says), and let sources that are often right count more, in turns."""
    things, sources = np.nonzero(table >= 0)
    width = int(table.max(initial=0)) + 1
    keys, claim = np.unique(things * width + table[things, sources], return_inverse=True)
    owner, weight = keys // width, votes.copy()
    for _ in range(_ROUNDS):
        score = np.bincount(claim, weights=weight[sources], minlength=len(keys)).astype(np.float64)
        best = _best(owner, score, len(table))
        is_right = best[things] == claim
        share = (np.bincount(sources, weights=is_right, minlength=len(votes)) + 1) / (np.bincount(sources, minlength=len(votes)) + 2)
        weight = votes * share**_TRUST
    return np.where(best >= 0, keys[np.maximum(best, 0)] % width, MISSING)


def _best(owner: Codes, score: Floats, n_things: int) -> Codes:
    """Return each thing's claim with the greatest score; MISSING for a thing without claims."""
    order = np.lexsort((np.arange(len(owner)), -score, owner))
    things, starts = np.unique(owner[order], return_index=True)
    best = np.full(n_things, MISSING)
    best[things] = order[starts]
    return best
