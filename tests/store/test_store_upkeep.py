"""What `gc` frees and keeps, and what `fsck` finds."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from sampan.core.changes import AddArtifact
from sampan.core.digests import Digest, digest_bytes
from sampan.core.events import StepCommitted, VersionCommitted, new_id
from sampan.core.times import Millis
from sampan.errors import IntegrityError
from sampan.ledger import Ledger
from sampan.store import Store
from sampan.store.upkeep import Swept, fsck, gc
from sampan.table.arrow_blocks import Block, Field, Schema
from sampan.testing.blobs import flip_a_byte
from sampan.testing.stores import Noted

HOUR_MS = 3_600_000
ROWS = pl.DataFrame({"id": [1, 2, 3, 4], "x": [0.5, None, 1.0, 2.0]})
SMALL = [f"object {i}".encode() for i in range(50)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as store:
        yield store


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store, actor="tester", clock=lambda: 1)


def later() -> Millis:
    return time.time_ns() // 1_000_000 + 2 * HOUR_MS


def sweep(store: Store, *, dry_run: bool = False) -> Swept:
    """Sweep with everything put so far older than the grace."""
    return gc(store, grace_ms=HOUR_MS, now=later(), dry_run=dry_run)


def commit(ledger: Ledger, digest: Digest, *, kind: str = "dataset", facts: dict[str, object] | None = None) -> str:
    node = new_id()
    ledger.append(VersionCommitted(node=node, kind=kind, name="flights", digest=digest, facts=facts or {}))
    return node


def attach(ledger: Ledger, node: str, path: str, digest: Digest, size: int) -> None:
    ledger.append(Noted(what=[AddArtifact(node=node, path=path, digest=digest, size=size)]))


def test_what_nothing_names_is_freed_and_counted(store: Store) -> None:
    kept_nowhere = store.blobs.put(b"1234567")
    store.tables.create(ROWS)
    n_bytes = sum(store.blobs.size(digest) for digest in store.blobs.digests())

    assert sweep(store, dry_run=True) == Swept(4, 0, n_bytes, dry_run=True)
    assert store.blobs.has(kept_nowhere)
    assert sweep(store) == Swept(4, 0, n_bytes, dry_run=False)
    assert list(store.blobs.digests()) == []
    assert sweep(store) == Swept(0, 0, 0, dry_run=False)


def test_a_committed_version_keeps_everything_it_is_made_of(store: Store, ledger: Ledger) -> None:
    first = store.tables.append(store.tables.create(ROWS).digest, ROWS)
    second = store.tables.overlay(store.tables.delete(first.digest, [1]).digest, pl.DataFrame({"y": list(range(7))}))
    before = store.tables.read(second.digest)
    commit(ledger, second.digest)

    assert sweep(store).n_objects == 4  # the three manifests in between, and the columns without y
    assert store.tables.read(second.digest).equals(before)
    assert set(store.blobs.digests()) == set(store.tables.objects(second.digest))


def test_what_stored_json_and_facts_and_outcomes_name_is_kept(store: Store, ledger: Ledger) -> None:
    inner = store.blobs.put(b"a file of a folder")
    folder = store.blobs.put(json.dumps({"a.txt": inner}).encode())
    version = store.tables.create(ROWS).digest
    outcome = store.blobs.put(b"an outcome")
    artifact = store.blobs.put(b"an artifact")
    attach(ledger, commit(ledger, folder, kind="report", facts={"rows": {"worst": version}}), "card.md", artifact, 11)
    token = store.steps.claim("key", step="clean", owner="me", now=0)
    assert token is not None
    ledger.append(StepCommitted(key="key", token=token, step="clean", outcome={"value": {"digest": outcome}}))

    assert sweep(store).n_objects == 0
    assert store.tables.read(version).equals(ROWS)
    assert all(store.blobs.has(digest) for digest in (inner, folder, outcome, artifact))


def test_what_is_young_is_kept_with_all_it_needs(store: Store) -> None:
    base = store.tables.create(ROWS)
    for path in (store.root / "objects").rglob("*/*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    grown = store.tables.append(base.digest, ROWS)
    now = time.time_ns() // 1_000_000

    assert gc(store, grace_ms=HOUR_MS, now=now).n_objects == 1  # the old manifest
    assert store.tables.read(grown.digest).height == 8


def test_putting_an_old_object_again_saves_it(store: Store) -> None:
    digest = store.blobs.put(b"old")
    os.utime(store.blobs.object_path(digest), (1_000_000_000, 1_000_000_000))
    store.blobs.put(b"old")

    assert gc(store, grace_ms=HOUR_MS, now=time.time_ns() // 1_000_000).n_objects == 0


def test_packs_are_swept_object_by_object(store: Store, ledger: Ledger) -> None:
    digests = store.blobs.put_many(SMALL)
    node = commit(ledger, "", kind="report")
    for digest, data in list(zip(digests, SMALL, strict=True))[:10]:
        attach(ledger, node, data.decode(), digest, len(data))

    assert sweep(store).n_objects == 40
    assert sorted(store.blobs.digests()) == sorted(digests[:10])


def test_leftovers_of_crashes_go_when_they_are_old(store: Store) -> None:
    store.blobs.put(b"data")
    (store.root / "tmp" / "123-abc").write_bytes(b"half an object")
    (store.root / "packs").mkdir()
    (store.root / "packs" / "half.pack").write_bytes(b"half a pack")
    now = time.time_ns() // 1_000_000

    assert gc(store, grace_ms=HOUR_MS, now=now).n_leftovers == 0
    assert sweep(store, dry_run=True).n_leftovers == 2
    assert sweep(store) == Swept(1, 2, 4 + 14 + 11, dry_run=False)
    assert list(store.blobs.leftovers()) == []


def test_abandoned_segments_are_sealed(store: Store) -> None:
    schema = Schema([Field("id", "int64")])
    with store.segments.writer("log", schema) as writer:
        writer.write(Block(schema, 1, [[1]]))
    sealed = next(store.root.rglob("*.arrows"))
    sealed.rename(sealed.with_suffix(".open"))
    sweep(store)

    assert sealed.exists()
    assert store.segments.read("log")[0]["id"].to_pylist() == [1]


def test_a_version_that_cannot_be_read_stops_the_sweep(store: Store, ledger: Ledger) -> None:
    lost = store.blobs.put(b"unneeded")
    version = store.tables.create(ROWS).digest
    commit(ledger, version)
    flip_a_byte(store.blobs.object_path(version))

    with pytest.raises(IntegrityError, match=version):
        sweep(store)
    assert store.blobs.has(lost)


# -- fsck


def test_a_whole_store_has_no_faults(store: Store, ledger: Ledger) -> None:
    version = store.tables.delete(store.tables.create(ROWS).digest, [0])
    node = commit(ledger, version.digest, facts={"environment": digest_bytes(b"never stored")})
    store.blobs.put_many(SMALL)
    attach(ledger, node, "card.md", digest_bytes(SMALL[3]), len(SMALL[3]))

    assert fsck(store, ledger=lambda: "") == []
    assert fsck(store, quick=True) == []


def test_a_flipped_byte_is_found_and_who_needs_it_named(store: Store, ledger: Ledger) -> None:
    version = store.tables.append(store.tables.create(ROWS).digest, ROWS.reverse())
    base = store.tables.parts(version.digest)[1].base
    commit(ledger, version.digest)
    commit(ledger, store.tables.append(version.digest, ROWS).digest)
    flip_a_byte(store.blobs.object_path(base), 60)

    (fault,) = fsck(store)
    assert fault.digest == base
    assert fault.what.startswith("is damaged: its bytes are b3:")
    assert sorted(fault.needed_by.split(", ")) == ["part 1 of dataset flights@v1", "part 1 of dataset flights@v2"]
    assert fsck(store, quick=True) == [fault]


def test_what_is_missing_or_too_short_is_found_quickly(store: Store, ledger: Ledger) -> None:
    version = store.tables.delete(store.tables.create(ROWS).digest, [0]).digest
    part = store.tables.parts(version)[0]
    node = commit(ledger, version)
    report = store.blobs.put(b"a report")
    attach(ledger, node, "report.html", report, 8)
    store.blobs.delete(part.dead)
    path = store.blobs.object_path(report)
    path.unlink()
    path.write_bytes(b"a rep")

    found = {fault.digest: (fault.what, fault.needed_by) for fault in fsck(store, quick=True)}
    assert found == {
        part.dead: ("is missing", "dataset flights@v1"),
        report: ("has 5 bytes instead of 8", "report.html of dataset flights@v1"),
    }


def test_a_missing_manifest_or_another_object_in_its_place_is_found(store: Store, ledger: Ledger) -> None:
    commit(ledger, digest_bytes(b"gone"))
    commit(ledger, store.blobs.put(b"no table"))

    assert [(fault.what, fault.needed_by) for fault in fsck(store)] == [
        ("is not a table version", "dataset flights@v2"),
        ("is missing", "dataset flights@v1"),
    ]


def test_a_damaged_list_of_parts_is_one_fault(store: Store, ledger: Ledger) -> None:
    version = store.tables.create(ROWS)
    for _ in range(16):
        version = store.tables.append(version.digest, ROWS)
    commit(ledger, version.digest)
    listed = list(store.tables.objects(version.digest))[2]
    flip_a_byte(store.blobs.object_path(listed), 5)

    faults = fsck(store)
    assert [(fault.digest, fault.needed_by) for fault in faults] == [(listed, "dataset flights@v1")]


def test_damaged_packs_journals_and_chains_are_faults(store: Store, ledger: Ledger) -> None:
    digests = store.blobs.put_many(SMALL)
    attach(ledger, commit(ledger, "", kind="report"), "card.md", digests[0], len(SMALL[0]))
    flip_a_byte(next((store.root / "packs").glob("*.index")), 30)
    journals = store.root / "journals"
    journals.mkdir(exist_ok=True)
    (journals / f"{new_id()}.00000000.journal").write_bytes(b"no journal at all" * 10_000)

    with Store.open(store.root) as again:
        found = [(fault.needed_by, fault.what) for fault in fsck(again, ledger=lambda: "row 7 was changed")]
    assert [needed_by for needed_by, _ in found] == [
        "card.md of report flights@v1",
        "the objects in this pack",
        "the metrics of a run",
        "the ledger",
    ]
    assert found[3][1] == "row 7 was changed"
    assert found[0][1].startswith("cannot be read: the pack index ")
