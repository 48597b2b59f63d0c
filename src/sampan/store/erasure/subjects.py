"""Who is to be erased: the values that name a person, and what a text, a JSON value or a row becomes without them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

ERASED = "[erased]"
MIN_TEXT = 5  # characters; a shorter text says too little to be looked for wherever it may stand
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
    def pattern(self) -> re.Pattern[str] | None:
        """What finds the subject's texts, as words of their own."""
        if not self.texts:
            return None
        return re.compile("(?<!\\w)(?:" + "|".join(re.escape(text) for text in self.texts) + ")(?!\\w)")

    @cached_property
    def bytes_pattern(self) -> re.Pattern[bytes] | None:
        """What finds the subject's texts in bytes, in any of the ways in which files write text."""
        found: dict[bytes, None] = {}
        for text in self.texts:
            plain = text.encode()
            escaped = json.dumps(text)[1:-1].encode()
            found.update(dict.fromkeys((plain, escaped)))
        wide = [text.encode(code) for text in self.texts for code in ("utf-32-le", "utf-16-le")]
        words = b"|".join(rb"(?<![0-9A-Za-z_])" + re.escape(one) + rb"(?![0-9A-Za-z_])" for one in found)
        return re.compile(b"|".join([words, *map(re.escape, wide)])) if found else None

    def redact_text(self, text: str) -> str:
        """Replace every mention of the subject."""
        return self.pattern.sub(ERASED, text) if self.pattern else text

    def is_in(self, data: bytes) -> bool:
        """Say whether bytes mention the subject."""
        return bool(self.bytes_pattern and self.bytes_pattern.search(data))

    def mentions(self, text: str) -> bool:
        """Say whether a JSON text may be about the subject: quickly, and with false alarms."""
        return any(one in text for one in self.texts) or any(name in text and value in text for name, value in self.keys.items())

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
