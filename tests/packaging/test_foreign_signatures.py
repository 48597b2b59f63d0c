"""A package's signature in the hands of others: securesystemslib 1.6 verifies the envelope, in-toto's own reader takes the statement."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sampan.packaging.signing import PAYLOAD_TYPE, PREDICATE, Statement, describe, public_key, sign, to_pem

PEERS = Path(__file__).resolve().parents[2] / ".peers"
SEED, OTHER = bytes(range(32)), bytes(range(1, 33))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "package"
    (found / "native").mkdir(parents=True)
    (found / "native" / "cây.txt").write_text("trees")
    (found / "package.json").write_text("{}")
    return found


def ask(folder: Path, envelope: bytes, *, seed: bytes = SEED) -> dict[str, Any]:
    signature, key = folder.parent / "signature.json", folder.parent / "key.pem"
    signature.write_bytes(envelope)
    key.write_text(to_pem(public_key(seed)))
    command = [PEERS / "dsse" / "bin" / "python", Path(__file__).with_name("foreign_verifier.py"), signature, key, folder]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def test_others_verify_what_we_sign_and_find_the_files(folder: Path) -> None:
    envelope = sign(Statement(describe(folder), {"model": "m@v1", "files": {"trees": 3}}), SEED)
    (folder / "package.json").write_text("{ }")

    found = ask(folder, envelope)

    assert found == {
        "verified": True,
        "payload_type": PAYLOAD_TYPE,
        "predicate_type": PREDICATE,
        "n_files": 2,
        "changed": ["package.json"],
    }


def test_others_refuse_what_another_key_signed_or_somebody_changed(folder: Path) -> None:
    envelope = sign(Statement(describe(folder), {}), SEED)
    changed = json.loads(envelope)
    changed["payload"] = base64.b64encode(base64.b64decode(changed["payload"]).replace(b"package.json", b"package.jsoN")).decode()

    assert [False, False] == [ask(folder, envelope, seed=OTHER)["verified"], ask(folder, json.dumps(changed).encode())["verified"]]
