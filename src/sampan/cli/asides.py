"""What libraries and a person's own code say while a command runs: kept apart from the answer, and each warning told once."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path

from sampan.cli.output import paint

_MOST = 5  # kinds of warnings told
_DIM = "\x1b[2m"


@contextmanager
def kept_aside(*, as_json: bool) -> Iterator[None]:
    """Gather warnings, to tell each kind once at the end; with JSON asked for, send what is printed to stderr.

    A search fits hundreds of models: a library that has something to say would say it hundreds of times.
    """
    told: Counter[str] = Counter()

    def gather(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_where: object) -> None:
        told[_line(message, category, filename, lineno)] += 1

    before = warnings.showwarning
    warnings.showwarning = gather  # type: ignore[assignment]  # what it is given beyond these is of no use here
    try:
        with ExitStack() as stack:
            if as_json:
                stack.enter_context(redirect_stdout(sys.stderr))
            yield
    finally:
        warnings.showwarning = before
        _tell(told)


def _line(message: Warning | str, category: type[Warning], filename: str, lineno: int) -> str:
    from sampan.engine.sources import is_library  # only a warning needs it

    first = next((line.strip() for line in str(message).splitlines() if line.strip()), "")
    place = "" if is_library(filename) else f" at {Path(filename).name}:{lineno}"
    return f"{category.__name__}: {first.rstrip(':')}{place}"


def _tell(told: Counter[str]) -> None:
    for line, n in told.most_common(_MOST):
        times = f" ({n:,} times)" if n > 1 else ""
        sys.stderr.write(paint(_DIM, "warning", sys.stderr) + f": {line}{times}\n")
    if len(told) > _MOST:
        sys.stderr.write(f"{len(told) - _MOST:,} more kinds of warnings\n")
