"""What can be done to a graph of the common shape without training: each edit by its name, and which of them a graph allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from numpy.typing import NDArray

from sampan.compression import graphs
from sampan.compression.ensembles import Trees, n_trees
from sampan.compression.neurons import with_fewer_units
from sampan.compression.tables import share_of_tables
from sampan.errors import ParameterError, Unsupported

FIRST_TREES, CUT_BACK, FEWER_UNITS = "first trees", "cut back", "fewer units"
FUSED, FLOAT16, DYNAMIC_INT8, STATIC_INT8 = "fused", "float16", "int8 dynamic", "int8 static"
INT4_TABLES = "int8 dynamic, tables in 4 bits"
REVISION: Final = 2  # raised when an edit by the same name makes another graph, so that what was remembered is made anew
OF_ONE_MATRIX: Final = (FIRST_TREES, CUT_BACK, FEWER_UNITS)  # want a graph of one input, a matrix of features

Rows = Mapping[str, NDArray[Any]]
_FEWEST_TREES: Final = 8
_WORTH_TABLES: Final = 0.1  # of a graph's bytes: what makes its tables worth 4 bits


def edits_for(graph: bytes) -> list[tuple[str, float]]:
    """Return the edits worth a try, each with its amount: the share that is kept of what it takes away."""
    trees = n_trees(graph)
    if trees:
        shares = [(FIRST_TREES, share) for share in (0.75, 0.5, 0.25)] if trees >= _FEWEST_TREES else []
        return [*shares, *((CUT_BACK, share) for share in (0.75, 0.5, 0.25))]
    if not graphs.has_layers(graph):
        return []
    fused = [(FUSED, 1.0)] if graphs.is_transformer(graph) else []
    tables = [(INT4_TABLES, 1.0)] if share_of_tables(graph) >= _WORTH_TABLES else []
    return [
        *fused,
        (DYNAMIC_INT8, 1.0),
        *tables,
        (STATIC_INT8, 1.0),
        (FLOAT16, 1.0),
        *((FEWER_UNITS, share) for share in (0.75, 0.5, 0.25)),
    ]


def name_of(edit: str, share: float) -> str:
    """Name an edit with its amount.

    >>> name_of("first trees", 0.5), name_of("int8 static", 1.0)
    ('first trees 50 %', 'int8 static')
    """
    return edit if share == 1 else f"{edit} {share:.0%}".replace("%", " %")


def edited(graph: bytes, edit: str, share: float, rows: Rows) -> bytes:
    """Return a graph with an edit made.

    Parameters
    ----------
    rows : the graph's inputs by name, of rows like those the model learned from

    Raises
    ------
    Unsupported : the graph does not allow it.
    ParameterError : there is no such edit.
    """
    if edit not in _EDITS:
        raise ParameterError(f"there is no edit {edit!r}", hint=", ".join(_EDITS))
    return _EDITS[edit](graph, share, rows)


def _first_trees(graph: bytes, share: float, rows: Rows) -> bytes:
    whole = Trees.of(graph)
    first, matrix = whole.first(max(1, round(share * len(whole.roots)))), _matrix(rows)
    return first.fitted_to(whole.sums(matrix), matrix).into(graph)


def _cut_back(graph: bytes, share: float, rows: Rows) -> bytes:
    whole = Trees.of(graph)
    matrix = _matrix(rows)
    cut = whole.cut_back(matrix, round(share * whole.n_leaves))
    return cut.fitted_to(whole.sums(matrix), matrix).into(graph)


def _matrix(rows: Rows) -> NDArray[Any]:
    if len(rows) != 1:
        raise Unsupported(f"the graph has {len(rows)} inputs, not one matrix of features")
    return next(iter(rows.values()))


def _dynamic_int8(graph: bytes, rows: Rows, *, table_bits: int) -> bytes:
    return graphs.in_dynamic_int8(graphs.fused(graph) if graphs.is_transformer(graph) else graph, rows, table_bits=table_bits)


_EDITS: Final[dict[str, Callable[[bytes, float, Rows], bytes]]] = {
    FIRST_TREES: _first_trees,
    CUT_BACK: _cut_back,
    FUSED: lambda graph, _share, _rows: graphs.fused(graph),
    FLOAT16: lambda graph, _share, _rows: graphs.in_float16(graph),
    DYNAMIC_INT8: lambda graph, _share, rows: _dynamic_int8(graph, rows, table_bits=8),
    INT4_TABLES: lambda graph, _share, rows: _dynamic_int8(graph, rows, table_bits=4),
    STATIC_INT8: lambda graph, _share, rows: graphs.in_static_int8(graph, rows),
    FEWER_UNITS: lambda graph, share, rows: with_fewer_units(graph, _matrix(rows), share),
}
