"""What depends on a thing, who answers for it, and where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.core.events import AliasMoved, Input, VersionCommitted, new_id
from sampan.errors import NotFound, ParameterError
from sampan.workspace.workspace import Workspace

NOON = 1_357_041_600_000
PROJECT = """
[project]
owner = "ops"

[governance.teams]
risk = "an, binh"

[policies.flights]
owner = "risk"
ask = "risk@airline.example"
"""


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "sampan.toml").write_text(PROJECT)
    with Workspace.open(tmp_path, actor="an", clock=lambda: NOON) as workspace:
        yield workspace


def commit(ws: Workspace, kind: str, name: str, *sources: str, role: str = "input", **facts: Any) -> str:
    node = new_id()
    inputs = tuple(Input(source, role) for source in sources)
    ws.ledger.append(VersionCommitted(node=node, kind=kind, name=name, digest="", facts=facts, inputs=inputs))
    return node


def point(ws: Workspace, kind: str, name: str, alias: str, node: str) -> None:
    ws.ledger.append(AliasMoved(kind=kind, name=name, alias=alias, before=None, after=node, reason="better"), reason="better")


def live_service(ws: Workspace, flights: str, *, reads: list[str]) -> str:
    model = commit(ws, "model", "late", flights, role="trained_on", reads={"flights": reads})
    package = commit(ws, "package", "late", model)
    deployment = commit(ws, "deployment", "board", package, version="late@v1")
    point(ws, "model", "late", "champion", model)
    point(ws, "deployment", "board", "live", deployment)
    return model


def test_impact_names_what_is_live_first_and_whom_to_tell(ws: Workspace) -> None:
    flights = commit(ws, "dataset", "flights", columns={"delay": "f64"})
    live_service(ws, flights, reads=["delay"])
    commit(ws, "run", "late", flights)

    found = ws.home.impact("flights@v1")

    assert [("service board", "live"), ("model late", "champion")] == [(one.what, one.alias) for one in found.live]
    assert {"model": 1, "package": 1, "deployment": 1, "run": 1} == found.counts
    assert found.counted_all
    assert "ops" == found.live[0].owner
    assert "service board" in found.text()


def test_what_is_live_is_found_however_much_else_came_of_the_data(ws: Workspace) -> None:
    flights = commit(ws, "dataset", "flights")
    runs = [VersionCommitted(node=new_id(), kind="run", name="late", digest="", inputs=(Input(flights, "input"),)) for _ in range(6_000)]
    ws.ledger.append(*runs)
    live_service(ws, flights, reads=[])

    found = ws.home.impact("flights")

    assert ["service board", "model late"] == [one.what for one in found.live]
    assert not found.counted_all
    assert "at least" in found.text()


def test_a_bare_name_means_all_versions(ws: Workspace) -> None:
    first = commit(ws, "dataset", "flights")
    live_service(ws, first, reads=[])
    commit(ws, "dataset", "flights", first)

    assert 2 == len(ws.home.impact("flights").live)
    assert 0 == len(ws.home.impact("flights@v2").live)


def test_a_column_touches_only_what_reads_it(ws: Workspace) -> None:
    flights = commit(ws, "dataset", "flights", columns={"delay": "f64", "carrier": "str"})
    live_service(ws, flights, reads=["delay"])
    commit(ws, "dataset", "weekly", flights, columns={"carrier": "str"})

    assert ["service board", "model late"] == [one.what for one in ws.home.impact("flights.delay").live]
    carrier = ws.home.impact("flights@v1.carrier")
    assert () == carrier.live
    assert ["weekly@v1"] == [one.ref for one in carrier.nearest]
    with pytest.raises(NotFound, match=r"flights\.wind"):
        ws.home.impact("flights.wind")


def test_the_impact_of_a_team_is_that_of_all_it_owns(ws: Workspace) -> None:
    live_service(ws, commit(ws, "dataset", "flights"), reads=[])
    commit(ws, "dataset", "weather")

    assert ["service board", "model late"] == [one.what for one in ws.home.impact("team:risk").live]


def test_who_names_the_owner_its_people_and_what_they_did(ws: Workspace) -> None:
    flights = commit(ws, "dataset", "flights")
    live_service(ws, flights, reads=[])

    data, model = ws.home.who("flights"), ws.home.who("model:late@champion")

    assert ("risk", ("an", "binh"), "risk@airline.example") == (data.owner, data.people, data.ask)
    assert ("alias moved (champion)", "better") == (model.acts[0].what, model.acts[0].reason)
    assert "ops" == model.owner


def test_who_says_whose_things_rely_on_it(ws: Workspace) -> None:
    weather = commit(ws, "dataset", "weather")
    commit(ws, "dataset", "flights", weather)

    assert {"risk": ["flights"]} == ws.home.who("weather").relies


def test_a_person_is_known_by_what_they_did_and_a_team_by_what_it_owns(ws: Workspace) -> None:
    commit(ws, "dataset", "flights")

    person, team = ws.home.who("an"), ws.home.who("risk")

    assert ("person", "flights@v1") == (person.kind, person.made[0].ref)
    assert ("team", ("an", "binh"), ("dataset:flights",)) == (team.kind, team.people, team.owns)
    with pytest.raises(NotFound, match="nobody is called 'zoe'"):
        ws.home.who("person:zoe")


def test_lineage_shows_the_nearest_where_there_is_much(ws: Workspace) -> None:
    flights = commit(ws, "dataset", "flights")
    for _ in range(20):
        commit(ws, "run", "late", flights)

    found = ws.home.lineage("flights", down=True, limit=5)

    assert 5 == len(found.nodes)
    assert not found.whole
    assert "the nearest 5" in found.text()
    with pytest.raises(ParameterError, match="limit: 0 is less than 1"):
        ws.home.lineage("flights", limit=0)


def test_lineage_stops_at_the_depth_that_was_asked_for(ws: Workspace) -> None:
    last = commit(ws, "dataset", "d0")
    for number in range(1, 6):
        last = commit(ws, "dataset", f"d{number}", last)

    found = ws.home.lineage("d5", depth=2)

    assert ["d5@v1", "d4@v1", "d3@v1"] == [one.ref for one in found.nodes]
    assert not found.whole
    assert ws.home.lineage("d5", depth=5).whole


def test_a_name_that_a_report_shares_means_the_model(ws: Workspace) -> None:
    model = commit(ws, "model", "late")
    commit(ws, "report", "late", model)

    assert "model" == ws.home.lineage("late@v1").root.kind
    assert "model" == ws.home.who("late").kind
