"""The connection itself: what bytes on a socket get, in which order, and what ends it."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Iterator

import pytest
from linear_service import expected_score
from running_server import LIVE, Running

ROW = {"order": 7, "x1": 0.5, "x2": 0.25, "shop": "north"}
BODY = json.dumps(ROW).encode()
ASK = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture
def wire(shared_server: Running) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", shared_server.port)) as found:
        found.settimeout(30)
        yield found


def read_until(wire: socket.socket, n_answers: int) -> bytes:
    data = b""
    while data.count(b"HTTP/1.1 ") < n_answers or not data.endswith((b"}", b"]")):
        piece = wire.recv(65536)
        if not piece:
            break
        data += piece
    return data


def test_requests_sent_ahead_are_answered_in_their_order(wire: socket.socket) -> None:
    bodies = [json.dumps({"rows": [{**ROW, "x1": i / 10}] * (300 if i % 3 == 0 else 1), "ids": None}).encode() for i in range(12)]
    wire.sendall(b"".join(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(b) + b for b in bodies))
    data = read_until(wire, 12)

    scores = [float(found) for found in re.findall(rb'"predictions":\[\{"id":"[^"]*","score":([0-9.e-]+)', data)]
    assert scores == [pytest.approx(expected_score(LIVE["weights"], 0.0, (i / 10, 0.25, 0)), abs=1e-6) for i in range(12)]


def test_a_request_may_come_in_any_pieces(wire: socket.socket) -> None:
    for place in range(0, len(ASK), 7):
        wire.sendall(ASK[place : place + 7])

    assert read_until(wire, 1).startswith(b"HTTP/1.1 200 OK")


def test_a_chunked_body_is_put_together(wire: socket.socket) -> None:
    wire.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for piece in (BODY[:9], BODY[9:]):
        wire.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
    wire.sendall(b"0\r\n\r\n")

    assert b'"score":0.' in read_until(wire, 1)


def test_a_head_that_came_before_is_read_as_it_was_then(wire: socket.socket) -> None:
    rows = [{**ROW, "x1": i / 10} for i in range(10)]
    bodies = [json.dumps(one).encode() for one in rows]
    found = []
    for body in [*bodies, BODY, *bodies]:
        head = b"POST /predict?a=1 HTTP/1.1\r\nHost: y\r\nX-Request-Id: n%d\r\nContent-Length: %d\r\n\r\n" % (len(body), len(body))
        wire.sendall(head + body)
        found.append(json.loads(read_until(wire, 1).partition(b"\r\n\r\n")[2]))

    assert [one["id"] for one in found] == [f"n{len(body)}" for body in [*bodies, BODY, *bodies]]
    expected = [expected_score(LIVE["weights"], 0.0, (row["x1"], 0.25, 0)) for row in [*rows, ROW, *rows]]
    assert [one["score"] for one in found] == [pytest.approx(score, abs=1e-6) for score in expected]


def test_heads_that_came_before_are_read_alike_however_a_stream_is_cut(wire: socket.socket) -> None:
    rng = random.Random(7)
    for _ in range(40):
        names = [rng.choice(["a", "bb", "ccc"]) for _ in range(rng.randint(1, 6))]
        stream = b"".join(ask_as(name, chunked=rng.random() < 0.2) for name in names)
        while stream:
            size = rng.choice([len(ask_as("a")), 1, 90, len(stream)])
            wire.sendall(stream[:size])
            stream = stream[size:]
        ids = re.findall(rb'"id":"([a-c]+)"', read_until(wire, len(names)))
        assert [one.decode() for one in ids] == names


def test_a_known_head_does_not_bring_a_closed_connection_back(wire: socket.socket) -> None:
    wire.sendall(ask_as("a"))
    read_until(wire, 1)
    wire.sendall(ASK.replace(b"Host: x", b"Host: x\r\nConnection: close") + ask_as("a"))
    data = read_until(wire, 2)

    assert (data.count(b"HTTP/1.1 200 OK"), data.count(b'"id":"a"')) == (1, 0)


def ask_as(name: str, *, chunked: bool = False) -> bytes:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nX-Request-Id: %b\r\n" % name.encode()
    if chunked:
        return head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


def test_who_asks_before_sending_a_body_is_told_to_go_on(wire: socket.socket) -> None:
    wire.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
    assert wire.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.sendall(BODY)

    assert read_until(wire, 1).startswith(b"HTTP/1.1 200 OK")


def test_an_offer_of_another_protocol_is_declined_by_going_on(wire: socket.socket) -> None:
    offer = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    wire.sendall(offer + ASK)
    data = read_until(wire, 2)

    assert (data.count(b"HTTP/1.1 200 OK"), b'{"live":true}' in data, b'"score":' in data) == (2, True, True)


def test_a_head_request_gets_the_head_alone(wire: socket.socket) -> None:
    wire.sendall(b"HEAD /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n" + ASK)
    data = read_until(wire, 2)

    assert b"content-length: 13\r\n\r\nHTTP/1.1 200 OK" in data


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_connection_ends_when_the_client_says_so(wire: socket.socket, version: bytes) -> None:
    wire.sendall(b"GET /v2/health/live HTTP/" + version + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    data = b"".join(iter(lambda: wire.recv(65536), b""))

    assert b"connection: close" in data
    assert data.endswith(b'{"live":true}')


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told_so_and_the_connection_ends(wire: socket.socket, garbage: bytes) -> None:
    wire.sendall(garbage)
    data = b"".join(iter(lambda: wire.recv(65536), b""))

    assert data.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"not an HTTP/1.1 request" in data


def test_headers_without_end_are_refused(wire: socket.socket) -> None:
    wire.sendall(b"GET /health HTTP/1.1\r\n" + b"".join(b"X-%d: %b\r\n" % (i, b"y" * 1000) for i in range(80)))

    assert b"the headers have more than 65,536 bytes" in read_until(wire, 1)


def test_mlflows_forms_are_read_and_what_does_not_fit_is_named(shared_server: Running) -> None:
    split = {"dataframe_split": {"columns": ["shop", "x1", "x2", "order"], "data": [["a", 0.5, 0.25, 1]]}}
    frame = b"order,x1,x2,shop\n1,0.5,0.25,a\n"
    fits = [
        shared_server.ask("POST", "/invocations", split),
        shared_server.ask("POST", "/invocations", {"instances": [ROW]}),
        shared_server.ask("POST", "/invocations", {"inputs": {name: [value] for name, value in ROW.items()}}),
        shared_server.ask("POST", "/invocations", frame, headers={"Content-Type": "text/csv; charset=utf-8"}),
        shared_server.ask("POST", "/endpoints/linear/invocations", {"inputs": [list(ROW.values())]}),
    ]
    lost = shared_server.ask("POST", "/invocations", {"dataframe_records": [{"order": 1, "x1": 2}]})
    other = shared_server.ask("POST", "/invocations", b"x", headers={"Content-Type": "application/parquet"})

    score = pytest.approx(expected_score(LIVE["weights"], 0.0, (0.5, 0.25, 0)), abs=1e-6)
    assert fits == [(200, {"predictions": [score]})] * 5
    assert (lost[0], lost[1]["error"]) == (400, "columns are missing: x2, shop")
    assert (other[0], other[1]["error"]) == (400, "content type 'application/parquet' is not read here")
