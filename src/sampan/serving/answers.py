"""How an answer is told: a chance and a decision, a class with the chances of all, or a number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.serving.records import NumberedIds, Scored
from sampan.serving.requests import Prediction
from sampan.serving.routing import Variant

REGRESSION, MULTICLASS = "regression", "multiclass"
_HEAD = b"\0"  # where the head of an id goes: no text of JSON has this byte
_encoder = msgspec.json.Encoder()


def one_number(variant: Variant, name: str, score: float) -> Prediction:
    """Tell a model's one number for a row: what it says of a number, or the chance of an outcome and what is decided by it."""
    if variant.labels.kind == REGRESSION:
        return Prediction(id=name, value=score, version=variant.version)
    decision = None if variant.threshold is None else score >= variant.threshold
    return Prediction(id=name, score=score, version=variant.version, decision=decision)


def numbers(variant: Variant, names: Iterable[str], scores: NDArray[np.float64]) -> list[Prediction]:
    """Tell the numbers of many rows, as `one_number` does of one, at a third of its cost."""
    nothing, version = repeat(None), repeat(variant.version)
    told = scores.tolist()
    # In the order of the fields: id, score, value, label, probabilities, version, decision.
    if variant.labels.kind == REGRESSION:
        return list(map(Prediction, names, nothing, told, nothing, nothing, version))
    decisions = nothing if variant.threshold is None else (scores >= variant.threshold).tolist()
    return list(map(Prediction, names, told, nothing, nothing, nothing, version, decisions))


def many(variant: Variant, names: Sequence[str], scores: NDArray[np.float64]) -> list[Prediction]:
    """Tell the answers of many rows, shape (n,), or (n, m) of m classes."""
    if variant.labels.classes:
        return [one_class(variant, name, chances) for name, chances in zip(names, scores.tolist(), strict=True)]
    return numbers(variant, names, scores)


def encode_numbers(model: str, variant: Variant, scored: Scored) -> bytes | None:
    """Write a batch's answer, where nothing but numbers is to be told; None where more is.

    The same bytes as `encode_predictions` makes of `many`, at a third of the cost: what is alike in all rows was encoded before.
    """
    ids, labels = scored.ids, variant.labels
    if labels.classes or not isinstance(ids, NumberedIds) or not ids.n:
        return None
    decides = variant.threshold is not None and labels.kind != REGRESSION
    pieces = list(_around(model, variant.version, "value" if labels.kind == REGRESSION else "score", ids.n, decides))
    stride = len(pieces) // ids.n
    pieces[1::stride] = _listed(scored.scores)
    if decides:
        pieces[3::stride] = _listed(scored.scores >= variant.threshold)
    return b"".join(pieces).replace(_HEAD, _encoder.encode(ids.head)[1:-1])


def _listed(values: NDArray[np.generic]) -> list[bytes]:
    return _encoder.encode(values.tolist())[1:-1].split(b",")


@lru_cache(maxsize=8)
def _around(model: str, version: str, name: str, n: int, decides: bool) -> tuple[bytes, ...]:
    """Return what stands around the numbers of n rows, with places for these: the second of each row's pieces, a decision the fourth."""
    told = b',"version":' + _encoder.encode(version)
    behind = [told + b',"decision":', b"", b"},"] if decides else [told + b"},"]
    pieces: list[bytes] = []
    for index in range(n):
        pieces += [b'{"id":"%b.%d","%b":' % (_HEAD, index, name.encode()), b"", *behind]
    pieces[0] = b'{"model":%b,"predictions":[' % _encoder.encode(model) + pieces[0]
    pieces[-1] = b"}]}" if decides else told + b"}]}"
    return tuple(pieces)


def one_class(variant: Variant, name: str, chances: Sequence[float]) -> Prediction:
    """Tell the likeliest class of a row and the chance of each; where decisions have a worth, the class that is worth most."""
    classes = variant.labels.classes
    best = max(range(len(chances)), key=chances.__getitem__)
    decision = None
    if variant.worth:
        expected = [
            sum(chance * row[decided] for chance, row in zip(chances, variant.worth, strict=True)) for decided in range(len(classes))
        ]
        decision = classes[max(range(len(classes)), key=expected.__getitem__)]
    return Prediction(
        id=name,
        label=classes[best],
        score=chances[best],
        probabilities=dict(zip(classes, chances, strict=True)),
        version=variant.version,
        decision=decision,
    )
