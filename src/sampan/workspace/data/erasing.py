"""Erasing a person: finding, erasing from everything that is kept, searching for what is left, and the signed records."""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote
from typing import TYPE_CHECKING

import msgspec

from sampan.core.decoding import read_builtins, read_json
from sampan.core.graph import Node
from sampan.core.times import iso
from sampan.errors import SampanError
from sampan.store.erasure import MIN_TEXT
from sampan.workspace.data.erasing_answers import (
    ErasureLine,
    Erasures,
    Held,
    Place,
    StoreSearched,
    SubjectFound,
    SubjectGone,
)
from sampan.workspace.data.room import DataRoom, Names
from sampan.workspace.governing.erasure_events import ERASURE
from sampan.workspace.operation import operation

if TYPE_CHECKING:
    from sampan.workspace.governing.erasure_records import ErasureRecord

Keys = dict[str, str]
_ALL = 1_000_000


class ErasingPeople(DataRoom):
    """The verbs by which a person's data leaves the store for good."""

    @operation(reads=True)
    def subject(self, *, subject: Keys) -> SubjectFound:
        """Find a person: every version whose files have rows of them, deleted rows as well.

        Parameters
        ----------
        subject : columns and the value that names the person there, e.g. passenger=P-000777
        """
        from sampan.workspace.governing.erasure import Erasure

        erasure = Erasure(self.ws, subject)
        versions = erasure.versions()
        n_texts = len([text for text in erasure.subject().texts if text not in subject.values()])
        following = (f"sampan data erase {_option(subject)}",) if versions else (f"sampan data erased {_option(subject)}",)
        return SubjectFound(
            subject=_shown(subject),
            versions=tuple(Held(ref, n) for ref, n in versions.items()),
            texts=n_texts,
            unknown=erasure.unknown_columns(),
            next=following,
        )

    @operation()
    def erase(self, *, subject: Keys, also: Names | None = None, reason: str = "") -> SubjectGone:
        """Erase a person from every version, cache, statistic, quarantine and log of the store; every version is kept.

        What is erased cannot be brought back. Rows are found by the columns; e-mail addresses, phone and other numbers that only these
        rows have are erased wherever they stand. Models that learned from the rows are listed, and stay as they are; so are copies that
        were published or exported elsewhere. Those in the store's own folder are removed.

        Parameters
        ----------
        subject : columns and the value that names the person there, e.g. passenger=P-000777; a row that has any of them is theirs
        also : other texts that name the person wherever they stand, like a name or an address
        reason : why, for the signed record, e.g. the number of the request
        """
        from sampan.workspace.governing.erasure import Erasure

        erasure = Erasure(self.ws, subject, also=also or ())
        done = erasure.erase(reason=reason)
        record, node = done.record, self.ws.catalog.node(done.node)
        retrain = tuple(f"sampan lineage {quote(model)}" for model in record.models[:1])
        return SubjectGone(
            subject=_shown(subject),
            erasure=node.ref,
            versions=tuple(Held(table.name, table.n_rows) for table in record.tables),
            n_other_objects=record.n_other_objects,
            n_log_rows=record.n_log_rows,
            n_bytes=done.n_bytes,
            models=record.models,
            derived=record.derived,
            left=record.left,
            copies=record.copies,
            removed_copies=record.removed_copies,
            n_cells=sum(table.n_cells for table in record.tables),
            unsure=record.unsure,
            unknown=() if record.n_log_rows else erasure.unknown_columns(),
            record=node.digest,
            next=(f"sampan data erased {_option(subject)}", *retrain),
        )

    @operation(reads=True)
    def erased(self, *, subject: Keys, also: Names | None = None) -> StoreSearched:
        """Search every byte of the store for a person: objects, logs, records, and all other files.

        Parameters
        ----------
        subject : columns and the value that names the person there
        also : other texts to look for
        """
        from sampan.workspace.governing.erasure import Erasure

        erasure = Erasure(self.ws, subject, also=also or ())
        found = erasure.search()
        wholly = (*(also or ()), *erasure.unsure_texts())
        again = dict.fromkeys((f"sampan data erase {_option(subject)}", f"sampan data erase {_option(subject, wholly)}"))
        return StoreSearched(
            subject=_shown(subject),
            n_objects=found.n_objects,
            n_files=found.n_files,
            n_bytes=found.n_bytes,
            places=tuple(read_builtins(msgspec.to_builtins(one), Place) for one in found.sightings),
            short=tuple(name for name, value in subject.items() if len(value) < MIN_TEXT),
            next=tuple(again) if found.sightings else ("sampan data erasures",),
        )

    @operation(reads=True)
    def erasures(self, *, subject: Keys | None = None) -> Erasures:
        """List the records of erasures, each with whether its signature is whole.

        Parameters
        ----------
        subject : say of each record whether it is of this person; needs the signing key on this machine
        """
        nodes = self.ws.catalog.nodes(kind=ERASURE, limit=_ALL)
        return Erasures(erasures=tuple(self._line(node, subject) for node in nodes))

    def _line(self, node: Node, subject: Keys | None) -> ErasureLine:
        from sampan.workspace.governing.erasure_records import SignedRecord, verified

        data = self.ws.store.blobs.read(node.digest)
        signature = "whole"
        try:
            signed = verified(data)
        except SampanError as error:
            signature, signed = error.message, read_json(data, SignedRecord)
        record = signed.record
        return ErasureLine(
            erasure=node.ref,
            at=iso(record.at),
            by=record.by,
            reason=record.reason,
            columns=record.columns,
            n_versions=len(record.tables),
            n_rows=sum(table.n_rows for table in record.tables),
            models=record.models,
            state=node.state,
            signature=signature,
            public_key=signed.public_key,
            copies=record.copies,
            about=self._is_about(record, subject) if subject else None,
        )

    def _is_about(self, record: ErasureRecord, subject: Keys) -> bool:
        from sampan.workspace.governing.erasure_records import PURPOSE, commitment
        from sampan.workspace.governing.privacy_keys import PrivacyKeys

        return record.commitment == commitment(PrivacyKeys(self.ws).key(PURPOSE), subject)


def _shown(subject: Keys) -> str:
    return ", ".join(f"{name}={value}" for name, value in subject.items())


def _option(subject: Keys, also: Iterable[str] = ()) -> str:
    named = [f"--subject {quote(f'{name}={value}')}" for name, value in subject.items()]
    return " ".join([*named, *(f"--also {quote(text)}" for text in also)])
