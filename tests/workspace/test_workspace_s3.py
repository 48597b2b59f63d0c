"""A whole project whose content lies in S3: data in, a model trained, judged and served, a person erased, the store kept tidy."""

from __future__ import annotations

import http.client
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped]  # it has no stubs
import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_package import draw_orders, requests_of
from small_training import CUT, add_orders, write_training

from sampan.errors import Unsupported
from sampan.store.s3 import S3Blobs
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture
def ws(tmp_path: Path, s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("SAMPAN_KEYS", str(tmp_path / "keys"))
    project = tmp_path / "project"
    project.mkdir()
    (project / "sampan.toml").write_text(f'[store]\nblobs = "s3://{s3_bucket}/here"\ncache_gb = 1\n')
    with Workspace.open(project) as workspace:
        yield workspace
        for asset in workspace.catalog.assets("service"):
            workspace.service.stop(asset.name)


def test_a_model_is_trained_and_served_from_a_bucket(ws: Workspace) -> None:
    add_orders(ws)
    ws.run.script(write_training(ws.root), trials=1, until=CUT)
    blobs = ws.store.blobs
    assert isinstance(blobs, S3Blobs)
    in_bucket = {found.key for found in blobs.bucket.list("objects/")}
    assert len(in_bucket) > 10
    # Another machine has none of this; nothing may be needed that only the cache has.
    for name in ("objects", "packs", "cache"):
        shutil.rmtree(ws.store.root / name, ignore_errors=True)

    ws.model.pack("orders-late")
    done = ws.service.deploy("orders-late@v1")
    address = done.url.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        rows = requests_of(draw_orders(5, first=0, day=0, rng=np.random.default_rng(0)))
        connection.request("POST", "/predict", body=json.dumps({"rows": rows}))
        answers = json.loads(connection.getresponse().read())["predictions"]
    finally:
        connection.close()
    assert [0 <= answer["score"] <= 1 for answer in answers] == [True] * 5
    assert ws.home.fsck().faults == ()


def test_a_person_is_erased_from_a_bucket(ws: Workspace) -> None:
    trips = pl.DataFrame({"passenger": ["P-000777", "P-000001"] * 20, "fare": range(40)})
    ws.data.add_table(trips, name="trips")
    ws.data.add_table(trips.with_columns(pl.col("fare") + 1), name="trips")
    blobs = ws.store.blobs
    assert isinstance(blobs, S3Blobs)
    before = {found.key for found in blobs.bucket.list("")}

    gone = ws.data.erase(subject={"passenger": "P-000777"})

    assert [one.n_rows for one in gone.versions] == [20, 20]
    after = {found.key: blobs.bucket.read(found.key) for found in blobs.bucket.list("")}
    cells = [repr(pl.read_parquet(data).rows()) for key, data in after.items() if data.startswith(b"PAR1")]
    assert not any(b"P-000777" in data for data in after.values())
    assert not any("P-000777" in text for text in cells)
    assert len(before - after.keys()) >= 4
    assert [path for path in ws.store.root.rglob("*") if path.is_file() and b"P-000777" in path.read_bytes()] == []
    assert ws.data.erased(subject={"passenger": "P-000777"}).places == ()
    assert ws.home.fsck().faults == ()


def test_erasing_is_refused_where_the_bucket_keeps_what_is_deleted(ws: Workspace, s3_bucket: str, s3_server: str) -> None:
    boto3.client("s3", endpoint_url=s3_server).put_bucket_versioning(Bucket=s3_bucket, VersioningConfiguration={"Status": "Enabled"})
    ws.data.add_table(pl.DataFrame({"passenger": ["P-000777"]}), name="trips")

    with pytest.raises(Unsupported, match="keeps what is deleted"):
        ws.data.erase(subject={"passenger": "P-000777"})
