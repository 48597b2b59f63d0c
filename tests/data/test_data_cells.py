"""The verbs of wrong cells: found, recorded once, repaired in a version of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.core.answers import to_json
from sampan.errors import EditConflict, ParameterError
from sampan.workspace.data.cells import newest_finding
from sampan.workspace.workspace import Workspace

SIZES = ("12 oz", "12 oz.", "16 ounce")
BEERS = "id,size,city\n" + "".join(f"{n},{SIZES[n % 3]},{'Hanoj' if n == 50 else ('Hanoi', 'Saigon')[n % 2]}\n" for n in range(90))


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "beers.csv").write_text(BEERS)
    with Workspace.open(tmp_path, actor="ana") as workspace:
        workspace.data.add(tmp_path / "beers.csv", key=["id"])
        yield workspace


def test_wrong_cells_are_listed_with_their_repairs_and_recorded_once(ws: Workspace) -> None:
    found = ws.data.errors("beers")
    again = ws.data.errors("beers@v1")

    assert (found.n_wrong, found.n_repairs, found.n_cells) == (91, 91, 270)
    assert {(g.column, g.kind, g.n_cells) for g in found.groups} == {("size", "unit", 90), ("city", "typo", 1)}
    assert next((c.row, c.value, c.remedy) for c in found.cells if c.column == "city") == (50, "Hanoj", "Hanoi")
    assert found.found == again.found
    assert found.next == ("sampan data repair beers@v1",)
    assert "Hanoj" in found.text()


def test_what_is_recorded_holds_counts_and_no_values(ws: Workspace) -> None:
    ws.data.errors("beers")
    finding = newest_finding(ws.data, ws.catalog.resolve("beers", kind="dataset"))

    assert finding is not None
    assert (finding.state, finding.facts["n_wrong"]) == ("found", 91)
    assert b"Hanoj" not in to_json(finding.facts)


def test_repairs_make_a_version_and_leave_the_one_before(ws: Workspace) -> None:
    repaired = ws.data.repair("beers")
    after = ws.store.tables.read(ws.catalog.resolve("beers", kind="dataset").digest)
    before = ws.store.tables.read(ws.catalog.resolve("beers@v1", kind="dataset").digest)
    diff = ws.data.diff("beers@v1", "beers@v2")

    assert (repaired.after, repaired.n_repaired, repaired.by_column) == ("beers@v2", 91, {"size": 90, "city": 1})
    assert repaired.retyped == {"size": "Int64, no longer text"}
    assert after["size"].to_list()[:3] == [12, 12, 16]
    assert (before["size"][0], before["city"][50], after["city"][50]) == ("12 oz", "Hanoj", "Hanoi")
    assert diff.changed_columns == {"size": 90, "city": 1}
    assert ws.data.errors("beers").n_wrong == 0


def test_only_the_faults_and_columns_asked_for_are_repaired(ws: Workspace) -> None:
    repaired = ws.data.repair("beers", kinds=["typo"])
    nothing = ws.data.repair("beers", columns=["id"])

    assert (repaired.by_column, repaired.n_left) == ({"city": 1}, 90)
    assert (nothing.unchanged, nothing.after, nothing.n_left) == (True, "beers@v2", 90)
    assert "nothing to repair" in nothing.text()


def test_a_repair_of_a_version_that_others_changed_meanwhile_is_a_conflict_if_they_meet(ws: Workspace) -> None:
    ws.data.add_columns("beers", {"stars": list(range(90))}, by_order=True)
    repaired = ws.data.repair("beers@v1", kinds=["typo"])
    ws.data.delete("beers", where="id = 3")

    assert repaired.after == "beers@v3"
    assert set(ws.catalog.resolve("beers@v3", kind="dataset").facts["columns"]) == {"id", "size", "city", "stars"}
    with pytest.raises(EditConflict, match="has other rows than"):
        ws.data.repair("beers@v1", kinds=["unit"])


@pytest.mark.parametrize(("asked", "said"), [({"kinds": ["slip"]}, "no fault is called slip"), ({"limit": -1}, "limit is -1")])
def test_what_cannot_be_asked_is_refused(ws: Workspace, asked: dict[str, object], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        ws.data.errors("beers", **asked)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="confidence is 2"):
        ws.data.repair("beers", confidence=2)


def test_repairs_are_accepted_and_refused_one_by_one(ws: Workspace) -> None:
    accepted = ws.data.repair("beers@v1", rows=["50"], leave=["50:size"])
    refused = ws.data.repair("beers@v1", leave=["50:city", "51"])

    assert (accepted.n_repaired, accepted.by_column, accepted.n_left) == (1, {"city": 1}, 90)
    assert (refused.n_repaired, refused.by_column, refused.n_left) == (89, {"size": 89}, 2)


@pytest.mark.parametrize("place", ["x", "9000", "51:city", "-1", "50:town"])
def test_a_place_where_no_cell_looks_wrong_is_named(ws: Workspace, place: str) -> None:
    with pytest.raises(ParameterError, match=f"no cell looks wrong at '{place}'"):
        ws.data.repair("beers", leave=[place])


def test_a_column_that_is_not_there_is_named(ws: Workspace) -> None:
    for verb in (ws.data.errors, ws.data.repair):
        with pytest.raises(ParameterError, match=r"beers@v1 has no column 'citi'") as caught:
            verb("beers", columns=["citi"])
        assert "did you mean city" in caught.value.hint
