"""What an operation is: a typed method of a room, declared once. The command line, HTTP, OpenAPI and the remote client are derived from it.

    class Data(Room):
        noun = "data"

        @operation(reads=True)
        def show(self, ref: str, *, rows: int = 5) -> DatasetShown:
            '''Show a dataset: its versions, columns and newest checks.'''

A numpy-style Parameters section in the docstring gives each parameter its help text on every surface; one in the class's docstring
does so for parameters that several of its operations share.
Parameters before `*` are positional on the command line, the rest are options. A parameter's type is one of: str, int, float, bool, Path,
Literal of strings, T | None, list[T], dict[str, str]. Options that several operations share are declared once, see `options`. The result is
an Answer. A Python caller just calls the method, with a text for a path or a list of one (`plain_values.py`).
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec

from sampan import plugins
from sampan.core.answers import Answer
from sampan.core.refs import nearest
from sampan.errors import NotFound
from sampan.workspace.options import options_of, shared_by
from sampan.workspace.parameters import REQUIRED, Count, Parameter, read_form
from sampan.workspace.parts import PARTS
from sampan.workspace.plain_values import taking_plain_values
from sampan.workspace.signatures import NOTHING, arguments_of, docstring_of

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

Method = TypeVar("Method", bound=Callable[..., Any])
ROOMS = "sampan.rooms"


class Declared(msgspec.Struct, frozen=True):
    """What the decorator says of a method: whether it only reads, and its verb where that is not the method's name."""

    reads: bool
    verb: str
    local: bool  # starts a process or needs this machine's files: not offered over HTTP
    verbatim: bool = False  # what stands after its first positional word on a command line is another program's


def operation(*, reads: bool = False, verb: str = "", local: bool = False, verbatim: bool = False) -> Callable[[Method], Method]:
    """Declare a room's method an operation."""

    def declare(method: Method) -> Method:
        called = taking_plain_values(method)
        called.__operation__ = Declared(reads=reads, verb=verb or method.__name__.replace("_", "-"), local=local, verbatim=verbatim)  # type: ignore[attr-defined]  # functions take attributes
        return called

    return declare


class Room:
    """One noun and its operations. A room holds no state of its own; the workspace it is in does.

    `default_verb` is taken where the word after the noun is no verb: `sampan run train.py` is `sampan run script train.py`. A room may say
    by `verb_for` that it depends on the word.
    """

    noun: ClassVar[str] = ""
    default_verb: ClassVar[str] = ""

    def __init__(self, workspace: Workspace) -> None:
        self.ws = workspace

    @classmethod
    def verb_for(cls, _word: str) -> str:
        """Return the verb for a word after the noun that is no verb; "" if there is none."""
        return cls.default_verb


class Operation(msgspec.Struct, frozen=True):
    """An operation as a surface sees it."""

    noun: str
    verb: str
    method: str
    summary: str  # the docstring's first line
    description: str  # the docstring's prose, without its sections
    parameters: tuple[Parameter, ...]
    result: type[Answer]
    reads: bool
    local: bool
    verbatim: bool

    @property
    def name(self) -> str:
        """Noun and verb as they are typed."""
        return f"{self.noun} {self.verb}".strip()

    def call(self, room: Room, arguments: Mapping[str, Any]) -> Answer:
        """Call it with converted arguments; parameters left out take their defaults."""
        answer: Answer = getattr(room, self.method)(**arguments)
        return answer


def nouns() -> tuple[str, ...]:
    """Return the nouns of all rooms, ours and plug-ins', in the order a person reads them; "" (the top level) first."""
    return tuple(sorted(plugins.names(ROOMS)))


class Verbs(Mapping[str, Operation]):
    """A room's operations by verb: those of its bases in their order, then its own, each as they are written.

    Each is described when it is asked for: a command needs one of them, and pays for no other.
    """

    def __init__(self, room: type[Room], noun: str) -> None:
        self._room, self._noun = room, noun
        self._declared: dict[str, tuple[str, Declared]] = {}
        self._described: dict[str, Operation] = {}
        for kind in (*room.__mro__[1:], room):
            for name, method in vars(kind).items():
                declared = getattr(method, "__operation__", None)
                if isinstance(declared, Declared) and (kind is room or declared.verb not in self._declared):
                    self._declared[declared.verb] = name, declared

    def __getitem__(self, verb: str) -> Operation:
        if verb not in self._described:
            method_name, declared = self._declared[verb]
            self._described[verb] = _describe(self._noun, self._room, method_name, declared)
        return self._described[verb]

    def __contains__(self, verb: object) -> bool:
        return verb in self._declared

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)


_verbs = functools.cache(Verbs)


def describe(room: type[Room], noun: str | None = None) -> Mapping[str, Operation]:
    """Describe all of a room's operations by verb. Raises TypeError for one that is not declared as it must be."""
    return dict(Verbs(room, room.noun if noun is None else noun))


def operations(noun: str) -> Mapping[str, Operation]:
    """Return the operations of the room a noun names.

    Raises
    ------
    NotFound : no room has this noun.
    """
    return _verbs(plugins.find(ROOMS, noun), noun)


def part_declaring(noun: str, verb: str) -> type[Room] | None:
    """Return the part of one of our rooms that declares a verb, importing no other part of it; None where that is not known.

    A part is a room with some of the room's verbs. What the room's docstring says of shared parameters, it does not.
    """
    is_ours = plugins.names(ROOMS).get(noun) == plugins.BUILT_IN[ROOMS].get(noun)
    for part, verbs in PARTS.get(noun, {}).items() if is_ours else ():
        if verb in verbs.split():
            module, _, name = part.partition(":")
            found: type[Room] = getattr(import_module(module), name)
            return found
    return None


def find_operation(noun: str, verb: str) -> Operation:
    """Return one operation, or raise NotFound with the nearest verbs."""
    known = operations(noun)
    if verb in known:
        return known[verb]
    owner = f"{noun!r}" if noun else "sampan"
    close = nearest(verb, known)
    raise NotFound(f"{owner} has no verb {verb!r}", did_you_mean=close, hint="" if close else "verbs: " + ", ".join(known))


def _describe(noun: str, room: type[Room], method_name: str, declared: Declared) -> Operation:
    method = getattr(room, method_name)
    where = f"{room.__module__}.{room.__qualname__}.{method_name}"
    hints = _hints(method, where)
    summary, description, helps = read_docstring(docstring_of(method))
    shared = read_docstring(docstring_of(room))[2]
    result = hints.get("return")
    if not (isinstance(result, type) and issubclass(result, Answer)):
        raise TypeError(f"{where} is an operation and must return an Answer, not {result}")
    return Operation(
        noun=noun,
        verb=declared.verb,
        method=method_name,
        summary=summary,
        description=description,
        parameters=tuple(_parameters(method, hints, {**shared, **helps}, where)),
        result=result,
        reads=declared.reads,
        local=declared.local,
        verbatim=declared.verbatim,
    )


def _hints(method: Callable[..., Any], where: str) -> dict[str, Any]:
    # Rooms may import Path and Literal for type checking only; the types an operation may use are known, so they resolve anyway.
    known = {"Path": Path, "Literal": typing.Literal, "Any": Any, "Unpack": typing.Unpack, "Count": Count}
    try:
        return typing.get_type_hints(method, localns=known, include_extras=True)
    except NameError as cause:
        raise TypeError(f"{where} is an operation and names a type that is not imported at run time: {cause}") from cause


def _parameters(method: Callable[..., Any], hints: Mapping[str, Any], helps: Mapping[str, str], where: str) -> list[Parameter]:
    found: list[Parameter] = []
    for name, kind, default in islice(arguments_of(method), 1, None):
        hint = hints.get(name, "no type")
        shared = shared_by(hint) if kind == "options" else None
        if shared is not None:
            said = {**read_docstring(docstring_of(shared))[2], **helps}
            found += [_parameter(one.name, one.hint, one.default, said, where) for one in options_of(shared)]
            continue
        if kind not in ("ordinary", "named"):
            raise TypeError(f"{where} is an operation; parameter {name} must be an ordinary one with a name and a type")
        given = REQUIRED if default is NOTHING else default
        found.append(_parameter(name, hint, given, helps, where, positional=kind == "ordinary"))
    return found


def _parameter(name: str, hint: object, default: object, helps: Mapping[str, str], where: str, *, positional: bool = False) -> Parameter:
    try:
        form = read_form(hint)
    except TypeError as cause:
        raise TypeError(f"{where}: parameter {name}: {cause}") from cause
    return Parameter(name=name, form=form, default=default, help=helps.get(name, ""), positional=positional)


def read_docstring(text: str) -> tuple[str, str, dict[str, str]]:
    """Split a numpy-style docstring into its first line, its prose, and the text of each parameter."""
    lines = text.splitlines()
    heads = [i for i, line in enumerate(lines[1:]) if line.strip() and set(line.strip()) == {"-"}]
    prose = lines[: heads[0]] if heads else lines
    prose = prose[: next((i for i, line in enumerate(prose) if line.startswith(">>>")), len(prose))]
    helps: dict[str, str] = {}
    for head in heads:
        if lines[head].strip() == "Parameters":
            end = next((h for h in heads if h > head), len(lines))
            helps = _read_parameter_lines(lines[head + 2 : end])
    return (lines[0].strip() if lines else ""), "\n".join(prose).strip(), helps


def _read_parameter_lines(lines: list[str]) -> dict[str, str]:
    helps: dict[str, str] = {}
    current: list[str] = []
    for line in lines:
        names, colon, text = line.partition(" : ")
        if colon and not line.startswith(" "):
            current = [name.strip() for name in names.split(",")]
            helps.update(dict.fromkeys(current, text.strip()))
        elif line.startswith(" "):
            helps.update({name: f"{helps[name]} {line.strip()}".strip() for name in current})
    return helps
