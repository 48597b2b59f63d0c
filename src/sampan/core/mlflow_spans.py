"""Spans in MLflow's own JSON (what its artifacts, tables and clients hold), turned into that of OpenTelemetry's protobuf and back.

MLflow writes ids in base64 as protobuf does, but attributes as one object whose values are JSON texts, and a status by its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

SPANS_FILE: Final = "traces.json"
LOCATION_TAG, NAME_TAG, PLACE_TAG = "mlflow.trace.spansLocation", "mlflow.traceName", "mlflow.artifactLocation"
_CODES: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_NAMES: Final = {number: name for name, number in _CODES.items()}
_TIMES: Final = ("start_time_unix_nano", "end_time_unix_nano")


def span_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a span of MLflow's as protobuf's JSON has it."""
    found: dict[str, Any] = {key: told[key] for key in ("trace_id", "span_id", "parent_span_id", "name") if told.get(key)}
    found |= {key: str(told[key]) for key in _TIMES if told.get(key) is not None}
    if told.get("attributes"):
        found["attributes"] = _listed(_decoded(told["attributes"]))
    if told.get("events"):
        found["events"] = [
            {
                "time_unix_nano": str(each.get("time_unix_nano", each.get("timestamp", 0))),
                "name": each.get("name", ""),
                "attributes": _listed(each.get("attributes") or {}),
            }
            for each in told["events"]
        ]
    if told.get("links"):
        found["links"] = [{**each, "attributes": _listed(each.get("attributes") or {})} for each in told["links"]]
    status = told.get("status") or {}
    code = status.get("code", 0)
    found["status"] = {
        **({"message": status["message"]} if status.get("message") else {}),
        "code": code if isinstance(code, int) else _CODES.get(code, 0),
    }
    return found


def mlflow_span(span: Mapping[str, Any]) -> dict[str, Any]:
    """Return a span of protobuf's JSON in MLflow's own."""
    status = span.get("status") or {}
    return {
        "trace_id": span.get("trace_id", ""),
        "span_id": span.get("span_id", ""),
        "parent_span_id": span.get("parent_span_id") or None,
        "name": span.get("name", ""),
        **{key: int(span.get(key, 0)) for key in _TIMES},
        "events": [
            {"name": each.get("name", ""), "time_unix_nano": int(each.get("time_unix_nano", 0)), "attributes": _object(each)}
            for each in span.get("events", ())
        ],
        "status": {"code": _NAMES.get(int(status.get("code", 0)), "STATUS_CODE_UNSET"), "message": status.get("message", "")},
        "attributes": {key: json.dumps(value, ensure_ascii=False) for key, value in _object(span).items()},
        "links": [{**each, "attributes": _object(each)} for each in span.get("links", ())],
    }


def spans_in(text: bytes) -> tuple[dict[str, Any], ...]:
    """Return the spans of a file of them. Raises ValueError if it is none."""
    told = json.loads(text)
    if not isinstance(told, dict) or not isinstance(told.get("spans"), list):
        raise ValueError("no list of spans")
    return tuple(span_of(each) for each in told["spans"])


def _decoded(attributes: Mapping[str, Any] | Sequence[Any]) -> Mapping[str, Any] | Sequence[Any]:
    """Return a span's attributes as the values that their JSON texts stand for; those of protobuf's JSON are as they are."""
    return {key: _of_json(value) for key, value in attributes.items()} if isinstance(attributes, Mapping) else attributes


def _of_json(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _listed(attributes: Mapping[str, Any] | Sequence[Any]) -> list[Any]:
    """Return attributes as pairs; those of protobuf's JSON are."""
    if not isinstance(attributes, Mapping):
        return list(attributes)
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"bool_value": value}
    if isinstance(value, int):
        return {"int_value": str(value)}
    if isinstance(value, float):
        return {"double_value": value}
    if isinstance(value, list):
        return {"array_value": {"values": [_value(each) for each in value]}}
    if isinstance(value, Mapping):
        return {"kvlist_value": {"values": [{"key": str(key), "value": _value(each)} for key, each in value.items()]}}
    return {} if value is None else {"string_value": str(value)}


def _object(bearer: Mapping[str, Any]) -> dict[str, Any]:
    return {each["key"]: _plain(each.get("value") or {}) for each in bearer.get("attributes", ())}


def _plain(value: Mapping[str, Any]) -> Any:
    kind: str
    found: Any
    kind, found = next(iter(value.items()), ("", None))
    if kind == "int_value":
        return int(found)
    if kind == "kvlist_value":
        return {each["key"]: _plain(each.get("value") or {}) for each in found.get("values", ())}
    return [_plain(each) for each in found.get("values", ())] if kind == "array_value" else found
