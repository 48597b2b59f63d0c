"""MLflow's search language: `metrics.loss < 0.3 AND params."model type" LIKE 'tree%'` and `attributes.start_time DESC`.

A filter is a list of comparisons that all must hold. What a thing's field is worth is asked of the caller, so the same language serves
runs, experiments, registered models and versions. Metrics and numbers compare as numbers, everything else as text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sampan.web.mlflow.refusals import invalid
from sampan.workspace.comparisons import ORDERINGS, like

Field = tuple[str, str]  # (metric | parameter | tag | attribute | dataset | metadata | span | feedback | expectation, name)
Value = str | float | None

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*")
    | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
    | (?P<operator>!=|>=|<=|=|<|>)
    | (?P<mark>[(),])
    | (?P<word>[A-Za-z_][\w/\-]*(?:\.(?:`[^`]*`|"[^"]*"|[\w\-./: ]*?[\w\-./:]))?(?=\s*(?:!=|>=|<=|=|<|>|\s|,|\)|$))|`[^`]*`)
    )""",
    re.VERBOSE,
)
_KINDS: Final = {
    **dict.fromkeys(("metric", "metrics"), "metric"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "parameter"),
    **dict.fromkeys(("tag", "tags"), "tag"),
    **dict.fromkeys(("attribute", "attributes", "attr", "run", "trace"), "attribute"),
    **dict.fromkeys(("dataset", "datasets"), "dataset"),
    **dict.fromkeys(("metadata", "request_metadata"), "metadata"),
    **{kind: kind for kind in ("span", "feedback", "expectation")},
}
_ORDERED: Final = (">", ">=", "<", "<=", "=", "!=")
_TEXTUAL: Final = ("=", "!=", "LIKE", "ILIKE")
RLIKE: Final = "RLIKE"  # a regular expression, found anywhere


@dataclass(frozen=True, slots=True)
class Comparison:
    """One condition."""

    field: Field
    operator: str  # = != < <= > >= LIKE ILIKE RLIKE IN, NOT IN, IS NULL, IS NOT NULL
    value: Any

    def holds(self, found: Value) -> bool:
        """Say whether a field's value meets it. What is not there meets nothing but IS NULL."""
        if self.operator == "IS NULL":
            return found is None
        if found is None:
            return False
        if self.operator == "IS NOT NULL":
            return True
        if self.operator in ("LIKE", "ILIKE"):
            return like(self.value, ignore_case=self.operator == "ILIKE").fullmatch(str(found)) is not None
        if self.operator == RLIKE:
            return bool(matching(self.value, [str(found)]))
        if self.operator in ("IN", "NOT IN"):
            return (found in self.value) == (self.operator == "IN")
        return bool(ORDERINGS[self.operator](found, self.value))


@dataclass(frozen=True, slots=True)
class Language:
    """What may be asked of one kind of thing: its attributes, and whether it has metrics, parameters, tags, datasets."""

    numbers: frozenset[str]
    texts: frozenset[str]
    kinds: frozenset[str] = frozenset({"attribute", "tag"})
    aliases: Mapping[str, str] | None = None
    has_patterns: bool = False  # whether texts may be asked for by RLIKE

    def parse(self, text: str) -> list[Comparison]:
        """Read a filter; '' asks for everything.

        Raises
        ------
        Refusal : it is no filter of this language; the message names the part.
        """
        tokens = _tokens(text)
        found: list[Comparison] = []
        while tokens:
            found.append(self._comparison(tokens, text))
            if tokens:
                joint, word = tokens.pop(0)
                if joint != "word" or word.upper() != "AND":
                    raise invalid(f"Invalid clause(s) in filter string: {word!r}. Only AND joins comparisons.")
                if not tokens:
                    raise invalid(f"Invalid filter '{text}': it ends in AND")
        return found

    def parse_order(self, clauses: Sequence[str]) -> list[tuple[Field, bool]]:
        """Read order-by clauses: fields, each with whether it descends."""
        found = []
        for clause in clauses:
            body, _, direction = clause.strip().rpartition(" ")
            if direction.upper() not in ("ASC", "DESC"):
                body, direction = clause.strip(), "ASC"
            found.append((self._field(body.strip()), direction.upper() == "DESC"))
        return found

    def _comparison(self, tokens: list[tuple[str, str]], text: str) -> Comparison:
        kind, word = tokens.pop(0)
        if kind != "word":
            raise invalid(f"Invalid filter '{text}': {word!r} is no field to compare")
        field = self._field(word)
        operator = _operator(tokens, text)
        if operator in ("IS NULL", "IS NOT NULL"):
            if field[0] not in ("parameter", "tag", "metadata", "feedback", "expectation"):
                raise invalid(f"Invalid filter '{text}': only parameters, tags and what people said can be asked whether they are null")
            return Comparison(field, operator, None)
        if operator in ("IN", "NOT IN"):
            return Comparison(field, operator, _list(tokens, text))
        if not tokens:
            raise invalid(f"Invalid filter '{text}': nothing stands after {operator}")
        return self._checked(field, operator, *tokens.pop(0))

    def _checked(self, field: Field, operator: str, kind: str, word: str) -> Comparison:
        is_number = field[0] == "metric" or (field[0] == "attribute" and field[1] in self.numbers)
        allowed = _ORDERED if is_number else (*_TEXTUAL, RLIKE) if self.has_patterns else _TEXTUAL
        if operator not in allowed:
            raise invalid(f"Invalid comparator '{operator}' not one of {set(allowed)}")
        if is_number:
            if kind != "number":
                raise invalid(f"Expected numeric value type for {field[0]} '{field[1]}'. Found {word}")
            return Comparison(field, operator, float(word))
        if kind != "text":
            raise invalid(f"Expected a quoted string value for {field[0]} '{field[1]}'. Got value {word}")
        if operator == RLIKE:
            matching(_unquoted(word), [""])
        return Comparison(field, operator, _unquoted(word))

    def _field(self, word: str) -> Field:
        prefix, dot, rest = word.partition(".")
        kind = _KINDS.get(prefix.lower()) if dot else None
        name = _bare(rest) if kind else _bare(word)
        kind = kind or "attribute"
        if kind not in self.kinds:
            raise invalid(f"Invalid entity type '{prefix}'. Valid values are {sorted(self.kinds)}")
        if kind == "attribute":
            name = (self.aliases or {}).get(name, name)
            if name not in self.numbers | self.texts:
                raise invalid(f"Invalid attribute key '{name}' specified. Valid keys are '{sorted(self.numbers | self.texts)}'")
        return kind, name


def matching(pattern: str, texts: Iterable[str]) -> set[str]:
    """Return the texts in which a regular expression is found, in time that grows with them alone: patterns come from anyone.

    Raises
    ------
    Refusal : it is no pattern of that kind: references back and looking around take unbounded time.
    """
    import polars as pl

    given = pl.Series(list(set(texts)), dtype=pl.String)
    try:
        return set(given.filter(given.str.contains(pattern)))
    except pl.exceptions.ComputeError as cause:
        why = next((line for line in str(cause).splitlines() if line.startswith("error: ")), str(cause).splitlines()[0])
        raise invalid(f"Invalid regular expression '{pattern}': {why.removeprefix('error: ').removeprefix('regex error: ')}") from cause


def sort_key(value: Value, *, descending: bool) -> tuple[int, Any]:
    """Return what a value is ordered by: numbers before NaN before what is missing, whichever way the order goes."""
    if value is None:
        return 2, 0
    if isinstance(value, float | int):
        return (1, 0) if math.isnan(value) else (0, -value if descending else value)
    return 0, _Reversed(value) if descending else value


class _Reversed:
    """A text that orders the other way round."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __lt__(self, other: _Reversed) -> bool:
        return self.text > other.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and self.text == other.text

    __hash__ = None  # type: ignore[assignment]  # it is compared, never kept


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    stripped = text.rstrip()
    while at < len(stripped):
        match = _TOKEN.match(stripped, at)
        if match is None or match.lastgroup is None:
            raise invalid(f"Invalid filter '{text}': cannot read {stripped[at:].strip()[:40]!r}")
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def _operator(tokens: list[tuple[str, str]], text: str) -> str:
    if not tokens:
        raise invalid(f"Invalid filter '{text}': a comparison is missing")
    kind, word = tokens.pop(0)
    if kind == "operator":
        return word
    said = [word.upper()]
    while said[-1] in ("IS", "NOT") and tokens:
        said.append(tokens.pop(0)[1].upper())
    operator = " ".join(said)
    if operator not in ("LIKE", "ILIKE", RLIKE, "IN", "NOT IN", "IS NULL", "IS NOT NULL"):
        raise invalid(f"Invalid comparator '{operator}' in filter '{text}'")
    return operator


def _list(tokens: list[tuple[str, str]], text: str) -> frozenset[str]:
    words = []
    if not tokens or tokens.pop(0)[1] != "(":
        raise invalid(f"Invalid filter '{text}': a list in parentheses must follow IN")
    while tokens:
        kind, word = tokens.pop(0)
        if kind == "text":
            words.append(_unquoted(word))
        elif word == ")":
            return frozenset(words)
        elif word != ",":
            raise invalid(f"Invalid filter '{text}': {word!r} in a list; values are quoted")
    raise invalid(f"Invalid filter '{text}': the list after IN does not end")


def _bare(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in '`"' else word


def _unquoted(word: str) -> str:
    return word[1:-1].replace("''", "'") if word[0] == "'" else word[1:-1]
