"""Things side by side: what differs, the important first, whatever their kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.core.events import AliasMoved, Input, RunEnded, RunStarted, VersionCommitted, new_id
from sampan.errors import NotFound, ParameterError
from sampan.workspace.runs.comparing_answers import Comparison
from sampan.workspace.workspace import Workspace

NOON = 1_357_041_600_000


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path, actor="an", clock=lambda: NOON) as workspace:
        yield workspace


def start(ws: Workspace, title: str, points: dict[str, list[float]], inputs: tuple[Input, ...] = (), **params: str) -> str:
    run = new_id()
    ws.ledger.append(RunStarted(node=run, experiment="tree", title=title, started=NOON, params=params, inputs=inputs))
    with ws.store.journals.open(run) as journal:
        for key, values in points.items():
            for step, value in enumerate(values):
                journal.log(key, value, step=step, at=NOON + step)
    ws.ledger.append(RunEnded(node=run, state="finished", ended=NOON + 2_000))
    return run


def commit(ws: Workspace, kind: str, name: str, inputs: tuple[Input, ...] = (), **facts: Any) -> str:
    node = new_id()
    ws.ledger.append(VersionCommitted(node=node, kind=kind, name=name, digest="", facts=facts, inputs=inputs))
    return node


def names(found: Comparison, title: str) -> list[str]:
    section = found.section(title)
    assert section is not None
    return [line.name for line in section.lines]


def test_runs_are_told_apart_by_what_differs_with_the_widest_difference_first(ws: Workspace) -> None:
    one = start(ws, "one", {"val_auc": [0.7], "val_loss": [0.5], "rows": [10]}, depth="3", rate="0.1", kind="gbdt")
    two = start(ws, "two", {"val_auc": [0.71], "val_loss": [0.25], "rows": [10]}, depth="6", rate="0.1", kind="gbdt")

    found = ws.home.compare([one, two])

    assert ["val_loss", "val_auc"] == names(found, "metrics")
    assert ["depth"] == names(found, "parameters")
    section = found.section("parameters")
    assert section is not None
    assert section.n_same == 2
    assert "kind" not in found.text()


def test_the_best_of_a_metric_is_starred_by_the_way_its_name_says(ws: Workspace) -> None:
    runs = [start(ws, str(i), {"loss": [loss], "auc": [auc], "rows": [i]}) for i, (loss, auc) in enumerate([(0.5, 0.7), (0.4, 0.6)])]

    section = ws.home.compare(runs).section("metrics")

    assert section is not None
    assert {"loss": 1, "auc": 0, "rows": None} == {line.name: line.best for line in section.lines}


def test_everything_is_shown_when_asked_for(ws: Workspace) -> None:
    runs = [start(ws, title, {}, depth="3") for title in ("one", "two")]

    assert [] == names(ws.home.compare(runs), "parameters")
    assert ["depth"] == names(ws.home.compare(runs, everything=True), "parameters")


def test_curves_keep_their_shape_in_few_points(ws: Workspace) -> None:
    spike = [1.0] * 5_000
    spike[3_333] = 90.0
    one, two = (start(ws, str(i), {"loss": values}) for i, values in enumerate(([1.0] * 5_000, spike)))

    (line,) = ws.home.compare([one, two]).section("curves").lines  # type: ignore[union-attr]  # both have a curve

    cell = line.cells[1]
    assert cell is not None
    assert len(cell.values) <= 160
    assert 90.0 in cell.values
    assert (0.0, 4_999.0) == (cell.steps[0], cell.steps[-1])


def test_data_that_runs_read_is_compared_by_content(ws: Workspace) -> None:
    first, second = commit(ws, "dataset", "flights", n_rows=10), commit(ws, "dataset", "flights", n_rows=12)
    one, two = (start(ws, "", {}, inputs=(Input(node, "input"),)) for node in (first, second))

    (line,) = ws.home.compare([one, two]).section("data").lines  # type: ignore[union-attr]  # both read data

    assert ["flights@v1, 10 rows", "flights@v2, 12 rows"] == [cell.text for cell in line.cells if cell]


def test_intervals_that_lie_apart_come_before_those_that_overlap(ws: Workspace) -> None:
    def figure(value: float, low: float, high: float) -> dict[str, float]:
        return {"value": value, "low": low, "high": high}

    facts = [
        {"auc": figure(0.70, 0.69, 0.71), "brier": figure(0.10, 0.01, 0.20)},
        {"auc": figure(0.75, 0.74, 0.76), "brier": figure(0.15, 0.02, 0.30)},
    ]
    nodes = [commit(ws, "report", "late", metrics=metrics) for metrics in facts]

    section = ws.home.diff(*nodes).section("metrics")

    assert section is not None
    assert [("auc", "intervals apart"), ("brier", "intervals overlap")] == [(line.name, line.note) for line in section.lines]


def test_any_two_nodes_differ_by_what_is_recorded_of_them(ws: Workspace) -> None:
    raw = commit(ws, "dataset", "flights", n_rows=1)
    one = commit(ws, "prophecy", "rain", depth={"of": "well"}, seen=["a", "b"])
    two = commit(ws, "prophecy", "rain", (Input(raw, "input"),), depth={"of": "sea"}, seen=["a", "b"])

    found = ws.home.diff(one, two)

    assert ["depth.of"] == names(found, "facts")
    assert ["input dataset flights"] == names(found, "made from")


def test_decisions_differ_check_by_check(ws: Workspace) -> None:
    checks = [
        {"code": "objective", "passed": passed, "asked": "auc >= 0.7", "found": found} for passed, found in ((True, "0.8"), (False, "0.6"))
    ]
    one, two = (
        commit(ws, "decision", "late", passed=check["passed"], reasons=[], checks=[check], champion_ref="", paired=None) for check in checks
    )

    found = ws.home.diff(one, two)

    assert ["objective"] == names(found, "checks")
    assert "ok: 0.8" in found.text()


def test_datasets_differ_by_columns_types_and_missing_values(ws: Workspace, tmp_path: Path) -> None:
    for text in ("a,b\n1,x\n2,y\n", "a,b,c\n1,x,1\n2,,2\n3,z,3\n"):
        (tmp_path / "small.csv").write_text(text)
        ws.data.add(tmp_path / "small.csv", name="small")

    found = ws.home.diff("small@v1", "small@v2")

    assert ["c"] == names(found, "columns")
    assert {"b", "c"} == set(names(found, "missing values"))
    assert ("sampan data diff small@v1 small@v2",) == found.next


def test_things_of_several_kinds_are_compared_with_a_word_about_it(ws: Workspace) -> None:
    raw = commit(ws, "dataset", "flights", n_rows=1)
    run = start(ws, "one", {})

    assert "several kinds: dataset, run" in ws.home.diff(raw, run).text()


def test_a_note_stands_beside_what_it_is_about_until_it_is_removed(ws: Workspace) -> None:
    one, two = start(ws, "one", {}), start(ws, "two", {})

    ws.home.note(one, "diverged: the rate is too high")
    assert "diverged: the rate is too high" in ws.home.compare([one, two]).text()

    ws.home.note(one, "")
    assert ["", ""] == [side.note for side in ws.home.compare([one, two]).sides]


def test_one_thing_alone_is_not_compared(ws: Workspace) -> None:
    run = start(ws, "one", {})

    with pytest.raises(ParameterError, match="1 things to compare"):
        ws.home.compare([run])


def test_a_name_that_is_not_there_is_answered_with_the_nearest(ws: Workspace) -> None:
    commit(ws, "dataset", "flights")

    with pytest.raises(NotFound) as caught:
        ws.home.diff("flights@v1", "flihgts")

    assert ("flights",) == caught.value.did_you_mean


def test_an_alias_names_a_side(ws: Workspace) -> None:
    first, second = commit(ws, "prophecy", "rain", depth=1), commit(ws, "prophecy", "rain", depth=2)
    ws.ledger.append(AliasMoved(kind="prophecy", name="rain", alias="best", before=None, after=second))

    assert [first, second] == [side.node for side in ws.home.diff("rain@v1", "rain@best").sides]


def test_what_was_recorded_of_one_side_only_is_no_difference(ws: Workspace) -> None:
    one, two = start(ws, "one", {"loss": [3.0, 2.0]}), start(ws, "two", {"loss": [1.0]})

    found = ws.home.compare([one, two])

    assert [] == names(found, "curves")
    assert "recorded of one side only: curves" in found.text()


def test_models_carry_what_the_newest_decision_found_between_them(ws: Workspace) -> None:
    first, second = (commit(ws, "model", "late", params={}, metrics={}, features=[]) for _ in range(2))
    difference = {"metric": "auc", "difference": {"value": 0.02, "low": -0.01, "high": 0.05}, "verdict": "not shown", "rows_needed": 900}
    paired = {"differences": [difference]}
    commit(ws, "decision", "late", (Input(second, "input"),), model=second, champion=first, paired=paired)

    text = ws.home.compare([first, second]).text()

    assert "not shown: 0.02 (-0.01 to 0.05), 900 more rows would show" in text
