"""Erasing a subject from the records: the ledger's rows, and the tables they add up to, in one transaction.

A redacted row of the ledger keeps its hash, so that the chain holds; what it must read now is noted by an event (`RowsRedacted`), whose own
place in the chain nobody can alter. The tables are redacted by the same rules as the changes they came from, so a replay gives the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from sampan.core.digests import canonical_json
from sampan.store import chain
from sampan.store.chain import Link
from sampan.store.database import Session
from sampan.store.erasure.subjects import ERASED, Subject

# What of a change is free text or data; the rest is structure: names, ids, digests, moments.
_FREE: dict[str, tuple[str, ...]] = {
    "ensure_asset": ("facts",),
    "describe_asset": ("facts",),
    "add_node": ("facts",),
    "amend_facts": ("facts",),
    "finish_step": ("outcome",),
    "start_run": ("title", "source"),
}
_JSON_COLUMNS = (("asset", "pk", "facts"), ("node", "pk", "facts"), ("step", "key", "outcome"))
_TEXT_COLUMNS = (("run", "node", "title"), ("run", "node", "source"))
_NAMED_VALUES = (("run_param", "run"), ("tag", "node"))


def redact_records(session: Session, subject: Subject) -> dict[int, str]:
    """Redact every record that mentions a subject; return the new seals of the ledger's rows that were changed, by number."""
    seals: dict[int, str] = {}
    for link in chain.links(session):
        redacted = _redacted(link, subject)
        if redacted != link:
            chain.rewrite(session, redacted)
            seals[link.seq] = redacted.seal()
    for table, key, column, pk, text in _texts(session):
        if (now := _redact_column(column, text, subject)) != text:
            session.run(f"update {table} set {column} = ? where {key} = ?", now, pk)  # noqa: S608  # literals of this module
    for table, owner, pk, number, name, value in _values(session):
        if (now := _redact_value(name, value, subject)) != value:
            session.run(f"update {table} set value = ? where {owner} = ? and key = ?", now, pk, number)  # noqa: S608  # the same
    return seals


def mentions_in_records(session: Session, subject: Subject) -> dict[str, int]:
    """Count the records that mention a subject, by table."""
    counts: dict[str, int] = {}
    for link in chain.links(session):
        if _redacted(link, subject) != link:
            counts["event"] = counts.get("event", 0) + 1
    for table, _, column, _, text in _texts(session):
        if _redact_column(column, text, subject) != text:
            counts[table] = counts.get(table, 0) + 1
    for table, _, _, _, name, value in _values(session):
        if _redact_value(name, value, subject) != value:
            counts[table] = counts.get(table, 0) + 1
    return counts


def _redacted(link: Link, subject: Subject) -> Link:
    if not any(subject.mentions(text) for text in (link.body, link.changes, link.reason)):
        return link
    return link._replace(
        body=_redact_json(link.body, subject),
        changes=_redact_changes(link.changes, subject),
        reason=subject.redact_text(link.reason),
    )


def _redact_json(text: str, subject: Subject) -> str:
    if not subject.mentions(text):
        return text
    value = msgspec.json.decode(text)
    redacted = subject.redact(value)
    return text if redacted == value else canonical_json(redacted).decode()


def _redact_changes(text: str, subject: Subject) -> str:
    changes: list[dict[str, Any]] = msgspec.json.decode(text)
    redacted = [_redact_change(change, subject) for change in changes]
    return text if redacted == changes else canonical_json(redacted).decode()


def _redact_change(change: dict[str, Any], subject: Subject) -> dict[str, Any]:
    kind = change["do"]
    if kind == "add_params":
        return {**change, "params": {name: _redact_value(name, value, subject) for name, value in change["params"].items()}}
    if kind == "set_tag" and change["value"] is not None:
        return {**change, "value": _redact_value(change["key"], change["value"], subject)}
    return {**change, **{name: subject.redact(change[name]) for name in _FREE.get(kind, ()) if name in change}}


def _redact_column(column: str, text: str, subject: Subject) -> str:
    return _redact_json(text, subject) if column in ("facts", "outcome") else subject.redact_text(text)


def _redact_value(name: str, value: str, subject: Subject) -> str:
    return ERASED if subject.keys.get(name) == value else subject.redact_text(value)


def _texts(session: Session) -> Iterator[tuple[str, str, str, Any, str]]:
    for table, key, column in (*_JSON_COLUMNS, *_TEXT_COLUMNS):
        for pk, text in session.all(f"select {key}, {column} from {table}"):  # noqa: S608  # literals of this module
            yield table, key, column, pk, text


def _values(session: Session) -> Iterator[tuple[str, str, int, int, str, str]]:
    for table, owner in _NAMED_VALUES:
        sql = f"select v.{owner}, v.key, k.name, v.value from {table} v join key k on k.pk = v.key"  # noqa: S608  # literals of this module
        for pk, key, name, value in session.all(sql):
            yield table, owner, pk, key, name, value
