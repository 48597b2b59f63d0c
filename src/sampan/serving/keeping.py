"""What the prediction log keeps of a row: a share of the keys, fields as they are, changed or left out, and the features that may stay.

Pure: who decides it (sampan.toml and the terms of the data) is `sampan.workspace.services.log_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.serving.routing import position

Change = Callable[[Any], str]

_REMEMBERED = 4096  # changed values of one field: hashing a value again costs more than looking it up
_SALT = "prediction log"


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept of each row. The default keeps everything."""

    share: float = 1.0  # of the keys, 0–1; a key is kept always or never, in every role
    left_out: frozenset[str] = frozenset()  # request fields
    changes: Mapping[str, Change] = field(default_factory=dict)  # request field -> what is written in its place
    features_left_out: frozenset[str] = frozenset()
    name_key: Change | None = None  # what is written for a key of which a field is left out or changed

    def fields(self, known: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """Return the fields that are kept with the types they have in the log: what is changed is text."""
        return tuple((name, "text" if name in self.changes else kind) for name, kind in known if name not in self.left_out)

    def features(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the features that are kept, in their order."""
        return tuple(name for name in names if name not in self.features_left_out)

    def keeps(self, name: str) -> bool:
        """Say whether the row of that key (or id, where it has no key) is kept: the same answer each time, also after a restart."""
        return self.share >= 1 or position(name, salt=_SALT) < self.share


class Remembered:
    """A change that is computed once for each of the newest values."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self._known: dict[Any, str] = {}

    def __call__(self, value: Any) -> str:
        """Return what is written for a value."""
        known = self._known.get(value)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[value] = self._change(value)
        return known


EVERYTHING = Keeping()
