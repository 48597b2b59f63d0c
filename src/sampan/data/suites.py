"""Rules in other tools' files: what could be read of a suite, and what of a contract could be written."""

from __future__ import annotations

import re

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
    left_out: tuple[str, ...] = ()  # with what the contract says otherwise


def take_in(contract: Contract, suite: Suite, *, source: str) -> Taken:
    """Add a suite's columns and rules to a contract; what is there already stays as it is."""
    here = {column.name: column for column in contract.columns}
    left_out = list(suite.left_out)
    for column in suite.columns:
        known = here.get(column.name)
        if known is None:
            here[column.name] = column
            continue
        if column.type and known.type and column.type != known.type:
            left_out.append(f"{column.name} is {column.type}: the contract says {known.type}")
        if column.required and not known.required:
            here[column.name] = msgspec.structs.replace(known, required=True)
    why = f"taken in from {source}"
    present = {_bare(rule) for rule in all_rules(contract)}
    added = tuple(msgspec.structs.replace(rule, why=rule.why or why) for rule in suite.rules if _bare(rule) not in present)
    taken = msgspec.structs.replace(contract, columns=tuple(here.values()), rules=(*contract.rules, *added))
    return Taken(contract=taken, added=added, left_out=tuple(left_out))


def is_python_pattern(pattern: str) -> bool:
    """Say whether Python takes a regular expression, too."""
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _bare(rule: AnyRule) -> bytes:
    """Return what a rule demands, whatever is said about it."""
    return msgspec.json.encode(msgspec.structs.replace(rule, evidence="", why="", false_alarms=None))
