"""When a verdict keeps a whole batch back, and what is said of the rows it keeps."""

from __future__ import annotations

import msgspec
import numpy as np
import polars as pl

from sampan.evaluation.admission.evidence import Doubt
from sampan.workspace.data.admission import BatchVerdict, Suspect
from sampan.workspace.data.batch_answers import HeldRow, HoldingLine, Quarantined
from sampan.workspace.data.batches import doubted_cells


def verdict(*rows: int, n_suspicious: int | None = None) -> BatchVerdict:
    doubts = (Doubt("label", "the label contradicts the other columns"), Doubt("price", "the value is missing"), Doubt("repeated", "twice"))
    suspects = tuple(Suspect(row, 1.0, "b", "a", doubts) for row in rows)
    facts = {"n_suspicious": len(rows) if n_suspicious is None else n_suspicious, "rows": list(rows)}
    return BatchVerdict("suspicious", ("why",), suspects, facts, ("kind",))


def test_a_batch_is_held_whole_where_not_every_suspicious_row_is_named_or_most_are() -> None:
    found = verdict(0, 1)

    assert not found.holds_all(4)
    assert found.holds_all(3)
    assert verdict().holds_all(4)
    assert verdict(0, 1, n_suspicious=3).holds_all(100)
    assert msgspec.structs.replace(found, is_whole=False).holds_all(100)
    assert msgspec.structs.replace(found, verdict="harmful").holds_all(100)


def test_rows_are_named_by_their_places_in_a_larger_batch() -> None:
    found = verdict(2, 0).of_places(np.array([10, 20, 30]))

    assert (30, 10) == found.suspicious_rows
    assert [30, 10] == found.facts["rows"]


def test_a_reason_stands_in_its_column_and_quotes_no_value() -> None:
    rows = pl.DataFrame({"kind": ["b", "b"], "price": [None, 2.5]})

    cells = doubted_cells(verdict(7, 3), rows, "june.csv")

    assert [("kind", "b"), ("price", ""), ("", ""), ("kind", "b"), ("price", "2.5"), ("", "")] == [(one.column, one.value) for one in cells]
    assert [0, 0, 0, 1, 1, 1] == [one.row for one in cells]
    assert not any("2.5" in one.reason for one in cells)


def test_a_label_computed_from_several_columns_stands_in_none() -> None:
    found = msgspec.structs.replace(verdict(0), label_columns=("arrived", "due"))

    assert "" == doubted_cells(found, pl.DataFrame({"arrived": [1], "due": [2], "price": [3]}), "")[0].column


def test_a_reason_that_holds_for_a_whole_batch_is_said_once() -> None:
    line = HoldingLine("parts.quarantine@v1", "parts", 3, "suspicious: why", {"why": 3}, "now")
    alike = tuple(HeldRow(row, "", "", "why") for row in range(3))

    said = Quarantined(holdings=(line,), cells=alike, n_cells=3).text()

    assert said.endswith("every row: why")
    assert "(row)" in Quarantined(holdings=(line,), cells=(*alike, HeldRow(3, "", "", "another")), n_cells=4).text()
