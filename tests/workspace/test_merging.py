"""A store copied from elsewhere comes into this one: whole, once, under names nobody mistakes, never against what is decided here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import sampan as sp
from sampan.core.events import AliasMoved, RunEnded, StateChanged, Tagged
from sampan.core.graph import Node
from sampan.errors import AlreadyExists, IntegrityError, NotFound, ParameterError, PolicyRefused
from sampan.store import Store
from sampan.store.projection import TABLES
from sampan.workspace.runs.events import RunResumed
from sampan.workspace.workspace import Workspace

Open = Callable[[str], Workspace]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open projects by name, each in a folder of its own."""
    monkeypatch.setenv("SAMPAN_KEYS", str(tmp_path / "keys"))
    found: dict[str, Workspace] = {}

    def open_one(name: str) -> Workspace:
        if name not in found:
            (tmp_path / name).mkdir(exist_ok=True)
            found[name] = Workspace.open(tmp_path / name, actor=f"someone at {name}")
        return found[name]

    yield open_one
    for ws in found.values():
        ws.close()


def add(ws: Workspace, name: str, *values: float) -> Node:
    ws.data.add_table(pl.DataFrame({"id": list(range(len(values))), "x": list(values)}), name=name)
    return ws.catalog.resolve(name, kind="dataset")


def point(ws: Workspace, name: str, alias: str, node: Node) -> None:
    before = ws.catalog.aliases("dataset", name).get(alias)
    ws.ledger.append(AliasMoved(kind="dataset", name=name, alias=alias, before=before, after=node.id))


def train(ws: Workspace, name: str, *, n_points: int = 3) -> str:
    with sp.run(name, params={"depth": 3}, project=ws.root) as run:
        for step in range(n_points):
            run.log("loss", 1 / (step + 1), step=step)
        run.log("nothing", float("nan"))
        run.artifact(f"of {name}".encode(), "note.txt")
        run.tag("kind", "base")
    return run.id


def tables_of(store: Store) -> dict[str, list[Any]]:
    with store.database.read() as session:
        return {table: sorted(session.all(f"select * from {table}"), key=repr) for table in TABLES}


def rows(ws: Workspace, name: str) -> list[dict[str, Any]]:
    return ws.store.tables.scan(ws.catalog.resolve(name, kind="dataset").digest).collect().to_dicts()


def head(ws: Workspace) -> int:
    return ws.ledger.last


def test_everything_comes_with_its_times_authors_and_lineage(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    flights = add(there, "flights", 1.0, 2.0)
    point(there, "flights", "stable", flights)
    run = train(there, "churn")
    there.ledger.append(Tagged(node=flights.id, key="site", value="ward 3"))
    add(here, "mine", 1.0)
    time.sleep(0.01)

    came = here.home.merge(there.root)

    assert ["hospital", head(there)] == [came.origin, came.n_rows]
    found = here.catalog.node(flights.id)
    assert [flights.created, "someone at hospital", "flights@v1", ("stable",)] == [found.created, found.actor, found.ref, found.aliases]
    assert rows(there, "flights") == rows(here, "flights")
    assert {"site": "ward 3"} == here.catalog.tags(flights.id)
    assert repr(there.catalog.metrics(run)) == repr(here.catalog.metrics(run))
    assert there.catalog.metric_history(run, "loss") == here.catalog.metric_history(run, "loss")
    assert there.catalog.params(run) == here.catalog.params(run)
    assert there.catalog.artifacts(run) == here.catalog.artifacts(run)
    assert b"of churn" == here.store.blobs.read(here.catalog.artifacts(run)[-1].digest)
    assert there.catalog.lineage(flights.id).edges == here.catalog.lineage(flights.id).edges
    assert there.catalog.run(run).host == here.catalog.run(run).host
    assert here.home.fsck().faults == ()
    assert here.ledger.verify().first_bad is None


def test_merging_again_changes_nothing_and_brings_what_is_new(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    add(there, "flights", 1.0)
    run = train(there, "churn")
    here.home.merge(there.root)
    seq, before = head(here), tables_of(here.store)

    again = here.home.merge(there.root)

    assert [0, 0, 0] == [again.n_rows, again.n_objects, again.n_points]
    assert [seq, before] == [head(here), tables_of(here.store)]
    newer = add(there, "flights", 1.0, 2.0)
    there.ledger.append(RunResumed(node=run, before="finished"))
    with there.store.journals.open(run) as journal:
        journal.log("loss", 0.1, step=9, at=9)
    there.ledger.append(RunEnded(node=run, state="failed", ended=10))
    more = here.home.merge(there.root)
    assert [1, "flights@v2"] == [more.n_points, here.catalog.node(newer.id).ref]
    assert ["failed", 10] == [here.catalog.run(run).state, here.catalog.run(run).ended]
    assert [0, 1, 2, 9] == here.catalog.metric_history(run, "loss").steps


def test_the_tables_can_be_rebuilt_from_a_ledger_with_merged_rows(opened: Open, tmp_path: Path) -> None:
    here, there = opened("here"), opened("hospital")
    add(here, "flights", 1.0)
    add(there, "flights", 1.0)
    add(there, "flights", 2.0)
    train(there, "churn")
    here.home.merge(there.root)

    with Store.open(tmp_path / "copy") as copy:
        here.ledger.replay(copy)

        assert tables_of(here.store) == tables_of(copy)


def test_the_same_content_under_the_same_name_is_the_same(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    ours, theirs = add(here, "flights", 1.0), add(there, "flights", 1.0)
    second = add(there, "flights", 1.0, 2.0)
    there.ledger.append(Tagged(node=theirs.id, key="checked", value="yes"))

    came = here.home.merge(there.root)

    assert ["continued"] == [each.found for each in came.names]
    assert ours.id == here.catalog.node(theirs.id).id
    assert ["flights@v2", 2] == [here.catalog.node(second.id).ref, here.catalog.asset("dataset", "flights").n_versions]
    assert {"checked": "yes"} == here.catalog.tags(ours.id)


def test_another_history_stands_under_the_origins_name_and_the_plan_says_so(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    ours, theirs = add(here, "flights", 1.0), add(there, "flights", 2.0)
    train(here, "flights")
    run = train(there, "flights")

    planned = here.home.merge(there.root, dry_run=True)
    seq = head(here)
    came = here.home.merge(there.root)

    assert planned.names == came.names
    assert {"dataset": "hospital.flights", "run": "hospital.flights"} == {each.kind: each.here for each in came.names}
    assert "hospital.flights  (another history here)" in planned.text()
    assert head(here) > seq
    assert ["hospital.flights@v1", "flights@v1"] == [here.catalog.node(theirs.id).ref, here.catalog.node(ours.id).ref]
    assert "hospital.flights" == here.catalog.run(run).experiment
    newer = add(there, "flights", 3.0)
    here.home.merge(there.root)
    assert "hospital.flights@v2" == here.catalog.node(newer.id).ref


def test_a_clash_may_be_refused_or_joined(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    add(here, "flights", 1.0)
    theirs = add(there, "flights", 2.0)
    seq = head(here)

    with pytest.raises(AlreadyExists, match="dataset flights"):
        here.home.merge(there.root, clash="refuse")
    assert seq == head(here)
    here.home.merge(there.root, clash="join")
    assert "flights@v2" == here.catalog.node(theirs.id).ref
    newer = add(there, "flights", 3.0)
    here.home.merge(there.root)
    assert "flights@v3" == here.catalog.node(newer.id).ref


def test_an_alias_of_ours_is_never_moved(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    ours, theirs = add(here, "flights", 1.0), add(there, "flights", 1.0)
    point(here, "flights", "stable", ours)
    point(there, "flights", "stable", theirs)
    newer = add(there, "flights", 1.0, 2.0)
    point(there, "flights", "stable", newer)
    point(there, "flights", "fresh", newer)

    came = here.home.merge(there.root)

    assert {"stable": ours.id, "hospital.stable": newer.id, "fresh": newer.id} == here.catalog.aliases("dataset", "flights")
    assert {"flights@stable": "flights@hospital.stable"} == came.aliases
    # What the merge brought goes on with its owner, until somebody here decides otherwise.
    point(there, "flights", "fresh", theirs)
    here.home.merge(there.root)
    assert ours.id == here.catalog.aliases("dataset", "flights")["fresh"]
    point(here, "flights", "fresh", newer)
    point(there, "flights", "fresh", add(there, "flights", 1.0, 2.0, 3.0))
    here.home.merge(there.root)
    assert newer.id == here.catalog.aliases("dataset", "flights")["fresh"]


def test_a_copy_that_went_its_own_way_comes_back(opened: Open, tmp_path: Path) -> None:
    """Copied to a cluster with a run under way; the run ended there, and both went on."""
    here = opened("here")
    first = add(here, "flights", 1.0)
    live = sp.run("churn", project=here.root)
    live.log("loss", 1.0)
    shutil.copytree(here.root, tmp_path / "cluster")
    there = opened("cluster")
    there.ledger.append(RunEnded(node=live.id, state="finished", ended=99))
    with there.store.journals.open(live.id) as journal:
        journal.log("loss", 0.5, step=1, at=50)
    second = add(there, "flights", 1.0, 2.0)
    ours = add(here, "mine", 5.0)

    came = here.home.merge(there.root)

    assert ["finished", 99] == [here.catalog.run(live.id).state, here.catalog.run(live.id).ended]
    assert [1.0, 0.5] == here.catalog.metric_history(live.id, "loss").values
    assert ["flights@v1", "flights@v2"] == [here.catalog.node(node.id).ref for node in (first, second)]
    assert "mine@v1" == here.catalog.node(ours.id).ref
    assert [1, 0] == [came.n_points, here.home.merge(there.root).n_rows]
    live._is_open = False


def test_stores_that_merge_each_other_come_to_rest(opened: Open) -> None:
    a, b, c = opened("a"), opened("b"), opened("c")
    for ws in (a, b, c):
        add(ws, f"of-{ws.root.name}", 1.0)
    for _ in range(2):
        for one, other in ((a, b), (b, c), (c, a), (b, a), (c, b), (a, c)):
            one.home.merge(other.root)
    seqs = [head(ws) for ws in (a, b, c)]

    brought = [one.home.merge(other.root).n_rows for one, other in ((a, b), (b, c), (c, a), (b, a), (c, b), (a, c))]

    assert [[0] * 6, seqs] == [brought, [head(ws) for ws in (a, b, c)]]
    for ws in (a, b, c):
        assert ["of-a", "of-b", "of-c"] == [asset.name for asset in ws.catalog.assets("dataset")]
        assert ws.ledger.verify().first_bad is None


def test_what_was_changed_here_stands(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    node = add(there, "flights", 1.0)
    here.home.merge(there.root)
    here.ledger.append(StateChanged(node=node.id, before="active", after="deleted"))
    there.ledger.append(StateChanged(node=node.id, before="active", after="archived"))

    came = here.home.merge(there.root)

    assert ["deleted", {"state": 1}] == [here.catalog.node(node.id).state, came.left]


def test_nothing_is_taken_from_a_damaged_store(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    node = add(there, "flights", *map(float, range(100)))
    path = next(path for path in (there.root / ".sampan" / "objects").rglob("*") if path.is_file())
    path.chmod(0o644)
    path.write_bytes(b"damaged" + path.read_bytes()[7:])

    with pytest.raises(IntegrityError, match=r"not whole, so nothing was taken from it.*damaged"):
        here.home.merge(there.root)
    with pytest.raises(NotFound):
        here.catalog.node(node.id)


def test_nothing_is_taken_from_a_ledger_that_was_altered(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    add(there, "flights", 1.0)
    with there.store.database.write() as session:
        session.run("update event set actor = 'nobody' where seq = 1")

    with pytest.raises(IntegrityError, match=r"row 1 .*was changed after it was written"):
        here.home.merge(there.root)


def test_a_merged_row_that_was_altered_is_found(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    add(there, "flights", 1.0)
    here.home.merge(there.root)
    from sampan.store import chain

    with here.store.database.write() as session:
        links = list(chain.links(session))
        # Somebody rewrites the whole chain here, so that it holds by itself.
        session.run("delete from event")
        session.run("delete from meta where key = 'head'")
        prev, forged = chain.GENESIS, []
        for link in links:
            body = link.body.replace("someone at hospital", "somebody else")
            changed = link._replace(body=body, prev=prev, hash="")
            forged.append(changed._replace(hash=changed.seal()))
            prev = forged[-1].hash
        chain.extend(session, forged)

    assert "of another ledger, whose content does not give its hash" in here.ledger.verify().what


def test_somebody_erased_here_does_not_come_back(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    for ws in (here, there):
        ws.data.add_table(pl.DataFrame({"passenger": ["P-000777", "P-000001"], "fare": [1.0, len(ws.root.name)]}), name="trips")
    here.data.erase(subject={"passenger": "P-000777"})

    with pytest.raises(PolicyRefused, match="holds 1 of those who were erased here, in trips@v1") as refused:
        here.home.merge(there.root)
    assert "--subject passenger=P-000777" in refused.value.hint
    there.data.erase(subject={"passenger": "P-000777"})
    here.home.merge(there.root)
    assert not [path for path in here.store.root.rglob("*") if path.is_file() and b"P-000777" in path.read_bytes()]
    assert ["P-000001"] == [row["passenger"] for row in rows(here, "hospital.trips")]


def test_somebody_erased_there_is_gone_here(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    for ws in (here, there):
        ws.data.add_table(pl.DataFrame({"passenger": ["P-000777", "P-000001"], "fare": [1.0, 2.0]}), name="trips")
    here.home.merge(there.root)
    there.data.erase(subject={"passenger": "P-000777"})

    came = here.home.merge(there.root)

    assert came.n_erased > 0
    assert ["P-000001"] == [row["passenger"] for row in rows(here, "trips")]
    assert here.home.fsck().faults == ()
    assert here.ledger.verify().first_bad is None
    assert () == here.data.erased(subject={"passenger": "P-000777"}).places


def test_somebody_erased_after_a_merge_is_in_no_merged_row(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    there.data.add_table(pl.DataFrame({"passenger": ["P-000777", "P-000001"], "fare": [1.0, 2.0]}), name="trips")
    node = there.catalog.resolve("trips")
    there.ledger.append(Tagged(node=node.id, key="about", value="asked for by P-000777"))
    here.home.merge(there.root)

    here.data.erase(subject={"passenger": "P-000777"})

    assert () == here.data.erased(subject={"passenger": "P-000777"}).places
    assert not [path for path in here.store.root.rglob("*") if path.is_file() and b"P-000777" in path.read_bytes()]
    assert {"about": "asked for by [erased]"} == here.catalog.tags(node.id)
    assert here.ledger.verify().first_bad is None
    assert here.home.fsck().faults == ()


@pytest.mark.slow
def test_content_in_a_bucket_comes_as_well(opened: Open, tmp_path: Path, s3_bucket: str) -> None:
    (tmp_path / "cloud").mkdir()
    (tmp_path / "cloud" / "sampan.toml").write_text(f'[store]\nblobs = "s3://{s3_bucket}/there"\ncache_gb = 1\n')
    here, there = opened("here"), opened("cloud")
    add(there, "flights", 1.0, 2.0)
    run = train(there, "churn")
    for name in ("objects", "packs", "cache"):  # what only the cache has is not enough
        shutil.rmtree(there.store.root / name, ignore_errors=True)

    here.home.merge(there.root)

    assert rows(there, "flights") == rows(here, "flights")
    assert b"of churn" == here.store.blobs.read(here.catalog.artifacts(run)[-1].digest)
    assert here.home.fsck().faults == ()


@pytest.mark.slow
def test_a_merge_killed_at_any_moment_is_completed_by_the_next(opened: Open, tmp_path: Path) -> None:
    there, whole = opened("hospital"), opened("whole")
    for number in range(12):
        add(there, f"table {number}", *map(float, range(number + 1)))
    runs = [train(there, "churn") for _ in range(40)]
    (tmp_path / "killed").mkdir()
    command = [sys.executable, "-m", "sampan", "merge", str(there.root)]
    for delay_s in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7):
        with subprocess.Popen(command, cwd=tmp_path / "killed", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(delay_s)
            os.kill(process.pid, signal.SIGKILL)
    killed = opened("killed")

    for ws in (killed, whole):
        ws.home.merge(there.root)

    assert head(whole) == head(killed)
    assert whole.catalog.counts() == killed.catalog.counts()
    for run in runs:
        assert repr(whole.catalog.metrics(run)) == repr(killed.catalog.metrics(run))
    assert killed.home.fsck().faults == ()
    assert killed.ledger.verify().first_bad is None


@pytest.mark.slow
def test_a_model_trained_elsewhere_is_looked_at_and_packed_here(opened: Open) -> None:
    sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode
    from small_training import CUT, add_orders, write_training

    here, there = opened("here"), opened("cluster")
    add_orders(there)
    trained = there.model.train(write_training(there.root), trials=1, until=CUT).model
    there.model.evaluate(trained.ref)

    here.home.merge(there.root)

    assert there.model.show(trained.ref) == here.model.show(trained.ref)
    assert there.home.lineage(trained.ref) == here.home.lineage(trained.ref)
    assert there.model.pack(trained.ref).digest == here.model.pack(trained.ref).digest


@pytest.mark.slow
def test_a_store_is_merged_into_postgresql(opened: Open, tmp_path: Path, postgres_uri: str) -> None:
    there = opened("hospital")
    add(there, "flights", 1.0)
    run = train(there, "churn")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "sampan.toml").write_text(f'[store]\ndatabase = "{postgres_uri}"\n')
    here = opened("here")

    here.home.merge(there.root)

    assert [0, 4] == [here.home.merge(there.root).n_rows, sum(metric.n for metric in here.catalog.metrics(run))]
    assert here.ledger.verify().first_bad is None
    # And from there into SQLite.
    back = opened("back")
    back.home.merge(here.root)
    assert there.catalog.metric_history(run, "loss") == back.catalog.metric_history(run, "loss")


@pytest.mark.slow
def test_two_hosts_write_to_one_store_on_a_shared_disk(tmp_path: Path) -> None:
    """Each under a host name of its own; neither, nor a third, takes the other's running run for a dead one."""
    program = (
        "import socket, sys\n"
        "socket.gethostname = lambda: sys.argv[1]\n"
        "import sampan as sp\n"
        "with sp.run('shared', title=sys.argv[1]) as run:\n"
        "    for step in range(200): run.log('loss', step)\n"
        "    print(run.id, flush=True); sys.stdin.readline()\n"
    )
    begun = [
        subprocess.Popen([sys.executable, "-c", program, host], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for host in ("node-1", "node-2")
    ]
    ids = [process.stdout.readline().strip() for process in begun if process.stdout]
    with Workspace.open(tmp_path) as ws:
        running = {each.title: each.state for each in ws.run.list(experiment="shared").runs}
        for process in begun:
            process.communicate("\n", timeout=60)
        assert {"node-1": "running", "node-2": "running"} == running
        assert [("node-1", "finished"), ("node-2", "finished")] == sorted(
            (ws.catalog.run(run).host, ws.catalog.run(run).state) for run in ids
        )
        assert [200, 200] == [ws.catalog.metrics(run)[0].n for run in ids]


def test_a_read_only_copy_is_read_as_it_is(opened: Open, tmp_path: Path) -> None:
    there = opened("hospital")
    node = add(there, "flights", 1.0)
    there.close()
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in there.root.rglob("*")}

    opened("here").home.merge(tmp_path / "hospital" / ".sampan")

    assert before == {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in there.root.rglob("*")}
    assert "flights@v1" == opened("here").catalog.node(node.id).ref


@pytest.mark.parametrize("folder", ["nowhere", "empty", "."])
def test_what_is_no_other_store_is_refused(folder: str, opened: Open, tmp_path: Path) -> None:
    here = opened("here")
    add(here, "mine", 1.0)
    (tmp_path / "empty").mkdir()

    with pytest.raises((NotFound, ParameterError)):
        here.home.merge(here.root if folder == "." else tmp_path / folder)


def test_a_file_that_is_no_database_is_named(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    add(there, "flights", 1.0)
    there.close()
    for file in there.root.glob(".sampan/sampan.db*"):
        file.write_bytes(b"no database at all")

    with pytest.raises(IntegrityError, match=r"sampan\.db is damaged or is no SQLite database"):
        here.home.merge(there.root)


def test_two_stores_cannot_have_one_label(opened: Open) -> None:
    here, first, second = opened("here"), opened("first"), opened("second")
    add(first, "a", 1.0)
    add(second, "b", 1.0)
    here.home.merge(first.root, label="site")

    with pytest.raises(AlreadyExists, match="site is another store"):
        here.home.merge(second.root, label="site")
    with pytest.raises(ParameterError, match="cannot be a label"):
        here.home.merge(second.root, label="a/b")


def test_keys_and_leaves_of_another_store_count_for_nothing_here(opened: Open) -> None:
    here, there = opened("here"), opened("hospital")
    there.data.add_table(pl.DataFrame({"passenger": ["P-000777", "P-000001"]}), name="trips")
    there.data.erase(subject={"passenger": "P-000777"})

    here.home.merge(there.root)

    assert [True] == [asset.name.startswith("hospital.") for asset in here.catalog.assets("key")]
    here.data.add_table(pl.DataFrame({"passenger": ["P-000555", "P-000001"]}), name="mine")
    assert here.data.erase(subject={"passenger": "P-000555"}).versions  # with a key of its own


def test_what_acts_or_allows_there_does_neither_here(opened: Open) -> None:
    from sampan.core.changes import AddNode, EnsureAsset
    from sampan.core.events import new_id
    from sampan.testing.stores import Noted
    from sampan.workspace.models.sign_offs import KIND as SIGN_OFF

    here, there = opened("here"), opened("hospital")
    signature = new_id()
    webhook = EnsureAsset(kind="webhook", name="told", facts={"url": "https://receiver.example"})
    there.ledger.append(Noted(what=[webhook, AddNode(id=signature, kind=SIGN_OFF, name="churn", facts={"by": "ana"})]))

    came = here.home.merge(there.root)

    assert [] == here.catalog.assets("webhook")
    assert ["elsewhere", {"webhook": 1}] == [here.catalog.node(signature).state, came.left]


def test_the_log_tells_what_happened_there_as_it_was(opened: Open) -> None:
    here, middle, there = opened("here"), opened("middle"), opened("hospital")
    node = add(there, "flights", 1.0)
    point(there, "flights", "stable", node)
    middle.home.merge(there.root)
    here.home.merge(middle.root)

    (moved,) = [one for one in here.home.log(node.id).events if "alias moved" in one.what]

    assert ["someone at hospital", "merged from hospital; merged from middle"] == [moved.actor, moved.reason]


def test_the_command_says_what_came(opened: Open, tmp_path: Path) -> None:
    add(opened("hospital"), "flights", 1.0)
    add(opened("here"), "flights", 2.0)
    command = [sys.executable, "-m", "sampan", "merge", "../hospital", "--json"]

    done = subprocess.run(command, cwd=tmp_path / "here", capture_output=True, text=True)

    told = json.loads(done.stdout)
    assert ["hospital", "hospital.flights"] == [told["origin"], told["names"][0]["here"]]
    with closing(sqlite3.connect(tmp_path / "here" / ".sampan" / "sampan.db")) as database:
        assert [(1,)] == database.execute("select count(*) from event where type = 'origin_met'").fetchall()
