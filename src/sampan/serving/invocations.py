"""What MLflow's scoring servers are asked and answer: `/invocations` with a data frame or arrays as JSON, or with CSV.

Columns beyond the model's fields are left out, as MLflow's own servers do; every field of the model has to be there.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from sampan.errors import ParameterError
from sampan.serving.inference_protocol import FLAGS, LABEL, Values, usual
from sampan.serving.requests import json_kind
from sampan.table.rows import ColumnRows

CSV, JSON = "text/csv", "application/json"
_FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")
_HINT = f"send one of {', '.join(_FORMS)}, as MLflow's clients do"
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def decode_invocations(body: bytes, content_type: str, fields: Mapping[str, str], *, max_rows: int) -> ColumnRows:
    """Decode a request into rows of the model's fields (name -> type word).

    Raises
    ------
    ParameterError : another content type, a body of another form, columns that do not fit each other or lack a field.
    """
    mime = content_type.partition(";")[0].strip().lower() or JSON
    if mime == CSV:
        columns, n_rows = _of_csv(body, fields)
    elif mime == JSON:
        columns, n_rows = _of_json(_decoded(body), list(fields))
    else:
        raise ParameterError(f"content type {mime!r} is not read here", hint=f"send {JSON} or {CSV}")
    if lost := [name for name in fields if name not in columns]:
        raise ParameterError(f"columns are missing: {', '.join(lost)}", hint=f"the model's fields are: {', '.join(fields)}")
    if not 1 <= n_rows <= max_rows:
        raise ParameterError(f"{n_rows:,} rows in one request, expected 1 to {max_rows:,}", hint="send several requests")
    return ColumnRows({name: columns[name] for name in fields}, n_rows)


def encode_invocations(answers: Mapping[str, Values]) -> bytes:
    """Encode predictions: class names where there are classes, else scores; and, by number, the `flags` of rows beyond training."""
    values = answers[LABEL] if LABEL in answers else answers[usual(answers)[0]]
    said: dict[str, Any] = {"predictions": values if isinstance(values, list) else values.tolist()}
    if flags := {str(index): text for index, text in enumerate(answers.get(FLAGS, ())) if text}:
        said["flags"] = flags
    return msgspec.json.encode(said)


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        # MLflow's clients write missing values of a data frame as NaN, which is not JSON.
        return json.loads(body, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as cause:
        raise ParameterError(f"the body is not JSON: {cause}", hint=_HINT) from cause


def _of_json(value: Any, fields: Sequence[str]) -> tuple[dict[str, list[Any]], int]:
    if not isinstance(value, dict):
        raise ParameterError(f"the body is {json_kind(value)}, expected an object", hint=_HINT)
    found = [form for form in _FORMS if form in value]
    if len(found) != 1:
        raise ParameterError(f"the body has {', '.join(found) or 'none'} of {', '.join(_FORMS)}, expected one", hint=_HINT)
    given = value[found[0]]
    if found[0] == "dataframe_split":
        return _of_split(given)
    if isinstance(given, dict) and found[0] != "dataframe_records":
        return _of_columns(given)
    if not isinstance(given, list):
        raise ParameterError(f"{found[0]} is {json_kind(given)}, expected an array of rows", hint=_HINT)
    if given and all(type(row) is list for row in given) and found[0] != "dataframe_records":
        return _of_lists(given, fields)
    return _of_records(given, found[0])


def _of_split(given: Any) -> tuple[dict[str, list[Any]], int]:
    names, rows = (given.get("columns"), given.get("data")) if isinstance(given, dict) else (None, None)
    if not isinstance(names, list) or not isinstance(rows, list) or not all(isinstance(name, str) for name in names):
        raise ParameterError("dataframe_split needs columns, an array of names, and data, an array of rows", hint=_HINT)
    return _of_lists(rows, names)


def _of_lists(rows: list[Any], names: Sequence[str]) -> tuple[dict[str, list[Any]], int]:
    for index, row in enumerate(rows):
        if type(row) is not list or len(row) != len(names):
            said = f"an array of {len(row)}" if type(row) is list else json_kind(row)
            raise ParameterError(f"row {index} is {said}, expected an array of {len(names)}", hint=f"columns are: {', '.join(names)}")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}, len(rows)


def _of_records(rows: list[Any], form: str) -> tuple[dict[str, list[Any]], int]:
    for index, row in enumerate(rows):
        if type(row) is not dict:
            raise ParameterError(f"{form}: row {index} is {json_kind(row)}, expected an object of fields", hint=_HINT)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}, len(rows)


def _of_columns(given: dict[str, Any]) -> tuple[dict[str, list[Any]], int]:
    columns = {name: values if isinstance(values, list) else [values] for name, values in given.items()}
    columns = {name: [v[0] if type(v) is list and len(v) == 1 else v for v in values] for name, values in columns.items()}
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise ParameterError(f"columns have {' and '.join(map(str, sorted(lengths)))} values", hint="all have one for each row")
    return columns, lengths.pop() if lengths else 0


def _of_csv(body: bytes, fields: Mapping[str, str]) -> tuple[dict[str, list[Any]], int]:
    try:
        names, *rows = list(csv.reader(io.StringIO(body.decode()), strict=True)) or [[]]
    except (csv.Error, UnicodeDecodeError) as cause:
        raise ParameterError(f"the body is not CSV: {cause}", hint="send a line of column names, then a line for each row") from cause
    columns, n_rows = _of_lists([row for row in rows if row], names)
    for name in columns:
        read = _READ.get(fields.get(name, ""), lambda text: text)
        columns[name] = [_cell(name, index, text, read) for index, text in enumerate(columns[name])]
    return columns, n_rows


def _cell(name: str, index: int, text: str, read: Callable[[str], Any]) -> Any:
    if text == "":
        return None
    try:
        return read(text)
    except (ValueError, KeyError):
        raise ParameterError(f"row {index}: column {name!r} is {text[:60]!r}", hint="an empty cell is a missing value") from None


def _number(text: str) -> float | int | None:
    value = float(text)
    if value != value:
        return None
    return int(text) if text.lstrip("+-").isdigit() else value


_READ: dict[str, Callable[[str], Any]] = {"number": _number, "flag": lambda text: _FLAGS[text.strip().lower()]}
