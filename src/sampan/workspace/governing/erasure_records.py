"""The signed record of an erasure: that it was done, of what, by whom and why, and nothing of the person.

The record is signed with Ed25519 by the workspace's key for erasures, which is kept where pseudonyms' keys are: outside the store. It names
the subject by a keyed hash: who has the key and is told the subject can see that this record is about it; nobody else can find out whom.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from sampan.core.decoding import read_json
from sampan.core.digests import canonical_json
from sampan.core.times import Millis
from sampan.errors import IntegrityError

PURPOSE: Final = "erasure-records"
_FORM: Final = "sampan erasure 1"


class ErasedTable(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version of a dataset, or another table, before and after. Digests are without their prefix: they name, and keep nothing."""

    name: str
    before: str
    after: str
    n_rows: int
    n_cells: int = 0  # of rows of others


class ErasureRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was done. Fields with defaults came later; left out where they say nothing, so that older signatures stay whole."""

    form: str
    at: Millis
    by: str
    reason: str
    commitment: str  # HMAC-SHA256 of the subject
    columns: tuple[str, ...]
    tables: tuple[ErasedTable, ...]
    n_other_objects: int
    n_log_rows: int
    n_files: int
    models: tuple[str, ...]  # trained on rows of the subject
    derived: tuple[str, ...]  # made from such rows, without a column that names the subject
    left: tuple[str, ...]  # what could not be written again without it
    copies: tuple[str, ...] = ()  # published or exported elsewhere, with the subject's rows: people have to remove them
    removed_copies: tuple[str, ...] = ()  # those in the store's own folder
    unsure: tuple[str, ...] = ()  # tables with cells that may speak of the subject, or of another with such a number or name


class SignedRecord(msgspec.Struct, frozen=True):
    """A record, who signed it, and the signature of the record's canonical JSON."""

    record: ErasureRecord
    public_key: str
    signature: str


def commitment(key: bytes, keys: Mapping[str, str]) -> str:
    """Name a subject so that only who has the key can tell."""
    return hmac.new(hashlib.sha256(b"commitment" + key).digest(), canonical_json(dict(keys)), hashlib.sha256).hexdigest()


def sign(record: ErasureRecord, key: bytes) -> bytes:
    """Sign a record; return what is stored."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(key)
    signature = private.sign(canonical_json(record)).hex()
    signed = SignedRecord(record, private.public_key().public_bytes_raw().hex(), signature)
    return msgspec.json.format(canonical_json(signed), indent=1)


def verified(data: bytes, *, public_key: str = "") -> SignedRecord:
    """Read a stored record. Raises IntegrityError if it was altered, or signed by another key than the one given."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        signed = read_json(data, SignedRecord)
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(signed.public_key)).verify(
            bytes.fromhex(signed.signature), canonical_json(signed.record)
        )
    except (msgspec.DecodeError, ValueError, InvalidSignature) as cause:
        raise IntegrityError("the record of an erasure was altered", hint="restore it from a copy of the store") from cause
    if public_key and signed.public_key != public_key:
        raise IntegrityError("the record of an erasure was signed by another key", expected=public_key, actual=signed.public_key)
    return signed


def public_key_of(key: bytes) -> str:
    """Return the public half of a signing key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw().hex()


def new_record(**said: Any) -> ErasureRecord:
    """Make a record of the present form."""
    return ErasureRecord(form=_FORM, **said)
