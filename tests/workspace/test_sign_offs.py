"""Named people answer for a version before it may have an alias or a stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sampan.core.events import Input, VersionCommitted, new_id
from sampan.errors import AccessDenied, GateRejected, NotFound, ParameterError
from sampan.workspace.workspace import Workspace

NOON = 1_357_041_600_000
DAY = 86_400_000
PROJECT = """
[governance]
officers = ["chief"]
[governance.teams]
risk = "binh, chi"
[sign_offs.champion]
models = ["late"]
people = ["an"]
teams = ["risk"]
fresh_days = 7
[sign_offs.production]
people = ["an"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "sampan.toml").write_text(PROJECT)
    return tmp_path


@contextmanager
def acting(project: Path, actor: str, *, days: int = 0) -> Iterator[Workspace]:
    with Workspace.open(project, actor=actor, clock=lambda: NOON + days * DAY) as ws:
        yield ws


def commit(ws: Workspace, kind: str, name: str, *sources: str, state: str = "active", **facts: Any) -> str:
    node = new_id()
    inputs = tuple(Input(source, "input") for source in sources)
    ws.ledger.append(VersionCommitted(node=node, kind=kind, name=name, digest="", state=state, facts=facts, inputs=inputs))
    return node


def add_model(ws: Workspace, name: str = "late") -> str:
    model = commit(ws, "model", name)
    decide(ws, model, name)
    return model


def decide(ws: Workspace, model: str, name: str = "late") -> None:
    commit(ws, "decision", name, model, state="passed", model=model, passed=True, reasons=[], checks=[], champion="", paired=None)


def test_a_promotion_without_signatures_is_refused_and_names_who_is_missing(project: Path) -> None:
    with acting(project, "zoe") as ws:
        add_model(ws)

        with pytest.raises(GateRejected, match=r"an has not signed; nobody of risk \(binh, chi\) has signed"):
            ws.model.promote("late@v1")
        assert {} == ws.catalog.aliases("model", "late")


def test_with_every_signature_it_is_promoted(project: Path) -> None:
    with acting(project, "zoe") as ws:
        add_model(ws)
    for person in ("an", "chi"):
        with acting(project, person) as ws:
            signed = ws.model.sign_off("late@v1", note="read the card")
    assert () == signed.missing
    assert ("sampan model promote late@v1",) == signed.next

    with acting(project, "zoe") as ws:
        assert ws.model.promote("late@v1").moved


def test_only_those_who_are_asked_can_sign(project: Path) -> None:
    with acting(project, "zoe") as ws:
        add_model(ws)

        with pytest.raises(AccessDenied, match="zoe is not among those who sign late for champion") as caught:
            ws.model.sign_off("late@v1")
        assert "an, binh, chi" in caught.value.hint


def test_a_signature_taken_back_is_missing_again(project: Path) -> None:
    with acting(project, "an") as ws:
        add_model(ws)
        ws.model.sign_off("late@v1")
        after = ws.model.withdraw("late@v1", reason="the slice by carrier is worse")

        assert any("an has not signed" in reason for reason in after.missing)
        with pytest.raises(NotFound, match="an has not signed late@v1"):
            ws.model.withdraw("late@v1", reason="again")


def test_a_newer_decision_wants_new_signatures(project: Path) -> None:
    with acting(project, "an") as ws:
        model = add_model(ws)
        ws.model.sign_off("late@v1", to="champion")
        decide(ws, model)

        with pytest.raises(GateRejected, match="an signed before the newest decision"):
            ws.model.promote("late@v1")


def test_a_decision_that_is_too_old_is_stale(project: Path) -> None:
    with acting(project, "an") as ws:
        add_model(ws)

    with acting(project, "an", days=9) as ws, pytest.raises(GateRejected, match="decided 9 days ago, at most 7 are allowed"):
        ws.model.promote("late@v1")


def test_force_does_not_replace_signatures_unless_an_officer_forces(project: Path) -> None:
    with acting(project, "an") as ws:
        add_model(ws)
        with pytest.raises(GateRejected, match="nobody of risk"):
            ws.model.promote("late@v1", force=True, reason="in a hurry")

    with acting(project, "chief") as ws:
        assert ws.model.promote("late@v1", force=True, reason="the old one is broken").forced
        (override,) = ws.catalog.events(type="gate_overridden")
        assert any("an has not signed" in reason for reason in override.body["reasons"])


def test_a_rule_holds_only_for_the_models_it_names(project: Path) -> None:
    with acting(project, "zoe") as ws:
        add_model(ws, "early")

        assert ws.model.promote("early@v1").moved
        with pytest.raises(ParameterError, match="no rule asks for signatures on early"):
            ws.model.sign_off("early@v1")


def test_a_stage_asks_for_its_own_signatures_whatever_its_case(project: Path) -> None:
    with acting(project, "an") as ws:
        first = add_model(ws)
        add_model(ws)
        with pytest.raises(GateRejected, match="may not be Production: an has not signed"):
            ws.model.stage("late@v1", "production")
        for version in ("late@v1", "late@v2"):
            ws.model.sign_off(version, to="Production")
            moved = ws.model.stage(version, "Production", archive=True)

        assert ("None", "Production", ("late@v1",)) == (moved.before, moved.stage, moved.archived)
        assert "Archived" == ws.catalog.tags(first)["sampan.stage"]
        with pytest.raises(ParameterError, match="no stage is called 'live'"):
            ws.model.stage("late@v2", "live")


def test_the_history_tells_decisions_signatures_aliases_and_stages(project: Path) -> None:
    with acting(project, "an") as ws:
        add_model(ws, "early")
        ws.model.promote("early@v1")
        ws.model.stage("early@v1", "Staging")
        ws.model.sign_off("early@v1", to="production", note="fine")

        found = ws.model.history("early")

    said = [(one.what, one.who) for one in found.moments]
    assert [("signed for production", "an"), ("stage Staging", "an"), ("champion moved here", "an"), ("gate passed", "an")] == said[:4]
    assert "fine" == found.moments[0].why
    assert "early@v1" in found.text()


def test_clients_of_mlflow_are_held_to_the_same_rules(project: Path) -> None:
    from starlette.testclient import TestClient

    from sampan.web import app

    with acting(project, "zoe") as ws, TestClient(app.create_app(ws), base_url="http://127.0.0.1:4140") as client:
        api = "/api/2.0/mlflow"
        client.post(f"{api}/registered-models/create", json={"name": "late"})
        client.post(f"{api}/model-versions/create", json={"name": "late", "source": "s3://somewhere/model"})
        alias = client.post(f"{api}/registered-models/alias", json={"name": "late", "alias": "champion", "version": "1"})
        stage = client.post(f"{api}/model-versions/transition-stage", json={"name": "late", "version": "1", "stage": "Production"})

    assert [400, 400] == [alias.status_code, stage.status_code]
    assert "an has not signed" in alias.json()["message"]
