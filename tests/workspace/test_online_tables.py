"""What a package looks features up in, as newer versions of its datasets have it: told from what differs, or indexed anew."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

from small_package import START, add_package, draw_orders, requests_of

from sampan.core.graph import Node
from sampan.workspace.models.online_tables import renewal_of
from sampan.workspace.models.predictors import PackagePredictor, open_predictor
from sampan.workspace.training.feature_tables import open_tables
from sampan.workspace.workspace import Workspace

FIRST = draw_orders(40, first=0, day=0, rng=np.random.default_rng(0))
ASKED = [{**row, "at": START + 2 * 86_400_000} for row in requests_of(draw_orders(9, first=500, day=2, rng=np.random.default_rng(3)))]


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path) as workspace:
        yield workspace


@pytest.fixture
def predictor(ws: Workspace, tmp_path: Path) -> PackagePredictor:
    ws.data.add_table(FIRST, name="orders", key=["order"])
    add_package(ws, tmp_path / "made", dataset=ws.catalog.resolve("orders", kind="dataset"))
    opened = open_predictor(tmp_path / "made")
    opened.online.renewed(open_tables(ws, _version(ws))).install()  # the package was made by hand, of other rows
    return opened


def _version(ws: Workspace, name: str = "orders") -> dict[str, Node]:
    return {"orders": ws.catalog.resolve(name, kind="dataset")}


def test_versions_one_after_the_other_are_told_by_what_differs(
    ws: Workspace, predictor: PackagePredictor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="sampan.workspace.models.online_tables")
    there = {table: node.id for table, node in _version(ws).items()}
    rows = FIRST
    for turn in range(3):
        more = draw_orders(5, first=100 * (turn + 1), day=1, rng=np.random.default_rng(turn))
        rows = pl.concat([rows.filter(pl.col("order") != turn), more])
        ws.data.add_table(rows, name="orders", key=["order"])
        newest = _version(ws)

        renewal_of(ws, predictor, there=there, newest=newest).install()

        there = {table: node.id for table, node in newest.items()}
        by_change = predictor.online.matrix(ASKED)
        predictor.online.renewed(open_tables(ws, newest)).install()
        np.testing.assert_array_equal(predictor.online.matrix(ASKED), by_change)
    assert caplog.messages == []


def test_versions_that_have_little_in_common_are_indexed_anew(ws: Workspace, predictor: PackagePredictor) -> None:
    there = {table: node.id for table, node in _version(ws).items()}
    other = draw_orders(60, first=1000, day=1, rng=np.random.default_rng(7)).with_columns(late=pl.lit(1.0))
    ws.data.add_table(other, name="orders", key=["order"])

    renewal_of(ws, predictor, there=there, newest=_version(ws)).install()

    told = predictor.online.matrix(ASKED)
    predictor.online.renewed(open_tables(ws, _version(ws))).install()
    np.testing.assert_array_equal(predictor.online.matrix(ASKED), told)


def test_tables_that_are_not_those_that_were_said_are_indexed_anew(
    ws: Workspace, predictor: PackagePredictor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="sampan.workspace.models.online_tables")
    ws.data.add_table(FIRST.with_columns(late=1 - pl.col("late")), name="others", key=["order"])
    ws.data.add_table(FIRST.tail(30), name="orders", key=["order"])
    newest = _version(ws)

    renewal_of(ws, predictor, there={"orders": _version(ws, "others")["orders"].id}, newest=newest).install()
    told = predictor.online.matrix(ASKED)

    predictor.online.renewed(open_tables(ws, newest)).install()
    np.testing.assert_array_equal(predictor.online.matrix(ASKED), told)
