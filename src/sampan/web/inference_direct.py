"""The shortest way to an answer: one row, one live model that runs on the event loop, no canary. Others go by `inference_scoring`.

The body is decoded straight into the model's row type, which is its check; what does not fit is None here, and the long way says why.
"""

from __future__ import annotations

import math
import time
from typing import Any

import msgspec

from sampan.core.rows import Row
from sampan.errors import IntegrityError
from sampan.serving.records import Scored
from sampan.serving.requests import Prediction
from sampan.serving.routing import Variant
from sampan.serving.spans import Origin


class DirectAnswers:
    """Reads and scores single rows for one live variant."""

    def __init__(self, service: str, variant: Variant, row_type: type[Row]) -> None:
        self.variant = variant
        self.counted = ("sampan_predictions_total", (("version", variant.version), ("role", variant.role)))
        self._service = service
        self._decode = msgspec.json.Decoder(row_type).decode
        self._features: Any = variant.predictor.features
        self._score = variant.predictor.score

    def read(self, body: bytes) -> Row | None:
        """Decode a body that is one bare object of the model's fields, each of its kind."""
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def measure(self, row: Row, name: str, origin: Origin) -> tuple[Scored, Prediction] | None:
        """Score a row; None where the model gives more than one number for it.

        Raises
        ------
        ParameterError : the row has the right types, yet a value that cannot be read, or one missing that the model needs.
        """
        variant = self.variant
        features = self._features((row,))
        scores = self._score(features)
        if scores.shape != (1,):
            return None
        score = float(scores[0])
        if not math.isfinite(score):
            raise IntegrityError(f"{variant.version} answered {score} for row 0, which is no probability")
        scored = Scored(
            service=self._service,
            version=variant.version,
            role=variant.role,
            at=origin.at,
            latency_us=(time.perf_counter_ns() - origin.started_ns) // 1000,
            ids=(name,),
            rows=(row,),  # type: ignore[arg-type]  # a row is a mapping by registration
            moments=None,  # the log reads those of many rows at once
            features=features,
            scores=scores,
            caller=origin.caller,
            trace=origin.trace,
            size_bytes=origin.size_bytes,
        )
        decision = None if variant.threshold is None else score >= variant.threshold
        return scored, Prediction(id=name, score=score, version=variant.version, decision=decision)


def direct_answers(service: str, variant: Variant) -> DirectAnswers | None:
    """Return the shortest way for a variant, None where its model does not name the type of its rows."""
    found = getattr(variant.predictor, "row_type", None)
    return DirectAnswers(service, variant, found) if isinstance(found, type) and issubclass(found, Row) else None
