"""The shortest way to an answer: one row, one live model that runs on the event loop, no canary. Others go by `scoring`.

The body is decoded straight into the model's row type, which is its check; what does not fit is None here, and the long way says why.
Which rows go to the model together is decided in `single_rows`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from sampan.errors import IntegrityError
from sampan.serving.answers import many, one_class, one_number
from sampan.serving.records import Scored
from sampan.serving.requests import Prediction
from sampan.serving.routing import Variant
from sampan.serving.spans import Origin
from sampan.table.rows import COLUMNS_PAY, ColumnRows, Row, columns_of
from sampan.web.inference.shadow import measure


class AskedRow(Protocol):
    """A request of one row: what `DirectAnswers.read` gave for its body, the name of its answer, and where it came from."""

    @property
    def row(self) -> Row:
        """The row."""
        ...

    @property
    def name(self) -> str:
        """The id its answer will have."""
        ...

    @property
    def origin(self) -> Origin:
        """When and from whom it came."""
        ...


class DirectAnswers:
    """Reads and scores single rows for one live variant."""

    def __init__(self, service: str, variant: Variant, row_type: type[Row]) -> None:
        self.variant = variant
        self.row_type = row_type
        self._service = service
        self._decode = msgspec.json.Decoder(row_type).decode
        self._decode_many = msgspec.json.Decoder(msgspec.defstruct("Rows", _many_of(row_type), forbid_unknown_fields=True)).decode
        self._shape = (1, len(variant.labels.classes)) if variant.labels.classes else (1,)
        self._tell: Any = one_class if variant.labels.classes else one_number

    def read(self, body: bytes) -> Row | None:
        """Decode a body that is one bare object of the model's fields, each of its kind."""
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def read_rows(self, body: bytes) -> tuple[ColumnRows, list[str] | None] | None:
        """Decode a body of many such objects, held as columns, with their ids where it has any."""
        try:
            found: Any = self._decode_many(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return (columns_of(found.rows), found.ids) if found.rows else None

    def measure(self, row: Row, name: str, origin: Origin) -> tuple[Scored, Prediction] | None:
        """Score a row; None where the model's answer has another shape than it should.

        Raises
        ------
        ParameterError : the row has the right types, yet a value that cannot be read, or one missing that the model needs.
        """
        variant = self.variant
        rows: Any = (row,)  # a row is a mapping by registration
        scored = measure(self._service, variant, rows, (name,), origin, started_ns=origin.started_ns)
        if scored.scores.shape != self._shape:
            return None
        (answer,) = scored.scores.tolist()
        if not math.isfinite(sum(answer) if self._shape[1:] else answer):
            raise IntegrityError(f"{variant.version} answered {answer} for row 0, which is no finite number")
        told = self._tell(variant, name, answer)
        if notes := scope_notes(variant, scored):
            told = msgspec.structs.replace(told, flags=notes[0])
        return scored, told

    def measure_together(self, asked: Sequence[AskedRow]) -> tuple[Scored, list[Prediction]]:
        """Score the rows of several requests at once. What it raises may be due to any of them: ask one by one then.

        Raises
        ------
        IntegrityError : an answer is no finite number, or has another shape than it should.
        """
        variant, origins = self.variant, [one.origin for one in asked]
        rows, names = held([one.row for one in asked]), [one.name for one in asked]
        features = variant.predictor.features(rows)
        scores = variant.predictor.score(features)
        if scores.shape != (len(asked), *self._shape[1:]) or not np.isfinite(scores).all():
            raise IntegrityError(f"{variant.version} answered {len(asked)} rows with something else than as many finite numbers")
        if isinstance(rows, ColumnRows):
            rows.compact(but=variant.keys)
        ended_ns = time.perf_counter_ns()
        scored = Scored(
            service=self._service,
            version=variant.version,
            role=variant.role,
            at=[origin.at for origin in origins],
            latency_us=[(ended_ns - origin.started_ns) // 1000 for origin in origins],
            ids=names,
            rows=rows,
            moments=None,
            features=features,
            scores=scores,
            caller=shared([origin.caller for origin in origins]),
            trace=shared([origin.trace for origin in origins]),
            size_bytes=sum([origin.size_bytes for origin in origins]),
        )
        return scored, flagged(many(variant, names, scores), variant, scored)


def held(rows: Sequence[Row]) -> Any:
    """Hold rows in the form that their features and the log are made from quickest."""
    return columns_of(rows) if len(rows) >= COLUMNS_PAY else rows


def shared(texts: Sequence[str]) -> str | Sequence[str]:
    """Return what all texts are, or each where they differ."""
    return texts[0] if texts.count(texts[0]) == len(texts) else texts


def scope_notes(variant: Variant, scored: Scored) -> Mapping[int, tuple[str, ...]]:
    """Say of which rows what lies beyond training; nothing where the model does not know what it was shown."""
    notes: Callable[[Sequence[Any], Any], Mapping[int, tuple[str, ...]]] | None = getattr(variant.predictor, "scope_notes", None)
    return notes(scored.rows, scored.features) if notes is not None else {}


def flagged(told: list[Prediction], variant: Variant, scored: Scored) -> list[Prediction]:
    """Add to answers what lies beyond training."""
    for index, notes in scope_notes(variant, scored).items():
        told[index] = msgspec.structs.replace(told[index], flags=notes)
    return told


def _many_of(row_type: type[Row]) -> list[Any]:
    return [("rows", list[row_type]), ("ids", list[str] | None, None)]  # type: ignore[valid-type]  # a type made at run time


def direct_answers(service: str, variant: Variant) -> DirectAnswers | None:
    """Return the shortest way for a variant, None where its model does not name the type of its rows."""
    found = getattr(variant.predictor, "row_type", None)
    return DirectAnswers(service, variant, found) if isinstance(found, type) and issubclass(found, Row) else None
