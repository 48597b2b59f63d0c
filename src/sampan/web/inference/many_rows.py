"""Requests of many rows, scored by one model: alone, or those of one turn of the event loop together, where the model gains by it.

What lies between two calls of a model has to be fetched into the processor's caches anew after each: eight requests in one go cost a sixth
less than one after the other. They go together once a model has shown that each gets the same answer to the bit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from sampan.errors import ModelFailed, SampanError
from sampan.serving.records import Scored
from sampan.serving.routing import Variant
from sampan.serving.spans import Origin
from sampan.web.inference.accounts import Accounts
from sampan.web.inference.company import Company
from sampan.web.inference.reply import Coming, Reply
from sampan.web.inference.shadow import measure, measure_together
from sampan.web.inference.single_rows import model_failure

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]
Item = tuple[Variant, Sequence[Row], Sequence[str], Origin]
MOST_ROWS: Final = 1024  # that go together …
MOST_NS: Final = 8_000_000  # … and how long such a call may keep the event loop
GAIN: Final = 1.0  # of what they cost alone: together they are never dearer


class _Asked(msgspec.Struct, gc=False):
    """A request, how its reply is made, and who waits for it."""

    item: Item
    replied: Callable[[Variant, Scored], Reply]
    coming: Coming

    def come(self, found: Scored | Exception) -> None:
        self.coming.come(lambda: self._reply(found))

    def _reply(self, found: Scored | Exception) -> Reply:
        if isinstance(found, Exception):
            raise found
        return self.replied(self.item[0], found)


class ManyRows:
    """Answers requests for one live variant on the event loop. All methods belong to its thread."""

    def __init__(self, service: str, variant: Variant, accounts: Accounts) -> None:
        self.variant = variant
        self._service = service
        self._accounts = accounts
        self._turn: list[_Asked] = []
        self.company = Company("requests of many rows", gain=GAIN, most_rows=MOST_ROWS, most_ns=MOST_NS)

    def ask(self, rows: Sequence[Row], ids: Sequence[str], origin: Origin, replied: Callable[[Variant, Scored], Reply]) -> Coming:
        """Take a request that is answered at the end of this turn."""
        if not self._turn:
            asyncio.get_running_loop().call_soon(self._end_turn)
        asked = _Asked((self.variant, rows, ids, origin), replied, Coming())
        self._turn.append(asked)
        return asked.coming

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, []
        for part in self._parts(turn):
            for asked, found in zip(part, self._score([one.item for one in part]), strict=True):
                told = found
                try:
                    self._note(asked.item, found)
                except Exception as cause:  # noqa: BLE001  # told in place of the answer: those behind it still get theirs
                    told = cause
                asked.come(told)

    def _parts(self, turn: Sequence[_Asked]) -> list[list[_Asked]]:
        """Cut a turn into calls of the model."""
        parts: list[list[_Asked]] = [[]]
        n_rows = 0
        for asked in turn:
            n = len(asked.item[1])
            if parts[-1] and n_rows + n > self.company.most_rows:
                parts.append([])
                n_rows = 0
            parts[-1].append(asked)
            n_rows += n
        return parts

    def _score(self, items: Sequence[Item]) -> Sequence[Scored | Exception]:
        accounts, began_ns = self._accounts, time.perf_counter_ns()
        accounts.begin(self.variant)
        found = in_company(self._service, items) if self.company.pays else one_by_one(self._service, items)
        took_ns = time.perf_counter_ns() - began_ns
        accounts.took(self.variant, took_ns // len(items), n_requests=len(items))
        if len(items) > 1 and not self.company.is_known:
            self._try(items, found, alone_ns=took_ns)
        return found

    def _try(self, items: Sequence[Item], alone: Sequence[Scored | Exception], *, alone_ns: int) -> None:
        """Score requests, which were scored one by one just now, once more together, and take note. Answers and logs nothing."""
        variant, rows, ids, origin = items[0]
        began_ns = time.perf_counter_ns()
        try:
            together = measure_together(self._service, items)
            together_ns = time.perf_counter_ns() - began_ns
            # A single row, too: a product of matrices may go another way for one than for many.
            single = measure(self._service, variant, rows[:1], ids[:1], origin, started_ns=origin.started_ns)
        except Exception:  # noqa: BLE001  # of a faulty request, mostly; that says nothing about the others
            return
        pairs = [(one, other) for one, other in zip(alone, together, strict=True) if isinstance(one, Scored)]
        if len(pairs) == len(items):
            alike = all(one.scores.tobytes() == other.scores.tobytes() for one, other in [*pairs, (single, _first(together[0]))])
            self.company.note(sum(len(one.ids) for one in together), alone_ns=alone_ns, together_ns=together_ns, alike=alike)

    def _note(self, item: Item, found: Scored | Exception) -> None:
        accounts, (variant, rows, ids, origin) = self._accounts, item
        if not isinstance(found, Scored):
            accounts.failed(variant, len(rows))
            return
        accounts.answered(variant, found, origin)
        accounts.ended(rows, ids, origin)


def _first(scored: Scored) -> Scored:
    return msgspec.structs.replace(scored, scores=scored.scores[:1])


def alone(service: str, item: Item) -> Scored:
    """Score one request. What a model raises becomes its own refusal, by its name: to its neighbors nothing happened."""
    variant, rows, ids, origin = item
    try:
        return _finite(variant, measure(service, variant, rows, ids, origin, started_ns=origin.started_ns))
    except SampanError:
        raise
    except Exception as cause:
        raise model_failure(variant, cause) from cause


def in_company(service: str, items: Sequence[Item]) -> Sequence[Scored | Exception]:
    """Score several requests of one model at once; where that fails, one by one, so that a bad row fails its own request alone."""
    if len(items) > 1:
        try:
            return [_finite(items[0][0], one) for one in measure_together(service, items)]
        except Exception:  # noqa: BLE001  # told below, to whom it concerns
            logger.debug("%d requests failed together; trying them one by one", len(items))
    return one_by_one(service, items)


def one_by_one(service: str, items: Sequence[Item]) -> Sequence[Scored | Exception]:
    """Score several requests, each by itself."""
    results: list[Scored | Exception] = []
    for item in items:
        try:
            results.append(alone(service, item))
        except Exception as cause:  # noqa: BLE001  # handed to who asked
            results.append(cause)
    return results


def _finite(variant: Variant, scored: Scored) -> Scored:
    if not np.isfinite(scored.scores).all():
        worst = int(np.flatnonzero(~np.isfinite(scored.scores))[0])
        raise ModelFailed(f"{variant.version} answered {scored.scores[worst]} for row {worst}, which is no finite number")
    return scored
