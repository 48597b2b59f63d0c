from __future__ import annotations

import pytest

from sampan.engine.leases import Found, Lease, Leases
from sampan.ledger import Ledger
from sampan.store import Store


@pytest.fixture
def now() -> list[int]:
    return [1_000_000]


@pytest.fixture
def leases(store: Store, now: list[int]) -> Leases:
    return Leases(store.steps, Ledger(store, actor="ann"), clock=lambda: now[0], lease_ms=10_000)


@pytest.fixture
def others(store: Store, now: list[int]) -> Leases:
    return Leases(store.steps, Ledger(store, actor="bob"), clock=lambda: now[0], lease_ms=10_000)


def test_a_claimed_key_is_nobody_elses(leases: Leases, others: Leases) -> None:
    assert isinstance(leases.claim("k", "clean"), Lease)
    assert others.claim("k", "clean") is None


def test_a_released_key_is_free_at_once(leases: Leases, others: Leases) -> None:
    held = leases.claim("k", "clean")
    assert isinstance(held, Lease)
    leases.release(held)

    assert isinstance(others.claim("k", "clean"), Lease)


def test_a_committed_outcome_is_found_instead_of_a_lease(leases: Leases, others: Leases) -> None:
    held = leases.claim("k", "clean")
    assert isinstance(held, Lease)

    assert leases.commit(held, {"value": 1})
    assert others.claim("k", "clean") == Found({"value": 1})


def test_an_attempt_with_a_stale_token_cannot_commit(leases: Leases, others: Leases, now: list[int], store: Store) -> None:
    slow = leases.claim("k", "clean")
    now[0] += 20_000
    fast = others.claim("k", "clean")
    assert isinstance(slow, Lease)
    assert isinstance(fast, Lease)

    assert fast.token > slow.token
    assert not leases.commit(slow, {"value": "slow"})
    assert others.commit(fast, {"value": "fast"})
    assert not leases.commit(slow, {"value": "slow"})
    assert leases.found("k") == Found({"value": "fast"})
    assert len(store.catalog.events(type="step_committed")) == 1


def test_a_stale_attempt_cannot_commit_after_the_winner_either(leases: Leases, others: Leases, now: list[int]) -> None:
    slow = leases.claim("k", "clean")
    now[0] += 20_000
    fast = others.claim("k", "clean")
    assert isinstance(slow, Lease)
    assert isinstance(fast, Lease)
    others.commit(fast, {"value": "fast"})

    assert not leases.commit(slow, {"value": "slow"})
    assert leases.found("k") == Found({"value": "fast"})
