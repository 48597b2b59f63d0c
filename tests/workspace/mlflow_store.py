"""Fills a store of MLflow's by its real client, or tells all that the client reads from one; run by MLflow's own Python.

mlflow_store.py fill ADDRESS
mlflow_store.py tell ADDRESS     prints a line of JSON
"""

import contextlib
import hashlib
import json
import math
import sys
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import ViewType
from sklearn.linear_model import LogisticRegression

NEW = int(mlflow.__version__.split(".")[0]) >= 3


def fill(client):
    experiment = client.create_experiment("team/churn 2026", tags={"owner": "ana", "plan": "đổi"})
    gone = client.create_experiment("old one")
    client.create_run(gone, run_name="of a deleted one")
    client.delete_experiment(gone)
    mlflow.set_experiment(experiment_id=experiment)
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with mlflow.start_run(run_name="first", tags={"kind": "base", "long": "x" * 4000}, description="two\nlines\n") as run:
        mlflow.log_params({"depth": 3, "lr": 0.1, "opt/name": "adam", "text": "a = b\n  'c'"})
        for step in range(20):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metric("val/auc", 0.7, step=-1)
        mlflow.log_metric("nothing", math.nan)
        mlflow.log_metric("endless", -math.inf)
        mlflow.log_text("hello", "notes/a.txt")
        mlflow.log_text("", "empty.txt")
        frame = pd.DataFrame({"x": [1.0, 2.0]})
        mlflow.log_input(mlflow.data.from_pandas(frame, name="loans", source="s3://x/y.csv"), context="training", tags={"q": "1"})
        with mlflow.start_run(run_name="inner", nested=True):
            mlflow.log_metric("m", 1.5)
        if NEW:
            made = mlflow.sklearn.log_model(
                model, name="model", registered_model_name="churn model", params={"p": "q"}, pip_requirements=[]
            )
            mlflow.log_metric("test auc", 0.8, model_id=made.model_id)
        else:
            made = mlflow.sklearn.log_model(model, artifact_path="model", registered_model_name="churn model", pip_requirements=[])
    if NEW:
        fill_traces(client, run.info.run_id)
    with mlflow.start_run(run_name="failed"):
        mlflow.end_run("FAILED")
    deleted = client.create_run(experiment, run_name="deleted").info.run_id
    client.log_param(deleted, "a", "c")
    client.delete_run(deleted)
    client.create_run(experiment, run_name="still going", start_time=1_700_000_000_000)
    for number in range(3):
        client.create_model_version("churn model", made.model_uri, run.info.run_id, description=f"v{number + 2}", tags={"t": str(number)})
    client.delete_model_version("churn model", "2")
    client.set_registered_model_alias("churn model", "champion", "3")
    client.set_registered_model_alias("churn model", "next", "4")
    client.set_registered_model_tag("churn model", "team", "x")
    client.update_registered_model("churn model", description="Who leaves")
    client.transition_model_version_stage("churn model", "1", "Staging")
    client.transition_model_version_stage("churn model", "3", "Production")
    client.create_registered_model("no version yet")


@mlflow.trace(span_type="CHAIN")
def answer(question):
    with mlflow.start_span("look up", span_type="RETRIEVER") as span:
        span.set_inputs({"q": question})
        span.set_attribute("k", 3)
    return "42"


@mlflow.trace
def fail():
    raise ValueError("no answer")


def fill_traces(client, run):
    with mlflow.start_run(run_id=run):
        answer("why?")
    mlflow.flush_trace_async_logging()
    trace = mlflow.get_last_active_trace_id()
    client.set_trace_tag(trace, "team", "rủi ro")
    mlflow.log_feedback(trace_id=trace, name="good", value=True, rationale="short")
    mlflow.log_expectation(trace_id=trace, name="expected", value="42")
    with contextlib.suppress(ValueError):
        fail()
    mlflow.flush_trace_async_logging()


def tell_trace(trace):
    info, spans = trace.info, trace.data.spans
    places = ("mlflow.artifactLocation", "mlflow.trace.spansLocation")
    return {
        "info": [info.trace_id, info.request_time, info.execution_duration, info.state.value, info.request_preview, info.response_preview],
        "tags": {key: value for key, value in sorted(info.tags.items()) if key not in places},
        "metadata": dict(sorted(info.trace_metadata.items())),
        "assessments": sorted([a.name, repr(a.value), a.rationale, a.source.source_type, a.create_time_ms] for a in info.assessments),
        "spans": sorted(
            [s.span_id, s.parent_id, s.name, s.start_time_ns, s.end_time_ns, s.status.status_code.value, s.attributes, len(s.events)]
            for s in spans
        ),
    }


def files(root):
    base = Path(root.removeprefix("file://"))
    found = sorted(path for path in base.rglob("*") if path.is_file())
    return {path.relative_to(base).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def tell_run(client, run):
    info, data, inputs = run.info, run.data, run.inputs.dataset_inputs
    history = {key: client.get_metric_history(info.run_id, key) for key in sorted(data.metrics)}
    return {
        "info": [info.run_id, info.run_name, info.user_id, info.status, info.start_time, info.end_time, info.lifecycle_stage],
        "params": dict(sorted(data.params.items())),
        "tags": dict(sorted(data.tags.items())),
        "last": {key: repr(value) for key, value in sorted(data.metrics.items())},
        "history": {key: sorted([p.step, p.timestamp, repr(p.value)] for p in points) for key, points in history.items()},
        "inputs": [[i.dataset.to_dictionary(), sorted([t.key, t.value] for t in i.tags)] for i in inputs],
        "outputs": [output.model_id for output in run.outputs.model_outputs] if NEW and run.outputs else [],
        "files": files(info.artifact_uri),
    }


def tell_model(model):
    return {
        "info": [model.model_id, model.name, str(model.status), model.creation_timestamp, model.source_run_id, model.model_type],
        "params": dict(sorted(model.params.items())),
        "tags": dict(sorted(model.tags.items())),
        "metrics": sorted([m.key, repr(m.value), m.step, m.timestamp, m.run_id] for m in model.metrics or []),
        "files": files(model.artifact_location),
    }


def tell_version(version):
    mark = "/artifacts/"
    source = version.source if mark not in version.source else version.run_id + mark + version.source.split(mark)[1]
    told = [version.version, version.creation_timestamp, version.description, version.current_stage, source, version.run_id]
    return [*told, version.run_link, version.status, dict(sorted(version.tags.items()))]


def found_traces(client, experiments):
    return [trace for each in experiments for trace in client.search_traces(locations=[each.experiment_id], include_spans=True)]


def tell(client):
    experiments = client.search_experiments(view_type=ViewType.ALL)
    runs = [run for each in experiments for run in client.search_runs([each.experiment_id], run_view_type=ViewType.ALL)]
    models = client.search_logged_models(experiment_ids=[each.experiment_id for each in experiments]) if NEW else []
    registered = client.search_registered_models()
    versions = [version for each in registered for version in client.search_model_versions(f"name='{each.name}'")]
    told = {
        "traces": sorted((tell_trace(each) for each in found_traces(client, experiments)), key=lambda told: told["info"]) if NEW else [],
        "experiments": sorted([e.experiment_id, e.name, e.lifecycle_stage, e.creation_time, e.tags] for e in experiments),
        "runs": sorted((tell_run(client, run) for run in runs), key=lambda told: told["info"]),
        "models": sorted((tell_model(model) for model in models), key=lambda told: told["info"]),
        "registered": sorted(
            [r.name, r.creation_timestamp, r.description, r.tags, {a: str(v) for a, v in r.aliases.items()}] for r in registered
        ),
        "versions": [tell_version(version) for version in sorted(versions, key=lambda v: int(v.version))],
    }
    sys.stdout.write(f"TOLD {json.dumps(told)}\n")


for action, address in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    mlflow.set_tracking_uri(address)
    {"fill": fill, "tell": tell}[action](MlflowClient(address))
