"""Uses held against terms, rule by rule, and lifted by leave."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.core.times import to_millis
from sampan.governance.terms import ColumnTerms, Terms, strictest
from sampan.governance.uses import Grant, Use, judge, lift

NOW = to_millis(datetime(2026, 11, 21, tzinfo=UTC))
DAY = 86_400_000


def rules(terms: Terms, **use: object) -> list[str]:
    given = msgspec.convert({"now": NOW, "actor": "binh", **use}, Use)
    return [refusal.rule for refusal in judge(terms, given, dataset="people", made=NOW - 10 * DAY)]


@pytest.mark.parametrize(
    ("terms", "use", "expected"),
    [
        (Terms(), {}, []),
        (Terms(purposes=("care",)), {}, ["purpose"]),
        (Terms(purposes=("care",)), {"purpose": "care"}, []),
        (Terms(purposes=("care",)), {"purpose": "care/triage"}, []),
        (Terms(purposes=("care",)), {"purpose": "careers"}, ["purpose"]),
        (Terms(not_for=("ads",)), {"purpose": "ads/retarget"}, ["not-for"]),
        (Terms(not_for=("ads",)), {}, []),
        (Terms(bases={"care": "consent"}), {"purpose": "billing"}, ["lawful-basis"]),
        (Terms(bases={"care": "consent"}), {"purpose": "care"}, []),
        (Terms(bases={"*": "contract"}), {}, []),
        (Terms(regions=("eu",)), {"region": "eu/de"}, []),
        (Terms(regions=("eu",)), {"region": "vn"}, ["region"]),
        (Terms(regions=("eu",)), {}, ["region"]),
        (Terms(expires="2026-11-22"), {}, []),
        (Terms(expires="2026-11-21"), {}, ["expiry"]),
        (Terms(keep_days=11), {}, []),
        (Terms(keep_days=10), {}, ["retention"]),
        (Terms(license="CC-BY-NC-4.0"), {"purpose": "ads", "commercial": True}, ["license"]),
        (Terms(license="CC-BY-4.0"), {"purpose": "ads", "commercial": True}, []),
        (Terms(license="CC-BY-NC-4.0"), {"purpose": "research"}, []),
    ],
)
def test_a_rule_refuses_what_it_speaks_of_and_nothing_else(terms: Terms, use: dict[str, object], expected: list[str]) -> None:
    assert rules(terms, **use) == expected


def test_a_column_is_refused_for_its_purpose_and_a_protected_one_for_the_learner_alone() -> None:
    terms = Terms(columns={"income": ColumnTerms(purposes=("credit",)), "sex": ColumnTerms(protected=True)})

    assert rules(terms, purpose="churn", columns=["income", "sex"]) == ["column"]
    assert rules(terms, purpose="credit", columns=["income", "sex"]) == []
    assert rules(terms, purpose="credit", columns=["sex"], learned=["sex"]) == ["protected"]


PLACES = st.lists(st.sampled_from(["a", "a/b", "a/b/c", "d"]), max_size=2).map(tuple)
SOME_TERMS = st.builds(
    Terms,
    purposes=PLACES,
    not_for=PLACES,
    regions=PLACES,
    expires=st.sampled_from(["", "2026-11-20", "2026-11-30"]),
    keep_days=st.sampled_from([None, 5, 20]),
)


@given(st.lists(SOME_TERMS, max_size=3), st.sampled_from(["", "a", "a/b", "a/b/c", "d", "e"]), st.sampled_from(["", "a", "a/b", "d"]))
def test_the_strictest_terms_refuse_exactly_what_any_of_them_refuses(many: list[Terms], purpose: str, region: str) -> None:
    given_rules = {rule for terms in many for rule in rules(terms, purpose=purpose, region=region)}

    assert set(rules(strictest(many), purpose=purpose, region=region)) == given_rules


def test_leave_lifts_what_it_names_until_it_ends() -> None:
    terms = Terms(purposes=("care",), columns={"sex": ColumnTerms(protected=True)})
    use = Use(purpose="churn", columns=("sex",), learned=("sex",), actor="binh", now=NOW)
    refusals = judge(terms, use, dataset="people", made=NOW)
    grant = Grant(dataset="people", to="binh", purpose="churn", reason="agreed", until=NOW + DAY)
    with_column = msgspec.structs.replace(grant, columns=("sex",))

    assert [r.rule for r in lift(refusals, [grant], use)] == ["protected"]
    assert lift(refusals, [with_column], use) == []
    assert lift(refusals, [with_column], msgspec.structs.replace(use, actor="chi")) == refusals
    assert lift(refusals, [with_column], msgspec.structs.replace(use, purpose="ads")) == refusals
    assert lift(refusals, [with_column], msgspec.structs.replace(use, now=NOW + DAY)) == refusals
    assert lift(refusals, [msgspec.structs.replace(with_column, dataset="others")], use) == refusals


def test_no_leave_lifts_time_and_a_region_only_its_own() -> None:
    use = Use(region="vn", actor="binh", now=NOW)
    old = judge(Terms(expires="2026-01-01"), use, dataset="people", made=NOW)
    abroad = judge(Terms(regions=("eu",)), use, dataset="people", made=NOW)

    assert lift(old, [Grant(dataset="people", until=NOW + DAY)], use) == old
    assert lift(abroad, [Grant(dataset="people", until=NOW + DAY)], use) == abroad
    assert lift(abroad, [Grant(dataset="people", region="vn", until=NOW + DAY)], use) == []
