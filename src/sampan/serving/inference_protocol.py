"""Open Inference Protocol v2 over REST: JSON tensors, one input per field, shape [n] or [n, 1].

The binary tensor extension is refused with a clear answer, as `extensions` in the server's metadata says.
Specification: github.com/kserve/open-inference-protocol, `open_inference_rest.yaml`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from sampan.errors import ParameterError, Unsupported
from sampan.serving.requests import decode_json, json_kind

SCORE = "score"
BINARY_HEADER = b"inference-header-content-length"

# request schema's words for a field's type -> the protocol's datatype
DATATYPES: dict[str, str] = {"text": "BYTES", "moment": "BYTES", "number": "FP64", "flag": "BOOL"}

_INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
_FLOATS = frozenset({"FP16", "FP32", "FP64"})
_BINARY = ("binary_data", "binary_data_size", "binary_data_output")


class Tensor(msgspec.Struct, frozen=True):
    """A named array of one datatype; `data` is flat or nested row by row."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] = []
    parameters: dict[str, Any] = {}


class RequestedOutput(msgspec.Struct, frozen=True):
    """An output the caller wants."""

    name: str
    parameters: dict[str, Any] = {}


class _Infer(msgspec.Struct, frozen=True):
    inputs: list[Tensor]
    id: str = ""
    outputs: list[RequestedOutput] = []
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, frozen=True):
    """A decoded inference request: rows of named fields, and the id to echo."""

    rows: list[dict[str, Any]]
    id: str = ""


class _OutputTensor(msgspec.Struct, frozen=True):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class _InferAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[_OutputTensor]
    id: str = ""


def decode_infer(body: bytes, *, max_rows: int) -> InferRequest:
    """Decode an inference request into rows.

    Raises
    ------
    ParameterError : broken JSON, a missing member, a tensor whose shape, datatype and data disagree, tensors of different lengths.
    Unsupported : binary tensor data, in or out.
    """
    value = decode_json(body)
    try:
        request = msgspec.convert(value, _Infer)
    except msgspec.ValidationError as cause:
        hint = 'inputs are [{"name": …, "shape": [n], "datatype": "FP64", "data": […]}, …]'
        raise ParameterError(f"not an inference request: {cause}", hint=hint) from cause
    _refuse_binary(request)
    _check_outputs(request.outputs)
    columns = _columns(request.inputs)
    n_rows = len(next(iter(columns.values())))
    if n_rows > max_rows:
        raise ParameterError(f"{n_rows:,} rows in one request, at most {max_rows:,}", hint="send several requests")
    names = tuple(columns)
    return InferRequest(rows=[dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)], id=request.id)


def encode_infer(model: str, version: str, scores: Sequence[float], *, request_id: str = "") -> bytes:
    """Encode scores as the one output tensor `score`."""
    output = _OutputTensor(name=SCORE, shape=[len(scores)], datatype="FP64", data=list(scores))
    return msgspec.json.encode(_InferAnswer(model_name=model, model_version=version, outputs=[output], id=request_id))


def model_metadata(model: str, versions: Sequence[str], fields: Mapping[str, str]) -> bytes:
    """Encode a model's metadata from its request fields and their type words."""
    inputs = [{"name": name, "datatype": DATATYPES.get(kind, "BYTES"), "shape": [-1]} for name, kind in fields.items()]
    outputs = [{"name": SCORE, "datatype": "FP64", "shape": [-1]}]
    return msgspec.json.encode({"name": model, "versions": list(versions), "platform": "sampan_onnx", "inputs": inputs, "outputs": outputs})


def server_metadata(version: str) -> bytes:
    """Encode the server's metadata."""
    return msgspec.json.encode({"name": "sampan", "version": version, "extensions": []})


def refuse_binary_header() -> Unsupported:
    """Return the answer to a request whose tensors follow the JSON as bytes."""
    return Unsupported(
        "this server does not read binary tensor data", hint="send tensors as JSON data (binary_data=False in client libraries)"
    )


def _refuse_binary(request: _Infer) -> None:
    carried = (request.parameters, *(t.parameters for t in request.inputs), *(o.parameters for o in request.outputs))
    if any(parameters.get(word) for parameters in carried for word in _BINARY):
        raise refuse_binary_header()


def _check_outputs(outputs: Sequence[RequestedOutput]) -> None:
    for output in outputs:
        if output.name != SCORE:
            raise ParameterError(f"no output called {output.name!r}", hint=f"the one output is {SCORE!r}")


def _columns(inputs: Sequence[Tensor]) -> dict[str, list[Any]]:
    if not inputs:
        raise ParameterError("inputs is empty, expected one tensor per field")
    columns: dict[str, list[Any]] = {}
    for tensor in inputs:
        if tensor.name in columns:
            raise ParameterError(f"input {tensor.name!r} comes twice")
        columns[tensor.name] = _values(tensor)
    lengths = {name: len(values) for name, values in columns.items()}
    first, n_rows = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != n_rows:
            raise ParameterError(
                f"input {name!r} has {length} rows, {first!r} has {n_rows}", hint="all inputs of a request have the same length"
            )
    if n_rows == 0:
        raise ParameterError(f"input {first!r} has no rows, expected at least one")
    return columns


def _values(tensor: Tensor) -> list[Any]:
    shape, data = tensor.shape, tensor.data
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        raise ParameterError(f"input {tensor.name!r} has shape {shape}, expected [n] or [n, 1]")
    if data and all(isinstance(value, list) for value in data):
        data = list(chain.from_iterable(data))
    if len(data) != shape[0]:
        raise ParameterError(f"input {tensor.name!r} has {len(data)} values for shape {shape}")
    fits = _fits(tensor)
    for index, value in enumerate(data):
        if value is not None and not fits(value):
            raise ParameterError(f"input {tensor.name!r} row {index} is {json_kind(value)}, expected {tensor.datatype}")
    return data


def _fits(tensor: Tensor) -> Callable[[object], bool]:
    if tensor.datatype == "BYTES":
        return lambda value: isinstance(value, str)
    if tensor.datatype == "BOOL":
        return lambda value: isinstance(value, bool)
    if tensor.datatype in _INTEGERS:
        return lambda value: isinstance(value, int) and not isinstance(value, bool)
    if tensor.datatype in _FLOATS:
        return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)
    known = ", ".join(["BYTES", "BOOL", *sorted(_INTEGERS), *sorted(_FLOATS)])
    raise ParameterError(f"input {tensor.name!r} has datatype {tensor.datatype!r}", hint=f"one of {known}")
