"""What every ledger does, whichever database it is on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.core.changes import AddEdge, Change, DescribeAsset
from sampan.core.events import AliasMoved, Event, Input, RunEnded, StepCommitted, Tagged, VersionCommitted, new_id
from sampan.errors import AlreadyExists, IntegrityError, NotFound, ParameterError
from sampan.ledger import Ledger, Verified
from sampan.store import Store
from sampan.store.projection import TABLES
from sampan.testing.stores import Noted, commit, digest, start


class Untyped(Event, frozen=True, kw_only=True):
    """An event whose author forgot its type."""


class LedgerContract:
    """Inherit, and say how a store is opened: different folders must give different stores."""

    def open_store(self, folder: Path) -> Store:
        """Open the store of a folder, made if it is not there."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """Lend a new store."""
        with self.open_store(tmp_path / "store") as store:
            yield store

    @pytest.fixture
    def ledger(self, store: Store) -> Ledger:
        """A ledger over it, with a clock that ticks a second a look."""
        moments = iter(range(1_000, 10**9, 1_000))
        return Ledger(store, actor="tester", clock=lambda: next(moments))

    def test_an_append_says_its_number_and_the_versions_it_made(self, ledger: Ledger) -> None:
        first, second = new_id(), new_id()

        receipt = ledger.append(
            VersionCommitted(node=first, kind="dataset", name="a", digest=digest("a")),
            VersionCommitted(node=second, kind="dataset", name="a", digest=digest("b")),
        )
        assert (receipt.seq, receipt.versions) == (2, {first: 1, second: 2})
        assert ledger.append().seq == 2

    def test_events_that_cannot_all_be_are_none(self, store: Store, ledger: Ledger) -> None:
        node = new_id()

        with pytest.raises(NotFound):
            ledger.append(
                VersionCommitted(node=node, kind="dataset", name="a", digest=""),
                Noted(what=[AddEdge(dst=node, src=new_id(), role="input")]),
            )
        assert store.catalog.events() == []
        assert store.catalog.assets() == []
        assert ledger.verify() == Verified(0)

    def test_an_event_is_read_back_as_it_was_written(self, store: Store, ledger: Ledger) -> None:
        node = commit(ledger, "model", "late")
        move = AliasMoved(kind="model", name="late", alias="champion", before=None, after=node)

        ledger.append(move, reason="gate passed")

        (found,) = store.catalog.events(type="alias_moved")
        assert (found.seq, found.at, found.actor, found.subject, found.reason) == (2, 2_000, "tester", node, "gate passed")
        assert found.body == {"kind": "model", "name": "late", "alias": "champion", "before": None, "after": node, "reason": ""}
        assert [e.seq for e in store.catalog.events(subject=node, newest_first=True)] == [2, 1]
        assert store.catalog.events(after=2) == []

    def test_a_sound_chain_is_verified(self, ledger: Ledger) -> None:
        grow(ledger)

        assert ledger.verify() == Verified(8)

    @pytest.mark.parametrize("column", ["at", "actor", "type", "subject", "body", "changes", "reason"])
    def test_a_changed_row_is_named(self, store: Store, ledger: Ledger, column: str) -> None:
        grow(ledger)
        with store.database.write() as session:
            session.run(f"update event set {column} = ? where seq = 4", 1 if column == "at" else "{}")  # noqa: S608  # a literal above

        found = ledger.verify()
        assert found.first_bad == 4
        assert "row 4" in found.what

    def test_a_changed_row_with_a_hash_to_fit_is_given_away_by_the_next(self, store: Store, ledger: Ledger) -> None:
        from sampan.store import chain

        grow(ledger)
        with store.database.write() as session:
            forged = list(chain.links(session))[3]._replace(actor="somebody else")
            session.run("update event set actor = ?, hash = ? where seq = 4", forged.actor, forged.seal())

        assert ledger.verify().first_bad == 5

    @pytest.mark.parametrize("seq", [1, 4, 8])
    def test_a_deleted_row_is_named(self, store: Store, ledger: Ledger, seq: int) -> None:
        grow(ledger)
        with store.database.write() as session:
            session.run("delete from event where seq = ?", seq)

        found = ledger.verify()
        assert found.first_bad == seq
        assert f"row {seq} is missing" in found.what

    def test_rows_put_in_another_order_are_seen(self, store: Store, ledger: Ledger) -> None:
        grow(ledger)
        with store.database.write() as session:
            for old, new in ((4, 99), (5, 4), (99, 5)):
                session.run("update event set seq = ? where seq = ?", new, old)

        assert ledger.verify().first_bad == 4

    def test_a_replay_gives_the_same_tables(self, store: Store, ledger: Ledger, tmp_path: Path) -> None:
        grow(ledger)

        with self.open_store(tmp_path / "copy") as copy:
            ledger.replay(copy)

            assert tables_of(store) == tables_of(copy)
            assert Ledger(copy, actor="x").verify() == Verified(8)
            with pytest.raises(AlreadyExists):
                ledger.replay(copy)

    def test_a_broken_chain_is_not_replayed(self, store: Store, ledger: Ledger, tmp_path: Path) -> None:
        grow(ledger)
        with store.database.write() as session:
            session.run("update event set body = '{}' where seq = 3")

        with self.open_store(tmp_path / "copy") as copy:
            with pytest.raises(IntegrityError, match="row 3"):
                ledger.replay(copy)
            assert copy.catalog.events() == []

    def test_a_consumer_gets_each_event_until_it_has_marked_it(self, ledger: Ledger) -> None:
        grow(ledger)

        assert [e.seq for e in ledger.unsent("webhook", 3)] == [1, 2, 3]
        ledger.sent("webhook", 3)
        ledger.sent("webhook", 2)
        assert [e.seq for e in ledger.unsent("webhook", 2)] == [4, 5]
        assert ledger.unsent("lineage")[0].seq == 1

    def test_an_event_without_a_type_is_refused(self, ledger: Ledger) -> None:
        with pytest.raises(ParameterError, match="Untyped has no type"):
            ledger.append(Untyped())

    @pytest.mark.parametrize("fact", [object(), "\ud800"])
    def test_a_fact_that_json_cannot_hold_is_refused(self, store: Store, ledger: Ledger, fact: object) -> None:
        with pytest.raises(ParameterError, match="version_committed cannot be written as JSON"):
            commit(ledger, "dataset", "a", facts={"fact": fact})
        assert store.catalog.assets() == []

    def test_a_nul_character_is_refused_and_one_spelled_out_is_not(self, store: Store, ledger: Ledger) -> None:
        node = commit(ledger, "dataset", "a")

        with pytest.raises(ParameterError, match="NUL"):
            ledger.append(Tagged(node=node, key="k", value="a\x00b"))
        with pytest.raises(ParameterError, match="NUL"):
            ledger.append(Tagged(node=node, key="k", value="b"), reason="\x00")
        ledger.append(Tagged(node=node, key="k", value="a\\u0000b % ? %s"))
        assert store.catalog.tags(node) == {"k": "a\\u0000b % ? %s"}


def grow(ledger: Ledger) -> None:
    """Append eight events of many kinds."""
    raw = commit(ledger, "dataset", "raw", digest("a"), facts={"owner": "ops"})
    run = start(ledger, {"depth": "3"})
    model = commit(ledger, "model", "late", digest("b"), inputs=(Input(raw, "trained_on"), Input(run, "output")))
    ledger.append(AliasMoved(kind="model", name="late", alias="champion", before=None, after=model))
    ledger.append(Tagged(node=model, key="stage", value="live"))
    described: list[Change] = [DescribeAsset(kind="model", name="late", facts={"owner": "ops"})]
    ledger.append(Noted(what=described))
    ledger.append(StepCommitted(key="k", token=1, step="fit", outcome={"model": digest("b")}))
    ledger.append(RunEnded(node=run, state="finished", ended=9))


def tables_of(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of the ledger and of the tables that it gives."""
    with store.database.read() as session:
        return {table: sorted(session.all(f"select * from {table}"), key=repr) for table in (*TABLES, "event")}  # noqa: S608  # literals
