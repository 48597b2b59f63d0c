"""Spans of answered requests as a real OpenTelemetry collector's messages, in the traces of real OpenTelemetry callers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from collector import PEERS, Collector
from running_server import LIVE, NEXT, Running

from sampan.core.project import Traces
from sampan.errors import ParameterError
from sampan.serving.spans import read_parent
from sampan.store.segments import Segments
from sampan.web.inference.traces import exporter_of

Serve = Callable[[dict[str, Any]], Running]
ROW = {"order": 7, "x1": 0.5, "x2": 0.25, "shop": "north"}
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
_CALLER = """
import json, sys, urllib.request
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
with trace.get_tracer("caller").start_as_current_span("ask") as span:
    headers = {}
    propagate.inject(headers)
    request = urllib.request.Request(sys.argv[1] + "/predict", data=sys.argv[2].encode(), headers=headers)
    urllib.request.urlopen(request).read()
    context = span.get_span_context()
print(json.dumps({"trace": format(context.trace_id, "032x"), "id": format(context.span_id, "016x")}))
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def told(running: Running) -> dict[str, int]:
    counts: dict[str, int] = json.loads((running.folder / "spans.json").read_text())
    return counts


@pytest.mark.slow
def test_a_real_callers_trace_goes_on_in_the_server_and_in_the_log(serve: Serve, collector: Collector) -> None:
    running = serve({"live": LIVE, "traces": {"endpoint": collector.url}})
    python = str(PEERS / "mlflow3" / "bin" / "python")
    url = f"http://127.0.0.1:{running.port}"
    asked = subprocess.run([python, "-c", _CALLER, url, json.dumps(ROW)], capture_output=True, text=True, check=True)
    caller = json.loads(asked.stdout)
    running.stop()

    request, part = sorted(collector.spans(), key=lambda span: span["start"])
    assert (request["trace"], request["parent"], request["name"], request["kind"]) == (caller["trace"], caller["id"], "POST /predict", 2)
    assert (part["trace"], part["parent"], part["name"], part["kind"]) == (caller["trace"], request["id"], "predict linear@v1", 1)
    assert request["attributes"]["http.response.status_code"] == 200
    assert request["service"] == "linear"
    assert (part["attributes"]["sampan.rows"], part["attributes"]["sampan.role"]) == (1, "live")
    assert 0 < part["nanoseconds"] <= request["nanoseconds"]
    stream = next(name for name in Segments(running.folder).streams() if name.startswith("predictions."))
    logged = Segments(running.folder).read(stream)[0]
    assert logged["trace"].to_pylist() == [caller["trace"]]
    assert told(running) == {"sent": 1, "dropped": 0}


@pytest.mark.slow
def test_a_caller_decides_whether_it_is_traced_and_its_state_is_kept(serve: Serve, collector: Collector) -> None:
    running = serve({"live": LIVE, "traces": {"endpoint": collector.url, "sample": 0.0}})
    wanted = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=1"}

    running.ask("POST", "/predict", ROW, headers={"traceparent": f"00-{TRACE}-{CALLER}-00"})
    running.ask("POST", "/predict", ROW, headers={"traceparent": "00-nonsense-01"})
    running.ask("POST", "/predict", ROW)
    running.ask("POST", "/predict", {**ROW, "x1": "half"}, headers=wanted)
    running.stop()

    assert [(s["trace"], s["parent"], s["state"], s["attributes"]["http.response.status_code"]) for s in collector.spans()] == [
        (TRACE, CALLER, "vendor=1", 400)
    ]


@pytest.mark.slow
def test_a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not(serve: Serve) -> None:
    busy, refusing = Collector(statuses=(503, 429)), Collector(statuses=(400,))
    for collector in (busy, refusing):
        running = serve({"live": LIVE, "traces": {"endpoint": collector.url}})
        running.ask("POST", "/predict", ROW)
        running.wait_for(lambda found=collector: len(found.headers) >= (3 if found is busy else 1))  # type: ignore[misc]  # mypy knows no default in a lambda
        running.stop()
        collector.close()
        assert told(running) == ({"sent": 1, "dropped": 0} if collector is busy else {"sent": 0, "dropped": 1})

    assert [headers["path"] for headers in busy.headers] == ["/v1/traces"] * 3
    assert busy.headers[0]["content-type"] == "application/x-protobuf"


@pytest.mark.slow
def test_no_collector_costs_spans_and_no_answer(serve: Serve) -> None:
    running = serve({"live": LIVE, "canary": NEXT, "share": 0.5, "traces": {"endpoint": "http://127.0.0.1:9"}})

    statuses = {running.ask("POST", "/predict", {**ROW, "order": n})[0] for n in range(20)}
    code = running.stop()

    assert (statuses, code) == ({200}, 0)
    assert told(running) == {"sent": 0, "dropped": 20}


def test_nothing_is_sent_without_an_endpoint_and_a_wrong_one_is_told() -> None:
    assert exporter_of(Traces(), service="s") is None
    with pytest.raises(ParameterError, match=r"\[traces\]: endpoint is 'collector', no address"):
        exporter_of(Traces(endpoint="collector"), service="s")
    with pytest.raises(ParameterError, match=r"\[traces\]: sample is 2.0, expected 0 to 1"):
        exporter_of(Traces(endpoint="http://127.0.0.1:1", sample=2.0), service="s")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f"00-{TRACE}-{CALLER}-01", (TRACE, CALLER, 1)),
        (f" 00-{TRACE}-{CALLER}-00 ", (TRACE, CALLER, 0)),
        (f"01-{TRACE}-{CALLER}-03-later", (TRACE, CALLER, 3)),
        (f"00-{TRACE}-{CALLER}-01-later", None),
        (f"ff-{TRACE}-{CALLER}-01", None),
        (f"00-{'0' * 32}-{CALLER}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{CALLER}-01", None),
        ("", None),
    ],
)
def test_a_traceparent_is_read_as_the_recommendation_says(header: str, found: tuple[str, str, int] | None) -> None:
    assert read_parent(header.encode()) == found
