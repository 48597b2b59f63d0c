"""What a user of MLflow's tracing does, by the real client; run by the client's own Python, prints what it saw as JSON."""

import contextlib
import json
import sys
import time
import urllib.request

import mlflow
from mlflow.exceptions import MlflowException

seen: dict[str, object] = {}
url = sys.argv[1]
is_three = int(mlflow.__version__.split(".")[0]) >= 3
mlflow.set_tracking_uri(url)
experiment = mlflow.set_experiment("questions").experiment_id
client = mlflow.MlflowClient()


@mlflow.trace(span_type="CHAIN")
def answer(question: str) -> str:
    with mlflow.start_span(name="look up", span_type="RETRIEVER") as span:
        span.set_inputs({"question": question})
        span.set_outputs(["a page"])
        span.set_attribute("pages", 1)
    if question == "broken":
        raise ValueError("no answer")
    return f"about {question}"


def next_millisecond() -> None:
    """Let the clock go on: traces are put in order by the millisecond they begin in."""
    now = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == now:
        pass


with mlflow.start_run() as run:
    answer("sails")
next_millisecond()
answer("anchors")
next_millisecond()
with contextlib.suppress(ValueError):
    answer("broken")
if hasattr(mlflow, "flush_trace_async_logging"):
    mlflow.flush_trace_async_logging()


def search(**given):
    if is_three:
        return mlflow.search_traces(locations=[experiment], return_type="list", **given)
    given = {"order_by": None, "max_results": 100, **given}
    return list(client.search_traces(experiment_ids=[experiment], **given))


def named(trace):
    return trace.info.tags["mlflow.traceName"]


found = search(order_by=["timestamp_ms ASC"])
seen["states"] = [str(getattr(each.info, "state", None) or each.info.status).rpartition(".")[2] for each in found]
seen["names"] = sorted({named(each) for each in found})
first = found[0]
seen["spans"] = [span.name for span in first.data.spans]
seen["span types"] = [span.span_type for span in first.data.spans]
seen["inputs"] = first.data.spans[0].inputs
seen["outputs"] = first.data.spans[0].outputs
seen["attribute"] = first.data.spans[1].get_attribute("pages")
seen["failed"] = len(search(filter_string="status = 'ERROR'"))
trace_id = first.info.trace_id if is_three else first.info.request_id
client.set_trace_tag(trace_id, "kind", "good")
seen["tagged"] = len(search(filter_string="tag.kind = 'good'"))
client.delete_trace_tag(trace_id, "kind")
seen["untagged"] = len(search(filter_string="tag.kind = 'good'"))
whole = client.get_trace(trace_id)
seen["again"] = [span.name for span in whole.data.spans]
page = client.search_traces(**({"locations": [experiment]} if is_three else {"experiment_ids": [experiment]}), max_results=2)
seen["pages"] = [len(page), bool(page.token)]
try:
    client.get_trace("tr-" + "0" * 32)
    seen["missing"] = "found"
except MlflowException as error:
    seen["missing"] = error.error_code

if is_three:
    seen["of the run"] = len(search(filter_string=f"attributes.run_id = '{run.info.run_id}'"))
    seen["by span"] = len(search(filter_string="span.name = 'look up' AND span.type = 'RETRIEVER'"))
    mlflow.log_feedback(trace_id=trace_id, name="right", value=True, rationale="it is")
    said = mlflow.log_expectation(trace_id=trace_id, name="wanted", value="about sails")
    mlflow.update_assessment(trace_id=trace_id, assessment_id=said.assessment_id, assessment=mlflow.entities.Expectation("wanted", "sails"))
    seen["said"] = sorted((each.name, str(each.value)) for each in mlflow.get_trace(trace_id).info.assessments)
    seen["by feedback"] = len(search(filter_string="feedback.right = 'true'"))
    mlflow.delete_assessment(trace_id=trace_id, assessment_id=said.assessment_id)
    seen["withdrawn"] = [each.name for each in mlflow.get_trace(trace_id).info.assessments]

    # Another program's OpenTelemetry exporter, which knows nothing of MLflow.
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    headers = {"x-mlflow-experiment-id": experiment}
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces", headers=headers, compression=Compression.Gzip)))
    with provider.get_tracer("other").start_as_current_span("foreign", attributes={"n": 3, "share": 0.5, "list": ["a"]}) as span:
        foreign = f"tr-{span.get_span_context().trace_id:032x}"
    provider.shutdown()
    other = mlflow.get_trace(foreign)
    seen["foreign"] = [other.data.spans[0].name, other.data.spans[0].attributes["n"], other.data.spans[0].attributes["share"]]
    seen["foreign state"] = str(other.info.state).rpartition(".")[2]
    spans = [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "by hand",
              "startTimeUnixNano": str(time.time_ns()), "endTimeUnixNano": str(time.time_ns())}]  # fmt: skip
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    asked = urllib.request.Request(f"{url}/v1/traces", body, {"content-type": "application/json", **headers})  # our own server
    seen["as json"] = [
        urllib.request.urlopen(asked).read().decode(),
        mlflow.get_trace("tr-5b8efff798038103d269b633813fc60c").data.spans[0].name,
    ]

before = len(search())
seen["deleted"] = client.delete_traces(experiment_id=experiment, **({"trace_ids" if is_three else "request_ids": [trace_id]}))
seen["left"] = before - len(search())
sys.stdout.write("SEEN " + json.dumps(seen) + "\n")
