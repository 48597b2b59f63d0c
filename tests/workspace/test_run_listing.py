"""Runs by the thousand: filters in words, orders, the best of each group, columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.core.events import RunEnded, RunStarted, Tagged, new_id
from sampan.errors import ParameterError
from sampan.workspace.workspace import Workspace

NOON = 1_357_041_600_000  # 2013-01-01


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path, actor="an", clock=lambda: NOON) as workspace:
        for title, auc, depth, seconds in (("a", 0.7, "3", 5), ("b", 0.9, "10", 2), ("c", 0.8, "3", 9), ("d", None, "gbdt", 1)):
            add(workspace, title, auc, depth, seconds)
        yield workspace


def add(ws: Workspace, title: str, auc: float | None, depth: str, seconds: int, parent: str | None = None) -> str:
    run = new_id()
    ws.ledger.append(RunStarted(node=run, experiment="trees", title=title, started=NOON, params={"depth": depth}, parent=parent))
    if auc is not None:
        with ws.store.journals.open(run) as journal:
            journal.log("auc", auc, step=0, at=NOON)
    ws.ledger.append(RunEnded(node=run, state="finished", ended=NOON + seconds * 1000))
    return run


def titles(ws: Workspace, where: str = "", **options: object) -> str:
    return "".join(run.title for run in ws.run.list(where=where, **options).runs)  # type: ignore[arg-type]  # options of list


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("auc > 0.75", "cb"),
        ("auc > 0.75 and params.depth = 3", "c"),
        ("params.depth > 3", "b"),  # as numbers: a text comparison would put 10 before 3
        ("params.depth != 3", "db"),
        ("params.depth = gbdt", "d"),
        ("params.depth like 'g%'", "d"),
        ("auc is none", "d"),
        ("params.depth is given and auc <= 0.7", "a"),
        ("seconds >= 5", "ca"),
        ("state = finished and title != a", "dcb"),
        ("started >= 2013-01-01", "dcba"),
        ("started > 2013-01-02", ""),
        ("metrics.`auc` == 0.9", "b"),
        ("tags.team = 'blue'", ""),
        ("unheard > 1", ""),
    ],
)
def test_runs_are_those_that_meet_every_comparison(ws: Workspace, where: str, expected: str) -> None:
    assert expected == titles(ws, where)


def test_runs_are_put_in_order_by_metrics_parameters_and_length(ws: Workspace) -> None:
    assert "bcad" == titles(ws, sort="auc")
    assert "acbd" == titles(ws, sort="auc", ascending=True)
    assert "cabd" == titles(ws, sort="seconds")
    assert "b" == titles(ws, sort="auc", limit=1)


def test_the_best_of_each_group_is_shown(ws: Workspace) -> None:
    assert "bcd" == titles(ws, sort="auc", best_of="params.depth")


def test_trials_are_left_out_unless_asked_for(ws: Workspace) -> None:
    parent = ws.run.list(where="title = a").runs[0].run
    add(ws, "t", 0.95, "3", 1, parent=parent)

    assert "bc" == titles(ws, "auc > 0.75", sort="auc")
    assert "tbc" == titles(ws, "auc > 0.75", sort="auc", trials=True)


def test_a_search_sees_what_was_logged_since_the_last_one(ws: Workspace) -> None:
    assert "b" == titles(ws, "auc > 0.85")
    new = add(ws, "e", 0.99, "3", 1)
    assert "eb" == titles(ws, "auc > 0.85")
    ws.ledger.append(Tagged(node=new, key="team", value="blue"))
    assert "e" == titles(ws, "tags.team = blue")


def test_columns_hold_what_runs_have_in_their_order(ws: Workspace) -> None:
    found = ws.run.columns(["auc", "params.depth", "seconds"], sort="seconds")

    assert ("c", "a", "b", "d") == found.titles
    assert {"auc": [0.8, 0.7, 0.9, None], "params.depth": ["3", "3", "10", "gbdt"], "seconds": [9.0, 5.0, 2.0, 1.0]} == found.columns
    assert 4 == found.n_found
    assert "gbdt" in found.text()


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("auc >", "no comparison"),
        ("auc > high", "'high' is none"),
        ("auc > 1 or auc < 0", "'or' stands between"),
        ("auc ~ 3", "no comparison"),
        ("auc > 1 and", "'nothing' is no comparison"),
        ("auc like '%'", "`like` compares texts"),
        ("params.depth is 3", "is '3'"),
        ("title = 'open", "cannot read"),
        ("attributes.colour = red", "no attribute 'colour'"),
    ],
)
def test_a_filter_that_cannot_be_read_names_the_part(ws: Workspace, where: str, says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        ws.run.list(where=where)


def test_the_best_of_each_group_needs_an_order(ws: Workspace) -> None:
    with pytest.raises(ParameterError, match="by what"):
        ws.run.list(best_of="params.depth")


def test_columns_of_an_empty_project_are_empty(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Workspace.open(tmp_path_factory.mktemp("empty")) as empty:
        assert () == empty.run.columns(["auc"]).runs
        assert not empty.has_store
