"""Reasons: figures for programs, sentences for people, read back from records of any age."""

from __future__ import annotations

import msgspec

from sampan.core.reasons import Reason, because, recorded


def test_a_reason_comes_back_from_its_record_as_it_was_given() -> None:
    given = because({"late": "{share:.1%} came late, {n:,} of all"}, "late", share=0.25, n=1_000)

    assert str(given) == "25.0% came late, 1,000 of all"
    assert recorded([msgspec.to_builtins(given)]) == (given,)


def test_records_of_a_time_before_reasons_had_kinds_are_read() -> None:
    assert recorded(["it was late"]) == (Reason("it was late"),)
    assert recorded(None) == ()
