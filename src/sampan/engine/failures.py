"""What is told of an error in a user's own code: the line it came from, without our lines before it and the libraries' after."""

from __future__ import annotations

import traceback
from pathlib import Path

from sampan.engine import sources
from sampan.errors import ProjectFileError, SampanError, StepFailed

_OUR_FOLDER = str(Path(__file__).resolve().parents[1])


def own_lines(cause: BaseException) -> tuple[str, str]:
    """Return where the user's code raised, as ` at FILE:LINE`, and the traceback's lines that are the user's."""
    frames = [
        frame
        for frame in traceback.extract_tb(cause.__traceback__)
        if not sources.is_library(frame.filename) and not frame.filename.startswith((_OUR_FOLDER, "<frozen"))
    ]
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return place, "".join(traceback.format_list(frames)).rstrip()


def with_place(error: SampanError) -> None:
    """Add to an error of ours the line of the user's file that brought it about, unless it names one already."""
    place, _ = own_lines(error)
    if place and place not in error.message and not getattr(error, "file", ""):
        error.message += place
        error.args = (error.message,)


def import_failed(file: Path, cause: BaseException) -> SampanError:
    """Tell why a user's file could not be imported."""
    if isinstance(cause, SyntaxError):
        where = Path(cause.filename or file)
        line = f":{cause.lineno}" if cause.lineno else ""
        return ProjectFileError(f"{where}{line} is no Python: {cause.msg}", file=str(where), line=cause.lineno, hint=f"mend {where.name}")
    place, trace = own_lines(cause)
    if isinstance(cause, ModuleNotFoundError) and cause.name:
        package = cause.name.partition(".")[0]
        hint = f"pip install {package}, or the package that brings it; a module of your own belongs beside {file.name}"
        return StepFailed(f"{file.name} imports {cause.name}, which is not installed{place}", step=file.name, trace=trace, hint=hint)
    what = f"{type(cause).__name__}: {cause}".rstrip(": ")
    return StepFailed(f"{file.name} raised {what}{place}", step=file.name, trace=trace, hint=f"mend {file.name}; nothing was recorded")
