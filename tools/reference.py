"""Write what is told of the code from the code: docs/reference, and which part of a room declares each verb (`workspace/parts.py`).

`--check` says whether the files are what the code says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sampan import errors, plugins
from sampan.core import project
from sampan.evaluation.gate import REASONS
from sampan.workspace.operation import Operation, Room, operations
from sampan.workspace.parameters import REQUIRED

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "docs/reference"


def pages() -> dict[str, str]:
    """Return every file by its path."""
    return {
        f"{FOLDER}/commands.md": _commands(),
        f"{FOLDER}/errors.md": _errors(),
        f"{FOLDER}/project-file.md": _project_file(),
        f"{FOLDER}/gate-reasons.md": _reasons(),
        "src/sampan/workspace/parts.py": _parts(),
    }


def _commands() -> str:
    lines = [
        "# Commands",
        "",
        "Each is also a Python method (`workspace.data.add(...)`), an HTTP route (`POST /api/v1/data/add`; `GET` where it only reads)",
        "and a method of `sampan.connect(url)`, unless it is marked *this machine only*. Every command takes `--json`,",
        "`--project DIR` and `--help`.",
    ]
    for noun in sorted(plugins.BUILT_IN["sampan.rooms"]):
        lines += ["", f"## {'Top level' if not noun else 'sampan ' + noun}", "", plugins.summary(noun) if noun else "Verbs without a noun."]
        for operation in operations(noun).values():
            lines += ["", *_command(noun, operation)]
    lines += ["", "## Shortcuts", ""]
    lines += [f"- `sampan {word}` is short for `sampan {target}`" for word, target in plugins.BUILT_IN["sampan.shortcuts"].items()]
    return "\n".join(lines) + "\n"


def _command(noun: str, operation: Operation) -> Iterator[str]:
    positional = " ".join(p.name.upper() if p.default is REQUIRED else f"[{p.name.upper()}]" for p in operation.parameters if p.positional)
    words = " ".join(word for word in ("sampan", noun, operation.verb, positional) if word)
    yield f"### `{words}`"
    yield ""
    yield operation.summary + (" *This machine only.*" if operation.local else "")
    if operation.parameters:
        yield ""
    for parameter in operation.parameters:
        spelled = parameter.name if parameter.positional else "--" + parameter.name.replace("_", "-")
        yield f"- `{spelled}`: {parameter.help or parameter.name.replace('_', ' ')}"


def _errors() -> str:
    lines = ["# Errors", "", "Codes are stable. A program reads `code`; a person reads message and hint.", ""]
    lines += ["| code | exit | HTTP | when |", "|---|---|---|---|"]
    for kind in _tree(errors.SampanError):
        lines.append(f"| `{kind.code}` | {kind.exit_code} | {kind.http_status} | {(kind.__doc__ or '').splitlines()[0]} |")
    lines += ["", "Exit code 0 is success, 1 an unexpected failure (a bug), 130 an interrupt by the user."]
    return "\n".join(lines) + "\n"


def _tree(kind: type[errors.SampanError]) -> Iterator[type[errors.SampanError]]:
    yield kind
    for child in sorted(kind.__subclasses__(), key=lambda c: c.code):
        if child.__module__ == errors.__name__:
            yield from _tree(child)


def _project_file() -> str:
    lines = ["# The project file", ""]
    lines += ["`sampan.toml` is optional. It is read, never evaluated. All faults of a file are reported at once.", ""]
    for table, kind, named in project.sections():
        lines += [f"## `[{table}{'.NAME' if named else ''}]`", "", (kind.__doc__ or "").splitlines()[0], ""]
        lines += ["| key | default |", "|---|---|"]
        for one in msgspec.structs.fields(kind):
            default = "required" if one.required else f"`{one.default!r}`"
            lines.append(f"| `{one.name}` | {default} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _reasons() -> str:
    lines = ["# Why a gate refuses", "", "A refusal names its reasons by these codes.", "", "| code | meaning |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{code}` | {meaning} |" for code, meaning in REASONS.items())]) + "\n"


def _parts() -> str:
    lines = ['"""Which part of a room declares which verbs, so that a command imports no other. Written by tools/reference.py."""', ""]
    lines += ["# noun -> the class of the part -> its verbs", "PARTS = {"]
    for noun in plugins.BUILT_IN["sampan.rooms"]:
        lines.append(f'    "{noun}": {{')
        for part, verbs in parts_of(plugins.find("sampan.rooms", noun), noun).items():
            lines.append(f'        "{part.__module__}:{part.__qualname__}": "{" ".join(verbs)}",')
        lines.append("    },")
    return "\n".join([*lines, "}", ""])


def parts_of(room: type[Room], noun: str) -> dict[type[Room], list[str]]:
    """Return the verbs that each class of a room declares."""
    found: dict[type[Room], list[str]] = {}
    for verb, operation in operations(noun).items():
        owner = next(kind for kind in room.__mro__ if operation.method in vars(kind))
        found.setdefault(owner if issubclass(owner, Room) else room, []).append(verb)
    return found


def main() -> int:
    """Write the files, or with --check compare them; exit 1 if one differs."""
    stale = []
    for name, text in pages().items():
        file = ROOT / name
        if "--check" not in sys.argv:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            stale.append(name)
    for name in stale:
        sys.stdout.write(f"{name} is not what the code says: run python tools/reference.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
