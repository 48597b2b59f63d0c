"""Spans as OpenTelemetry's exporters send them (OTLP over HTTP, protobuf or JSON), turned into plain JSON and back.

The messages are those of opentelemetry-proto 1.x, `collector/trace/v1` and `trace/v1` (see opentelemetry.io/docs/specs/otlp). The table
below says their fields; the protobuf library reads and writes them.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from sampan.web.mlflow.refusals import invalid

JSON, PROTOBUF = "application/json", "application/x-protobuf"
Span = dict[str, Any]  # as protobuf's JSON has one: ids in base64, 64-bit numbers as texts
_MOST: Final = 64 << 20  # bytes of one request, unpacked
_IDS: Final = ("traceId", "spanId", "parentSpanId")

# message -> (number, name, type); [] = repeated, | = one of several; a type in capitals is a message of this table.
_MESSAGES: Final[Mapping[str, tuple[tuple[int, str, str], ...]]] = {
    "Request": ((1, "resource_spans", "[]ResourceSpans"),),
    "ResourceSpans": ((1, "resource", "Resource"), (2, "scope_spans", "[]ScopeSpans"), (3, "schema_url", "string")),
    "Resource": ((1, "attributes", "[]KeyValue"), (2, "dropped_attributes_count", "uint32")),
    "ScopeSpans": ((1, "scope", "Scope"), (2, "spans", "[]Span"), (3, "schema_url", "string")),
    "Scope": ((1, "name", "string"), (2, "version", "string"), (3, "attributes", "[]KeyValue"), (4, "dropped_attributes_count", "uint32")),
    "Span": (
        (1, "trace_id", "bytes"),
        (2, "span_id", "bytes"),
        (3, "trace_state", "string"),
        (4, "parent_span_id", "bytes"),
        (5, "name", "string"),
        (6, "kind", "int32"),
        (7, "start_time_unix_nano", "fixed64"),
        (8, "end_time_unix_nano", "fixed64"),
        (9, "attributes", "[]KeyValue"),
        (10, "dropped_attributes_count", "uint32"),
        (11, "events", "[]Occurrence"),
        (12, "dropped_events_count", "uint32"),
        (13, "links", "[]Link"),
        (14, "dropped_links_count", "uint32"),
        (15, "status", "Status"),
        (16, "flags", "fixed32"),
    ),
    "Occurrence": (
        (1, "time_unix_nano", "fixed64"),
        (2, "name", "string"),
        (3, "attributes", "[]KeyValue"),
        (4, "dropped_attributes_count", "uint32"),
    ),
    "Link": (
        (1, "trace_id", "bytes"),
        (2, "span_id", "bytes"),
        (3, "trace_state", "string"),
        (4, "attributes", "[]KeyValue"),
        (5, "dropped_attributes_count", "uint32"),
        (6, "flags", "fixed32"),
    ),
    "Status": ((2, "message", "string"), (3, "code", "int32")),
    "KeyValue": ((1, "key", "string"), (2, "value", "AnyValue")),
    "AnyValue": (
        (1, "string_value", "|string"),
        (2, "bool_value", "|bool"),
        (3, "int_value", "|int64"),
        (4, "double_value", "|double"),
        (5, "array_value", "|Values"),
        (6, "kvlist_value", "|Pairs"),
        (7, "bytes_value", "|bytes"),
    ),
    "Values": ((1, "values", "[]AnyValue"),),
    "Pairs": ((1, "values", "[]KeyValue"),),
}


def read(body: bytes, *, media: str, encoding: str = "") -> list[Span]:
    """Return the spans of an export request.

    Raises
    ------
    Refusal : the body is no such request, or holds more than 64 MiB unpacked.
    """
    from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
    from google.protobuf.message import DecodeError

    request = messages()["Request"]()
    try:
        if media == JSON:
            ParseDict(_ids_in_base64(json.loads(_unpacked(body, encoding))), request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(_unpacked(body, encoding))
    except (DecodeError, ParseError, ValueError, AttributeError, TypeError, RecursionError) as cause:
        raise invalid("Invalid OpenTelemetry format") from cause
    told = MessageToDict(request, preserving_proto_field_name=True)
    spans = [
        span for resource in told.get("resource_spans", ()) for scope in resource.get("scope_spans", ()) for span in scope.get("spans", ())
    ]
    if any(len(trace_of(span)) != 32 or not span.get("span_id") for span in spans):
        raise invalid("Invalid OpenTelemetry format: a span's trace_id has 16 bytes, and it has a span_id")
    return spans


def trace_of(span: Span) -> str:
    """Return the trace a span belongs to, as 32 hexadecimal digits."""
    return base64.b64decode(span.get("trace_id", "")).hex()


def attributes(span: Span) -> dict[str, Any]:
    """Return a span's attributes that are plain values."""
    return {each["key"]: next(iter(each["value"].values()), None) for each in span.get("attributes", ()) if each.get("value")}


def nanoseconds(span: Span, moment: str) -> int:
    """Return when a span started or ended, since 1970; 0 if it has not."""
    return int(span.get(f"{moment}_time_unix_nano", 0))


def _unpacked(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise invalid(f"Unsupported Content-Encoding: {encoding}")
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        found = unpacking.decompress(body, _MOST)
    except zlib.error as cause:
        raise invalid(f"Failed to decompress {encoding} payload") from cause
    if unpacking.unconsumed_tail:
        raise invalid(f"the payload has more than {_MOST:,} bytes unpacked")
    return found


def _ids_in_base64(told: Any) -> Any:
    """Return an OTLP JSON request with its hexadecimal ids as protobuf's JSON has bytes."""
    for span in _spans(told):
        for id_bearing in (span, *span.get("links", ())):
            for field in _IDS:
                if field in id_bearing:
                    try:
                        id_bearing[field] = base64.b64encode(binascii.unhexlify(id_bearing[field])).decode()
                    except (binascii.Error, TypeError) as cause:
                        raise invalid(f"Invalid OpenTelemetry format: {field} {id_bearing[field]!r} is not hexadecimal") from cause
    return told


def _spans(told: Any) -> Iterator[dict[str, Any]]:
    for resource in told.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            yield from scope.get("spans", ())


@cache
def messages() -> Mapping[str, Any]:
    """Return the classes of OTLP's messages by name; an export is a Request."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="sampan/otlp.proto", package="sampan.otlp", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if any(kind.startswith("|") for _, _, kind in fields):
            message.oneof_decl.add(name="value")
        for number, field, kind in fields:
            _add_field(message, number, field, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"sampan.otlp.{name}")) for name in _MESSAGES}


def _add_field(message: Any, number: int, name: str, kind: str) -> None:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

    bare = kind.removeprefix("[]").removeprefix("|")
    field = message.field.add(name=name, number=number, label=Field.LABEL_REPEATED if kind.startswith("[]") else Field.LABEL_OPTIONAL)
    if bare in _MESSAGES:
        field.type, field.type_name = Field.TYPE_MESSAGE, f".sampan.otlp.{bare}"
    else:
        field.type = Field.Type.Value(f"TYPE_{bare.upper()}")
    if kind.startswith("|"):
        field.oneof_index = 0
