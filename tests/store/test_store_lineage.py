"""Lineage in a graph of 100,000 nodes, where most of it has nothing to do with the question."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.store import Store

N_NODES = 100_000
N_CHAIN = 44
LAST = str(N_NODES + N_CHAIN)

NUMBERS = "with recursive g(i) as (select 1 union all select i + 1 from g where i < ?)"
NODES = f"{NUMBERS} insert into node select i, cast(i as text), null, 'dataset', null, '', 'active', 0, '', 0, '{{}}' from g"
# Every node needs two older ones, far apart.
EDGES = f"{NUMBERS} insert into edge select i, 1 + (i * {{prime}}) % (i - 1), 'input' from g where i between 2 and ? on conflict do nothing"


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store with that graph, and beside it a chain of 44 nodes in which each needs the two before it."""
    chain = range(N_NODES + 1, N_NODES + N_CHAIN + 1)
    database = request.getfixturevalue("postgres_uri") if request.param == "postgres" else ""
    with Store.open(tmp_path / "store", database=database) as store:
        with store.database.write() as session:
            session.run(NODES, chain[-1])
            for prime in (7919, 6151):
                session.run(EDGES.format(prime=prime), N_NODES, N_NODES)
            session.many("insert into edge values (?, ?, 'input')", [(i, i - back) for i in chain for back in (1, 2) if i - back in chain])
        yield store


@pytest.mark.slow
def test_an_ancestry_of_44_nodes_is_found_within_a_tenth_of_a_second(store: Store) -> None:
    took = []
    for _ in range(3):
        began = time.perf_counter()
        graph = store.catalog.lineage(LAST)
        took.append(time.perf_counter() - began)

    assert len(graph.nodes) == N_CHAIN
    assert len(graph.edges) == 2 * N_CHAIN - 3
    assert min(took) < 0.1
    assert [int(n.id) for n in store.catalog.lineage(LAST, depth=1).nodes] == [int(LAST) - back for back in (2, 1, 0)]
    assert len(store.catalog.lineage(LAST, depth=6).nodes) == 13


@pytest.mark.slow
def test_a_large_ancestry_is_found_once_a_node_however_many_paths_lead_there(store: Store) -> None:
    graph = store.catalog.lineage(str(N_NODES))

    ids = [n.id for n in graph.nodes]
    assert len(ids) == len(set(ids)) > N_CHAIN
    assert {e.src for e in graph.edges} | {str(N_NODES)} == set(ids)
