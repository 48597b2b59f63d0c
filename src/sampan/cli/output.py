"""What the command line prints: answers on stdout, errors on stderr, as text for people or as JSON for programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import IO, Any

import msgspec

from sampan.core.answers import Answer, to_json
from sampan.errors import SampanError

DEBUG = "SAMPAN_DEBUG"
_BOLD, _DIM, _RED, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[0m"
_CONTROLS = (*(code for code in range(0x20) if code not in (0x09, 0x0A)), *range(0x7F, 0xA0))
_TURNING = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))  # these make what follows read from right to left
_SHOWN = {code: f"\\x{code:02x}" for code in _CONTROLS} | {code: f"\\u{code:04x}" for code in _TURNING}


def show(answer: Answer, *, as_json: bool) -> None:
    """Print an answer on stdout."""
    if as_json:
        encoded = to_json(answer)
        text = (msgspec.json.format(encoded, indent=2) if sys.stdout.isatty() else encoded).decode()
    else:
        text = "\n\n".join(part for part in (printable(answer.text() or lay_out(answer)), _next_lines(answer.next)) if part)
    sys.stdout.write(text.rstrip("\n") + "\n")
    sys.stdout.flush()


def show_error(error: BaseException, *, as_json: bool) -> int:
    """Print an error on stderr; return the exit code."""
    if debugging():
        import traceback

        traceback.print_exception(error)
    told = describe(error)
    if as_json:
        sys.stderr.write(to_json({"error": told}).decode() + "\n")
    else:
        sys.stderr.write(paint(_RED, "error", sys.stderr) + f": {printable(told['message'])}\n")
        if trace := told.get("trace"):
            sys.stderr.write(paint(_DIM, str(trace), sys.stderr) + "\n")
        if told["hint"]:
            sys.stderr.write(paint(_BOLD, "hint", sys.stderr) + f": {printable(told['hint'])}\n")
    return error.exit_code if isinstance(error, SampanError) else 1


def describe(error: BaseException) -> dict[str, Any]:
    """Return an error as JSON-able fields: code, message, hint, and what else its class knows."""
    if isinstance(error, SampanError):
        return {"code": error.code, "message": error.message, "hint": error.hint, **error.details()}
    if isinstance(error, ModuleNotFoundError) and _is_required(error.name or ""):
        hint = "this environment has what serving a package needs, and no more; `pip install sampan` brings the rest"
        return {"code": "missing_dependency", "message": f"{error.name} is not installed here", "hint": hint}
    hint = f"this is a bug in Sampan or in a plug-in; {DEBUG}=1 shows where it came from"
    return {"code": "internal", "message": f"{type(error).__name__}: {error}", "hint": hint}


def _is_required(module: str) -> bool:
    """Say whether a module is of a library that `pip install sampan` brings: a machine that serves may lack it."""
    import re
    from importlib.metadata import requires

    named = {re.split(r"[^\w-]", each)[0].lower() for each in requires("sampan") or () if "extra ==" not in each}
    return module.partition(".")[0] in {*named, "yaml", "google"}


def printable(text: str) -> str:
    r"""Write control characters as escapes: names and values come from data, and must not command the terminal.

    >>> printable("a" + chr(27) + "[31m")
    'a\\x1b[31m'
    """
    return text.translate(_SHOWN)


def debugging() -> bool:
    """Say whether the user asked for tracebacks."""
    return os.environ.get(DEBUG, "") not in ("", "0")


def paint(color: str, text: str, stream: IO[str]) -> str:
    """Color text where the stream is a terminal and the user did not object (NO_COLOR)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if plain else f"{color}{text}{_PLAIN}"


def lay_out(answer: Answer) -> str:
    """Lay an answer's fields out: single values as lines, lists of structs as tables."""
    fields = {name: getattr(answer, name) for name in answer.__struct_fields__ if name != "next"}
    lines = [f"{name.replace('_', ' ')}: {_cell(value)}" for name, value in fields.items() if not _is_table(value)]
    tables = [f"{name.replace('_', ' ')}:\n{table(value)}" for name, value in fields.items() if _is_table(value)]
    return "\n\n".join(["\n".join(lines), *tables] if lines else tables)


def table(rows: Sequence[msgspec.Struct]) -> str:
    """Write structs of one class as an aligned table; numbers to the right."""
    names = rows[0].__struct_fields__
    cells = [[_cell(getattr(row, name)) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    right = [all(isinstance(getattr(row, name), (int, float)) for row in rows) for name in names]
    return "\n".join(
        "  " + "  ".join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right, strict=True)).rstrip()
        for line in [list(names), *cells]
    )


def _is_table(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(row, msgspec.Struct) for row in value)


def _cell(value: object) -> str:
    if value is None or value == "" or value == () or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_cell, value))
    if isinstance(value, (dict, msgspec.Struct)):
        pairs = value.items() if isinstance(value, dict) else msgspec.structs.asdict(value).items()
        return ", ".join(f"{key}={_cell(item)}" for key, item in pairs) or "-"
    return str(value)


def _next_lines(commands: Sequence[str]) -> str:
    return "\n".join(paint(_DIM, "next:", sys.stdout) + f" {printable(command)}" for command in commands)
