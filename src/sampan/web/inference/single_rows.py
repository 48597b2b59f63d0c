"""Requests of one bare row, answered by the shortest way: those of one turn of the event loop together, where the model gains by it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, Final

from sampan.errors import ModelFailed, SampanError
from sampan.serving.records import Scored
from sampan.serving.requests import Prediction
from sampan.serving.routing import Variant
from sampan.table.rows import ColumnRows, Row
from sampan.web.inference.accounts import Accounts
from sampan.web.inference.company import Company
from sampan.web.inference.direct import AskedRow, DirectAnswers

logger = logging.getLogger(__name__)

LEAST: Final = 4  # rows of a trial
MOST: Final = 64  # rows that go together …
MOST_NS: Final = 4_000_000  # … and how long a call may keep the event loop
GAIN: Final = 0.8  # of what they cost alone: less would not be worth a turn's wait
_WHOLE = "a request is answered whole or not at all: no row of it is answered or logged; the other models are not concerned"
_SAID = 300  # characters of what a model raised

Answer = Prediction | Exception | None


class SingleRows:
    """Reads and answers single rows for one live variant. All methods belong to the event loop's thread."""

    def __init__(self, direct: DirectAnswers, accounts: Accounts) -> None:
        self.variant: Variant = direct.variant
        self.company = Company("single rows", gain=GAIN, most_rows=MOST, most_ns=MOST_NS)
        self._direct = direct
        self._accounts = accounts

    def read(self, body: bytes) -> Row | None:
        """Read a body that is one bare object of the model's fields; None where it goes the long way."""
        return self._direct.read(body)

    def read_many(self, body: bytes) -> tuple[ColumnRows, list[str] | None] | None:
        """Read a body of many such objects, and their ids; None where it goes the long way."""
        return self._direct.read_rows(body)

    def answer(self, asked: Sequence[AskedRow]) -> Sequence[Answer]:
        """Score rows that came in one turn of the event loop: each gets its answer, what its caller is told instead, or None.

        None where the long way has to answer: the routing was swapped since it was read, or the model's answer has another shape than it
        should.
        """
        if any(type(one.row) is not self._direct.row_type for one in asked):
            return [None] * len(asked)
        if len(asked) == 1:
            if not self.company.gathers:
                self.company.passed()
            return [self._alone(asked[0])[0]]
        if self.company.pays:
            most = self.company.most_rows
            parts = [asked[first : first + most] for first in range(0, len(asked), most)]
            return [answer for part in parts for answer in self._together(part)]
        began_ns = time.perf_counter_ns()
        answers = [self._alone(one) for one in asked]
        took_ns = time.perf_counter_ns() - began_ns
        scored = [one for _, one in answers if one is not None]
        if not self.company.is_known and LEAST <= len(asked) == len(scored):
            self._try_company(asked, scored, alone_ns=took_ns)
        return [answer for answer, _ in answers]

    def _together(self, asked: Sequence[AskedRow]) -> Sequence[Answer]:
        accounts, variant, began_ns = self._accounts, self.variant, time.perf_counter_ns()
        accounts.begin(variant)
        try:
            scored, answers = self._direct.measure_together(asked)
        except Exception:  # noqa: BLE001  # told below, to whom it concerns
            return [self._alone(one)[0] for one in asked]
        accounts.took(variant, time.perf_counter_ns() - began_ns, n_requests=len(asked))
        accounts.answered(variant, scored, *[one.origin for one in asked])
        for one in asked:
            row: Any = one.row  # a row is a mapping by registration
            accounts.ended((row,), (one.name,), one.origin)
        return answers

    def _alone(self, asked: AskedRow) -> tuple[Answer, Scored | None]:
        """Score one row; return its answer, or what its caller is told instead, and what the log was offered."""
        accounts, origin, began_ns = self._accounts, asked.origin, time.perf_counter_ns()
        accounts.begin(self.variant)
        try:
            answered = self._direct.measure(asked.row, asked.name, origin)
        except Exception as cause:  # noqa: BLE001  # handed to who asked
            accounts.failed(self.variant, 1)
            return (cause if isinstance(cause, SampanError) else model_failure(self.variant, cause)), None
        accounts.took(self.variant, time.perf_counter_ns() - began_ns)
        if answered is None:
            return None, None
        scored, prediction = answered
        accounts.answered(self.variant, scored, origin)
        accounts.ended(scored.rows, scored.ids, origin)
        return prediction, scored

    def _try_company(self, asked: Sequence[AskedRow], alone: Sequence[Scored], *, alone_ns: int) -> None:
        """Score rows, which were answered one by one just now, once more together, and take note. Answers and logs nothing."""
        began_ns = time.perf_counter_ns()
        try:
            scored, _ = self._direct.measure_together(asked)
        except Exception:  # noqa: BLE001  # it cannot be asked together: that is what was to be found out
            self.company.note(len(asked), alone_ns=alone_ns, together_ns=0, alike=False)
            return
        together_ns = time.perf_counter_ns() - began_ns
        alike = scored.scores.tobytes() == b"".join([one.scores.tobytes() for one in alone])
        self.company.note(len(asked), alone_ns=alone_ns, together_ns=together_ns, alike=alike)


def model_failure(variant: Variant, cause: Exception) -> ModelFailed:
    """Return what a caller is told of what a model raised."""
    said = f"{type(cause).__name__}: {cause}"[:_SAID]
    logger.warning("%s failed on a request: %s", variant.version, said)
    return ModelFailed(f"{variant.version} failed on this request: {said}", hint=_WHOLE)
