"""Personal data that has a shape: addresses of mail and network, numbers of phones, cards, accounts, identity, cars.

A shape alone is not enough where everyday numbers share it: such a number counts with a check digit, or with a word that says what it
is, in English or in Vietnamese with or without its marks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Final

from sampan.governance import check_digits as check
from sampan.governance.found import Found

_NEAR: Final = 40  # letters before a number in which a word may say what it is

_EMAIL: Final = re.compile(r"(?<![\w.+-])[A-Za-z0-9](?:[\w.+'-]{0,62}[\w+-])?@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w@])")
_IPV4: Final = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d]|\.\d)")
_IPV6: Final = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:)[0-9A-Fa-f:]{2,39}(?:\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])")
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_LONG_NUMBER: Final = re.compile(r"(?<![\w.,-])\d(?:[ -]?\d){11,18}(?![\w]|[.,]\d)")
_NINO: Final = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\s?\d{2}\s?\d{2}\s?\d{2}\s?[A-D](?![A-Za-z0-9])")
_NRIC: Final = re.compile(r"(?<![A-Za-z0-9])[STFG]\d{7}[A-Z](?![A-Za-z0-9])")
_NHS: Final = re.compile(r"(?<![\w.,-])\d{3}[ -]?\d{3}[ -]?\d{4}(?![\w]|[.,-]\d)")
_SIN: Final = re.compile(r"(?<![\w.,-])\d{3}[ -]?\d{3}[ -]?\d{3}(?![\w]|[.,-]\d)")
_AADHAAR: Final = re.compile(r"(?<![\w.,-])\d{4}[ -]?\d{4}[ -]?\d{4}(?![\w]|[.,-]\d)")
_SSN: Final = re.compile(r"(?<![\w-])\d{3}([- ])\d{2}\1\d{4}(?![\w-])")
_MST: Final = re.compile(r"(?<![\w.,-])\d{10}(?:-\d{3})?(?![\w]|[.,-]\d)")
_TWELVE: Final = re.compile(r"(?<![\w.,-])\d{3}[ .]?\d{3}[ .]?\d{3}[ .]?\d{3}(?![\w]|[.,-]\d)")
_NINE: Final = re.compile(r"(?<![\w.,-])\d{9}(?![\w]|[.,-]\d)")
_PASSPORT: Final = re.compile(r"(?<!\w)[A-Z]{1,2}\d{6,8}(?!\w)")
# Two digits of a province, a series, four or five digits: 29A-123.45, 51F 12345, 30-H1 234.56, 80-NG-123-45
_PLATE: Final = re.compile(
    r"(?<![\w-])(?:1[1-9]|[2-9]\d)\s?-?\s?(?:[A-HK-MNP-VXYZĐ]\d?|[A-Z]{2})\s?[- ]\s?(?:\d{3}\.\d{2}|\d{4,5})(?![\w]|[.,]\d)"
)
_INTERNATIONAL: Final = re.compile(r"(?<![\w+])(?:\+|00)[1-9]\d{0,2}[ .-]?(?:\(0?\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){5,12}(?![\w]|[.,]\d)")
_VIETNAMESE: Final = re.compile(r"(?<![\w.,+/-])(?:\(?0(?:[35789]\d|2\d{1,2})\)?)(?:[ .-]?\d){7,8}(?![\w/]|[.,-]\d)")
_AMERICAN: Final = re.compile(
    r"(?<![\w.,+/-])(?:1[ .-])?(?:\([2-9]\d{2}\)[ .-]?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}(?:\s?(?:x|ext\.?)\s?\d{1,6})?(?![\w/]|[.,-]\d)"
)
_AREA: Final = re.compile(r"(?<![\w.,+/-])\(0\d{1,4}\)[ .-]{0,2}\d(?:[ .-]?\d){5,8}(?![\w/]|[.,-]\d)")
_ANY_PHONE: Final = re.compile(r"(?<![\w.,+/-])\(?\d{1,5}\)?(?:[ .()/-]{0,2}\d){5,12}(?:\s?(?:x|ext\.?)\s?\d{1,6})?(?![\w]|[.,]\d)")

_SAYS_PHONE: Final = re.compile(
    r"phone|\btel\b|\bcall(?:ed|ing)?\b|\bmobile\b|\bcell|\bfax\b|\bhotline|whatsapp|zalo|\bring\b|\breach\b|\bdial|\bnumber is\b|contact"
    r"|answering at|dien thoai|\bdt\b|\bsdt\b|so may|lien he|di dong|goi (?:so|cho)|\bsms\b",
    re.IGNORECASE,
)
_PHONE_AFTER: Final = re.compile(r"[ (,-]{0,3}(?:office|fax|mobile|cell|home|work|tel|phone|main|direct)\b", re.IGNORECASE)
_SAYS_TAX: Final = re.compile(r"\bmst\b|ma so thue|\btax\b|\btin\b|\bvat\b", re.IGNORECASE)
_SAYS_CITIZEN: Final = re.compile(
    r"cccd|can cuoc|cmnd|cmtnd|chung minh|dinh danh|\bcitizen|\bidentity|\bid card\b|\bnational id|\bid (?:no|number)\b|so cmt",
    re.IGNORECASE,
)
_SAYS_PASSPORT: Final = re.compile(r"passport|ho chieu", re.IGNORECASE)
_SAYS_SSN: Final = re.compile(r"\bssn\b|social security", re.IGNORECASE)
_SAYS_NHS: Final = re.compile(r"\bnhs\b|health service", re.IGNORECASE)
_SAYS_SIN: Final = re.compile(r"\bSIN\b|(?i:social insurance)")
_SAYS_AADHAAR: Final = re.compile(r"aadhaa?r|\buid(?:ai)?\b", re.IGNORECASE)
_SAYS_ACCOUNT: Final = re.compile(r"\bstk\b|so tai khoan|account (?:no|number)|\bacct\b|tai khoan so", re.IGNORECASE)
_SAYS_CARD: Final = re.compile(r"\bcard\b|\bvisa\b|mastercard|\bamex\b|the tin dung|so the\b|credit|debit", re.IGNORECASE)
_SAYS_VERSION: Final = re.compile(r"version|\bver\b|\bv$|release|section|phien ban|\bchapter", re.IGNORECASE)
_SAYS_PLATE: Final = re.compile(r"bien (?:so|kiem soat)|\bbks\b|\bxe\b|plate|licen[cs]e|registration|o to|\bcar\b", re.IGNORECASE)
_ACCOUNT: Final = re.compile(r"(?<![\w.,-])\d(?:[ -]?\d){7,15}(?![\w]|[.,]\d)")


def plain(text: str) -> str:
    """Return a text without the marks of Vietnamese (and other Latin) letters, letter for letter.

    >>> plain("Điện thoại: Nguyễn")
    'Dien thoai: Nguyen'
    """
    composed = unicodedata.normalize("NFC", text)
    if composed.isascii():
        return composed
    return "".join(_bare(letter) for letter in composed)


def _bare(letter: str) -> str:
    if letter in "đĐÐ":  # the last is another alphabet's letter that looks the same, and is often typed
        return "d" if letter == "đ" else "D"
    return unicodedata.normalize("NFD", letter)[0]


def find_shapes(text: str) -> Iterator[Found]:
    """Find everything that has a shape. `text` is in Unicode's composed form (NFC); pieces may overlap, the first found is the surest."""
    bare = plain(text)
    for pattern, pii, evidence, proves in _SURE:
        for match in pattern.finditer(text):
            if proves(match[0]):
                yield Found(match.start(), match.end(), pii, evidence)
    for pattern, pii, evidence, proves, says in _SAID:
        for match in pattern.finditer(text):
            if says.search(bare, max(match.start() - _NEAR, 0), match.start()) and proves(match[0]):
                yield Found(match.start(), match.end(), pii, evidence)
    yield from _phones(text, bare)


def _phones(text: str, bare: str) -> Iterator[Found]:
    for match in _INTERNATIONAL.finditer(text):
        yield Found(match.start(), match.end(), "phone", "a phone number with its country")
    for match in _VIETNAMESE.finditer(text):
        n_digits = len(check.digits(match[0]))
        if (n_digits == 10 and match[0].lstrip("(")[1] != "2") or (n_digits == 11 and match[0].lstrip("(")[1] == "2"):
            yield Found(match.start(), match.end(), "phone", "a Vietnamese phone number")
    for match in _AMERICAN.finditer(text):
        yield Found(match.start(), match.end(), "phone", "a North American phone number")
    for match in _AREA.finditer(text):
        yield Found(match.start(), match.end(), "phone", "an area code in brackets and a number")
    for match in _ANY_PHONE.finditer(text):
        said = _SAYS_PHONE.search(bare, max(match.start() - _NEAR, 0), match.start()) or _PHONE_AFTER.match(bare, match.end())
        if said and 7 <= len(check.digits(match[0])) <= 15:
            yield Found(match.start(), match.end(), "phone", "a number after a word for phone")


def _always(_: str) -> bool:
    return True


def _ipv4(text: str) -> bool:
    return check.is_ip(text) and not text.startswith("0.")


def _ipv6(text: str) -> bool:
    return len(check.digits(text)) + sum(c in "abcdefABCDEF" for c in text) > 3 and check.is_ip(text)


Proof = Callable[[str], bool]

_SURE: Final[tuple[tuple[re.Pattern[str], str, str, Proof], ...]] = (
    (_EMAIL, "email", "an e-mail address", _always),
    (_IBAN, "bank-account", "an IBAN whose check digits are right", check.is_iban),
    (_LONG_NUMBER, "card", "a card number whose check digit is right", check.is_card),
    (_SSN, "national-id", "the shape of a social security number", check.is_ssn),
    (_NINO, "national-id", "the shape of a British insurance number", check.is_nino),
    (_NRIC, "national-id", "a Singaporean identity number whose check letter is right", check.is_nric),
    (_IPV4, "ip", "an IPv4 address", _ipv4),
    (_IPV6, "ip", "an IPv6 address", _ipv6),
    (_TWELVE, "national-id", "the shape of a Vietnamese citizen's number: province, century, year", check.is_cccd),
    (re.compile(_PLATE.pattern.replace(r"\d{4,5})", r"\d{5})")), "plate", "the shape of a Vietnamese car plate", _always),
)
_SAID: Final[tuple[tuple[re.Pattern[str], str, str, Proof, re.Pattern[str]], ...]] = (
    (_MST, "tax-id", "a Vietnamese tax number whose check digit is right, after a word for it", check.is_mst, _SAYS_TAX),
    (_NINE, "national-id", "nine digits after a word for an identity card", _always, _SAYS_CITIZEN),
    (_TWELVE, "national-id", "twelve digits after a word for an identity card", _always, _SAYS_CITIZEN),
    (_NINE, "national-id", "nine digits after a word for social security", check.is_ssn, _SAYS_SSN),
    (_NHS, "national-id", "a British health number whose check digit is right, after a word for it", check.is_nhs, _SAYS_NHS),
    (_SIN, "national-id", "a Canadian insurance number whose check digit is right, after a word for it", check.is_sin, _SAYS_SIN),
    (_AADHAAR, "national-id", "an Indian identity number whose check digit is right, after a word for it", check.is_aadhaar, _SAYS_AADHAAR),
    (_PASSPORT, "passport", "letters and digits after a word for passport", _always, _SAYS_PASSPORT),
    (_LONG_NUMBER, "card", "a long number after a word for a card", lambda text: 12 <= len(check.digits(text)) <= 19, _SAYS_CARD),
    (_ACCOUNT, "bank-account", "a number after a word for an account", _always, _SAYS_ACCOUNT),
    (_PLATE, "plate", "the shape of a plate after a word for a car", _always, _SAYS_PLATE),
)
