"""The connection itself: what bytes on a socket get, in which order, and what ends it."""

from __future__ import annotations

import json
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
