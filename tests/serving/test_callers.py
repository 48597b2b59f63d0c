"""Keys and rates of callers."""

from __future__ import annotations

import pytest

from sampan.errors import AccessDenied, NotSignedIn, TooManyRequests
from sampan.serving.callers import Caller, KeyRing, RateLimiter, hash_key, new_key

KEY = new_key()
SHOP = Caller("shop", services=("late",), expires=1_000)


def test_a_ring_knows_keys_by_their_hash_and_what_they_open() -> None:
    ring = KeyRing([(hash_key(KEY), SHOP)])

    assert ring.caller(KEY, service="late", now=999) == SHOP
    with pytest.raises(AccessDenied, match="the key of shop does not open 'other'"):
        ring.caller(KEY, service="other", now=999)
    with pytest.raises(NotSignedIn, match="of shop expired 1970"):
        ring.caller(KEY, service="late", now=1_000)
    with pytest.raises(NotSignedIn, match="is not known here, or was revoked"):
        ring.caller(new_key(), service="late", now=0)
    with pytest.raises(NotSignedIn, match="with a key only"):
        ring.caller("", service="late", now=0)


def test_without_keys_anyone_may_call_unless_keys_are_asked_for() -> None:
    assert KeyRing().caller("", service="late", now=0).name == ""
    with pytest.raises(NotSignedIn):
        KeyRing(asked_for=True).caller("", service="late", now=0)


def test_a_bucket_lets_a_seconds_worth_pass_at_once_and_then_the_rate() -> None:
    rates = RateLimiter(rate=2.0)
    shop, fast = Caller("shop"), Caller("fast", rate=10.0)

    rates.admit(shop, now_s=0.0)
    rates.admit(shop, now_s=0.0)
    with pytest.raises(TooManyRequests, match="shop may send 2 requests a second") as refused:
        rates.admit(shop, now_s=0.1)
    rates.admit(shop, now_s=0.55)
    for _ in range(10):
        rates.admit(fast, now_s=0.55)

    assert refused.value.retry_after_s == pytest.approx(0.4)


def test_several_processes_grant_a_part_each() -> None:
    half = RateLimiter(rate=4.0, share=0.5)
    granted = 0
    for step in range(100):
        try:
            half.admit(Caller("shop"), now_s=step / 10)
            granted += 1
        except TooManyRequests:
            pass

    assert granted == 2 + 19, "two at once, then two a second for ten seconds"
