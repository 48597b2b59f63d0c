"""A model that gains by company, under several clients at once: a real server, with what it measured told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from linear_service import expected_score
from running_server import LIVE, Running

Serve = Callable[[dict[str, Any]], Running]


def row(order: int) -> dict[str, Any]:
    return {"order": order, "x1": (order % 7) / 7, "x2": (order % 5) / 5, "shop": "north"}


@pytest.mark.slow
def test_a_model_that_gains_is_scored_together_and_each_request_gets_its_own_answer(serve: Serve) -> None:
    running = serve({"live": {**LIVE, "slow_s": 0.01}})
    for order in range(20):
        running.ask("POST", "/predict", row(order))
    running.wait_for(lambda: bool(running.ask("GET", "/health")[1]["pace"]))
    pace = running.ask("GET", "/health")[1]["pace"]
    wrong: list[Any] = []

    def ask(first: int) -> None:
        connection = running.connect()
        for order in range(first, first + 10):
            # One in ten is refused, and takes nobody with it.
            body = {"order": order} if order % 10 == 9 else row(order)
            connection.request("POST", "/predict", body=json.dumps(body))
            answer = connection.getresponse()
            told = json.loads(answer.read())
            asked = row(order)
            right = expected_score(LIVE["weights"], 0.0, (asked["x1"], asked["x2"], 0.0))
            if (answer.status == 200 and abs(told["score"] - right) > 1e-6) or answer.status != (400 if order % 10 == 9 else 200):
                wrong.append((order, told))
        connection.close()

    askers = [threading.Thread(target=ask, args=(1000 * i,)) for i in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    assert pace["linear@v1"].endswith("scored together")
    assert wrong == []
    assert running.metric("sampan_failed_rows_total") == 8
