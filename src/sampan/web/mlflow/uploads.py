"""Large files in parts. Each part is content of the store by itself; completing the upload names the parts and keeps them as one file.

So a server holds nothing of an upload, any server of the store can go on with it, and what is never completed is swept as everything else
that nothing names.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from sampan.errors import BlobUnavailable, ParameterError
from sampan.web.mlflow.artifacts import Artifacts
from sampan.web.mlflow.refusals import integer, invalid, items, text

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

PARTS: Final = "/api/2.0/mlflow-artifacts/parts"
UPLOADS: Final = "/api/2.0/mlflow-artifacts/mpu"
_MOST: Final = 10_000  # parts, as S3 has it
_PIECE: Final = 1 << 20


class Uploads:
    """Files that come in parts."""

    def __init__(self, ws: Workspace, artifacts: Artifacts) -> None:
        self._ws = ws
        self._artifacts = artifacts

    def create(self, given: Mapping[str, Any], *, base: str, authorization: str) -> dict[str, Any]:
        """POST mpu/create: where to put each part. The client's own sign-in goes along, since it puts parts without it."""
        self._artifacts.owner(_address(given))
        n_parts = integer(given, "num_parts", default=1)
        if not 0 < n_parts <= _MOST:
            raise invalid(f"Invalid value {n_parts} for parameter 'num_parts' supplied: It must be at least 1 and at most {_MOST}.")
        headers = {"authorization": authorization} if authorization else {}
        upload = secrets.token_hex(16)
        parts = [{"url": f"{base}{PARTS}/{upload}/{n}", "part_number": n, "headers": headers} for n in range(1, n_parts + 1)]
        return {"upload_id": upload, "credentials": parts}

    def put_part(self, file: Path) -> str:
        """PUT parts/UPLOAD/NUMBER: keep a part and return its name."""
        digest, _ = self._ws.store.blobs.put_file(file)
        return digest

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST mpu/complete: make one file of the parts."""
        address = _address(given)
        parts = sorted(items(given, "parts"), key=lambda part: integer(part, "part_number"))
        if not parts or [integer(part, "part_number") for part in parts] != list(range(1, len(parts) + 1)):
            raise invalid("Invalid value for parameter 'parts' supplied: parts are numbered from 1, each once")
        with tempfile.NamedTemporaryFile(prefix="sampan-upload-") as whole:
            self._join([text(part, "etag") for part in parts], whole)
            whole.flush()
            return self._artifacts.put(address, Path(whole.name))

    def abort(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST mpu/abort: nothing to undo."""
        self._artifacts.owner(_address(given))
        return {}

    def _join(self, digests: Sequence[str], into: Any) -> None:
        for number, digest in enumerate(digests, 1):
            try:
                with self._ws.store.blobs.open(digest) as stream:
                    while piece := stream.read(_PIECE):
                        into.write(piece)
            except (BlobUnavailable, ParameterError) as cause:
                raise invalid(f"Invalid value for parameter 'parts' supplied: part {number} is not here; send it again") from cause


def _address(given: Mapping[str, Any]) -> str:
    """Return the place a file is to have: of the path's folder, and of the name that the client's own path ends in."""
    return f"{text(given, 'address')}/{PurePosixPath(text(given, 'path')).name}"
