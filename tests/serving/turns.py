"""An application in which several requests come within one turn of the event loop, and a model that counts its calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from linear_service import FIELDS, LinearPredictor, expected_score

from sampan.serving.routing import Role, Routing, Variant
from sampan.store.segments import Segments
from sampan.web.inference.app import InferenceApp
from sampan.web.inference.company import TRIALS
from sampan.web.inference.lanes import PROVEN_CALLS
from sampan.web.inference.log import ArrivalLog, PredictionLog
from sampan.web.inference.reply import Reply, Request, Soon
from sampan.web.inference.single_rows import LEAST

WEIGHTS = (1.0, -1.0, 0.1)


class Counting(LinearPredictor):
    """Counts its calls by how many rows they bring; refuses rows of x1 = 13, and is off in the last bits in company if told so."""

    def __init__(self, version: str, *, off: float = 0.0) -> None:
        super().__init__(version, WEIGHTS, 0.0)
        self.sizes: list[int] = []
        self._off = off

    def score(self, features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        self.sizes.append(len(features))
        if (features[:, 0] == 13).any():
            raise ZeroDivisionError("thirteen")
        return super().score(features) + self._off * (len(features) > 1)


def variant_of(predictor: LinearPredictor, role: Role = "live") -> Variant:
    return Variant(role, predictor.version.ljust(32, "0"), predictor.version, predictor, fields=tuple(FIELDS.items()), keys=("order",))


class Asking:
    """An application with one live model that runs on the event loop, in which several requests come in one turn."""

    def __init__(self, folder: Path, predictor: LinearPredictor) -> None:
        self.folder, self.predictor = folder, predictor
        segments = Segments(folder)
        self.log = PredictionLog(segments)
        self.app = InferenceApp("linear", log=self.log, arrivals=ArrivalLog(segments, "linear"))

    async def begin(self) -> None:
        await self.swap(self.predictor)
        for order in range(PROVEN_CALLS):  # in threads, as every new model
            await self.turn([row(order)])

    async def swap(self, predictor: LinearPredictor, *, shadow: LinearPredictor | None = None) -> None:
        async def nothing() -> None:
            return

        routing = Routing(live=variant_of(predictor), shadow=variant_of(shadow, "shadow") if shadow is not None else None)
        await self.app.scorer.swap(routing, catch_up=nothing)

    def ask(self, body: Mapping[str, Any] | bytes, *, path: str = "/predict", **headers: str) -> Reply | Soon | Awaitable[Reply]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return self.app.answer(Request("POST", path, named, data, "10.0.0.7"))

    async def turn(self, bodies: Sequence[Mapping[str, Any] | bytes]) -> list[tuple[int, Any]]:
        coming = [self.ask(body) for body in bodies]
        replies = [one if isinstance(one, Reply) else await one for one in coming]
        return [(reply.status, json.loads(reply.body)) for reply in replies]

    async def prove(self) -> None:
        for _ in range(TRIALS):
            await self.turn([row(order) for order in range(LEAST)])


def row(order: int, **changed: Any) -> dict[str, Any]:
    return {"order": order, "x1": (order % 7) / 7, "x2": (order % 5) / 5, "shop": "north", **changed}


def right(asked: Mapping[str, Any]) -> float:
    return expected_score(WEIGHTS, 0.0, (asked["x1"], asked["x2"], 0.0))


def in_loop(work: Callable[[Asking], Awaitable[None]], folder: Path, predictor: LinearPredictor) -> Asking:
    asking = Asking(folder, predictor)

    async def run() -> None:
        await asking.begin()
        await work(asking)
        await asking.app.close()

    asyncio.run(run())
    return asking
