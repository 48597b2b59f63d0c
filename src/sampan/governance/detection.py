"""Find personal data in a text, and take it out."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from typing import Final

from sampan.governance.found import Found
from sampan.governance.patterns import find_shapes
from sampan.governance.person_names import find_names
from sampan.governance.street_addresses import find_addresses

# Where two finds overlap, the surer class wins, then the longer piece.
_ORDER: Final = ("email", "bank-account", "card", "ip", "national-id", "tax-id", "passport", "phone", "plate", "address", "name")
_RANK: Final = {pii: rank for rank, pii in enumerate(_ORDER)}


def find(text: str, *, classes: Iterable[str] = ()) -> list[Found]:
    """Find personal data in a text: pieces that do not overlap, in order.

    Positions are those of the text in Unicode's composed form (NFC), which `unicodedata.normalize` gives.

    Parameters
    ----------
    classes : look for these only

    >>> [(f.pii, f.of("Gọi Nguyễn Văn An, 0912 345 678")) for f in find("Gọi Nguyễn Văn An, 0912 345 678")]
    [('name', 'Nguyễn Văn An'), ('phone', '0912 345 678')]
    """
    composed = unicodedata.normalize("NFC", text)
    found = [*find_shapes(composed), *find_addresses(composed), *find_names(composed)]
    wanted = set(classes)
    found = [each for each in found if not wanted or each.pii in wanted]
    found.sort(key=lambda each: (_RANK[each.pii], each.start - each.end))
    kept: list[Found] = []
    for each in found:
        if all(each.end <= other.start or each.start >= other.end for other in kept):
            kept.append(each)
    return sorted(kept, key=lambda each: each.start)


def redact(text: str, *, classes: Iterable[str] = (), put: Callable[[Found, str], str] | None = None) -> str:
    """Return the text with every find replaced by its class in brackets, or by what `put` gives for it.

    >>> redact("Mail ana@example.com or call +84 912 345 678.")
    'Mail [email] or call [phone].'
    """
    composed = unicodedata.normalize("NFC", text)
    parts, at = [], 0
    for each in find(composed, classes=classes):
        parts += [composed[at : each.start], put(each, each.of(composed)) if put else f"[{each.pii}]"]
        at = each.end
    return "".join([*parts, composed[at:]])
