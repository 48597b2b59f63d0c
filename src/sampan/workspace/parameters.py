"""Parameters of operations: what types they may have, and reading them from text (command line, query) or JSON (request body).

One converter for every surface, so that a value is understood, or refused with the same words, wherever it was typed.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec

from sampan.core.refs import nearest
from sampan.errors import ParameterError

Base = Literal["text", "integer", "number", "flag", "path", "choice"]
Many = Literal["one", "list", "mapping"]

LARGEST: Final = 2**53 - 1  # the whole numbers that JSON carries from any program to any other (RFC 8259, section 6)
_BASES: Final[dict[object, Base]] = {str: "text", int: "integer", float: "number", bool: "flag", Path: "path"}
_EXPECTED: Final[dict[Base, str]] = {
    "text": "text",
    "integer": "a whole number",
    "number": "a number",
    "flag": "true or false",
    "path": "a path",
}
_JSON_NAMES: Final = ((bool, "true or false"), ((int, float), "a number"), (str, "text"), (list, "a list"), (dict, "an object"))
_FLAGS: Final = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class AtLeast(msgspec.Struct, frozen=True):
    """Goes with a parameter's type, as `Annotated[int, AtLeast(1)]`."""

    number: int


Count = Annotated[int, AtLeast(1)]  # how many of something to show


class _Required:
    """The default of a parameter that has none."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required()


class Form(msgspec.Struct, frozen=True):
    """A parameter's type in the words all surfaces share."""

    base: Base
    many: Many = "one"
    optional: bool = False  # None is a value, too
    choices: tuple[str, ...] = ()
    frozen: bool = False  # many values come as a tuple instead of a list
    least: int = -LARGEST  # of a whole number

    def expected(self) -> str:
        """Say what a single value has to be."""
        if self.least != -LARGEST:
            return f"a whole number of at least {self.least}"
        return "one of " + ", ".join(self.choices) if self.base == "choice" else _EXPECTED[self.base]


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of an operation."""

    name: str
    form: Form
    default: Any = REQUIRED
    help: str = ""
    positional: bool = False
    spelled: str = ""  # how a surface writes its name, where that is another; for messages

    @property
    def label(self) -> str:
        """The name as the user of the surface knows it."""
        return self.spelled or self.name

    @property
    def required(self) -> bool:
        """Say whether it must be given."""
        return self.default is REQUIRED


def read_form(hint: object) -> Form:
    """Turn a type annotation into a Form.

    Raises
    ------
    TypeError : no surface could read such a parameter.
    """
    inner, optional = _without_none(hint)
    origin, args = get_origin(inner), get_args(inner)
    if origin is Annotated and isinstance(args[1], AtLeast):
        return msgspec.structs.replace(read_form(args[0]), optional=optional, least=args[1].number)
    if inner in _BASES:
        return Form(base=_BASES[inner], optional=optional)
    if origin is Literal and all(isinstance(arg, str) for arg in args):
        return Form(base="choice", choices=args, optional=optional)
    if origin in (list, tuple, Sequence):
        item = read_form(args[0])
        if item.many == "one" and not item.optional:
            return Form(base=item.base, many="list", choices=item.choices, optional=optional, frozen=origin is tuple)
    if origin in (dict, Mapping) and args == (str, str):
        return Form(base="text", many="mapping", optional=optional)
    raise TypeError(f"{hint} is not one of str, int, float, bool, Path, Literal of strings, T | None, list[T], dict[str, str]")


def from_text(parameter: Parameter, texts: Sequence[str]) -> Any:
    """Read a parameter from the text or texts given for it.

    An option that takes several values accepts them repeated (`--by sex --by age`) or with commas (`--by sex,age`);
    values that hold commas are written as a JSON list (`--by '["a,b"]'`). Positional values are never split.
    """
    form = parameter.form
    if form.many == "one":
        if len(texts) != 1:
            raise _refusal(parameter, f"is given {len(texts)} times", "one value")
        return _one_from_text(parameter, texts[0])
    if form.many == "mapping":
        return _mapping_from_text(parameter, texts)
    pieces = list(texts) if parameter.positional else [piece for text in texts for piece in _split(parameter, text)]
    return _gathered(form, [_one_from_text(parameter, piece) for piece in pieces])


def from_json(parameter: Parameter, value: Any) -> Any:
    """Read a parameter from a decoded JSON value."""
    form = parameter.form
    if value is None and form.optional:
        return None
    if form.many == "list":
        if not isinstance(value, list):
            raise _refusal(parameter, f"is {_in_words(value)}", f"a list of {form.expected()}")
        return _gathered(form, [_one_from_json(parameter, item) for item in value])
    if form.many == "mapping":
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise _refusal(parameter, f"is {_in_words(value)}", "an object whose values are text")
        return dict(value)
    return _one_from_json(parameter, value)


def bind(
    parameters: Sequence[Parameter],
    given: Mapping[str, Any],
    convert: Callable[[Parameter, Any], Any],
) -> dict[str, Any]:
    """Convert the given values to arguments; all faults come in one ParameterError.

    Parameters
    ----------
    given : raw values by parameter name
    convert : `from_text` or `from_json`
    """
    faults: list[ParameterError] = []
    arguments: dict[str, Any] = {}
    known = {parameter.name: parameter for parameter in parameters}
    for name in given.keys() - known.keys():
        close = nearest(name, known)
        hint = f"did you mean {close[0]}?" if close else "known: " + (", ".join(known) or "none")
        faults.append(ParameterError(f"there is no parameter {name!r}", parameter=name, hint=hint))
    for name, parameter in known.items():
        if name in given:
            try:
                arguments[name] = convert(parameter, given[name])
            except ParameterError as fault:
                faults.append(fault)
        elif parameter.required:
            text = f"{parameter.label} is missing" + (f": {parameter.help}" if parameter.help else "")
            faults.append(ParameterError(text, parameter=name, hint=f"expected {parameter.form.expected()}"))
    if faults:
        raise _together(faults)
    return arguments


def _together(faults: Sequence[ParameterError]) -> ParameterError:
    if len(faults) == 1:
        return faults[0]
    message = "; ".join(fault.message for fault in faults)
    hint = "; ".join(dict.fromkeys(fault.hint for fault in faults if fault.hint))
    return ParameterError(message, parameter=", ".join(fault.parameter for fault in faults), hint=hint)


def _without_none(hint: object) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arg for arg in get_args(hint) if arg is not types.NoneType]
        if len(rest) == 1 and len(rest) < len(get_args(hint)):
            return rest[0], True
    return hint, False


def _gathered(form: Form, values: list[Any]) -> Any:
    return tuple(values) if form.frozen else values


def _split(parameter: Parameter, text: str) -> list[str]:
    if not text.startswith("["):
        return [piece.strip() for piece in text.split(",")] if text else []
    import json

    try:
        values = json.loads(text)
    except ValueError:
        raise _refusal(parameter, f"{text!r} starts like a JSON list but is none", parameter.form.expected()) from None
    return [value if isinstance(value, str) else json.dumps(value) for value in values]


def _mapping_from_text(parameter: Parameter, texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise _refusal(parameter, f"{text!r} has no key", "key=value")
        found[key] = value
    return found


def _one_from_text(parameter: Parameter, text: str) -> Any:
    base = parameter.form.base
    try:
        if base == "integer":
            return _checked_integer(parameter, int(text))
        if base == "number":
            return float(text)
        if base == "flag":
            return _FLAGS[text.strip().lower()]
    except (ValueError, KeyError):
        raise _refusal(parameter, f"{text!r} is not {_EXPECTED.get(base, parameter.form.expected())}", parameter.form.expected()) from None
    return _checked_text(parameter, text)


def _one_from_json(parameter: Parameter, value: Any) -> Any:
    base = parameter.form.base
    # bool is an int to Python, not to JSON
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if base == "integer" and is_number and (isinstance(value, int) or value.is_integer()):
        return _checked_integer(parameter, int(value))
    if base == "number" and is_number:
        return float(value)
    if base == "flag" and isinstance(value, bool):
        return value
    if base in ("text", "path", "choice") and isinstance(value, str):
        return _checked_text(parameter, value)
    raise _refusal(parameter, f"is {_in_words(value)}", parameter.form.expected())


def _checked_integer(parameter: Parameter, number: int) -> int:
    if -LARGEST <= number < parameter.form.least:
        raise _refusal(parameter, f"{number} is less than {parameter.form.least}", parameter.form.expected())
    if not -LARGEST <= number <= LARGEST:
        raise _refusal(parameter, f"{str(number)[:20]}… is beyond ±(2⁵³ - 1)", parameter.form.expected())
    return number


def _checked_text(parameter: Parameter, text: str) -> Any:
    form = parameter.form
    if "\0" in text:
        raise _refusal(parameter, f"{text!r} holds a null character", form.expected())
    if form.base == "path":
        return Path(text)
    if form.base == "choice" and text not in form.choices:
        close = nearest(text, form.choices, n=1)
        also = f"; did you mean {close[0]}?" if close else ""
        raise _refusal(parameter, f"{text!r} is not a choice", form.expected() + also)
    return text


def _refusal(parameter: Parameter, what: str, expected: str) -> ParameterError:
    return ParameterError(f"{parameter.label}: {what}", parameter=parameter.name, hint=f"expected {expected}")


def _in_words(value: Any) -> str:
    if value is None:
        return "null"
    for kind, name in _JSON_NAMES:
        if isinstance(value, kind):
            return f"{name} ({str(value)[:60]})" if not isinstance(value, (list, dict)) else name
    return type(value).__name__
