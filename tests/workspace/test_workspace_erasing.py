"""A person erased: gone from every byte of the store, every version kept, old names resolving, the ledger whole, the record signed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import polars as pl
import pytest

from sampan.core.events import Input, ParamsLogged, RunStarted, StateChanged, Tagged, VersionCommitted, new_id
from sampan.errors import BlobUnavailable, IntegrityError, ParameterError, StaleState
from sampan.ledger import Ledger
from sampan.store import Store
from sampan.table.arrow_blocks import Block, Field, Schema
from sampan.testing.ledgers import tables_of
from sampan.workspace.data.dataset_edits import DeleteWhere, Edits, PutRows
from sampan.workspace.data.quarantine import HeldCell, Quarantine
from sampan.workspace.governing.erasure import Erasure
from sampan.workspace.governing.erasure_events import ERASURE
from sampan.workspace.governing.erasure_records import verified
from sampan.workspace.workspace import Workspace

PERSON, EMAIL = "P-000777", "lan.nguyen@example.net"
KEYS = {"passenger": PERSON}
TRIPS = pl.DataFrame(
    {
        "passenger": [PERSON, "P-1", "P-2", PERSON],
        "email": [EMAIL, "one@example.org", "two@example.org", EMAIL],
        "city": ["Huế", "Vinh", "Huế", "Vinh"],
        "fare": [10.0, 20.0, 30.0, 40.0],
    }
)


@pytest.fixture(autouse=True)
def _keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPAN_KEYS", str(tmp_path / "keys"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def bytes_with(root: Path, needle: str) -> list[str]:
    """Name every file that holds a text, or whose Parquet cells do."""
    found = []
    for path in sorted(root.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            cells = repr(pl.read_parquet(data).rows()).encode() if data.startswith(b"PAR1") else b""
            if needle.encode() in data + cells:
                found.append(str(path.relative_to(root)))
    return found


def fill(ws: Workspace) -> None:
    """Let a person be everywhere: versions, edits, quarantine, profile, run, step, artifact, logs, caches, facts."""
    ws.data.add_table(TRIPS, name="trips", key=None)
    ws.data.add_table(pl.concat([TRIPS, TRIPS.with_columns(passenger=pl.lit("P-3"), email=pl.lit("x@example.org"))]), name="trips")
    Edits(ws).apply(ws.catalog.resolve("trips"), DeleteWhere(pl.col("fare") == 40.0))  # pl expressions travel as they are
    Quarantine(ws).hold("trips", TRIPS[:2], [HeldCell(0, "fare", "ten", "no number"), HeldCell(1, "fare", "x", "no number")])
    head = ws.catalog.resolve("trips")
    store = ws.store
    report = store.blobs.put(msgspec.json.encode({"examples": [{"passenger": PERSON, "fare": 1}, {"passenger": "P-1"}], "best": EMAIL}))
    listing = store.blobs.put(msgspec.json.encode({"report.json": report}))
    scores = store.blobs.put(_parquet(TRIPS))
    run = new_id()
    ws.ledger.append(
        RunStarted(
            node=run, experiment="e", title=f"without {PERSON}", started=1, inputs=(Input(head.id, "input"),), params={"passenger": PERSON}
        ),
        ParamsLogged(node=run, params={"who": f"{EMAIL} again", "rate": "0.1"}),
        Tagged(node=run, key="passenger", value=PERSON),
        VersionCommitted(
            node=new_id(),
            kind="model",
            name="fares",
            digest=listing,
            facts={"scores": scores, "worst": [{"passenger": PERSON, "error": 3.5}], "n_rows": 4},
            inputs=(Input(head.id, "trained_on"),),
        ),
        StateChanged(node=run, before="running", after="stuck", reason=f"asked by {EMAIL}"),
        reason=f"for {PERSON}",
    )
    schema = Schema([Field("id", "utf8"), Field("key", "utf8"), Field("field.passenger", "utf8"), Field("score", "float64")])
    with store.segments.writer("predictions.s.p", schema) as log:
        log.write(_batch(schema, ["a", "b"], [PERSON, "P-1"], [0.25, 0.5]))
        log.write(_batch(schema, ["c"], [PERSON], [0.75]))
    feeds = Schema([Field("table", "utf8"), Field("at", "int64"), Field("rows", "binary")])
    with store.segments.writer("feeds.s", feeds) as log:
        rows = msgspec.json.encode([{"passenger": PERSON, "email": EMAIL}, {"passenger": "P-1", "email": "one@example.org"}])
        log.write(Block(feeds, 1, [["t"], [5], [rows]]))
    for name in ("hints/recent.json", "services/one/server.log", "cache/unpacked/copy", "tmp/99999999-ab"):
        (store.root / name).parent.mkdir(parents=True, exist_ok=True)
        (store.root / name).write_text(f'{{"last": "{PERSON}"}}\n')


def _parquet(frame: pl.DataFrame) -> bytes:
    from sampan.store.tables import parts

    return parts.encode(frame)


def _batch(schema: Schema, ids: list[str], who: list[str], scores: list[float]) -> Block:
    return Block(schema, len(ids), [ids, who, who, scores])


def test_a_person_is_gone_from_every_byte_and_every_version_stays(folder: Path) -> None:
    with Workspace.open(folder) as ws:
        fill(ws)
        nodes = ws.catalog.nodes(kind="dataset", name="trips")
        expected = {node.id: ws.store.tables.read(node.digest).filter(pl.col("passenger") != PERSON) for node in nodes}
        assert len(bytes_with(ws.store.root, PERSON)) > 5
        assert [one.ref for one in ws.data.subject(subject=KEYS).versions] == ["trips@v1", "trips@v2", "trips@v3"]

        gone = ws.data.erase(subject=KEYS, reason="request 17")

        assert bytes_with(ws.store.root, PERSON) == []
        assert bytes_with(ws.store.root, EMAIL) == []
        assert ws.data.erased(subject=KEYS, also=[EMAIL]).places == ()
        assert {node.id: ws.store.tables.read(ws.catalog.node(node.id).digest).equals(expected[node.id]) for node in nodes} == {
            node.id: True for node in nodes
        }
        assert {node.ref: ws.catalog.node(node.id).facts["n_rows"] for node in nodes} == {
            node.ref: expected[node.id].height for node in nodes
        }
        assert gone.models == ("fares@v1",)
        assert gone.left == ()
        assert ws.home.fsck().faults == ()


def test_a_person_is_gone_from_postgresql_too(folder: Path, postgres_uri: str) -> None:
    (folder / "sampan.toml").write_text(f'[store]\ndatabase = "{postgres_uri}"\n')
    with Workspace.open(folder) as ws:
        fill(ws)
        ws.data.erase(subject=KEYS)

        with ws.store.database.read() as session:
            tables = [name for (name,) in session.all("select tablename from pg_tables where schemaname = 'public'")]
            rows = repr([session.all(f"select * from {name}") for name in tables])
        assert len(tables) > 10
        assert PERSON not in rows
        assert EMAIL not in rows
        assert bytes_with(ws.store.root, PERSON) == []
        assert ws.ledger.verify().what == ""
        assert ws.data.erased(subject=KEYS).places == ()


def test_old_digests_still_resolve_and_rows_of_others_are_as_they_were(folder: Path) -> None:
    with Workspace.open(folder) as ws:
        fill(ws)
        former = ws.catalog.resolve("trips@v2")
        model = ws.catalog.resolve("fares")
        ws.data.erase(subject=KEYS)

        assert ws.catalog.resolve(former.digest).id == former.id
        assert ws.catalog.resolve(former.digest[:20]).digest != former.digest
        assert ws.catalog.resolve(model.digest).id == model.id
        listing = msgspec.json.decode(ws.store.blobs.read(ws.catalog.resolve("fares").digest))
        report = msgspec.json.decode(ws.store.blobs.read(listing["report.json"]))
        assert report == {"examples": [{"passenger": "[erased]"}, {"passenger": "P-1"}], "best": "[erased]"}
        facts = ws.catalog.resolve("fares").facts
        assert facts["worst"] == [{"passenger": "[erased]"}]
        assert facts["n_rows"] == 4
        assert pl.read_parquet(ws.store.blobs.read(facts["scores"]))["passenger"].to_list() == ["P-1", "P-2"]
        (held,) = Quarantine(ws).held("trips")
        assert [cell.value for cell in Quarantine(ws).cells(held)] == ["x"]


def test_logs_keep_the_rows_of_others_and_their_cursors(folder: Path) -> None:
    with Workspace.open(folder) as ws:
        fill(ws)
        segments = ws.store.segments
        _, cursor = segments.read("predictions.s.p")
        schema = Schema([Field("id", "utf8"), Field("key", "utf8"), Field("field.passenger", "utf8"), Field("score", "float64")])
        living = segments.writer("predictions.s.p", schema)
        living.write(_batch(schema, ["d", "e"], ["P-2", PERSON], [0.1, 0.2]))
        living.flush()

        assert ws.data.erase(subject=KEYS).n_log_rows == 4
        living.write(_batch(schema, ["f"], ["P-9"], [0.3]))
        living.seal()
        assert segments.read("predictions.s.p")[0]["id"].to_pylist() == ["b", "d", "f"]
        assert segments.read("predictions.s.p", after=cursor)[0]["id"].to_pylist() == ["d", "f"]
        (fed,) = segments.read("feeds.s")[0]["rows"].to_pylist()
        assert msgspec.json.decode(fed) == [{"passenger": "P-1", "email": "one@example.org"}]
        assert bytes_with(ws.store.root, PERSON) == []
        assert ws.data.erase(subject=KEYS).n_log_rows == 0


def test_the_ledger_stays_whole_and_replays_without_the_person(folder: Path, tmp_path: Path) -> None:
    with Workspace.open(folder) as ws:
        fill(ws)
        ws.data.erase(subject=KEYS)
        assert ws.ledger.verify().what == ""

        with Store.open(tmp_path / "copy") as copy:
            ws.ledger.replay(copy)
            assert tables_of(copy) == tables_of(ws.store)
            assert Ledger(copy, actor="x").verify().what == ""

        with ws.store.database.write() as session:
            session.run("update event set body = replace(body, '0.1', '0.2') where body like '%rate%'")
        assert "was changed after it was written" in ws.ledger.verify().what


def test_the_record_is_signed_and_says_nothing_of_the_person(folder: Path) -> None:
    with Workspace.open(folder) as ws:
        fill(ws)
        ws.data.erase(subject=KEYS, reason=f"asked by {EMAIL}")
        (node,) = ws.catalog.nodes(kind=ERASURE)
        data = ws.store.blobs.read(node.digest)

        assert PERSON.encode() not in data
        assert EMAIL.encode() not in data
        assert [table.n_rows for table in verified(data).record.tables if table.name == "trips@v2"] == [2]
        (line,) = ws.data.erasures(subject=KEYS).erasures
        assert (line.signature, line.about, line.reason) == ("whole", True, "asked by [erased]")
        assert [line.about for line in ws.data.erasures(subject={"passenger": "P-1"}).erasures] == [False]
        with pytest.raises(IntegrityError, match="altered"):
            verified(data.replace(b'"n_log_rows": 3', b'"n_log_rows": 2'))


def test_an_edit_that_was_made_of_what_has_been_erased_begins_anew(folder: Path) -> None:
    with Workspace.open(folder) as ws:
        ws.data.add_table(TRIPS, name="trips")
        seen = ws.catalog.resolve("trips")

        class Meanwhile(DeleteWhere, frozen=True):
            def make(self, tables, head):  # type: ignore[no-untyped-def]  # as its base
                made = super().make(tables, head)
                Erasure(ws, KEYS).erase(reason="")
                return made

        node = Edits(ws).apply(seen, Meanwhile(pl.col("fare") == 20.0))

        assert ws.store.tables.read(node.digest)["passenger"].to_list() == ["P-2"]
        assert bytes_with(ws.store.root, PERSON) == []
        assert ws.home.fsck().faults == ()


def test_an_edit_goes_on_where_what_it_reads_was_erased(folder: Path) -> None:
    with Workspace.open(folder) as ws:
        ws.data.add_table(TRIPS, name="trips")
        seen = ws.catalog.resolve("trips")
        ws.data.delete("trips", where="fare = 30.0")
        Erasure(ws, KEYS).erase(reason="")

        node = Edits(ws).apply(seen, PutRows(TRIPS[1:2].with_columns(fare=pl.lit(21.0)), ["passenger"]))

        assert ws.store.tables.read(node.digest).select("passenger", "fare").rows() == [("P-1", 21.0)]
        (base,) = {part.base for part in ws.store.tables.parts(node.digest)}
        ws.store.blobs.discard([base])
        with pytest.raises(BlobUnavailable, match=base):
            Edits(ws).apply(node, DeleteWhere(pl.col("fare") == 21.0))


def test_erasing_nobody_changes_no_version(folder: Path) -> None:
    with Workspace.open(folder) as ws:
        ws.data.add_table(TRIPS, name="trips")
        before = ws.catalog.resolve("trips")
        gone = ws.data.erase(subject={"passenger": "P-404404"})

        assert gone.versions == ()
        assert ws.catalog.resolve("trips") == before
    with pytest.raises(ParameterError, match="no subject is named"):
        ws.data.erase(subject={})


def test_a_short_key_is_erased_where_it_is_the_key_and_nowhere_else(folder: Path) -> None:
    numbers = pl.DataFrame({"id": [7, 8], "n": [7, 7]})
    with Workspace.open(folder) as ws:
        ws.data.add_table(numbers, name="numbers")
        ws.ledger.append(VersionCommitted(node=new_id(), kind="note", name="n", digest="", facts={"rows": [{"id": 7, "n": 1}], "n": 7}))
        ws.data.erase(subject={"id": "7"})

        assert ws.store.tables.read(ws.catalog.resolve("numbers").digest).rows() == [(8, 7)]
        assert ws.catalog.resolve("n", kind="note").facts == {"rows": [{"id": "[erased]"}], "n": 7}
        searched = ws.data.erased(subject={"id": "7"})
        assert (searched.places, searched.short) == ((), ("id",))
        assert "id: too short to be looked for outside of columns of this name" in searched.text()


def test_what_cannot_be_written_again_is_named(folder: Path) -> None:
    with Workspace.open(folder) as ws:
        ws.data.add_table(TRIPS, name="trips")
        model = ws.store.blobs.put(b"\x08\xff\x00 a graph with " + PERSON.encode())
        ws.ledger.append(VersionCommitted(node=new_id(), kind="model", name="fares", digest=model))
        gone = ws.data.erase(subject=KEYS)

        assert gone.left == ("fares@v1",)
        assert gone.exit_code() == 3
        assert [place.digest for place in ws.data.erased(subject=KEYS).places] == [model]


def test_only_texts_that_name_somebody_are_erased_beyond_the_rows(folder: Path) -> None:
    own = {"phone": "+84 912 345 678", "day": "2013-01-31", "seen": "31.01.2013", "city": "Dalat", "shared": "028 3822 9999"}
    trips = pl.DataFrame([{"passenger": PERSON, **own}, {"passenger": "P-1", **dict.fromkeys(own, ""), "shared": own["shared"]}])
    with Workspace.open(folder) as ws:
        ws.data.add_table(trips, name="trips")

        assert Erasure(ws, KEYS).subject().texts == ("+84 912 345 678", PERSON)
        ws.ledger.append(VersionCommitted(node=new_id(), kind="note", name="n", digest="", facts={"said": list(own.values())}))
        ws.data.erase(subject=KEYS)
        assert ws.catalog.resolve("n", kind="note").facts == {"said": ["[erased]", *list(own.values())[1:]]}


def test_rows_of_others_stay_and_name_the_person_no_more(folder: Path) -> None:
    calls = pl.DataFrame({"call": ["a", f"{PERSON}-2", "c"], "said": [f"for {PERSON}", "to LAN.NGUYEN@example.net", "no"], "n": [1, 2, 3]})
    with Workspace.open(folder) as ws:
        ws.data.add_table(TRIPS, name="trips")
        ws.data.add_table(calls, name="calls")
        copy = folder / "calls.parquet"
        ws.data.export("calls", copy)
        gone = ws.data.erase(subject=KEYS)

        left = ws.store.tables.read(ws.catalog.resolve("calls").digest)
        assert left.rows() == [("a", "for [erased]", 1), (f"{PERSON}-2", "to [erased]", 2), ("c", "no", 3)]
        assert (gone.n_cells, gone.left, gone.unsure, gone.exit_code()) == (2, (), (), 0)
        assert [(one.ref, one.n_rows) for one in gone.versions] == [("trips@v1", 2), ("calls@v1", 0)]
        assert "rows of others named the person in 2 cells" in gone.text()
        assert [str(copy) in one for one in gone.copies] == [True]
        assert ws.data.erased(subject=KEYS).places == ()
        assert ws.home.fsck().faults == ()


def test_a_number_or_a_name_in_rows_of_others_is_for_a_person_to_decide(folder: Path) -> None:
    with Workspace.open(folder) as ws:
        ws.data.add_table(pl.DataFrame({"customer": [10030, 10031], "n": [1, 2]}), name="customers")
        ws.data.add_table(pl.DataFrame({"zip": ["10030", "10000"], "said": ["10030 called", "no"]}), name="places")
        gone = ws.data.erase(subject={"customer": "10030"})

        assert gone.unsure == ("places@v1: 1 in zip, 1 in said",)
        assert gone.exit_code() == 3
        assert "look, and if so erase again with --also" in gone.text()
        assert ws.store.tables.read(ws.catalog.resolve("places").digest)["zip"].to_list() == ["10030", "10000"]
        assert gone.derived == ()
        wholly = "sampan data erase --subject customer=10030 --also 10030"
        assert ws.data.erased(subject={"customer": "10030"}).next == ("sampan data erase --subject customer=10030", wholly)
        again = ws.data.erase(subject={"customer": "10030"}, also=["10030"])
        assert (again.unsure, again.n_cells, again.exit_code()) == ((), 2, 0)
        assert ws.store.tables.read(ws.catalog.resolve("places").digest)["said"].to_list() == ["[erased] called", "no"]
        assert ws.data.erased(subject={"customer": "10030"}).places == ()


def test_who_is_misspelt_or_found_nowhere_is_not_called_erased(folder: Path) -> None:
    with Workspace.open(folder) as ws:
        ws.data.add_table(TRIPS, name="trips")
        gone = ws.data.erase(subject={"pasenger": PERSON})

        assert gone.unknown == ("no dataset has a column pasenger; did you mean passenger?",)
        assert gone.exit_code() == 3
        assert ws.data.subject(subject={"pasenger": PERSON}).unknown == gone.unknown
        assert "found nowhere, so nothing was erased" in ws.data.erase(subject={"passenger": "P-404404"}).text()
        with pytest.raises(ParameterError, match="'Lan' is too short"):
            ws.data.erase(subject=KEYS, also=["Lan"])


def test_a_file_that_is_being_written_is_left_to_its_writer(folder: Path) -> None:
    with Workspace.open(folder) as ws:
        ws.data.add_table(TRIPS, name="trips")
        living, dead = (ws.store.root / "tmp" / f"{pid}-ab" for pid in (os.getpid(), 99999999))
        for path in (living, dead):
            path.write_text(PERSON)
        ws.data.erase(subject=KEYS)

        assert (living.exists(), dead.exists()) == (True, False)


def test_an_erasure_begins_anew_where_another_freed_what_it_reads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Workspace.open(folder) as ws:
        ws.data.add_table(TRIPS, name="trips")
        erasure = Erasure(ws, {"passenger": "P-1"})
        look, others = erasure._erase_tables, [Erasure(ws, KEYS)]

        def meanwhile():  # type: ignore[no-untyped-def]  # as what it stands for
            if others:
                listed = ws.catalog.resolve("trips").digest
                others.pop().erase(reason="")
                ws.store.tables.read(listed)  # as if it had been listed before
            return look()

        monkeypatch.setattr(erasure, "_erase_tables", meanwhile)
        erasure.erase(reason="")

        assert ws.store.tables.read(ws.catalog.resolve("trips").digest)["passenger"].to_list() == ["P-2"]
        assert [node.state for node in ws.catalog.nodes(kind=ERASURE)] == ["done", "done"]


@pytest.mark.parametrize("killed_before", [True, False])
def test_content_that_is_erased_before_it_has_a_name_gets_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, killed_before: bool
) -> None:
    """Of two processes one puts a person's rows and is about to name them, while the other erases the person."""
    more = TRIPS.with_columns(fare=pl.col("fare") + 1)
    with Workspace.open(folder) as ws, Workspace.open(folder) as other:
        ws.data.add_table(TRIPS, name="trips")
        append = Ledger.append

        def meanwhile(ledger: Ledger, *events, **options):  # type: ignore[no-untyped-def]  # as what it stands for
            if ledger is ws.ledger:
                monkeypatch.setattr(Ledger, "append", append)
                Erasure(other, KEYS).erase(reason="")
            return append(ledger, *events, **options)

        monkeypatch.setattr(Ledger, "append", meanwhile)
        if killed_before:
            # Its version stays behind without its rows, and is no reason to refuse the next erasure.
            monkeypatch.setattr(Ledger, "append", append)
            left = ws.store.tables.create(more).digest
            ws.store.blobs.discard([part.base for part in ws.store.tables.parts(left)])
            assert other.data.erase(subject={"passenger": "P-1"}).left == ()
            assert not ws.store.blobs.has(left)
        else:
            with pytest.raises(StaleState, match="a person was erased while this was being written"):
                ws.data.add_table(more, name="again")
            assert ws.data.add_table(more, name="again").n_rows == 4
        assert ws.home.fsck().faults == ()


def test_what_names_content_that_need_not_be_there_is_recorded_after_an_erasure(folder: Path) -> None:
    """A run reads a file again that had been attached before: its version says which bytes, and holds none."""
    with Workspace.open(folder) as ws:
        text = f"a note on {PERSON}".encode()
        digest = ws.store.blobs.put(text)
        ws.ledger.append(VersionCommitted(node=new_id(), kind="file", name="note", digest=digest))
        ws.data.add_table(TRIPS, name="trips")
        ws.data.erase(subject=KEYS)
        assert not ws.store.blobs.has(digest)

        ws.ledger.append(VersionCommitted(node=new_id(), kind="file", name="again", digest=digest))
        assert ws.catalog.resolve("again").digest == digest


def test_a_loss_is_told_and_not_tried_for_ever(folder: Path) -> None:
    with Workspace.open(folder) as ws:
        ws.data.add_table(TRIPS, name="trips")
        (base,) = {part.base for part in ws.store.tables.parts(ws.catalog.resolve("trips").digest)}
        ws.store.blobs.discard([base])

        with pytest.raises(BlobUnavailable, match=base):
            ws.data.erase(subject=KEYS)


def test_files_that_only_the_person_has_are_gone_with_their_rows(folder: Path) -> None:
    for number in range(12):
        path = folder / "letters" / f"{number:02d}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("the same" if number % 3 == 0 else f"letter of person {number:02d}")
    with Workspace.open(folder) as ws:
        ws.data.add(folder / "letters")
        (folder / "letters" / "01.txt").write_text("another letter of person 01")
        ws.data.add(folder / "letters")
        assert len(list((ws.store.root / "packs").glob("*.pack"))) == 1

        ws.data.erase(subject={"path": "01.txt"})
        ws.data.erase(subject={"path": "03.txt"})

        everything = b"".join(path.read_bytes() for path in ws.store.root.rglob("*") if path.is_file())
        assert b"person 01" not in everything
        assert b"person 02" in everything
        assert b"the same" in everything  # others have it too
        head = ws.store.tables.read(ws.catalog.resolve("letters").digest)
        assert head.height == 10
        assert [ws.store.blobs.has(digest) for digest in head["file"].to_list()] == [True] * 10
        assert ws.home.fsck().faults == ()


KILLED = """
import os, sys
from pathlib import Path
from sampan.workspace.workspace import Workspace
from sampan.workspace.governing import erasure
import sampan.ledger
when = sys.argv[2]
def die(*_args, **_more):
    os.kill(os.getpid(), 9)
with Workspace.open(sys.argv[1]) as ws:
    if when == "before":
        sampan.ledger.Ledger.append_erasing = die
    else:
        ws.store.blobs.__class__.discard = die
    ws.data.erase(subject={"passenger": "P-000777"})
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_erasure_that_was_killed_is_completed(folder: Path, when: str) -> None:
    with Workspace.open(folder) as ws:
        fill(ws)
        expected = ws.store.tables.read(ws.catalog.resolve("trips@v2").digest).filter(pl.col("passenger") != PERSON)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), when], env=dict(os.environ), check=False)
    assert killed.returncode == -signal.SIGKILL

    with Workspace.open(folder) as ws:
        assert ws.store.tables.read(ws.catalog.resolve("trips@v2").digest).height >= expected.height
        assert bytes_with(ws.store.root, PERSON) != []
        if when == "after":
            assert [line.state for line in ws.data.erasures().erasures] == ["erasing"]
            assert ["not completed" in fault.what for fault in ws.home.fsck().faults] == [True]
            ws.home.gc()
        else:
            ws.data.erase(subject=KEYS)
        assert bytes_with(ws.store.root, PERSON) == []
        assert ws.store.tables.read(ws.catalog.resolve("trips@v2").digest).equals(expected)
        assert ws.ledger.verify().what == ""
        assert ws.home.fsck().faults == ()
