from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sampan.core.events import RunStarted, new_id
from sampan.core.graph import NodeId
from sampan.errors import IntegrityError, NotFound, ParameterError, StoreUnavailable, UsageError
from sampan.ledger import Ledger
from sampan.store import Store
from sampan.store.journals import BLOCK, Journals, parse, parse_keys, writer_lives

RUN = "0" * 31 + "1"


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path / "journals")


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "store") as store:
        yield store


def start(store: Store) -> NodeId:
    run = new_id()
    Ledger(store, actor="test").append(RunStarted(node=run, experiment="e", title="", started=0))
    return run


def journal_bytes(folder: Path) -> bytes:
    journals = Journals(folder)
    with journals.open(RUN) as journal:
        for i in range(3):
            journal.log("loss", i / 2, step=i, at=i)
            journal.log("a key whose name is longer than one block of the file", float(i), step=i, at=i)
    return journals.of(RUN)[0].read_bytes()[BLOCK:]


def test_a_point_is_in_the_file_when_the_call_returns(journals: Journals) -> None:
    with journals.open(RUN) as journal:
        journal.log("loss", 0.5, step=3, at=9)

        found, _ = parse(journal.path.read_bytes()[BLOCK:], {})
    assert found == {"loss": [(3, 9, 0.5)]}


def test_several_metrics_are_logged_by_one_write_all_or_none(journals: Journals) -> None:
    with journals.open(RUN) as journal:
        journal.log("loss", 0.5, step=0, at=9)
        journal.log_all({"auc": 0.7, "loss": 0.25}, steps={"auc": 0, "loss": 1}, at=9)
        before = journal.path.stat().st_size
        with pytest.raises(ParameterError, match="depth"):
            journal.log_all({"new": 1.0, "depth": "deep"}, steps={"new": 0, "depth": 0}, at=9)  # type: ignore[dict-item]  # the case
        assert before == journal.path.stat().st_size
        journal.log_all({"new": 2.0}, steps={"new": 0}, at=10)

        found, _ = parse(journal.path.read_bytes()[BLOCK:], {})
    assert found == {"loss": [(0, 9, 0.5), (1, 9, 0.25)], "auc": [(0, 9, 0.7)], "new": [(0, 10, 2.0)]}


def test_points_reach_the_disk_within_moments_also_of_journals_opened_later(journals: Journals, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = set()
    forced = os.fdatasync

    def watch(fd: int) -> None:
        synced.add(os.fstat(fd).st_ino)
        forced(fd)

    monkeypatch.setattr(os, "fdatasync", watch)
    for _ in range(2):
        with journals.open(new_id()) as journal:
            journal.log("loss", 0.5, step=0, at=9)
            mine = journal.path.stat().st_ino
            waited_until = time.monotonic() + 10
            while mine not in synced and time.monotonic() < waited_until:
                time.sleep(0.02)
            assert mine in synced


def test_a_torn_end_is_left_out_wherever_it_was_torn(tmp_path: Path) -> None:
    whole = journal_bytes(tmp_path)
    everything, n_bytes = parse(whole, {})
    assert n_bytes == len(whole)
    assert sum(map(len, everything.values())) == 6

    for length in range(len(whole)):
        found, n_read = parse(whole[:length], {})
        assert n_read <= length
        assert length - n_read < 4 * BLOCK
        for key, points in found.items():
            assert points == everything[key][: len(points)]


def test_a_block_that_a_power_cut_zeroed_ends_what_is_read(tmp_path: Path) -> None:
    whole = journal_bytes(tmp_path)
    everything, _ = parse(whole, {})

    for start in range(0, len(whole), BLOCK):
        found, n_read = parse(whole[:start] + bytes(BLOCK) + whole[start + BLOCK :], {})
        assert n_read <= start
        for key, points in found.items():
            assert points == everything[key][: len(points)]


def test_reading_on_from_any_record_gives_the_same_points(tmp_path: Path) -> None:
    whole = journal_bytes(tmp_path)
    everything, _ = parse(whole, {})
    for stop in range(0, len(whole), BLOCK):
        first, n_read = parse(whole[:stop], {})
        keys: dict[int, str] = {}
        assert parse_keys(whole[:n_read], keys) == n_read
        second, _ = parse(whole[n_read:], keys)

        assert {key: first.get(key, []) + second.get(key, []) for key in everything} == everything


def test_pages_of_zeros_that_a_power_cut_left_are_not_points(store: Store) -> None:
    run = start(store)
    with store.journals.open(run) as journal:
        journal.log("loss", 1.0, step=1, at=1)
    with journal.path.open("ab") as file:
        file.write(bytes(4096))

    assert store.catalog.metric_history(run, "loss").values == [1.0]
    assert store.journals.of(run) == []


@pytest.mark.parametrize(
    ("key", "value", "step"),
    [
        ("", 1.0, 1),
        ("a\x00b", 1.0, 1),
        ("x" * 1001, 1.0, 1),
        ("\ud800", 1.0, 1),
        (3, 1.0, 1),
        ("k", "high", 1),
        ("k", 1.0, 1.5),
        ("k", 1.0, 2**63),
    ],
)
def test_what_is_no_point_is_refused_and_nothing_is_written(journals: Journals, key: str, value: float, step: int) -> None:
    with journals.open(RUN) as journal:
        with pytest.raises(ParameterError, match=r"metric|cannot be"):
            journal.log(key, value, step=step, at=1)
        journal.log("loss", 0.5, step=1, at=1)

        assert parse(journal.path.read_bytes()[BLOCK:], {})[0] == {"loss": [(1, 1, 0.5)]}


def test_a_closed_journal_takes_no_point_and_may_be_closed_again(journals: Journals) -> None:
    journal = journals.open(RUN)
    journal.close()
    journal.close()

    with pytest.raises(UsageError, match="is closed"):
        journal.log("loss", 0.5, step=1, at=1)


def test_a_run_id_that_is_none_opens_no_file(journals: Journals) -> None:
    with pytest.raises(ParameterError):
        journals.open("../elsewhere")


def test_threads_log_to_one_journal(store: Store) -> None:
    run = start(store)
    with store.journals.open(run) as journal:

        def work(number: int) -> None:
            for i in range(500):
                journal.log(f"thread {number} {i % 5}", float(i), step=i, at=i)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [m.n for m in store.catalog.metrics(run)] == [100] * 20


def test_two_writers_of_one_run_are_both_heard(store: Store) -> None:
    run = start(store)
    with store.journals.open(run) as one, store.journals.open(run) as other:
        one.log("a", 1.0, step=1, at=1)
        other.log("b", 2.0, step=1, at=1)
        other.log("a", 3.0, step=2, at=2)

        assert store.catalog.metric_history(run, "a").values == [1.0, 3.0]
    assert store.catalog.metric_history(run, "b").values == [2.0]


def test_a_live_writer_is_told_from_a_dead_one(journals: Journals) -> None:
    journal = journals.open(RUN)

    assert journals.is_alive(RUN)
    assert writer_lives(journal.path)
    journal.close()
    assert not journals.is_alive(RUN)
    assert journals.runs() == {RUN}


def test_a_forked_child_neither_writes_nor_keeps_the_writer_alive(journals: Journals) -> None:
    journal = journals.open(RUN)
    hears, says = os.pipe()
    child = os.fork()
    if not child:
        try:
            journal.log("loss", 0.5, step=1, at=1)
        except UsageError:
            os.write(says, b"refused")
            time.sleep(60)
        os._exit(1)
    try:
        assert os.read(hears, 100) == b"refused"
        journal.close()

        assert not writer_lives(journal.path)
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(hears)
        os.close(says)


def test_a_disk_that_fills_up_inside_a_record_leaves_no_half_of_it(store: Store) -> None:
    run = start(store)
    code = f"""
import resource, signal, sys
from pathlib import Path
from sampan.errors import StoreUnavailable
from sampan.store.journals import Journals
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journals(Path({str(store.root / "journals")!r})).open({run!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (32 * 10 + 5, resource.RLIM_INFINITY))
for step in range(20):
    try:
        journal.log("loss", 1.0, step=step, at=step)
    except StoreUnavailable as error:
        print(step, error.hint)
        break
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.log("loss", 2.0, step=100, at=100)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("7 free some space")
    assert store.catalog.metric_history(run, "loss").steps == [*range(7), 100]


def test_a_disk_that_cannot_be_synced_is_said_by_the_next_call(journals: Journals, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fail)
    journal = journals.open(RUN)
    for step in range(200):
        time.sleep(0.05)  # the syncing thread looks every 100 ms
        try:
            journal.log("loss", 0.5, step=step, at=1)
        except StoreUnavailable:
            break

    with pytest.raises(StoreUnavailable, match="Input/output error"):
        journal.log("loss", 0.5, step=1, at=1)
    with pytest.raises(StoreUnavailable):
        journal.close()
    assert not writer_lives(journal.path)


def test_a_folder_that_cannot_be_is_the_stores_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnavailable, match="journal"):
        Journals(tmp_path / "file" / "journals").open(RUN)


def test_points_of_a_run_nobody_started_wait(store: Store) -> None:
    run = new_id()
    with store.journals.open(run) as journal:
        journal.log("loss", 0.5, step=1, at=1)
    with pytest.raises(NotFound, match="has a journal"):
        store.folding.fold(run)

    Ledger(store, actor="test").append(RunStarted(node=run, experiment="e", title="", started=0))

    assert store.folding.fold_all() == 1


def test_a_file_that_is_no_journal_is_named(store: Store) -> None:
    run = start(store)
    store.journals.open(run).close()
    (path,) = store.journals.of(run)
    path.write_bytes(b"something else that is longer than a block of a journal")

    with pytest.raises(IntegrityError, match=path.name):
        store.folding.fold(run)


@pytest.mark.slow
def test_a_long_history_is_folded_piece_by_piece_into_whole_chunks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.store.folding._PIECE_BYTES", 32 * 5_000)
    run, n = start(store), 40_000
    with store.journals.open(run) as journal:
        for i in range(n):
            journal.log("loss", float(i), step=i, at=i)
            if i == n // 2:
                store.folding.fold(run)

    history = store.catalog.metric_history(run, "loss")
    assert history.steps == list(range(n))
    with store.database.read() as session:
        assert [row[0] for row in session.all("select n from metric_chunk order by seq")] == [16_384, 16_384, n - 2 * 16_384]
