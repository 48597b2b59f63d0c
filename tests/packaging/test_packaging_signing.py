"""Signatures: what is signed is what is said, any change shows, and the bytes are those of the standards."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sampan.errors import IntegrityError, ParameterError
from sampan.packaging.signing import Statement, describe, differences, from_pem, key_id, opened, public_key, sign, to_pem

SEED = bytes(range(32))
KEY = public_key(SEED)
TRUSTED = {key_id(KEY): KEY}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "native").mkdir()
    (tmp_path / "native" / "model.txt").write_text("trees")
    (tmp_path / "package.json").write_text("{}")
    return tmp_path


def test_a_signed_statement_opens_and_names_the_files_by_both_digests(folder: Path) -> None:
    statement, keyid = opened(sign(Statement(describe(folder), {"model": "m@v1"}), SEED), TRUSTED)

    assert ["native/model.txt", "package.json"] == [each.name for each in statement.subject]
    # sha256sum of "{}"
    assert "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" == statement.subject[1].digest["sha256"]
    assert ({"model": "m@v1"}, next(iter(TRUSTED))) == (statement.predicate, keyid)
    assert () == differences(statement, folder)


def test_the_signature_is_over_the_pre_authentication_encoding_of_dsse(folder: Path) -> None:
    envelope = json.loads(sign(Statement(describe(folder), {}), SEED))
    payload = base64.b64decode(envelope["payload"])

    # As the specification writes it: "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body.
    encoded = b"DSSEv1 28 application/vnd.in-toto+json " + str(len(payload)).encode() + b" " + payload
    KEY.verify(base64.b64decode(envelope["signatures"][0]["sig"]), encoded)
    assert ("https://in-toto.io/Statement/v1", "urn:sampan:package:1") == (
        json.loads(payload)["_type"],
        json.loads(payload)["predicateType"],
    )


def test_every_change_of_a_file_shows(folder: Path) -> None:
    statement = Statement(describe(folder), {})
    (folder / "package.json").write_text("{ }")
    (folder / "native" / "model.txt").unlink()
    (folder / "new").touch()

    assert ("package.json was changed", "native/model.txt is missing", "new was added") == differences(statement, folder)


def test_a_changed_statement_a_stranger_and_no_envelope_are_told_apart(folder: Path) -> None:
    signed = json.loads(sign(Statement(describe(folder), {}), SEED))
    forged = {**signed, "payload": base64.b64encode(base64.b64decode(signed["payload"]) + b" ").decode()}

    for envelope, fault in (
        (json.dumps(forged).encode(), "was changed after key"),
        (sign(Statement((), {}), bytes(32)), "no such key is trusted here"),
        (b"{}", "no DSSE envelope"),
        (b'{"payloadType": "x", "payload": "!", "signatures": []}', "no DSSE envelope"),
        (sign(Statement((), {}, predicate_type="urn:other"), SEED), "something else than a package"),
    ):
        with pytest.raises(IntegrityError, match=fault):
            opened(envelope, TRUSTED)


def test_a_public_key_travels_as_pem_and_another_kind_is_refused() -> None:
    ecdsa = generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    assert key_id(KEY) == key_id(from_pem(to_pem(KEY).encode(), "sampan.pub"))
    with pytest.raises(ParameterError, match="not of Ed25519"):
        from_pem(ecdsa, "sampan.pub")
    with pytest.raises(ParameterError, match="no public key"):
        from_pem(b"hello", "sampan.pub")
