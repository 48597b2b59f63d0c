"""A newer draft changes what was inferred, and nothing that a person wrote."""

from msgspec.structs import replace

from sampan.data.contract import AllowedValues, AnyRule, Column, Contract, NullShare, Range, RowCount, Unique
from sampan.data.contract_yaml import read_contract, write_contract
from sampan.data.proposal import Change, fingerprints, propose

OLD = Contract(
    name="t",
    version="2.0.0",
    status="active",
    owner="ana",
    columns=(
        Column(name="id", type="integer", role="key"),
        Column(name="x", type="integer", unit="km", pii="no"),
        Column(name="gone", type="string"),
    ),
    key=("id",),
    rules=(
        Unique(columns=("id",), level="block", evidence="9 rows"),
        NullShare(column="x", max_share=0.0, evidence="9 rows", level="block"),
        Range(column="x", minimum=0, maximum=7),
        AllowedValues(column="gone", values=("a",), evidence="9 rows"),
    ),
)
NEW = Contract(
    name="t",
    owner="bob",
    description="all of them",
    columns=(Column(name="id", type="integer"), Column(name="x", type="number", unit="m"), Column(name="new", type="string")),
    key=("id",),
    rules=(
        Unique(columns=("id",), level="block", evidence="12 rows"),
        NullShare(column="x", max_share=0.1, evidence="12 rows"),
        Range(column="x", minimum=0, maximum=100, evidence="12 rows"),
        NullShare(column="new", max_share=0.0, evidence="12 rows"),
    ),
)


def test_rules_are_added_dropped_and_changed_with_their_evidence() -> None:
    proposal = propose(OLD, NEW)

    assert proposal.changed == (
        Change("x is never missing", "x is missing in at most 10.00% of the rows", "12 rows"),
        Change("x is integer", "x is number", ""),
    )
    assert proposal.removed == ("warn: gone is one of a (9 rows)", "column gone")
    # A range of x was written by hand, so none is proposed.
    assert proposal.added == ("column new (string)", "warn: new is never missing (12 rows)")


def test_what_a_person_said_stays() -> None:
    contract = propose(OLD, NEW).contract
    column = contract.column("x")

    assert (contract.version, contract.status, contract.owner, contract.description) == ("2.0.0", "active", "ana", "all of them")
    assert column is not None
    assert (column.unit, column.pii, column.type) == ("km", "no", "number")
    assert Range(column="x", minimum=0, maximum=7) in contract.rules
    assert [rule.level for rule in contract.rules if isinstance(rule, NullShare)] == ["block", "warn"]
    assert read_contract(write_contract(contract), file="t") == contract


def test_fresher_evidence_alone_is_no_change() -> None:
    older = Contract(name="t", columns=NEW.columns, key=NEW.key, rules=NEW.rules)

    assert propose(older, NEW).is_empty
    assert propose(propose(OLD, NEW).contract, NEW).is_empty


def test_two_bounds_written_by_hand_are_two_rules() -> None:
    rules = (RowCount(minimum=5), RowCount(maximum=9), Range(column="x", minimum=1), Range(column="x", maximum=3))
    contract = Contract(name="t", columns=(Column(name="x", type="integer"),), rules=rules)

    assert propose(contract, Contract(name="t", columns=contract.columns)).contract.rules == rules


def drafted(*rules: AnyRule) -> Contract:
    return Contract(name="t", columns=(Column(name="x", type="integer"),), rules=rules)


LIMIT = Range(column="x", minimum=0, maximum=7, evidence="9 rows")
FULL = NullShare(column="x", max_share=0.0, evidence="9 rows")
NEWER = drafted(Range(column="x", minimum=0, maximum=9, evidence="12 rows"), NullShare(column="x", max_share=0.1, evidence="12 rows"))


def test_an_inferred_rule_that_a_person_changed_since_is_kept() -> None:
    written = replace(drafted(LIMIT, FULL), drafted=fingerprints((LIMIT, FULL)))
    edited = replace(written, rules=(replace(LIMIT, maximum=500), FULL))
    once = propose(edited, NEWER)
    again = propose(once.contract, NEWER)

    assert [change.before for change in once.changed] == ["x is never missing"]
    assert replace(LIMIT, maximum=500) in once.contract.rules
    assert again.is_empty
    assert again.contract == once.contract


def test_an_inferred_rule_that_a_person_took_out_does_not_come_back() -> None:
    written = replace(drafted(LIMIT, FULL), drafted=fingerprints((LIMIT, FULL)))
    once = propose(replace(written, rules=(FULL,)), NEWER)
    again = propose(once.contract, NEWER)

    assert once.declined == again.declined == ("warn: x is between 0 and 9",)
    assert once.added == ()
    assert again.is_empty


def test_a_level_changed_by_hand_does_not_keep_a_rule_from_newer_bounds() -> None:
    written = replace(drafted(LIMIT), drafted=fingerprints((LIMIT,)))
    contract = propose(replace(written, rules=(replace(LIMIT, level="block"),)), NEWER).contract

    assert replace(NEWER.rules[0], level="block") in contract.rules


def test_fingerprints_survive_the_file() -> None:
    rules = (FULL, LIMIT, replace(FULL, max_share=0.0380241))
    again = read_contract(write_contract(drafted(*rules)), file="t")

    assert fingerprints(again.rules) == fingerprints(read_contract(write_contract(again), file="t").rules)
