"""Requests that wait for the same model, scored together: whoever queued while the model ran goes next, and no timer waits for company."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sampan.web.inference.lanes import Lane

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    n_rows: int
    coming: asyncio.Future[Result]


class Together(Generic[Item, Result]):
    """Gathers items for one model. `score` takes several and returns one result each, or an exception in its place."""

    def __init__(
        self, lane: Lane, score: Callable[[Sequence[Item]], Sequence[Any]], *, most_rows: int = 64, most_waiting: int = 64
    ) -> None:
        self._lane = lane
        self._score = score
        self._most_rows = most_rows
        self._most_waiting = most_waiting
        self._queue: list[_Waiting[Item, Result]] = []
        self._busy = False
        self._task: asyncio.Task[None] | None = None

    async def run(self, item: Item, n_rows: int) -> Result:
        """Score an item, alone or in company. Raises what its own scoring raises, and Unavailable where too many wait."""
        if len(self._queue) >= self._most_waiting:
            self._lane.refuse()
        waiting: _Waiting[Item, Result] = _Waiting(item, n_rows, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if not self._busy:
            self._busy = True
            self._task = asyncio.create_task(self._work())
        return await waiting.coming

    async def _work(self) -> None:
        while taken := self._take():
            items = [one.item for one in taken]
            try:
                results = await self._lane.run(lambda items=items: self._score(items))  # type: ignore[misc]
            except Exception as cause:  # noqa: BLE001  # handed to each who waits
                results = [cause] * len(taken)
            for one, result in zip(taken, results, strict=True):
                if one.coming.done():  # its caller left
                    continue
                if isinstance(result, Exception):
                    one.coming.set_exception(result)
                else:
                    one.coming.set_result(result)
        self._busy = False

    def _take(self) -> list[_Waiting[Item, Result]]:
        n_rows, count = 0, 0
        for one in self._queue:
            if count and n_rows + one.n_rows > self._most_rows:
                break
            n_rows, count = n_rows + one.n_rows, count + 1
        taken, self._queue = self._queue[:count], self._queue[count:]
        return taken
