"""What others' libraries say of a signature. Run by their own interpreter: `python foreign_verifier.py ENVELOPE PUBLIC_KEY_PEM FOLDER`.

securesystemslib opens the DSSE envelope and verifies it, in-toto's reader takes the statement, hashlib the files. Prints one line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any


def verify(envelope: Path, pem: Path, folder: Path) -> dict[str, Any]:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from google.protobuf import json_format
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    data = json.loads(envelope.read_bytes())
    key = SSlibKey.from_crypto(load_pem_public_key(pem.read_bytes()), keyid=data["signatures"][0]["keyid"])
    read = Envelope.from_dict(data)
    try:
        read.verify([key], 1)
    except VerificationError as cause:
        return {"verified": False, "reason": str(cause)}
    said = json_format.Parse(read.payload, statement_pb2.Statement())
    Statement.copy_from_pb(said).validate()
    digests = {subject.name: subject.digest["sha256"] for subject in said.subject}
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in digests}
    return {
        "verified": True,
        "payload_type": read.payload_type,
        "predicate_type": said.predicate_type,
        "n_files": len(digests),
        "changed": sorted(name for name in digests if digests[name] != found[name]),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(verify(*map(Path, sys.argv[1:]))))
