"""How trees are kept in flash: one array of equal entries, thresholds shared, leaves beside the splits that lead to them.

An entry is a split or a leaf. A split says which key of the row it looks at, and how far to jump when that lies above the threshold;
else the next entry follows. A leaf holds its value in the same bytes, as a whole number of one unit, so that the sum is exact in any
order and costs no floating point. A key stands for a feature and the side its missing values go to; a feature whose splits disagree on that
has two.

| layout | split | leaf |
|---|---|---|
| 3 bytes | key, jump, threshold among those of the key: 8 bits each | 16 bits |
| 4 bytes | key 8, jump 8, threshold 16 | 24 bits |
| 6 bytes | 16 each | 32 bits |
| 8 bytes | key 16, jump 16, threshold itself 32 | 32 bits |

Where each tree adds to one output alone, as boosting of several classes has it, trees of an output stand together and are summed apart.
Leaves of several numbers, or those kept as float32, are in a table of their own, which the entry points into.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from sampan.edge.keys import HIGHEST, LOWEST
from sampan.edge.program import Tree, Trees
from sampan.errors import Unsupported

LeafFormat = Literal["exact", "i16", "f32"]
TOLERANCE: Final = 1e-6  # by how much the sum of leaves may be off through rounding them, where nothing else was asked
_VALUE_BITS: Final = {3: 16, 4: 24, 6: 32, 8: 32}
_FIELD_BITS: Final = {3: (8, 8, 8), 4: (8, 8, 16), 6: (16, 16, 16), 8: (16, 16, 32)}  # key, jump, threshold


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Trees as tables, ready to be written down."""

    width: int  # bytes of an entry
    keys: tuple[tuple[int, int], ...]  # (feature, key of a missing value)
    thresholds: NDArray[np.int64]  # shared; for 3 bytes key by key, `starts` says where; empty for 8 bytes
    starts: NDArray[np.int64]
    entries: tuple[tuple[int, int, int], ...]  # (key, jump, threshold) or (leaf mark, 0, value)
    sizes: tuple[int, ...]  # entries of each tree
    unit: float  # what leaves count, a float32
    base: NDArray[np.float64]
    vectors: NDArray[np.float64] | None  # (n, outputs): leaves that are not in their entries
    error: float  # by how much a sum may be off, at most
    outputs: tuple[int, ...] = (0,)  # how many trees add to each output, in the trees' order; all of them, where leaves are vectors

    @property
    def leaf_mark(self) -> int:
        """What stands in the place of a key in leaves."""
        return int((1 << _FIELD_BITS[self.width][0]) - 1)

    @property
    def size_bytes(self) -> int:
        """How much flash the tables take."""
        wide_sizes = 2 if max(self.sizes, default=0) > 255 else 1
        vectors = 0 if self.vectors is None else 4 * self.vectors.size
        tables = self.width * len(self.entries) + 4 * len(self.thresholds) + 2 * len(self.starts) + wide_sizes * len(self.sizes)
        return tables + vectors + 2 * len(self.keys)


def lay_out(trees: Trees, *, leaves: LeafFormat = "exact", tolerance: float = TOLERANCE, fastest: bool = False) -> Layout:
    """Choose the smallest layout whose sums are within the tolerance; `fastest` prefers thresholds inside the entries.

    "i16" takes leaves of 16 bits whatever they cost in exactness: `Layout.error` says it.

    Raises
    ------
    Unsupported : no layout holds the trees: more than 65,535 keys, or a jump over more than 65,535 entries.
    """
    all_flat = [_flat(t) for t in trees.trees]
    alone = [flat for flat in all_flat if len(flat.rows) == 1]  # a tree of one leaf is a constant
    base = trees.base.astype(np.float64) + sum((f.tree.values[f.rows[0][3]] for f in alone), np.zeros(trees.base.size))
    plain = [flat for flat in all_flat if len(flat.rows) > 1]
    own = [_output(flat) for flat in plain]
    several = leaves == "f32" or None in own
    if not several:
        plain.sort(key=lambda flat: _output(flat) or 0)
    found = []
    for width in (8,) if fastest else (3, 4, 6, 8):
        if width == 3 and leaves != "i16":
            continue
        layout = _try(width, plain, base, vectors=several, bits=16 if leaves == "i16" else _VALUE_BITS[width])
        if layout is not None and (leaves != "exact" or several or layout.error <= tolerance or width == 8):
            found.append(layout)
    if not found:
        raise Unsupported("the trees are too large for 16-bit jumps", hint="grow trees of at most 30,000 leaves")
    return min(found, key=lambda layout: layout.size_bytes)


@dataclass(frozen=True, slots=True, eq=False)
class _Flat:
    """A tree in preorder, equal subtrees of leaves merged."""

    rows: tuple[tuple[int, bool, int, int], ...]  # (feature, missing left, threshold, jump); a leaf has feature -1 and its node as jump
    tree: Tree


def _flat(tree: Tree) -> _Flat:
    """Lay a tree out so that the left child follows its parent; splits whose sides answer the same are left out."""
    rows: list[tuple[int, bool, int, int]] = []
    same = _same_answers(tree)

    def leaf(node: int) -> bool:
        return bool(tree.left[node] < 0) or same[node]

    stack = [(0, -1)]  # node, the row that jumps to it
    while stack:
        node, jumper = stack.pop()
        if jumper >= 0:
            feature, side, threshold, _ = rows[jumper]
            rows[jumper] = (feature, side, threshold, len(rows) - jumper)
        if leaf(node):
            rows.append((-1, False, 0, _first_leaf(tree, node)))
            continue
        stack.append((int(tree.right[node]), len(rows)))
        stack.append((int(tree.left[node]), -1))
        rows.append((int(tree.feature[node]), bool(tree.missing_left[node]), int(tree.threshold[node]), 0))
    return _Flat(tuple(rows), tree)


def _same_answers(tree: Tree) -> list[bool]:
    """Say per node whether all leaves below it answer the same; children come after their parents."""
    answer: list[tuple[float, ...] | None] = [None] * len(tree.left)
    for node in range(len(tree.left) - 1, -1, -1):
        if tree.left[node] < 0:
            answer[node] = tuple(tree.values[node].tolist())
            continue
        left, right = answer[int(tree.left[node])], answer[int(tree.right[node])]
        answer[node] = left if left is not None and left == right else None
    return [a is not None for a in answer]


def _first_leaf(tree: Tree, node: int) -> int:
    while tree.left[node] >= 0:
        node = int(tree.left[node])
    return node


def _try(width: int, plain: Sequence[_Flat], base: NDArray[np.float64], *, vectors: bool, bits: int) -> Layout | None:
    """Fill one layout; None where a field is too small."""
    shared = _share(width, plain)
    key_bits, jump_bits, threshold_bits = _FIELD_BITS[width]
    mark = (1 << key_bits) - 1
    jumps = max((row[3] for row in _splits(plain)), default=0)
    too_many = width in (4, 6) and len(shared.thresholds) > 1 << threshold_bits
    if len(shared.keys) >= mark or jumps >= 1 << jump_bits or too_many:
        return None
    held = _Vectors() if vectors else None
    own = [0 if vectors else _output(flat) or 0 for flat in plain]
    centers, unit, error = ([0.0] * len(plain), 1.0, 0.0) if vectors else _scale(plain, own, bits)
    entries = []
    for flat, center in zip(plain, centers, strict=True):
        for row in flat.rows:
            if row[0] >= 0:
                key, threshold = shared.fields[row[:3]]
                entries.append((key, row[3], threshold))
            else:
                entries.append((mark, 0, _leaf(flat, row[3], held, center, unit)))
    table = held.table() if held is not None else None
    if table is not None and len(table) > 1 << (min(_VALUE_BITS[width], 31) - 1):
        return None
    sizes = tuple(len(flat.rows) for flat in plain)
    centered = base + np.bincount(own, weights=centers, minlength=base.size) if plain else base
    counts = tuple(np.bincount(own, minlength=base.size).tolist()) if plain else (0,)
    return Layout(width, shared.keys, shared.thresholds, shared.starts, tuple(entries), sizes, unit, centered, table, error, counts)


def _output(flat: _Flat) -> int | None:
    """Return the output that a tree adds to; None where it adds to several."""
    used = np.flatnonzero(np.abs(flat.tree.values[[row[3] for row in flat.rows if row[0] < 0]]).max(axis=0))
    return None if len(used) > 1 else int(used[0]) if len(used) else 0


class _Vectors:
    """Distinct leaves of several numbers."""

    def __init__(self) -> None:
        self._places: dict[tuple[float, ...], int] = {}

    def place(self, values: NDArray[np.float64]) -> int:
        return self._places.setdefault(tuple(values.tolist()), len(self._places))

    def table(self) -> NDArray[np.float64]:
        return np.array(list(self._places), np.float64)


def _leaf(flat: _Flat, node: int, vectors: _Vectors | None, center: float, unit: float) -> int:
    if vectors is not None:
        return vectors.place(flat.tree.values[node])
    return round((float(flat.tree.values[node].sum()) - center) / unit)  # of one output, all others are 0


def _scale(plain: Sequence[_Flat], own: Sequence[int], bits: int) -> tuple[list[float], float, float]:
    """Center each tree's leaves and find the finest unit in which each leaf and every sum fit; also the largest error of a sum."""
    leaves = [flat.tree.values[[row[3] for row in flat.rows if row[0] < 0]].sum(axis=1).astype(np.float64) for flat in plain]
    centers = [float((each.max() + each.min()) / 2) for each in leaves]
    reach = [float(np.abs(each - center).max()) for each, center in zip(leaves, centers, strict=True)]
    sums = np.bincount(own, weights=reach) if plain else np.zeros(1)
    unit = max(_unit(max(reach, default=0.0), bits), _unit(float(sums.max()), 32))
    errors = [float(np.abs(np.round((e - c) / unit) * unit - (e - c)).max()) for e, c in zip(leaves, centers, strict=True)]
    return centers, unit, float(np.bincount(own, weights=errors).max()) if plain else 0.0


def _unit(reach: float, bits: int) -> float:
    """Return the smallest float32 in which numbers up to `reach` are whole numbers of this many bits, with room for rounding."""
    fine = np.float32(reach / (2.0 ** (bits - 1) - 300))
    return float(max(np.nextafter(fine, np.float32(np.inf)), np.float32(1e-30)))


@dataclass(frozen=True, slots=True, eq=False)
class _Shared:
    """Keys and thresholds as a layout shares them, and the two fields of each split by (feature, missing left, threshold)."""

    keys: tuple[tuple[int, int], ...]
    thresholds: NDArray[np.int64]
    starts: NDArray[np.int64]
    fields: dict[tuple[int, bool, int], tuple[int, int]]


def _share(width: int, plain: Sequence[_Flat]) -> _Shared:
    """Collect keys and thresholds."""
    used = sorted({row[:3] for row in _splits(plain)})
    none = np.empty(0, np.int64)
    if width == 3:
        return _by_key(used)
    sides = sorted({(feature, left) for feature, left, _ in used})
    number = {side: n for n, side in enumerate(sides)}
    keys = tuple((feature, LOWEST if left else HIGHEST) for feature, left in sides)
    if width == 8:
        return _Shared(keys, none, none, {each: (number[each[:2]], each[2]) for each in used})
    distinct = sorted({threshold for _, _, threshold in used})
    place = {threshold: n for n, threshold in enumerate(distinct)}
    return _Shared(keys, np.array(distinct, np.int64), none, {each: (number[each[:2]], place[each[2]]) for each in used})


def _by_key(used: Sequence[tuple[int, bool, int]]) -> _Shared:
    """Keep each key's thresholds together; a key with more than 256 of them is given again for the rest."""
    keys: list[tuple[int, int]] = []
    starts: list[int] = []
    fields = {}
    for n, each in enumerate(used):
        key = (each[0], LOWEST if each[1] else HIGHEST)
        if not keys or keys[-1] != key or n - starts[-1] == 256:
            keys.append(key)
            starts.append(n)
        fields[each] = (len(keys) - 1, n - starts[-1])
    thresholds = np.array([threshold for _, _, threshold in used], np.int64)
    return _Shared(tuple(keys), thresholds, np.array(starts, np.int64), fields)


def _splits(plain: Sequence[_Flat]) -> Iterator[tuple[int, bool, int, int]]:
    return (row for flat in plain for row in flat.rows if row[0] >= 0)
