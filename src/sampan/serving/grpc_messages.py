"""The Open Inference Protocol's gRPC messages, put together at run time from the names and numbers of the standard: no generated code.

A request becomes the same rows as one of the REST protocol, and the same answers become a response: one way through the server for both,
so that keys, limits, deadlines and logs are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from sampan.errors import ParameterError
from sampan.serving.inference_protocol import (
    FLAGS,
    LAYOUTS,
    InferRequest,
    RequestedOutput,
    Values,
    answer_of,
    check_datatype,
    datatype_of,
    flagged_rows,
    from_bytes,
    n_values,
    shape_of,
    table,
    tensor_columns,
    timeout_us,
    to_bytes,
    usual,
)

SERVICE: Final = "inference.GRPCInferenceService"
_PACKAGE: Final = "inference"
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}
_NAMED: Final = "name string 1; version string 2"
_TENSOR: Final = "name string 1; datatype string 2; shape int64* 3; parameters map 4; contents InferTensorContents 5"
# message -> its fields: name, type and number; * is repeated, | a member of the one choice, `map` from a text to an InferParameter
_MESSAGES: Final = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live bool 1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready bool 1",
    "ModelReadyRequest": _NAMED,
    "ModelReadyResponse": "ready bool 1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name string 1; version string 2; extensions string* 3",
    "ModelMetadataRequest": _NAMED,
    "ModelMetadataResponse.TensorMetadata": "name string 1; datatype string 2; shape int64* 3",
    "ModelMetadataResponse": "name string 1; versions string* 2; platform string 3; "
    "inputs ModelMetadataResponse.TensorMetadata* 4; outputs ModelMetadataResponse.TensorMetadata* 5",
    "InferParameter": "bool_param bool| 1; int64_param int64| 2; string_param string| 3; double_param double| 4; uint64_param uint64| 5",
    "InferTensorContents": "bool_contents bool* 1; int_contents int32* 2; int64_contents int64* 3; uint_contents uint32* 4; "
    "uint64_contents uint64* 5; fp32_contents float* 6; fp64_contents double* 7; bytes_contents bytes* 8",
    "ModelInferRequest.InferInputTensor": _TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": "name string 1; parameters map 2",
    "ModelInferRequest": "model_name string 1; model_version string 2; id string 3; parameters map 4; "
    "inputs ModelInferRequest.InferInputTensor* 5; outputs ModelInferRequest.InferRequestedOutputTensor* 6; raw_input_contents bytes* 7",
    "ModelInferResponse.InferOutputTensor": _TENSOR,
    "ModelInferResponse": "model_name string 1; model_version string 2; id string 3; parameters map 4; "
    "outputs ModelInferResponse.InferOutputTensor* 5; raw_output_contents bytes* 6",
}
# method -> its request and response
METHODS: Final = {
    name: (f"{name}Request", f"{name}Response")
    for name in ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
}
# where a datatype's values are when they are not raw
_CONTENTS: Final = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def message_types() -> dict[str, Any]:
    """Return the message classes by name, in a pool of their own: a client library in the same process has the same names."""
    file = descriptor_pb2.FileDescriptorProto(name="sampan_inference.proto", package=_PACKAGE, syntax="proto3")
    made: dict[str, Any] = {}
    for name in sorted(_MESSAGES, key=lambda known: (known.count("."), known)):
        outer, _, inner = name.rpartition(".")
        made[name] = (made[outer].nested_type if outer else file.message_type).add(name=inner)
        for said in filter(None, _MESSAGES[name].split("; ")):
            _add_field(made[name], f".{_PACKAGE}.{name}", *said.split())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES}


def read_infer(message: Any, *, max_rows: int) -> InferRequest:
    """Read a ModelInferRequest into rows, its raw contents as they lie.

    Raises
    ------
    ParameterError : there are not as many raw contents as inputs, or as `inference_protocol.decode_infer`.
    """
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise ParameterError(f"{len(raw)} raw_input_contents for {len(message.inputs)} inputs", hint="give all of them raw, or none")
    contents = iter(raw)  # in the order of the inputs, in which `tensor_columns` reads

    def values(tensor: Any) -> Values:
        data = next(contents) if raw else None
        datatype, shape = tensor.datatype, tensor.shape
        layout = LAYOUTS.get(datatype)
        if data is not None and layout is not None and len(shape) == 1 and len(data) == shape[0] * layout.itemsize:  # most are so
            return np.frombuffer(data, layout)
        check_datatype(tensor.name, datatype)
        n = n_values(tensor.name, shape)
        return from_bytes(tensor.name, datatype, n, memoryview(_contents(tensor) if data is None else data))

    columns, faults = tensor_columns(message.inputs, values)
    parameters = _parameters(message.parameters) if message.parameters else {}
    return InferRequest(
        rows=table(columns, faults, max_rows=max_rows),
        id=message.id,
        outputs=[RequestedOutput(output.name) for output in message.outputs],
        timeout_us=timeout_us(parameters.get("timeout", 0)),
    )


def write_infer(response: Any, version: str, answers: Mapping[str, Values], *, model: str, request: InferRequest) -> Any:
    """Fill a ModelInferResponse. Raises ParameterError where an output is wanted that the model does not have."""
    response.model_name, response.model_version, response.id = model, version, request.id
    if told := flagged_rows(answers):
        response.parameters[FLAGS].string_param = told
    for name in [wanted.name for wanted in request.outputs] or usual(answers):
        values = answer_of(answers, name)
        response.outputs.add(name=name, datatype=datatype_of(values), shape=shape_of(values))
        response.raw_output_contents.append(to_bytes(values))
    return response


def _contents(tensor: Any) -> bytes:
    check_datatype(tensor.name, tensor.datatype)
    field = _CONTENTS.get(tensor.datatype)
    given = [name.name for name, _ in tensor.contents.ListFields()]
    if field is None or given not in ([field], []):
        where = f"in {field}" if field else "in raw_input_contents alone"
        raise ParameterError(
            f"input {tensor.name!r} has its values in {', '.join(given) or 'nothing'}, those of {tensor.datatype} are {where}"
        )
    values = getattr(tensor.contents, field)
    if field == "bytes_contents":
        try:
            return to_bytes([value.decode() for value in values])
        except UnicodeDecodeError as cause:
            raise ParameterError(f"input {tensor.name!r} holds a text that is not UTF-8: {cause}") from cause
    try:
        return np.array(values, LAYOUTS[tensor.datatype]).tobytes()
    except OverflowError as cause:
        raise ParameterError(f"input {tensor.name!r} holds a value that is no {tensor.datatype}: {cause}") from cause


def _parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, value.WhichOneof("parameter_choice") or "string_param") for name, value in given.items()}


def _add_field(message: Any, full_name: str, name: str, kind: str, number: str) -> None:
    repeated, chosen = kind.endswith("*") or kind == "map", kind.endswith("|")
    kind = kind.rstrip("*|")
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL)
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"
    if kind == "map":
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)
        value = {"label": _Field.LABEL_OPTIONAL, "type": _Field.TYPE_MESSAGE, "type_name": f".{_PACKAGE}.InferParameter"}
        entry.field.add(name="value", number=2, **value)
        field.type_name = f"{full_name}.{entry.name}"
    if chosen:
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
