"""From what was typed to an operation's answer: settings taken out, an operation called, answers and errors printed, an exit code.

Words that leave no doubt are read here. All others (help, a slip of the pen, a process) are left to `commands`, which brings click: that
takes a sixth of what a command takes to start.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import msgspec

from sampan import plugins
from sampan.cli import output, start
from sampan.cli.asides import kept_aside
from sampan.cli.progress import progress_for
from sampan.errors import SampanError, UsageError
from sampan.workspace.operation import ROOMS, Operation, Room, Verbs, part_declaring
from sampan.workspace.parameters import Parameter, bind, from_text
from sampan.workspace.workspace import Workspace

PROCESSES = "sampan.processes"
Given = Mapping[str, list[str]]  # the texts typed for each parameter


class Settings(msgspec.Struct, frozen=True):
    """What the options that every command takes were set to."""

    project: str = "."
    as_json: bool = False

    def open_workspace(self) -> Workspace:
        """Open the project; progress goes to stderr."""
        return Workspace.open(self.project, progress=progress_for())


def run(arguments: Sequence[str]) -> int:
    """Run one command; return the exit code. Errors are printed, not raised."""
    settings = Settings(as_json="--json" in arguments)
    try:
        words, settings = split_settings(arguments)
        if (plain := read(words)) is not None:
            part, operation, given = plain
            return call(part, operation, given, settings)
        from sampan.cli.commands import run_words

        return run_words(words, settings)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return start.INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        start.discard_stdout()
        return 0
    except SampanError as error:
        return output.show_error(error, as_json=settings.as_json)
    except Exception as error:  # noqa: BLE001  # the process edge: a bug becomes one clear line
        return output.show_error(error, as_json=settings.as_json)


def split_settings(arguments: Sequence[str]) -> tuple[list[str], Settings]:
    """Take `--json` and `--project DIR` out of the arguments, wherever they stand before `--`."""
    words: list[str] = []
    project, as_json = ".", False
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            words += [word, *rest]
        elif word == "--json":
            as_json = True
        elif word == "--project":
            project = next(rest, "")
            if not project:
                raise UsageError("--project needs a folder", hint="sampan --project DIR …")
        elif word.startswith("--project="):
            project = word.partition("=")[2]
        else:
            words.append(word)
    return words, Settings(project, as_json)


def call(room: type[Room] | None, operation: Operation, given: Given, settings: Settings) -> int:
    """Call an operation of a room, by default the one of its noun, and print its answer; return the exit code."""
    start.commands_stand()
    arguments = bind(spelled(operation), given, from_text)
    with settings.open_workspace() as workspace:
        with kept_aside(as_json=settings.as_json):
            answer = operation.call(room(workspace) if room else workspace.room(operation.noun), arguments)
        output.show(answer, as_json=settings.as_json)
    return answer.exit_code()


def spelled(operation: Operation) -> list[Parameter]:
    """Return an operation's parameters, each with its name as it is typed."""
    return [msgspec.structs.replace(parameter, spelled=_spelled(parameter)) for parameter in operation.parameters]


def read(words: Sequence[str]) -> tuple[type[Room], Operation, Given] | None:
    """Return the part of a room, its operation and what that is given; None where that takes more than looking the words up."""
    noun, verb, rest = _lead(words)
    part = part_declaring(noun, verb) if verb else None
    if part is None and noun:
        part, verb, rest = _default(noun, words[1:])
    operation = Verbs(part, noun).get(verb) if part else None
    if part is None or operation is None:
        return None
    given = _read_verbatim(operation, rest) if operation.verbatim else _read_given(spelled(operation), rest)
    if given is None or any(parameter.required and parameter.name not in given for parameter in operation.parameters):
        return None
    return part, operation, given


def _default(noun: str, words: Sequence[str]) -> tuple[type[Room] | None, str, Sequence[str]]:
    """Return the room and the verb that a file in a verb's place stands for: `sampan run train.py`. Other words may be slips of the pen."""
    if not words or words[0].isidentifier() or words[0].startswith("-"):
        return None, "", words
    room: type[Room] = plugins.find(ROOMS, noun)
    return (room, room.verb_for(words[0]), words) if room.default_verb else (None, "", words)


def _read_verbatim(operation: Operation, words: Sequence[str]) -> Given | None:
    """Return another program's words as they are; None where options of ours or two dashes stand before or among them."""
    if not words or words[0].startswith("-") or "--" in words:
        return None
    return {operation.parameters[0].name: list(words)}


def _lead(words: Sequence[str]) -> tuple[str, str, Sequence[str]]:
    """Return the noun, the verb and the words after them; no verb where the first words are not plainly these."""
    first, second, *rest = *words[:2], *[""] * (2 - len(words[:2])), *words[2:]
    if first in plugins.names(PROCESSES):
        return "", "", rest
    if first in start.VERBS:
        return "", first, words[1:]
    if first and first in plugins.names(ROOMS):
        return first, second, rest
    noun, _, verb = start.shortcuts().get(first, "").partition(" ")
    return noun, verb, words[1:]


def _read_given(parameters: Sequence[Parameter], words: Sequence[str]) -> Given | None:
    """Return the texts given for each parameter; None for what is unknown, repeated without need, or could be read in two ways."""
    options = {parameter.spelled: parameter for parameter in parameters if not parameter.positional}
    given: dict[str, list[str]] = {}
    by_place: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            by_place.append(word)
            continue
        name, has_value, value = word.partition("=")
        option = options.get(name) or options.get("--" + name.removeprefix("--no-"))
        if option is None or (option.name in given and option.form.many == "one"):
            return None
        if option.form.base == "flag" and option.form.many == "one":
            if has_value:
                return None
            given[option.name] = [str(name == option.spelled).lower()]
            continue
        value = value if has_value else next(rest, "-")
        if name != option.spelled or (value.startswith("-") and not has_value):
            return None
        given.setdefault(option.name, []).append(value)
    return _placed(parameters, by_place, given)


def _placed(parameters: Sequence[Parameter], words: Sequence[str], given: dict[str, list[str]]) -> Given | None:
    """Give words to the parameters that are told by their place; one that takes many takes the rest."""
    places = [parameter for parameter in parameters if parameter.positional]
    if any(parameter.form.many != "one" for parameter in places[:-1]):
        return None
    takes_rest = bool(places) and places[-1].form.many != "one"
    n_single = len(places) - takes_rest
    if len(words) > n_single and not takes_rest:
        return None
    given.update({parameter.name: [word] for parameter, word in zip(places[:n_single], words, strict=False)})
    if takes_rest and len(words) > n_single:
        given[places[-1].name] = list(words[n_single:])
    return given


def _spelled(parameter: Parameter) -> str:
    return parameter.name.upper() if parameter.positional else "--" + parameter.name.replace("_", "-")
