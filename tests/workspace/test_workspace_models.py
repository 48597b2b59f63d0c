"""The model room on a small real training: every stage, and every way in which it says no."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_training import CUT, FIT, HEAD, add_orders, write_training

from sampan.errors import GateRejected, NotFound, ParameterError, StepFailed, Unsupported
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow  # each trains a few small models


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path) as workspace:
        add_orders(workspace)
        yield workspace


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_training(tmp_path)


def kinds(ws: Workspace) -> list[str]:
    return sorted(node.kind for node in ws.catalog.nodes(limit=1000))


def test_training_makes_a_model_a_report_and_a_run_of_trials_that_lead_back_to_the_data(ws: Workspace, file: Path) -> None:
    answer = ws.model.train(file, trials=3, until=CUT)

    above = ws.catalog.lineage(ws.catalog.resolve("orders-late", kind="model").id)
    assert {"model", "run", "dataset"} == {node.kind for node in above.nodes}
    assert 4 == kinds(ws).count("run")
    assert 1 == kinds(ws).count("report")
    assert not answer.cached
    assert answer.metrics["auc"].value > 0.7
    assert answer.model.ref == "orders-late@v1"
    assert "better" not in answer.baseline.of("log_loss").verdict  # the truth is logistic: trees cannot beat the baseline


def test_training_again_with_nothing_changed_makes_nothing_new(ws: Workspace, file: Path) -> None:
    first = ws.model.train(file, trials=2, until=CUT)
    before = kinds(ws)

    again = ws.model.train(file, trials=2, until=CUT)

    assert again.cached
    assert (first.model.ref, first.run) == (again.model.ref, again.run)
    assert before == kinds(ws)


def test_a_changed_objective_trains_anew_and_re_uses_the_trials(ws: Workspace, tmp_path: Path) -> None:
    first = write_training(tmp_path)
    (folder := tmp_path / "later").mkdir()
    second = folder / first.name  # a file is imported once a process, so the changed one lies elsewhere
    second.write_text((HEAD + FIT).replace("at_least=0.6", "at_least=0.99"), encoding="utf-8")
    ws.model.train(first, trials=3, until=CUT)

    answer = ws.model.train(second, trials=3, until=CUT)

    assert not answer.cached
    assert 3 == sum(row.parent is not None for row in ws.catalog.runs(limit=100))
    assert ["metric_missed"] == [reason.partition(":")[0] for reason in ws.model.gate(answer.model.ref).reasons]


def test_nothing_known_after_the_cut_is_learned_from(ws: Workspace, file: Path) -> None:
    ws.model.train(file, trials=1, until=CUT)

    facts = ws.catalog.resolve("orders-late", kind="model").facts
    # Orders are done half a day after they came: those of the last half day had no label yet.
    assert 31 * 200 - 100 == pytest.approx(facts["n_rows"], abs=2)


def test_a_training_killed_with_signal_9_goes_on_where_it_was(ws: Workspace, tmp_path: Path) -> None:
    counter = tmp_path / "fits"
    dying = f"""
import os, signal
from pathlib import Path
COUNTER = Path({str(counter)!r})
""" + FIT.replace(
        "    params =",
        """    with COUNTER.open("a") as log:
        log.write(f"{num_leaves} {learning_rate:.6f}\\n")
    if os.environ.get("DIE_AT") == str(len(COUNTER.read_text().splitlines())):
        os.kill(os.getpid(), signal.SIGKILL)
    params =""",
        1,
    )
    file = write_training(tmp_path, dying)
    ws.close()
    call = f"sp.open({str(tmp_path)!r}).model.train(Path({str(file)!r}), trials=4, until={CUT!r})"
    command = [sys.executable, "-c", f"from pathlib import Path; import sampan as sp; {call}"]
    dead = subprocess.run(command, env={"DIE_AT": "6", "PATH": "", "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert -9 == dead.returncode, dead.stderr
    with Workspace.open(tmp_path) as again:
        answer = again.model.train(file, trials=4, until=CUT)
        runs = again.catalog.runs(limit=100)
    fits = counter.read_text().splitlines()
    (fresh := tmp_path / "fresh").mkdir()
    with Workspace.open(fresh) as whole:
        add_orders(whole)
        uninterrupted = whole.model.train(file, trials=4, until=CUT)

    # Two folds a trial: the third trial died in its second fold, and the first two were not run again.
    assert not set(fits[:4]) & set(fits[6:10])
    assert ["finished"] * 4 == [row.state for row in runs if row.parent is not None and row.state != "killed"]
    assert 2 == sum(row.state == "killed" for row in runs)
    assert uninterrupted.params == answer.params
    assert uninterrupted.metrics == answer.metrics


def test_a_first_model_passes_its_gate_and_becomes_champion(ws: Workspace, file: Path) -> None:
    model = ws.model.train(file, trials=1, until=CUT).model.ref

    decision = ws.model.gate(model)
    promoted = ws.model.promote(model)

    assert decision.passed, decision.reasons
    assert {"label_noise", "online_differs", "gap_too_wide", "too_slow", "no_value"} <= {check.code for check in decision.checks}
    assert (True, "") == (promoted.moved, promoted.before)
    assert not ws.model.promote(model).moved
    assert 0 == decision.exit_code()


def test_a_model_that_was_never_judged_is_not_promoted(ws: Workspace, file: Path) -> None:
    model = ws.model.train(file, trials=1, until=CUT).model.ref

    with pytest.raises(GateRejected) as refusal:
        ws.model.promote(model)

    assert ("no_decision: never judged",) == refusal.value.reasons
    assert {} == ws.catalog.aliases("model", "orders-late")


def test_a_decision_against_another_champion_is_stale(ws: Workspace, file: Path) -> None:
    first = ws.model.train(file, trials=1, until="2013-01-25").model.ref
    second = ws.model.train(file, trials=1, until=CUT).model.ref
    ws.model.gate(first)
    ws.model.gate(second)
    ws.model.promote(first)

    with pytest.raises(GateRejected) as refusal:
        ws.model.promote(second)

    assert "stale_decision" in refusal.value.reasons[0]


def test_a_candidate_meets_the_champion_on_rows_that_neither_learned_from(ws: Workspace, file: Path) -> None:
    champion = ws.model.train(file, trials=1, until="2013-01-25").model.ref
    ws.model.gate(champion)
    ws.model.promote(champion)
    worse = ws.model.train(file, trials=1, until=CUT, params={"rounds": "1", "num_leaves": "4"}).model.ref

    decision = ws.model.gate(worse)

    assert "log_loss_not_better" in {reason.partition(":")[0] for reason in decision.reasons}
    assert champion == decision.champion
    assert 3 == decision.exit_code()
    compared = ws.model.compare(worse, champion)
    assert "worse" == next(d for d in compared.differences if d.metric == "log_loss").verdict
    assert 14 * 200 == pytest.approx(compared.n_rows, abs=101)


def test_a_candidate_without_new_rows_is_refused_for_that_reason(ws: Workspace, file: Path) -> None:
    first = ws.model.train(file, trials=1, until=CUT).model.ref
    ws.model.gate(first)
    ws.model.promote(first)
    second = ws.model.train(file, trials=1).model.ref

    assert "not_compared" in {reason.partition(":")[0] for reason in ws.model.gate(second).reasons}


def test_force_needs_a_reason_and_is_recorded(ws: Workspace, file: Path) -> None:
    model = ws.model.train(file, trials=1, until=CUT).model.ref

    with pytest.raises(ParameterError, match="needs a reason"):
        ws.model.promote(model, force=True)
    with pytest.raises(ParameterError, match="no effect"):
        ws.model.promote(model, reason="I like it")
    promoted = ws.model.promote(model, force=True, reason="the old one is on fire")

    (event,) = ws.catalog.events(type="gate_overridden")
    assert promoted.forced
    assert ("the old one is on fire", ["no_decision: never judged"]) == (event.body["why"], event.body["reasons"])


def test_a_candidate_whose_newest_batch_has_flipped_labels_is_refused_by_name(ws: Workspace, file: Path) -> None:
    add_orders(ws, name="clean", sharp=3)
    add_orders(ws, name="flipped", sharp=3, flip_from_day=31)
    fitted = {"rounds": "150", "num_leaves": "8", "learning_rate": "0.1"}  # scores of a hardly fitted model are never sure enough
    clean = ws.model.train(file, params=fitted, data={"orders": "clean"}).model.ref
    flipped = ws.model.train(file, params=fitted, data={"orders": "flipped"}).model.ref

    assert "label_noise" not in {reason.partition(":")[0] for reason in ws.model.gate(clean).reasons}
    assert "label_noise" in {reason.partition(":")[0] for reason in ws.model.gate(flipped).reasons}


def test_parameters_of_another_model_are_taken_over_without_a_search(ws: Workspace, file: Path) -> None:
    first = ws.model.train(file, trials=3, until="2013-01-25")

    again = ws.model.train(file, trials=3, until=CUT, like=first.model.ref)

    assert first.params == again.params
    assert 4 == sum(row.parent is not None for row in ws.catalog.runs(limit=100))


def test_rows_a_model_learned_from_are_no_ground_to_judge_it(ws: Workspace, file: Path) -> None:
    model = ws.model.train(file, trials=1, until=CUT).model.ref

    with pytest.raises(ParameterError, match="learned from"):
        ws.model.evaluate(model, until="2013-01-20")
    report = ws.model.evaluate(model, since="2013-01-01")

    assert report.since >= "2013-01-31"
    assert set(report.slices) == {"shop"}


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", NotFound, "declares no training function"),
        ("raise RuntimeError('broken')", StepFailed, "RuntimeError: broken"),
        (FIT + FIT.replace("orders-late", "other"), ParameterError, "orders-late"),
        (FIT.replace("rounds=25", "rounds=[1]"), StepFailed, "neither a search space nor a plain value"),
        (FIT.replace("features, labels", "features"), ParameterError, "is given two"),
        (FIT.replace("    return lightgbm.train", "    lightgbm.train"), StepFailed, "returned nothing"),
        (FIT.replace("    params =", "    1 / 0\n    params ="), StepFailed, "ZeroDivisionError"),
        (FIT.replace("    params =", '    return "model"\n    params ='), Unsupported, "no flavor knows a builtins.str"),
        (FIT.replace('"objective": "binary"', '"objective": "regression_l1"'), StepFailed, "one probability per row"),
    ],
    ids=[
        "no function",
        "raises on import",
        "two trainers",
        "odd default",
        "one argument",
        "returns nothing",
        "raises",
        "odd model",
        "no probability",
    ],
)
def test_a_faulty_training_file_is_named_in_one_clear_error(
    ws: Workspace, tmp_path: Path, text: str, error: type[Exception], words: str
) -> None:
    file = write_training(tmp_path, text)
    if text.count("@sp.train") == 2:
        file.write_text(file.read_text(encoding="utf-8").replace("def fit", "def fit_one", 1), encoding="utf-8")
    expected = (error, ParameterError) if error is StepFailed else error

    with pytest.raises(expected, match=words):
        ws.model.train(file, trials=1, until=CUT)


def test_a_missing_file_unknown_parameters_and_odd_dates_are_refused(ws: Workspace, file: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        ws.model.train(tmp_path / "nothing.py")
    with pytest.raises(ParameterError, match=r"no parameter 'num_leafs', did you mean num_leaves.*learning_rate=fast"):
        ws.model.train(file, params={"num_leafs": "3", "learning_rate": "fast"})
    with pytest.raises(ParameterError, match="not within 4 to 16"):
        ws.model.train(file, params={"num_leaves": "99"})
    with pytest.raises(ParameterError, match="no date"):
        ws.model.train(file, until="tomorrow")
    with pytest.raises(ParameterError, match="0 trials"):
        ws.model.train(file, trials=0)
    with pytest.raises(ParameterError, match="reads no table 'order'"):
        ws.model.train(file, data={"order": "orders"})


def test_too_few_rows_and_labels_of_one_class_are_refused(ws: Workspace, file: Path) -> None:
    add_orders(ws, name="never-late", late=0.0)
    with pytest.raises(ParameterError, match="too few to train"):
        ws.model.train(file, until="2013-01-01T12:00Z")
    with pytest.raises(ParameterError, match="rows have the label 0; there is nothing to learn"):
        ws.model.train(file, data={"orders": "never-late"})
    assert "model" not in kinds(ws)


def test_a_column_that_the_features_need_and_the_data_lacks_is_named(ws: Workspace, file: Path) -> None:
    frame = add_orders(ws).drop("x1")
    frame.write_parquet(ws.root / "narrow.parquet")
    ws.data.add(ws.root / "narrow.parquet")

    with pytest.raises(ParameterError, match="x1"):
        ws.model.train(file, data={"orders": "narrow"})


def test_infinite_features_are_taken_as_missing(ws: Workspace, file: Path) -> None:
    frame = add_orders(ws).with_columns(x1=pl.when(pl.col("order") % 7 == 0).then(float("inf")).otherwise("x1"))
    frame.write_parquet(ws.root / "infinite.parquet")
    ws.data.add(ws.root / "infinite.parquet")

    model = ws.model.train(file, trials=1, until=CUT, data={"orders": "infinite"})

    assert model.metrics["auc"].value > 0.7
    assert "graph within" in model.parity


def test_another_alias_than_champion_also_needs_a_passing_decision(ws: Workspace, file: Path) -> None:
    model = ws.model.train(file, trials=1, until=CUT).model.ref
    with pytest.raises(GateRejected):
        ws.model.promote(model, alias="staging")
    ws.model.gate(model)
    ws.model.promote(model)

    assert ws.model.promote(model, alias="staging").moved


def test_a_failed_training_is_a_failed_run_and_can_be_repeated(ws: Workspace, tmp_path: Path) -> None:
    broken = write_training(tmp_path, FIT.replace("    params =", "    1 / 0\n    params ="), name="broken.py")
    for _ in range(2):
        with pytest.raises(StepFailed) as failure:
            ws.model.train(broken, trials=1, until=CUT)

    assert "1 / 0" in failure.value.trace
    assert {"failed"} == {row.state for row in ws.catalog.runs(limit=10)}


def test_models_are_listed_and_shown_with_their_decision(ws: Workspace, file: Path) -> None:
    assert "No models yet." == ws.model.list().text()
    model = ws.model.train(file, trials=1, until=CUT).model.ref
    ws.model.gate(model)

    shown = ws.model.show("orders-late")

    assert [model] == [line.ref for line in ws.model.list().models]
    assert shown.decision is not None
    assert shown.decision.passed
    assert {"auc", "log_loss"} <= set(shown.report["metrics"])
    assert all(answer.text() for answer in (shown, ws.model.list(), ws.model.gate(model)))
    with pytest.raises(NotFound, match="order"):
        ws.model.show("order-late")
