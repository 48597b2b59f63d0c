"""Commands built from operations with click, for the noun that was asked for and no other: help, processes, words that leave a doubt."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import click

from sampan import plugins
from sampan.cli import calls, start
from sampan.cli.calls import PROCESSES, Settings
from sampan.core.answers import to_json
from sampan.core.refs import nearest
from sampan.errors import NotFound, SampanError, UsageError
from sampan.workspace.operation import ROOMS, Operation, operations
from sampan.workspace.parameters import Parameter

_SETTINGS = {"help_option_names": ["-h", "--help"]}
_VERBATIM = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def run_words(words: Sequence[str], settings: Settings) -> int:
    """Run what words stand for; return the exit code. What click complains of is raised as a UsageError."""
    try:
        code = Root(settings).main(args=list(words), prog_name="sampan", standalone_mode=False)
    except click.ClickException as error:
        raise _usage_error(error, words) from error
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.Abort as interrupted:
        raise KeyboardInterrupt from interrupted
    return code if isinstance(code, int) else 0


class Root(click.Group):
    """`sampan`: nouns, top-level verbs, shortcuts and processes, each built when asked for."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("sampan", context_settings=_SETTINGS)
        self.settings = settings

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Name everything that may follow `sampan`."""
        return [*start.nouns(), *start.VERBS, *start.shortcuts(), *start.processes()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Build what a word stands for."""
        if cmd_name in start.processes():
            return process_command(cmd_name, self.settings)
        if cmd_name in start.VERBS:
            return operation_command(operations("")[cmd_name], self.settings)
        if cmd_name in start.nouns():
            return Noun(cmd_name, self.settings)
        if target := start.shortcuts().get(cmd_name):
            noun, _, verb = target.partition(" ")
            return Noun(noun, self.settings).get_command(ctx, verb)
        return None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the word's command, or say what it may have meant."""
        command = self.get_command(ctx, args[0])
        if command is None:
            raise _unknown(args[0], "sampan", self.list_commands(ctx))
        return args[0], command, args[1:]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """Show the same help as the fast path."""
        formatter.write(start.help_text() + "\n")


class Noun(click.Group):
    """`sampan NOUN`: a room's verbs."""

    def __init__(self, noun: str, settings: Settings) -> None:
        room = plugins.find(ROOMS, noun)
        self.verbs = operations(noun)
        self.default_verb: str = room.default_verb
        self.verb_for = room.verb_for
        self.settings = settings
        super().__init__(noun, help=plugins.summary(noun), context_settings=_SETTINGS, callback=self._list, invoke_without_command=True)
        # `sampan run -m package.module`: the option is the program's
        self.ignore_unknown_options = bool(self.default_verb)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Name the verbs."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        """Build a verb's command."""
        found = self.verbs.get(cmd_name)
        return operation_command(found, self.settings) if found else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; a word that is none goes to the room's default verb, if it has one and the word is no slip of the pen."""
        if (pair := "-".join(args[:2])) in self.verbs and args[0] not in self.verbs:  # `service key add`, as `service key-add`
            return pair, self.get_command(ctx, pair), args[2:]
        if args[0] in self.verbs:
            return args[0], self.get_command(ctx, args[0]), args[1:]
        if self.default_verb and (not nearest(args[0], self.verbs) or not args[0].isidentifier()):
            verb = self.verb_for(args[0])
            return verb, self.get_command(ctx, verb), args
        raise _unknown(args[0], f"sampan {self.name}", list(self.verbs))

    def _list(self) -> None:
        context = click.get_current_context()
        if context.invoked_subcommand is not None:
            return
        if self.settings.as_json:
            verbs = [{"verb": v, "summary": o.summary, "reads": o.reads, "local": o.local} for v, o in self.verbs.items()]
            sys.stdout.write(to_json({"noun": self.name, "verbs": verbs}).decode() + "\n")
        else:
            click.echo(context.get_help())


class OperationCommand(click.Command):
    """An operation's command; its help also explains the positional parameters."""

    def __init__(self, operation: Operation, parameters: Sequence[Parameter], **settings: Any) -> None:
        super().__init__(operation.verb, **settings)
        self.positional = [parameter for parameter in parameters if parameter.positional]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the positional parameters, then the options."""
        if self.positional:
            with formatter.section("Arguments"):
                formatter.write_dl([(_metavar(parameter), _help_of(parameter)) for parameter in self.positional])
        super().format_options(ctx, formatter)
        with formatter.section("Every command"):
            formatter.write_dl([("--json", "answer as JSON"), ("--project DIR", "the project's folder, by default the one you are in")])


def operation_command(operation: Operation, settings: Settings) -> click.Command:
    """Build the command of one operation."""
    parameters = calls.spelled(operation)

    def call(**texts: Any) -> int:
        return calls.call(None, operation, read_given(texts), settings)

    return OperationCommand(
        operation,
        parameters,
        params=[_click_parameter(parameter) for parameter in parameters],
        callback=call,
        help=operation.description,
        short_help=operation.summary,
        context_settings={**_SETTINGS, **(_VERBATIM if operation.verbatim else {})},
    )


def read_given(texts: Mapping[str, Any]) -> calls.Given:
    """Return what click has read as the texts given for each parameter."""
    return {name: [text] if isinstance(text, str) else list(text) for name, text in texts.items() if text not in (None, ())}


def process_command(word: str, settings: Settings) -> click.Command:
    """Build the command of a process: it gets the words typed after its name as they are, also `--help`, and returns the exit code."""

    def call(arguments: tuple[str, ...]) -> int:
        main: Callable[..., int] = plugins.find(PROCESSES, word)
        start.commands_stand()
        return main(list(arguments), project=settings.project, as_json=settings.as_json)

    return click.Command(
        word,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        callback=call,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
    )


def _click_parameter(parameter: Parameter) -> click.Parameter:
    form = parameter.form
    # Nothing is required or converted for click: `bind` names every fault at once, in the words all surfaces share.
    if parameter.positional:
        many = -1 if form.many != "one" else 1
        return click.Argument([parameter.name], nargs=many, required=False, metavar=_metavar(parameter), type=click.UNPROCESSED)
    option = parameter.spelled
    if form.base == "flag" and form.many == "one":
        spelling = f"{option}/--no-{option.removeprefix('--')}"
        return click.Option([parameter.name, spelling], default=None, callback=_flag_text, help=_help_of(parameter))
    return click.Option(
        [parameter.name, option],
        multiple=form.many != "one",
        metavar=_metavar(parameter),
        type=click.UNPROCESSED,
        help=_help_of(parameter),
    )


def _flag_text(_context: click.Context, _parameter: click.Parameter, value: bool | None) -> str | None:
    return None if value is None else str(value).lower()


def _metavar(parameter: Parameter) -> str:
    form = parameter.form
    if parameter.positional:
        shown = parameter.name.upper() + ("…" if form.many != "one" else "")
        return shown if parameter.required else f"[{shown}]"
    if form.many == "mapping":
        return "KEY=VALUE"
    words = {"text": "TEXT", "integer": "N", "number": "NUMBER", "flag": "BOOL", "path": "PATH", "choice": "|".join(form.choices)}
    return words[form.base] + ("…" if form.many == "list" else "")


def _help_of(parameter: Parameter) -> str:
    default = parameter.default
    if parameter.required:
        return f"{parameter.help} (required)".strip() if not parameter.positional else parameter.help
    silent = default is None or default is False or default in ("", [], {}, ())
    return parameter.help if silent else f"{parameter.help} (default: {_shown_default(default)})".strip()


def _shown_default(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)


def _unknown(word: str, after: str, known: Sequence[str]) -> SampanError:
    close = nearest(word, known)
    hint = "" if close else f"{after} --help lists what there is"
    if word.startswith("-"):
        return UsageError(f"{after} has no option {word}", hint=f"{after} --help lists what there is")
    return NotFound(f"{after} has no {'verb' if ' ' in after else 'command'} {word!r}", did_you_mean=close, hint=hint)


def _usage_error(error: click.ClickException, words: Sequence[str]) -> UsageError:
    """Turn click's complaint (an unknown option, a missing value) into ours."""
    leading = list(takewhile(lambda word: not word.startswith("-"), words))
    context = getattr(error, "ctx", None)
    command = context.command_path if context else " ".join(["sampan", *leading])
    possibilities = [word for word in getattr(error, "possibilities", None) or () if word != "--help"]
    message = error.format_message()
    if isinstance(error, click.NoSuchOption):
        message = f"{command} has no option {error.option_name}"
    hint = f"did you mean {' or '.join(possibilities)}?" if possibilities else _repeating(message, words) or f"{command} --help"
    return UsageError(message.rstrip("."), hint=hint)


def _repeating(message: str, words: Sequence[str]) -> str:
    """Say of a word that follows an option's value how an option takes several; "" where it follows none."""
    extra = re.search(r"unexpected extra arguments? \((\S+)", message)
    at = words.index(word) if extra and (word := extra[1].rstrip(")")) in words else 0
    if at < 2 or not words[at - 2].startswith("--"):  # an option and its value
        return ""
    option = words[at - 2]
    return f"for several values say the option again: {option} {words[at - 1]} {option} {words[at]}"
