"""Files of runs and models that MLflow kept on a disk of this machine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from sampan.core.mlflow import MlflowFile, MlflowModel, MlflowRun
from sampan.errors import NotFound, Unsupported

_ARTIFACTS = "artifacts"


def local_files(owner: MlflowRun | MlflowModel, *places: Path) -> list[MlflowFile]:
    """Return the files of a run or model: from the first of the places that is there, else where its record says.

    A record may come from anywhere. So what it says is believed only where the folder is named for its run or model, and a link that leads
    out of the folder is left alone.

    Raises
    ------
    NotFound : neither is there.
    Unsupported : they are no files of this machine.
    """
    parts = urlsplit(owner.location)
    if parts.scheme not in ("", "file"):
        told = f"{parts.scheme}://{parts.netloc}{parts.path}"
        raise Unsupported(f"they are at {told}", hint="import from the MLflow server, which can read them")
    said = Path(unquote(parts.path))
    if said.parts[-2:] == (owner.id, _ARTIFACTS):
        places = (*places, said)
    folder = next((place for place in places if place.is_dir()), None)
    if folder is not None:
        return _files_in(folder)
    # A run without files has no folder, but its experiment has, or else the folder of all.
    if any(above.is_dir() for place in places for above in place.parents[:3]):
        return []
    raise NotFound(f"there is no folder {said}")


def _files_in(folder: Path) -> list[MlflowFile]:
    if not any(folder.iterdir()):
        return []
    inside = folder.resolve()
    files = (each for each in sorted(folder.rglob("*")) if each.is_file() and each.resolve().is_relative_to(inside))
    return [MlflowFile(each.relative_to(folder).as_posix(), each) for each in files]
