"""A metric whose one point its summary says needs no chunk; whatever a summary cannot say is kept bit for bit."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest

from sampan.core.events import RunStarted, new_id
from sampan.ledger import Ledger
from sampan.store import Store
from sampan.store.chunks import points_of
from sampan.store.folding import add_points, run_number
from sampan.store.points import CHUNK_POINTS, Point


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store."""
    return Store.open(tmp_path / "store")


@pytest.fixture
def run(store: Store) -> str:
    """Return a run without a point."""
    node = new_id()
    Ledger(store, actor="an").append(RunStarted(node=node, experiment="e", title="", started=1))
    return node


def add(store: Store, run: str, name: str, new: list[Point]) -> None:
    with store.database.write() as session:
        add_points(session, run_number(session, run), name, new)


def n_chunks(store: Store) -> int:
    with store.database.read() as session:
        return len(session.all("select seq from metric_chunk"))


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def test_a_single_point_takes_no_chunk_and_reads_as_it_was_logged(store: Store, run: str) -> None:
    add(store, run, "loss", [(7, 1_700_000_000_123, 0.1)])

    found = store.catalog.metric_history(run, "loss")
    assert n_chunks(store) == 0
    assert (found.steps, found.at, found.values) == ([7], [1_700_000_000_123], [0.1])


@pytest.mark.parametrize("value", [math.inf, -math.inf, 0.0, 5e-324, -(2.0**60), 3.0])
def test_what_a_summary_can_say_comes_back_bit_for_bit(store: Store, run: str, value: float) -> None:
    add(store, run, "loss", [(0, 1, value)])

    assert [bits(value)] == [bits(each) for each in store.catalog.metric_history(run, "loss").values]
    assert n_chunks(store) == 0


@pytest.mark.parametrize("value", [-0.0, math.nan, struct.unpack("<d", b"\x01\0\0\0\0\0\xf8\x7f")[0]])
def test_what_a_summary_cannot_say_comes_back_bit_for_bit(store: Store, run: str, value: float) -> None:
    add(store, run, "loss", [(0, 1, value)])

    assert [bits(value)] == [bits(each) for each in store.catalog.metric_history(run, "loss").values]
    assert n_chunks(store) == 1


def test_a_second_point_brings_the_first_into_a_chunk(store: Store, run: str) -> None:
    add(store, run, "loss", [(0, 1, 0.5)])
    add(store, run, "loss", [(1, 2, 0.25)])
    add(store, run, "loss", [(2, 3, 0.125)])

    with store.database.read() as session:
        assert points_of(session, run) == {"loss": [(0, 1, 0.5), (1, 2, 0.25), (2, 3, 0.125)]}
    assert n_chunks(store) == 1


def test_points_of_a_run_are_those_of_chunks_and_of_summaries_by_name(store: Store, run: str) -> None:
    many = [(i, i, float(i)) for i in range(CHUNK_POINTS + 1)]
    add(store, run, "b", many)
    add(store, run, "c", [(0, 1, 0.5)])
    add(store, run, "a", [(4, 1, -0.5)])

    with store.database.read() as session:
        assert list(points_of(session, run).items()) == [("a", [(4, 1, -0.5)]), ("b", many), ("c", [(0, 1, 0.5)])]
    assert n_chunks(store) == 2


def test_a_point_that_an_earlier_release_put_in_a_chunk_is_read_once(store: Store, run: str) -> None:
    add(store, run, "loss", [(0, 1, 0.5)])
    with store.database.write() as session:
        from sampan.store.points import CODEC, pack

        session.run("insert into metric_chunk(run, key, seq, n, codec, data) values (1, 1, 1, 1, ?, ?)", CODEC, pack([(0, 1, 0.5)]))

    assert store.catalog.metric_history(run, "loss").values == [0.5]
