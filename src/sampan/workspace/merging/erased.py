"""A person who was erased here does not come back by a merge: the other store is searched for everyone whom a record here speaks of.

A record names its person by a keyed hash alone. So every combination of values that the other store's tables hold in the record's columns
is hashed with the same key and compared; who is found is told to the person who merges, and written nowhere.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Final

from sampan.core.digests import Digest
from sampan.errors import PolicyRefused
from sampan.workspace.governing.erasure_events import ERASURE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sampan.store.store import Store
    from sampan.workspace.workspace import Workspace

_MANY: Final = 1_000_000
_SHOWN: Final = 3


def require_nobody_erased(ws: Workspace, there: Store) -> None:
    """Refuse a store whose tables hold somebody who was erased here.

    Raises
    ------
    PolicyRefused : somebody is there.
    NotFound : the key of the erasures here is not on this machine, so nobody can tell.
    """
    wanted = _commitments(ws)
    if not wanted:
        return
    found = [told for digest, name in _tables(there).items() for told in _erased_in(ws, there, digest, name, wanted)]
    if found:
        people = {subject: name for name, subject in found}
        commands = [f"sampan data erase {' '.join(f'--subject {quote(one)}' for one in subject)}" for subject in list(people)[:_SHOWN]]
        raise PolicyRefused(
            f"the other store holds {len(people)} of those who were erased here, in {', '.join(sorted(set(people.values())))};"
            " nothing was taken from it",
            rule="erased",
            owner="",
            hint=f"erase them there first: {'; '.join(commands)}",
        )


def _commitments(ws: Workspace) -> dict[tuple[str, ...], set[str]]:
    """Return the keyed hashes of everyone erased here, by the columns that named them."""
    from sampan.workspace.governing.erasure_records import verified

    found: dict[tuple[str, ...], set[str]] = {}
    for node in ws.catalog.nodes(kind=ERASURE, limit=_MANY):
        record = verified(ws.store.blobs.read(node.digest)).record
        found.setdefault(record.columns, set()).add(record.commitment)
    return found


def _tables(there: Store) -> dict[Digest, str]:
    return {node.digest: node.ref for node in there.catalog.nodes(kind="dataset", limit=_MANY) if node.digest}


def _erased_in(
    ws: Workspace, there: Store, digest: Digest, name: str, wanted: dict[tuple[str, ...], set[str]]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the table's name with everyone found in it, as `column=value`."""
    from sampan.workspace.governing.erasure_records import PURPOSE, commitment
    from sampan.workspace.governing.privacy_keys import PrivacyKeys

    schema = there.tables.schema(digest)
    for columns, hashes in wanted.items():
        if not set(columns) <= set(schema):
            continue
        key = PrivacyKeys(ws).key(PURPOSE)
        for values in _combinations(there, digest, columns):
            subject = dict(zip(columns, values, strict=True))
            if commitment(key, subject) in hashes:
                yield name, tuple(f"{column}={value}" for column, value in subject.items())


def _combinations(there: Store, digest: Digest, columns: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield each combination of values in some columns, as a person types them."""
    from sampan.store.tables.parts import exactly

    frame = there.tables.scan(digest).select(exactly(list(columns))).unique().collect(engine="streaming")
    for row in frame.iter_rows():
        if all(value is not None for value in row):
            yield tuple(str(int(value)) if isinstance(value, float) and value.is_integer() else str(value) for value in row)
