"""What a server answers to good and bad requests; one real process, asked over loopback."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from linear_service import expected_score
from running_server import LIVE, Running

ROW = {"order": 7, "x1": 0.5, "x2": 0.25, "shop": "north"}
SCORE = pytest.approx(expected_score(LIVE["weights"], 0.0, (0.5, 0.25, 0.0)), abs=1e-6)


def tensors(**columns: list[Any]) -> list[dict[str, Any]]:
    kinds = {"order": "INT64", "x1": "FP64", "x2": "FP64", "shop": "BYTES"}
    return [{"name": name, "shape": [len(data)], "datatype": kinds[name], "data": data} for name, data in columns.items()]


def test_one_bare_object_gets_one_bare_prediction(shared_server: Running) -> None:
    status, body = shared_server.ask("POST", "/predict", ROW, headers={"X-Request-Id": "mine"})

    assert status == 200
    assert body == {"id": "mine", "score": SCORE, "version": "linear@v1", "decision": True}


def test_a_batch_gets_predictions_in_the_order_of_its_rows(shared_server: Running) -> None:
    rows = [{**ROW, "x1": x} for x in (0.0, 1.0, 2.0)]

    status, body = shared_server.ask("POST", "/predict", {"rows": rows, "ids": ["a", "b", "c"]})

    assert status == 200
    assert [p["id"] for p in body["predictions"]] == ["a", "b", "c"]
    assert [p["score"] for p in body["predictions"]] == [
        pytest.approx(expected_score(LIVE["weights"], 0.0, (x, 0.25, 0)), abs=1e-6) for x in (0.0, 1.0, 2.0)
    ]


def test_a_large_batch_is_answered_as_a_small_one(shared_server: Running) -> None:
    rows = [{**ROW, "x1": float(i % 3)} for i in range(2000)]

    status, body = shared_server.ask("POST", "/predict", {"rows": rows})

    scores = [p["score"] for p in body["predictions"]]
    assert status == 200
    assert len(scores) == 2000
    assert scores[:3] * 666 == scores[:1998]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"order": 1, "x1"', "not JSON"),
        (b"", "empty"),
        (b"[1, 2]", "an array, expected an object"),
        (b'{"rows": {}}', "rows is an object"),
        (b'{"rows": []}', "at least one object"),
        (b'{"rows": [1]}', "row 0 is the number 1"),
        (b'{"rows": [{}], "model": "x"}', "unknown field 'model' beside rows"),
        (b'{"rows": [{}], "ids": []}', "0 ids for 1 rows"),
        (b'{"rows": [{}, {}], "ids": ["a", "a"]}', "twice"),
        (b'{"order": 1, "x1": NaN, "x2": 1, "shop": "a"}', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (json.dumps({**ROW, "x1": "half"}).encode(), "field 'x1' is 'half', expected number"),
        (json.dumps({**ROW, "x3": 1}).encode(), "unexpected field 'x3'"),
        (json.dumps({"order": 1, "x1": 1, "shop": "a"}).encode(), "field 'x2' is None, expected number"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(shared_server: Running, body: bytes, says: str) -> None:
    status, answer = shared_server.ask("POST", "/predict", body)

    assert status == 400
    assert says in answer["error"]


def test_a_body_over_the_limit_is_refused_before_it_is_read(shared_server: Running) -> None:
    size = 100 * 1024 * 1024
    with socket.create_connection(("127.0.0.1", shared_server.port)) as client:
        client.settimeout(30)
        client.sendall(f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
        answer = client.recv(4096)  # a server that waited for the body, which never comes, would not answer

    assert answer.startswith(b"HTTP/1.1 413")


def test_a_client_that_sends_100_megabytes_still_reads_the_refusal(shared_server: Running) -> None:
    status, body = shared_server.ask("POST", "/predict", b" " * (100 * 1024 * 1024))

    assert status == 413
    assert "104,857,600 bytes" in body["error"]
    assert resident_mb(shared_server.process.pid) < 300


def test_a_chunked_body_over_the_limit_is_refused_when_it_passes_it(shared_server: Running) -> None:
    connection = shared_server.connect()
    connection.putrequest("POST", "/predict")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    for _ in range(18):
        connection.send(chunk)
    connection.send(b"0\r\n\r\n")

    assert connection.getresponse().status == 413
    connection.close()


def test_unknown_paths_methods_and_models_are_told_apart(shared_server: Running) -> None:
    path = shared_server.ask("POST", "/predct", ROW)
    method = shared_server.ask("GET", "/predict")
    model = shared_server.ask("POST", "/v2/models/linaer/infer", {})
    version = shared_server.ask("POST", "/v2/models/linear/versions/9/infer", {"inputs": tensors(order=[1], x1=[1], x2=[1], shop=["a"])})

    assert (path[0], path[1]["hint"]) == (404, "did you mean /predict?")
    assert (method[0], method[1]["error"]) == (405, "/predict takes POST, not GET")
    assert (model[0], model[1]["did_you_mean"]) == (404, ["linear"])
    assert (version[0], version[1]["hint"]) == (404, "loaded: linear@v1")


def test_the_inference_protocols_health_and_metadata_have_their_exact_bodies(shared_server: Running) -> None:
    assert shared_server.ask("GET", "/v2/health/live") == (200, {"live": True})
    assert shared_server.ask("GET", "/v2/health/ready") == (200, {"ready": True})
    assert shared_server.ask("GET", "/v2/models/linear/ready") == (200, {"ready": True})
    assert shared_server.ask("GET", "/v2/models/linear/versions/v1/ready") == (200, {"ready": True})
    assert shared_server.ask("GET", "/v2")[1]["extensions"] == ["binary_tensor_data"]
    model = shared_server.ask("GET", "/v2/models/linear/versions/1")[1]
    assert model["versions"] == ["linear@v1"]
    assert {i["name"]: (i["datatype"], i["shape"]) for i in model["inputs"]}["shop"] == ("BYTES", [-1])
    outputs = [(o["name"], o["datatype"], o["shape"]) for o in model["outputs"]]
    assert outputs == [("score", "FP64", [-1]), ("decision", "BOOL", [-1]), ("flags", "BYTES", [-1])]


@pytest.mark.parametrize("nested", [False, True])
def test_the_inference_protocol_answers_tensors_and_echoes_the_id(shared_server: Running, nested: bool) -> None:
    inputs = tensors(order=[1, 2], x1=[0.5, 0.5], x2=[0.25, 0.25], shop=["north", "south"])
    if nested:
        inputs = [{**t, "shape": [2, 1], "data": [[v] for v in t["data"]]} for t in inputs]

    status, body = shared_server.ask("POST", "/v2/models/linear/infer", {"id": "42", "inputs": inputs, "outputs": [{"name": "score"}]})

    assert status == 200
    assert (body["id"], body["model_name"], body["model_version"]) == ("42", "linear", "linear@v1")
    assert body["outputs"] == [{"name": "score", "shape": [2], "datatype": "FP64", "data": [SCORE, SCORE]}]


GOOD = tensors(order=[1], x1=[1.0], x2=[1.0], shop=["a"])


@pytest.mark.parametrize(
    ("request_body", "status", "says"),
    [
        ({}, 400, "inputs"),
        ({"inputs": []}, 400, "inputs is empty"),
        ({"inputs": [*GOOD, GOOD[0]]}, 400, "comes twice"),
        ({"inputs": [{**GOOD[0], "shape": [2]}]}, 400, "1 values for shape [2]"),
        ({"inputs": [{**GOOD[0], "shape": [1, 2, 3]}]}, 400, "expected [n] or [n, 1]"),
        ({"inputs": [{**GOOD[0], "datatype": "FLOAT"}]}, 400, "datatype 'FLOAT'"),
        ({"inputs": [{**GOOD[1], "data": ["x"]}]}, 400, "row 0 is the string 'x', expected FP64"),
        ({"inputs": [GOOD[0], *tensors(x1=[1, 2])]}, 400, "'x1' has 2 rows, 'order' has 1"),
        ({"inputs": GOOD, "outputs": [{"name": "label"}]}, 400, "no output called 'label'"),
        ({"inputs": [{**GOOD[0], "data": None, "parameters": {"binary_data_size": 8}}]}, 400, "names 8 bytes after the JSON"),
        ({"inputs": [{**GOOD[1], "data": ["x"]}, {**GOOD[2], "shape": [2]}]}, 400, "'x', expected FP64; input 'x2' has 1 values"),
    ],
)
def test_a_bad_inference_request_is_told_what_is_wrong(shared_server: Running, request_body: Any, status: int, says: str) -> None:
    answer = shared_server.ask("POST", "/v2/models/linear/infer", request_body)

    assert answer[0] == status
    assert says in answer[1]["error"]


def test_true_labels_are_refused_whole_if_one_is_wrong(shared_server: Running) -> None:
    good = {"order": 3, "label": 1, "at": 5}

    kept = shared_server.ask("POST", "/outcomes", [good, {"id": "x", "label": False}])
    unlabelled = shared_server.ask("POST", "/outcomes", [good, {"order": 4, "label": 2}])
    nameless = shared_server.ask("POST", "/outcomes", [{"label": 1}])

    assert kept == (200, {"received": 2})
    assert (unlabelled[0], unlabelled[1]["error"]) == (400, "outcome 1: label is the number 2, expected 0 or 1")
    assert (nameless[0], nameless[1]["error"]) == (400, "outcome 0 does not say of which prediction: it lacks id, or order")


def test_fed_rows_change_the_next_answer_and_an_unknown_table_is_named(shared_server: Running) -> None:
    before = shared_server.ask("POST", "/predict", {**ROW, "shop": "fed"})[1]["score"]
    fed = shared_server.ask("POST", "/feed/totals", {"rows": [{"shop": "fed", "amount": 10}], "at": 5})
    after = shared_server.ask("POST", "/predict", {**ROW, "shop": "fed"})[1]["score"]
    unknown = shared_server.ask("POST", "/feed/totls", [{"shop": "fed", "amount": 10}])

    assert fed == (200, {"table": "totals", "fed": 1})
    assert before == SCORE
    assert after == pytest.approx(expected_score(LIVE["weights"], 0.0, (0.5, 0.25, 10.0)), abs=1e-6)
    assert (unknown[0], unknown[1]["error"]) == (400, "no online table 'totls'")


def test_reload_needs_the_servers_token(shared_server: Running) -> None:
    assert shared_server.ask("POST", "/admin/reload")[0] == 403
    assert shared_server.ask("POST", "/admin/reload", headers={"Authorization": "Bearer wrong"})[0] == 403


def test_a_server_without_a_live_model_says_so(serve: Any) -> None:
    running = serve({})

    assert running.ask("GET", "/v2/health/ready") == (503, {"ready": False})
    status, body = running.ask("POST", "/predict", ROW)
    assert (status, body["code"]) == (503, "unavailable")


def resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:  # noqa: PTH123  # procfs
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


BEYOND = "x1: 5000 is beyond training"


def test_rows_beyond_training_are_flagged_in_every_form_of_answer(shared_server: Running) -> None:
    rows = [ROW, {**ROW, "x1": 5000.0}]
    inputs = tensors(**{name: [row[name] for row in rows] for name in ROW})

    one = shared_server.ask("POST", "/predict", rows[1])[1]
    many = shared_server.ask("POST", "/predict", {"rows": rows})[1]["predictions"]
    usual = shared_server.ask("POST", "/v2/models/linear/infer", {"inputs": inputs})[1]
    asked = shared_server.ask("POST", "/v2/models/linear/infer", {"inputs": inputs, "outputs": [{"name": "flags"}]})[1]
    frame = shared_server.ask("POST", "/invocations", {"dataframe_records": rows}, headers={"Content-Type": "application/json"})[1]

    assert one["flags"] == [BEYOND]
    assert [prediction.get("flags") for prediction in many] == [None, [BEYOND]]
    assert usual["parameters"] == {"flags": f"row 1: {BEYOND}"}
    assert [output["name"] for output in usual["outputs"]] == ["score"]
    assert asked["outputs"] == [{"name": "flags", "datatype": "BYTES", "shape": [2], "data": ["", BEYOND]}]
    assert frame["flags"] == {"1": BEYOND}


def test_where_nothing_is_beyond_training_no_answer_says_so(shared_server: Running) -> None:
    inputs = tensors(**{name: [value] for name, value in ROW.items()})

    usual = shared_server.ask("POST", "/v2/models/linear/infer", {"inputs": inputs})[1]
    asked = shared_server.ask("POST", "/v2/models/linear/infer", {"inputs": inputs, "outputs": [{"name": "flags"}]})[1]

    assert "parameters" not in usual
    assert asked["outputs"][0]["data"] == [""]


@pytest.fixture(scope="module")
def slow_and_broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A live version that takes its time, and a canary for half of the keys whose graph does not fit its features."""
    plan = {"live": {**LIVE, "slow_s": 0.6}, "canary": {"version": "linear@v2", "weights": [1.0, 2.0]}, "share": 0.5}
    running = Running(tmp_path_factory.mktemp("slow"), plan)
    yield running
    running.stop()


@pytest.mark.slow
def test_the_timeout_of_a_request_is_honored(slow_and_broken: Running) -> None:
    inputs = tensors(**{name: [value] for name, value in ROW.items()})
    path = "/v2/models/linear/versions/v1/infer"

    late = slow_and_broken.ask("POST", path, {"inputs": inputs, "parameters": {"timeout": 50_000}})
    patient = slow_and_broken.ask("POST", path, {"inputs": inputs, "parameters": {"timeout": 20_000_000}})
    wrong = slow_and_broken.ask("POST", path, {"inputs": inputs, "parameters": {"timeout": "soon"}})

    assert (late[0], late[1]["error"]) == (504, "no answer after 0.05 s")
    assert patient[0] == 200
    assert (wrong[0], wrong[1]["error"]) == (400, "the parameter timeout is the string 'soon', expected whole microseconds")


@pytest.mark.slow
def test_a_request_of_which_one_version_fails_fails_whole_and_names_it(slow_and_broken: Running) -> None:
    rows = [{**ROW, "order": order} for order in range(20)]

    status, body = slow_and_broken.ask("POST", "/predict", {"rows": rows})
    each = [slow_and_broken.ask("POST", "/predict", row)[0] for row in rows[:6]]

    assert status == 500
    assert body["error"].startswith("linear@v2 failed on this request: ")
    assert "no row of it is answered" in body["hint"]
    assert set(each) == {200, 500}
