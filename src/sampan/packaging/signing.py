"""Signatures of packages: an in-toto statement of every file's digest, in a DSSE envelope, signed with an ed25519 key that is kept offline.

References
----------
DSSE 1.0 (secure-systems-lab/dsse); in-toto Attestation Framework, Statement v1; RFC 8032 (Ed25519), RFC 8410 (its keys in PEM).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.decoding import read_json
from sampan.core.digests import digest_stream
from sampan.errors import IntegrityError, ParameterError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE: Final = "signature.json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "urn:sampan:package:1"


class Subject(msgspec.Struct, frozen=True):
    """A file that a statement speaks of."""

    name: str
    digest: dict[str, str]  # by algorithm: sha256, blake3


class Statement(msgspec.Struct, frozen=True, rename={"kind": "_type", "predicate_type": "predicateType"}):
    """What is signed: these files, and what they are together."""

    subject: tuple[Subject, ...]
    predicate: dict[str, Any]
    predicate_type: str = PREDICATE
    kind: str = STATEMENT


class Signature(msgspec.Struct, frozen=True):
    """One signature of an envelope."""

    keyid: str
    sig: str


class Envelope(msgspec.Struct, frozen=True, rename={"payload_type": "payloadType"}):
    """A DSSE envelope."""

    payload_type: str
    payload: str
    signatures: tuple[Signature, ...]


def describe(folder: Path, *, leave_out: Iterable[str] = (SIGNATURE,)) -> tuple[Subject, ...]:
    """Digest every file of a folder, in the order of their paths."""
    skipped = set(leave_out)
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = path.relative_to(folder).as_posix()
        if name in skipped:
            continue
        with path.open("rb") as stream:
            blake3, _ = digest_stream(stream)
            stream.seek(0)
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        found.append(Subject(name, {"sha256": sha256, "blake3": blake3.removeprefix("b3:")}))
    return tuple(found)


def sign(statement: Statement, seed: bytes) -> bytes:
    """Return the envelope of a statement, as JSON.

    Parameters
    ----------
    seed : the private key, 32 bytes
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(seed)
    payload = msgspec.json.encode(statement)
    signature = Signature(key_id(key.public_key()), base64.b64encode(key.sign(_encoded(PAYLOAD_TYPE, payload))).decode())
    envelope = Envelope(PAYLOAD_TYPE, base64.b64encode(payload).decode(), (signature,))
    return msgspec.json.format(msgspec.json.encode(envelope), indent=1)


def opened(envelope: bytes, trusted: Mapping[str, Ed25519PublicKey]) -> tuple[Statement, str]:
    """Return an envelope's statement and the id of the key that signed it.

    Parameters
    ----------
    trusted : keys by their id; a signature by another one proves nothing

    Raises
    ------
    IntegrityError : it is no envelope, no trusted key signed it, or what it says was changed since.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        found = read_json(envelope, Envelope)
        payload = base64.b64decode(found.payload, validate=True)
        signatures = [(each.keyid, base64.b64decode(each.sig, validate=True)) for each in found.signatures]
    except (msgspec.DecodeError, binascii.Error, ValueError) as cause:
        raise IntegrityError(f"{SIGNATURE} is no DSSE envelope: {cause}", hint="pack the model again") from cause
    for keyid, signature in signatures:
        if keyid not in trusted:
            continue
        try:
            trusted[keyid].verify(signature, _encoded(found.payload_type, payload))
        except InvalidSignature as cause:
            raise IntegrityError(f"{SIGNATURE} was changed after key {keyid[:16]} signed it", hint="do not use this package") from cause
        return _statement(found.payload_type, payload), keyid
    signers = ", ".join(keyid[:16] for keyid, _ in signatures) or "nobody"
    raise IntegrityError(f"it is signed by {signers}, and no such key is trusted here", hint="--key FILE.pem, from whoever packed it")


def differences(statement: Statement, folder: Path) -> tuple[str, ...]:
    """Say which files of a folder are not what a statement says: changed, missing, or not spoken of."""
    signed = {each.name: each.digest for each in statement.subject}
    found = {each.name: each.digest for each in describe(folder)}
    changed = [f"{name} was changed" for name, digest in found.items() if name in signed and not _same(signed[name], digest)]
    missing = [f"{name} is missing" for name in signed if name not in found]
    return (*changed, *missing, *(f"{name} was added" for name in found if name not in signed))


def public_key(seed: bytes) -> Ed25519PublicKey:
    """Return the public half of a private key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).public_key()


def key_id(key: Ed25519PublicKey) -> str:
    """Name a public key: the SHA-256 of its SubjectPublicKeyInfo."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def to_bytes(key: Ed25519PublicKey) -> bytes:
    """Return a public key's 32 bytes."""
    return key.public_bytes_raw()


def from_bytes(data: bytes) -> Ed25519PublicKey:
    """Return the public key with these 32 bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(data)


def to_pem(key: Ed25519PublicKey) -> str:
    """Write a public key as others read it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def from_pem(text: bytes, source: str) -> Ed25519PublicKey:
    """Read a public key.

    Raises
    ------
    ParameterError : it is none, or not of Ed25519.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text)
    except ValueError as cause:
        raise ParameterError(f"{source} holds no public key", parameter="key", hint="sampan model signing-key writes one") from cause
    if not isinstance(key, Ed25519PublicKey):
        raise ParameterError(f"the key in {source} is not of Ed25519", parameter="key", hint="sampan model signing-key writes one")
    return key


def _encoded(payload_type: str, payload: bytes) -> bytes:
    """Encode what is signed: DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _statement(payload_type: str, payload: bytes) -> Statement:
    try:
        statement = read_json(payload, Statement)
    except msgspec.DecodeError as cause:
        raise IntegrityError(f"{SIGNATURE} signs no statement: {cause}", hint="pack the model again") from cause
    if (payload_type, statement.kind, statement.predicate_type) != (PAYLOAD_TYPE, STATEMENT, PREDICATE):
        raise IntegrityError(f"{SIGNATURE} signs something else than a package: {statement.predicate_type}", hint="pack the model again")
    return statement


def _same(signed: Mapping[str, str], found: Mapping[str, str]) -> bool:
    known = signed.keys() & found.keys()
    return bool(known) and all(signed[each] == found[each] for each in known)
