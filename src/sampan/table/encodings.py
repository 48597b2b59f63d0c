"""Which encoding a text is in, and from its bytes to UTF-8, or one error that says where it is not text.

UTF-8 and what a byte order mark names are certain. An older encoding is found by its letters: the one in which nearly all characters beyond
ASCII are letters of one language. It is always said which one was found; a declared encoding is never overruled.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from sampan.errors import DataFormatError, ParameterError

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_BLOCK = 1 << 22
_ENOUGH = 0.85  # of the characters beyond ASCII
_SCORED = 20_000
# Languages by the encoding that Windows gave them; among encodings that fit equally well the first is taken.
_LETTERS: Final[dict[str, tuple[str, ...]]] = {
    "cp1252": ("àâæçéèêëîïôœùûüÿ", "äöüßé", "áéíñóúüª", "áâãàçéêíóôõúü", "àèéìíîòóù", "æøåäöé", "ëïéèöü"),
    "cp1250": ("ąćęłńóśźż", "áčďéěíňóřšťúůýžäĺľôŕ", "áéíóöőúüű", "ăâîşţ", "čćđšž"),
    "cp1258": ("ăâđêôơưàáãèéìíòóõùúý\u0300\u0301\u0303\u0309\u0323",),
    "cp1254": ("çğıöşüâîİ",),
    "cp1257": ("āčēģīķļņšūž", "ąčęėįšųūž", "äõöüšž"),
    "cp1251": ("абвгдежзийклмнопрстуфхцчшщъыьэюяё", "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя"),
    "koi8-r": ("абвгдежзийклмнопрстуфхцчшщъыьэюяё",),
    "cp1253": ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋ",),
    "cp1255": ("אבגדהוזחטיךכלםמןנסעףפץצקרשת",),
    "cp1256": ("ابتثجحخدذرزسشصضطظعغفقكلمنهويءآأؤإئىة",),
}
_SIGNS: Final = frozenset("€£§°«»„“”‘’‚–—…·¿¡²³½¼×№\u00a0")
# Encodings of several bytes a character: valid bytes are not enough, the characters must be common ones.
_WIDE: Final = ("cp932", "euc_jp", "cp949", "gb18030", "big5")


@dataclass(frozen=True, slots=True)
class Text:
    """UTF-8 bytes without a byte order mark, and the encoding they were in."""

    utf8: bytes
    encoding: str


def detect_encoding(sample: bytes, *, is_whole: bool = True) -> str:
    r"""Find the encoding of a text's first bytes; "" where it is neither UTF-8 nor clearly another.

    >>> detect_encoding(b"Ren\xe9"), detect_encoding("Łódź, Gdańsk".encode("cp1250")), detect_encoding(b"plain")
    ('cp1252', 'cp1250', 'utf-8')
    """
    marked = next((name for bom, name in _BOMS if sample.startswith(bom)), "")
    if marked:
        return marked
    if wide := _without_mark(sample):
        return wide
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, is_whole)
    except UnicodeDecodeError:
        text = sample.decode("utf-8", "replace")
        n_wrong = text.count("\ufffd")
        is_broken_utf8 = sum(c > "\x7f" for c in text[:_SCORED]) >= 2 * n_wrong
        return "" if is_broken_utf8 else _legacy(sample)
    return "utf-8"


def decode(data: bytes, *, source: str, encoding: str = "") -> Text:
    """Return the text of `data` as UTF-8.

    Raises
    ------
    DataFormatError : the bytes are not in that encoding, or in none that is found; names the first wrong byte's offset and line.
    ParameterError : `encoding` is no encoding Python knows.
    """
    if encoding:
        return _decode_declared(data, encoding, source=source)
    found = detect_encoding(data)
    if found not in ("", "utf-8", "utf-8-sig"):
        return _decode_declared(data, found, source=source)
    body = data.removeprefix(codecs.BOM_UTF8)
    check_utf8(body, source=source, skipped=len(data) - len(body))
    return Text(utf8=body, encoding=found)


def check_encoding(name: str) -> str:
    """Return an encoding's usual name. Raises ParameterError if Python knows none of that name."""
    try:
        return codecs.lookup(name).name
    except LookupError as cause:
        raise ParameterError(f"no encoding is called {name!r}", hint="for instance utf-8, latin-1, cp1252, shift_jis") from cause


def check_utf8(body: bytes, *, source: str, skipped: int = 0, first_line: int = 1) -> None:
    """Refuse bytes that are not UTF-8, and zero bytes; names the first one's offset and line.

    `skipped` bytes and the lines before `first_line` come before `body` in the file.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    consumed = 0
    for at in range(0, len(body) or 1, _BLOCK):
        block = body[at : at + _BLOCK]
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(block, final=at + _BLOCK >= len(body))
        except UnicodeDecodeError as cause:
            raise _not_utf8(body, consumed - pending + cause.start, source=source, skipped=skipped, first_line=first_line) from cause
        consumed += len(block)
    zero = body.find(b"\0")
    if zero >= 0:
        line = body.count(b"\n", 0, zero) + first_line
        raise DataFormatError(
            f"byte {zero + skipped:,} (line {line}) of {source} is zero: this is not text",
            source=source,
            line=line,
            hint="is it UTF-16 (say --encoding utf-16) or a binary file?",
        )


def _decode_declared(data: bytes, encoding: str, *, source: str) -> Text:
    name = check_encoding(encoding)
    try:
        text = data.decode(name)
    except UnicodeDecodeError as cause:
        line = data.count(b"\n", 0, cause.start) + 1
        raise DataFormatError(
            f"byte {cause.start:,} (line {line}) of {source} is not {encoding}: 0x{data[cause.start]:02x}",
            source=source,
            line=line,
            hint="say another --encoding",
        ) from cause
    return Text(utf8=text.removeprefix("\ufeff").encode(), encoding=name)


def _not_utf8(body: bytes, offset: int, *, source: str, skipped: int, first_line: int) -> DataFormatError:
    line = body.count(b"\n", 0, offset) + first_line
    return DataFormatError(
        f"byte {offset + skipped:,} (line {line}) of {source} is not UTF-8: 0x{body[offset]:02x}",
        source=source,
        line=line,
        hint="say its encoding, for instance --encoding cp1252",
    )


def _without_mark(sample: bytes) -> str:
    """Recognize UTF-16 without a byte order mark: every other byte of Latin text is zero."""
    head = sample[: 1 << 12]
    half = len(head) // 2
    if half < 2:
        return ""
    even, odd = head[0 : 2 * half : 2].count(0), head[1 : 2 * half : 2].count(0)
    if odd > 0.7 * half and not even:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 * half and not odd else ""


def _legacy(sample: bytes) -> str:
    scores = {name: _score_wide(sample, name) for name in _WIDE}
    scores |= {name: _score_letters(sample, name) for name in _LETTERS}
    order = [*_LETTERS, *_WIDE]
    best = max(order, key=lambda name: (scores[name], -order.index(name)))
    return best if scores[best] >= _ENOUGH else ""


def _score_letters(sample: bytes, encoding: str) -> float:
    """Return the share of characters beyond ASCII that one language has; a capital inside a word counts against the encoding."""
    try:
        text = sample.decode(encoding)
    except UnicodeDecodeError:
        return 0.0
    foreign = [c for c in text if c > "\x7f"][:_SCORED]
    broken = sum(1 for a, b in pairwise(text) if b > "\x7f" and a.islower() and b.isupper())
    best = max(sum(c in letters or c in _SIGNS for c in foreign) for letters in map(_both_cases, _LETTERS[encoding]))
    return max(0, best - broken) / max(1, len(foreign))


def _both_cases(letters: str) -> frozenset[str]:
    return frozenset(letters + letters.upper())


def _score_wide(sample: bytes, encoding: str) -> float:
    """Return the share of common characters of the encoding's language among those beyond ASCII."""
    try:
        text = sample.decode(encoding, "strict")
    except UnicodeDecodeError as cause:
        if cause.start < len(sample) - 4:  # the sample may end inside a character
            return 0.0
        text = sample[: cause.start].decode(encoding)
    foreign = [c for c in text if c > "\x7f"][:_SCORED]
    if len(foreign) < 2:
        return 0.0
    if encoding in ("cp932", "euc_jp"):
        usual = sum("\u3000" <= c <= "\u30ff" or _is_first_level(c, "euc_jp", 0xB0, 0xCF) for c in foreign)
        # Lists of names have no kana: in Shift JIS they are known by other bytes than Chinese has, in EUC they are not.
        has_kana = sum("\u3040" <= c <= "\u30ff" for c in foreign) * 10 >= len(foreign)
        return usual / len(foreign) if has_kana or encoding == "cp932" else 0.0
    if encoding == "cp949":
        return sum(_is_usual_hangul(c) for c in foreign) / len(foreign)
    first, last = (0xB0, 0xD7) if encoding == "gb18030" else (0xA4, 0xC6)
    return sum("\u3000" <= c <= "\u303f" or "\uff00" <= c <= "\uffef" or _is_first_level(c, encoding, first, last) for c in foreign) / len(
        foreign
    )


def _is_usual_hangul(character: str) -> bool:
    """Say whether a character is one of the 2,350 syllables that Korean is written with; the encoding has 8,822 more."""
    return "\uac00" <= character <= "\ud7a3" and len(character.encode("euc_kr", "ignore")) == 2


def _is_first_level(character: str, encoding: str, first: int, last: int) -> bool:
    """Say whether an encoding lists a character among its frequent ones."""
    if not "\u4e00" <= character <= "\u9fff":
        return False
    data = character.encode(encoding, "ignore")
    return len(data) == 2 and first <= data[0] <= last
