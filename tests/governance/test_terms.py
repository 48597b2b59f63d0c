"""Terms: what cannot be meant, and what several that hold together come to."""

from __future__ import annotations

from datetime import date

import pytest

from sampan.errors import ParameterError
from sampan.governance.terms import NONE_LEFT, ColumnTerms, Terms, faults_of, from_flat, strictest, terms


def test_every_fault_is_named_at_once() -> None:
    terms = Terms(
        bases={"churn": "consnt"},
        expires="next year",
        keep_days=0,
        k=1,
        columns={"mail": ColumnTerms(pii="emial", action="hide"), "agee": ColumnTerms(protected=True)},
    )

    found = list(faults_of(terms, columns=["mail", "age"]))

    assert found == [
        "the lawful basis for churn is 'consnt', did you mean consent?",
        "expires is 'next year', no date such as 2027-01-31",
        "keep_days is 0, expected a whole number from 1 on",
        "k is 1, expected a whole number from 2 on: a smaller group hides nobody",
        "the class of mail is 'emial', did you mean email?",
        "the action on mail is 'hide'; one of drop, mask, pseudonym, generalize, encrypt",
        "column is 'agee', did you mean age?",
    ]


def test_the_strictest_is_what_all_allow_and_what_any_forbids() -> None:
    one = Terms(owner="ana", purposes=("research", "care"), not_for=("ads",), expires="2027-05-01", keep_days=30, k=5)
    two = Terms(owner="binh", purposes=("research/churn", "billing"), not_for=("credit",), expires="2026-12-31", k=10)

    both = strictest([one, two])

    assert both.owner == "ana"
    assert both.purposes == ("research/churn",)
    assert both.not_for == ("ads", "credit")
    assert (both.expires, both.keep_days, both.k) == ("2026-12-31", 30, 10)


def test_purposes_without_a_common_one_leave_none() -> None:
    assert strictest([Terms(purposes=("care",)), Terms(purposes=("billing",))]).purposes == (NONE_LEFT,)
    assert strictest([Terms(regions=("vn",)), Terms()]).regions == ("vn",)


def test_columns_keep_the_protection_and_the_harder_action_of_either() -> None:
    one = Terms(columns={"sex": ColumnTerms(protected=True, action="mask")})
    two = Terms(columns={"sex": ColumnTerms(pii="other", action="encrypt"), "age": ColumnTerms(action="generalize")})

    both = strictest([one, two])

    assert both.columns["sex"] == ColumnTerms(pii="other", protected=True, action="mask")
    assert both.protected() == ("sex",)


def test_flat_keys_become_columns() -> None:
    terms = from_flat(
        {"owner": "ana", "purposes": ["churn"], "pii": {"mail": "email"}, "protected": ["sex"], "actions": {"mail": "pseudonym"}}
    )

    assert terms.personal() == {"mail": "email"}
    assert terms.column("mail").action == "pseudonym"
    assert terms.protected() == ("sex",)
    assert terms.column("other") == ColumnTerms()


def test_one_word_is_a_list_of_one_and_commas_part_several() -> None:
    """A text is a sequence of letters, too: `protected="sex"` must not protect the columns s, e and x."""
    said = terms(purposes="churn, research", regions="vn", not_for=["ads", "credit,scoring"], protected="sex")

    assert ("churn", "research") == said.purposes
    assert (("vn",), ("ads", "credit", "scoring")) == (said.regions, said.not_for)
    assert ("sex",) == said.protected()


def test_a_day_is_taken_as_python_and_yaml_give_it_and_written_one_way() -> None:
    assert "2027-06-30" == from_flat({"expires": date(2027, 6, 30)}).expires
    for text in ("20270630", "2027-W26-3", "2027-6-30", "2027-02-29"):
        with pytest.raises(ParameterError, match=f"expires is '{text}', no date such as 2027-01-31"):
            terms(expires=text)


def test_what_is_no_text_list_or_table_is_named_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        from_flat({"purposes": [1], "bases": "consent", "pii": ["mail"], "column_purposes": {"pay": 5}})
    with pytest.raises(ParameterError, match="keep_days is '30', expected a whole number from 1 on"):
        terms(keep_days="30")  # type: ignore[arg-type]

    assert caught.value.message == (
        "purposes is [1], expected a list of texts; bases is 'consent', expected each by its name, such as churn=consent; "
        "pii is ['mail'], expected each by its name, such as mail=email; the purposes of pay are 5, expected a list of texts"
    )
