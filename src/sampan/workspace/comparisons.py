"""How values compare in conditions that people write: `auc > 0.8`, `name LIKE 'tree%'`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

ORDERINGS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@cache
def like(pattern: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    """Return what SQL's LIKE means by a pattern: % is any text, _ any character."""
    body = "".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern)
    return re.compile(body, re.DOTALL | (re.IGNORECASE if ignore_case else 0))
