"""Whatever happened, the ledger alone gives the same tables again."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.core.changes import (
    ActedThen,
    AddArtifact,
    AddEdge,
    AddNode,
    AddObservations,
    AddParams,
    AmendFacts,
    Change,
    DescribeAsset,
    EndRun,
    EnsureAsset,
    ExpectContent,
    FinishStep,
    MoveAlias,
    SetState,
    SetTag,
    StartRun,
    Supersede,
)
from sampan.errors import SampanError
from sampan.ledger import Ledger
from sampan.store import Store
from sampan.store.projection import _INTERPRETERS
from sampan.testing.ledgers import tables_of
from sampan.testing.stores import Noted

IDS = [f"{i:032x}" for i in range(6)]

ids = st.sampled_from(IDS)
kinds = st.sampled_from(["dataset", "model", "run", "pond"])
names = st.sampled_from(["a", "b", "chuyến bay"])
words = st.sampled_from(["active", "running", "closed"])
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
facts = st.dictionaries(texts, st.one_of(st.none(), st.integers(-(2**40), 2**40), st.floats(), texts), max_size=3)
floats = st.one_of(st.none(), st.floats())
moments = st.integers(0, 2**40)
digests = st.sampled_from(["b3:" + letter * 64 for letter in "abc"])
contents = st.one_of(digests, st.fixed_dictionaries({"made": digests, "of": st.lists(digests, max_size=2)}))

changes = st.one_of(
    st.builds(EnsureAsset, kind=kinds, name=names, facts=facts),
    st.builds(DescribeAsset, kind=kinds, name=names, facts=facts),
    st.builds(AddNode, id=ids, kind=kinds, name=st.one_of(st.just(""), names), state=words, facts=facts, numbered=st.booleans()),
    st.builds(AddNode, id=ids, kind=kinds, name=names, state=words),
    st.builds(AddEdge, dst=ids, src=ids, role=words),
    st.builds(MoveAlias, kind=kinds, name=names, alias=st.just("live"), before=st.one_of(st.none(), ids), after=st.one_of(st.none(), ids)),
    st.builds(SetState, node=ids, before=words, after=words),
    st.builds(SetTag, node=ids, key=names, value=st.one_of(st.none(), texts)),
    st.builds(StartRun, node=ids, experiment=names, title=texts, started=moments, parent=st.one_of(st.none(), ids)),
    st.builds(EndRun, node=ids, state=words, ended=moments),
    st.builds(AddParams, node=ids, params=st.dictionaries(names, texts, max_size=2)),
    st.builds(AddArtifact, node=ids, path=names, digest=words, size=moments),
    st.builds(AddObservations, node=ids, points=st.lists(st.tuples(moments, names, floats, moments), max_size=3)),
    st.builds(FinishStep, key=names, token=st.integers(1, 4), step=names, outcome=facts),
    st.builds(AddNode, id=ids, kind=kinds, digest=digests, facts=st.dictionaries(names, contents, max_size=2)),
    st.builds(AddArtifact, node=ids, path=names, digest=digests, size=moments),
    st.builds(FinishStep, key=names, token=st.integers(1, 4), step=names, outcome=st.dictionaries(names, contents, max_size=2)),
    st.builds(Supersede, before=digests, after=st.one_of(st.just(""), digests), size=moments),
    st.builds(AmendFacts, node=ids, facts=facts),
    st.builds(ExpectContent, node=ids, digest=digests),
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(st.lists(changes, min_size=1, max_size=4), max_size=25))
def test_random_histories_replay_to_identical_tables(history: list[list[Change]]) -> None:
    with TemporaryDirectory() as folder, Store.open(Path(folder, "a")) as store, Store.open(Path(folder, "b")) as copy:
        ledger = Ledger(store, actor="tester")
        for what in history:
            with suppress(SampanError):  # many make no sense after another; then nothing of them may stay
                ledger.append(Noted(what=what))

        ledger.replay(copy)

        assert ledger.verify().first_bad is None
        assert tables_of(store) == tables_of(copy)


def test_every_change_has_its_interpreter() -> None:
    # ActedThen says when and by whom the others were made: the ledger heeds it.
    assert set(Change.__subclasses__()) - {ActedThen} == set(_INTERPRETERS)


def test_an_undefined_observation_replays(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a") as store, Store.open(tmp_path / "b") as copy:
        ledger = Ledger(store, actor="tester")
        points = [(1, "psi", math.nan, 1), (2, "psi", math.inf, 1), (3, "psi", None, 1), (4, "psi", 0.5, 1)]
        ledger.append(Noted(what=[AddNode(id=IDS[0], kind="monitor"), AddObservations(node=IDS[0], points=points)]))

        ledger.replay(copy)

        assert [repr(o.value) for o in copy.catalog.observations(IDS[0])] == ["nan", "nan", "nan", "0.5"]
        assert tables_of(store) == tables_of(copy)
