"""Other forms of the same graph: fused, in float16, in int8. Each is only tried; what it is worth on this machine is measured.

All of it is ONNX Runtime's own tooling, called so that it does what it is known to get right: int8 weights are signed and per channel (the
default, unsigned and per tensor, was slower than float32), and a transformer is fused before it is quantized.
"""

from __future__ import annotations

import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sampan.compression.outliers import evened_out
from sampan.compression.tables import in_fewer_bits
from sampan.errors import SampanError, Unsupported
from sampan.plugins import require

Arrays = Mapping[str, NDArray[Any]]

CALIBRATION_ROWS: Final = 512
_LAYERS: Final = ("MatMul", "Gemm", "Conv")
_FEWEST_SOFTMAX: Final = 2
_CODES: Final = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : (?:Type Error: )?")
_LONGEST: Final = 200  # of what a tool said, in characters
_WARNINGS, _SILENT = 2, 4  # what the runtime's default logger says: from where on; it begins with warnings


def is_transformer(graph: bytes) -> bool:
    """Say whether a graph has layers of attention: products of matrices around several softmaxes, norms between them."""
    kinds = _kinds(graph)
    return kinds.get("Softmax", 0) >= _FEWEST_SOFTMAX and kinds.get("MatMul", 0) >= 4 * _FEWEST_SOFTMAX


def has_layers(graph: bytes) -> bool:
    """Say whether a graph multiplies by weights, so that their type matters; trees do not."""
    return any(_kinds(graph).get(kind, 0) for kind in _LAYERS)


def fused(graph: bytes) -> bytes:
    """Put the many nodes of norms, activations and products together into ONNX Runtime's own, once instead of at each start.

    The runtime fuses so itself when it loads a graph; what counts is that int8 then comes after it, and quantizes each input once.

    Raises
    ------
    Unsupported : there is nothing to fuse, or the graph cannot be read so.
    """
    if not is_transformer(graph):
        raise Unsupported("no layer of attention to fuse; what else can be fused the runtime fuses when it loads a graph")
    ort = require("onnxruntime", extra="train")
    with _as_file(graph) as path, _tooling("the graph cannot be fused"):
        options = ort.SessionOptions()
        # The highest level but one: the highest lays memory out for this very processor.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(path.with_name("made.onnx"))
        options.log_severity_level = 4
        ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return path.with_name("made.onnx").read_bytes()


def in_float16(graph: bytes) -> bytes:
    """Keep weights and compute in 16 bits; inputs and outputs stay as they are.

    Raises
    ------
    Unsupported : the graph has no weights to shorten, or cannot be read so.
    """
    _require_layers(graph, "16 bits")
    onnx = require("onnx", extra="train")
    with _tooling("the graph cannot be had in 16 bits"):
        convert = require("onnxruntime.transformers.float16", extra="train").convert_float_to_float16
        made = convert(onnx.load_from_string(graph), keep_io_types=True, disable_shape_infer=False)
        return bytes(made.SerializeToString(deterministic=True))


def in_dynamic_int8(graph: bytes, rows: Arrays, *, table_bits: int = 8) -> bytes:
    """Keep weights in 8 bits, per channel and signed; what flows between layers is measured and rounded at each call.

    Parameters
    ----------
    rows : the graph's inputs by name, of rows like those it will see; columns that are far out in them are divided before
    table_bits : 8, or 4 for large tables of vectors, a vocabulary's

    Raises
    ------
    Unsupported : the graph has no weights to shorten, or cannot be read so.
    """
    quantization = _quantization(graph)

    def quantize(given: Path, made: Path) -> None:
        quantization.quantize_dynamic(
            given,
            made,
            op_types_to_quantize=[*_LAYERS, "Attention"],
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            # A fused graph names no types between its nodes; without this the tool gives up: "Unable to find data type".
            extra_options={"DefaultTensorType": 1},
        )

    with _tooling("the graph cannot be had in 8 bits"):
        return in_fewer_bits(_quantized(evened_out(graph, rows), quantize), bits=table_bits)


def in_static_int8(graph: bytes, rows: Arrays) -> bytes:
    """Keep weights in 8 bits and compute in them, with the ranges that these rows show.

    Parameters
    ----------
    rows : the graph's inputs by name, of rows like those it will see; the first `CALIBRATION_ROWS` are enough

    Raises
    ------
    Unsupported : the graph has no weights to shorten, or cannot be read so.
    """
    quantization = _quantization(graph)

    def quantize(given: Path, made: Path) -> None:
        quantization.quantize_static(
            given,
            made,
            _reader(quantization, rows),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(_LAYERS),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )

    with _tooling("the graph cannot be had in 8 bits"):
        return _quantized(graph, quantize)


def _quantization(graph: bytes) -> Any:
    _require_layers(graph, "8 bits")
    return require("onnxruntime.quantization", extra="train")


def _quantized(graph: bytes, quantize: Callable[[Path, Path], None]) -> bytes:
    """Return what a quantizer, which reads and writes files, makes of a graph."""
    with _as_file(graph) as path:
        made = path.with_name("made.onnx")
        quantize(path, made)
        return made.read_bytes()


def _reader(quantization: Any, rows: Arrays) -> Any:
    n_rows = min(len(next(iter(rows.values()))), CALIBRATION_ROWS)

    class Rows(quantization.CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is no import of this file
        def __init__(self) -> None:
            self._left = iter(range(n_rows))

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            place = next(self._left, None)
            return None if place is None else {name: np.ascontiguousarray(each[place : place + 1]) for name, each in rows.items()}

    return Rows()


def _require_layers(graph: bytes, what: str) -> None:
    if not has_layers(graph):
        raise Unsupported(f"no weights to keep in {what}: ONNX's trees compare in float32")


def _kinds(graph: bytes) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in require("onnx", extra="train").load_from_string(graph).graph.node:
        found[node.op_type] = found.get(node.op_type, 0) + 1
    return found


@contextmanager
def _as_file(graph: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "given.onnx"
        path.write_bytes(graph)
        yield path


def _said(cause: Exception) -> str:
    """Say in a line what stopped a tool, without the runtime's codes; its name where it says nothing itself."""
    line = _CODES.sub("", str(cause).partition("\n")[0])
    name = "" if isinstance(cause, SampanError) else type(cause).__name__
    return ": ".join(filter(None, [name, line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"]))


@contextmanager
def _tooling(refusal: str) -> Iterator[None]:
    """Run the runtime's tools without their remarks. They raise anything; whatever it is, there is no such form of the graph."""
    ort = require("onnxruntime", extra="train")
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.CRITICAL)
    ort.set_default_logger_severity(_SILENT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as cause:
        raise Unsupported(f"{refusal}: {_said(cause)}") from cause
    finally:
        root.setLevel(level)
        ort.set_default_logger_severity(_WARNINGS)
