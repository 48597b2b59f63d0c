"""What the tracing routes refuse, and what they make of spans that come in pieces. The real clients are in test_mlflow_clients.py."""

from __future__ import annotations

import base64
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from sampan.web.app import create_app
from sampan.web.mlflow import otlp
from sampan.web.mlflow.refusals import Refusal
from sampan.workspace.workspace import Workspace

TRACES = "/api/3.0/mlflow/traces"
ONE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def http(tmp_path: Path) -> TestClient:
    return TestClient(create_app(Workspace.open(tmp_path)), base_url="http://127.0.0.1")


def span(name: str, number: int, *, parent: int = 0, start: int = 1_000, end: int = 2_000, **more: Any) -> dict[str, Any]:
    """Return a span in OTLP's JSON; moments in milliseconds."""
    found = {"traceId": ONE, "spanId": f"{number:016x}", "name": name, **more}
    found |= {"startTimeUnixNano": str(start * 1_000_000), "endTimeUnixNano": str(end * 1_000_000)}
    return found | ({"parentSpanId": f"{parent:016x}"} if parent else {})


def send(http: TestClient, *spans: dict[str, Any], **headers: str) -> Any:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}
    return http.post("/v1/traces", json=body, headers=headers)


def test_a_trace_is_drawn_from_spans_that_come_in_pieces(http: TestClient) -> None:
    send(http, span("child", 2, parent=1, start=1_100, end=1_200))
    unfinished = http.get(f"{TRACES}/tr-{ONE}").json()["trace"]["trace_info"]
    send(http, span("root", 1, status={"code": 2}))
    told = http.get(f"{TRACES}/get", params={"trace_id": f"tr-{ONE}"}).json()["trace"]

    assert "IN_PROGRESS" == unfinished["state"]
    assert ["1970-01-01T00:00:01Z", "1.000s", "ERROR"] == [
        told["trace_info"][name] for name in ("request_time", "execution_duration", "state")
    ]
    assert "root" == told["trace_info"]["tags"]["mlflow.traceName"]
    assert ["root", "child"] == [each["name"] for each in told["spans"]]


def test_spans_and_summary_that_come_at_once_make_one_trace(http: TestClient) -> None:
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
    traces = [f"{number:032x}" for number in range(1, 13)]

    def summary(trace: str) -> int:
        info = {"trace_id": f"tr-{trace}", "trace_location": place, "request_time": "2026-01-01T00:00:00Z", "state": "OK"}
        return http.post(TRACES, json={"trace": {"trace_info": info}}).status_code

    def spans(trace: str) -> int:
        return int(send(http, {**span("root", 1), "traceId": trace}).status_code)

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda call: call[0](call[1]), [(do, trace) for trace in traces for do in (summary, spans)]))

    assert {200} == set(statuses)
    told = [http.get(f"{TRACES}/get", params={"trace_id": f"tr-{trace}"}).json()["trace"] for trace in traces]
    assert [["OK", 1]] * 12 == [[each["trace_info"]["state"], len(each["spans"])] for each in told]


def test_a_span_that_is_sent_again_counts_once(http: TestClient) -> None:
    send(http, span("root", 1))
    send(http, span("root", 1, end=3_000))

    (found,) = http.get(f"{TRACES}/get", params={"trace_id": f"tr-{ONE}"}).json()["trace"]["spans"]
    assert "3000000000" == found["end_time_unix_nano"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", {"content-type": "application/json"}),
        (b"[]", {"content-type": "application/json"}),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz", "spanId": "1"}]}]}]}', {"content-type": "application/json"}),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "00ff", "spanId": "01"}]}]}]}', {"content-type": "application/json"}),
        (b'{"resourceSpans": 7}', {"content-type": "application/json"}),
        (b"\xff\xff\xff", {"content-type": "application/x-protobuf"}),
        (b"", {"content-type": "text/plain"}),
        (b"no gzip", {"content-type": "application/x-protobuf", "content-encoding": "gzip"}),
        (b"", {"content-type": "application/x-protobuf", "content-encoding": "br"}),
        (gzip.compress(bytes(80 << 20)), {"content-type": "application/x-protobuf", "content-encoding": "gzip"}),
    ],
)
def test_what_is_no_export_is_refused(body: bytes, headers: dict[str, str], http: TestClient) -> None:
    answer = http.post("/v1/traces", content=body, headers=headers)

    assert 400 == answer.status_code, answer.text
    assert "INVALID_PARAMETER_VALUE" == answer.json()["error_code"]
    found = http.post(f"{TRACES}/search", json={"locations": [{"mlflow_experiment": {"experiment_id": "0"}}]}).json()
    assert [] == found["traces"]


def test_spans_for_an_experiment_that_is_not_there_are_refused(http: TestClient) -> None:
    assert 404 == send(http, span("root", 1), **{"x-mlflow-experiment-id": "17"}).status_code


def test_a_trace_cannot_take_the_id_of_something_else(http: TestClient) -> None:
    run = http.post("/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]["run_id"]
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
    info = {"trace_id": f"tr-{run}", "trace_location": place, "request_time": "2026-01-01T00:00:00Z", "state": "OK"}

    for trace_id in (f"tr-{run}", "tr-../../etc", "tr-" + "A" * 32, "x" * 5000):
        answer = http.post(TRACES, json={"trace": {"trace_info": {**info, "trace_id": trace_id}}})
        assert 400 == answer.status_code, answer.text
    assert 400 == http.get(f"{TRACES}/tr-{run}").status_code
    assert 400 == send(http, {**span("root", 1), "traceId": run}).status_code


@pytest.mark.parametrize(
    "changed",
    [{"request_time": "yesterday"}, {"execution_duration": "long"}, {"state": "FINE"}, {"trace_metadata": [1]}, {"trace_location": None}],
)
def test_a_trace_with_a_fault_is_refused(changed: dict[str, Any], http: TestClient) -> None:
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
    info = {"trace_id": f"tr-{ONE}", "trace_location": place, "request_time": "2026-01-01T00:00:00Z", "state": "OK", **changed}

    assert 400 == http.post(TRACES, json={"trace": {"trace_info": info}}).status_code
    assert 404 == http.get(f"{TRACES}/tr-{ONE}").status_code


def test_our_own_marks_cannot_be_set_as_tags(http: TestClient) -> None:
    send(http, span("root", 1))
    answer = http.patch(f"{TRACES}/tr-{ONE}/tags", json={"key": "sampan.trace", "value": "{}"})

    assert 400 == answer.status_code
    assert "root" == http.get(f"{TRACES}/tr-{ONE}").json()["trace"]["trace_info"]["tags"]["mlflow.traceName"]


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_bytes_break_the_reader(body: bytes) -> None:
    try:
        found = otlp.read(body, media=otlp.PROTOBUF)
    except Refusal:
        return
    assert all(len(base64.b64decode(each["trace_id"])) == 16 for each in found)


FIELDS = st.sampled_from(["resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "name", "links", "attributes"])
PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=8)


@given(st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4)))
@settings(max_examples=300, deadline=None)
def test_no_json_breaks_the_reader(told: Any) -> None:
    try:
        found = otlp.read(json.dumps(told).encode(), media=otlp.JSON)
    except Refusal:
        return
    assert all(each["span_id"] for each in found)
