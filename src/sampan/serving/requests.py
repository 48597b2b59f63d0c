"""Plain requests: one JSON object of named fields, or {"rows": [...], "ids": [...]}; and how an answer is written.

Only the shape of a body is judged here. Whether a field's value fits the model is the predictor's word (`ports.Predictor.features`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sampan.errors import ParameterError

_PLAIN = 'send one object {"field": value, …} or {"rows": [{…}, …]}'
_SHOWN = 60


class PredictRequest(msgspec.Struct, frozen=True):
    """Decoded rows. `ids` is empty or has one id a row; `single` says whether the body was one bare object."""

    rows: Sequence[Mapping[str, Any]]
    ids: tuple[str, ...] = ()
    single: bool = False


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row's answer; what does not apply is left out.

    `score` is the chance of the outcome, or of the class that is the `label`; `value` a number that was asked for. `decision` is what
    follows where decisions have a worth: whether to warn, or which class to decide for.
    """

    id: str
    score: float | None = None
    value: float | None = None
    label: str | None = None
    probabilities: dict[str, float] | None = None
    version: str = ""
    decision: bool | str | None = None
    flags: tuple[str, ...] = ()  # what training never showed of the row


class Predictions(msgspec.Struct, frozen=True):
    """The answer to a batch, in the order of its rows."""

    model: str
    predictions: list[Prediction]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def decode_predict(body: bytes, *, max_rows: int) -> PredictRequest:
    """Decode a plain prediction request.

    Raises
    ------
    ParameterError : the body is not JSON, has another shape, has no rows or more than `max_rows`.
    """
    value = decode_json(body)
    if not isinstance(value, dict):
        raise ParameterError(f"the body is {json_kind(value)}, expected an object", hint=_PLAIN)
    rows = value.get("rows")
    if not isinstance(rows, list):
        if "rows" in value:
            raise ParameterError(f"rows is {json_kind(rows)}, expected an array of objects", hint=_PLAIN)
        return PredictRequest(rows=[value], single=True)
    if extra := sorted(set(value) - {"rows", "ids"}):
        raise ParameterError(
            f"unknown field {extra[0]!r} beside rows", hint="a batch has rows and, if you like, ids; fields go inside the rows"
        )
    check_rows(rows, max_rows=max_rows)
    return PredictRequest(rows=rows, ids=_ids(value.get("ids"), len(rows)))


def typed_request(rows: Sequence[Any], ids: list[str] | None, *, max_rows: int) -> PredictRequest:
    """Return rows that were decoded into their type as a request. Raises ParameterError as `decode_predict` does."""
    if not 1 <= len(rows) <= max_rows:
        check_rows(list(rows), max_rows=max_rows)
    return PredictRequest(rows=rows, ids=_ids(ids, len(rows)))


def check_rows(rows: Sequence[object], *, max_rows: int) -> None:
    """Raise ParameterError unless `rows` are 1 to `max_rows` objects."""
    if not rows:
        raise ParameterError("rows is empty, expected at least one object", hint=_PLAIN)
    if len(rows) > max_rows:
        raise ParameterError(f"{len(rows):,} rows in one request, at most {max_rows:,}", hint="send several requests")
    for index, row in enumerate(rows):
        if type(row) is not dict:
            raise ParameterError(f"row {index} is {json_kind(row)}, expected an object of fields", hint=_PLAIN)


def decode_json(body: bytes) -> Any:
    """Decode JSON, or raise ParameterError saying where it breaks."""
    if not body:
        raise ParameterError("the body is empty", hint=_PLAIN)
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise ParameterError(f"the body is not JSON: {cause}", hint=_PLAIN) from cause


def encode_predictions(answer: Predictions, *, single: bool) -> bytes:
    """Encode a batch's answer, or the bare prediction where the request was one bare object."""
    return _encoder.encode(answer.predictions[0] if single else answer)


def json_kind(value: object) -> str:
    """Name a decoded JSON value for a message: what it is and, if short, what it says."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the string {value[:_SHOWN]!r}"
    return "an array" if isinstance(value, list) else "an object"


def _ids(value: object, n_rows: int) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(i, str) and i for i in value):
        raise ParameterError("ids must be an array of non-empty strings")
    if len(value) != n_rows:
        raise ParameterError(f"{len(value)} ids for {n_rows} rows", hint="give one id a row, or leave ids out")
    if len(set(value)) != n_rows:
        raise ParameterError("ids holds an id twice", hint="each row needs its own id")
    return tuple(value)
