"""What the data would now say of a contract that is there: rules to add, to drop, to change. What a person wrote is never touched.

A rule with evidence was inferred; one without was written by hand and stays as it is, as do levels that a person changed and all that is
said of columns and of the contract as a whole. The file keeps fingerprints of the rules as they were drafted, so an inferred rule that a
person changed since stays, too, and one that a person took out does not come back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from sampan.core.digests import digest_value
from sampan.data.contract import AnyRule, Column, Condition, Contract, Custom, Query, Range, RowCount, Statistic, columns_of
from sampan.data.rule_words import describe

_DIGITS = 6


class Change(msgspec.Struct, frozen=True):
    """A rule as it is and as it would be."""

    before: str
    after: str
    evidence: str = ""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A contract as it would be, and what that changes."""

    contract: Contract
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()
    declined: tuple[str, ...] = ()  # what the data says, and a person took out or changed

    @property
    def is_empty(self) -> bool:
        """Say whether the contract already says what the data does; fresher evidence alone is no change."""
        return not (self.added or self.removed or self.changed)


def propose(existing: Contract, drafted: Contract) -> Proposal:
    """Bring a contract up to what was drafted from newer data."""
    by_hand = {_identity(rule)[:3] for rule in existing.rules if _is_by_hand(rule, existing)}
    taken_out = _taken_out(existing)
    declined = [rule for rule in drafted.rules if _of_identity(rule) in taken_out]
    fresh = {_identity(rule): rule for rule in drafted.rules if _identity(rule)[:3] not in by_hand and rule not in declined}
    kept: list[AnyRule] = []
    inferred: list[AnyRule] = []
    removed, changed = [], []
    for rule in existing.rules:
        newer = fresh.pop(_identity(rule), None)
        if _is_by_hand(rule, existing):
            kept.append(rule)
        elif newer is None:
            removed.append(f"{rule.level}: {describe(rule)} ({rule.evidence})")
        else:
            newer = msgspec.structs.replace(newer, level=rule.level)
            kept.append(newer)
            inferred.append(newer)
            if describe(newer) != describe(rule):
                changed.append(Change(describe(rule), describe(newer), newer.evidence))
    columns, told = _columns(existing, drafted)
    changed.extend(told)
    removed.extend(f"column {column.name}" for column in existing.columns if drafted.column(column.name) is None)
    added = [f"column {column.name} ({column.type})" for column in drafted.columns if existing.column(column.name) is None]
    added += [f"{rule.level}: {describe(rule)} ({rule.evidence})" for rule in fresh.values()]
    names = {column.name for column in columns}
    inferred = [*inferred, *fresh.values()]
    kept = [rule for rule in (*kept, *fresh.values()) if set(columns_of(rule)) <= names]
    key = existing.key if existing.key and set(existing.key) <= names else drafted.key
    contract = msgspec.structs.replace(
        existing,
        columns=columns,
        key=key,
        rules=_ordered(kept, columns),
        owner=existing.owner or drafted.owner,
        description=existing.description or drafted.description,
        drafted=tuple(sorted((*fingerprints(inferred), *(f"{one}{'0' * _DIGITS}" for one in taken_out)))),
    )
    left = tuple(f"{rule.level}: {describe(rule)}" for rule in declined)
    return Proposal(contract=contract, added=tuple(added), removed=tuple(removed), changed=tuple(changed), declined=left)


def fingerprints(rules: Iterable[AnyRule]) -> tuple[str, ...]:
    """Return, for each inferred rule, six digits of which rule it is and six of what it demands."""
    return tuple(sorted(_fingerprint(rule) for rule in rules if rule.evidence))


def _is_by_hand(rule: AnyRule, contract: Contract) -> bool:
    return not rule.evidence or _is_edited(rule, contract)


def _is_edited(rule: AnyRule, contract: Contract) -> bool:
    """Say whether an inferred rule is another one than was drafted; of a file that keeps no fingerprints, nothing is known."""
    return bool(rule.evidence and contract.drafted) and _fingerprint(rule) not in contract.drafted


def _taken_out(contract: Contract) -> set[str]:
    """Return which rules were drafted and stand in the contract no more."""
    return {one[:_DIGITS] for one in contract.drafted} - {_of_identity(rule) for rule in contract.rules}


def _of_identity(rule: AnyRule) -> str:
    return _fingerprint(rule)[:_DIGITS]


def _fingerprint(rule: AnyRule) -> str:
    bare = msgspec.structs.replace(rule, level="warn", evidence="", why="", false_alarms=None)
    return digest_value(_identity(rule)[:3])[-_DIGITS:] + digest_value(msgspec.to_builtins(bare))[-_DIGITS:]


def _identity(rule: AnyRule) -> tuple[Any, ...]:
    """Say which rule this is, whatever its bounds."""
    also = {Condition: "sql", Query: "sql", Custom: "name", Statistic: "statistic"}.get(type(rule))
    # Two bounds of one column may stand apart; so may two numbers of rows.
    side = (rule.minimum is None, rule.maximum is None) if isinstance(rule, Range | RowCount) and not rule.evidence else ()
    return (type(rule).__name__, tuple(sorted(columns_of(rule))), getattr(rule, also) if also else "", *side)


def _columns(existing: Contract, drafted: Contract) -> tuple[tuple[Column, ...], list[Change]]:
    found, changed = [], []
    for column in drafted.columns:
        before = existing.column(column.name)
        if before is None:
            found.append(column)
            continue
        found.append(
            msgspec.structs.replace(
                before,
                type=column.type or before.type,
                physical_type=column.physical_type,
                unit=before.unit or column.unit,
                role=before.role or column.role,
            )
        )
        if column.type and before.type != column.type:
            was = before.type or "of any type"
            changed.append(Change(f"{column.name} is {was}", f"{column.name} is {column.type}", column.physical_type))
    return tuple(found), changed


def _ordered(rules: list[AnyRule], columns: tuple[Column, ...]) -> tuple[AnyRule, ...]:
    """Put rules in the order in which the file shows them, so that what is written is what is read back."""
    place = {column.name: i for i, column in enumerate(columns)}
    return tuple(sorted(rules, key=lambda rule: place.get(getattr(rule, "column", ""), -1)))
