"""Files of runs and models that MLflow kept on a disk of this machine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from sampan.core.mlflow import MlflowFile, MlflowModel, MlflowRun, MlflowTrace
from sampan.core.mlflow_spans import LOCATION_TAG, PLACE_TAG, SPANS_FILE, spans_in
from sampan.errors import NotFound, Unsupported

_ARTIFACTS, _TRACES = "artifacts", "traces"


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


def with_spans(trace: MlflowTrace, *roots: Path) -> MlflowTrace:
    """Return a trace with the spans of its file, where it has no others: beside its record, under one of the roots, or where its tag says.

    As with files, what a record says is believed only where the folder is named for its trace.
    """
    said = trace.tags.get(PLACE_TAG, "")
    if trace.spans or trace.tags.get(LOCATION_TAG) == "TRACKING_STORE" or not said:
        return trace
    parts = urlsplit(said)
    if parts.scheme not in ("", "file"):
        return msgspec.structs.replace(trace, without=f"they are at {parts.scheme}://{parts.netloc}{parts.path}")
    path = Path(unquote(parts.path))
    inside = Path(trace.experiment_id, _TRACES, trace.id, _ARTIFACTS)
    places = [root / above / inside for root in roots for above in ("", "mlruns")]
    places += [path] if path.parts[-2:] == (trace.id, _ARTIFACTS) else []
    file = next((place / SPANS_FILE for place in places if (place / SPANS_FILE).is_file()), None)
    if file is None:
        return msgspec.structs.replace(trace, without=f"there is no file {path / SPANS_FILE}")
    try:
        return msgspec.structs.replace(trace, spans=spans_in(file.read_bytes()))
    except (ValueError, KeyError, TypeError) as cause:
        return msgspec.structs.replace(trace, without=f"{file} holds no spans: {cause}")


def _files_in(folder: Path) -> list[MlflowFile]:
    if not any(folder.iterdir()):
        return []
    inside = folder.resolve()
    files = (each for each in sorted(folder.rglob("*")) if each.is_file() and each.resolve().is_relative_to(inside))
    return [MlflowFile(each.relative_to(folder).as_posix(), each) for each in files]
