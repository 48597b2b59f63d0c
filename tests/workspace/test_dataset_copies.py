"""Copies that left the store: noted when they are made, named or removed when a person is erased."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl
import pytest

from sampan.core.digests import canonical_json
from sampan.workspace.data.dataset_copies import REMOVED, THERE, copies_of
from sampan.workspace.data.publishing import VersionPublished
from sampan.workspace.governing.erasure_records import ErasureRecord, verified
from sampan.workspace.workspace import Workspace

PERSON = {"passenger": "P-000777"}
TRIPS = pl.DataFrame({"passenger": ["P-000777", "P-1", "P-2"], "fare": [10.0, 20.0, 30.0]})


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("SAMPAN_KEYS", str(tmp_path / "keys"))
    with Workspace.open(tmp_path / "project") as workspace:
        workspace.data.add_table(TRIPS, name="trips", key=None)
        yield workspace


@pytest.fixture
def _project(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()


pytestmark = pytest.mark.usefixtures("_project")


def test_what_is_published_and_exported_hangs_on_the_version(ws: Workspace, tmp_path: Path) -> None:
    ws.data.publish("trips", tmp_path / "out")
    ws.data.publish("trips", tmp_path / "out")
    ws.data.export("trips", tmp_path / "trips.csv", where="fare > 15")
    node = ws.catalog.resolve("trips", kind="dataset")

    found = copies_of(ws, [node])
    assert [(copy.of, copy.where, copy.format) for copy in found] == [
        ("trips@v1", str(tmp_path / "out"), "delta"),
        ("trips@v1", str(tmp_path / "trips.csv"), "csv"),
    ]
    assert {copy.id for copy in found} <= {below.id for below in ws.catalog.lineage(node.id, up=False).nodes}


@pytest.mark.slow
def test_an_erasure_names_the_copies_it_cannot_reach_and_removes_its_own(ws: Workspace, tmp_path: Path) -> None:
    own = ws.store.root / "published" / "trips"
    ws.data.publish("trips", own)
    ws.data.export("trips", ws.store.root / "published" / "trips.csv")
    ws.data.publish("trips", tmp_path / "out")
    ws.data.export("trips", tmp_path / "of P-000777.csv")
    ws.data.export("trips", tmp_path / "lost.jsonl")
    (tmp_path / "lost.jsonl").unlink()
    ids = {copy.where: copy.id for copy in copies_of(ws, [ws.catalog.resolve("trips")])}

    gone = ws.data.erase(subject=PERSON)
    assert gone.copies == (
        f"{tmp_path / 'out'} (delta, of trips@v1)",
        f"{tmp_path / 'of [erased].csv'} (csv, of trips@v1)",
        f"{tmp_path / 'lost.jsonl'} (jsonl, of trips@v1; not found there now)",
    )
    assert gone.removed_copies == (str(own), str(own) + ".csv")
    assert f"remove it, then publish or export again: {tmp_path / 'out'}" in gone.text()
    assert not own.exists()
    assert not own.with_suffix(".csv").exists()
    assert (tmp_path / "out").exists()
    states = {where: ws.catalog.node(node).state for where, node in ids.items()}
    assert {states[str(own)], states[str(own) + ".csv"]} == {REMOVED}
    assert states[str(tmp_path / "out")] == THERE
    assert ws.data.erased(subject=PERSON).places == ()
    record = verified(ws.store.blobs.read(gone.record)).record
    assert (record.copies, record.removed_copies) == (gone.copies, gone.removed_copies)
    (line,) = ws.data.erasures().erasures
    assert (line.copies, line.signature) == (gone.copies, "whole")


def test_a_place_with_several_versions_is_named_once(ws: Workspace, tmp_path: Path) -> None:
    for number in range(5):
        ws.data.publish("trips", tmp_path / "out")
        ws.data.upsert(
            "trips", ws.store.tables.read(ws.catalog.resolve("trips").digest).with_columns(fare=pl.lit(float(number))), key=["passenger"]
        )

    versions = "trips@v5, trips@v4, trips@v3 and 2 more"
    assert ws.data.erase(subject=PERSON).copies == (f"{tmp_path / 'out'} (delta, of {versions})",)


def test_copies_without_the_person_are_not_named(ws: Workspace, tmp_path: Path) -> None:
    ws.data.delete("trips", where="passenger = 'P-000777'")
    ws.data.publish("trips", tmp_path / "out")

    assert ws.data.erase(subject=PERSON).copies == ()


def test_records_from_before_copies_were_noted_keep_their_signature() -> None:
    said = {"form": "sampan erasure 1", "at": 1, "by": "ana", "reason": "", "commitment": "c", "columns": [], "tables": []}
    said |= {"n_other_objects": 0, "n_log_rows": 0, "n_files": 0, "models": [], "derived": [], "left": []}

    assert msgspec.json.decode(canonical_json(msgspec.convert(said, ErasureRecord))) == said
    assert len(msgspec.convert({"node": "n", "where": "/out"}, VersionPublished).changes()) == 1
