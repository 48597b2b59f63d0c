"""What a text is like: its length, its language, and its fingerprint.

The language is told by its script, else by the short words that make up a good part of any text in it. Texts of fewer than ten words, and
those that no language fits, have none. The fingerprint is a SimHash of the text's words, three by three (M. Charikar 2002).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Any, Final

import numpy as np
import polars as pl

from sampan.stats.stable_hash import hash_texts

_WORD = re.compile(r"[^\W\d_]+")
_FEW_WORDS = 10
_MOST_CHARACTERS = 1_000_000  # that are looked at
_FITS = 0.12  # of the words must be short words of the language
_GRAM = 3
_BITS = np.arange(64, dtype=np.uint64)
_SCRIPTS: Final = (
    ("HIRAGANA", "ja"),
    ("KATAKANA", "ja"),
    ("HANGUL", "ko"),
    ("CJK", "zh"),
    ("THAI", "th"),
    ("ARABIC", "ar"),
    ("HEBREW", "he"),
    ("GREEK", "el"),
    ("DEVANAGARI", "hi"),
    ("CYRILLIC", "ru"),
    ("KHMER", "km"),
    ("LAO", "lo"),
)
_SHORT_WORDS: Final = {
    "en": "the of and to in a is that it for was on are as with his they at be this have from or by not but what all were we when can an",
    "vi": "của và các có được cho là trong không những một người với đã này khi đến từ năm về để như ra cũng ở tại theo sau còn trên vào",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie nach",
    "fr": "de la le et les des en un une du est pour que qui dans au par sur pas plus ne se ce il sont avec son aux mais ou elle été cette",
    "es": "de la que el en y a los del se las por un para con no una su al lo como más pero sus le ya o este sí porque esta entre cuando",
    "it": "di e il la che in un a per è una sono con non del si da le al dei come i lo della più ma anche nel gli alla se ha questo",
    "pt": "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua ou ser quando",
    "nl": "de van een en het in is dat op te voor met zijn die niet aan er om ook als maar dan bij nog uit door naar heeft wordt werd deze",
    "id": "yang dan di dengan untuk dari ini pada dalam tidak itu adalah akan ke oleh juga sebagai karena atau tersebut dapat bisa mereka",
    "sv": "och i att det som en på är av för med den till inte har de om ett han men var jag sig från så kan när hade än över",
    "pl": "i w nie na się z do to że jest jak o po co ale za od przez tak dla przy ich już tylko może był oraz tym które",
    "tr": "ve bir bu da de için ile çok olarak daha ama gibi kadar olan en sonra ne var o ancak her göre mi yok değil",
}
_WORDS_OF: Final = {language: frozenset(words.split()) for language, words in _SHORT_WORDS.items()}


def read_text(data: bytes) -> dict[str, Any]:
    """Return a text's facts; one that is no UTF-8 has a `problem`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        return {"problem": f"it is not UTF-8, from byte {cause.start:,} on"}
    words = _WORD.findall(text[:_MOST_CHARACTERS].casefold())
    return {
        "problem": "",
        "n_characters": len(text),
        "n_words": len(words) if len(text) <= _MOST_CHARACTERS else len(_WORD.findall(text)),
        "language": language_of(text) or None,
        "fingerprint": _fingerprint(words),
    }


def language_of(text: str) -> str:
    """Return a text's language as its two-letter code, "" where it cannot be told.

    >>> language_of("The ship is in the harbor, and we are on it with all that we have.")
    'en'
    >>> language_of("Con tàu đang ở trong cảng và chúng tôi đã có mặt trên đó với tất cả những gì có được.")
    'vi'
    """
    some = text[:20_000]
    if script := _by_script(some):
        return script
    words = _WORD.findall(some.casefold())
    if len(words) < _FEW_WORDS:
        return ""
    counts = Counter(words)
    fits = {language: sum(counts[word] for word in known) / len(words) for language, known in _WORDS_OF.items()}
    best = max(fits, key=lambda language: fits[language])
    return best if fits[best] >= _FITS else ""


def _by_script(text: str) -> str:
    letters = [ch for ch in text if ord(ch) > 0x2FF and ch.isalpha()][:500]
    n_latin = sum(ch.isalpha() and ord(ch) <= 0x2FF for ch in text[:2_000])
    names = Counter(unicodedata.name(ch, "").partition(" ")[0].partition("-")[0] for ch in letters)
    for script, language in _SCRIPTS:
        # A text in kana holds more characters of Chinese than of kana.
        enough = 0.05 if language == "ja" else 0.4
        if names[script] > enough * max(len(letters), 1) and len(letters) > 0.2 * (n_latin + 1):
            return language
    return ""


def _fingerprint(words: list[str]) -> int | None:
    if len(words) < _GRAM:
        return None
    grams = list({" ".join(words[i : i + _GRAM]) for i in range(len(words) - _GRAM + 1)})
    hashes = hash_texts(pl.Series(grams, dtype=pl.String))
    votes = ((hashes[:, None] >> _BITS[None, :]) & np.uint64(1)).sum(axis=0)
    return int((np.uint64(1) << _BITS[2 * votes > len(hashes)]).sum(dtype=np.uint64))
