"""`data value` and `data judge`: what rows are worth and what a batch would do, asked in the room."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from sampan.errors import NotFound, ParameterError
from sampan.stats.estimates import Estimate
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow  # each question cross-fits small models


def claims(n: int, *, wrong: float = 0.0, seed: int = 0) -> tuple[pl.DataFrame, np.ndarray]:
    """Draw claims whose fraud depends on amount and channel; some labels may be turned."""
    rng = np.random.default_rng(seed)
    amount, channel = rng.normal(size=n), rng.integers(0, 3, n)
    fraud = rng.random(n) < 1 / (1 + np.exp(-(3 * amount - 1 + channel)))
    turned = rng.random(n) < wrong
    frame = pl.DataFrame({"claim": np.arange(n), "amount": amount, "channel": [f"c{c}" for c in channel], "fraud": fraud ^ turned})
    return frame, turned


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    workspace = Workspace.open(tmp_path)
    workspace.data.add_table(claims(3000, wrong=0.05)[0], name="claims", key=["claim"])
    return workspace


def test_rows_are_valued_by_the_declared_label_and_the_lowest_come_first(ws: Workspace) -> None:
    ws.data.label("claims", target="fraud")
    turned = claims(3000, wrong=0.05)[1]

    answer = ws.data.value("claims", top=40)

    assert ("margin", "the label fraud", 3000) == (answer.method, answer.asked_by, answer.n_rows)
    assert turned[[row.row for row in answer.rows]].mean() > 0.6
    assert sorted(row.value for row in answer.rows) == [row.value for row in answer.rows]
    assert [row.row for row in answer.rows] == [row.cells["claim"] for row in answer.rows]
    assert [0.01, 0.02, 0.05, 0.10] == [one.share for one in answer.effect]
    assert 3000 == sum(answer.counts)
    assert "labels confidently contradicted" in answer.text()


def test_labels_that_rare_rows_explain_are_not_called_wrong(ws: Workspace) -> None:
    found = ws.data.value("claims", target="fraud")

    noisy = msgspec.structs.replace(found, n_wrong=90, share=Estimate(0.0, -0.01, 0.01)).text()
    spoiled = msgspec.structs.replace(found, n_wrong=90, share=Estimate(0.04, 0.03, 0.05)).text()

    assert "90 labels confidently contradicted; rows that are merely rare explain as many, so that perhaps none is wrong" in noisy
    assert "about 4.0% of all are wrong" in spoiled


def test_valuing_again_finds_the_recorded_values_and_leads_back_to_the_data(ws: Workspace) -> None:
    first = ws.data.value("claims", target="fraud")

    again = ws.data.value("claims", target="fraud")

    assert [False, True] == [first.cached, again.cached]
    assert first.node == again.node
    assert first.rows == again.rows
    assert {"dataset", "value"} == {node.kind for node in ws.catalog.lineage(first.node).nodes}


def test_embeddings_are_valued_by_their_neighbors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 3, 300)
    vectors = np.eye(3)[kinds] * 3 + rng.normal(size=(300, 3)) * 0.5
    said = kinds.copy()
    said[:10] = (kinds[:10] + 1) % 3
    frame = pl.DataFrame({"vector": vectors, "kind": [f"k{k}" for k in said]})
    with Workspace.open(tmp_path) as ws:
        ws.data.add_table(frame, name="pictures")

        answer = ws.data.value("pictures", target="kind", top=10)

    assert "knn-shapley" == answer.method
    assert set(range(10)) == {row.row for row in answer.rows}
    assert {f"k{kinds[row.row]}" for row in answer.rows if row.row == 0} == {row.fits for row in answer.rows if row.row == 0}


def test_a_question_nobody_asked_is_refused_with_the_way_out(ws: Workspace) -> None:
    with pytest.raises(ParameterError, match="nobody said what the label of claims is") as refused:
        ws.data.value("claims")
    with pytest.raises(ParameterError, match="no column 'embedding'"):
        ws.data.value("claims", target="fraud", vector="embedding")
    with pytest.raises(ParameterError, match="--top 0"):
        ws.data.value("claims", target="fraud", top=0)
    with pytest.raises(NotFound):
        ws.data.value("unknown")

    assert "sampan data label claims" in refused.value.hint


def test_a_batch_is_judged_from_its_file_and_nothing_is_let_in(ws: Workspace, tmp_path: Path) -> None:
    ws.data.label("claims", target="fraud")
    batch, turned = claims(800, wrong=0.3, seed=9)
    batch.with_columns(pl.col("claim") + 3000).write_csv(tmp_path / "june.csv")
    before = ws.data.show("claims").ref

    answer = ws.data.judge("claims", tmp_path / "june.csv", top=20)

    assert answer.verdict in ("suspicious", "harmful")
    assert 3 == answer.exit_code()
    assert turned[[row.row for row in answer.rows]].mean() > 0.6
    assert ["not admitting", "admitting", "admitting without the suspicious rows"] == [one.what for one in answer.consequences]
    assert "note: rows have no declared time" in answer.text()
    assert "data append would hold" in answer.text()
    assert before == ws.data.show("claims").ref
    assert ("sampan data append claims june.csv",) == answer.next


def test_an_honest_batch_from_memory_passes(ws: Workspace) -> None:
    ws.data.label("claims", target="fraud")

    answer = ws.data.judge_table("claims", claims(800, wrong=0.05, seed=9)[0].with_columns(pl.col("claim") + 3000))

    assert answer.verdict in ("helps", "neutral")
    assert 0 == answer.exit_code()
    assert () == answer.rows


@pytest.fixture
def asked(ws: Workspace) -> Workspace:
    ws.data.label("claims", target="fraud")
    return ws


def june(n: int, *, wrong: float = 0.0) -> tuple[pl.DataFrame, np.ndarray]:
    frame, turned = claims(n, wrong=wrong, seed=9)
    return frame.with_columns(pl.col("claim") + 3000), turned


def test_judging_reads_a_batch_as_appending_does(asked: Workspace, tmp_path: Path) -> None:
    batch = (
        june(800, wrong=0.3)[0]
        .rename({"amount": "sum"})
        .with_columns(pl.col("sum").round(4).cast(pl.String).str.replace(".", ",", literal=True))
    )
    batch.write_csv(tmp_path / "june.csv", separator=";")

    foreseen = asked.data.judge("claims", tmp_path / "june.csv", rename={"sum": "amount"})
    came = asked.data.append("claims", tmp_path / "june.csv", rename={"sum": "amount"})

    found = asked.catalog.node(asked.catalog.resolve(came.batch, kind="batch").id).facts["admission"]
    assert foreseen.reasons == tuple(found["reasons"])
    assert foreseen.facts["figures"] == found["figures"]
    assert came.n_held == (foreseen.n_rows if foreseen.holds == "all" else foreseen.n_suspicious) > 0


def test_a_plan_nobody_agreed_to_is_shown_and_judged_by(asked: Workspace, tmp_path: Path) -> None:
    june(400)[0].with_columns(clerk=pl.int_range(400)).write_csv(tmp_path / "june.csv")

    answer = asked.data.judge("claims", tmp_path / "june.csv")

    assert answer.verdict in ("helps", "neutral")  # a new column says nothing of rows that no row before can be held against
    assert any("clerk is new" in step for step in answer.plan)
    assert " --accept " in answer.next[0]
    with pytest.raises(ParameterError, match="clerk is new"):
        asked.data.append("claims", tmp_path / "june.csv")


def test_a_column_that_stopped_coming_is_named_and_nothing_else_is_blamed(asked: Workspace) -> None:
    batch = june(600)[0].with_columns(amount=pl.when(pl.col("claim") % 2 == 0).then("amount"))

    answer = asked.data.judge_table("claims", batch)

    assert ["amount is missing in 300 rows (50.0%); usually 0.0%, at most 5.0%"] == [*answer.reasons[:1]]
    assert "suspicious" == answer.verdict
    assert {("amount",)} == {row.by for row in answer.rows}
    assert {None} == {row.cells["amount"] for row in answer.rows}


def test_rows_that_are_there_already_are_neither_judged_nor_judged_by(asked: Workspace) -> None:
    there = claims(3000, wrong=0.05)[0]
    overlapping = pl.concat([there.tail(900), june(300)[0]])

    again, overlap = asked.data.judge_table("claims", there.tail(900)), asked.data.judge_table("claims", overlapping)

    assert ("neutral", ("all its rows are there already, so that nothing changes",)) == (again.verdict, again.reasons)
    assert "neutral" == overlap.verdict
    assert 300 == overlap.facts["n_labeled"]
    assert "900 of 1,200 rows are there already or came late; they change nothing and were not judged" == overlap.reasons[-1]


def test_suspicious_rows_are_named_by_their_place_in_the_whole_batch(asked: Workspace) -> None:
    fresh, turned = june(800, wrong=0.3)
    batch = pl.concat([claims(3000, wrong=0.05)[0].head(200), fresh])

    answer = asked.data.judge_table("claims", batch, top=100)

    assert all(row.row >= 200 and row.cells["claim"] == batch["claim"][row.row] for row in answer.rows)
    assert turned[[row.row - 200 for row in answer.rows]].mean() > 0.6


def test_a_held_label_is_mended_where_it_stands_and_its_row_comes_back(asked: Workspace) -> None:
    came = asked.data.append_table("claims", june(800, wrong=0.12)[0])

    held = asked.data.quarantine(came.held[0])
    first = held.cells[0]
    mended = asked.data.mend(came.held[0], values={f"{first.row}:fraud": "false" if first.value == "true" else "true"})
    back = asked.data.readmit(mended.ref)

    assert "admitted" == came.state
    assert {("fraud", "memory")} == {(cell.column, cell.source) for cell in held.cells}
    assert first.reason.startswith("the label contradicts the other columns; ")
    assert ["mend", "readmit", "discard"] == [step.split()[2] for step in held.next]
    assert 1 == mended.n_ready
    assert (1, came.n_rows + 1) == (back.n_new, back.n_rows)
