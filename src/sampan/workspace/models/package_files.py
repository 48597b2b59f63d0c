"""Where a package's files are: in the store, by its node, and in a folder that is made of them on first use.

What a server needs of packages, and no more: it imports none of what makes them.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sampan.core.digests import digest_value
from sampan.core.events import new_id
from sampan.core.graph import Node
from sampan.errors import NotFound
from sampan.packaging.signing import SIGNATURE
from sampan.workspace.models.events import StoredFile
from sampan.workspace.models.predictors import serving_files

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace


def package_node(ws: Workspace, ref: str) -> Node:
    """Find a package, or the newest package of a model. Raises NotFound."""
    if ref.startswith("package:"):
        return ws.catalog.resolve(ref, kind="package")
    try:
        found = ws.catalog.node(ref)
    except NotFound:
        found = _model_or_package(ws, ref)
    if found.kind == "package":
        return found
    made = [ws.catalog.node(e.dst) for e in ws.catalog.edges_from(found.id) if e.role == "packaged_as"]
    if not made:
        raise NotFound(f"{found.ref} has no package", hint=f"sampan model pack {found.ref}")
    return max(made, key=lambda n: n.version or 0)


def _model_or_package(ws: Workspace, ref: str) -> Node:
    """Find a model by a reference, else a package by the beginning of its id."""
    try:
        return ws.catalog.resolve(ref, kind="model")
    except NotFound:
        with suppress(NotFound):
            return ws.catalog.resolve(ref, kind="package")
        raise


def package_folder(ws: Workspace, ref: str) -> Path:
    """Return a folder with a package's files, for a package or the newest package of a model."""
    package = package_node(ws, ref)
    return materialize(ws, tuple(StoredFile(a.path, a.digest, a.size) for a in ws.catalog.artifacts(package.id)))


def serving_folder(ws: Workspace, ref: str) -> Path:
    """Return a folder with what a server opens of a package, for a package or the newest package of a model."""
    package = package_node(ws, ref)
    found = ws.catalog.artifacts(package.id)
    wanted = serving_files((a.path for a in found), served_by=str(package.facts.get("served_by", "")))
    return materialize(ws, tuple(StoredFile(a.path, a.digest, a.size) for a in found if a.path in wanted))


def package_digest(files: tuple[StoredFile, ...]) -> str:
    """Digest a package by its files' paths and contents; who signed it does not make it another."""
    return digest_value(sorted((f.path, f.digest) for f in files if f.path != SIGNATURE))


def materialize(ws: Workspace, files: tuple[StoredFile, ...]) -> Path:
    """Return a folder with these files, made on first use and then left alone."""
    target = ws.store.root / "packages" / package_digest(files).removeprefix("b3:")[:32]
    if target.is_dir():
        _add_signature(ws, files, target)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        for file in files:
            path = temporary / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(ws.store.blobs.read(file.digest))
        temporary.rename(target)
    except OSError:
        if not target.is_dir():  # another process may have made it meanwhile
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _add_signature(ws: Workspace, files: tuple[StoredFile, ...], folder: Path) -> None:
    """Put the signature into a folder that was made before the package was signed."""
    found = next((file for file in files if file.path == SIGNATURE), None)
    if found is not None and not (folder / SIGNATURE).exists():
        temporary = folder.with_name(f"{folder.name}.{new_id()}")
        temporary.write_bytes(ws.store.blobs.read(found.digest))
        temporary.rename(folder / SIGNATURE)
