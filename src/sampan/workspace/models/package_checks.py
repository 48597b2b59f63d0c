"""Whether a package is what somebody signed: its signature, the digest of every file, the answers to its probe set."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sampan import __version__
from sampan.errors import IntegrityError, SampanError
from sampan.packaging.signing import SIGNATURE, Statement, Subject, differences, opened, sign
from sampan.workspace.models.answers import Verified
from sampan.workspace.models.events import PackageBuilt, StoredFile
from sampan.workspace.models.packages import probe
from sampan.workspace.models.signing_keys import SigningKeys

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

_log = logging.getLogger(__name__)


def signed(ws: Workspace, event: PackageBuilt) -> PackageBuilt:
    """Return the event with a signature among its files; where this machine can keep no key, as it was, and say so."""
    try:
        seed = SigningKeys(ws).seed()
    except OSError as cause:
        _log.warning("%s is not signed: no key can be kept here: %s; give one in $SAMPAN_SIGNING_KEY", event.name, cause)
        return event
    predicate = {"package": event.name, "model": event.facts["model"], "digest": event.digest, "packed_by": f"sampan {__version__}"}
    subjects = tuple(_subject(ws, file) for file in sorted(event.files, key=lambda file: file.path))
    envelope = sign(Statement(subjects, predicate), seed)
    file = StoredFile(SIGNATURE, ws.store.blobs.put(envelope), len(envelope))
    return msgspec.structs.replace(event, files=(*event.files, file))


def check_package(folder: Path, name: str, trusted: Mapping[str, Any]) -> Verified:
    """Look at a package's signature and files, then ask it its probe set. Nothing of a package is run that is not what was signed."""
    keyid, n_files = "", 0
    faults: tuple[str, ...] = ()
    try:
        statement, keyid = opened(_signature(folder), trusted)
        n_files, faults = len(statement.subject), differences(statement, folder)
    except IntegrityError as cause:
        faults = (cause.message,)
    if faults:
        return Verified(package=name, passed=False, signed_by=keyid, faults=faults, n_files=n_files, next=("sampan model pack MODEL",))
    try:
        found = probe(folder)
    except SampanError as cause:
        return Verified(package=name, passed=False, signed_by=keyid, faults=(cause.message,), n_files=n_files)
    return Verified(
        package=name,
        passed=found.passed,
        signed_by=keyid,
        n_files=n_files,
        n_rows=found.n_rows,
        n_far=found.n_far,
        max_difference=found.max_difference,
        p95_ms=found.p95_ms,
        environment=found.environment,
    )


def _signature(folder: Path) -> bytes:
    try:
        return (folder / SIGNATURE).read_bytes()
    except OSError as cause:
        raise IntegrityError("it is not signed", hint="sampan model pack MODEL --out FOLDER") from cause


def _subject(ws: Workspace, file: StoredFile) -> Subject:
    import hashlib

    with ws.store.blobs.open(file.digest) as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]  # a file, whatever its class
    return Subject(file.path, {"sha256": sha256, "blake3": file.digest.removeprefix("b3:")})
