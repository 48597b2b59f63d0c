"""Postal addresses in text: a house number with a street in English forms, or a chain of Vietnamese administrative units.

The forms without a word for street were tuned on the odd templates of presidio-research and on Faker's en_US, en_GB and en_AU; checked on
the even ones (recall 0.44 to 0.62, nothing found that is none) and on Faker's en_CA (all of 400).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from sampan.governance.found import Found
from sampan.governance.patterns import plain

_TYPES: Final = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Place|Pl|Square|Sq|Terrace|Ter|Way|Parkway|Pkwy|Highway|Hwy"
    r"|Circle|Cir|Trail|Trl|Crescent|Close|Alley|Walk|Row|Grove|Hill|Mews|Esplanade)"
)
_NAME: Final = r"[A-Z0-9][\w'’.-]*"
_TAIL: Final = (
    r"(?:,?\s+(?:Apt|Apartment|Suite|Ste|Unit|Floor|Fl|No|#)\.?\s*[\w-]{1,6})?"
    r"(?:\s*[,\n]\s*[A-Z][\w'’. -]{1,30}?)?(?:\s*,?\s+[A-Z]{2,3})?(?:\s*,?\s+[A-Z]{0,2}\d[\dA-Z -]{2,8}\d?)?"
)
_ENGLISH: Final = re.compile(rf"(?<![\w/])\d{{1,5}}[A-Za-z]?,?\s+(?:{_NAME}\s+){{1,4}}?{_TYPES}\b\.?{_TAIL}")
# Without a word for street: what stands behind the number and the names says that it is one (a flat, or a town with its postal code).
_NAMES: Final = r"(?:(?:[A-ZÀ-Ý0-9][\w'’.-]*|of|the|de|del|della|di|du|des|la|le|van|von|der|den)[ \t]+){0,5}?[A-ZÀ-Ý0-9][\w'’.-]*"
_BETWEEN: Final = r"[ \t]{0,4}[,\n][\s>]{0,12}"
_FLAT: Final = r"(?:Apt|Apartment|Suite|Ste|Unit|Flat)\.?\s*#?\d{1,5}[A-Za-z]?\b"
_STATES: Final = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|PA|RI|SC|SD|TN|TX|UT"
    "|VT|VA|WA|WV|WI|WY|DC|PR|GU|VI|AS|MP|FM|MH|PW"
)
_POSTAL: Final = (
    rf"(?:(?:{_STATES})\s+\d{{5}}(?:-\d{{4}})?|(?:NSW|VIC|QLD|SA|WA|TAS|NT|ACT),?\s+\d{{4}}"
    r"|(?:AB|BC|MB|NB|NL|NS|NT|NU|ON|PE|QC|SK|YT)\s+[A-Z]\d[A-Z][ -]?\d[A-Z]\d)(?!\w)"
)
_POSTED: Final = re.compile(
    rf"(?<![\w/])\d{{1,6}}(?:/\d{{1,5}})?[A-Za-z]?,?\s{{1,4}}{_NAMES}(?:{_BETWEEN}{_NAMES}){{0,2}},?\s{{1,12}}{_POSTAL}"
)
_FLATTED: Final = re.compile(
    rf"(?<![\w/])\d{{1,6}}[A-Za-z]?,?[ \t]+{_NAMES}(?:{_BETWEEN}|[ \t]+){_FLAT}(?:{_BETWEEN}{_NAMES})?(?:,?\s{{1,12}}{_POSTAL})?"
)
_BRITISH: Final = re.compile(
    rf"(?<![\w/])(?:(?:Flat|Studio|Unit|Apartment)\s+\w{{1,4}}|\d{{1,4}}[A-Za-z]?)(?:,?[ \t]+|{_BETWEEN})"
    rf"{_NAMES}(?:{_BETWEEN}{_NAMES}){{0,4}}"
    r"[\s,]{1,12}[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}(?!\w)"
)
_BOX: Final = re.compile(
    r"\b(?:P\.?\s?O\.?\s+Box\s+\d{1,7}|(?:PSC|Unit|CMR)\s+\d+,?\s+Box\s+\d+|[AFD]PO\s+A[AEP]\s+\d{5})\b", re.IGNORECASE
)
# Streets of the continent: a name that ends as streets do, and its number.
_EUROPEAN: Final = re.compile(
    r"(?<!\w)(?:[A-ZÀ-Ý][\w'’.-]*\s+){0,2}[A-ZÀ-Ý][\w'’-]*(?:str(?:aße|asse|aat|\.)|gasse|allee|vägen|gatan|vej|gade|veien|straat|laan|plein|weg|katu|tie"
    r"|gata|stræde)\s+\d{1,4}\s?[A-Za-z]?\b"
)
_LATIN: Final = re.compile(
    r"(?<!\w)(?:(?:\d{1,4},?\s+)?(?:Rue|Avenue|Boulevard|Quai|Chemin|Place)\s+(?:de\s+|du\s+|des\s+|la\s+|l')*[A-ZÀ-Ý][\w'’-]+(?:\s+[A-ZÀ-Ý][\w'’-]+){0,3}"
    r"|(?:Via|Viale|Piazza|Calle|Avenida|Rua|Plaza|Paseo|Ul\.|ul\.)\s+(?:del?\s+|dei\s+|la\s+)*[A-ZÀ-Ý][\w'’.-]+(?:\s+[A-ZÀ-Ý][\w'’.-]+){0,3},?\s+\d{1,4})"
)
_CUE: Final = re.compile(
    r"(?:\baddress(?: is|:| at)?|\blives? (?:at|in|on)|\bliving at|\bresides? at|\bmoved to|\bship(?:ped)? to|\bdeliver(?:ed)? to"
    r"|\blocated at)\s*$",
    re.IGNORECASE,
)
_CUED: Final = re.compile(r"(?=[^\n?!;]{0,40}\d)[A-ZÀ-Ý0-9][^\n?!;]{4,60}")

# Vietnamese, held against the text without its marks. A part is a word for a unit with a number or capitalized names.
_FINE: Final = r"(?i:so nha|to dan pho|khu pho|duong|pho|ngach|ngo|hem|thon|xom|ap|khom|phuong|xa|kp\.?|to|so)"
_WIDE: Final = r"(?i:thi tran|thi xa|thanh pho|quan|huyen|tinh|tx\.?|tp\.?|q\.|p\.)"
_PART: Final = rf"(?:{_FINE}|{_WIDE})\s*(?:\d[\w/.-]*|[A-Z][\w'-]*)(?:\s+[A-Z0-9][\w'-]*){{0,4}}"
_CHAIN: Final = re.compile(rf"(?<!\w){_PART}(?:(?:\s*[,-]\s*|\s+){_PART})+(?:\s*,\s*[A-Z]\w+(?:\s+[A-Z]\w+){{0,2}})?")
_HOUSE: Final = re.compile(
    rf"(?<![\w/,.])(?:(?i:so)\s+)?\d{{1,4}}[A-Za-z]?(?:/\d{{1,4}}[A-Za-z]?){{0,3}},?\s+(?:(?i:duong|pho|ngo|ngach|hem)\s+)[A-Z0-9][\w/'-]*"
    rf"(?:\s+[A-Z0-9][\w'-]*){{0,4}}(?:\s*[,-]\s*{_PART})*(?:\s*,\s*[A-Z]\w+(?:\s+[A-Z]\w+){{0,2}})?"
)
# Without a word for street: a number and names, before a ward or a district.
_STREETLESS: Final = re.compile(
    rf"(?<![\w/,.])(?:(?i:so)\s+)?\d{{1,4}}[A-Za-z]?(?:/\d{{1,4}}[A-Za-z]?){{0,3}},?\s+[A-Z][\w'-]*(?:\s+[A-Z][\w'-]*){{0,4}}"
    rf"(?:\s*,\s*(?:(?i:phuong|xa)|{_WIDE})\s*(?:\d+|[A-Z][\w'-]*(?:\s+[A-Z0-9][\w'-]*){{0,3}}))+(?:\s*,\s*[A-Z]\w+(?:\s+[A-Z]\w+){{0,2}})?"
)
_IS_FINE: Final = re.compile(rf"(?<!\w){_FINE}\s")


def find_addresses(text: str) -> Iterator[Found]:
    """Find postal addresses. `text` is in Unicode's composed form."""
    for pattern, evidence in (
        (_ENGLISH, "a house number, a name and a word for street"),
        (_POSTED, "a house number, names and a postal code"),
        (_FLATTED, "a house number, names and a flat"),
        (_BRITISH, "a house number, names and a British postcode"),
        (_BOX, "a post office box"),
        (_EUROPEAN, "a street's ending and a house number"),
        (_LATIN, "a word for street, a name and a house number"),
    ):
        for match in pattern.finditer(text):
            yield Found(match.start(), match.start() + len(match[0].rstrip(" ,\n")), "address", evidence)
    for match in _CUED.finditer(text):
        if _CUE.search(text[max(match.start() - 20, 0) : match.start()]):
            yield Found(
                match.start(), match.start() + len(match[0].rstrip(" ,.\n")), "address", "a number and a name after a word for an address"
            )
    yield from _vietnamese(text)


def _vietnamese(text: str) -> Iterator[Found]:
    bare = plain(text)
    for match in _HOUSE.finditer(bare):
        yield Found(match.start(), match.end(), "address", "a house number and a Vietnamese street")
    for match in _STREETLESS.finditer(bare):
        yield Found(match.start(), match.end(), "address", "a number and a name before a Vietnamese ward or district")
    for match in _CHAIN.finditer(bare):
        if _IS_FINE.search(match[0]):
            yield Found(match.start(), match.end(), "address", "a chain of Vietnamese streets, wards or districts")
