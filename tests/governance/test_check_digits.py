"""Numbers that prove themselves, against the standards' own examples."""

from __future__ import annotations

import pytest

from sampan.governance import check_digits as check


@pytest.mark.parametrize(
    "number", ["4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005", "6011111111111117", "3530111333300000", "30569309025904"]
)
def test_the_brands_own_test_numbers_are_cards_and_become_none_by_one_digit(number: str) -> None:
    changed = number[:-1] + str((int(number[-1]) + 1) % 10)

    assert check.is_card(number)
    assert not check.is_card(changed)


@pytest.mark.parametrize("number", ["0000000000000000", "1234567890123452", "79927398713"])
def test_a_right_check_digit_alone_makes_no_card(number: str) -> None:
    assert not check.is_card(number)


@pytest.mark.parametrize(
    "number", ["GB82 WEST 1234 5698 7654 32", "DE89 3704 0044 0532 0130 00", "FR14 2004 1010 0505 0001 3M02 606", "NO93 8601 1117 947"]
)
def test_the_registrys_examples_are_ibans_of_their_countrys_length(number: str) -> None:
    assert check.is_iban(number)
    assert check.is_iban(number.replace(" ", "").lower())
    assert not check.is_iban(number[:-1] + ("1" if number[-1] != "1" else "2"))
    assert not check.is_iban(number + "1")


def test_tax_numbers_check_their_tenth_digit_and_branches_count_from_one() -> None:
    assert [check.is_mst(n) for n in ("0100233488", "0314409058-002", "0312 68 78 78 - 001")] == [True, True, True]
    assert [check.is_mst(n) for n in ("0100233480", "0314409058-000", "12345")] == [False, False, False]


def test_citizens_numbers_begin_with_a_province_and_a_century() -> None:
    assert check.is_cccd("001090012345")
    assert check.is_cccd("079 305 012 345")
    assert [check.is_cccd(n) for n in ("003090012345", "001990012345", "00109001234")] == [False, False, False]


def test_addresses_of_the_network_are_parsed_not_guessed() -> None:
    assert [check.is_ip(t) for t in ("203.0.113.7", "2001:db8::1", "::ffff:10.0.0.1")] == [True, True, True]
    assert [check.is_ip(t) for t in ("256.1.1.1", "0.0.0.0", "255.255.255.0", "12:30:45")] == [False, False, False, False]
