from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.core.events import AliasMoved, Input, VersionCommitted, new_id
from sampan.errors import NotFound, ParameterError
from sampan.workspace.overview import FIRST_COMMANDS
from sampan.workspace.workspace import Workspace

NOON = 1_357_041_600_000


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path, actor="an", clock=lambda: NOON) as workspace:
        yield workspace


def commit(ws: Workspace, kind: str, name: str, *, state: str = "active", inputs: dict[str, str] | None = None, **facts: object) -> str:
    node = new_id()
    sources = tuple(Input(node=source, role=role) for role, source in (inputs or {}).items())
    ws.ledger.append(VersionCommitted(node=node, kind=kind, name=name, digest="", state=state, facts=facts, inputs=sources))
    return node


def test_status_of_an_empty_folder_names_the_first_commands_and_writes_nothing(ws: Workspace) -> None:
    status = ws.home.status()

    assert status.next == FIRST_COMMANDS
    assert "nothing here yet" in status.text()
    assert not (ws.root / ".sampan").exists()


def test_status_counts_what_is_stored_by_kind(ws: Workspace) -> None:
    commit(ws, "dataset", "flights")
    commit(ws, "dataset", "flights")
    commit(ws, "dataset", "weather")
    commit(ws, "model", "late")
    commit(ws, "check", "flights.check")
    for _ in range(3):
        commit(ws, "window", "late")
    commit(ws, "prophecy", "late")
    status = ws.home.status()

    assert {"dataset": 2, "model": 1, "check": 1, "window": 1, "prophecy": 1} == status.counts
    assert {"dataset": 3, "model": 1, "check": 1, "window": 3, "prophecy": 1} == status.stored
    assert "stored: 3 dataset versions, 1 model version, 3 windows, 1 prophecy" in status.text()


def test_status_says_what_the_project_file_says(tmp_path: Path) -> None:
    (tmp_path / "sampan.toml").write_text('[project]\nname = "delays"\nowner = "ops"\ndescription = "Which flights will be late"\n')

    with Workspace.open(tmp_path) as ws:
        commit(ws, "dataset", "flights")
        text = ws.home.status().text()

    assert text.startswith("delays (owner: ops)\nWhich flights will be late\n")


def test_lineage_is_drawn_up_to_the_raw_file(ws: Workspace) -> None:
    raw = commit(ws, "dataset", "flights", source="flights.csv")
    clean = commit(ws, "dataset", "clean flights", inputs={"derived_from": raw})
    model = commit(ws, "model", "late", inputs={"trained_on": clean, "evaluated_on": raw})
    ws.ledger.append(AliasMoved(kind="model", name="late", alias="champion", before=None, after=model))

    up = ws.home.lineage("late@champion")

    assert {node.ref for node in up.nodes} == {"late@v1", "clean flights@v1", "flights@v1"}
    lines = up.text().splitlines()
    assert lines[0] == "model late@v1 [champion]"
    assert sum("from flights.csv" in line for line in lines) == 2
    assert any("trained on dataset clean flights@v1" in line for line in lines)


def test_lineage_down_shows_what_would_be_touched(ws: Workspace) -> None:
    raw = commit(ws, "dataset", "flights")
    commit(ws, "model", "late", inputs={"trained_on": raw})

    down = ws.home.lineage("flights", down=True)

    assert down.text().splitlines() == ["dataset flights@v1", "└─ trained on model late@v1"]
    assert down.next == ("sampan lineage flights",)


def test_lineage_of_an_unknown_name_suggests_the_nearest(ws: Workspace) -> None:
    commit(ws, "dataset", "flights")

    with pytest.raises(NotFound) as caught:
        ws.home.lineage("flight")

    assert any("flights" in word for word in caught.value.did_you_mean)


def test_lineage_depth_must_be_positive(ws: Workspace) -> None:
    with pytest.raises(ParameterError, match="depth: 0 is less than 1"):
        ws.home.lineage("x", depth=0)


def test_the_log_tells_who_did_what_newest_first(ws: Workspace) -> None:
    node = commit(ws, "model", "late")
    ws.ledger.append(AliasMoved(kind="model", name="late", alias="champion", before=None, after=node, reason="better"), reason="better")

    log = ws.home.log()

    assert [(one.type, one.subject, one.actor) for one in log.events] == [
        ("alias_moved", "late@v1", "an"),
        ("version_committed", "late@v1", "an"),
    ]
    assert log.events[0].at == "2013-01-01T12:00:00Z"
    assert "alias moved late@v1 alias=champion  (better)" in log.text()
    assert [one.seq for one in ws.home.log("late", type="alias_moved").events] == [2]


def test_gc_frees_what_nothing_needs_and_a_dry_run_frees_nothing(tmp_path: Path) -> None:
    ws = Workspace.open(tmp_path)  # by the wall clock: the files' own ages count
    digest = ws.store.blobs.put(b"nobody needs this" * 100_000)

    would = ws.home.gc(dry_run=True, grace_minutes=0)
    assert would.n_objects == 1
    assert ws.store.blobs.has(digest)

    assert ws.home.gc(grace_minutes=0).n_bytes >= 1_700_000
    assert not ws.store.blobs.has(digest)
    ws.close()


def test_gc_refuses_a_negative_grace(ws: Workspace) -> None:
    with pytest.raises(ParameterError, match="grace_minutes: -1 is negative"):
        ws.home.gc(grace_minutes=-1)


def test_fsck_of_a_sound_store_is_clean(ws: Workspace) -> None:
    commit(ws, "dataset", "flights")

    assert ws.home.fsck().clean
    assert ws.home.fsck().exit_code() == 0


def test_upkeep_of_an_empty_folder_writes_nothing(ws: Workspace) -> None:
    assert ws.home.gc().n_objects == 0
    assert ws.home.fsck().clean
    assert ws.home.log().events == ()
    assert not (ws.root / ".sampan").exists()


def test_doctor_looks_at_machine_and_store(ws: Workspace) -> None:
    commit(ws, "dataset", "flights")

    found = {one.about: one for one in ws.home.doctor().findings}

    assert "1 assets" in found["store"].value
    assert found["store"].trouble == ""
    assert "GB free" in found["disk"].value


def test_status_tells_what_is_live_how_it_is_doing_and_what_needs_a_person(ws: Workspace) -> None:
    from sampan.core.graph import NodeId
    from sampan.workspace.services.monitor_events import IncidentOpened, WindowSealed
    from sampan.workspace.services.monitors import Figure
    from sampan.workspace.services.routing import Deployed, routed

    package = commit(ws, "package", "late")
    deployment, window, incident = new_id(), new_id(), new_id()
    aliases: dict[str, NodeId] = {}
    deployed = Deployed(
        node=deployment, service="late", package=package, model="late@v1", role="live", facts={"version": "late@v1", "package": package}
    )
    ws.ledger.append(deployed, routed("late", aliases, {"live": deployment}, states={}))
    facts = {
        "label": "May 2013",
        "since": NOON,
        "until": NOON + 1,
        "model": "late@v1",
        "verdict": "alarm",
        "reasons": ["cost rose"],
        "n_rows": 100,
        "n_labelled": 80,
        "auc": {"value": 0.75, "low": 0.7, "high": 0.8},
        "log_loss": {"value": 0.4},
    }
    ws.ledger.append(
        WindowSealed(node=window, service="late", verdict="alarm", digest="", inputs=(), facts=facts),
        IncidentOpened(node=incident, service="late", title="cost rose", reasons=("cost rose",), window=window),
    )

    status = ws.home.status()

    (live,) = status.live
    assert (live.service, live.model, live.state, live.n_incidents) == ("late", "late@v1", "stopped", 1)
    assert (live.window, live.verdict, live.reasons) == ("May 2013", "alarm", ("cost rose",))
    assert live.quality == f"AUC {Figure(0.75, 0.7, 0.8)}, log loss 0.400"
    assert [(one.incident, one.what) for one in status.incidents] == [(incident[:12], "cost rose")]
    assert status.next[0] == f"sampan incident show {incident[:12]}"
    assert "newest window May 2013: alarm (cost rose), live AUC 0.750" in status.text()
    assert ws.incident.show(status.incidents[0].incident).incident.state == "open"
    assert ws.home.lineage(window).text().splitlines()[0].endswith("May 2013 (alarm)")
