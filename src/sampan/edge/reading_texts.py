"""Texts within a feature transform: encoders, comparisons, choices, joined texts. A missing one is NULL in C."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sampan.edge.program import ChooseText, Encode, JoinTexts, SameText, Text
from sampan.errors import Unsupported

if TYPE_CHECKING:
    from sampan.edge.reading import Reader, Row

Attributes = Mapping[str, Any]
MISSING: Final = "\ue000"  # how the graph writes a missing text; features/graph.py
_HINT: Final = "the model is generated without the transform"


def is_text(reader: Reader, name: str) -> bool:
    """Say whether a value is text."""
    value = reader.values[name]
    return value.dtype.kind in "OUS" if isinstance(value, np.ndarray) else reader.kind(value) == "text"


def _text(reader: Reader, name: str) -> Text:
    """Return a single text: a place, or a constant."""
    value = reader.values[name]
    if not isinstance(value, np.ndarray):
        if value.elements.size != 1:
            raise Unsupported("texts are generated one by one, not as tables", hint=_HINT)
        return reader.place(value)
    (constant,) = value.ravel().tolist()
    plain = constant.decode("utf-8") if isinstance(constant, bytes) else str(constant)
    return None if plain == MISSING else plain


def _encode(reader: Reader, node: Any, attributes: Attributes) -> None:
    keys, values = attributes.get("keys_strings"), attributes.get("values_floats")
    if keys is None or values is None:
        raise Unsupported("encoders of anything but texts to numbers are not generated", hint=_HINT)
    numbers = dict(zip((k.decode("utf-8") if isinstance(k, bytes) else k for k in keys), map(float, values), strict=True))
    unseen = float(attributes.get("default_float", 0.0))
    missing = numbers.pop(MISSING, unseen)
    out = reader.buffer(1)
    ordered = tuple(sorted(numbers.items(), key=lambda each: each[0].encode("utf-8")))
    reader.steps.append(Encode(_text(reader, node.input[0]), out, ordered, missing, unseen))
    reader.put(node, reader.row(out, (1, 1)))


def _equal(reader: Reader, node: Any, _: Attributes) -> None:
    if not is_text(reader, node.input[0]):
        reader.elementwise(node, "Equal", [reader.values[name] for name in node.input])
        return
    out = reader.buffer(1)
    reader.steps.append(SameText((_text(reader, node.input[0]), _text(reader, node.input[1])), out))
    reader.put(node, reader.row(out, (1, 1)))


def _where(reader: Reader, node: Any, _: Attributes) -> None:
    condition, first, second = node.input
    if not is_text(reader, first):
        reader.elementwise(node, "Where", [reader.values[name] for name in node.input])
        return
    out = reader.buffer(1, "text")
    test = reader.whole(_one(reader.value(condition)))
    reader.steps.append(ChooseText(test, (_text(reader, first), _text(reader, second)), out))
    reader.put(node, reader.row(out, (1, 1)))


def _one(row: Row) -> Row:
    if row.elements.size != 1:
        raise Unsupported("texts are generated one by one, not as tables", hint=_HINT)
    return row


def _join(reader: Reader, node: Any, _: Attributes) -> None:
    out = reader.buffer(1, "text")
    reader.steps.append(JoinTexts((_text(reader, node.input[0]), _text(reader, node.input[1])), out, reader.longest_text() + 1))
    reader.put(node, reader.row(out, (1, 1)))


TEXTS: Final[dict[str, Callable[[Any, Any, Attributes], None]]] = {
    "Equal": _equal,
    "LabelEncoder": _encode,
    "StringConcat": _join,
    "Where": _where,
}
