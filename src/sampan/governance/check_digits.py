"""Numbers that prove themselves: check digits and structure of cards, bank accounts, tax numbers and identity cards.

References
----------
ISO/IEC 7812-1 (cards, Luhn); ISO 13616 and ISO 7064 mod 97-10 (IBAN); circular 95/2016/TT-BTC (Vietnamese tax numbers, MST); decree
137/2015/ND-CP, article 13 (Vietnamese citizens' numbers, CCCD: province, century and sex, year of birth); National Insurance Manual,
NIM39110 (British prefixes); NHS Data Dictionary, NHS NUMBER; J. Verhoeff (1969), "Error Detecting Decimal Codes" (Aadhaar).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_NINO: Final = re.compile(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]")
_NRIC: Final = re.compile(r"([STFG])(\d{7})([A-Z])")
_PERMUTED: Final = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)  # Verhoeff's permutation, which is applied as often as a digit's place says
_MST_WEIGHTS: Final = (31, 29, 23, 19, 17, 13, 7, 5, 3)
_IBAN: Final = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")
# A country's length of an account number, of the IBAN registry, release 99.
_IBAN_LENGTHS: Final = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}
# The provinces' codes until 2025; a person keeps the number.
_PROVINCES: Final = frozenset(
    f"{code:03}"
    for code in (
        *(1, 2, 4, 6, 8, 10, 11, 12, 14, 15, 17, 19, 20, 22, 24, 25, 26, 27, 30, 31, 33, 34, 35, 36, 37, 38, 40, 42, 44, 45, 46, 48),
        *(49, 51, 52, 54, 56, 58, 60, 62, 64, 66, 67, 68, 70, 72, 74, 75, 77, 79, 80, 82, 83, 84, 86, 87, 89, 91, 92, 93, 94, 95, 96),
    )
)
# Brands' first digits and lengths; a number of another shape passes Luhn one time in ten.
_CARDS: Final = re.compile(
    r"(?:4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|(?:50|5[6-9]|6\d)\d{10,17}|9704\d{12,15}|(?:2131|1800)\d{11})"
)


def digits(text: str) -> str:
    """Return a text's digits.

    >>> digits("4111 1111-1111")
    '411111111111'
    """
    return "".join(letter for letter in text if letter in "0123456789")


def luhn(number: str) -> bool:
    """Say whether a number's last digit is its Luhn check digit.

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    total = 0
    for at, letter in enumerate(reversed(number)):
        doubled = int(letter) * (2 if at % 2 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return bool(number) and total % 10 == 0


def is_card(text: str) -> bool:
    """Say whether a text is the number of a payment card: a brand's shape, and its check digit.

    >>> is_card("4111 1111 1111 1111"), is_card("1234 5678 9012 3452")
    (True, False)
    """
    number = digits(text)
    return bool(_CARDS.fullmatch(number)) and luhn(number) and len(set(number)) > 1


def is_iban(text: str) -> bool:
    """Say whether a text is an international bank account number.

    >>> is_iban("GB82 WEST 1234 5698 7654 32"), is_iban("GB82 WEST 1234 5698 7654 33")
    (True, False)
    """
    number = re.sub(r"[\s-]", "", text).upper()
    if not _IBAN.fullmatch(number) or _IBAN_LENGTHS.get(number[:2]) != len(number):
        return False
    return int("".join(str(int(letter, 36)) for letter in number[4:] + number[:4])) % 97 == 1


def is_mst(text: str) -> bool:
    """Say whether a text is a Vietnamese tax number: ten digits of which the last checks the others, and a branch's three where given.

    >>> is_mst("0100233488"), is_mst("0314409058-002"), is_mst("0100233480")
    (True, True, False)
    """
    number = digits(text)
    if len(number) not in (10, 13) or (len(number) == 13 and number[10:] == "000"):
        return False
    total = sum(weight * int(letter) for weight, letter in zip(_MST_WEIGHTS, number[:9], strict=True))
    return 10 - total % 11 == int(number[9])


def is_cccd(text: str) -> bool:
    """Say whether a text can be a Vietnamese citizen's number: twelve digits that begin with a province and tell a year of birth to 2029.

    >>> is_cccd("001090012345"), is_cccd("999090012345")
    (True, False)
    """
    number = digits(text)
    return len(number) == 12 and number[:3] in _PROVINCES and (number[3] in "01" or (number[3] in "23" and number[4] in "012"))


def is_ssn(text: str) -> bool:
    """Say whether a text can be a United States social security number; the areas 000, 666 and from 900 were never given out."""
    number = digits(text)
    return len(number) == 9 and number[:3] not in ("000", "666") and number[0] != "9" and number[3:5] != "00" and number[5:] != "0000"


def is_nino(text: str) -> bool:
    """Say whether a text can be a British National Insurance number: prefixes that were never given out are none.

    >>> is_nino("AB 12 34 56 C"), is_nino("GB 12 34 56 C")
    (True, False)
    """
    return bool(_NINO.fullmatch(re.sub(r"\s", "", text)))


def is_nhs(text: str) -> bool:
    """Say whether a text is a British health service number: ten digits, the last the remainder of the others to 11.

    >>> is_nhs("943 476 5919"), is_nhs("943 476 5918")
    (True, False)
    """
    number = digits(text)
    if len(number) != 10:
        return False
    total = sum(weight * int(letter) for weight, letter in zip(range(10, 1, -1), number[:9], strict=True))
    return (11 - total % 11) % 11 == int(number[9])  # a remainder of 1 would need 10, and was never given out


def is_sin(text: str) -> bool:
    """Say whether a text is a Canadian social insurance number: nine digits, not beginning with 0 or 8, the last Luhn's check digit.

    >>> is_sin("123 456 782"), is_sin("123 456 783")
    (True, False)
    """
    number = digits(text)
    return len(number) == 9 and number[0] not in "08" and luhn(number)


def is_aadhaar(text: str) -> bool:
    """Say whether a text is an Indian Aadhaar number: twelve digits, not beginning with 0 or 1, whose last checks them after Verhoeff.

    >>> is_aadhaar("2341 2341 2346"), is_aadhaar("2341 2341 2347")
    (True, False)
    """
    number = digits(text)
    return len(number) == 12 and number[0] not in "01" and _verhoeff(number) == 0


def _verhoeff(number: str) -> int:
    """Multiply a number's digits, permuted by their places, in the dihedral group of five; 0 if its last digit checks the others."""
    total = 0
    for at, letter in enumerate(reversed(number)):
        digit = int(letter)
        for _ in range(at % 8):
            digit = _PERMUTED[digit]
        total = _multiplied(total, digit)
    return total


def _multiplied(one: int, other: int) -> int:
    """Multiply in the dihedral group of order ten: 0 to 4 are the turns of a pentagon, 5 to 9 its mirrorings."""
    turned = one % 5 + (other % 5 if one < 5 else -(other % 5))
    return turned % 5 + (5 if (one < 5) != (other < 5) else 0)


def is_nric(text: str) -> bool:
    """Say whether a text is a Singaporean identity number: its last letter checks the digits.

    >>> is_nric("S1234567D"), is_nric("S1234567A")
    (True, False)
    """
    found = _NRIC.fullmatch(text.upper())
    if found is None:
        return False
    head, number, last = found.groups()
    total = sum(weight * int(letter) for weight, letter in zip((2, 7, 6, 5, 4, 3, 2), number, strict=True))
    total += 4 if head in "TG" else 0
    return ("JZIHGFEDCBA" if head in "ST" else "XWUTRQPNMLK")[total % 11] == last


def is_ip(text: str) -> bool:
    """Say whether a text is an address of the Internet Protocol, version 4 or 6, that could be someone's: not 0.0.0.0 or a mask."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (found.is_unspecified or str(found).startswith("255."))
