"""Keys that packages are signed with: the private half on the machine that signs, the public half in the store.

A private key is looked for in $SAMPAN_SIGNING_KEY (32 bytes in base64), else, in the folder where keys of privacy are kept too, as
`KEYID.signing`, mode 0600. Where there is none, one is made; unlike a key of privacy it can be made anew, since old signatures are checked
with the public half.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
import secrets
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, ClassVar, Final

from sampan.core.changes import AddNode, Change
from sampan.core.events import Event, new_id
from sampan.core.graph import NodeId
from sampan.errors import IntegrityError, ParameterError
from sampan.packaging.signing import from_bytes, from_pem, key_id, public_key, to_bytes
from sampan.workspace.governing.privacy_keys import PrivacyKeys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from sampan.workspace.workspace import Workspace

_log = logging.getLogger(__name__)
VARIABLE: Final = "SAMPAN_SIGNING_KEY"
KIND: Final = "signing_key"
_BYTES: Final = 32
_MOST: Final = 1_000


class SigningKeyMade(Event, frozen=True, kw_only=True):
    """Someone made a key to sign packages with. The store holds its public half alone."""

    type: ClassVar[str] = "signing_key_made"

    node: NodeId
    key_id: str
    public: str  # its 32 bytes in base64

    def subject(self) -> NodeId:
        """Return the key's node."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the key's node."""
        return (AddNode(id=self.node, kind=KIND, name=f"{self.key_id[:16]}.signing", digest="", facts={"public": self.public}),)


class SigningKeys:
    """The signing keys of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.ws = workspace

    def trusted(self) -> dict[str, Ed25519PublicKey]:
        """Return the public keys that this store knows, by their ids. Raises IntegrityError naming every one that is none."""
        nodes = self.ws.catalog.nodes(kind=KIND, limit=_MOST) if self.ws.has_store else []
        keys: list[Ed25519PublicKey] = []
        faults: list[str] = []
        for node in nodes:
            try:
                keys.append(_public(str(node.facts.get("public", "")), node.ref))
            except (ParameterError, ValueError) as fault:
                faults.append(f"{node.ref} ({fault})")
        if faults:
            raise IntegrityError(
                f"the store holds signing keys that are no public keys of Ed25519: {', '.join(faults)}",
                hint="sampan audit verify says whether the store was changed; give the key to check with by --key FILE.pem",
            )
        return {key_id(key): key for key in keys}

    def seed(self) -> bytes:
        """Return a private key that the store knows and this machine has; where there is none, one is made."""
        given = _from_environment()
        known = self.trusted()
        if given is None:
            given = next((seed for keyid in known if (seed := self._read(keyid)) is not None), None)
        if given is None:
            given = self._make()
        key = public_key(given)
        if key_id(key) not in known:
            self.ws.ledger.append(SigningKeyMade(node=new_id(), key_id=key_id(key), public=base64.b64encode(to_bytes(key)).decode()))
        return given

    def _file(self, keyid: str) -> Path:
        return PrivacyKeys(self.ws).folder / f"{keyid[:16]}.signing"

    def _read(self, keyid: str) -> bytes | None:
        file = self._file(keyid)
        if not file.is_file():
            return None
        mode = file.stat().st_mode & 0o777
        if mode & 0o077:
            raise ParameterError(f"{file} can be read by others (mode {mode:o})", hint=f"chmod 600 {quote(str(file))}")
        return _decode(file.read_text(encoding="ascii").strip(), str(file))

    def _make(self) -> bytes:
        seed = secrets.token_bytes(_BYTES)
        file = self._file(key_id(public_key(seed)))
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(base64.b64encode(seed).decode() + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        _log.info("made the key that packages are signed with: %s", file)
        return seed


def _public(text: str, where: str) -> Ed25519PublicKey:
    """Read what a store holds of a key: 32 bytes in base64, or PEM, as stores of before the first release have it."""
    if text.startswith("-----BEGIN"):
        return from_pem(text.encode(), where)
    return from_bytes(base64.b64decode(text, validate=True))


def _from_environment() -> bytes | None:
    text = os.environ.get(VARIABLE, "").strip()
    return _decode(text, f"${VARIABLE}") if text else None


def _decode(text: str, where: str) -> bytes:
    try:
        seed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as cause:
        raise ParameterError(f"the key in {where} is not base64", hint="it is 32 bytes in base64") from cause
    if len(seed) != _BYTES:
        raise ParameterError(f"the key in {where} has {len(seed)} bytes, expected {_BYTES}", hint="it is 32 bytes in base64")
    return seed
