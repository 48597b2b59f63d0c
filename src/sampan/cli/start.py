"""Where the `sampan` command starts. Help and version are answered here with next to no imports; everything else is in `calls`.

Bare Python starts in about 14 ms of CPU; `typing` alone would double that. So nothing heavier than `os` is imported at the
top of this file, of `plugins` and of `sampan` itself.
"""

from __future__ import annotations

import sys

from sampan import __version__, plugins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130  # 128 + SIGINT, as shells have it

# Top-level verbs in the order a person needs them. A test holds them equal to what the rooms declare.
VERBS: dict[str, str] = {
    "status": "What is live, how it is doing, what to do next",
    "log": "What happened, newest first",
    "lineage": "What a version was made from, up to the raw files",
    "impact": "What would be touched if something were wrong, and whom to tell",
    "who": "Who answers for a thing, made it, decided about it, relies on it",
    "compare": "Lay runs or models side by side: what differs, the important first",
    "diff": "What differs between any two things",
    "note": "Write a note on a run, a model or anything else",
    "why": "What each change between two models contributed to the gain",
    "reproduce": "Train a model again from what was kept, and compare",
    "upgrade-check": "Which predictions move when a library changes",
    "merge": "Take a store copied from elsewhere into this one",
    "gc": "Free stored bytes that nothing needs any more",
    "fsck": "Re-read everything stored and name what is damaged",
    "doctor": "Look at this machine and this project for likely trouble",
}
FIRST_STEPS = (
    ("sampan demo", "see a model's whole life on real data"),
    ("sampan data add FILE", "begin with your own"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        words = [word for word in arguments if word != "--json"]
        as_json = len(words) < len(arguments)
        if words in ([], ["--help"], ["-h"], ["help"]):
            return _print(_help_json() if as_json else help_text())
        if words in (["--version"], ["-V"]):
            return _print(f'{{"version":"{__version__}"}}' if as_json else f"sampan {__version__}")
        return _run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(arguments: list[str]) -> int:
    """Run a command. While it is being imported there is no garbage, and looking for it would take a tenth of the start."""
    import gc
    import os

    gc.disable()
    # NumPy's linear algebra starts a thread for each core, which looks for work for 2²⁶ cycles before it sleeps: on two cores half of
    # what importing NumPy takes. 2²⁰ cycles, a third of a millisecond, are enough between two products.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")
    try:
        _import_msgspec()
        from sampan.cli.calls import run

        return run(arguments)
    finally:
        gc.enable()


def _import_msgspec() -> None:
    """Import msgspec, and let it find in `typing` what it needs.

    Where `typing_extensions` is installed, it takes that, for the sake of Pythons older than ours; and with it come the parser, the
    disassembler and the tokenizer: 10 ms of every command.
    """
    hidden = "typing_extensions"
    if hidden in sys.modules:
        return
    sys.modules[hidden] = None  # type: ignore[assignment]  # the import system's word for "there is none"
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules[hidden]


def commands_stand() -> None:
    """Say that what a command needs is imported. It stays, so nobody looks through it for garbage, now or later."""
    import gc

    gc.freeze()
    gc.enable()


def _print(text: str) -> int:
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # `sampan --help | head -1`
        discard_stdout()
    return 0


def discard_stdout() -> None:
    """Send what is still to be written nowhere."""
    # Python flushes stdout once more at exit; a closed pipe would make that an error message.
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def nouns() -> dict[str, str]:
    """Return every noun with its summary, plug-ins' included, without importing a room."""
    return {noun: plugins.summary(noun) for noun in sorted(plugins.names("sampan.rooms")) if noun}


def shortcuts() -> dict[str, str]:
    """Return the top-level words that stand for a noun and a verb."""
    return plugins.names("sampan.shortcuts")


def help_text() -> str:
    """Return what `sampan --help` shows."""
    verbs = {**VERBS, **{word: f"Short for sampan {target}" for word, target in shortcuts().items()}}
    parts = [
        f"sampan {__version__}: one tool for a machine-learning model's whole life",
        "Usage: sampan [--project DIR] [--json] NOUN VERB [ARGUMENTS]",
        _table("Nouns (sampan NOUN lists its verbs)", nouns()),
        _table("At the top level", verbs),
        _table("Processes", processes()),
        _table("Start with", dict(FIRST_STEPS)),
        "Every command takes --help, --json and --project DIR. SAMPAN_DEBUG=1 shows tracebacks.",
    ]
    return "\n\n".join(parts)


def _table(title: str, rows: dict[str, str]) -> str:
    width = max(12, max(map(len, rows)) + 2)
    return "\n".join([f"{title}:", *(f"  {name:<{width}}{text}".rstrip() for name, text in rows.items())])


def processes() -> dict[str, str]:
    """Return the commands that stay in the foreground, plug-ins' included, with their summaries."""
    return {word: plugins.summary(word) for word in plugins.names("sampan.processes")}


def _help_json() -> str:
    import json

    return json.dumps(
        {"version": __version__, "nouns": nouns(), "verbs": VERBS, "shortcuts": shortcuts(), "processes": processes()}, ensure_ascii=False
    )
