"""How far a dataset can be trusted: points out of 100, each with its reason and what would raise it.

The score is a sum, so that a reader can check it: a contract kept (30), a source that can be traced (15), cells that look right (15),
values that are there (10), versions that came when they were due (10), somebody who answers for it (10), nothing left lying in quarantine
(5), and a label that no column gives away (5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

import msgspec

_CONTRACT = {
    "passed": (1.0, "it keeps its contract"),
    "warned": (0.75, "it keeps its contract, with warnings"),
    "blocked": (0.0, "it breaks its contract"),
}
_DAY_MS = 86_400_000
_MANY_WRONG = 0.02  # share of wrong cells at which nothing is left of the points


class Reason(msgspec.Struct, frozen=True):
    """Why a dataset has some of its points."""

    about: str
    points: float
    of: int
    why: str
    raise_by: str = ""  # the command that would


class Trust(msgspec.Struct, frozen=True):
    """A dataset's points, and the reasons in the order of their weight."""

    score: int
    reasons: tuple[Reason, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a dataset version."""

    name: str
    ref: str
    said: Mapping[str, Any]  # of the asset: owner, description, key, label
    facts: Mapping[str, Any]  # of the version: source, digest of the source
    verdict: str = ""  # of the newest check
    has_contract: bool = False
    n_findings: int = 0
    share_wrong: float | None = None  # of the cells; None = nobody looked
    share_missing: float = 0.0
    age_ms: int = 0
    every_ms: int | None = None  # between versions; None = there is one
    n_held: int = 0  # rows in quarantine
    n_leaks: int | None = None  # None = nobody looked


def judge_trust(evidence: Evidence) -> Trust:
    """Give a dataset its points."""
    reasons = tuple(_reasons(evidence))
    return Trust(round(sum(reason.points for reason in reasons)), reasons)


def _reasons(e: Evidence) -> Iterator[Reason]:
    yield _contract(e)
    yield _origin(e)
    yield _cells(e)
    yield Reason("complete", round(10 * (1 - e.share_missing), 1), 10, f"{1 - e.share_missing:.1%} of its cells have a value")
    yield _fresh(e)
    yield _owned(e)
    if e.n_held:
        yield Reason("quarantine", 0, 5, f"{e.n_held:,} rows wait in quarantine", f"sampan data quarantine {quote(e.name)}")
    else:
        yield Reason("quarantine", 5, 5, "no row waits in quarantine")
    yield _label(e)


def _contract(e: Evidence) -> Reason:
    if e.verdict:
        share, why = _CONTRACT[e.verdict]
        raise_by = f"sampan data check {quote(e.name)}" if e.n_findings else ""
        return Reason("contract", round(30 * share, 1), 30, why + (f" ({e.n_findings} findings)" if e.n_findings else ""), raise_by)
    if e.has_contract:
        return Reason("contract", 5, 30, "it has a contract that was never checked", f"sampan data check {quote(e.name)}")
    return Reason("contract", 0, 30, "it has no contract", f"sampan data infer {quote(e.name)}")


def _origin(e: Evidence) -> Reason:
    source, digest = str(e.facts.get("source", "")), e.facts.get("source_digest")
    if source and source != "memory" and digest:
        return Reason("origin", 15, 15, f"it came from {source}, whose bytes are known by their digest")
    if e.facts.get("derived"):
        return Reason("origin", 12, 15, "it was made from another version here")
    if source and source != "memory":
        return Reason("origin", 8, 15, f"it came from {source}")
    return Reason("origin", 3, 15, "it came from memory: nobody can look it up again")


def _cells(e: Evidence) -> Reason:
    if e.share_wrong is None:
        return Reason("cells", 5, 15, "nobody looked for wrong cells", f"sampan data errors {quote(e.ref)}")
    points = round(15 * max(0.0, 1 - e.share_wrong / _MANY_WRONG), 1)
    raise_by = f"sampan data repair {quote(e.ref)}" if e.share_wrong else ""
    return Reason("cells", points, 15, f"{e.share_wrong:.2%} of its cells look wrong", raise_by)


def _fresh(e: Evidence) -> Reason:
    age = _days(e.age_ms)
    if e.every_ms is None:
        return Reason("fresh", 5, 10, f"its only version is {age} old")
    usual = _days(e.every_ms)
    due = e.age_ms / max(e.every_ms, 1)
    points = 10.0 if due <= 2 else max(0.0, 10 - 2 * (due - 2))
    return Reason("fresh", round(points, 1), 10, f"versions come {usual} apart; the newest is {age} old")


def _owned(e: Evidence) -> Reason:
    points = 5 * bool(e.said.get("owner")) + 3 * bool(e.said.get("description")) + 2 * bool(e.said.get("key"))
    missing = [word for word in ("owner", "description", "key") if not e.said.get(word)]
    why = f"{e.said['owner']} answers for it" if e.said.get("owner") else "nobody answers for it"
    if missing:
        why += f"; not said: {', '.join(missing)}"
    options = [f"--{word} {word.upper()}" for word in ("owner", "description") if word in missing]
    return Reason("owner", points, 10, why, f"sampan data describe {quote(e.name)} {' '.join(options)}" if options else "")


def _label(e: Evidence) -> Reason:
    if not e.said.get("label"):
        return Reason("label", 5, 5, "it has no label that a column could give away")
    if e.n_leaks is None:
        return Reason("label", 0, 5, "nobody looked whether a column gives its label away", f"sampan data leaks {quote(e.ref)}")
    return Reason(
        "label", 5, 5, f"{e.n_leaks} columns give its label away and are known" if e.n_leaks else "no column gives its label away"
    )


def _days(ms: int) -> str:
    if ms < _DAY_MS:
        return "less than a day" if ms > _DAY_MS // 24 else "less than an hour"
    days = ms // _DAY_MS
    return "1 day" if days == 1 else f"{days:,} days"
