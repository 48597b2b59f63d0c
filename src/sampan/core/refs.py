"""References: how people and programs name a thing in the graph.

flights                 the newest version of the asset called flights
flights@v12             version 12
flights@champion        whatever the alias champion points to now
flights@2026-11-01      the version that was the newest then: at the end of that day (UTC), or at 2026-11-01T12:30:00Z
dataset:flights@v12     the same with its kind, needed only where two kinds share a name
b3:1f00ab…              a node by (the beginning of) its content digest
8f3c…                   a node by (the beginning of) its id, at least 4 hex digits; a name comes first
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from sampan.core.times import Millis, iso, to_millis
from sampan.errors import UsageError

_KIND = re.compile(r"[a-z][a-z_]*\Z")
_VERSION = re.compile(r"v([1-9][0-9]*)\Z")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]*\Z")
_DIGEST = re.compile(r"b3:[0-9a-f]{4,64}\Z")
_NODE_ID = re.compile(r"[0-9a-f]{8,32}\Z")
_NAME_BAD = re.compile(r"[\x00-\x1f@/\\]|\A[\s.-]|\s\Z")
MAX_NAME_LENGTH = 200


class Ref(msgspec.Struct, frozen=True):
    """A parsed reference. Exactly one of `name`, `digest`, `node_id` is set; `version`, `alias` and `at` exclude each other."""

    name: str = ""
    kind: str = ""
    version: int | None = None
    alias: str = ""
    at: Millis | None = None  # the newest version that was there at this moment
    digest: str = ""
    node_id: str = ""

    def __str__(self) -> str:
        if self.digest or self.node_id:
            return self.digest or self.node_id
        head = f"{self.kind}:{self.name}" if self.kind else self.name
        if self.version is not None:
            return f"{head}@v{self.version}"
        if self.at is not None:
            return f"{head}@{iso(self.at)}"
        return f"{head}@{self.alias}" if self.alias else head


def parse_ref(text: str) -> Ref:
    """Parse a reference.

    Raises
    ------
    UsageError : `text` is no reference; the hint shows the forms.
    """
    text = text.strip()
    if _DIGEST.match(text):
        return Ref(digest=text)
    head, at, selector = text.rpartition("@")
    if not at:
        head, selector = selector, ""
    kind, colon, name = head.partition(":")
    if not colon or not _KIND.match(kind):
        kind, name = "", head
    if not at and not kind and _NODE_ID.match(text) and not text.isalpha():
        return Ref(node_id=text)
    check_name(name)
    if not selector:
        if at:
            raise UsageError(f"reference {text!r} ends with '@'", hint=_FORMS)
        return Ref(name=name, kind=kind)
    if found := _VERSION.match(selector):
        return Ref(name=name, kind=kind, version=int(found[1]))
    if _MOMENT.match(selector):
        return Ref(name=name, kind=kind, at=_moment(selector, text))
    if not _ALIAS.match(selector):
        raise UsageError(f"{selector!r} in reference {text!r} is neither a version like v12, nor an alias, nor a day", hint=_FORMS)
    return Ref(name=name, kind=kind, alias=selector)


def _moment(selector: str, text: str) -> Millis:
    """Read a day, which means its end, or a moment; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(selector)
    except ValueError as cause:
        raise UsageError(f"{selector!r} in reference {text!r} is no day or moment: {cause}", hint=_FORMS) from cause
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if len(selector) == len("2026-11-01"):
        moment += timedelta(days=1, milliseconds=-1)
    return to_millis(moment)


def check_name(name: str) -> str:
    """Return `name` if an asset may be called so; raise UsageError otherwise."""
    if not name or len(name) > MAX_NAME_LENGTH or _NAME_BAD.search(name):
        raise UsageError(
            f"{name!r} cannot be a name",
            hint=f"1 to {MAX_NAME_LENGTH} characters; no '@', '/', '\\' or control characters; not starting with space, '.' or '-'",
        )
    return name


def nearest(word: str, known: Iterable[str], *, n: int = 3) -> tuple[str, ...]:
    """Return the up to `n` known words a person may have meant, best first."""
    import difflib  # only a mistake needs it

    return tuple(difflib.get_close_matches(word, list(known), n=n, cutoff=0.6))


_FORMS = "write name, name@v3, name@alias, name@2026-11-01, kind:name@v3 or b3:digest"
