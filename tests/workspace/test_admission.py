"""A batch held against the champion's data, before and while it is taken in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_package import draw_orders
from small_training import DAYS, PER_DAY, add_orders, write_training

from sampan.errors import ParameterError
from sampan.workspace.data.admission import BatchVerdict, few_classes, judge_batch
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow  # a champion is trained once, and each judgment fits a dozen small models


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("admission")
    with Workspace.open(folder) as workspace:
        add_orders(workspace)
        model = workspace.model.train(write_training(folder), trials=1)
        workspace.model.promote(model.model.ref, force=True, reason="the first one")
        yield workspace


def more_orders(n_days: int = 8, *, seed: int = 1) -> pl.DataFrame:
    return draw_orders(n_days * PER_DAY, first=DAYS * PER_DAY, day=DAYS, rng=np.random.default_rng(seed))


def flipped(batch: pl.DataFrame, share: float) -> tuple[pl.DataFrame, np.ndarray]:
    wrong = np.random.default_rng(2).random(batch.height) < share
    return batch.with_columns(late=pl.when(pl.Series(wrong)).then(1 - pl.col("late")).otherwise("late")), wrong


def judged(ws: Workspace, batch: pl.DataFrame) -> BatchVerdict:
    found = judge_batch(ws, ws.catalog.resolve("orders", kind="dataset"), batch)
    assert found is not None
    return found


def test_an_honest_batch_goes_on_and_is_asked_by_the_champion(trained: Workspace) -> None:
    found = judged(trained, more_orders())

    assert found.verdict in ("helps", "neutral")
    assert () == found.suspicious_rows
    assert "orders-late@v1" == found.facts["asked_by"]
    assert ["not admitting", "admitting"] == [one["what"] for one in found.facts["effect"]["outcomes"]]


def test_rows_with_flipped_labels_are_named_by_their_place_in_the_batch(trained: Workspace) -> None:
    batch, wrong = flipped(more_orders(), 0.3)

    found = judged(trained, batch)

    assert found.verdict in ("suspicious", "harmful")
    assert wrong[list(found.suspicious_rows)].mean() > 0.45


def test_a_batch_without_labels_is_not_enough_to_say(trained: Workspace) -> None:
    found = judged(trained, more_orders().with_columns(late=pl.lit(None, pl.Float64)))

    assert "unknown" == found.verdict


def test_nothing_is_said_of_a_dataset_that_nobody_asks_anything_of(tmp_path: Path) -> None:
    with Workspace.open(tmp_path) as ws:
        ws.data.add_table({"a": [1, 2, 3]}, name="plain")

        assert None is judge_batch(ws, ws.catalog.resolve("plain", kind="dataset"), pl.DataFrame({"a": [4]}))


def test_a_declared_label_is_enough_where_no_model_was_promoted(tmp_path: Path) -> None:
    with Workspace.open(tmp_path) as ws:
        add_orders(ws)
        ws.data.label("orders", target="late = 1")
        batch, _ = flipped(more_orders(), 0.3)

        found = judge_batch(ws, ws.catalog.resolve("orders", kind="dataset"), batch)

    assert found is not None
    assert found.verdict in ("suspicious", "harmful")
    assert "the label late = 1" == found.facts["asked_by"]


def test_taking_a_batch_in_holds_what_is_suspicious_and_a_person_may_let_it_on(tmp_path: Path) -> None:
    with Workspace.open(tmp_path) as ws:
        add_orders(ws)
        ws.data.label("orders", target="late = 1")
        n_before = ws.data.show("orders").n_rows

        clean = ws.data.append_table("orders", more_orders())
        spoiled = ws.data.append_table("orders", flipped(more_orders(seed=3), 0.3)[0].with_columns(pl.col("order") + 100_000))

        assert ("admitted", n_before + 8 * PER_DAY) == (clean.state, clean.n_rows)
        assert any(reason.startswith(("helps", "neutral")) for reason in clean.reasons)
        assert spoiled.n_held > 0
        assert any(reason.startswith(("suspicious", "harmful")) for reason in spoiled.reasons)
        batch = ws.catalog.nodes(kind="batch", name="orders.batch", limit=1)[0]
        assert batch.facts["admission"]["verdict"] in ("suspicious", "harmful")


@pytest.fixture(scope="module")
def loads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Loads with a class and a number that the other columns tell."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 3))
    carrier = np.array(["bike", "truck", "van"])[np.clip(x[:, 0] + 1 + rng.normal(size=3000) / 4, 0, 2).round().astype(int)]
    frame = pl.DataFrame({"x0": x[:, 0], "x1": x[:, 1], "x2": x[:, 2], "carrier": carrier})
    frame = frame.with_columns(minutes=pl.Series(30 + 9 * x[:, 1] + 4 * x[:, 2] + rng.normal(size=3000) * 3))
    with Workspace.open(tmp_path_factory.mktemp("loads")) as ws:
        for name in ("by_carrier", "by_minutes"):
            ws.data.add_table(frame[:2400], name=name)
        ws.data.add_table(frame[2400:], name="rest")
        yield ws


def rest(ws: Workspace) -> pl.DataFrame:
    return ws.store.tables.read(ws.catalog.resolve("rest", kind="dataset").digest)


def test_a_column_of_classes_is_declared_judged_and_valued(loads: Workspace) -> None:
    declared = loads.data.label("by_carrier", target="carrier")
    batch = rest(loads).with_columns(carrier=pl.when(pl.int_range(600) % 4 == 0).then(pl.lit("bike")).otherwise("carrier"))

    judged_ = loads.data.judge_table("by_carrier", batch)
    valued = loads.data.value("by_carrier")

    assert ("classes", ("bike", "truck", "van")) == (declared.kind, declared.classes)
    assert "one of 3 classes: bike, truck, van" in declared.text()
    assert judged_.verdict in ("suspicious", "harmful")
    assert ("log loss", "AUC") == (judged_.loss, judged_.score)
    assert {"bike"} == {row.label for row in judged_.rows if "label" in row.by} | {"bike"}
    assert {row.fits for row in judged_.rows} <= {"", "truck", "van", "bike"}
    assert ("classes", 2400) == (valued.kind, valued.n_rows)
    assert [0.01, 0.02, 0.05, 0.1] == [one.share for one in valued.effect]


def test_a_number_is_declared_judged_and_valued(loads: Workspace) -> None:
    declared = loads.data.label("by_minutes", target="minutes", unless="carrier = 'van'")
    batch = rest(loads).with_columns(minutes=pl.when(pl.int_range(600) % 5 == 0).then(pl.col("minutes").reverse()).otherwise("minutes"))

    judged_ = loads.data.judge_table("by_minutes", batch)
    valued = loads.data.value("by_minutes")

    assert ("number", ()) == (declared.kind, declared.classes)
    assert "rows have one, a number" in declared.text()
    assert judged_.verdict in ("suspicious", "harmful")
    assert ("squared error", "rank agreement") == (judged_.loss, judged_.score)
    assert "squared error" in judged_.text()
    assert valued.kind == "number"
    assert -1 <= valued.rows[0].value <= valued.rows[-1].value <= 1
    assert "squared error on rows set aside" in valued.text()


def test_neighbors_do_not_value_numbers(loads: Workspace) -> None:
    with pytest.raises(ParameterError, match="no vectors of one length"):
        loads.data.value("by_minutes", target="minutes", vector="x0")


def test_many_classes_are_judged_by_the_most_frequent_ones() -> None:
    before = np.repeat(np.arange(12.0), np.arange(12, 0, -1))

    kept, now, names = few_classes(before, np.array([0.0, 11.0]), tuple("abcdefghijkl"))

    assert (*"abcdefghi", "any other") == names
    assert [0.0, 9.0] == now.tolist()
    assert 6 == (kept == 9).sum()
    assert few_classes(before, now, ("a", "b"))[0] is before
