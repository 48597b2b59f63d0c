"""A batch is one act: checked, then admitted, held or refused; the same batch again changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from sampan.errors import ContractViolated, DataFormatError, ParameterError, StaleState
from sampan.table import texts
from sampan.workspace.data import batch_edits, batches
from sampan.workspace.data.batches import Arrival, Batches
from sampan.workspace.data.quarantine import REASONS, Quarantine
from sampan.workspace.data.staging import Staging
from sampan.workspace.workspace import Workspace

HEADER = "id,shop,paid,at\n"


def lines(first: int, last: int, **changed: str) -> str:
    return HEADER + "".join(
        changed.get(f"r{i}", f"{i},s{i % 3},{i % 50}.5,2024-01-{i % 28 + 1:02}T00:00:00Z") + "\n" for i in range(first, last)
    )


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "orders.csv").write_text(lines(0, 200))
    with Workspace.open(tmp_path, actor="ana") as workspace:
        workspace.data.add(tmp_path / "orders.csv", key=["id"], time="at")
        yield workspace


def append(ws: Workspace, text: str, **how: object) -> object:
    (ws.root / "batch.csv").write_text(text)
    return ws.data.append("orders", ws.root / "batch.csv", **how)  # type: ignore[arg-type]


def table(ws: Workspace) -> pl.DataFrame:
    return ws.store.tables.read(ws.catalog.resolve("orders", kind="dataset").digest)


def test_new_rows_are_added_and_the_batch_is_recorded(ws: Workspace) -> None:
    answer = append(ws, lines(200, 210))

    assert (answer.ref, answer.state, answer.n_rows, answer.n_new) == ("orders@v2", "admitted", 210, 10)  # type: ignore[attr-defined]
    assert ws.catalog.resolve("orders.batch@v1", kind="batch").state == "admitted"
    assert {e.role for e in ws.catalog.edges_to(ws.catalog.resolve("orders@v2", kind="dataset").id)} == {"derived_from", "input"}


def test_the_same_rows_again_are_known_by_content_whatever_file_they_come_in(ws: Workspace) -> None:
    append(ws, lines(200, 210))
    n_events = len(ws.catalog.events())
    pl.read_csv(ws.root / "batch.csv", try_parse_dates=True).write_parquet(ws.root / "batch.parquet")
    again = append(ws, lines(200, 210))
    otherwise = ws.data.append_table("orders", table(ws).tail(10))

    assert (again.state, otherwise.state) == ("known", "known")  # type: ignore[attr-defined]
    assert n_events == len(ws.catalog.events())


def test_overlapping_rows_are_upserted_and_late_ones_left_out(ws: Workspace) -> None:
    text = lines(195, 205, r196="196,new,1.5,2024-02-01T00:00:00Z", r197="197,old,1.5,2023-01-01T00:00:00Z")
    answer = append(ws, text)
    rows = {row["id"]: row["shop"] for row in table(ws).to_dicts()}

    assert (answer.n_new, answer.n_replaced, answer.n_same, answer.n_late) == (5, 1, 3, 1)  # type: ignore[attr-defined]
    assert (rows[196], rows[197]) == ("new", "s2")
    assert len(rows) == table(ws).height == 205


def test_other_columns_are_brought_together_by_a_plan_that_is_agreed_to(ws: Workspace) -> None:
    text = "Shop,id,at,gate\ns1,200,2024-01-01T00:00:00Z,C1\n"
    with pytest.raises(ParameterError, match=r"shop comes as 'Shop'\n  paid is missing in the batch.*\n  gate is new") as shown:
        append(ws, text)
    plan = shown.value.hint.split("--accept ")[1].split(";")[0]
    answer = append(ws, text, accept=plan)

    assert answer.state == "admitted"  # type: ignore[attr-defined]
    assert table(ws).columns == ["id", "shop", "paid", "at", "gate"]
    assert table(ws).row(-1, named=True)["gate"] == "C1"
    assert table(ws)["gate"].null_count() == 200


def test_a_batch_of_other_types_comes_in_value_by_value_once_it_is_agreed_to(ws: Workspace) -> None:
    day = pl.datetime(2024, 5, 1)
    batch = pl.DataFrame({"id": ["200", "x1", "202"], "shop": ["s1", "s2", "s3"], "paid": [1, 2, 3]}, schema_overrides={"paid": pl.Int16})
    batch.with_columns(pl.col("shop").cast(pl.Categorical), day.alias("at")).write_parquet(ws.root / "batch.parquet")
    with pytest.raises(ParameterError, match=r"shop: Categorical → String, without loss") as shown:
        ws.data.append("orders", ws.root / "batch.parquet")
    plan = shown.value.hint.split("--accept ")[1].split(";")[0]
    answer = ws.data.append("orders", ws.root / "batch.parquet", accept=plan)

    assert (answer.n_new, answer.n_held) == (2, 1)
    assert table(ws).tail(2).select("id", "paid").rows() == [(200, 1.0), (202, 3.0)]
    assert [(c.column, c.value, c.reason) for c in ws.data.quarantine("orders").cells] == [("id", "x1", "not a whole number")]
    ws.data.mend("orders.quarantine@v1", values={"0:id": "201"})
    assert ws.data.readmit("orders.quarantine@v2").n_new == 1
    assert table(ws).row(-1, named=True)["id"] == 201


def test_a_row_with_too_few_fields_comes_back_once_it_is_completed(ws: Workspace) -> None:
    append(ws, lines(200, 240) + "240,s1\n")
    waiting = ws.data.quarantine("orders")
    assert [(c.column, c.value) for c in waiting.cells] == [("", "240,s1")]
    assert waiting.next[0] == "sampan data mend orders.quarantine@v1 --values 0:id=VALUE"

    mended = ws.data.mend("orders.quarantine@v1", values={"0:paid": "7.5", "0:at": "2024-01-09T00:00:00Z"})

    assert mended.n_ready == 1
    assert ws.data.readmit(mended.ref).n_new == 1
    assert table(ws).row(-1)[:3] == (240, "s1", 7.5)


def test_a_plan_agreed_to_for_one_batch_does_not_hold_for_another(ws: Workspace) -> None:
    with pytest.raises(ParameterError) as shown:
        append(ws, "id,shop,at\n200,s1,2024-01-01T00:00:00Z\n")
    plan = shown.value.hint.split("--accept ")[1].split(";")[0]
    with pytest.raises(ParameterError, match="was for another batch"):
        append(ws, "id,paid,at\n200,1.5,2024-01-01T00:00:00Z\n", accept=plan)


def test_bad_cells_wait_with_source_and_line_and_the_good_rows_go_on(ws: Workspace) -> None:
    answer = append(ws, lines(200, 210, r203="203,s1,much,2024-01-01T00:00:00Z", r205="205,s1,1.5,31/31/2024"))
    found = ws.data.quarantine("orders")

    assert (answer.n_new, answer.n_held) == (8, 2)  # type: ignore[attr-defined]
    assert [(c.column, c.value, c.source, c.line) for c in found.cells] == [
        ("paid", "much", "batch.csv", 5),
        ("at", "31/31/2024", "batch.csv", 7),
    ]


def test_a_json_value_of_another_type_waits_too(ws: Workspace) -> None:
    rows = [f'{{"id": {i}, "shop": "s", "paid": {i}.5, "at": "2024-01-01T00:00:00Z"}}' for i in range(300, 320)]
    rows[4] = rows[4].replace("304.5", '"much"')
    (ws.root / "batch.jsonl").write_text("\n".join(rows) + "\n")
    answer = ws.data.append("orders", ws.root / "batch.jsonl")

    assert (answer.n_new, answer.n_held) == (19, 1)
    assert [(c.column, c.value, c.line) for c in ws.data.quarantine("orders").cells] == [("paid", "much", 5)]


def test_mended_rows_come_back_and_the_others_go_on_waiting(ws: Workspace) -> None:
    append(ws, lines(200, 210, r203="203,s1,much,2024-01-01T00:00:00Z", r205="205,s1,few,2024-01-01T00:00:00Z"))
    mended = ws.data.mend("orders.quarantine@v1", values={"0:paid": "7.5"})
    answer = ws.data.readmit(mended.ref)
    left = ws.data.quarantine("orders")

    assert (mended.n_ready, answer.n_new) == (1, 1)
    assert table(ws).filter(pl.col("id") == 203)["paid"].to_list() == [7.5]
    assert [(c.row, c.value) for c in left.cells] == [(0, "few")]
    with pytest.raises(StaleState, match=r"orders\.quarantine@v1 is repaired already"):
        ws.data.readmit("orders.quarantine@v1")


def test_a_cell_mended_wrongly_stays(ws: Workspace) -> None:
    append(ws, lines(200, 210, r203="203,s1,much,2024-01-01T00:00:00Z"))
    answer = ws.data.readmit(ws.data.mend("orders.quarantine@v1", values={"0:paid": "more"}).ref)

    assert (answer.n_new, answer.n_held) == (0, 1)
    assert [c.value for c in ws.data.quarantine("orders").cells] == ["more"]


def test_nothing_unmended_is_let_in_and_discarding_says_why(ws: Workspace) -> None:
    append(ws, lines(200, 210, r203="203,s1,much,2024-01-01T00:00:00Z"))
    with pytest.raises(ParameterError, match=r"no row of orders\.quarantine@v1 is without a reason to wait"):
        ws.data.readmit("orders.quarantine@v1")
    with pytest.raises(ParameterError, match="no such cell: 5:paid, 0:nope"):
        ws.data.mend("orders.quarantine@v1", values={"5:paid": "1", "0:nope": "1"})
    ws.data.discard("orders.quarantine@v1", why="a test row")

    assert ws.data.quarantine().holdings == ()
    assert ws.catalog.resolve("orders.quarantine@v1", kind="quarantine").state == "discarded"


CONTRACT = """
kind: DataContract
apiVersion: v3.1.0
id: orders
name: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - name: id
        logicalType: integer
      - name: shop
        logicalType: string
      - name: paid
        logicalType: number
        logicalTypeOptions: {minimum: 0, maximum: 1000}
      - name: at
        logicalType: timestamp
"""


def test_rows_that_break_a_blocking_rule_wait_and_a_batch_of_such_rows_is_refused(ws: Workspace) -> None:
    (ws.root / "contracts").mkdir()
    (ws.root / "contracts" / "orders.yaml").write_text(CONTRACT)
    some = append(ws, lines(200, 210, r203="203,s1,-5,2024-01-01T00:00:00Z"))
    with pytest.raises(ContractViolated):
        append(ws, HEADER + "".join(f"{i},s1,-5,2024-01-01T00:00:00Z\n" for i in range(300, 310)))

    assert (some.n_new, some.n_held) == (9, 1)  # type: ignore[attr-defined]
    assert [batch.state for batch in ws.catalog.nodes(kind="batch")] == ["refused", "admitted"]
    assert table(ws).height == 209
    readmitted = ws.data.readmit("orders.quarantine@v1", why="a refund")
    assert readmitted.n_new == 1


def test_what_stays_of_a_batch_is_stored_as_if_it_had_come_alone(ws: Workspace) -> None:
    (ws.root / "contracts").mkdir()
    (ws.root / "contracts" / "orders.yaml").write_text(CONTRACT)
    append(ws, lines(200, 210, r203="203,s1,-5,2024-01-01T00:00:00Z"))
    alone = ws.store.tables.create(table(ws).tail(9))

    assert table(ws)["id"].tail(9).to_list() == [200, 201, 202, *range(204, 210)]
    assert ws.store.tables.parts(ws.catalog.resolve("orders", kind="dataset").digest)[-1:] == ws.store.tables.parts(alone.digest)


def test_of_a_batch_held_whole_only_the_reason_is_written(ws: Workspace) -> None:
    batch = ws.store.tables.create(table(ws))
    held = Quarantine(ws).stage_all("orders", batch, batch="", reason="half of it repeats", why="harmful: half of it repeats")

    assert [part.base for part in ws.store.tables.parts(held.digest)] == [part.base for part in ws.store.tables.parts(batch.digest)]
    rows = ws.store.tables.read(held.digest)
    assert rows.drop(REASONS).equals(table(ws))
    assert {reasons[0]["reason"] for reasons in rows[REASONS].to_list()} == {"half of it repeats"}


@pytest.mark.slow
def test_a_process_killed_in_the_middle_of_a_batch_loses_nothing_and_half_writes_nothing(ws: Workspace) -> None:
    program = (
        "import sys, json, polars as pl\n"
        "from sampan.workspace.workspace import Workspace\n"
        "ws = Workspace.open(sys.argv[1])\n"
        "for n in range(int(sys.argv[2]), 100):\n"
        "    frame = pl.DataFrame({'id': range(1000 * n, 1000 * n + 50), 'shop': ['k'] * 50, 'paid': [1.0] * 50})\n"
        "    frame = frame.with_columns(at=pl.lit('2024-03-01T00:00:00').str.to_datetime(time_unit='us', time_zone='UTC'))\n"
        "    ref = ws.data.append_table('orders', frame).ref\n"
        "    print(n, flush=True)\n"
    )
    done = 0
    for life in range(4):
        with subprocess.Popen([sys.executable, "-c", program, str(ws.root), str(done + 1)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(2 + life):
                done = int(process.stdout.readline())
            time.sleep(0.01 * life)
            os.kill(process.pid, signal.SIGKILL)
        rows = table(ws).filter(pl.col("shop") == "k").group_by(pl.col("id") // 1000).len().sort("id")
        batches = rows["id"].to_list()

        assert set(range(1, done + 1)) <= set(batches)  # what was acknowledged is there
        assert batches == list(range(1, len(batches) + 1))
        assert rows["len"].unique().to_list() == [50]  # and no batch is there in part
        done = batches[-1]
    assert ws.ledger.verify().first_bad is None


def test_what_is_admitted_as_it_came_is_not_written_again(ws: Workspace) -> None:
    before = ws.store.tables.parts(ws.catalog.resolve("orders", kind="dataset").digest)
    append(ws, lines(200, 260))
    after = ws.store.tables.parts(ws.catalog.resolve("orders", kind="dataset").digest)
    alone = ws.store.tables.create(table(ws).tail(60))

    assert after == [*before, *ws.store.tables.parts(alone.digest)]


def test_a_large_batch_is_compared_in_pieces(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_edits, "_AT_ONCE", 30)
    answer = append(ws, lines(100, 300, r150="150,s9,1.5,2024-01-28T00:00:00Z", r160="160,s9,1.5,2000-01-28T00:00:00Z"))

    assert (answer.n_new, answer.n_replaced, answer.n_same, answer.n_late) == (100, 1, 98, 1)  # type: ignore[attr-defined]
    assert table(ws).height == table(ws)["id"].n_unique() == 300
    assert table(ws).filter(pl.col("id") == 150)["shop"].to_list() == ["s9"]
    with pytest.raises(ParameterError, match="the key id is not unique in the new rows: several have id=290"):
        append(ws, lines(190, 300) + lines(290, 291).removeprefix(HEADER))


def test_a_batch_staged_for_columns_that_changed_meanwhile_is_planned_anew(ws: Workspace) -> None:
    staging = Staging(ws, "orders", "memory")
    rows = table(ws).tail(3).with_columns(pl.col("id") + 1000)
    staged = staging(rows.schema, iter([rows]))
    ws.data.add_columns("orders", table(ws).select("id", vip=pl.lit(value=True)), key=["id"])

    with pytest.raises(ParameterError, match="vip is missing in the batch"):
        Batches(ws).append(Arrival(staged, staging))


def test_a_very_large_batch_is_judged_by_some_of_its_rows_and_it_is_said(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_MOST_JUDGED", 50)
    ws.data.label("orders", target="paid > 20")

    answer = append(ws, lines(200, 400))

    assert answer.reasons[0].endswith("judged by every 4th of 200 rows")  # type: ignore[attr-defined]


def test_a_json_batch_of_another_type_altogether_is_refused_instead_of_held(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MANY", 20)
    (ws.root / "batch.jsonl").write_text(
        "".join(f'{{"id": "no. {i}", "shop": "s", "paid": 1.5, "at": "2024-01-01T00:00:00Z"}}\n' for i in range(30))
    )

    with pytest.raises(DataFormatError, match=r"of 30 values of column 'id', 30 are not a whole number; one is 'no\. 0'"):
        ws.data.append("orders", ws.root / "batch.jsonl")


def test_of_a_json_batch_only_what_the_dataset_does_not_settle_is_noted(ws: Workspace) -> None:
    line = '{{"id": {}, "shop": "s", "paid": {}, "at": "2024-01-01T00:00:00Z"}}\n'
    (ws.root / "batch.jsonl").write_text(line.format(300, '"much"') + line.format(301, 2))

    assert ws.data.append("orders", ws.root / "batch.jsonl").notes == ("1 row with cells that could not be read is left out",)
