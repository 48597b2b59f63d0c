"""MLflow's names are free text; an asset's name in our graph is not. What a client calls a thing is kept beside it."""

from __future__ import annotations

import re

_UNSAFE = re.compile(r"[\x00-\x1f@/\\]")


def asset_name(text: str, *, otherwise: str) -> str:
    """Return the asset's name for what a client calls a thing; `otherwise` where nothing of it is left."""
    return _UNSAFE.sub("·", text).strip(" .-") or otherwise
