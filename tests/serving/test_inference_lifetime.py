"""A server while things change around it: swaps under load, shadows, canaries, kill -9, a full disk, the end."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from linear_service import expected_score
from running_server import LIVE, NEXT, Running

from sampan.serving.records import outcomes_stream, predictions_stream
from sampan.store.segments import Segments

pytestmark = pytest.mark.slow  # a process for each

Serve = Callable[[dict[str, Any]], Running]
WEIGHTS = {"linear@v1": (LIVE["weights"], 0.0), "linear@v2": (NEXT["weights"], NEXT["bias"])}


def row(order: int) -> dict[str, Any]:
    return {"order": order, "x1": (order % 7) / 7, "x2": (order % 5) / 5, "shop": "north"}


def right(prediction: dict[str, Any], order: int) -> bool:
    weights, bias = WEIGHTS[prediction["version"]]
    asked = row(order)
    return bool(abs(prediction["score"] - expected_score(weights, bias, (asked["x1"], asked["x2"], 0.0))) < 1e-6)


def logged(running: Running, version: int) -> pa.Table:
    return Segments(running.folder).read(predictions_stream("linear", str(version).ljust(32, "0")))[0]


class Client(threading.Thread):
    """Asks without pause over one connection; keeps everything that was not a right answer."""

    def __init__(self, running: Running, first: int) -> None:
        super().__init__()
        self.running, self.first = running, first
        self.ended = threading.Event()
        self.n_answered = 0
        self.wrong: list[Any] = []
        self.versions: set[str] = set()

    def ask_again(self, running: Running) -> None:
        """Wait for its second answer from now on: that is to a request that begins now or later."""
        before = self.n_answered
        running.wait_for(lambda: self.n_answered > before + 1 or bool(self.wrong))

    def run(self) -> None:
        connection = self.running.connect()
        while not self.ended.is_set():
            orders = [self.first + self.n_answered * 3 + i for i in range(3)]
            try:
                connection.request("POST", "/predict", body=json.dumps({"rows": [row(o) for o in orders]}))
                answer = connection.getresponse()
                body = json.loads(answer.read())
            except OSError as cause:
                self.wrong.append(cause)
                break
            if answer.status != 200 or not all(right(p, o) for p, o in zip(body["predictions"], orders, strict=True)):
                self.wrong.append((answer.status, body))
            self.versions |= {p["version"] for p in body.get("predictions", [])}
            self.n_answered += 1
        connection.close()


def test_swaps_under_load_lose_no_request_and_every_answer_is_its_versions(serve: Serve) -> None:
    running = serve({"live": LIVE})
    clients = [Client(running, first=i * 10_000_000) for i in range(4)]
    for client in clients:
        client.start()

    plans = ({"live": NEXT}, {"live": LIVE, "canary": NEXT, "share": 0.3}, {"live": NEXT, "shadow": LIVE}, {"live": LIVE})
    for plan in plans * 5:
        running.reload(plan)
        for client in clients:
            client.ask_again(running)
    for client in clients:
        client.ended.set()
        client.join()

    assert [client.wrong for client in clients] == [[], [], [], []]
    assert all(client.versions == {"linear@v1", "linear@v2"} for client in clients)
    assert sum(client.n_answered for client in clients) == running.metric("sampan_requests_total", route="/predict", status="200")
    assert running.metric("sampan_swaps_total") == 21


def test_a_shadow_scores_the_same_rows_later_and_its_answers_go_to_the_log_alone(serve: Serve) -> None:
    running = serve({"live": LIVE, "shadow": NEXT})

    answers = [running.ask("POST", "/predict", row(i))[1] for i in range(20)]
    running.wait_for(lambda: running.metric("sampan_shadow_scored_rows_total") == 20)
    running.stop()

    live, shadow = logged(running, 1), logged(running, 2)
    assert {a["version"] for a in answers} == {"linear@v1"}
    assert live["id"].to_pylist() == shadow["id"].to_pylist() == [a["id"] for a in answers]
    assert set(shadow["role"].to_pylist()) == {"shadow"}
    assert all(right({"version": "linear@v2", "score": s}, i) for i, s in enumerate(shadow["score"].to_pylist()))


def test_a_slow_shadow_delays_no_answer_and_what_it_cannot_take_is_counted(serve: Serve, tmp_path: Path) -> None:
    free = tmp_path / "free"
    running = serve({"live": LIVE, "shadow": {**NEXT, "held_until": str(free)}, "limits": {"shadow_rows": 3}})

    statuses = [running.ask("POST", "/predict", row(i))[0] for i in range(20)]
    dropped = running.metric("sampan_shadow_dropped_rows_total")
    free.touch()
    running.wait_for(lambda: running.metric("sampan_shadow_scored_rows_total") == 20 - dropped)

    assert statuses == [200] * 20, "twenty answers while the shadow is at its first row"
    assert dropped in (16, 17), "all but three that wait, and one in hand where the shadow had begun by then"


def test_a_shadow_that_becomes_live_knows_every_row_fed_before(serve: Serve, tmp_path: Path) -> None:
    free = tmp_path / "free"
    running = serve({"live": LIVE, "shadow": {**NEXT, "weights": [0.0, 0.0, 1.0], "bias": 0.0, "held_until": str(free)}})
    for i in range(5):
        running.ask("POST", "/predict", row(i))
        assert running.ask("POST", "/feed/totals", [{"shop": "north", "amount": 0.25}])[0] == 200
    free.touch()
    running.wait_for(lambda: running.metric("sampan_shadow_scored_rows_total") == 5)
    running.stop()

    # Each row was scored with what had been fed when it was asked, though the shadow came to it later.
    totals = logged(running, 2)["feature.total"].to_pylist()
    assert totals == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_canary_answers_its_share_of_keys_and_always_the_same_ones(serve: Serve) -> None:
    plan = {"live": LIVE, "canary": NEXT, "share": 0.25}
    running = serve(plan)
    rows = {"rows": [row(i) for i in range(4000)]}

    first = [p["version"] for p in running.ask("POST", "/predict", rows)[1]["predictions"]]
    running.stop()
    again = [p["version"] for p in serve(plan).ask("POST", "/predict", rows)[1]["predictions"]]

    assert first == again
    assert first.count("linear@v2") / 4000 == pytest.approx(0.25, abs=0.03)


def test_a_batch_split_between_live_and_canary_keeps_its_order(serve: Serve) -> None:
    running = serve({"live": LIVE, "canary": NEXT, "share": 0.5})

    answers = running.ask("POST", "/predict", {"rows": [row(i) for i in range(100)]})[1]["predictions"]

    assert all(right(answer, i) for i, answer in enumerate(answers))


def test_what_was_written_down_survives_kill_9(serve: Serve) -> None:
    running = serve({"live": LIVE})
    answers = [running.ask("POST", "/predict", row(i))[1] for i in range(50)]
    assert running.ask("POST", "/outcomes", [{"id": answers[0]["id"], "label": 1, "at": 5}])[0] == 200
    running.wait_for(lambda: running.metric("sampan_log_queue_rows") == 0)
    running.process.kill()
    running.process.wait()

    again = serve({"live": LIVE})
    after = again.ask("POST", "/predict", row(50))[1]
    again.stop()

    table = logged(again, 1)
    assert table["id"].to_pylist() == [*(a["id"] for a in answers), after["id"]]
    assert table["key"].to_pylist() == [str(i) for i in range(51)]
    assert table["moment"].to_pylist() == [i * 1000 for i in range(51)]
    assert table["feature.x1"].to_pylist() == pytest.approx([(i % 7) / 7 for i in range(51)])
    assert Segments(again.folder).read(outcomes_stream("linear"))[0].to_pylist()[0]["id"] == answers[0]["id"]


def test_a_graceful_stop_finishes_the_request_in_hand_and_writes_the_log_out(serve: Serve, tmp_path: Path) -> None:
    free = tmp_path / "free"
    running = serve({"live": {**LIVE, "held_until": str(free)}})
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(running.ask("POST", "/predict", {"rows": [row(i) for i in range(300)]})))
    asking.start()
    running.wait_for(lambda: running.metric("sampan_requests_in_flight") == 2)
    running.process.terminate()
    running.wait_for(lambda: not running.takes_connections())
    free.touch()
    code = running.stop()
    asking.join()

    assert code == 0
    assert answers[0][0] == 200
    assert logged(running, 1).num_rows == 300


def test_more_requests_than_it_takes_on_are_sent_away_to_come_back(serve: Serve, tmp_path: Path) -> None:
    free = tmp_path / "free"
    running = serve({"live": {**LIVE, "held_until": str(free)}, "limits": {"in_flight": 2, "inline_rows": 1}})
    body = {"rows": [row(0), row(1)]}
    statuses: list[int] = []
    askers = [threading.Thread(target=lambda: statuses.append(running.ask("POST", "/predict", body)[0])) for _ in range(8)]
    for asker in askers:
        asker.start()
    running.wait_for(lambda: len(statuses) == 6)
    sent_away = [*statuses]
    free.touch()
    for asker in askers:
        asker.join()

    assert sent_away == [503] * 6
    assert statuses[6:] == [200] * 2
    assert running.ask("GET", "/health")[0] == 200


def test_a_disk_that_refuses_costs_log_rows_and_no_answer(serve: Serve) -> None:
    running = serve({"live": LIVE})
    # A file where the stream's folder should be: every write fails, as root too, until it is gone.
    blocked = running.folder / "segments"
    blocked.write_text("in the way")

    assert running.ask("POST", "/predict", row(1))[0] == 200
    running.wait_for(lambda: running.metric("sampan_log_dropped_rows_total") == 1)
    assert running.ask("POST", "/outcomes", [{"order": 1, "label": 1}])[0] == 503
    blocked.unlink()
    assert running.ask("POST", "/predict", row(2))[0] == 200
    running.wait_for(lambda: running.metric("sampan_log_written_rows_total") == 1)
    assert running.ask("POST", "/outcomes", [{"order": 1, "label": 1}])[0] == 200
    running.stop()

    assert logged(running, 1)["key"].to_pylist() == ["2"]


def test_every_row_of_live_and_shadow_is_written_or_counted_as_dropped(serve: Serve) -> None:
    running = serve({"live": LIVE, "shadow": NEXT})
    body = json.dumps({"rows": [row(i) for i in range(50)]})
    connection = running.connect()
    n = 200
    for _ in range(n):
        connection.request("POST", "/predict", body=body)
        assert connection.getresponse().read()
    connection.close()

    running.wait_for(lambda: running.metric("sampan_log_queue_rows") + running.metric("sampan_shadow_queue_rows") == 0)
    accounted = sum(running.metric(f"sampan_{what}_rows_total") for what in ("log_written", "log_dropped", "shadow_dropped"))
    assert accounted == n * 50 * 2
