"""Tables of vectors that a graph looks rows up in, such as a vocabulary's: kept in 8 or 4 bits, put back to floats row by row.

Only the rows that are asked for are ever put back, so a smaller table costs no time. 8 bits have a scale for each row; 4 bits one for each
`BLOCK` numbers of a row, chosen so that the squares of what rounding takes are least.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.plugins import require

BLOCK: Final = 16  # the runtime's least; 32 saves another tenth of a table and takes a seventh more from its numbers
LARGE: Final = 100_000  # numbers in a table that is worth 4 bits: a smaller one saves nothing that is seen
_LEAST: Final = 1_000  # numbers in a table that is worth 8 bits
_RUNTIME: Final = "com.microsoft"
_FLOAT: Final = 1  # ONNX's number for float32
_SHRUNK: Final = np.linspace(0.6, 1.1, 11)  # of a block's largest number: where its scale is looked for

Floats = NDArray[np.float32]


def share_of_tables(graph: bytes) -> float:
    """Return how much of a graph's bytes are tables large enough for 4 bits."""
    model = require("onnx", extra="train").load_from_string(graph)
    sizes = (4 * each.dims[0] * each.dims[1] for each in _tables(model).values() if _is_large(each))
    return float(sum(sizes)) / len(graph)


def in_fewer_bits(graph: bytes, *, bits: int) -> bytes:
    """Keep tables in 8 bits, or the large ones in 4; others stay as they are.

    Parameters
    ----------
    bits : 8 or 4, of the large tables; smaller ones are always kept in 8
    """
    onnx = require("onnx", extra="train")
    model = onnx.load_from_string(graph)
    found = _tables(model)
    for name, kept in found.items():
        table = onnx.numpy_helper.to_array(kept)
        in_four = bits == 4 and _is_large(kept)
        made = _four_bits(table, name) if in_four else _eight_bits(table, name)
        model.graph.initializer.remove(kept)
        model.graph.initializer.extend([onnx.numpy_helper.from_array(each, name) for name, each in made.items()])
        for place, node in reversed(list(enumerate(model.graph.node))):
            if node.op_type == "Gather" and node.input[0] == name:
                _replace(model, place, _blocks_looked_up(node) if in_four else _rows_looked_up(node))
    if bits == 4 and all(each.domain != _RUNTIME for each in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(_RUNTIME, 1))
    return bytes(model.SerializeToString(deterministic=True))


def _tables(model: Any) -> dict[str, Any]:
    """Return the matrices of floats that rows are looked up in and nothing else is done with, by their names."""
    found = {each.name: each for each in model.graph.initializer if each.data_type == _FLOAT and len(each.dims) == 2}
    found = {name: each for name, each in found.items() if each.dims[0] * each.dims[1] >= _LEAST}
    looked_up = set()
    for node in model.graph.node:
        is_lookup = node.op_type == "Gather" and not any(each.name == "axis" and each.i for each in node.attribute)
        for place, name in enumerate(node.input):
            if is_lookup and place == 0:
                looked_up.add(name)
            else:
                found.pop(name, None)
    outputs = {each.name for each in model.graph.output}
    return {name: each for name, each in found.items() if name in looked_up and name not in outputs}


def _is_large(table: Any) -> bool:
    return bool(table.dims[0] * table.dims[1] >= LARGE and table.dims[1] % BLOCK == 0)


def _eight_bits(table: Floats, name: str) -> dict[str, NDArray[Any]]:
    scale = _or_one(np.abs(table).max(axis=1, keepdims=True) / 127).astype(np.float32)
    return {f"{name}/rows": np.round(table / scale).astype(np.int8), f"{name}/scales": scale}


def _four_bits(table: Floats, name: str) -> dict[str, NDArray[Any]]:
    """Return a table's numbers, two in a byte, and its blocks' scales in 16 bits."""
    blocks = table.reshape(len(table), -1, BLOCK)
    scale = _best_scales(blocks)
    codes = (np.clip(np.round(blocks / scale), -8, 7) + 8).astype(np.uint8).reshape(table.shape)
    return {f"{name}/rows": codes[:, 0::2] | (codes[:, 1::2] << 4), f"{name}/scales": scale[..., 0].astype(np.float16)}


def _best_scales(blocks: Floats) -> Floats:
    """Return for each block the scale that takes least; a negative one where its largest number is positive, as codes go from -8 to 7."""
    largest = np.abs(blocks).max(axis=2, keepdims=True)
    best: Floats = np.ones_like(largest)
    least = np.full(largest.shape, np.inf, dtype=np.float32)
    for part in (*_SHRUNK, *-_SHRUNK):
        scale = _or_one((largest * part / 8).astype(np.float16)).astype(np.float32)
        taken = ((np.clip(np.round(blocks / scale), -8, 7) * scale - blocks) ** 2).sum(axis=2, keepdims=True)
        best, least = np.where(taken < least, scale, best), np.minimum(taken, least)
    return best


def _or_one(scale: NDArray[Any]) -> NDArray[Any]:
    """Return scales, 1 for rows of zeros."""
    return np.where(scale == 0, scale.dtype.type(1), scale)


def _rows_looked_up(node: Any) -> list[Any]:
    make = require("onnx", extra="train").helper.make_node
    table, indices, output = node.input[0], node.input[1], node.output[0]
    return [
        make("Gather", [f"{table}/rows", indices], [f"{output}/row"]),
        make("Cast", [f"{output}/row"], [f"{output}/number"], to=_FLOAT),
        make("Gather", [f"{table}/scales", indices], [f"{output}/scale"]),
        make("Mul", [f"{output}/number", f"{output}/scale"], [output]),
    ]


def _blocks_looked_up(node: Any) -> list[Any]:
    make = require("onnx", extra="train").helper.make_node
    table, indices, output = node.input[0], node.input[1], node.output[0]
    settings = {"bits": 4, "block_size": BLOCK, "gather_axis": 0, "quantize_axis": 1}
    return [
        make("GatherBlockQuantized", [f"{table}/rows", indices, f"{table}/scales"], [f"{output}/half"], domain=_RUNTIME, **settings),
        make("Cast", [f"{output}/half"], [output], to=_FLOAT),
    ]


def _replace(model: Any, place: int, nodes: list[Any]) -> None:
    del model.graph.node[place]
    for made in reversed(nodes):
        model.graph.node.insert(place, made)
