"""Which columns of a table hold personal data: by what their values are, and by what their names say.

A column's values speak louder than its name. A check digit that nine in ten numbers would fail by chance and all pass is proof; a name like
`phone` over values that are no phone numbers is a hint, and is reported as one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import polars as pl

from sampan.governance import check_digits as check
from sampan.governance.columns_found import ColumnFinding
from sampan.governance.detection import find
from sampan.governance.masks import mask
from sampan.governance.patterns import plain
from sampan.governance.person_names import is_name

SAMPLE: Final = 2000  # different values looked at
_WHOLE: Final = 0.9  # of a value's letters that a find must cover to be the value
_MOST: Final = 0.5  # of the values, for a column to be of a class
_SOME: Final = 0.2  # with a name that says the same
_PROVES: Final = 0.95  # of the numbers that pass a check one in ten passes by chance
_FEW: Final = 20
_WORDS_OF_TEXT: Final = 4.0  # words a value, on average, from which a column is free text
_IN_TEXT: Final = 0.002  # of the texts that hold personal data
_EXAMPLES: Final = 3


# What values look like under a name that says a class; too common to say it alone.
_SHAPES: Final[dict[str, re.Pattern[str]]] = {
    "phone": re.compile(r"\+?(?:[ ().x/-]*\d){6,15}"),
    "national-id": re.compile(r"(?=(?:\D*\d){6})[A-Z0-9][A-Z0-9 ./-]{5,20}", re.IGNORECASE),
    "tax-id": re.compile(r"(?=(?:\D*\d){8})[A-Z0-9][A-Z0-9 .-]{7,16}", re.IGNORECASE),
    "passport": re.compile(r"[A-Z]{0,2}\d{6,9}", re.IGNORECASE),
    "card": re.compile(r"\d(?:[ -]?\d){11,18}"),
    "bank-account": re.compile(r"[A-Z0-9](?:[ -]?[A-Z0-9]){5,33}", re.IGNORECASE),
    "plate": re.compile(r"(?=.*\d)[A-Z0-9][A-Z0-9 .-]{3,11}", re.IGNORECASE),
    "birth-date": re.compile(r"\d{1,4}[-/. ]\d{1,2}[-/. ]\d{1,4}(?:[T ].*)?|\d{1,2} [A-Za-z]{3,9} \d{4}|\d{8}"),
    "name": re.compile(r"[^\W\d_](?:[^\W\d_]|[ .'’-])*"),
}
_SHAPED: Final = 0.8  # of the values, under a name that says the class
_OF_PEOPLE: Final = re.compile(
    r"(full|first|last|given|family|middle|sur|fore|customer|patient|passenger|employee|student|contact|person)_?names?|surname|ho_?(va_?)?ten"
    r"|(mothers?_)?maiden(_?names?)?|ho_?dem|ten_(khach(_hang)?|benh_nhan|nhan_vien|hoc_sinh|sinh_vien)"
)


_HINTS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (pii, re.compile(words))
    for pii, words in (
        ("email", r"e_?mails?|mail|thu_dien_tu"),
        (
            "phone",
            r"(tele|mobile_?|cell_?|home_?|work_?)?phones?(_?(number|no|num))?|tel|mobile|cell|fax|sdt|so_?dien_?thoai|dien_?thoai|so_?dt|dt|di_?dong",
        ),
        (
            "national-id",
            (
                r"ssn|social_security(_number)?|national_?id|citizen_?id|identity_?(no|number|card)|id_?card(_?(no|number))?|cccd|cmnd|cmt(nd)?"
                r"|so_?(cccd|cmnd|cmt)|can_cuoc(_cong_dan)?|nhs(_?(no|num|number))?|nino|national_insurance(_(no|number))?|sin"
                r"|aadhaa?r(_?(no|number))?|nric"
            ),
        ),
        ("tax-id", r"tax_?(id|no|number|code)|tin|mst|ma_?so_?thue|vat_?(id|no|number)"),
        ("passport", r"passport(_?(no|number))?|so_?ho_?chieu|ho_?chieu"),
        ("card", r"(credit_?|debit_?)?card_?(no|num|number)|cc_?(no|num|number)|credit_?card|so_?the"),
        ("bank-account", r"iban|bank_?account(_?(no|number))?|account_?(no|number)|acct(_?(no|number))?|stk|so_?tai_?khoan"),
        ("ip", r"ip|ip_?addr(ess)?|(client|remote|source|src|user)_?ip"),
        ("plate", r"(licen[cs]e_?)?plate(_?(no|number))?|bien_?so(_?xe)?|bien_?kiem_?soat"),
        ("birth-date", r"dob|birth_?(day|date)|date_?of_?birth|born|ngay_?(thang_?(nam_?)?)?sinh|ns"),
        (
            "address",
            r"(street|home|mailing|postal|billing|shipping)?_?address(_?(line)?_?\d)?|street|addr|dia_?chi(_.*)?|noi_?o|ho_?khau|thuong_?tru",
        ),
        (
            "name",
            (
                r"(full|first|last|given|family|middle|sur|fore|customer|patient|passenger|employee|student|contact|owner|client|person|user)_?names?"
                r"|name|ho_?(va_?)?ten|ten(_(khach(_hang)?|benh_nhan|nhan_vien|hoc_sinh|sinh_vien|nguoi.*))?|ho_?dem|surname|patient|passenger"
                r"|author|(mothers?_)?maiden(_?names?)?"
            ),
        ),
        ("health", r"diagnos[ie]s|icd(_?10)?|disease|illness|medication|chan_?doan|benh(_ly)?|tien_su_benh|hiv|blood_?type|nhom_?mau"),
    )
)
# Canadian and British numbers are not among them: companies' numbers and books' have the same check digits.
# Classes a name alone makes possible; `name` and `address` are also said of shops, files and airports.
_PROVED_BY: Final[tuple[tuple[str, str, Callable[[str], bool], Callable[[str], bool]], ...]] = (
    ("card", "card numbers whose check digit is right", lambda n: 13 <= len(n) <= 19, check.is_card),
    ("tax-id", "Vietnamese tax numbers whose check digit is right", lambda n: len(n) in (10, 13), check.is_mst),
    ("national-id", "Indian identity numbers whose check digit is right", lambda n: len(n) == 12, check.is_aadhaar),
    ("national-id", "Vietnamese citizens' numbers: province, century, year", lambda n: len(n) == 12, check.is_cccd),
)


def scan(frame: pl.DataFrame) -> Iterator[ColumnFinding]:
    """Find the columns of a table that hold personal data, in their order."""
    for column in frame:
        if (found := scan_column(column)) is not None:
            yield found


def scan_column(column: pl.Series) -> ColumnFinding | None:
    """Say which personal data a column holds, or None. At most SAMPLE different values are looked at, evenly over their order."""
    hint = hinted(column.name)
    if isinstance(column.dtype, pl.Date | pl.Datetime):
        said = (f"its name says {hint}", "its values are dates")
        return ColumnFinding(column.name, hint, "likely", 1.0, column.n_unique(), said) if hint == "birth-date" else None
    is_whole = column.dtype.is_integer()
    if not is_whole and column.dtype not in (pl.String, pl.Categorical):
        return None
    values = _sample(column)
    if not values:
        return None
    if (proved := _proved(column.name, values)) is not None:
        return proved
    if is_whole:
        return _shaped(column.name, hint, values) if hint in ("phone", "national-id", "tax-id", "card", "bank-account") else None
    return _of_texts(column.name, hint, values)


def hinted(name: str) -> str:
    """Return the class that a column's name says, in English or Vietnamese; "" where it says none.

    >>> hinted("Số điện thoại"), hinted("customerEmail"), hinted("file_name")
    ('phone', 'email', '')
    """
    flat = _flat(name)
    for pii, pattern in _HINTS:
        if pattern.fullmatch(flat) or (pii in ("email", "phone", "birth-date", "passport") and pattern.fullmatch(flat.rpartition("_")[2])):
            return pii
    return ""


def _sample(column: pl.Series) -> list[str]:
    values = column.drop_nulls().cast(pl.String).unique(maintain_order=True)
    if len(values) > SAMPLE:
        step = len(values) / SAMPLE
        values = values.gather([int(at * step) for at in range(SAMPLE)])
    stripped = (unicodedata.normalize("NFC", value.strip()) for value in values.to_list())
    return [value for value in stripped if value]


def _proved(name: str, values: Sequence[str]) -> ColumnFinding | None:
    """Find numbers of one length that all pass a check."""
    plain_numbers = [re.sub(r"[ .-]", "", value) for value in values]
    if len(values) < _FEW or not all(number.isdigit() for number in plain_numbers[:_FEW]):
        return None
    numbers = [number for number in plain_numbers if number.isdigit()]
    for pii, words, fits, holds in _PROVED_BY:
        share = sum(fits(number) and holds(number) for number in numbers) / len(values)
        if share >= _PROVES:
            said = f"{share:.0%} of {len(values):,} different values are {words}"
            return ColumnFinding(name, pii, "likely", share, len(values), (said,), examples=_masked(values, pii))
    return None


def _of_texts(name: str, hint: str, values: Sequence[str]) -> ColumnFinding | None:
    whole, inside, why = _count(values)
    n_names = sum(map(is_name, values))
    if n_names > whole["name"]:
        whole["name"] = n_names
        why["name"] = "names of people"
    n_words = sum(value.count(" ") + 1 for value in values) / len(values)
    pii, n = max(whole.items(), key=lambda item: item[1], default=("", 0))
    share = n / len(values)
    said = (f"its name says {hint}",) if hint else ()
    likely = share >= _MOST or (bool(hint) and hint == pii and share >= _SOME)
    if likely and not (pii == "name" and len(values) < _FEW and not hint and share < _WHOLE):
        evidence = f"{share:.0%} of {len(values):,} different values are {_plural(pii)}: {why.get(pii, pii)}"
        return ColumnFinding(name, pii, "likely", share, len(values), (evidence, *said), examples=_masked(values, pii))
    holding = sum(inside.values())
    if n_words >= _WORDS_OF_TEXT and holding >= max(_IN_TEXT * len(values), 1):
        counts = dict(inside.most_common())
        told = ", ".join(f"{n:,} with {_plural(pii)}" for pii, n in counts.items())
        return ColumnFinding(
            name, "free-text", "likely", holding / len(values), len(values), (f"of {len(values):,} texts {told}", *said), counts
        )
    return _shaped(name, hint, values)


def _shaped(name: str, hint: str, values: Sequence[str]) -> ColumnFinding | None:
    """Hold values against the shape that the column's name promises."""
    shape = _SHAPES.get(hint)
    if shape is None or (hint == "name" and not _says_people(name)):
        return _named(name, hint, len(values))
    share = sum(bool(shape.fullmatch(value)) for value in values) / len(values)
    if share < _SHAPED:
        return _named(name, hint, len(values))
    said = (f"its name says {hint}", f"{share:.0%} of {len(values):,} different values have the shape")
    return ColumnFinding(name, hint, "likely", share, len(values), said, examples=_masked(values, hint))


def _says_people(name: str) -> bool:
    return bool(_OF_PEOPLE.fullmatch(_flat(name)))


def _flat(name: str) -> str:
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", plain(name))
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def _count(values: Sequence[str]) -> tuple[Counter[str], Counter[str], dict[str, str]]:
    """Count values that are a find, and values that hold one, by class; and what spoke for the first."""
    whole: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    why: dict[str, str] = {}
    for value in values:
        found = find(value)
        covering = next((each for each in found if each.end - each.start >= _WHOLE * len(value)), None)
        if covering is not None:
            whole[covering.pii] += 1
            why.setdefault(covering.pii, covering.evidence)
        inside.update({each.pii for each in found})
    return whole, inside, why


def _named(name: str, hint: str, n_values: int) -> ColumnFinding | None:
    if not hint or hint in ("name", "address"):
        return None
    return ColumnFinding(name, hint, "possible", 0.0, n_values, (f"only its name says {hint}",))


def _masked(values: Sequence[str], pii: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(mask(value, pii) for value in values[:_EXAMPLES]))


def _plural(pii: str) -> str:
    return {"email": "e-mail addresses", "ip": "network addresses", "address": "postal addresses"}.get(pii, f"{pii.replace('-', ' ')}s")
