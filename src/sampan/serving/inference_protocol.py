"""Open Inference Protocol v2: its messages as JSON and with the binary tensor extension, one input per field, shape [n] or [n, 1].

What the two encodings have in common is here too, and used by gRPC: datatypes, inputs to columns, answers to outputs.
Specification: github.com/kserve/open-inference-protocol; the extension: docs/protocol/extension_binary_data of triton-inference-server.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from sampan.core.decoding import decoder_of, read_builtins
from sampan.errors import ParameterError
from sampan.serving.requests import decode_json, json_kind
from sampan.table.arrow_blocks import Ascii
from sampan.table.rows import ColumnRows

SCORE, VALUE, DECISION, LABEL, PROBABILITIES, FLAGS = "score", "value", "decision", "label", "probabilities", "flags"
_MOST_FLAGGED = 10  # rows, of which the parameters of an answer speak
BINARY_HEADER = b"inference-header-content-length"
BINARY = b"application/octet-stream"
MOST_FAULTS = 10  # as many are told at once
EXTENSIONS = ["binary_tensor_data"]

# request schema's words for a field's type -> the protocol's datatype
DATATYPES: dict[str, str] = {"text": "BYTES", "moment": "BYTES", "number": "FP64", "flag": "BOOL"}
# datatype -> how its values lie in memory; BF16 and BYTES have ways of their own
LAYOUTS: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    **{f"{sign}INT{bits}": np.dtype(f"<{letter}{bits // 8}") for sign, letter in (("", "i"), ("U", "u")) for bits in (8, 16, 32, 64)},
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_KNOWN = ("BYTES", "BF16", *LAYOUTS)
_HINT = 'inputs are [{"name": …, "shape": [n], "datatype": "FP64", "data": […]}, …]'

Values = Any  # a list, or an array in which NaN is a missing value


class Tensor(msgspec.Struct, frozen=True):
    """A named array of one datatype; `data` is flat or nested row by row, or follows the JSON as bytes."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class RequestedOutput(msgspec.Struct, frozen=True):
    """An output the caller wants; `binary` says in which form, None where the request as a whole says it."""

    name: str
    parameters: dict[str, Any] = {}

    @property
    def binary(self) -> bool | None:
        """Whether its values follow the JSON as bytes."""
        return self.parameters.get("binary_data")


class _Infer(msgspec.Struct, frozen=True):
    inputs: list[Tensor]
    id: str = ""
    outputs: list[RequestedOutput] | None = None
    parameters: dict[str, Any] = {}


_decode = decoder_of(_Infer).decode


class InferRequest(msgspec.Struct, frozen=True):
    """A decoded inference request: rows held as columns, the id to echo, which outputs are wanted (none named: the usual ones).

    `timeout_us` is how long the caller waits, 0 where it does not say.
    """

    rows: ColumnRows
    id: str = ""
    outputs: Sequence[RequestedOutput] = ()
    binary: bool = False  # the form of outputs that do not say theirs
    timeout_us: int = 0


def decode_infer(body: bytes, *, max_rows: int, json_bytes: int | None = None) -> InferRequest:
    """Decode an inference request into rows.

    Parameters
    ----------
    json_bytes : how much of the body is JSON, where values of tensors follow it

    Raises
    ------
    ParameterError : broken JSON, a missing member, a tensor whose shape, datatype and data disagree, tensors of different lengths; all
        faults of the tensors at once.
    """
    head = body if json_bytes is None else body[:json_bytes]
    if json_bytes is not None and json_bytes > len(body):
        raise ParameterError(f"{BINARY_HEADER.decode()} is {json_bytes}, the body has {len(body)} bytes")
    try:
        request = _decode(head)
    except (msgspec.DecodeError, UnicodeDecodeError):
        request = _told(head)
    tail = _Tail(memoryview(body)[len(head) :])
    columns, faults = tensor_columns(request.inputs, partial(_json_values, tail))
    if tail.left and not faults:
        faults.append(f"{tail.left} bytes follow the last tensor")
    rows = table(columns, faults, max_rows=max_rows)
    return InferRequest(
        rows=rows,
        id=request.id,
        outputs=request.outputs or (),
        binary=request.parameters.get("binary_data_output") is True,
        timeout_us=timeout_us(request.parameters.get("timeout", 0)),
    )


def timeout_us(said: object) -> int:
    """Read how long a caller waits, in microseconds as Triton's clients say it; 0 is for ever."""
    if isinstance(said, str) and said.isdigit():
        said = int(said)
    if isinstance(said, bool) or not isinstance(said, int) or said < 0:
        raise ParameterError(f"the parameter timeout is {json_kind(said)}, expected whole microseconds", hint='such as {"timeout": 250000}')
    return said


def _told(head: bytes) -> _Infer:
    """Read what was not decoded, for what is wrong with it."""
    try:
        return read_builtins(decode_json(head), _Infer)
    except msgspec.ValidationError as cause:
        raise ParameterError(f"not an inference request: {cause}", hint=_HINT) from cause


def table(columns: Mapping[str, Values], faults: list[str], *, max_rows: int) -> ColumnRows:
    """Return columns as rows. Raises ParameterError with all `faults`, and where the columns are none, of different lengths or too long."""
    lengths = {name: len(values) for name, values in columns.items()}
    if lengths:
        first, n_rows = next(iter(lengths.items()))
        faults += [f"input {name!r} has {n} rows, {first!r} has {n_rows}" for name, n in lengths.items() if n != n_rows]
        if n_rows == 0:
            faults.append(f"input {first!r} has no rows, expected at least one")
    elif not faults:
        faults.append("inputs is empty, expected one tensor per field")
    if faults:
        more = "; and more" if len(faults) > MOST_FAULTS else ""
        raise ParameterError("; ".join(faults[:MOST_FAULTS]) + more, hint=_HINT)
    if n_rows > max_rows:
        raise ParameterError(f"{n_rows:,} rows in one request, at most {max_rows:,}", hint="send several requests")
    return ColumnRows(columns, n_rows)


def encode_infer(model: str, version: str, answers: Mapping[str, Values], *, request: InferRequest) -> tuple[bytes, int]:
    """Encode an answer; also return how much of it is JSON, 0 where all of it is.

    Raises
    ------
    ParameterError : an output is wanted that the model does not have.
    """
    outputs, tail = [], []
    for wanted in request.outputs or [RequestedOutput(name) for name in usual(answers)]:
        values = answer_of(answers, wanted.name)
        output: dict[str, Any] = {"name": wanted.name, "datatype": datatype_of(values), "shape": shape_of(values)}
        if request.binary if wanted.binary is None else wanted.binary:
            data = to_bytes(values)
            tail.append(data)
            output["parameters"] = {"binary_data_size": len(data)}
        else:
            output["data"] = values if isinstance(values, list) else values.ravel().tolist()
        outputs.append(output)
    said: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs, **({"id": request.id} if request.id else {})}
    if told := flagged_rows(answers):
        said["parameters"] = {FLAGS: told}
    head = msgspec.json.encode(said)
    return (b"".join([head, *tail]), len(head)) if tail else (head, 0)


def answer_of(answers: Mapping[str, Values], name: str) -> Values:
    """Return an output by its name, or raise ParameterError."""
    if name == SCORE and VALUE in answers:  # what a number was called before
        return answers[VALUE]
    if name not in answers:
        raise ParameterError(f"no output called {name!r}", hint=f"outputs are: {', '.join(answers)}")
    return answers[name]


def answers_of(
    scores: Values, *, threshold: float | None = None, classes: Sequence[str] = (), is_number: bool = False
) -> dict[str, Values]:
    """Return a model's outputs from its scores: shape (n,), or (n, k) with one probability for each of k classes.

    `is_number` says that a number was asked for: it is called `value`, as in every other answer; `score` is the chance of something.
    """
    if is_number:
        return {VALUE: scores}
    if classes:
        best = scores.argmax(axis=1)
        return {
            SCORE: scores.max(axis=1),
            LABEL: [classes[i] for i in best],
            PROBABILITIES: scores,
        }
    return {SCORE: scores} if threshold is None else {SCORE: scores, DECISION: scores >= threshold}


def flag_texts(notes: Mapping[int, Sequence[str]], n: int) -> list[str]:
    """Return what is told of each of n rows as the output `flags`: mostly nothing."""
    return ["; ".join(notes.get(index, ())) for index in range(n)]


def flagged_rows(answers: Mapping[str, Values]) -> str:
    """Say in one text which rows lie beyond training, for a caller who did not ask for the output `flags`."""
    rows = [f"row {index}: {text}" for index, text in enumerate(answers.get(FLAGS, ())) if text]
    more = f" · and {len(rows) - _MOST_FLAGGED} more rows" if len(rows) > _MOST_FLAGGED else ""
    return " · ".join(rows[:_MOST_FLAGGED]) + more


def usual(answers: Mapping[str, Values]) -> tuple[str, ...]:
    """Name the outputs a caller gets who names none."""
    return (SCORE, LABEL, PROBABILITIES) if PROBABILITIES in answers else (VALUE,) if VALUE in answers else (SCORE,)


def output_tensors(*, threshold: float | None = None, classes: Sequence[str] = (), is_number: bool = False) -> list[dict[str, Any]]:
    """Describe a model's outputs."""
    scores = np.zeros((1, len(classes)) if classes else 1)
    answers = answers_of(scores, threshold=threshold, classes=classes, is_number=is_number)
    answers[FLAGS] = [""]
    return [{"name": name, "datatype": datatype_of(v), "shape": [-1, *shape_of(v)[1:]]} for name, v in answers.items()]


def input_tensors(fields: Mapping[str, str]) -> list[dict[str, Any]]:
    """Describe a model's inputs by its request fields and their type words."""
    return [{"name": name, "datatype": DATATYPES.get(kind, "BYTES"), "shape": [-1]} for name, kind in fields.items()]


def model_metadata(model: str, versions: Sequence[str], inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> bytes:
    """Encode a model's metadata."""
    said = {"name": model, "versions": list(versions), "platform": "sampan_onnx", "inputs": inputs, "outputs": outputs}
    return msgspec.json.encode(said)


def server_metadata(version: str) -> bytes:
    """Encode the server's metadata."""
    return msgspec.json.encode({"name": "sampan", "version": version, "extensions": EXTENSIONS})


def datatype_of(values: Values) -> str:
    """Name the datatype of an output."""
    if isinstance(values, list):
        return "BYTES"
    return "BOOL" if values.dtype == np.bool_ else "FP64"


def shape_of(values: Values) -> list[int]:
    """Return the shape of an output."""
    return [len(values)] if isinstance(values, list) else list(values.shape)


def to_bytes(values: Values) -> bytes:
    """Write an output's values as the protocol lays them out."""
    if isinstance(values, list):
        parts = [text.encode() for text in values]
        return b"".join(chain.from_iterable((struct.pack("<I", len(part)), part) for part in parts))
    return bytes(np.ascontiguousarray(values, LAYOUTS[datatype_of(values)]).tobytes())


def from_bytes(name: str, datatype: str, n: int, data: memoryview) -> Values:
    """Read a tensor's n values. Raises ParameterError where there are more or fewer."""
    if datatype == "BYTES":
        return _texts(name, n, data)
    width = 2 if datatype == "BF16" else LAYOUTS[datatype].itemsize
    if len(data) != n * width:
        raise ParameterError(f"input {name!r} has {len(data)} bytes for {n} values of {datatype}, expected {n * width}")
    if datatype == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, LAYOUTS[datatype])


def n_values(tensor_name: str, shape: Sequence[int]) -> int:
    """Return how many rows a shape says. Raises ParameterError where it is not [n] or [n, 1]."""
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1) or shape[0] < 0:
        raise ParameterError(f"input {tensor_name!r} has shape {list(shape)}, expected [n] or [n, 1]")
    return shape[0]


def check_datatype(tensor_name: str, datatype: str) -> None:
    """Raise ParameterError for a datatype that the protocol does not have."""
    if datatype not in _KNOWN:
        raise ParameterError(f"input {tensor_name!r} has datatype {datatype!r}, expected one of {', '.join(_KNOWN)}")


class _Tail:
    """What follows the JSON, read from its front."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, n: int) -> memoryview:
        taken = self._data[self._at : self._at + n]
        self._at += len(taken)
        return taken

    def numbers(self, tensor: Tensor, size: int) -> Values | None:
        """Return the values of a tensor of numbers that is as it should be; None where it has to be looked at more closely."""
        layout = LAYOUTS.get(tensor.datatype)
        if layout is None or tensor.data is not None or len(tensor.shape) != 1:
            return None
        if not 0 < size == tensor.shape[0] * layout.itemsize <= self.left:
            return None
        self._at += size
        return np.frombuffer(self._data, layout, tensor.shape[0], self._at - size)


def tensor_columns(tensors: Sequence[Any], read: Callable[[Any], Values]) -> tuple[dict[str, Values], list[str]]:
    """Read tensors, of REST or gRPC, as columns; also return what is wrong with them."""
    columns: dict[str, Values] = {}
    faults: list[str] = []
    for tensor in tensors:
        try:
            values = read(tensor)
        except ParameterError as fault:
            faults.append(fault.message)
            continue
        if tensor.name in columns:
            faults.append(f"input {tensor.name!r} comes twice")
        columns[tensor.name] = values
    return columns, faults


def _json_values(tail: _Tail, tensor: Tensor) -> Values:
    size = tensor.parameters.get("binary_data_size")
    if type(size) is int and (numbers := tail.numbers(tensor, size)) is not None:
        return numbers
    taken = tail.take(size) if isinstance(size, int) and size >= 0 else None  # also of a faulty tensor: the next one's bytes follow
    check_datatype(tensor.name, tensor.datatype)
    n = n_values(tensor.name, tensor.shape)
    if size is not None:
        if taken is None or len(taken) != size or tensor.data:
            raise ParameterError(f"input {tensor.name!r} names {size!r} bytes after the JSON, which are not there or come beside data")
        return from_bytes(tensor.name, tensor.datatype, n, taken)
    data = tensor.data or []
    if data and all(isinstance(value, list) for value in data):
        data = list(chain.from_iterable(data))
    if len(data) != n:
        raise ParameterError(f"input {tensor.name!r} has {len(data)} values for shape {tensor.shape}")
    allowed = _ALLOWED[tensor.datatype]
    if not set(map(type, data)) <= allowed:
        index, value = next((i, v) for i, v in enumerate(data) if type(v) not in allowed)
        raise ParameterError(f"input {tensor.name!r} row {index} is {json_kind(value)}, expected {tensor.datatype}")
    return data


def _texts(name: str, n: int, view: memoryview) -> Sequence[str]:
    data = bytes(view)
    if n and data.isascii() and (parts := _alike(n, data) or _short(n, data)):
        return Ascii(parts)
    found: list[str] = []
    at, end, size_at = 0, len(data), struct.Struct("<I").unpack_from
    try:
        while at < end:
            first = at + 4
            at = first + size_at(data, at)[0]
            found.append(data[first:at].decode())
    except (struct.error, UnicodeDecodeError) as cause:
        raise ParameterError(f"input {name!r} value {len(found)} is no UTF-8 text with its length before it: {cause}") from cause
    if at > end:
        raise ParameterError(f"input {name!r} ends within its value {len(found) - 1}")
    if len(found) != n:
        raise ParameterError(f"input {name!r} has {len(found)} values for {n} rows")
    return found


def _alike(n: int, data: bytes) -> list[bytes] | None:
    """Split ASCII texts which are all as long as the first; None where they are not."""
    stride = len(data) // n
    if stride <= _SIZE_BYTES or len(data) != n * stride or data[0] != stride - _SIZE_BYTES:
        return None
    found: list[bytes] = np.ndarray((n,), f"S{stride - _SIZE_BYTES}", data, _SIZE_BYTES, (stride,)).tolist()
    # Put together again they are what came: also none has lost a NUL at its end, which numpy leaves out.
    return found if data[:_SIZE_BYTES].join([b"", *found]) == data else None


def _short(n: int, data: bytes) -> list[bytes] | None:
    """Split ASCII texts, whose sizes are ASCII too and so have one byte below 128; None where a size turns out to have more."""
    stream = BytesIO(data)
    read = stream.read
    try:
        parts = [read(read(_SIZE_BYTES)[0]) for _ in range(n)]
    except IndexError:  # it has ended
        return None
    # The other bytes of the sizes are zero if no zero is missing: those of the texts and of sizes that are zero do not count.
    zeros = data.count(0) - b"".join(parts).count(0) - parts.count(b"")
    whole = sum(map(len, parts)) + n * _SIZE_BYTES == len(data) and data[-len(parts[-1]) - _SIZE_BYTES] == len(parts[-1])
    return parts if whole and zeros == (_SIZE_BYTES - 1) * n else None


_SIZE_BYTES = 4  # of the length before each text
_NONE = type(None)
_ALLOWED: dict[str, frozenset[type]] = {
    "BYTES": frozenset({str, _NONE}),
    "BOOL": frozenset({bool, _NONE}),
    **{
        name: frozenset({int, float, _NONE} if "FP" in name or "BF" in name else {int, _NONE})
        for name in (*LAYOUTS, "BF16")
        if name != "BOOL"
    },
}
