"""The log: what happened, filtered by the query string, and whether the ledger behind it is whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from sampan.errors import ParameterError
from sampan.web.page import Page

if TYPE_CHECKING:
    from sampan.workspace.overview import Happened
    from sampan.workspace.workspace import Workspace

SHOWN, MOST = 50, 1000


def load_log(workspace: Workspace, given: Mapping[str, str]) -> Mapping[str, Any]:
    """Load the newest events, about one thing by `ref` or of one `type`; with `verify` also check the chain."""
    asked = {name: given[name] for name in ("ref", "type", "limit") if given.get(name)}
    text = asked.get("limit", str(SHOWN))
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise ParameterError(f"limit is {text!r}", hint=f"a number from 1 to {MOST:,}")
    limit = int(text)
    events = workspace.home.log(asked.get("ref", ""), type=asked.get("type", ""), limit=limit).events
    newest = workspace.home.log(limit=MOST).events
    more = "/log?" + urlencode({**asked, "limit": min(2 * limit, MOST)}) if len(events) == limit < MOST else ""
    return {
        "events": events,
        "details": details,
        "asked": asked,
        "types": sorted({one.type for one in newest} | {asked.get("type", "")} - {""}),
        "more": more,
        "verified": workspace.audit.verify() if given.get("verify") else None,
    }


def details(event: Happened) -> str:
    """Return what tells an event from others of its type, without the moments that its own time tells already."""
    rest = event.what.removeprefix(event.type.replace("_", " ")).strip().removeprefix(event.subject)
    return _MOMENT.sub("", rest).strip()


_MOMENT = re.compile(r"\s?\w+=1\d{12}\b")

PAGES = (Page("/log", "Log", "log.html", load_log, in_navigation=True, order=60),)
