"""Whether a use is allowed: a declared purpose, region, day and columns held against the terms of one dataset, rule by rule.

Nothing is guessed. A dataset whose owner named purposes may not be used by a run that names none; one of which nothing is said may be used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

import msgspec

from sampan.core.times import Millis
from sampan.governance.terms import EVERY, Terms, covers

Act = Literal["read", "train", "evaluate", "package", "serve", "export"]
Rule = Literal["purpose", "not-for", "lawful-basis", "region", "expiry", "retention", "license", "column", "protected"]
_NON_COMMERCIAL: Final = re.compile(r"(?:^|[-_ ])NC(?:$|[-_ .])|non-?commercial", re.IGNORECASE)
_DAY_MS: Final = 86_400_000


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What someone is about to do."""

    act: Act = "read"
    purpose: str = ""
    commercial: bool = False  # whether the purpose earns money
    region: str = ""
    columns: tuple[str, ...] = ()  # that are read
    learned: tuple[str, ...] = ()  # of those, what the learner is shown; evaluation may see more
    actor: str = ""
    now: Millis = 0


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that forbids a use."""

    rule: Rule
    what: str
    dataset: str
    owner: str = ""
    ask: str = ""
    said_by: str = ""
    column: str = ""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """An owner's leave: who may do what the terms forbid, why, and until when."""

    dataset: str
    to: str = EVERY  # an actor
    purpose: str = ""  # "" = any
    region: str = ""
    columns: tuple[str, ...] = ()  # the protected or restricted columns it frees
    reason: str = ""
    until: Millis = 0

    def covers(self, refusal: Refusal, use: Use) -> bool:
        """Say whether this leave lifts a refusal of that use.

        Time is never lifted: what has expired needs new terms. A column is freed only if the leave names it.
        """
        if refusal.rule in ("expiry", "retention") or refusal.dataset != self.dataset or use.now >= self.until:
            return False
        if self.to not in (EVERY, use.actor) or (self.purpose and not covers(self.purpose, use.purpose)):
            return False
        if self.region and self.region != use.region:
            return False
        if refusal.rule == "region":
            return self.region == use.region
        return refusal.column in self.columns if refusal.column else not self.columns or refusal.rule != "protected"


def judge(terms: Terms, use: Use, *, dataset: str, made: Millis, said_by: str = "") -> list[Refusal]:
    """Return every rule of these terms that forbids the use, in the order in which a person would want to hear of them.

    Parameters
    ----------
    made : when the version was admitted, from which `keep_days` counts
    said_by : who or what said the terms, for the message
    """
    found = [*_purpose(terms, use), *_basis(terms, use), *_place(terms, use), *_time(terms, use, made), *_columns(terms, use)]
    return [
        Refusal(rule=rule, what=f"{dataset} {what}", dataset=dataset, owner=terms.owner, ask=terms.ask, said_by=said_by, column=column)
        for rule, what, column in found
    ]


def lift(refusals: Iterable[Refusal], grants: Iterable[Grant], use: Use) -> list[Refusal]:
    """Return the refusals that no leave lifts."""
    leaves = list(grants)
    return [refusal for refusal in refusals if not any(grant.covers(refusal, use) for grant in leaves)]


Found = Iterator[tuple[Rule, str, str]]


def _purpose(terms: Terms, use: Use) -> Found:
    if terms.purposes and not use.purpose:
        yield "purpose", f"may be used for {_listed(terms.purposes)} only, and this use declares no purpose", ""
    elif terms.purposes and not any(covers(allowed, use.purpose) for allowed in terms.purposes):
        yield "purpose", f"may be used for {_listed(terms.purposes)} only, not for {use.purpose}", ""
    for forbidden in terms.not_for:
        if use.purpose and covers(forbidden, use.purpose):
            yield "not-for", f"may not be used for {forbidden}", ""
    if use.commercial and _NON_COMMERCIAL.search(terms.license):
        yield "license", f"is under {terms.license}, and {use.purpose} is commercial", ""


def _basis(terms: Terms, use: Use) -> Found:
    if not terms.bases or EVERY in terms.bases:
        return
    if not any(covers(purpose, use.purpose) for purpose in terms.bases):
        named = f"for {use.purpose}" if use.purpose else "without a purpose"
        yield "lawful-basis", f"has no lawful basis {named}; there is one for {_listed(terms.bases)}", ""


def _place(terms: Terms, use: Use) -> Found:
    if terms.regions and not use.region:
        yield "region", f"may be processed in {_listed(terms.regions)} only, and this use declares no region", ""
    elif terms.regions and not any(covers(allowed, use.region) for allowed in terms.regions):
        yield "region", f"may be processed in {_listed(terms.regions)} only, not in {use.region}", ""


def _time(terms: Terms, use: Use, made: Millis) -> Found:
    today = datetime.fromtimestamp(use.now / 1000, UTC).date()
    if terms.expires and today >= date.fromisoformat(terms.expires):
        yield "expiry", f"may not be used since {terms.expires}", ""
    if terms.keep_days is not None and use.now >= made + terms.keep_days * _DAY_MS:
        ended = (datetime.fromtimestamp(made / 1000, UTC) + timedelta(days=terms.keep_days)).date().isoformat()
        yield "retention", f"was to be kept {terms.keep_days} days, until {ended}", ""


def _columns(terms: Terms, use: Use) -> Found:
    for name in use.columns:
        allowed = terms.column(name).purposes
        if allowed and not any(covers(each, use.purpose) for each in allowed):
            named = f"not for {use.purpose}" if use.purpose else "and this use declares no purpose"
            yield "column", f"lets its column {name} be used for {_listed(allowed)} only, {named}", name
    for name in use.learned:
        if terms.column(name).protected:
            yield "protected", f"protects its column {name}: it may tell groups apart in evaluation, and not be learned from", name


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
