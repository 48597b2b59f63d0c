"""What became true later: labels joined to predictions by id or by key fields, and rows fed to online feature tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import msgspec

from sampan.core.times import Millis
from sampan.errors import ParameterError
from sampan.serving.requests import check_rows, decode_json, json_kind

MOST_FAULTS = 10  # as many are told at once
UNKNOWN_CLASS = -1.0  # a class that no version so far can answer with
_LONGEST_CLASS = 250
_FORM = '[{"id": "…", "label": 1, "at": 1380585600000}], or key fields in place of id'


class Expected(msgspec.Struct, frozen=True):
    """What labels of a model are: 0 or 1, the name of a class (kept as its place among the classes), or any number.

    A class that the model does not know is one all the same: the world has new ones, and every answer about them was wrong.
    """

    kind: str = "binary"  # binary | multiclass | regression
    classes: tuple[str, ...] = ()

    def read(self, label: object) -> float | None:
        """Return a label as the log keeps it; None where it is none."""
        if self.kind == "multiclass":
            if not _names_a_class(label):
                return None
            name = self.name(label)
            return float(self.classes.index(name)) if name in self.classes else UNKNOWN_CLASS
        if not isinstance(label, int | float) or not isfinite(label):
            return None
        return float(label) if self.kind == "regression" or label in (0, 1) else None

    def name(self, label: object) -> str:
        """Return the class a label names, "" where labels are no classes."""
        if self.kind != "multiclass":
            return ""
        return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)

    @property
    def words(self) -> str:
        """What is expected, in words."""
        if self.kind == "multiclass":
            return f"a class, such as {', '.join(self.classes[:10])}{' …' if len(self.classes) > 10 else ''}"
        return "a number" if self.kind == "regression" else "0 or 1"


ZERO_OR_ONE = Expected()


class Outcome(msgspec.Struct, frozen=True):
    """A true label and when it became known. Either `id` or `key` is set; of classes `name`, since other versions may number them anew."""

    label: float
    at: Millis
    id: str = ""
    key: str = ""
    name: str = ""


class Feed(msgspec.Struct, frozen=True):
    """Rows for an online feature table, and when they became known."""

    rows: list[dict[str, Any]]
    at: Millis


def strange_classes(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the classes that labels name and the model does not know, each once, in their order."""
    return sorted({each.name for each in outcomes if each.name and each.label == UNKNOWN_CLASS})


def decode_outcomes(body: bytes, *, keys: Sequence[str], now: Millis, max_rows: int, expected: Expected = ZERO_OR_ONE) -> list[Outcome]:
    """Decode true labels: a list, or {"outcomes": [...]}.

    Raises
    ------
    ParameterError : naming row, field and value; nothing of the body is kept then.
    """
    value = decode_json(body)
    rows = value.get("outcomes") if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise ParameterError(f"the body is {json_kind(value)}, expected an array of outcomes", hint=_FORM)
    check_rows(rows, max_rows=max_rows)
    return outcomes_from(rows, keys=keys, now=now, expected=expected)


def outcomes_from(
    rows: Sequence[Mapping[str, Any]], *, keys: Sequence[str], now: Millis, expected: Expected = ZERO_OR_ONE
) -> list[Outcome]:
    """Return the labels that rows speak of, each by its `id` or by the key fields.

    Raises
    ------
    ParameterError : naming row, field and value of every faulty row, up to ten.
    """
    found: list[Outcome] = []
    faults: list[str] = []
    for index, row in enumerate(rows):
        try:
            found.append(_outcome(row, index, keys, now, expected))
        except ParameterError as fault:
            faults.append(fault.message)
            if len(faults) >= MOST_FAULTS:
                break
    if faults:
        raise ParameterError("; ".join(faults), hint=_FORM)
    return found


def decode_feed(body: bytes, *, now: Millis, max_rows: int) -> Feed:
    """Decode rows for an online feature table: a list, or {"rows": [...], "at": ms}."""
    value = decode_json(body)
    at: object = now
    rows = value
    if isinstance(value, dict):
        rows, at = value.get("rows"), value.get("at", now)
        if extra := sorted(set(value) - {"rows", "at"}):
            raise ParameterError(f"unknown field {extra[0]!r}", hint='send {"rows": [{…}, …], "at": ms}')
    if not isinstance(rows, list):
        raise ParameterError(f"rows is {json_kind(rows)}, expected an array of objects", hint='send {"rows": [{…}, …], "at": ms}')
    check_rows(rows, max_rows=max_rows)
    return Feed(rows=rows, at=_moment(at, "at"))


def _names_a_class(label: object) -> bool:
    if isinstance(label, str):
        return 0 < len(label) <= _LONGEST_CLASS and "\x00" not in label
    return not isinstance(label, bool) and (isinstance(label, int) or (isinstance(label, float) and label.is_integer()))


def row_key(row: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Write the key fields' values as one text, the same for 5, 5.0 and "5"; "" where the row lacks one or there are no keys."""
    return keys_of([[row.get(name)] for name in keys], 1)[0]


def keys_of(columns: Sequence[Sequence[Any]], n: int) -> list[str]:
    """Write the key of each of n rows from the columns of the key fields: many rows at once cost half of what they cost one by one."""
    if not columns:
        return [""] * n
    parts = [_key_texts(values) for values in columns]
    if len(parts) == 1:
        return [part or "" for part in parts[0]]
    return ["" if None in key else "|".join(key) for key in zip(*parts, strict=True)]


def _key_texts(values: Sequence[Any]) -> Sequence[Any]:
    kinds = set(map(type, values))
    if kinds == {int}:
        return list(map(str, values))
    if kinds == {str} and not any("|" in value or "\\" in value for value in set(values)):
        return values
    return [_key_text(value) for value in values]


def _key_text(value: Any) -> str | None:
    kind = type(value)
    if kind is int:
        return str(value)
    if value is None:
        return None
    if kind is float and value.is_integer():
        return str(int(value))
    text = value if kind is str else str(value)
    return text.replace("\\", "\\\\").replace("|", "\\|") if "|" in text or "\\" in text else text


def _outcome(row: Mapping[str, Any], index: int, keys: Sequence[str], now: Millis, expected: Expected) -> Outcome:
    label = expected.read(row.get("label"))
    if label is None:
        raise ParameterError(f"outcome {index}: label is {json_kind(row.get('label'))}, expected {expected.words}", hint=_FORM)
    at = _moment(row.get("at", now), f"outcome {index}: at")
    id_, name = row.get("id"), expected.name(row.get("label"))
    if id_ is not None:
        if not isinstance(id_, str) or not id_:
            raise ParameterError(f"outcome {index}: id is {json_kind(id_)}, expected a non-empty string", hint=_FORM)
        return Outcome(label=label, at=at, id=id_, name=name)
    key = row_key(row, keys)
    if not key:
        missing = [k for k in keys if row.get(k) is None]
        wanted = f"id, or {', '.join(missing)}" if missing else "id"
        raise ParameterError(f"outcome {index} does not say of which prediction: it lacks {wanted}", hint=_FORM)
    return Outcome(label=label, at=at, key=key, name=name)


def _moment(value: object, name: str) -> Millis:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ParameterError(f"{name} is {json_kind(value)}, expected whole milliseconds since 1970 UTC")
    return value
