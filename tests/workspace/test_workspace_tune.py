"""`sampan model tune`: real searches, here and in worker processes, killed and taken up again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_training import CUT, add_orders, write_training

from sampan.errors import NotFound, ParameterError, StepFailed
from sampan.workspace.training.training import load_trainer
from sampan.workspace.workspace import Workspace

TWO_KINDS = """
@sp.train(name="orders-late", features=orders_view, objective=goal)
def fit(features, labels, *, kind=sp.choice("trees", "line"), leaves=sp.ints(3, 12, when={"kind": "trees"}),
        strength=sp.logs(0.001, 1.0, when={"kind": "line"}), seed=0):
    if kind == "trees":
        params = {"objective": "binary", "verbose": -1, "num_threads": 1, "num_leaves": leaves, "seed": seed}
        return lightgbm.train(params, lightgbm.Dataset(features, labels), 5)
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.impute import SimpleImputer
    return make_pipeline(SimpleImputer(), LogisticRegression(C=strength)).fit(features, labels)
"""


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = Workspace.open(tmp_path)
    add_orders(ws)
    return ws


def finished_trials(ws: Workspace) -> dict[str, str]:
    """Return the ids of finished trial runs by their title."""
    rows = ws.catalog.runs(experiment="orders-late", state="finished")
    return {row.node.id: row.title for row in rows if row.title.startswith("trial ")}


def model_id(ws: Workspace, ref: str) -> str:
    return ws.catalog.resolve(ref, kind="model").id


@pytest.mark.slow
def test_a_study_searches_two_algorithms_is_remembered_and_trained_from(ws: Workspace) -> None:
    file = write_training(ws.root, TWO_KINDS)

    first = ws.model.tune(file, trials=14, until=CUT)
    again = ws.model.tune(file, trials=14, until=CUT)
    longer = ws.model.tune(file, trials=16, until=CUT, start=[first.study])
    model = ws.model.train(file, trials=1, until=CUT, like=first.study).model

    assert (14, 0, 14) == (first.n_trials, first.n_remembered, again.n_remembered)
    assert (first.study, first.best) == (again.study, again.best)
    assert f"--like {first.study}" in first.next[0]
    assert "kind" == first.mattered[0].name or first.mattered[0].overall
    assert set(first.best.params) == ({"kind", "leaves"} if first.best.params["kind"] == "trees" else {"kind", "strength"})
    assert longer.best.values["loss"] <= first.best.values["loss"]
    assert (first.best, first.mattered) == (ws.model.study("orders-late@v1").best, ws.model.study(first.study).mattered)
    trained = ws.catalog.resolve(model.ref, kind="model").facts["params"]
    assert first.study.removeprefix("study:") in {
        ws.catalog.node(edge.src).ref for edge in ws.catalog.edges_to(model_id(ws, model.ref)) if edge.role == "input"
    }
    assert first.best.params == {name: trained[name] for name in first.best.params}
    assert {ws.catalog.node(edge.src).kind for edge in ws.catalog.edges_to(ws.catalog.resolve(first.study, kind="study").id)} == {
        "run",
        "dataset",
    }


@pytest.mark.slow
def test_several_objectives_pruning_a_time_limit_and_later_spans(ws: Workspace) -> None:
    file = write_training(ws.root, TWO_KINDS)

    weighed = ws.model.tune(file, trials=8, until=CUT, toward=["loss", "latency", "size"], sampler="nsga2")
    pruned = ws.model.tune(file, trials=12, until=CUT, folds=3, pruner="halving", nested=2)
    hasty = ws.model.tune(file, trials=500, until=CUT, minutes=0.01, seed=4)

    assert {"loss", "latency", "size"} == set(weighed.best.values)
    assert weighed.best in weighed.front
    assert min(each.values["size"] for each in weighed.front) > 0
    assert pruned.n_pruned > 0
    assert [True, True] == [0.5 < span.others["auc"] < 1 and span.n_rows > 0 for span in pruned.nested]
    assert pruned.nested[0].begins < pruned.nested[1].begins
    assert 0 < hasty.n_trials < 500
    for found in (weighed, pruned, hasty):
        assert found.study in found.text()


SHOWN = """
@sp.train(name="orders-late", features=orders_view, objective=goal)
def fit(features, labels, *, rate=sp.logs(0.0001, 0.5), leaves=sp.ints(2, 8), seed=0):
    params = {"objective": "binary", "verbose": -1, "num_threads": 1, "num_leaves": leaves, "learning_rate": rate, "seed": seed}
    return lightgbm.train(params, lightgbm.Dataset(features, labels), 40, callbacks=[sp.checkpoint.lightgbm()])
"""


@pytest.mark.slow
def test_fits_are_stopped_on_the_way_here_and_in_workers_alike_and_their_points_are_kept(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_training(ws.root, SHOWN)
    monkeypatch.setattr("sampan.workspace.training.fitting._AT_A_GLANCE", 100)  # the rows looked at on the way; folds have more

    plain = ws.model.tune(file, trials=12, until=CUT)
    pruned = ws.model.tune(file, trials=12, until=CUT, pruner="median")
    again = ws.model.tune(file, trials=12, until=CUT, pruner="median")
    apart = ws.model.tune(file, trials=12, until=CUT, pruner="median", workers=2)

    assert (0, pruned.study) == (plain.n_pruned, again.study)
    for found in (pruned, apart):
        trials = ws.catalog.resolve(found.study, kind="study").facts["trials"]
        stopped = [each for each in trials if len(each["curves"]) > len(each["steps"])]
        assert stopped, "no fit was stopped on the way"
        assert all(each["is_pruned"] and each["curves"][-1][-1][0] < 40 for each in stopped)
        fold = len(stopped[0]["steps"])
        (name,) = {
            each.key for each in ws.catalog.metrics(stopped[0]["run"]) if each.key.startswith("fit_") and each.key.endswith(f"_{fold}")
        }
        kept = ws.catalog.metric_history(stopped[0]["run"], name)
        assert [list(point) for point in zip(kept.steps, kept.values, strict=True)] == stopped[0]["curves"][-1]


@pytest.mark.slow
def test_a_killed_search_by_two_workers_loses_no_trial_and_runs_none_twice(ws: Workspace) -> None:
    file = write_training(ws.root, TWO_KINDS)
    command = [sys.executable, "-m", "sampan", "model", "tune", str(file), "--trials", "10", "--workers", "2", "--until", CUT]
    with subprocess.Popen(command, cwd=ws.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as search:
        until = time.monotonic() + 60
        while len(finished_trials(ws)) < 4:
            assert time.monotonic() < until
            assert search.poll() is None
            time.sleep(0.02)
        search.send_signal(signal.SIGKILL)
    before = finished_trials(ws)

    resumed = subprocess.run(command, cwd=ws.root, capture_output=True, text=True)

    assert 0 == resumed.returncode, resumed.stderr
    facts = ws.catalog.resolve("orders-late", kind="study").facts
    assert list(range(10)) == [trial["number"] for trial in facts["trials"]]
    kept = {trial["run"] for trial in facts["trials"]}
    assert 10 == len(kept)
    assert kept == set(finished_trials(ws))
    assert set(before) <= kept
    assert not list(ws.catalog.runs(experiment="orders-late", state="running"))


@pytest.mark.slow
def test_a_trial_that_fails_is_told_and_the_search_goes_on_unless_all_fail(ws: Workspace) -> None:
    fails = TWO_KINDS.replace('if kind == "trees":', 'if kind == "trees":\n        raise ValueError("no trees today")')
    always = TWO_KINDS.replace('if kind == "trees":', 'if kind:\n        raise ValueError("never")\n    if kind == "trees":')

    found = ws.model.tune(write_training(ws.root, fails), trials=12, until=CUT)
    again = ws.model.tune(write_training(ws.root, fails), trials=12, until=CUT)

    assert "line" == found.best.params["kind"]
    assert 0 < len(found.failures) < 12
    assert "no trees today" in found.failures[0]
    assert (found.study, 12) == (again.study, again.n_remembered)
    assert f"{len(found.failures)} failed" in found.text()
    with pytest.raises(StepFailed, match=r"the first 3 trials failed.*never"):
        ws.model.tune(write_training(ws.root, always, name="always.py"), trials=12, until=CUT)
    with pytest.raises(StepFailed, match=r"^fit raised ValueError: never"):
        ws.model.train(write_training(ws.root, always, name="always.py"), trials=12, until=CUT)


def test_options_that_cannot_be_meant_so_are_told_at_once(ws: Workspace) -> None:
    file = write_training(ws.root, TWO_KINDS)

    with pytest.raises(ParameterError, match=r"no objective 'speed'.*first objective is the loss.*0 folds.*--nested"):
        ws.model.tune(file, toward=["speed"], folds=0, nested=-1)
    with pytest.raises(ParameterError, match="one objective only"):
        ws.model.tune(file, toward=["loss", "size"], pruner="median")
    with pytest.raises(NotFound, match="orders-late"):
        ws.model.tune(file, start=["study:orders-late"])


def test_a_condition_on_what_is_not_searched_before_is_refused(ws: Workspace) -> None:
    text = TWO_KINDS.replace('when={"kind": "trees"}', 'when={"sort": "trees"}').replace('when={"kind": "line"}', 'when={"kind": "lines"}')

    with pytest.raises(ParameterError, match=r"no space 'sort' is written before it.*kind is 'lines', which it never is"):
        load_trainer(write_training(ws.root, text))
