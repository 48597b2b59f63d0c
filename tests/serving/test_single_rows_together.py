"""Single rows that come within one turn of the event loop: answered together where that pays, and each as it would be alone."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from linear_service import LinearPredictor, expected_score
from running_server import LIVE, Running
from turns import Asking, Counting, in_loop, right, row, variant_of

from sampan.serving.records import predictions_stream
from sampan.store.segments import Segments
from sampan.web.inference.company import AGAIN, TRIALS, Company
from sampan.web.inference.lanes import PROVEN_CALLS
from sampan.web.inference.reply import Reply
from sampan.web.inference.single_rows import LEAST, MOST


def test_rows_of_one_turn_are_one_call_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    model = Counting("linear@v1")
    rows = [row(order) for order in range(100, 100 + MOST + 9)]
    found: list[tuple[int, Any]] = []

    async def work(asking: Asking) -> None:
        await asking.prove()
        pays(asking)
        model.sizes.clear()
        found.extend(await asking.turn(rows))

    in_loop(work, tmp_path, model)

    assert model.sizes == [MOST, 9]
    assert {status for status, _ in found} == {200}
    assert [told["score"] for _, told in found] == [pytest.approx(right(asked), abs=1e-6) for asked in rows]
    assert len({told["id"] for _, told in found}) == len(rows)


def test_the_log_has_each_row_with_its_own_id_key_and_latency(tmp_path: Path) -> None:
    model, rows = Counting("linear@v1"), [row(order) for order in range(500, 520)]
    told: list[tuple[int, Any]] = []

    async def work(asking: Asking) -> None:
        await asking.prove()
        pays(asking)
        told.extend(await asking.turn(rows))

    in_loop(work, tmp_path, model)

    logged, _ = Segments(tmp_path).read(predictions_stream("linear", variant_of(model).package))
    last = logged.to_pylist()[-len(rows) :]
    assert [one["id"] for one in last] == [answer["id"] for _, answer in told]
    assert [one["key"] for one in last] == [str(asked["order"]) for asked in rows]
    assert [one["score"] for one in last] == [answer["score"] for _, answer in told]
    assert [one["field.x1"] for one in last] == [asked["x1"] for asked in rows]
    assert {one["caller"] for one in last} == {"10.0.0.7"}
    assert all(one["latency_us"] >= 0 and one["at"] > 0 for one in last)
    # Nothing of the trials, which score rows twice, is logged twice.
    assert len(logged) == PROVEN_CALLS + TRIALS * LEAST + len(rows)


def test_a_row_that_fails_fails_alone(tmp_path: Path) -> None:
    model, found = Counting("linear@v1"), []

    async def work(asking: Asking) -> None:
        await asking.prove()
        pays(asking)
        found.extend(await asking.turn([row(1), row(2, x1=13), b'{"order": 3}', row(4), b"{", {"rows": [row(5)]}]))

    in_loop(work, tmp_path, model)

    assert [status for status, _ in found] == [200, 500, 400, 200, 400, 200]
    assert "ZeroDivisionError: thirteen" in found[1][1]["error"]
    assert [found[0][1]["score"], found[3][1]["score"]] == [pytest.approx(right(row(1)), abs=1e-6), pytest.approx(right(row(4)), abs=1e-6)]


def test_a_model_whose_last_bits_differ_in_company_answers_rows_one_by_one(tmp_path: Path) -> None:
    model = Counting("linear@v1", off=1e-12)

    async def work(asking: Asking) -> None:
        await asking.prove()
        assert "in company the last bits differ" in asking.app.scorer.paces()["linear@v1"]
        model.sizes.clear()
        await asking.turn([row(order) for order in range(8)])

    in_loop(work, tmp_path, model)

    assert model.sizes == [1] * 8


def test_rows_asked_before_a_swap_are_answered_by_who_is_live_at_the_end_of_the_turn(tmp_path: Path) -> None:
    found: list[Any] = []

    async def work(asking: Asking) -> None:
        await asking.prove()
        pays(asking)
        # The swap's first step runs after these were read and before they are answered.
        swapping = asyncio.ensure_future(asking.swap(LinearPredictor("linear@v2", (-2.0, 0.5, 0.0), 0.3)))
        coming = [asking.ask(row(order)) for order in range(4)]
        await swapping
        found.extend([one if isinstance(one, Reply) else await one for one in coming])

    in_loop(work, tmp_path, Counting("linear@v1"))

    assert [msgspec.json.decode(reply.body)["version"] for reply in found] == ["linear@v2"] * 4
    scores = [msgspec.json.decode(reply.body)["score"] for reply in found]
    expected = [expected_score((-2.0, 0.5, 0.0), 0.3, (row(order)["x1"], row(order)["x2"], 0.0)) for order in range(4)]
    assert scores == [pytest.approx(score, abs=1e-6) for score in expected]


def test_a_shadow_hears_of_every_row_that_was_answered_in_company(tmp_path: Path) -> None:
    model, shadow = Counting("linear@v1"), Counting("linear@v2")

    async def work(asking: Asking) -> None:
        await asking.prove()
        pays(asking)
        await asking.swap(model, shadow=shadow)
        await asking.turn([row(order) for order in range(30)])

    in_loop(work, tmp_path, model)

    scored, _ = Segments(tmp_path).read(predictions_stream("linear", variant_of(shadow).package))
    assert sorted(int(key) for key in scored["key"].to_pylist()) == list(range(30))


def test_a_caller_may_name_its_answer_also_in_company(tmp_path: Path) -> None:
    names: list[str] = []

    async def work(asking: Asking) -> None:
        await asking.prove()
        pays(asking)
        coming = [asking.ask(row(order), x_request_id=f"mine-{order}") for order in range(5)]
        names.extend([json.loads((one if isinstance(one, Reply) else await one).body)["id"] for one in coming])

    in_loop(work, tmp_path, Counting("linear@v1"))

    assert names == [f"mine-{order}" for order in range(5)]


def test_company_is_kept_only_where_it_is_cheaper() -> None:
    quick, slow = company(), company()
    for _ in range(TRIALS):
        quick.note(4, alone_ns=100, together_ns=60, alike=True)
        slow.note(4, alone_ns=100, together_ns=95, alike=True)

    assert (quick.pays, slow.pays) == (True, False)
    assert str(quick) == "single rows that come together are answered together: that takes 60% of their time alone"
    assert "one by one" in str(slow)


def test_a_model_that_gained_nothing_is_tried_again_after_a_while() -> None:
    tried = company()
    for _ in range(TRIALS):
        tried.note(4, alone_ns=100, together_ns=95, alike=True)
    for _ in range(AGAIN):
        assert tried.is_known
        tried.passed()
    for _ in range(TRIALS):
        assert not tried.is_known
        tried.note(4, alone_ns=100, together_ns=50, alike=True)

    assert tried.pays


def test_a_call_in_company_may_not_keep_the_event_loop_for_long() -> None:
    heavy, heavier = company(), company()
    for _ in range(TRIALS):
        heavy.note(4, alone_ns=8_000_000, together_ns=4_000_000, alike=True)
        heavier.note(4, alone_ns=80_000_000, together_ns=16_000_000, alike=True)

    assert (heavy.most_rows, heavy.pays) == (4, True)
    assert heavier.pays is False


def test_requests_sent_ahead_of_their_answers_keep_their_order(shared_server: Running) -> None:
    bodies = [json.dumps(row(order)).encode() for order in range(40)]
    for _ in range(PROVEN_CALLS):
        shared_server.ask("POST", "/predict", row(1))
    with socket.create_connection(("127.0.0.1", shared_server.port)) as wire:
        wire.settimeout(30)
        for _ in range(2):
            wire.sendall(b"".join(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(b) + b for b in bodies))
            data = b""
            while data.count(b'"version"') < len(bodies) or not data.endswith(b"}"):
                data += wire.recv(65536)
            scores = [json.loads(part.partition(b"\r\n\r\n")[2])["score"] for part in data.split(b"HTTP/1.1 200 OK")[1:]]
            expected = [expected_score(LIVE["weights"], 0.0, (row(order)["x1"], row(order)["x2"], 0.0)) for order in range(40)]
            assert scores == [pytest.approx(score, abs=1e-6) for score in expected]


def company() -> Company:
    return Company("single rows", gain=0.8, most_rows=MOST, most_ns=4_000_000)


def pays(asking: Asking) -> None:
    """Take for granted what trials on a busy machine may not show: that company is cheaper."""
    singles = asking.app.scorer.singles
    assert singles is not None
    assert singles.company.is_known
    assert singles.company.alike
    singles.company.most_rows = MOST
