"""What to start for the words after `sampan run`: a Python file, a module, a notebook, or a command as the shell would find it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sampan.errors import DataFormatError, UsageError


def as_program(words: Sequence[str], folder: Path) -> tuple[list[str], Path]:
    """Return the command and the folder it runs in; a notebook becomes a program in `folder`.

    Raises
    ------
    DataFormatError : a notebook is damaged.
    UsageError : a notebook uses magic commands, and IPython, which knows them, is not installed.
    """
    first, rest = words[0], list(words[1:])
    if first == "-m":
        return [sys.executable, "-m", *rest], Path.cwd()
    if first.endswith(".py"):
        return [sys.executable, first, *rest], Path.cwd()
    if first.endswith(".ipynb"):
        notebook = Path(first).resolve()
        # As in Jupyter, a notebook's paths begin where it lies.
        return _notebook(notebook, folder), notebook.parent
    return [first, *rest], Path.cwd()


def _notebook(notebook: Path, folder: Path) -> list[str]:
    cells = list(_code_cells(notebook))
    magic = [(number, line) for number, lines in cells for line in lines if line.lstrip().startswith(("%", "!"))]
    if find_spec("IPython") is not None:
        return [sys.executable, "-m", "IPython", "--no-banner", "--no-confirm-exit", "--colors=NoColor", str(notebook)]
    if magic:
        number, line = magic[0]
        raise UsageError(
            f"{notebook.name}, cell {number}: {line.strip()!r} is a command of IPython, which is not installed",
            hint="pip install ipython, or take the line out",
        )
    program = folder / f"{notebook.stem}.py"
    program.write_text("\n\n".join(f"# In[{number}]\n" + "\n".join(lines) for number, lines in cells) + "\n", encoding="utf-8")
    return [sys.executable, str(program)]


def _code_cells(notebook: Path) -> list[tuple[int, list[str]]]:
    try:
        found: Any = json.loads(notebook.read_bytes())
        cells = [cell for cell in found["cells"] if cell["cell_type"] == "code"]
        sources = [cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"]) for cell in cells]
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise DataFormatError(f"{notebook.name} is no notebook: {cause}", source=str(notebook), hint="save it in Jupyter again") from cause
    return [(number, source.splitlines()) for number, source in enumerate(sources, 1)]
