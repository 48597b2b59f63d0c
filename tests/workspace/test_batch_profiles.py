"""A batch is described by itself: by the rows it brought, whatever came of the table since."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from sampan.errors import NotFound, ParameterError
from sampan.stats.profile_building import profile_table
from sampan.stats.profiles import merge_profiles
from sampan.workspace.data.batch_profiles import find_batch, profile_batch
from sampan.workspace.workspace import Workspace


def orders(*numbers: int, shop: str = "s") -> pl.DataFrame:
    return pl.DataFrame({"id": numbers, "shop": [f"{shop}{number % 3}" for number in numbers]})


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path, actor="ana") as workspace:
        workspace.data.add_table(orders(*range(100)), name="orders", key=["id"])
        workspace.data.append_table("orders", orders(98, 99, 100, 101, 102, shop="t"))
        workspace.data.append_table("orders", orders(*range(103, 110)))
        workspace.data.compact("orders")
        yield workspace


@pytest.mark.parametrize("said", ["orders.batch@v1", "1", "v1", "@v1"])
def test_a_batch_is_named_by_its_reference_or_number(ws: Workspace, said: str) -> None:
    assert find_batch(ws, "orders", said).ref == "orders.batch@v1"


def test_a_batchs_profile_is_that_of_the_rows_it_added_or_replaced(ws: Workspace) -> None:
    first, second = (profile_batch(ws, find_batch(ws, "orders", number))[1] for number in "12")

    assert first.pack() == profile_table(orders(98, 99, 100, 101, 102, shop="t")).pack()
    assert merge_profiles(first, second).n_rows == 12


def test_the_profile_of_a_batch_is_asked_for_by_the_datasets_verb(ws: Workspace) -> None:
    answer = ws.data.profile("orders", batch="1")

    assert (answer.ref, answer.n_rows) == ("orders.batch@v1", 5)
    assert {line.name: line.values for line in answer.columns}["id"].startswith("98 … 102")


def test_what_is_no_batch_of_the_dataset_is_refused(ws: Workspace) -> None:
    ws.data.add_table(orders(1), name="others")
    ws.data.append_table("others", orders(2))

    with pytest.raises(NotFound):
        ws.data.profile("orders", batch="9")
    with pytest.raises(ParameterError, match=r"others.batch@v1 is no batch of orders"):
        ws.data.profile("orders", batch="others.batch@v1")


def test_a_dataset_that_nothing_was_appended_to_says_how_batches_come(ws: Workspace) -> None:
    ws.data.add_table(orders(1), name="fixed")

    with pytest.raises(NotFound, match="nothing was appended") as caught:
        ws.data.profile("fixed", batch="1")
    assert "sampan data append fixed FILE" in caught.value.hint


def test_a_batch_of_rows_that_were_there_says_that_it_brought_none(ws: Workspace) -> None:
    answer = ws.data.append_table("orders", orders(1, 2, 3))

    with pytest.raises(ParameterError, match="it brought no rows"):
        ws.data.profile("orders", batch=answer.batch)
