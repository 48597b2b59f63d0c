"""Keys of pseudonyms and ciphers: kept outside the data store, known to the ledger by fingerprint.

A key is looked for in $SAMPAN_PRIVACY_KEYS (`purpose=base64,…`), else in a file of mode 0600 in the folder that `[governance] keys` or
$SAMPAN_KEYS names, else in the user's configuration folder. It is made on first use; a key that was made once and is missing is asked for,
never made anew, since another key would give the same person another name.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final

from sampan.core.events import new_id
from sampan.core.graph import Node
from sampan.errors import IntegrityError, NotFound, ParameterError, StaleState
from sampan.governance.pseudonyms import KEY_BYTES, fingerprint
from sampan.store.files import store_errors
from sampan.workspace.governing.governance_events import KEY, KeyMade

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

KEYS_VARIABLE: Final = "SAMPAN_PRIVACY_KEYS"
FOLDER_VARIABLE: Final = "SAMPAN_KEYS"


class PrivacyKeys:
    """The keys of one workspace, by purpose."""

    def __init__(self, workspace: Workspace) -> None:
        self.ws = workspace

    @property
    def folder(self) -> Path:
        """Where keys are kept on this machine.

        Raises
        ------
        ParameterError : it lies inside the store, where whoever copies the data would copy the key.
        """
        declared = self.ws.project.governance.keys or os.environ.get(FOLDER_VARIABLE, "")
        base = os.environ.get("XDG_CONFIG_HOME", "") or str(Path.home() / ".config")
        folder = (self.ws.root / Path(declared).expanduser() if declared else Path(base) / "sampan" / "keys").resolve()
        if folder.is_relative_to(self.ws.store_folder.resolve()):
            raise ParameterError(f"the keys' folder {folder} lies inside the store", hint="name a folder outside it: [governance] keys")
        return folder

    def key(self, purpose: str) -> bytes:
        """Return the key of a purpose, made on first use.

        Raises
        ------
        NotFound : the ledger knows the key, and it is not on this machine.
        IntegrityError : what is there is another key than the ledger knows.
        """
        known = self._known(purpose)
        found = self._find(purpose, known)
        if found is None and known is not None:
            raise NotFound(
                f"the key for {purpose} (fingerprint {known.facts['fingerprint']}) is not on this machine",
                hint=f"put it back as {self._file(known)}, or into ${KEYS_VARIABLE}; without it this data cannot be linked or read",
            )
        if known is None:
            try:
                return self._make(purpose, found)
            except StaleState:  # somebody made it meanwhile, and theirs holds
                return self.key(purpose)
        assert found is not None
        if fingerprint(found) != known.facts["fingerprint"]:
            raise IntegrityError(
                f"the key for {purpose} is another one than was used here",
                expected=str(known.facts["fingerprint"]),
                actual=fingerprint(found),
                hint=f"put the right one back as {self._file(known)}",
            )
        return found

    def knows(self, purpose: str) -> bool:
        """Say whether a purpose has a key that is on this machine; none is made."""
        known = self._known(purpose)
        return known is not None and self._find(purpose, known) is not None

    def _known(self, purpose: str) -> Node | None:
        found = self.ws.catalog.nodes(kind=KEY, name=f"{purpose}.key", limit=1)
        return found[0] if found else None

    def _file(self, node: Node) -> Path:
        return self.folder / f"{node.facts['fingerprint']}.key"

    def _find(self, purpose: str, known: Node | None) -> bytes | None:
        if (given := _from_environment(purpose)) is not None:
            return given
        if known is None or not (file := self._file(known)).is_file():
            return None
        mode = file.stat().st_mode & 0o777
        if mode & 0o077:
            raise ParameterError(f"{file} can be read by others (mode {mode:o})", hint=f"chmod 600 {quote(str(file))}")
        return _decode(file.read_text(encoding="ascii").strip(), str(file))

    def _make(self, purpose: str, given: bytes | None) -> bytes:
        key = given or os.urandom(KEY_BYTES)
        if given is None:
            folder = self.folder
            with store_errors(folder):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                file = folder / f"{fingerprint(key)}.key"
                with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                    stream.write(base64.b64encode(key).decode() + "\n")
                    stream.flush()
                    os.fsync(stream.fileno())
            self._record(purpose, key, file)
            import logging  # costs every command 3 ms, and is needed when something failed

            logging.getLogger(__name__).warning(
                "made the key for %s: %s; keep a copy of it elsewhere, what it protects cannot be read or linked without", purpose, file
            )
        else:
            self._record(purpose, key, None)
        return key

    def _record(self, purpose: str, key: bytes, file: Path | None) -> None:
        """Let the ledger know a key. Raises StaleState where it has one for the purpose; a file that was made for nothing goes."""
        try:
            self.ws.ledger.append(KeyMade(node=new_id(), name=f"{purpose}.key", fingerprint=fingerprint(key)))
        except StaleState:
            if file is not None:
                file.unlink()
            raise


def _from_environment(purpose: str) -> bytes | None:
    for entry in os.environ.get(KEYS_VARIABLE, "").split(","):
        name, equals, text = entry.strip().partition("=")
        if equals and name == purpose:
            return _decode(text, f"${KEYS_VARIABLE}")
    return None


def _decode(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as cause:
        raise ParameterError(f"the key in {where} is not base64", hint="it is 32 bytes in base64") from cause
    if len(key) != KEY_BYTES:
        raise ParameterError(f"the key in {where} has {len(key)} bytes, expected {KEY_BYTES}", hint="it is 32 bytes in base64")
    return key
