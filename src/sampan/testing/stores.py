"""What every store does, whichever database it is on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.core.changes import AddArtifact, AddObservations, Change, EnsureAsset
from sampan.core.events import (
    AliasMoved,
    Event,
    Input,
    ParamsLogged,
    RunEnded,
    RunStarted,
    StateChanged,
    StepCommitted,
    Tagged,
    VersionCommitted,
    new_id,
)
from sampan.core.graph import NodeId
from sampan.errors import AlreadyExists, AmbiguousRef, Immutable, NotFound, ParameterError, StaleState, UsageError
from sampan.ledger import Ledger
from sampan.store import Store


class Noted(Event, frozen=True, kw_only=True):
    """An event of a test's own making, with any changes."""

    type = "noted"

    what: list[Change] = []

    def changes(self) -> tuple[Change, ...]:
        """Return them."""
        return tuple(self.what)


def digest(letter: str) -> str:
    """Return a digest made of one hex digit."""
    return "b3:" + letter * 64


class StoreContract:
    """Inherit, and say how a store is opened: the same folder twice must give the same store."""

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

    def test_a_reopened_store_knows_what_was_committed(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path / "store") as store:
            commit(Ledger(store, actor="tester"), "dataset", "flights")

        with self.open_store(tmp_path / "store") as store:
            assert store.catalog.resolve("flights").version == 1

    def test_versions_of_an_asset_are_numbered_from_one(self, store: Store, ledger: Ledger) -> None:
        ids = [commit(ledger, "dataset", "flights") for _ in range(3)]
        commit(ledger, "dataset", "weather")

        assert [store.catalog.node(i).version for i in ids] == [1, 2, 3]
        assert store.catalog.resolve("weather").version == 1
        assert store.catalog.asset("dataset", "flights").n_versions == 3

    def test_a_reference_finds_a_version_by_name_number_alias_digest_and_id(self, store: Store, ledger: Ledger) -> None:
        first = commit(ledger, "model", "late", digest("a"))
        second = commit(ledger, "model", "late", digest("b"))
        ledger.append(AliasMoved(kind="model", name="late", alias="champion", before=None, after=first))

        assert store.catalog.resolve("late").id == second
        assert store.catalog.resolve("late@v1").id == first
        assert store.catalog.resolve("late@champion").id == first
        assert store.catalog.resolve("model:late@v2").id == second
        assert store.catalog.resolve("b3:bbbbbbbb").id == second
        assert store.catalog.resolve(first[:12]).id == first
        assert store.catalog.resolve(first).aliases == ("champion",)

    def test_the_beginning_of_an_id_is_enough_unless_two_begin_so(self, store: Store, ledger: Ledger) -> None:
        one, other, run = "8f3c" + "0" * 28, "8f3c" + "1" * 28, "8f3c" + "2" * 28
        for node, kind in ((one, "dataset"), (other, "dataset"), (run, "run")):
            ledger.append(VersionCommitted(node=node, kind=kind, name="flights", digest=digest("a")))

        assert store.catalog.resolve("8f3c", kind="run").id == run
        assert store.catalog.resolve("run:8f3c").id == run
        assert store.catalog.resolve("8f3c1").id == other
        with pytest.raises(AmbiguousRef, match="8f3c fits 2 datasets") as caught:
            store.catalog.resolve("8f3c", kind="dataset")
        assert caught.value.candidates == ("dataset:8f3c11111111", "dataset:8f3c00000000")
        with pytest.raises(AmbiguousRef, match="8f3c fits 3 nodes") as caught:
            store.catalog.resolve("8f3c")
        assert [store.catalog.resolve(candidate).id for candidate in caught.value.candidates] == [run, other, one]
        with pytest.raises(NotFound):
            store.catalog.resolve("8f3")

    def test_a_name_of_hex_digits_is_still_a_name(self, store: Store, ledger: Ledger) -> None:
        node = commit(ledger, "dataset", "20130101")

        short = commit(ledger, "dataset", "2013")

        assert store.catalog.resolve("20130101").id == node
        assert store.catalog.resolve("2013").id == short

    def test_a_misspelled_name_is_answered_with_the_nearest(self, store: Store, ledger: Ledger) -> None:
        commit(ledger, "dataset", "flights")

        with pytest.raises(NotFound, match="fligths") as caught:
            store.catalog.resolve("fligths")
        assert caught.value.did_you_mean == ("flights",)

    def test_a_missing_version_is_answered_with_the_newest(self, store: Store, ledger: Ledger) -> None:
        commit(ledger, "dataset", "flights")

        with pytest.raises(NotFound, match="the newest is flights@v1"):
            store.catalog.resolve("flights@v7")

    def test_a_missing_alias_is_answered_with_those_there_are(self, store: Store, ledger: Ledger) -> None:
        node = commit(ledger, "model", "late")
        ledger.append(AliasMoved(kind="model", name="late", alias="champion", before=None, after=node))

        with pytest.raises(NotFound) as caught:
            store.catalog.resolve("late@champoin")
        assert caught.value.did_you_mean == ("late@champion",)

    def test_a_name_of_two_kinds_is_ambiguous_unless_the_kind_is_said(self, store: Store, ledger: Ledger) -> None:
        dataset, model = commit(ledger, "dataset", "late"), commit(ledger, "model", "late")

        with pytest.raises(AmbiguousRef) as caught:
            store.catalog.resolve("late@v1")
        assert caught.value.candidates == ("dataset:late@v1", "model:late@v1")
        assert store.catalog.resolve("late@v1", kind="model").id == model
        assert store.catalog.resolve("dataset:late@v1").id == dataset

    def test_an_alias_that_only_one_kind_has_is_not_ambiguous(self, store: Store, ledger: Ledger) -> None:
        commit(ledger, "dataset", "late")
        model = commit(ledger, "model", "late")
        ledger.append(AliasMoved(kind="model", name="late", alias="champion", before=None, after=model))

        assert store.catalog.resolve("late@champion").id == model

    def test_a_name_of_another_kind_is_offered_with_its_kind(self, store: Store, ledger: Ledger) -> None:
        commit(ledger, "run", "late")

        with pytest.raises(NotFound) as caught:
            store.catalog.resolve("late", kind="model")
        assert caught.value.did_you_mean == ("run:late",)

    def test_a_digest_of_two_assets_is_ambiguous_and_of_two_versions_means_the_newest(self, store: Store, ledger: Ledger) -> None:
        commit(ledger, "dataset", "flights", digest("a"))
        newest = commit(ledger, "dataset", "flights", digest("a"))

        assert store.catalog.resolve(digest("a")).id == newest
        assert store.catalog.find_version("dataset", "flights", digest("a")) == store.catalog.node(newest)
        assert store.catalog.find_version("dataset", "flights", digest("b")) is None

        commit(ledger, "dataset", "weather", digest("a"))
        with pytest.raises(AmbiguousRef) as caught:
            store.catalog.resolve(digest("a"))
        assert set(caught.value.candidates) == {"dataset:flights@v1", "dataset:flights@v2", "dataset:weather@v1"}

    def test_nodes_come_newest_first_in_pages(self, store: Store, ledger: Ledger) -> None:
        ids = [commit(ledger, "dataset", f"d{i}") for i in range(5)]

        page = store.catalog.nodes(kind="dataset", limit=2)
        rest = store.catalog.nodes(kind="dataset", before=page[-1].seq)
        assert [n.id for n in (*page, *rest)] == ids[::-1]
        assert store.catalog.nodes(kind="model") == []
        assert store.catalog.counts() == {"dataset": 5}

    def test_lineage_reaches_all_ancestors_and_all_descendants(self, store: Store, ledger: Ledger) -> None:
        raw, other = commit(ledger, "dataset", "raw"), commit(ledger, "dataset", "other")
        clean = commit(ledger, "dataset", "clean", inputs=(Input(raw, "input"),))
        model = commit(ledger, "model", "late", inputs=(Input(clean, "trained_on"), Input(raw, "derived_from")))

        up, down = store.catalog.lineage(model), store.catalog.lineage(raw, up=False)
        assert [n.id for n in up.nodes] == [raw, clean, model]
        assert {(e.dst, e.src, e.role) for e in up.edges} == {
            (clean, raw, "input"),
            (model, clean, "trained_on"),
            (model, raw, "derived_from"),
        }
        assert up == down
        assert [n.id for n in store.catalog.lineage(model, depth=0).nodes] == [model]
        assert [n.id for n in store.catalog.lineage(other).nodes] == [other]
        assert [e.src for e in store.catalog.edges_to(clean)] == [raw]
        assert [e.dst for e in store.catalog.edges_from(raw)] == [clean, model]

    def test_an_alias_moves_only_from_where_it_is_thought_to_be(self, store: Store, ledger: Ledger) -> None:
        first, second = commit(ledger, "model", "late"), commit(ledger, "model", "late")
        ledger.append(AliasMoved(kind="model", name="late", alias="champion", before=None, after=first))

        with pytest.raises(StaleState) as caught:
            ledger.append(AliasMoved(kind="model", name="late", alias="champion", before=second, after=None))
        assert (caught.value.expected, caught.value.actual) == (second, first)
        ledger.append(AliasMoved(kind="model", name="late", alias="champion", before=first, after=second))
        assert store.catalog.aliases("model", "late") == {"champion": second}
        ledger.append(AliasMoved(kind="model", name="late", alias="champion", before=second, after=None))
        assert store.catalog.aliases("model", "late") == {}

    @pytest.mark.parametrize("alias", ["v12", "", "two words", "9lives"])
    def test_what_reads_as_something_else_cannot_be_an_alias(self, ledger: Ledger, alias: str) -> None:
        node = commit(ledger, "model", "late")

        with pytest.raises(ParameterError, match="cannot be an alias"):
            ledger.append(AliasMoved(kind="model", name="late", alias=alias, before=None, after=node))

    def test_a_state_changes_only_from_what_it_is_thought_to_be(self, store: Store, ledger: Ledger) -> None:
        node = commit(ledger, "incident", "drift")
        ledger.append(StateChanged(node=node, before="active", after="closed"))

        with pytest.raises(StaleState):
            ledger.append(StateChanged(node=node, before="active", after="closed"))
        assert store.catalog.node(node).state == "closed"
        assert store.catalog.nodes(kind="incident", state="active") == []

    def test_tags_are_set_replaced_and_removed(self, store: Store, ledger: Ledger) -> None:
        node = commit(ledger, "dataset", "flights")
        ledger.append(Tagged(node=node, key="owner", value="ops"), Tagged(node=node, key="pii", value="no"))
        ledger.append(Tagged(node=node, key="owner", value="data"), Tagged(node=node, key="pii", value=None))

        assert store.catalog.tags(node) == {"owner": "data"}

    def test_a_run_is_started_and_ended_once(self, store: Store, ledger: Ledger) -> None:
        parent, run = start(ledger), new_id()
        ledger.append(RunStarted(node=run, experiment="late", title="second", started=5, parent=parent, source="train.py", pid=7))
        ledger.append(RunEnded(node=run, state="finished", ended=9))

        row = store.catalog.run(run)
        assert (row.experiment, row.title, row.state, row.started, row.ended) == ("late", "second", "finished", 5, 9)
        assert (row.parent, row.source, row.pid) == (parent, "train.py", 7)
        assert [r.node.id for r in store.catalog.runs(experiment="late")] == [run, parent]
        assert [r.node.id for r in store.catalog.runs(state="running")] == [parent]
        assert [r.node.id for r in store.catalog.runs(parent="")] == [parent]
        assert [r.node.id for r in store.catalog.runs(parent=parent)] == [run]
        with pytest.raises(StaleState):
            ledger.append(RunEnded(node=run, state="failed", ended=10))
        with pytest.raises(NotFound):
            store.catalog.run(new_id())

    def test_a_parameter_once_set_never_changes(self, store: Store, ledger: Ledger) -> None:
        run = start(ledger, {"depth": "3"})
        ledger.append(ParamsLogged(node=run, params={"depth": "3", "rate": "0.1"}))

        with pytest.raises(Immutable, match="depth"):
            ledger.append(ParamsLogged(node=run, params={"depth": "4"}))
        assert store.catalog.params(run) == {"depth": "3", "rate": "0.1"}

    def test_an_artifact_path_once_used_never_changes(self, store: Store, ledger: Ledger) -> None:
        node = commit(ledger, "package", "late")
        ledger.append(Noted(what=[AddArtifact(node=node, path="model.onnx", digest=digest("a"), size=5)]))
        ledger.append(Noted(what=[AddArtifact(node=node, path="model.onnx", digest=digest("a"), size=5)]))

        with pytest.raises(Immutable, match=r"model\.onnx"):
            ledger.append(Noted(what=[AddArtifact(node=node, path="model.onnx", digest=digest("b"), size=5)]))
        assert [(a.path, a.size) for a in store.catalog.artifacts(node)] == [("model.onnx", 5)]

    def test_observations_come_back_in_time_and_may_be_undefined(self, store: Store, ledger: Ledger) -> None:
        node = commit(ledger, "monitor", "late")
        points = [(20, "auc", 0.7, 100), (10, "auc", math.nan, 3), (10, "psi", 0.1, 3)]
        ledger.append(Noted(what=[AddObservations(node=node, points=points)]))
        ledger.append(Noted(what=[AddObservations(node=node, points=[(20, "auc", 0.8, 120)])]))

        found = store.catalog.observations(node, key="auc")
        assert [(o.at, o.n) for o in found] == [(10, 3), (20, 120)]
        assert math.isnan(found[0].value)
        assert found[1].value == 0.8
        assert len(store.catalog.observations(node)) == 3

    def test_runs_are_ranked_by_a_metric_of_all_those_without_it_last(self, store: Store, ledger: Ledger) -> None:
        low, none, high, broken = (start(ledger) for _ in range(4))
        for run, value in ((low, 0.6), (high, 0.7), (broken, math.nan)):
            journal = store.journals.open(run)
            journal.log("auc", value, step=0, at=1)
            journal.close()

        store.folding.fold_all()

        assert [high, low, broken] == first_runs(store, "auc", limit=3)
        assert [low, high, broken, none] == first_runs(store, "auc", descending=False)
        assert [broken, high, none, low] == first_runs(store, "unheard of")

    def test_columns_of_runs_follow_what_happens_to_them(self, store: Store, ledger: Ledger) -> None:
        low, high = start(ledger), start(ledger)
        for run, value in ((low, 0.6), (high, 0.7)):
            with store.journals.open(run) as journal:
                journal.log("auc", value, step=0, at=1)
        store.folding.fold_all()
        assert [high, low] == first_runs(store, "auc")

        with store.journals.open(low) as journal:
            journal.log("auc", 0.9, step=1, at=2)
        newest = start(ledger)
        store.folding.fold_all()

        assert [low, high, newest] == first_runs(store, "auc")

    def test_metric_points_come_back_as_they_were_logged(self, store: Store, ledger: Ledger) -> None:
        run = start(ledger)
        values = [0.5, math.nan, math.inf, -math.inf, 5e-324, -0.0]
        with store.journals.open(run) as journal:
            for i, value in enumerate(values):
                journal.log("loss", value, step=-i, at=1_000 + i)

        history = store.catalog.metric_history(run, "loss")
        assert history.steps == [-5, -4, -3, -2, -1, 0]
        assert [repr(v) for v in history.values] == [repr(v) for v in reversed(values)]
        (summary,) = store.catalog.metrics(run)
        assert (summary.last, summary.last_step, summary.last_at) == (0.5, 0, 1_000)
        assert (summary.min, summary.max, summary.n) == (-math.inf, math.inf, 6)
        assert store.catalog.metric_history(run, "absent").values == []

    def test_folding_again_changes_nothing(self, store: Store, ledger: Ledger) -> None:
        run = start(ledger)
        with store.journals.open(run) as journal:
            for i in range(100):
                journal.log("loss", i / 7, step=i, at=i)
            assert ledger.fold(run) == 100
            assert ledger.fold(run) == 0
            journal.log("loss", 1.0, step=100, at=100)

        assert ledger.fold(run) == 1
        assert ledger.fold(run) == 0
        assert store.catalog.metrics(run)[0].n == 101
        assert store.journals.of(run) == []

    def test_a_step_key_is_held_by_one_attempt_at_a_time(self, store: Store) -> None:
        first = store.steps.claim("k", step="clean", owner="a", now=0, lease_ms=100)

        assert store.steps.claim("k", step="clean", owner="b", now=99, lease_ms=100) is None
        second = store.steps.claim("k", step="clean", owner="b", now=100, lease_ms=100)
        assert first is not None
        assert second is not None
        assert second > first
        assert not store.steps.renew("k", first, now=110, lease_ms=100)
        assert store.steps.renew("k", second, now=110, lease_ms=100)
        assert store.steps.claim("k", step="clean", owner="c", now=205, lease_ms=100) is None
        store.steps.release("k", second)
        assert not store.steps.renew("k", second, now=206, lease_ms=100)
        third = store.steps.claim("k", step="clean", owner="c", now=206, lease_ms=100)
        assert third is not None
        assert third > second

    def test_an_attempt_that_was_overtaken_cannot_commit(self, store: Store, ledger: Ledger) -> None:
        slow = store.steps.claim("k", step="clean", owner="a", now=0, lease_ms=10)
        fast = store.steps.claim("k", step="clean", owner="b", now=20, lease_ms=10)
        assert slow is not None
        assert fast is not None
        ledger.append(StepCommitted(key="k", token=fast, step="clean", outcome={"rows": 2}))

        with pytest.raises(StaleState):
            ledger.append(StepCommitted(key="k", token=slow, step="clean", outcome={"rows": 1}))
        with pytest.raises(StaleState):
            ledger.append(StepCommitted(key="k", token=fast, step="clean", outcome={"rows": 3}))
        assert store.steps.outcome("k") == {"rows": 2}
        assert store.steps.outcome("other") is None

    def test_every_digest_that_anything_names_is_listed(self, store: Store, ledger: Ledger) -> None:
        node = commit(ledger, "package", "late", digest("a"), facts={"view": {"fitted": digest("b")}})
        ledger.append(Noted(what=[AddArtifact(node=node, path="x", digest=digest("c"), size=1)]))
        ledger.append(StepCommitted(key="k", token=1, step="s", outcome={"table": digest("d")}))
        ledger.append(Noted(what=[EnsureAsset(kind="dataset", name="flights", facts={"key": digest("e")})]))

        assert sorted(store.catalog.referenced_digests()) == [digest(letter) for letter in "abcde"]

    def test_what_cannot_be_a_name_or_an_id_is_refused(self, ledger: Ledger) -> None:
        with pytest.raises(UsageError, match="cannot be a name"):
            commit(ledger, "dataset", "a@b")
        with pytest.raises(ParameterError, match="node id"):
            ledger.append(VersionCommitted(node="../x", kind="dataset", name="a", digest=""))
        node = commit(ledger, "dataset", "a")
        with pytest.raises(AlreadyExists):
            ledger.append(VersionCommitted(node=node, kind="dataset", name="a", digest=""))


def commit(
    ledger: Ledger, kind: str, name: str, content: str = "", *, inputs: tuple[Input, ...] = (), facts: dict[str, object] | None = None
) -> NodeId:
    """Commit a version and return its id."""
    node = new_id()
    ledger.append(VersionCommitted(node=node, kind=kind, name=name, digest=content, inputs=inputs, facts=facts or {}))
    return node


def first_runs(store: Store, metric: str, *, descending: bool = True, limit: int = 10) -> list[str]:
    """Return the ids of the first runs by a metric."""
    import numpy as np

    from sampan.store.run_columns import Order, ranked
    from sampan.store.run_fields import Field

    order = [Order(Field("metric", metric), descending)]
    found = store.run_columns.search(lambda view: np.ones(len(view), np.bool_), lambda view, places: ranked(view, places, order, limit))
    return [row.node.id for row in store.catalog.runs_numbered(found)]


def start(ledger: Ledger, params: dict[str, str] | None = None) -> NodeId:
    """Start a run and return its id."""
    run = new_id()
    ledger.append(RunStarted(node=run, experiment="late", title="a run", started=1, params=params or {}))
    return run
