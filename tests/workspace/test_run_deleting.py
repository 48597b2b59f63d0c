"""Deleting a run really frees its bytes, and nothing that another run or another project needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import sampan as sp
from sampan.errors import NotFound, ParameterError, UsageError
from sampan.workspace.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "project").mkdir()
    with Workspace.open(tmp_path / "project") as workspace:
        yield workspace


def make_run(ws: Workspace, *files: bytes, inner: bytes = b"") -> str:
    with sp.run("churn", project=ws.root) as run:
        run.log("loss", 0.5)
        for number, data in enumerate(files):
            run.artifact(data, f"{number}.bin")
        if inner:
            with run.nested("inside") as fold:
                fold.artifact(inner, "inner.bin")
    return run.id


def test_a_deleted_runs_bytes_are_freed_and_those_others_need_are_not(ws: Workspace) -> None:
    own, shared, inner = b"o" * 50_000, b"s" * 50_000, b"i" * 50_000
    doomed, kept = make_run(ws, own, shared, inner=inner), make_run(ws, shared)

    gone = ws.run.delete(doomed)
    early = ws.home.gc(grace_minutes=0)
    freed = ws.home.gc(grace_minutes=0, deleted_days=0)

    assert [2, 150_000] == [len(gone.runs), gone.n_bytes]
    assert [0, 0] == [early.n_objects, early.n_deleted]
    assert [2, 2, 100_000] == [freed.n_deleted, freed.n_objects, freed.n_bytes]
    assert shared == ws.store.blobs.read(ws.catalog.artifacts(kept)[0].digest)
    assert [] == ws.catalog.artifacts(doomed)
    assert [0.5] == ws.catalog.metric_history(doomed, "loss").values
    assert ws.home.fsck().faults == ()
    assert [0, 0] == [(again := ws.home.gc(grace_minutes=0, deleted_days=0)).n_objects, again.n_deleted]


def test_a_deleted_run_comes_back_as_long_as_its_files_are_there(ws: Workspace) -> None:
    run = make_run(ws, b"file", inner=b"inside")
    ws.run.delete(run)
    assert {"deleted"} == {line.state for line in ws.run.list(trials=True).runs}

    assert 2 == len(ws.run.restore(run).runs)
    assert {"finished"} == {line.state for line in ws.run.list(trials=True).runs}
    with pytest.raises(ParameterError, match="is not deleted"):
        ws.run.restore(run)
    ws.run.delete(run)
    ws.home.gc(deleted_days=0)
    with pytest.raises(NotFound, match="were given up"):
        ws.run.restore(run)


def test_a_dry_run_gives_nothing_up(ws: Workspace) -> None:
    run = make_run(ws, b"file")
    ws.run.delete(run)

    assert 1 == ws.home.gc(dry_run=True, deleted_days=0).n_deleted
    assert 1 == len(ws.catalog.artifacts(run))


def test_a_run_that_is_running_is_not_deleted(ws: Workspace) -> None:
    with sp.run("churn", project=ws.root) as run, pytest.raises(UsageError, match="is running"):
        ws.run.delete(run.id)


def test_days_below_none_are_refused(ws: Workspace) -> None:
    with pytest.raises(ParameterError, match="deleted_days: -1 is negative"):
        ws.home.gc(deleted_days=-1)


@pytest.mark.slow
def test_projects_that_share_a_bucket_free_only_their_own(tmp_path: Path, s3_bucket: str) -> None:
    """Side by side in a bucket, one inside the other's folder, all with the same content."""
    places = {"a": "team/a", "b": "team/b", "inside": "team/a/objects/inside"}
    runs = {}
    for name, place in places.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "sampan.toml").write_text(f'[store]\nblobs = "s3://{s3_bucket}/{place}"\ncache_gb = 1\n')
        with Workspace.open(tmp_path / name) as ws:
            runs[name] = make_run(ws, b"x" * 2_000_000, name.encode() * 1000)

    with Workspace.open(tmp_path / "a") as ws:
        ws.run.delete(runs["a"])
        freed = ws.home.gc(grace_minutes=0, deleted_days=0)

    assert 2 == freed.n_objects
    for name in ("b", "inside"):
        with Workspace.open(tmp_path / name) as ws:
            assert ws.home.fsck().faults == ()
            assert [2_000_000, len(name) * 1000] == [len(ws.store.blobs.read(file.digest)) for file in ws.catalog.artifacts(runs[name])]
