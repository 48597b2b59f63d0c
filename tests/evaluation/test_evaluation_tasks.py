"""Numbers and classes judged: every figure beside scikit-learn's, and what cannot be asked told at once."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_pinball_loss,
    precision_score,
    r2_score,
    recall_score,
    roc_auc_score,
    root_mean_squared_error,
)

from sampan.errors import ParameterError
from sampan.evaluation.baseline import fit_baseline, naive_answer
from sampan.evaluation.calibration import number_calibration
from sampan.evaluation.gate import REASONS, Evidence, decide
from sampan.evaluation.metrics import PAIRED, REPORTED, Answered, figure, measure, point, row_losses
from sampan.evaluation.noise import label_health
from sampan.evaluation.objective import Objective, Value, check_worth, objective, value
from sampan.evaluation.paired import Paired, Scored, compare
from sampan.evaluation.report import Report, evaluate
from sampan.evaluation.task import UNKNOWN, Task, read_task
from sampan.stats.bootstrap import DAY_MS, Resampling

N, DAYS = 4000, 40
ANIMALS = Task("multiclass", ("bird", "cat", "dog"))
NUMBER = Task("regression")


def moments(n: int = N, seed: int = 0) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).integers(0, DAYS * DAY_MS, n))


def numbers(seed: int = 0, *, noise: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Truths around 20, and answers that are off by some noise."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(20, 5, N)
    return truth, truth + rng.normal(0.5, noise, N)


def classes(seed: int = 0, *, strength: float = 1.5, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Codes drawn by the very chances that are the scores."""
    rng = np.random.default_rng(seed)
    sums = strength * rng.normal(size=(n, 3)) + [1.0, 0.0, -0.5]
    chances = np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True)
    return (rng.random((n, 1)) > np.cumsum(chances, axis=1)).sum(axis=1).astype(float), chances


def resampling(n: int = N) -> Resampling:
    return Resampling.by_time(moments(n), np.random.default_rng(0), draws=400)


def test_metrics_of_numbers_equal_scikit_learns() -> None:
    truth, said = numbers()
    answered = Answered(truth, said, NUMBER, quantile=0.9)

    found = {name: point(name, answered) for name in ("rmse", "mae", "r2", "mape", "pinball", "bias")}

    assert found == pytest.approx(
        {
            "rmse": root_mean_squared_error(truth, said),
            "mae": mean_absolute_error(truth, said),
            "r2": r2_score(truth, said),
            "mape": mean_absolute_percentage_error(truth, said),
            "pinball": mean_pinball_loss(truth, said, alpha=0.9),
            "bias": (said - truth).mean(),
        }
    )


def test_metrics_of_classes_equal_scikit_learns() -> None:
    labels, scores = classes()
    answered = Answered(labels, scores, ANIMALS)

    found = {name: point(name, answered) for name in ("log_loss", "accuracy", "macro_f1", "macro_auc", "brier")}

    said = scores.argmax(axis=1)
    assert found == pytest.approx(
        {
            "log_loss": log_loss(labels, scores),
            "accuracy": accuracy_score(labels, said),
            "macro_f1": f1_score(labels, said, average="macro"),
            "macro_auc": roc_auc_score(labels, scores, multi_class="ovr"),
            "brier": np.square(scores - np.eye(3)[labels.astype(int)]).sum(axis=1).mean(),
        }
    )


@pytest.mark.parametrize("name", ["rmse", "r2", "mae", "macro_f1", "macro_auc"])
def test_a_draw_that_takes_every_day_once_gives_the_figure_itself(name: str) -> None:
    task, (labels, scores) = (NUMBER, numbers()) if name in ("rmse", "r2", "mae") else (ANIMALS, classes())
    every_day = Resampling(resampling().blocks, np.ones((1, resampling().n_blocks)))

    figure_, drawn = measure(name, Answered(labels, scores, task), every_day)

    assert figure_ == pytest.approx(drawn[0])


@pytest.mark.parametrize(("name", "truth"), [("rmse", 2.0), ("mae", 2 * np.sqrt(2 / np.pi))])
def test_an_interval_holds_the_truth_in_about_19_of_20_cases(name: str, truth: float) -> None:
    hits = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        labels, off = rng.normal(20, 5, 1000), rng.normal(0, 2, 1000)
        days = Resampling.by_time(moments(1000, seed), rng, draws=300)
        found = figure(name, Answered(labels, labels + off, NUMBER), days)
        hits += found.low <= truth <= found.high

    assert 107 <= hits <= 120  # 114 expected; fewer than 107 has a chance below 1 in 300


def test_a_class_that_training_never_saw_is_always_wrong_and_counted() -> None:
    labels, scores = classes()
    labels[:10] = UNKNOWN

    found = evaluate(labels, scores, moments(), objective(task="multiclass", min_rows=1), np.random.default_rng(0), task=ANIMALS, draws=200)

    assert 10 == found.n_unknown
    assert row_losses("log_loss", Answered(labels, scores, ANIMALS))[:10] == pytest.approx(np.full(10, 16.118), abs=0.01)
    assert 0 == row_losses("accuracy", Answered(labels, scores, ANIMALS))[:10].sum()
    assert N - 10 == sum(map(sum, found.class_confusion))


def test_a_report_on_classes_says_of_each_what_scikit_learn_says() -> None:
    labels, scores = classes()
    goal = objective(metric="macro_auc", equal_across=["sex"], max_gap=0.2)
    groups = np.random.default_rng(1).choice(["f", "m"], N).astype(object)

    found = evaluate(labels, scores, moments(), goal, np.random.default_rng(0), task=ANIMALS, groups={"sex": groups}, draws=400)

    said = scores.argmax(axis=1)
    np.testing.assert_allclose(recall_score(labels, said, average=None), [c.recall.value for c in found.classes])
    np.testing.assert_allclose(precision_score(labels, said, average=None), [c.precision.value for c in found.classes])
    np.testing.assert_array_equal(confusion_matrix(labels, said), found.class_confusion)
    assert ["bird", "cat", "dog"] == [c.name for c in found.classes]
    assert [roc_auc_score(labels == c, scores[:, c]) for c in range(3)] == pytest.approx([c.auc.value for c in found.classes])
    assert found.calibration.slope.low <= 1 <= found.calibration.slope.high
    assert {"f", "m"} == {part.group for part in found.slices["sex"]}
    assert "fine" == found.gaps[0].verdict
    assert found == msgspec.json.decode(msgspec.json.encode(found), type=Report)


def test_a_report_on_numbers_has_residuals_and_whether_they_are_right_on_average_everywhere() -> None:
    truth, said = numbers()
    goal = objective(metric="mae", at_most=3)

    naive = np.array([20.0])
    found = evaluate(truth, said, moments(), goal, np.random.default_rng(0), task=NUMBER, naive=naive, draws=400)

    off = truth - said
    assert np.quantile(off, [0.05, 0.5, 0.95]) == pytest.approx([found.residuals[q].value for q in ("5", "50", "95")])
    assert found.residuals["50"].low < -0.5 < found.residuals["50"].high
    assert (None, None, ()) == (found.n_positive, found.confusion, found.classes)
    assert np.abs(truth - 20).mean() == pytest.approx(found.metrics["mae_if_naive"].value)
    assert "mape" in found.metrics
    line = LinearRegression().fit(said[:, None], truth)
    assert line.coef_[0] == pytest.approx(found.calibration.slope.value)
    assert (truth - said).mean() == pytest.approx(found.calibration.intercept.value)


def test_numbers_around_zero_have_no_error_as_a_share_of_the_truth() -> None:
    truth, said = numbers()
    truth[0] = 0

    assert figure("mape", Answered(truth, said, NUMBER), resampling()).value is None


def test_constant_answers_have_no_slope() -> None:
    truth, _ = numbers()

    found = number_calibration(truth, np.full(N, 20.0), resampling())

    assert (None, 1) == (found.slope.value, len(found.bins))


def pair(task: Task, goal: Objective, *, worse: float, seed: int = 0) -> Paired:
    rng = np.random.default_rng(seed)
    if task == NUMBER:
        truth = rng.normal(20, 5, N)
        ours, theirs = truth + rng.normal(0, 2, N), truth + rng.normal(0, 2 + worse, N)
        return compare(truth, Scored(ours), Scored(theirs), moments(), rng, objective=goal, task=task, draws=400)
    labels, scores = classes(seed)
    spoiled = np.clip(scores + worse * rng.random((N, 3)), 1e-6, None)
    spoiled /= spoiled.sum(axis=1, keepdims=True)
    return compare(labels, Scored(scores), Scored(spoiled), moments(), rng, objective=goal, task=task, draws=400)


@pytest.mark.parametrize(
    ("task", "goal", "loss"),
    [
        (NUMBER, objective(metric="r2"), "rmse"),
        (NUMBER, objective(metric="mae"), "mae"),
        (NUMBER, objective(metric="pinball", quantile=0.5), "pinball"),
        (ANIMALS, objective(metric="accuracy"), "log_loss"),
    ],
    ids=["squares", "absolute", "quantile", "classes"],
)
def test_two_models_are_compared_in_what_the_objective_makes_small(task: Task, goal: Objective, loss: str) -> None:
    found = pair(task, goal, worse=1.0)

    assert loss == found.differences[0].metric
    assert ["better"] * len(found.differences) == [each.verdict for each in found.differences]
    assert all(each.metric in (loss, *PAIRED[task.kind]) for each in found.differences)


def test_a_draw_between_models_of_numbers_keeps_what_is_live() -> None:
    truth, said = numbers(noise=1.0)
    goal = objective(metric="rmse", at_most=3)
    report = evaluate(truth, said, moments(), goal, np.random.default_rng(0), task=NUMBER, naive=np.array([20.0]), draws=300)
    evidence = Evidence(report=report, p95_ms=1.0, probe_rows=10, champion="hours@v1", paired=pair(NUMBER, goal, worse=0.0))

    decision = decide(goal, evidence)

    assert ("rmse_not_better",) == tuple(reason.partition(":")[0] for reason in decision.reasons)
    assert "root mean squared error lower than that of hours@v1" in decision.reasons[0]
    assert all(check.code in REASONS for check in decision.checks)


def test_a_model_that_is_no_better_than_always_the_same_answer_is_refused() -> None:
    truth, _ = numbers()
    rng = np.random.default_rng(3)
    goal = objective(metric="rmse")
    report = evaluate(truth, rng.normal(20, 5, N), moments(), goal, rng, task=NUMBER, naive=np.array([20.0]), draws=300)

    decision = decide(goal, Evidence(report=report, p95_ms=1.0, probe_rows=10))

    assert ("no_value",) == tuple(reason.partition(":")[0] for reason in decision.reasons)


def test_what_decisions_about_classes_and_numbers_cost_is_counted_by_hand() -> None:
    worth = value(by_class={"bird": {"cat": -1, "dog": -2}, "cat": {"bird": -3, "dog": -1}, "dog": {"bird": -9, "cat": -2}})
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
    # Of the first row "bird" is worth 0.3 * -3 + 0.2 * -9 = -2.7, "cat" -0.5 - 0.4 = -0.9, "dog" -1 - 0.3 = -1.3: so a cat.
    answered = Answered(np.array([0.0, 2.0]), scores, ANIMALS, worth)

    assert [1, 1] == answered.decided.tolist()
    assert [1, 2] == row_losses("cost", answered).tolist()
    off = Answered(np.array([10.0, 10.0]), np.array([13.0, 8.0]), NUMBER, value(over=-1, under=-4))
    assert [3, 8] == row_losses("cost", off).tolist()


def test_the_best_answer_that_is_always_the_same_fits_the_loss() -> None:
    labels = np.array([0.0, 0.0, 1.0, 10.0])

    answers = [
        naive_answer(labels, goal, NUMBER)[0]
        for goal in (
            objective(metric="rmse"),
            objective(metric="mae"),
            objective(metric="pinball", quantile=0.75),
            objective(metric="cost", kpi=value(over=-1, under=-3)),
        )
    ]

    assert [2.75, 0.5, 3.25, 3.25] == answers
    assert [0.5, 0.25, 0.25] == naive_answer(np.array([0.0, 0, 1, 2]), objective(task="multiclass"), ANIMALS).tolist()
    assert naive_answer(labels, objective(), Task()) is None


def test_the_line_of_numbers_equals_scikit_learns_ridge() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(800, 3)).astype(np.float32)
    labels = features @ np.array([1.0, -1.0, 0.5]) + rng.normal(size=800)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)

    np.testing.assert_allclose(
        Ridge(1.0).fit(scaled, labels).predict(scaled), fit_baseline(features, labels, task=NUMBER).predict(features), atol=1e-4
    )


def test_the_line_of_classes_tells_them_apart_and_its_chances_add_up() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(1500, 2)).astype(np.float32)
    labels = np.digitize(features[:, 0], [-0.5, 0.5]).astype(float)
    features[rng.random(1500) < 0.1, 1] = np.nan

    found = fit_baseline(features[:1000], labels[:1000], task=ANIMALS).predict(features[1000:])

    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert point("macro_auc", Answered(labels[1000:], found, ANIMALS)) > 0.85


def test_exchanged_classes_of_the_newest_batch_are_seen() -> None:
    labels, scores = classes(strength=4.0)
    months = np.repeat(["2013-01", "2013-02"], N // 2).astype(object)
    rng = np.random.default_rng(0)
    wrong = (np.arange(N) >= N // 2) & (rng.random(N) < 0.2)

    sound = label_health(labels, scores, months, limit=0.05)
    broken = label_health(np.where(wrong, (labels + 1) % 3, labels), scores, months, limit=0.05)

    assert (True, False) == (sound.ok, broken.ok)
    assert 0.2 == pytest.approx(broken.newest.share.value, abs=0.05)


@pytest.mark.parametrize(
    ("stated", "labels", "kind", "names"),
    [
        ("", [0.0, 1.0], "binary", ()),
        ("", ["b", "a", "c"], "multiclass", ("a", "b", "c")),
        ("", [2.0, 1.0, 10.0], "multiclass", ("1", "2", "10")),
        ("multiclass", [0.0, 1.0, 2.0], "multiclass", ("0", "1", "2")),
        ("regression", [0.0, 1.0], "regression", ()),
        ("binary", [1.0], "binary", ()),
    ],
)
def test_the_labels_tell_what_is_asked_where_nothing_was_stated(
    stated: str, labels: list[float | str], kind: str, names: tuple[str, ...]
) -> None:
    found = read_task(stated, labels, where="view 'x'")  # type: ignore[arg-type]  # one of the parameters

    assert (kind, names) == (found.kind, found.classes)


@pytest.mark.parametrize(
    ("stated", "labels", "told"),
    [
        ("binary", [0.0, 7.5], "neither 0 nor 1, such as 7.5"),
        ("", [0.5, 1.0, 2.0], "0.5 is not a whole number"),
        ("", ["no", "yes"], "two values, no and yes; which one is asked for"),
        ("multiclass", [0.0, 1.0], "two values, 0 and 1"),
        ("regression", ["a"], "text, such as 'a', and the objective asks for a number"),
        ("regression", [1.0, float("inf")], "no finite number"),
        ("multiclass", [float(n) for n in range(1001)], "1,001 values: 0, 1, 2, 3, 4 …"),
    ],
)
def test_labels_that_do_not_fit_what_is_asked_are_named(stated: str, labels: list[float | str], told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        read_task(stated, labels, where="view 'x'")  # type: ignore[arg-type]  # one of the parameters


@pytest.mark.parametrize(
    ("labels", "hint"), [(["No", "Yes"], "label == 'Yes' is probably meant"), (["gone", "stays"], "label == 'stays' asks for stays")]
)
def test_of_two_texts_the_hint_says_which_comparison_to_state(labels: list[float | str], hint: str) -> None:
    with pytest.raises(ParameterError, match="two values") as fault:
        read_task("", labels, where="view 'x'")

    assert hint in fault.value.hint


def test_an_objective_takes_its_task_from_its_metric() -> None:
    stated = [
        objective(metric="rmse"),
        objective(metric="macro_auc"),
        objective(metric="log_loss"),
        objective(),
        objective(task="regression"),
    ]

    assert ["regression", "multiclass", "", "binary", "regression"] == [each.task for each in stated]
    assert "rmse" == stated[-1].metric
    assert "regression" == objective(metric="cost", kpi=value(over=-1, under=-2)).task


@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        ({"metric": "rmse", "task": "binary"}, "rmse is no metric of a binary task, which has auc"),
        ({"metric": "rmse", "at_least": 3}, "lower rmse is better, so say at_most"),
        ({"metric": "r2", "at_least": 1.5}, "r2 of at least 1.5 is outside"),
        ({"metric": "pinball"}, "'pinball' and quantile belong together"),
        ({"metric": "pinball", "quantile": 2.0}, "quantile 2 is outside 0 to 1"),
        ({"metric": "mae", "max_label_noise": 0.1}, "not judged for noise"),
        ({"metric": "mae", "kpi": Value(fp=-1, fn=-2)}, r"about a binary task, not a regression one: kpi=sp.value\(over"),
        ({"task": "ranking"}, "no task 'ranking'"),
    ],
)
def test_conditions_that_do_not_fit_the_task_are_named(conditions: dict[str, object], told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        objective(**conditions)  # type: ignore[arg-type]  # wrong on purpose


def test_a_worth_that_fits_no_task_or_rewards_mistakes_is_refused() -> None:
    for given, told in (
        ({}, "value says nothing"),
        ({"fp": -1, "fn": -2, "over": -1}, "fp and fn and over and under together"),
        ({"over": 1, "under": -1}, "over=1 must be a cost"),
        ({"by_class": {"a": {"b": 1}}}, "'a' taken for 'b' .1. must be worth less"),
        ({"by_class": {}}, "names no class"),
    ):
        with pytest.raises(ParameterError, match=told):
            value(**given)  # type: ignore[arg-type]  # wrong on purpose
    wrong = {"bird": {"cat": -1}, "cat": {"bird": -1, "dog": -1}, "dog": {"bird": -1, "cat": -1}, "fish": {"cat": -1}}
    with pytest.raises(ParameterError, match=r"no class 'fish'; 'bird' taken for 'dog' is not valued"):
        check_worth(value(by_class=wrong), ANIMALS)
    with pytest.raises(ParameterError, match="about a binary task, and the label makes it multiclass"):
        check_worth(value(fp=-1, fn=-1), ANIMALS)


def test_answers_that_are_none_of_the_task_are_refused() -> None:
    labels, scores = classes()
    truth, said = numbers()
    said[3] = np.nan
    wrong = ((ANIMALS, labels, 2 * scores, "add up to 1"), (NUMBER, truth, said, "1 of 4,000 scores are no finite"))
    for task, given, answers, told in wrong:
        with pytest.raises(ParameterError, match=told):
            evaluate(given, answers, moments(), objective(task=task.kind), np.random.default_rng(0), task=task)
    with pytest.raises(ParameterError, match="auc is no metric of a regression task"):
        measure("auc", Answered(truth, truth, NUMBER), resampling())


def test_every_metric_of_every_task_can_be_measured() -> None:
    worth = value(by_class={a: {b: -1.0 for b in ANIMALS.classes if b != a} for a in ANIMALS.classes})
    rows = {
        "binary": Answered(np.tile([0.0, 1.0], N // 2), np.full(N, 0.5), worth=value(fp=-1, fn=-1), threshold=0.5),
        "multiclass": Answered(*classes(), ANIMALS, worth),
        "regression": Answered(*numbers(), NUMBER, value(over=-1, under=-1), quantile=0.5),
    }

    for kind, names in REPORTED.items():
        assert names == rows[kind].names(REPORTED)
        assert all(figure(name, rows[kind], resampling()).value is not None for name in names)
