"""Apply declared actions to a table's personal columns: drop, mask, pseudonym, generalize, encrypt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import polars as pl

from sampan.governance.anonymity import generalize
from sampan.governance.detection import redact
from sampan.governance.masks import mask
from sampan.governance.pseudonyms import CIPHER, PSEUDONYM, cipher_of, pseudonyms_of
from sampan.governance.terms import DEFAULT_K


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """What to do to which column."""

    actions: dict[str, str]  # column -> one of terms.ACTIONS
    classes: dict[str, str] = {}  # column -> class of personal data
    k: int = 0  # of the k-anonymity of the generalized columns; 0 = DEFAULT_K


def apply(frame: pl.DataFrame, protection: Protection, *, key: bytes = b"") -> pl.DataFrame:
    """Return the frame with every action applied; missing values stay missing.

    A column that is a pseudonym or a cipher already is left as it is, so that protecting twice changes nothing.

    Parameters
    ----------
    key : 32 bytes, where a column is replaced by pseudonyms or encrypted
    """
    of_action: dict[str, list[str]] = {}
    for name, action in protection.actions.items():
        if name in frame.columns:
            of_action.setdefault(action, []).append(name)
    frame = frame.drop(of_action.get("drop", []))
    changed = [
        _map_values(frame[name], change_of(action, name, protection.classes.get(name, ""), key))
        for action in ("mask", "pseudonym", "encrypt")
        for name in of_action.get(action, [])
    ]
    frame = frame.with_columns(changed)
    coarse = of_action.get("generalize", [])
    return generalize(frame, coarse, k=protection.k or DEFAULT_K) if coarse else frame


def change_of(action: str, column: str, pii: str, key: bytes) -> Callable[[Any], str]:
    """Return what an action (mask, pseudonym or encrypt) makes of one value of a column; a value that it made already stays."""
    if action == "pseudonym":
        return _unless_begun(PSEUDONYM, pseudonyms_of(key, pii))
    if action == "encrypt":
        return _unless_begun(CIPHER, cipher_of(key, column))
    if pii == "free-text":
        return lambda value: redact(str(value))
    return lambda value: mask(str(value), pii)


def _unless_begun(prefix: str, change: Callable[[Any], str]) -> Callable[[Any], str]:
    length = {PSEUDONYM: 28}.get(prefix, 0)

    def once(value: Any) -> str:
        done = isinstance(value, str) and value.startswith(prefix) and (not length or len(value) == length)
        return value if done else change(value)

    return once


def _map_values(column: pl.Series, change: Callable[[Any], str]) -> pl.Series:
    """Change each different value once."""
    values = column.drop_nulls().unique()
    known: Mapping[Any, str] = {value: change(value) for value in values}
    if not known:
        return column.cast(pl.String)
    return column.replace_strict(list(known), list(known.values()), default=None, return_dtype=pl.String).alias(column.name)
