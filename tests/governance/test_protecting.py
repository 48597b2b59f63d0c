"""Actions on personal columns: masks, pseudonyms, ciphers, and groups large enough to hide in."""

from __future__ import annotations

from collections import Counter
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import IntegrityError, ParameterError
from sampan.governance.anonymity import generalize, measure, suppress
from sampan.governance.masks import mask
from sampan.governance.protecting import Protection, apply
from sampan.governance.pseudonyms import cipher_of, decrypt, fingerprint, pseudonym

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
PEOPLE = pl.DataFrame(
    {
        "mail": ["ana@a.vn", "binh@b.vn", "ana@a.vn", None],
        "phone": ["0912345678", "0987654321", "0912345678", None],
        "age": [31, 45, 31, 60],
        "note": ["Gọi Nguyễn Văn An 0912345678", "ok", "ok", None],
    }
)


@pytest.mark.parametrize(
    ("value", "pii", "expected"),
    [
        ("0912 345 678", "phone", "**** *** 678"),
        ("12345", "phone", "*****"),
        ("203.0.113.7", "ip", "203.0.*.*"),
        ("1987-05-06", "birth-date", "1987-**-**"),
        ("12 Lê Lợi, quận 1, Sài Gòn", "address", "***, Sài Gòn"),
        ("no mail", "email", "***"),
        ("flu", "health", "***"),
    ],
)
def test_a_mask_leaves_what_its_class_may_show(value: str, pii: str, expected: str) -> None:
    assert mask(value, pii) == expected


def test_each_action_does_its_own_and_missing_values_stay_missing() -> None:
    protection = Protection(
        actions={"mail": "pseudonym", "phone": "mask", "age": "encrypt", "note": "mask"},
        classes={"mail": "email", "note": "free-text", "phone": "phone"},
    )

    done = apply(PEOPLE, protection, key=KEY)

    assert done["mail"][0] == done["mail"][2] != done["mail"][1]
    assert done["phone"].to_list() == ["*******678", "*******321", "*******678", None]
    assert [decrypt(KEY, value) for value in done["age"]] == [31, 45, 31, 60]
    assert done["note"].to_list() == ["Gọi [name] [phone]", "ok", "ok", None]
    assert done["mail"][3] is None
    assert apply(PEOPLE, Protection(actions={"mail": "drop"})).columns == ["phone", "age", "note"]


def test_protecting_twice_changes_nothing_more() -> None:
    protection = Protection(actions={"mail": "pseudonym", "age": "encrypt"}, classes={"mail": "email"})
    once = apply(PEOPLE, protection, key=KEY)

    assert apply(once, protection, key=KEY).equals(once)


def test_pseudonyms_join_within_a_key_and_not_across() -> None:
    assert pseudonym(KEY, "Ana@A.vn ", "email") == pseudonym(KEY, "ana@a.vn", "email")
    assert pseudonym(KEY, "ana@a.vn", "email") != pseudonym(OTHER, "ana@a.vn", "email")
    assert pseudonym(KEY, "12", "phone") != pseudonym(KEY, "12", "national-id")
    assert fingerprint(KEY) != fingerprint(OTHER)


@given(st.one_of(st.text(), st.integers(min_value=-(2**53), max_value=2**53), st.booleans()))
def test_what_is_encrypted_comes_back(value: object) -> None:
    assert decrypt(KEY, cipher_of(KEY, "c")(value)) == value


def test_another_key_or_a_changed_cipher_opens_nothing() -> None:
    sealed = cipher_of(KEY, "c")(date(2020, 1, 2))

    assert decrypt(KEY, sealed) == "2020-01-02"
    with pytest.raises(IntegrityError):
        decrypt(OTHER, sealed)
    with pytest.raises(IntegrityError):
        decrypt(KEY, sealed[:-2] + ("AA" if not sealed.endswith("AA") else "BB"))
    with pytest.raises(ParameterError):
        decrypt(KEY, "plain")


def test_k_and_l_are_counted_as_by_hand() -> None:
    frame = pl.DataFrame({"age": [30, 30, 41, 41, 41], "city": ["h", "h", "s", "s", "s"], "ill": ["flu", "flu", "cold", "flu", "cold"]})

    found = measure(frame, ["age", "city"], sensitive=["ill"])

    assert (found.k, found.n_groups, found.n_unique, found.diversity) == (2, 2, 0, {"ill": 1})
    assert measure(frame.clear(), ["age"], sensitive=["ill"]).k == 0


@given(
    st.lists(st.tuples(st.integers(0, 60) | st.none(), st.sampled_from(["a1", "a2", "b1", "c"]) | st.none()), min_size=1, max_size=80),
    st.integers(2, 7),
)
def test_generalized_rows_share_their_values_with_at_least_k_minus_1_others(rows: list[tuple[int | None, str | None]], k: int) -> None:
    frame = pl.DataFrame(rows, schema={"age": pl.Int64, "code": pl.String}, orient="row").with_row_index("id")

    done = generalize(frame, ["age", "code"], k=k)

    assert measure(done, ["age", "code"]).k >= min(k, frame.height)
    assert done["id"].equals(frame["id"])


@given(rows=st.lists(st.tuples(st.sampled_from(["a", "b", "*"]), st.sampled_from(["x", "y", "*", None])), max_size=40), k=st.integers(2, 6))
def test_rows_that_fewer_than_k_share_are_hidden_with_as_few_others_as_that_takes(rows: list[tuple[str, str | None]], k: int) -> None:
    frame = pl.DataFrame(rows, schema={"one": pl.String, "two": pl.String}, orient="row")

    kept = suppress(frame, ["one", "two"], k=k)

    before, after = Counter(rows), Counter(kept.rows())
    assert all(n >= k for n in after.values()) or (set(after) == {("*", "*")} and len(rows) < k)
    touched = {was for was, now in zip(rows, kept.rows(), strict=True) if was != now}
    few = {row for row, n in before.items() if n < k}
    assert few - {("*", "*")} <= touched
    assert len(touched - few) <= 1  # the group that the few may hide among
    assert (kept is frame) == (not few)


def test_generalizing_keeps_what_it_can() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"age": rng.integers(18, 90, 2000), "born": [date(1990, 1 + i % 12, 1 + i % 28) for i in range(2000)]})

    done = generalize(frame, ["age", "born"], k=5)

    assert measure(done, ["age", "born"]).k >= 5
    assert measure(done, ["age", "born"]).n_groups >= 2000 / 12
    assert all(".." in label or label.isdigit() for label in done["age"].unique())
    assert generalize(frame.head(3), ["age"], k=5)["age"].to_list() == ["*"] * 3
