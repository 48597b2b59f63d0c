"""What a user of MLflow's evaluation datasets and trace filters does, by the real client; prints what it saw as JSON."""

import contextlib
import json
import math
import sys

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.genai import datasets

seen: dict[str, object] = {}
mlflow.set_tracking_uri(sys.argv[1])
experiment = mlflow.set_experiment("judged").experiment_id
other = mlflow.MlflowClient().create_experiment("judged too")
client = mlflow.MlflowClient()


def refused(call):
    try:
        call()
    except MlflowException as fault:
        return fault.error_code
    return "nothing"


made = datasets.create_dataset(name="questions", experiment_id=experiment, tags={"team": "risk", "mlflow.user": "an"})
seen["made"] = [made.name, made.tags["team"], made.experiment_ids == [experiment], made.schema, made.profile, made.created_by]
made.merge_records(
    [
        {"inputs": {"question": "what is a sail"}, "expectations": {"answer": "cloth"}, "tags": {"level": "easy"}},
        {"inputs": {"question": "what is a keel", "n": 2}},
    ]
)
made.merge_records([{"inputs": {"question": "what is a sail"}, "expectations": {"long": True}, "outputs": {"said": "cloth"}}])
found = datasets.get_dataset(dataset_id=made.dataset_id)
seen["schema"], seen["profile"] = json.loads(found.schema), json.loads(found.profile)
seen["digest changed"] = found.digest != made.digest
table = found.to_df().sort_values("dataset_record_id").sort_values("inputs", key=lambda column: column.map(str))
seen["records"] = [[row.inputs, row.outputs, row.expectations, row.tags.get("level"), row.source_type] for row in table.itertuples()]

for n in range(3):
    datasets.create_dataset(name=f"more {n}", experiment_id=other, tags={"n": str(n)})
names = lambda **given: [each.name for each in datasets.search_datasets(**given)]  # noqa: E731
seen["of one experiment"] = names(experiment_ids=[experiment])
seen["by name"] = sorted(names(filter_string="name LIKE 'more%' AND tags.n != '1'"))
seen["ordered"] = names(experiment_ids=[other], order_by=["name DESC"])
seen["paged"] = len(datasets.search_datasets(experiment_ids=[experiment, other], max_results=2))
seen["bad filter"] = refused(lambda: names(filter_string="nosuch = 'x'"))

datasets.set_dataset_tags(dataset_id=made.dataset_id, tags={"team": "pricing", "new": "1"})
datasets.delete_dataset_tag(dataset_id=made.dataset_id, key="new")
seen["tags"] = {name: value for name, value in datasets.get_dataset(dataset_id=made.dataset_id).tags.items() if "." not in name}
datasets.add_dataset_to_experiments(dataset_id=made.dataset_id, experiment_ids=[other])
seen["added"] = sorted(names(experiment_ids=[other]))
datasets.remove_dataset_from_experiments(dataset_id=made.dataset_id, experiment_ids=[other])
seen["removed"] = sorted(names(experiment_ids=[other]))
seen["no experiment"] = refused(lambda: datasets.add_dataset_to_experiments(dataset_id=made.dataset_id, experiment_ids=["987"]))

again = datasets.get_dataset(dataset_id=made.dataset_id)
keel = next(each.dataset_record_id for each in again.to_df().itertuples() if "keel" in each.inputs["question"])
seen["deleted"] = [again.delete_records([keel, "none"]), len(datasets.get_dataset(dataset_id=made.dataset_id).to_df())]
datasets.delete_dataset(dataset_id=made.dataset_id)
seen["gone"] = refused(lambda: datasets.get_dataset(dataset_id=made.dataset_id))
seen["gone twice"] = refused(lambda: datasets.delete_dataset(dataset_id=made.dataset_id))
seen["left"] = names(experiment_ids=[experiment])


@mlflow.trace
def answer(question):
    if "keel" in question:
        raise ValueError(question)
    return question


for n in range(6):
    with contextlib.suppress(ValueError):
        answer(f"keel {n}" if n % 3 == 0 else f"sail {n}")
mlflow.flush_trace_async_logging()
for each in mlflow.search_traces(locations=[experiment], return_type="list"):
    mlflow.set_trace_tag(each.info.trace_id, "ship", f"No {each.data.spans[0].inputs['question'].split()[-1]}")
by = lambda text: sorted(  # noqa: E731
    each.info.tags["ship"] for each in mlflow.search_traces(locations=[experiment], return_type="list", filter_string=text)
)
seen["rlike"] = by("tags.ship RLIKE '^No [2-4]$'")
seen["rlike anywhere"] = by("tags.ship RLIKE '[05]'")
seen["hostile"] = by("tags.ship RLIKE '^(o+)+$'")
seen["bad pattern"] = refused(lambda: by("tags.ship RLIKE '[0'"))
store = client._tracking_client.store
pairs = {"same": ("trace.status = 'ERROR'", "trace.status = 'ERROR'"), "apart": ("trace.status = 'ERROR'", "trace.status = 'OK'")}
pairs["half"] = ("trace.status = 'ERROR'", "tags.ship RLIKE '[0-2]'")
pairs["none"] = ("trace.status = 'ERROR'", "tags.ship = 'x'")
for name, pair in pairs.items():
    told = store.calculate_trace_filter_correlation([experiment], *pair)
    figures = [told.npmi, told.npmi_smoothed]
    seen[f"correlation {name}"] = [
        *(None if each is None or math.isnan(each) else round(each, 12) for each in figures),
        *(told.filter1_count, told.filter2_count, told.joint_count, told.total_count),
    ]
sys.stdout.write("SEEN " + json.dumps(seen) + "\n")
