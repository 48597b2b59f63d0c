"""Who is to be erased: the values that name a person, and what a text, a JSON value or a row becomes without them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any
from unicodedata import normalize

import msgspec

ERASED = "[erased]"
MIN_TEXT = 5  # characters; a shorter text says too little to be looked for wherever it may stand
_CODE = re.compile(r"(?=.*\d)[\w-]+")
_ROW_FREE = ("do",)  # a dict with such an entry is a change of the ledger's, never an example row


class Subject(msgspec.Struct, frozen=True, dict=True):
    """One person (or device, or account), in the words of the data.

    `keys` are columns with the value that names the subject there. `texts` are what names it anywhere: key values long enough to mean
    nobody else, and values that only the subject's own rows have, such as an e-mail address.
    """

    keys: dict[str, str]
    texts: tuple[str, ...] = ()

    @classmethod
    def named(cls, keys: Mapping[str, str], others: tuple[str, ...] = ()) -> Subject:
        """Make a subject of its keys, and of other texts that only it has."""
        texts = dict.fromkeys(text for text in (*keys.values(), *others) if len(text) >= MIN_TEXT)
        return cls(dict(keys), tuple(sorted(texts, key=lambda text: (-len(text), text))))

    @property
    def columns(self) -> dict[str, list[str]]:
        """The keys as tables take them."""
        return {name: [value] for name, value in self.keys.items()}

    # -- texts

    @cached_property
    def written(self) -> tuple[str, ...]:
        """The texts with their letters as one character each, and as letter and accents: programs write either."""
        return tuple(dict.fromkeys(normalize(form, text) for text in self.texts for form in ("NFC", "NFD")) | dict.fromkeys(self.texts))

    @property
    def words(self) -> str:
        """The texts as alternatives of a pattern, for Python as for the table engine; codes as they are, all else in any case."""
        return "|".join(re.escape(text) if _is_code(text) else f"(?i:{re.escape(text)})" for text in self.written)

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        """What finds the subject's texts, as words of their own."""
        return re.compile(rf"(?<!\w)(?:{self.words})(?!\w)") if self.texts else None

    @cached_property
    def bytes_pattern(self) -> re.Pattern[bytes] | None:
        """What finds the subject's texts in bytes, in any of the ways in which files write text."""
        return self._in_bytes(rb"[0-9A-Za-z_]")

    @cached_property
    def _table_pattern(self) -> re.Pattern[bytes] | None:
        """What finds them in a table's bytes, where codes of others that only begin like the subject's stay."""
        return self._in_bytes(rb"[0-9A-Za-z_-]")

    def _in_bytes(self, goes_on: bytes) -> re.Pattern[bytes] | None:
        words = [b"(?<!%b)%b(?!%b)" % (goes_on, _any_case(one, code), goes_on) for one, code in self._spelled(("utf-8", "json"))]
        wide = [_any_case(one, code) for one, code in self._spelled(("utf-32-le", "utf-16-le"))]
        return re.compile(b"|".join(words + wide)) if words else None

    def _spelled(self, codes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Iterate over the texts with each encoding; in bytes only ASCII letters are known to be small or capital."""
        for text in self.written:
            for one in (text,) if _is_code(text) else dict.fromkeys((text, text.lower(), text.upper())):
                yield from ((one, code) for code in codes)

    @cached_property
    def _marks(self) -> tuple[bytes, ...]:
        """What bytes that mention the subject have, in small letters: looking for these is fifty times as fast as a pattern."""
        found = self._spelled(("utf-8", "json", "utf-32-le", "utf-16-le"))
        return tuple(dict.fromkeys(_encoded(text, code).lower() for text, code in found))

    def redact_text(self, text: str) -> str:
        """Replace every mention of the subject."""
        return self.pattern.sub(ERASED, text) if self.pattern else text

    def is_in(self, data: bytes) -> bool:
        """Say whether bytes mention the subject."""
        return self._may_be_in(data) and bool(self.bytes_pattern and self.bytes_pattern.search(data))

    def is_in_table(self, data: bytes) -> bool:
        """Say whether the bytes of a table's file mention the subject; its cells may be compressed, and are looked at one by one."""
        return self._may_be_in(data) and bool(self._table_pattern and self._table_pattern.search(data))

    def _may_be_in(self, data: bytes) -> bool:
        small = data.lower()
        return any(mark in small for mark in self._marks)

    def mentions(self, text: str) -> bool:
        """Say whether a JSON text may be about the subject: quickly, and with false alarms."""
        small = text.lower()
        return any(one.lower() in small for one in self.written) or any(name in text and value in text for name, value in self.keys.items())

    # -- JSON

    def redact(self, value: Any, *, in_list: bool = False) -> Any:
        """Return a JSON value without the subject: texts replaced, and of example rows that are the subject's nothing but the fact."""
        if isinstance(value, str):
            return self.redact_text(value)
        if isinstance(value, dict):
            if in_list and self.is_row(value):
                return {name: ERASED for name in self.keys if name in value}
            # The key's own value goes, however short it is.
            return {self.redact_text(name): ERASED if self._is_key(name, entry) else self.redact(entry) for name, entry in value.items()}
        return [self.redact(entry, in_list=True) for entry in value] if isinstance(value, list | tuple) else value

    def is_row(self, value: Mapping[str, Any]) -> bool:
        """Say whether a dict is a row of the subject."""
        return not any(name in value for name in _ROW_FREE) and any(self._is_key(name, entry) for name, entry in value.items())

    def _is_key(self, name: str, value: Any) -> bool:
        return name in self.keys and isinstance(value, str | int | float) and _plain(value) == self.keys[name]


def _plain(value: str | float) -> str:
    """Write a value as a person types it: 5.0 is 5."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_code(text: str) -> bool:
    """Say whether a text is a code: one word with a digit. Its small and capital letters may tell two of them apart."""
    return _CODE.fullmatch(text) is not None


def _encoded(text: str, code: str) -> bytes:
    return json.dumps(text)[1:-1].encode() if code == "json" else text.encode(code)


def _any_case(text: str, code: str) -> bytes:
    found = re.escape(_encoded(text, code))
    return found if _is_code(text) else b"(?i:%b)" % found
