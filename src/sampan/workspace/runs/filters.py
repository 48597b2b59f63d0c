"""What may be asked of runs in words: `val_auc > 0.8 and params.depth = 6 and state = finished and title like 'sweep%'`.

A bare word is an attribute (experiment, title, state, by, run, started, ended, seconds, parent) or else a metric; `params.NAME`,
`tags.NAME` and `metrics.NAME` say which. Names with other characters stand in backticks. All comparisons must hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from sampan.core.times import to_millis
from sampan.errors import ParameterError
from sampan.store.run_fields import ATTRIBUTES, Field
from sampan.workspace.comparisons import ORDERINGS, like

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sampan.store.run_columns import View
    from sampan.store.run_fields import Kind

_KINDS: Final[dict[str, Kind]] = {
    "metric": "metric",
    "metrics": "metric",
    "param": "param",
    "params": "param",
    "tag": "tag",
    "tags": "tag",
    "attribute": "attribute",
    "attributes": "attribute",
}
_WORDS: Final = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<operator>!=|>=|<=|==|=|<|>)
    | (?P<name>(?:[A-Za-z]+\.)?`[^`]+`)
    | (?P<word>[^\s=<>!'"`]+)
    )""",
    re.VERBOSE,
)
_OPERATORS: Final = ("=", "!=", "<", "<=", ">", ">=", "like", "is")
_FORM: Final = "write such as: val_auc > 0.8 and params.depth = 6 and state = finished"


class Comparison(NamedTuple):
    """One condition. `is` asks with the value none or given whether there is one at all."""

    field: Field
    operator: str
    value: str


def read_field(word: str) -> Field:
    """Read a field's name.

    >>> read_field("params.depth"), read_field("started")
    (Field(kind='param', name='depth'), Field(kind='attribute', name='started'))
    """
    prefix, dot, rest = word.partition(".")
    if dot and (kind := _KINDS.get(prefix.lower())):
        name = rest.strip("`")
        if kind == "attribute" and name not in ATTRIBUTES:
            raise ParameterError(f"a run has no attribute {name!r}", hint=f"known: {', '.join(ATTRIBUTES)}")
        return Field(kind, name)
    name = word.strip("`")
    return Field("attribute" if name in ATTRIBUTES else "metric", name)


def read_filter(text: str) -> list[Comparison]:
    """Read a filter; '' asks for every run.

    Raises
    ------
    ParameterError : it cannot be read; the message names the part.
    """
    words = _split(text)
    found: list[Comparison] = []
    while words:
        if found:
            joint = words.pop(0)[1]
            if joint.lower() != "and":
                raise ParameterError(f"where: {joint!r} stands between two comparisons", parameter="where", hint="only `and` joins them")
        if len(words) < 3:
            rest = " ".join(word for _, word in words)
            raise ParameterError(f"where: {rest or 'nothing'!r} is no comparison", parameter="where", hint=_FORM)
        found.append(_comparison(*(words.pop(0) for _ in range(3))))
    return found


def _split(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    whole = text.strip()
    while at < len(whole):
        match = _WORDS.match(whole, at)
        if match is None or match.lastgroup is None:
            raise ParameterError(f"where: cannot read {whole[at:][:40]!r}", parameter="where", hint=_FORM)
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def _comparison(field: tuple[str, str], operator: tuple[str, str], value: tuple[str, str]) -> Comparison:
    asked, sign = read_field(field[1]), {"==": "="}.get(operator[1], operator[1].lower())
    if field[0] in ("text", "operator") or sign not in _OPERATORS:
        said = " ".join(word for _, word in (field, operator, value))
        raise ParameterError(f"where: {said!r} is no comparison", parameter="where", hint=f"{_FORM}; {' '.join(_OPERATORS)}")
    plain = re.sub(r"\\(.)", r"\1", value[1][1:-1]) if value[0] == "text" else value[1]
    if asked.is_number and sign not in ("like", "is"):
        _number(asked, plain)
    if sign == "is" and plain.lower() not in ("none", "given"):
        raise ParameterError(f"where: {field[1]} is {plain!r}", parameter="where", hint="`is none` or `is given`")
    if sign == "like" and asked.is_number:
        raise ParameterError(f"where: {field[1]} is a number, and `like` compares texts", parameter="where", hint=_FORM)
    return Comparison(asked, sign, plain)


def _number(asked: Field, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    if asked.kind == "attribute" and asked.name in ("started", "ended"):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            return float(to_millis(moment if moment.tzinfo else moment.replace(tzinfo=UTC)))
    raise ParameterError(f"where: {asked.name} is a number, and {text!r} is none", parameter="where", hint=_FORM)


def meets(view: View, comparison: Comparison) -> NDArray[np.bool_]:
    """Return which runs meet a comparison. A run that has no such value meets nothing but `is none`."""
    (kind, name), operator, value = comparison
    if comparison.field.is_number:
        numbers = view.numbers(kind, name)
        if operator == "is":
            return numbers.present if value.lower() == "given" else ~numbers.present
        compare, number = ORDERINGS[operator], _number(comparison.field, value)
        return numbers.where(lambda values: compare(values, number))
    texts = view.texts(kind, name)
    if operator == "is":
        wanted = value.lower() == "given"
        return texts.where(lambda _: wanted, missing=not wanted)
    return texts.where(_text_test(operator, value))


def _text_test(operator: str, value: str) -> Callable[[str], bool]:
    if operator == "like":
        pattern = like(value)
        return lambda text: pattern.fullmatch(text) is not None
    compare = ORDERINGS[operator]
    try:
        number = float(value)
    except ValueError:
        return lambda text: bool(compare(text, value))

    def holds(text: str) -> bool:
        try:
            return bool(compare(float(text), number))
        except ValueError:
            return operator == "!="

    return holds
