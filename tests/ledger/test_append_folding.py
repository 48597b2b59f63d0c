"""A run's end and its points in one transaction: both or neither."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.core.events import RunEnded, RunStarted, new_id
from sampan.errors import StaleState
from sampan.ledger import Ledger
from sampan.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


def begin(store: Store, n_points: int) -> str:
    run = new_id()
    Ledger(store, actor="an").append(RunStarted(node=run, experiment="e", title="", started=0))
    with store.journals.open(run) as journal:
        for step in range(n_points):
            journal.log("loss", step * 0.5, step=step, at=step)
    return run


def values(store: Store, run: str) -> list[float]:
    with store.database.read() as session:
        found = session.all("select m.last, m.n from run_metric m join node n on n.pk = m.run where n.id = ?", run)
    return [each for row in found for each in row]


def test_the_end_brings_the_points_along_and_the_journal_goes(store: Store) -> None:
    run = begin(store, 700)

    Ledger(store, actor="an").append_folding(run, RunEnded(node=run, state="finished", ended=5))

    assert [349.5, 700] == values(store, run)
    assert "finished" == store.catalog.run(run).state
    assert [] == store.journals.of(run)
    assert 700 == len(store.catalog.metric_history(run, "loss").values)


def test_an_end_that_is_refused_leaves_the_journal_as_it_was(store: Store) -> None:
    run = begin(store, 3)
    ledger = Ledger(store, actor="an")
    ledger.append(RunEnded(node=run, state="failed", ended=4))

    with pytest.raises(StaleState):
        ledger.append_folding(run, RunEnded(node=run, state="finished", ended=5))

    assert [] == values(store, run)
    assert 1 == len(store.journals.of(run))
    assert [0.0, 0.5, 1.0] == store.catalog.metric_history(run, "loss").values


def test_points_of_a_writer_that_lives_are_folded_and_its_journal_stays(store: Store) -> None:
    run = begin(store, 2)
    with store.journals.open(run) as journal:
        journal.log("loss", 9.0, step=9, at=9)
        Ledger(store, actor="an").append_folding(run)
        journal.log("loss", 10.0, step=10, at=10)
        assert 1 == len(store.journals.of(run))

    assert [0.0, 0.5, 9.0, 10.0] == store.catalog.metric_history(run, "loss").values


def test_a_run_without_points_ends_all_the_same(store: Store) -> None:
    run = begin(store, 0)

    Ledger(store, actor="an").append_folding(run, RunEnded(node=run, state="finished", ended=5))

    assert "finished" == store.catalog.run(run).state
