"""Columns of runs in memory: they equal what is read anew, whatever happened to the runs meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sampan.core.events import ParamsLogged, RunEnded, RunStarted, Tagged, new_id
from sampan.ledger import Ledger
from sampan.store import Store
from sampan.store.run_columns import Numbers, Order, RunColumns, Texts, View, best_of_each, first, ranked
from sampan.store.run_fields import Field

FIELDS = [
    Field("metric", "auc"),
    Field("param", "depth"),
    Field("tag", "team"),
    Field("attribute", "state"),
    Field("attribute", "started"),
    Field("attribute", "seconds"),
    Field("attribute", "parent"),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


def everything(columns: RunColumns, store: Store) -> list[list[object]]:
    pks = columns.search(lambda view: np.ones(len(view), np.bool_), lambda _, places: places)
    found = []
    for column in columns.take(FIELDS, pks):
        if isinstance(column, Numbers):
            found.append([repr(v) if there else "none" for v, there in zip(column.values.tolist(), column.present.tolist(), strict=True)])
        else:
            found.append([column.words[code] if code >= 0 else "none" for code in column.codes.tolist()])
    return [[pks], *found]  # type: ignore[list-item]  # compared as a whole


def change_something(store: Store, ledger: Ledger, runs: list[str], rng: random.Random) -> None:
    what = rng.choice(["start", "start", "end", "log", "log", "param", "tag", "untag"]) if runs else "start"
    run = rng.choice(runs) if runs else ""
    if what == "start":
        runs.append(new_id())
        parent = run if rng.random() < 0.3 else None
        ledger.append(RunStarted(node=runs[-1], experiment="e", title="", started=rng.randrange(1000), parent=parent or None))
    elif what == "end" and store.catalog.run(run).state == "running":
        ledger.append(RunEnded(node=run, state="finished", ended=2_000))
    elif what == "log":
        with store.journals.open(run) as journal:
            journal.log("auc", rng.choice([rng.random(), float("nan")]), step=rng.randrange(9), at=1)
        store.folding.fold_all()
    elif what == "param" and "depth" not in store.catalog.params(run):
        ledger.append(ParamsLogged(node=run, params={"depth": str(rng.randrange(5))}))
    elif what in ("tag", "untag"):
        ledger.append(Tagged(node=run, key="team", value=rng.choice("ab") if what == "tag" else None))


def test_columns_brought_up_to_date_equal_columns_read_anew(store: Store) -> None:
    ledger, rng, runs = Ledger(store, actor="an"), random.Random(0), list[str]()
    kept = RunColumns(store.database)

    for _ in range(40):
        for _ in range(rng.randrange(1, 6)):
            change_something(store, ledger, runs, rng)

        assert everything(RunColumns(store.database), store) == everything(kept, store)


def test_runs_are_ordered_by_several_fields_the_newest_first_among_equals(store: Store) -> None:
    ledger, rng = Ledger(store, actor="an"), random.Random(1)
    for number in range(60):
        run = new_id()
        params = {"depth": str(rng.randrange(3))} if number % 7 else {}
        ledger.append(RunStarted(node=run, experiment="e", title=str(number), started=rng.randrange(4), params=params))
    order = [Order(Field("param", "depth")), Order(Field("attribute", "started"), descending=True)]

    def chosen(view: View) -> NDArray[np.bool_]:
        return np.ones(len(view), np.bool_)

    rows = sorted(
        store.catalog.runs(limit=100),
        key=lambda row: (store.catalog.params(row.node.id).get("depth", "~"), -row.started, -row.node.seq),
    )
    for limit in (1, 7, 59, 60, 100):
        found = store.run_columns.search(chosen, partial(ranked, order=order, limit=limit))
        assert [row.node.seq for row in rows[:limit]] == found


def test_the_best_of_each_group_is_its_first_in_order(store: Store) -> None:
    ledger = Ledger(store, actor="an")
    for depth, started in (("3", 5), ("3", 9), ("6", 7), ("6", 1), (None, 99)):
        params = {"depth": depth} if depth else {}
        ledger.append(RunStarted(node=new_id(), experiment="e", title="", started=started, params=params))
    order = [Order(Field("attribute", "started"), descending=True)]

    found = store.run_columns.search(
        lambda view: np.ones(len(view), np.bool_), lambda view, places: best_of_each(view, places, Field("param", "depth"), order, 10)
    )

    assert [9, 7] == [row.started for row in store.catalog.runs_numbered(found)]


def test_a_store_without_runs_has_empty_columns(store: Store) -> None:
    assert [] == store.run_columns.search(lambda view: np.ones(len(view), np.bool_), lambda view, places: ranked(view, places, [], 5))


def test_the_first_positions_are_those_of_a_full_sort_with_ties_broken_last() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        n, limit = rng.integers(1, 40), int(rng.integers(1, 45))
        keys = [rng.integers(0, 4, n).astype(float), rng.integers(0, 3, n)]
        names = rng.permutation(n)
        expected = np.lexsort((names, keys[1], keys[0]))[:limit]
        assert [*expected] == [*first(keys, limit, ties=lambda few, names=names: names[few])]  # type: ignore[misc]  # bound now


def test_a_text_stands_in_for_a_missing_one_and_equal_words_rank_alike() -> None:
    tags, titles = Texts.empty(4), Texts.empty(4)
    tags.put(np.array([0, 2]), ["b", "a"])
    titles.put(np.array([0, 1, 2]), ["x", "b", "y"])
    found = tags.otherwise(titles)
    assert ["b", "b", "a", ""] == found.of(np.arange(4))
    ranks = found.ranks()
    assert ranks[0] == ranks[1] > ranks[2]
    assert ranks[3] > ranks[0]
