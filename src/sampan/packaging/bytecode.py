"""Python compiled ahead, so that a container starts without compiling: the same source gives the same bytes, whoever compiles it.

Python's own files differ from one compilation to the next: which strings are written once and named again hangs on what else the process
holds. The oldest form of `marshal` that still reads, 2, writes each where it stands.
"""

from __future__ import annotations

import importlib.util
import marshal
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from sampan.packaging.layers import Entry

_FORM: Final = 2
_UNCHECKED: Final = (1).to_bytes(4, "little")  # "named by the source's hash, and nobody looks": an image does not change


def with_bytecode(entries: Iterable[Entry], minor: int) -> Iterator[Entry]:
    """Yield entries, and beside each module what Python 3.`minor` compiles it to; that of another Python than this one is left to it."""
    for entry in entries:
        yield entry
        if entry.path.endswith(".py") and entry.content is not None and minor == sys.version_info.minor:
            source = entry.content if isinstance(entry.content, bytes) else entry.content.read_bytes()
            if (code := _compiled(source, f"/{entry.path}")) is not None:
                path = Path(entry.path)
                yield Entry(f"{path.parent}/__pycache__/{path.stem}.cpython-3{minor}.pyc", content=code)


def _compiled(source: bytes, path: str) -> bytes | None:
    """Compile a module; None for what is no Python of today, which libraries carry along for others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = compile(source, path, "exec", dont_inherit=True, optimize=0)
        except (SyntaxError, ValueError):
            return None
    return importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(source) + marshal.dumps(code, _FORM)
