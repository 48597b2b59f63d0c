"""Several processes at one store, and processes that are killed: nothing acknowledged is lost, no version number is given twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sampan.core.events import RunStarted, new_id
from sampan.core.graph import NodeId
from sampan.ledger import Ledger
from sampan.store import Store

WRITER = Path(__file__).with_name("writer.py")
COUNTS_BYTES = 16
FOREVER = 1_000_000


class Writer:
    """A started writer process and what it acknowledged."""

    def __init__(self, store: Store, database: str, n_rounds: int, *, fold: bool = False) -> None:
        self.run = new_id()
        Ledger(store, actor="test").append(RunStarted(node=self.run, experiment="many", title="", started=0))
        self._counts = store.root.parent / f"{self.run}.counts"
        self._counts.write_bytes(bytes(COUNTS_BYTES))
        arguments = [str(store.root), database, self.run, str(n_rounds), str(self._counts), *(["fold"] if fold else [])]
        self.process = subprocess.Popen([sys.executable, str(WRITER), *arguments], stderr=subprocess.PIPE, text=True)

    def acknowledged(self) -> tuple[int, int]:
        raw = self._counts.read_bytes()
        return int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")

    def wait(self) -> str:
        _, errors = self.process.communicate(timeout=120)
        return errors

    def kill_in(self, seconds: float) -> None:
        while not self.acknowledged()[0]:
            assert self.process.poll() is None, self.wait()
            time.sleep(0.002)
        time.sleep(seconds)
        self.process.kill()
        self.wait()


def check(store: Store, writers: list[Writer]) -> None:
    """Every acknowledged version and point is there, in order, at most one more of each, and the chain is whole."""
    assert Ledger(store, actor="test").verify().first_bad is None
    versions = store.catalog.nodes(kind="dataset", name="shared", limit=FOREVER)
    assert [n.version for n in versions] == list(range(len(versions), 0, -1))
    for writer in writers:
        n_versions, n_points = writer.acknowledged()
        rounds = [n.facts["round"] for n in reversed(versions) if n.facts["by"] == writer.run]
        assert rounds == list(range(len(rounds)))
        assert n_versions <= len(rounds) <= n_versions + 1
        _check_points(store, writer.run, n_points)


def _check_points(store: Store, run: NodeId, acknowledged: int) -> None:
    history = store.catalog.metric_history(run, "count")
    assert history.steps == list(range(len(history.steps)))
    assert history.values == [float(step) for step in history.steps]
    assert acknowledged <= len(history.steps) <= acknowledged + 1
    assert [m.n for m in store.catalog.metrics(run)] == [len(history.steps)] * bool(history.steps)
    assert store.journals.of(run) == []


def eight_at_once(root: Path, database: str) -> None:
    with Store.open(root, database=database) as store:
        writers = [Writer(store, database, 25, fold=number % 2 == 0) for number in range(8)]

        assert [writer.wait() for writer in writers] == [""] * 8
        check(store, writers)
        assert len(store.catalog.nodes(kind="dataset", limit=FOREVER)) == 8 * 25


def killed(root: Path, database: str, n_kills: int) -> None:
    rng = random.Random(7)
    with Store.open(root, database=database) as store:
        writers = []
        for number in range(0, n_kills, 2):
            pair = [Writer(store, database, FOREVER, fold=fold) for fold in (True, False)]
            for writer in pair:
                writer.kill_in(rng.random() * 0.12)
            writers += pair
            check(store, pair)
            assert len(writers) == number + 2
        check(store, writers)


@pytest.mark.slow
def test_eight_processes_write_to_one_sqlite_store(tmp_path: Path) -> None:
    eight_at_once(tmp_path / "store", "")


@pytest.mark.slow
def test_eight_processes_write_to_one_postgres_store(tmp_path: Path, postgres_uri: str) -> None:
    eight_at_once(tmp_path / "store", postgres_uri)


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_sqlite_writers_are_killed(tmp_path: Path) -> None:
    killed(tmp_path / "store", "", 30)


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_postgres_writers_are_killed(tmp_path: Path, postgres_uri: str) -> None:
    killed(tmp_path / "store", postgres_uri, 8)
