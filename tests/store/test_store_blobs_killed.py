"""Processes killed with -9 in the middle of writing: what was acknowledged is whole, the rest is swept away."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path

import pytest

from sampan.core.events import VersionCommitted, new_id
from sampan.ledger import Ledger
from sampan.store import Store
from sampan.store.upkeep import fsck, gc
from sampan.testing.tables_writing import write_until_killed

N_KILLS = 16


@pytest.mark.slow
def test_whatever_moment_a_writer_is_killed_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sampan.testing.tables_writing"])
    rng = random.Random(11)
    root, notes = tmp_path / "store", tmp_path / "notes"
    with Store.open(root) as store:
        for number in range(N_KILLS):
            writer = context.Process(target=write_until_killed, args=(root, notes, number))
            writer.start()
            while not notes.exists() or notes.read_text().count("begun") <= number:
                assert writer.is_alive()
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.4))
            writer.kill()
            writer.join()

        # A fresh look, as the next process has it.
        lines = [line.split() for line in notes.read_text().splitlines() if line != "begun"]
        versions = {digest: int(rest[0]) for kind, digest, *rest in lines if kind == "table"}
        kept = [digest for kind, digest, *_ in lines if kind == "blob"]
        assert len(kept) > N_KILLS
        for digest in kept:
            store.blobs.verify(digest)
        for digest, n_rows in versions.items():
            assert store.tables.read(digest).height == n_rows

        ledger = Ledger(store, actor="tester")
        for digest in versions:
            ledger.append(VersionCommitted(node=new_id(), kind="dataset", name="rows", digest=digest))
        ledger.append(VersionCommitted(node=new_id(), kind="report", name="blobs", digest="", facts={"all": kept}))
        assert fsck(store) == []
        left = len(list(store.blobs.leftovers()))  # how many the kills left is chance
        swept = gc(store, grace_ms=0, now=time.time_ns() // 1_000_000 + 1_000)
        assert swept.n_leftovers == left
        assert list(store.blobs.leftovers()) == []
        assert set(store.blobs.digests()) == {d for digest in versions for d in store.tables.objects(digest)} | set(kept)
        assert fsck(store) == []
