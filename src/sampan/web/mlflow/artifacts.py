"""Files of runs, logged models and traces, put and got through the server (`mlflow-artifacts:/EXPERIMENT/RUN/artifacts/PATH`).

In our graph a file once kept never changes. A client may write one again: the next content is kept under the path with a number, and the
highest number is the file. Deleting one keeps a last number without content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from sampan.core.graph import Artifact, Node, NodeId
from sampan.errors import NotFound
from sampan.web.mlflow.refusals import invalid, missing, text
from sampan.web.mlflow.run_queries import artifact_uri
from sampan.web.mlflow.runs import MlflowRuns
from sampan.workspace.mlflow.graph import AGAIN, GONE, present_files
from sampan.workspace.models.events import StoredFile
from sampan.workspace.runs.events import ArtifactsLogged

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

PREFIX: Final = "/api/2.0/mlflow-artifacts/artifacts"
_PIECE: Final = 1 << 20


class Artifacts:
    """The files of one workspace's runs and logged models."""

    def __init__(self, ws: Workspace, runs: MlflowRuns) -> None:
        self._ws = ws
        self._runs = runs

    def put(self, address: str, file: Path) -> dict[str, Any]:
        """Keep a file."""
        node, path = self.owner(address)
        if not path:
            raise invalid("Invalid path: it names no file")
        digest, size = self._ws.store.blobs.put_file(file)
        kept = self._numbered(node.id)
        number, before = kept.get(path, (0, None))
        if before is not None and before.size != GONE and before.digest == digest:
            return {}
        stored = path if number == 0 else f"{path}{AGAIN}{number + 1}"
        self._ws.ledger.append(ArtifactsLogged(node=node.id, files=(StoredFile(stored, digest, size),)))
        return {}

    def open(self, address: str) -> Artifact:
        """Return a file's content. Raises Refusal."""
        node, path = self.owner(address)
        found = self.of(node.id).get(path)
        if found is None:
            raise missing(f"No such artifact: '{path}'")
        return found

    def stream(self, found: Artifact) -> Iterator[bytes]:
        """Iterate over a file's content."""
        with self._ws.store.blobs.open(found.digest) as stream:
            while piece := stream.read(_PIECE):
                yield piece

    def delete(self, address: str) -> dict[str, Any]:
        """Delete a file, or all of a folder."""
        node, path = self.owner(address)
        gone = [name for name in self.of(node.id) if name == path or name.startswith(f"{path}/") or not path]
        empty = self._ws.store.blobs.put(b"")
        kept = self._numbered(node.id)
        files = tuple(StoredFile(f"{name}{AGAIN}{kept[name][0] + 1}", empty, GONE) for name in gone)
        if files:
            self._ws.ledger.append(ArtifactsLogged(node=node.id, files=files))
        return {}

    def of(self, node: NodeId) -> dict[str, Artifact]:
        """Return a node's files as they are now, by path."""
        return {path: found for path, (_, found) in self._numbered(node).items() if found.size != GONE}

    def owner(self, address: str) -> tuple[Node, str]:
        """Return the run, logged model or trace an address belongs to, and the path within its files. Raises Refusal."""
        parts = _clean(address).split("/")
        head, rest = (parts[2:3], parts[3:]) if parts[1:2] in (["models"], ["traces"]) else (parts[1:2], parts[2:])
        if not head or rest[:1] != ["artifacts"]:
            raise invalid(f"Invalid path: {address!r} is no place of a run's or a model's artifacts")
        try:
            node = self._ws.catalog.node(head[0].removeprefix("m-").removeprefix("tr-"))
        except NotFound as cause:
            raise missing(f"No run or model {head[0]!r}") from cause
        return node, "/".join(rest[1:])

    # -- routes

    def list_proxied(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET mlflow-artifacts/artifacts?path=."""
        node, path = self.owner(text(given, "path", required=False))
        return {"files": [{**each, "path": PurePosixPath(each["path"]).name} for each in _listed(self.of(node.id), path)]}

    def list_run(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET artifacts/list?run_id=&path=."""
        run = self._runs.id_of(given)
        experiment = self._runs.experiment_of(run)
        path = _clean(text(given, "path", required=False))
        return {"root_uri": artifact_uri(experiment, run), "files": _listed(self.of(run), path)}

    def list_model(self, model: Node, given: Mapping[str, Any], root: str) -> dict[str, Any]:
        """GET logged-models/ID/artifacts/directories."""
        path = _clean(text(given, "artifact_directory_path", required=False))
        return {"root_uri": root, "files": _listed(self.of(model.id), path)}

    def _numbered(self, node: NodeId) -> dict[str, tuple[int, Artifact]]:
        return present_files(self._ws.catalog.artifacts(node))


def _clean(address: str) -> str:
    """Return a path without any step out of where it belongs. Raises Refusal."""
    path = PurePosixPath(address)
    if path.is_absolute() or ".." in path.parts or any(mark in address for mark in ("\\", "\x00", AGAIN)):
        raise invalid(f"Invalid path: {address!r}")
    return "" if address in ("", ".") else path.as_posix()


def _listed(files: Mapping[str, Artifact], path: str) -> list[dict[str, Any]]:
    """Return the files and folders right inside a folder."""
    start = f"{path}/" if path else ""
    found: dict[str, dict[str, Any]] = {}
    for name, each in files.items():
        if not name.startswith(start):
            continue
        head, slash, _ = name[len(start) :].partition("/")
        if slash:
            found[head] = {"path": f"{start}{head}", "is_dir": True}
        else:
            found[head] = {"path": name, "is_dir": False, "file_size": each.size}
    return [found[name] for name in sorted(found)]
