"""Everything a user of MLflow does, by the real client; run by the client's own Python, prints what it saw as JSON."""

import json
import math
import pathlib
import sys
import tempfile

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

seen: dict[str, object] = {}
is_three = int(mlflow.__version__.split(".")[0]) >= 3
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
rows, labels = load_iris(return_X_y=True)


def refused(call) -> str:
    try:
        call()
    except MlflowException as error:
        return f"{error.error_code}: {error.message.splitlines()[0].removeprefix(f'{error.error_code}: ')}"
    return "accepted"


experiment = mlflow.set_experiment("team/churn 2026")
with mlflow.start_run(run_name="first") as run:
    mlflow.log_param("depth", 3)
    mlflow.log_params({"lr": 0.1, "kind": "tree"})
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metrics({"auc": 0.7, "nothing": math.nan, "endless": math.inf})
    mlflow.set_tag("note", "a first try")
    mlflow.log_text("hello", "notes/a.txt")
    mlflow.log_text("hello again", "notes/a.txt")
    mlflow.log_dict({"x": 1}, "d.json")
    mlflow.log_table({"q": [1, 2]}, "t.json")
    mlflow.log_table({"q": [3]}, "t.json")
    mlflow.log_input(mlflow.data.from_pandas(pd.DataFrame({"a": [1.0]}), name="loans"), context="training")
    with mlflow.start_run(nested=True, run_name="inner") as inner:
        mlflow.log_metric("m", 1)
with mlflow.start_run(run_name="second"):
    mlflow.log_metric("loss", 0.9)
    mlflow.log_param("kind", "line")
try:
    with mlflow.start_run(run_name="third"):
        raise RuntimeError("on purpose")
except RuntimeError:
    pass

first = client.get_run(run.info.run_id)
seen["metrics"] = {key: str(value) for key, value in sorted(first.data.metrics.items())}
seen["params"] = dict(sorted(first.data.params.items()))
seen["status"] = first.info.status
seen["name"] = first.info.run_name
seen["parent"] = client.get_run(inner.info.run_id).data.tags["mlflow.parentRunId"] == run.info.run_id
seen["dataset"] = [(each.dataset.name, each.tags[0].value) for each in first.inputs.dataset_inputs]
seen["history"] = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "loss")]
seen["files"] = sorted(each.path for each in client.list_artifacts(run.info.run_id))
seen["folder"] = [(each.path, each.file_size) for each in client.list_artifacts(run.info.run_id, "notes")]
seen["text"] = mlflow.artifacts.load_text(f"{first.info.artifact_uri}/notes/a.txt")
seen["table"] = list(mlflow.load_table("t.json", run_ids=[run.info.run_id])["q"])

by = [experiment.experiment_id]
find = client.search_runs
seen["found"] = [r.info.run_name for r in find(by, "metrics.loss < 0.5 AND params.kind = 'tree'", order_by=["metrics.auc DESC"])]
seen["ordered"] = [r.info.run_name for r in find(by, "metrics.loss > 0", order_by=["metrics.loss DESC"])]
seen["failed"] = [r.info.run_name for r in find(by, "attributes.status = 'FAILED'")]
seen["tagged"] = [r.info.run_name for r in find(by, "tags.note ILIKE '%FIRST%' AND run_name != 'x'")]
seen["with dataset"] = [r.info.run_name for r in find(by, "dataset.name = 'loans'")]
page = find(by, max_results=3, order_by=["attributes.start_time ASC"])
rest = find(by, max_results=3, order_by=["attributes.start_time ASC"], page_token=page.token)
seen["pages"] = [[r.info.run_name for r in page], [r.info.run_name for r in rest]]
seen["everywhere"] = len(mlflow.search_runs(search_all_experiments=True))

seen["refused"] = {
    "changed param": refused(lambda: client.log_param(run.info.run_id, "depth", 4)),
    "no run": refused(lambda: client.get_run("0" * 32)),
    "same experiment": refused(lambda: client.create_experiment("team/churn 2026")),
    "bad filter": refused(lambda: find(by, "metrics.loss < 'a'")),
    "bad page": refused(lambda: find(by, page_token="nonsense")),
}
# As one file and, in the same words, in four parts.
with tempfile.TemporaryDirectory() as folder:
    large = pathlib.Path(folder, "large.bin")
    large.write_bytes(bytes(range(256)) * 80_000)
    client.log_artifact(run.info.run_id, str(large), "parts")
    back = pathlib.Path(client.download_artifacts(run.info.run_id, "parts/large.bin", folder))
    seen["large"] = [back.stat().st_size, back.read_bytes() == large.read_bytes()]

client.delete_run(run.info.run_id)
seen["deleted"] = [len(find(by)), len(find(by, run_view_type=2))]
seen["to a deleted run"] = refused(lambda: client.log_metric(run.info.run_id, "loss", 1.0))
client.restore_run(run.info.run_id)
client.set_experiment_tag(experiment.experiment_id, "team", "risk")
client.rename_experiment(experiment.experiment_id, "renamed")
seen["experiments"] = sorted(each.name for each in client.search_experiments())
seen["by tag"] = [each.name for each in client.search_experiments(filter_string="tags.team = 'risk'")]

mlflow.sklearn.autolog(log_models=False)
with mlflow.start_run() as auto:
    LogisticRegression(max_iter=500).fit(rows, labels)
mlflow.sklearn.autolog(disable=True)
logged = client.get_run(auto.info.run_id)
seen["autolog"] = ["training_score" in logged.data.metrics, logged.data.params["max_iter"]]

if is_three:
    from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent

    made = WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED)
    moved = WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED)
    hook = client.create_webhook("ci", sys.argv[2], [made, moved], secret="known to both")
    seen["webhooks"] = [[each.name, str(each.status), len(each.events)] for each in client.list_webhooks()]
    seen["webhook test"] = client.test_webhook(hook.webhook_id).response_status
    client.update_webhook(hook.webhook_id, description="of the build")
    seen["webhook"] = client.get_webhook(hook.webhook_id).description
    seen["no webhook"] = refused(lambda: client.create_webhook("inside", "https://169.254.169.254/latest", [made], secret="s" * 2000))

model = LogisticRegression(max_iter=500).fit(rows, labels)
with mlflow.start_run() as maker:
    where = {"name": "model"} if is_three else {"artifact_path": "model"}
    mlflow.sklearn.log_model(model, registered_model_name="iris", **where)
expected = list(model.predict(rows[:5]))
seen["loaded"] = list(mlflow.pyfunc.load_model("models:/iris/1").predict(rows[:5])) == expected
client.set_registered_model_alias("iris", "champion", "1")
seen["by alias"] = list(mlflow.pyfunc.load_model("models:/iris@champion").predict(rows[:5])) == expected
client.transition_model_version_stage("iris", "1", "Production")
seen["stage"] = [each.version for each in client.get_latest_versions("iris", ["Production"])]
client.set_model_version_tag("iris", "1", "k", "v")
client.update_model_version("iris", "1", "described")
client.set_registered_model_tag("iris", "t", "u")
version = client.get_model_version("iris", "1")
seen["version"] = [version.tags, version.description, list(version.aliases), version.run_id == maker.info.run_id, version.status]
seen["registry"] = [[m.name for m in client.search_registered_models("name LIKE 'ir%'")], len(client.search_model_versions("name='iris'"))]
seen["twice"] = refused(lambda: client.create_registered_model("iris"))
if is_three:
    (found,) = mlflow.search_logged_models(experiment_ids=by, output_format="list")
    seen["logged model"] = [found.name, str(found.status), found.source_run_id == maker.info.run_id]
if is_three:
    loss = {"run_id": maker.info.run_id, "model_id": found.model_id, "dataset_name": "loans", "dataset_digest": "d1"}
    client.log_metric(key="auc", value=0.5, step=0, **loss)
    client.log_metric(key="auc", value=0.9, step=1, **loss)
    again = mlflow.get_logged_model(found.model_id)
    seen["model metrics"] = [(each.key, each.value, each.step, each.dataset_name) for each in again.metrics]
    by_metric = {"experiment_ids": by, "output_format": "list"}
    seen["by model metric"] = [
        len(mlflow.search_logged_models(filter_string=text, **by_metric)) for text in ("metrics.auc > 0.8", "metrics.auc < 0.8")
    ]
client.delete_registered_model_alias("iris", "champion")
client.delete_model_version("iris", "1")
client.delete_registered_model("iris")
seen["gone"] = len(client.search_registered_models())
sys.stdout.write("SEEN " + json.dumps(seen) + "\n")
