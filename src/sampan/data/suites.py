"""Rules in other tools' files: what could be read of a suite, and what of a contract could be written."""

from __future__ import annotations

import msgspec

from sampan.data.contract import AnyRule, Column, Contract, all_rules


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """What was read: columns (with type "" where the file says none), rules, and what has no counterpart here."""

    columns: tuple[Column, ...] = ()
    rules: tuple[AnyRule, ...] = ()
    left_out: tuple[str, ...] = ()


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What was written: the file's text, and the rules that the other tool has no place for."""

    text: str
    n_rules: int
    left_out: tuple[str, ...] = ()


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A contract with a suite's rules taken in."""

    contract: Contract
    added: tuple[AnyRule, ...] = ()


def take_in(contract: Contract, suite: Suite, *, source: str) -> Taken:
    """Add a suite's columns and rules to a contract; what is there already stays as it is."""
    here = {column.name: column for column in contract.columns}
    for column in suite.columns:
        known = here.get(column.name)
        if known is None:
            here[column.name] = msgspec.structs.replace(column, type=column.type or "string")
        elif column.required and not known.required:
            here[column.name] = msgspec.structs.replace(known, required=True)
    why = f"taken in from {source}"
    present = {_bare(rule) for rule in all_rules(contract)}
    added = tuple(msgspec.structs.replace(rule, why=rule.why or why) for rule in suite.rules if _bare(rule) not in present)
    return Taken(contract=msgspec.structs.replace(contract, columns=tuple(here.values()), rules=(*contract.rules, *added)), added=added)


def _bare(rule: AnyRule) -> bytes:
    """Return what a rule demands, whatever is said about it."""
    return msgspec.json.encode(msgspec.structs.replace(rule, evidence="", why="", false_alarms=None))
