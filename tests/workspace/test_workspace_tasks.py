"""Numbers and classes all the way: trained, searched, judged, compared, explained, packed, reproduced."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_tasks import CUT, ENDS, ENDS_FILE, HOURS, START, add_visits, write_task

from sampan.errors import ParameterError, StepFailed
from sampan.workspace.models.judging import task_of_model
from sampan.workspace.models.predictors import PackagePredictor, open_predictor
from sampan.workspace.workspace import Workspace

REQUEST = {"visit": 1, "at": START, "ward": "north", "x1": 1.0, "x2": None}


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path) as workspace:
        add_visits(workspace)
        yield workspace


def trained(ws: Workspace, text: str, **options: Any) -> str:
    file = write_task(ws.root, text, name=f"train_{hashlib.sha256(text.encode()).hexdigest()[:8]}.py")  # a file is imported once a process
    return ws.model.train(file, **{"trials": 1, "until": CUT, **options}).model.ref


def opened(ws: Workspace, ref: str) -> PackagePredictor:
    return open_predictor(ws.model.package_path(ws.model.pack(ref).package))


@pytest.mark.slow
def test_a_model_of_numbers_goes_all_the_way(ws: Workspace) -> None:
    made = ws.model.train(write_task(ws.root, HOURS), trials=3, until=CUT)
    ref = made.model.ref

    reported = ws.model.evaluate(ref)
    gated = ws.model.gate(ref)
    predictor = opened(ws, ref)

    assert "numbers are not judged for wrong ones" in made.label_health
    assert ["rmse", "mae", "cost"] == [each.metric for each in made.baseline.differences]
    assert 3 < reported.metrics["rmse"].value < 4.5  # the noise that was drawn is 3
    assert reported.metrics["rmse"].value < reported.metrics["rmse_if_naive"].value
    assert ["5", "25", "50", "75", "95"] == sorted(reported.residuals, key=float)
    assert "truth minus answer: 5 % -" in reported.text()
    assert {"north", "south"} == {each["group"] for each in reported.slices["ward"]}
    assert gated.passed, gated.reasons
    assert ("regression", ()) == (predictor.manifest.task.kind, predictor.manifest.task.classes)
    assert predictor.manifest.served_by == "onnx"
    assert 20 + 5 + 4 == pytest.approx(predictor.predict([REQUEST])[0], abs=4)
    assert ws.model.verify(ref).passed
    assert "bit-equal" == ws.home.reproduce(ref).verdict


@pytest.mark.slow
def test_a_model_of_classes_goes_all_the_way(ws: Workspace) -> None:
    made = ws.model.train(write_task(ws.root, ENDS_FILE), trials=3, until=CUT)
    ref = made.model.ref

    reported = ws.model.evaluate(ref)
    gated = ws.model.gate(ref)
    predictor = opened(ws, ref)
    (chances,) = predictor.predict([REQUEST])

    assert "of those of 2013-01 look wrong" in made.label_health
    assert ["log_loss", "accuracy", "macro_auc", "cost"] == [each.metric for each in made.baseline.differences]
    assert 0.7 < reported.metrics["macro_auc"].value < 0.9
    assert list(ENDS) == [each.name for each in reported.classes]
    assert "recall" in reported.text()
    assert gated.passed, gated.reasons
    assert ("multiclass", ENDS) == (predictor.manifest.task.kind, predictor.manifest.task.classes)
    assert ((3,), pytest.approx(1.0)) == (chances.shape, chances.sum())
    assert chances.argmax() == ENDS.index("other ward")
    assert ws.model.verify(ref).passed
    assert "bit-equal" == ws.home.reproduce(ref).verdict


@pytest.mark.slow
@pytest.mark.parametrize(("text", "metric"), [(HOURS, "mae"), (ENDS_FILE, "macro_auc")], ids=["numbers", "classes"])
def test_the_gain_between_two_models_is_explained_in_any_metric(ws: Workspace, text: str, metric: str) -> None:
    before = trained(ws, text)
    after = trained(ws, text, until="2013-02-05")

    found = ws.home.why(before, after, metric=metric)
    compared = ws.model.compare(after, before)

    assert ["rows added"] == [axis.name for axis in found.axes]
    assert found.gain.value == pytest.approx(sum(axis.share.value for axis in found.axes), abs=1e-9)
    assert found.n_rows == compared.n_rows
    loss = compared.differences[0]
    fitted_again = ws.home.why(before, after)
    graphs = (loss.champion, loss.candidate)  # of float32
    assert graphs == pytest.approx((fitted_again.value_before, fitted_again.value_after), abs=1e-6)
    with pytest.raises(ParameterError, match="auc cannot be explained of a"):
        ws.home.why(before, after, metric="auc")


@pytest.mark.slow
def test_a_search_is_led_by_the_metric_that_is_asked_for(ws: Workspace) -> None:
    file = write_task(ws.root, ENDS_FILE)

    by_auc = ws.model.tune(file, trials=4, until=CUT, toward=["macro_auc", "log_loss"], sampler="random", nested=1)
    by_loss = ws.model.tune(file, trials=4, until=CUT, sampler="random")

    assert 0.5 < by_auc.best.values["macro_auc"] < 1
    assert by_auc.best.values["log_loss"] >= by_loss.best.values["loss"]
    assert "mean AUC of the classes 0." in by_auc.text()
    assert "log loss 0." in by_loss.text()
    assert {"log_loss", "accuracy", "cost"} == set(by_auc.nested[0].others)
    with pytest.raises(ParameterError, match="no objective 'rmse' of a multiclass task"):
        ws.model.tune(file, trials=1, until=CUT, toward=["rmse"])


@pytest.mark.slow
def test_a_class_that_comes_late_is_learned_by_folds_that_never_saw_it(ws: Workspace) -> None:
    frame = pl.read_parquet(ws.root / "visits.parquet")
    # A class of its own from the third week on: earlier folds know three classes, the model four.
    late = (pl.col("at") > START + 20 * 86_400_000) & (pl.col("x1") > 1.2)
    frame.with_columns(end=pl.when(late).then(pl.lit("abroad")).otherwise("end")).write_parquet(ws.root / "visits.parquet")
    ws.data.add(ws.root / "visits.parquet", name="visits")
    text = ENDS_FILE.replace("kpi=worth, ", "")

    ref = trained(ws, text)

    assert ("abroad", *ENDS) == task_of_model(ws.catalog.resolve(ref, kind="model")).classes
    assert ws.model.evaluate(ref).metrics["accuracy"].value > 0.5


@pytest.mark.slow
def test_models_that_know_other_classes_are_compared_over_all_of_them(ws: Workspace) -> None:
    text = ENDS_FILE.replace("kpi=worth, ", "")
    old = trained(ws, text)
    frame = pl.read_parquet(ws.root / "visits.parquet")
    frame.with_columns(end=pl.when(pl.col("x1") > 1.2).then(pl.lit("abroad")).otherwise("end")).write_parquet(ws.root / "visits.parquet")
    ws.data.add(ws.root / "visits.parquet", name="visits")
    new = trained(ws, text)

    found = {each.metric: each for each in ws.model.compare(new, old).differences}

    assert "better" == found["log_loss"].verdict
    assert found["log_loss"].champion > 1  # to a tenth of the rows it could not give any chance
    assert ws.model.evaluate(old).metrics["log_loss"].value == pytest.approx(found["log_loss"].champion)


@pytest.mark.slow
def test_what_a_training_function_answers_otherwise_is_told(ws: Workspace) -> None:
    of_classes = '"objective": "multiclass", "num_class": int(labels.max()) + 1'
    two = HOURS.replace("return lightgbm", "labels = labels > 20; return lightgbm")
    for text, told in (
        (ENDS_FILE.replace(of_classes, '"objective": "regression"'), r"one probability for each class.*have the shape \(\d+,\)"),
        (two.replace('"regression"', '"multiclass", "num_class": 3'), "one finite number per row"),
    ):
        with pytest.raises(StepFailed, match=told):
            trained(ws, text)


def test_what_the_objective_asks_and_the_labels_do_not_give_is_refused(ws: Workspace) -> None:
    binary = HOURS.replace('metric="rmse", at_most=5', 'metric="auc", at_least=0.6').replace("over=-1, under=-2", "fp=-1, fn=-2")
    by_mean = ENDS_FILE.replace("ends_view", "hours_view").replace("kpi=worth, ", "")
    few = ENDS_FILE.replace('"transfer": {"home": -9, "other ward": -2}', '"transfer": {"home": -9}')
    for text, told in (
        (binary, "neither 0 nor 1, such as"),
        (by_mean, "is not a whole number"),
        (few, "'transfer' taken for 'other ward' is not valued"),
        (HOURS.replace("hours_view", "ends_view"), "text, such as 'home', and the objective asks for a number"),
    ):
        with pytest.raises(ParameterError, match=told):
            trained(ws, text)


def test_features_encoded_by_the_mean_of_a_class_are_refused(ws: Workspace) -> None:
    frame = pl.read_parquet(ws.root / "visits.parquet").with_columns(hours=pl.Series(np.arange(2700) % 4, dtype=pl.Float64))
    frame.write_parquet(ws.root / "visits.parquet")
    ws.data.add(ws.root / "visits.parquet", name="visits")

    with pytest.raises(ParameterError, match="ward_hours of view 'hours-view' are encoded by the mean label"):
        trained(ws, ENDS_FILE.replace("ends_view", "hours_view").replace("kpi=worth, ", ""))


@pytest.mark.slow
def test_rows_of_one_moment_are_fitted_again_in_the_order_in_which_they_came(ws: Workspace) -> None:
    quarter, day = 21_600_000, 86_400_000
    frame = pl.read_parquet(ws.root / "visits.parquet").with_columns(at=pl.col("at") // quarter * quarter)
    # Every other label is known a month late: the second training learns of them between rows that the first knew.
    known = pl.when(pl.col("visit") % 2 == 0).then(30 * day).otherwise(day // 2)
    frame.with_columns(done=pl.col("at") + known).write_parquet(ws.root / "visits.parquet")
    ws.data.add(ws.root / "visits.parquet", name="visits")
    bagged = HOURS.replace('"objective": "regression"', '"objective": "regression", "bagging_fraction": 0.5, "bagging_freq": 1')
    before, after = (trained(ws, bagged, until=until) for until in ("2013-01-25", "2013-02-10"))

    why, compared = ws.home.why(before, after), ws.model.compare(after, before).differences[0]

    assert (compared.champion, compared.candidate) == pytest.approx((why.value_before, why.value_after), abs=1e-6)
